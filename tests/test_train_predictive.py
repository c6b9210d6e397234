"""Training the predictive-coding model and its controls: folders that open, scores of every layer, the curve."""

import dataclasses
import json
import math
import shutil
import tomllib

import pytest
import torch
from safetensors.torch import load_file

import itinf
from itinf import ItinfError
from itinf.data.clusters import silent
from itinf.training import loop
from itinf.training.specimen import trained as trained_into
from language import train, train_predictive
from language.compression import bits_per_byte
from language.pair_counts import pair_bits_per_byte
from language.predictive import Predictive, predictive
from language.predictive_tabular import Tabular, log_shares, pair_counts
from language.train import PAIRS
from language.train_predictive import PREDICTIVE, PREDICTIVE_GPT2, PredictiveSpecimen
from test_language_train import TEXTS

SIZES = {"vocab_size": 300, "width": 16, "depth": 2, "window": 2, "heads": 2, "context": 16}
STEPS = 3
TINY = dataclasses.replace(
    PREDICTIVE,
    sizes=tuple(SIZES.items()),
    recipe=dataclasses.replace(PREDICTIVE.recipe, tokens=STEPS * 2 * 16, batch=2),
)


@pytest.fixture(scope="module", autouse=True)
def little():
    """Few short modules in place of the standard library's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "modules", TEXTS.__getitem__)
        patch.setattr(train, "SCORED", 3)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "predictive"
    trained_into(TINY, out, seed=0, split="train", progress=silent)
    return out


def card(folder):
    return tomllib.loads((folder / "card.toml").read_text(encoding="utf-8"))


def test_the_folder_opens_with_its_tokenizer_and_keeps_half_precision(folder):
    network = predictive(str(folder))
    assert isinstance(network.model, Predictive) and network.context == 16 and len(network.blocks) == 2
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.float16}
    assert network.dtype == torch.float32 and "float16" in network.weights
    ids = network.prepare("def plus7(value):")
    assert network.prepare.tokenizer.decode(ids.tolist()) == "def plus7(value):"
    assert itinf.check(network).ok


def test_every_state_has_a_score_and_the_last_is_the_networks(folder):
    network = predictive(str(folder))
    text = "".join(TEXTS["test"][name] for name in ("n0", "n1", "n2"))
    scores = TINY.evaluate(folder, split="train", progress=silent)
    assert [score.what.partition(", state ")[2] for score in scores] == ["", "0", "1"]
    assert (scores[0].value, scores[0].items) == pytest.approx(bits_per_byte(network, text))
    first = dataclasses.replace(network, model=_FirstGuess(network.model), blocks=[itinf.Block("model")])
    assert scores[1].value == pytest.approx(bits_per_byte(first, text)[0], rel=1e-6)
    assert card(folder)["scores"] == {score.what: pytest.approx(score.value, abs=1e-4) for score in scores}


BETTER, SAME, WORSE = [1.6, 1.5, 1.4], [1.6, 1.5, 1.5], [1.6, 1.61, 1.62]


@pytest.mark.parametrize(
    ("error", "bits", "reached"),
    [
        ("prediction", BETTER, [True, True, True]),
        ("truth", BETTER, [True, True, True]),
        ("ascent", WORSE, [True, True, True]),
        ("prediction", SAME, [False, True, True]),
        ("truth", [1.6, 1.65, 1.4], [True, True, False]),
        ("truth", [1.6, 1.4, 1.41], [True, True, True]),
        ("prediction", [1.8, 1.5, 1.4], [True, False, True]),
        ("ascent", BETTER, [False, True, False]),
        ("ascent", [1.8, 1.81, 1.82], [True, False, True]),
    ],
)
def test_every_layer_has_to_improve_but_those_of_ascent(error, bits, reached, folder, tmp_path, monkeypatch):
    """Scores of the last state, then of states 0 and 1; counts of pairs give 1.7."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"error": error}))
    monkeypatch.setattr(train_predictive, "bits_per_byte_of_each", lambda *_, **__: (bits, 99))
    monkeypatch.setattr(PredictiveSpecimen, "_pairs", lambda *_: 1.7)
    scores = TINY.evaluate(tmp_path, split="train", progress=silent)
    assert [score.value for score in scores] == [bits[2], bits[0], bits[1]]
    before = 1 if error == "prediction" else 0
    assert [score.bound for score in scores] == [bits[before], 1.7, bits[0]]
    assert [score.bound_is for score in scores] == [f"state {before}", PAIRS, "state 0"]
    assert [score.reached for score in scores] == reached


def test_counts_of_pairs_are_the_first_state_of_the_tabular_model(folder):
    prepare = predictive(str(folder)).prepare
    text = TEXTS["test"]["n3"]
    found = pair_bits_per_byte(prepare, TEXTS["train"].values(), text)
    counts = pair_counts((prepare(one).tolist() for one in TEXTS["train"].values()), 300)
    model, ids = Tabular(log_shares(counts), steps=1, rate=1.0), prepare(text)[None]
    logits = model.read(model.states(ids)[0])
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:], reduction="sum")
    expected = (float(loss) + math.log(300)) / math.log(2) / len(text.encode())
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_gpt2_beside_it_has_to_beat_counts_of_pairs(tmp_path):
    sizes = {"n_layer": 1, "n_embd": 16, "n_head": 2, "vocab_size": 300, "n_positions": 16}
    specimen = dataclasses.replace(PREDICTIVE_GPT2, sizes=tuple(sizes.items()), recipe=TINY.recipe)
    (score,) = trained_into(specimen, tmp_path, seed=0, split="train", progress=silent)
    text = "".join(TEXTS["test"][name] for name in ("n0", "n1", "n2"))
    pairs = pair_bits_per_byte(itinf.network("gpt2", str(tmp_path)).prepare, TEXTS["train"].values(), text)
    assert (score.bound, score.bound_is, score.better) == (pytest.approx(pairs), PAIRS, "lower")
    assert not score.reached and card(tmp_path)["bounds"] == {score.what: pytest.approx(pairs, abs=1e-4)}


class _FirstGuess(torch.nn.Module):
    """The first prediction, which no layer has corrected."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        x = self.model.first(ids)
        return type(self.model(ids))(logits=self.model.head(x[..., 16:]))


def test_the_curve_has_the_loss_of_every_step_through_an_interruption(folder, tmp_path, monkeypatch):
    lines = (folder / "curve.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "step,loss" and [line.split(",")[0] for line in lines[1:]] == ["0", "1", "2"]
    assert all(4 < float(line.split(",")[1]) < 8 for line in lines[1:]), "about log 300 nats"
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1)

    def stop(stage, done, total):
        if (stage, done) == ("training", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TINY.train(tmp_path, seed=0, split="train", progress=stop)
    assert load_file(tmp_path / loop.CHECKPOINT)[loop.LOSSES].shape == (1,)
    TINY.train(tmp_path, seed=0, split="train", progress=silent)
    assert (tmp_path / "curve.csv").read_bytes() == (folder / "curve.csv").read_bytes()
    assert (tmp_path / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("error", ["truth", "ascent"])
def test_a_control_differs_in_its_error_alone(error, folder, tmp_path):
    control = TINY.changed({"error": error})
    assert isinstance(control, PredictiveSpecimen) and control.recipe == TINY.recipe and control.sizes == TINY.sizes
    trained_into(control, tmp_path, seed=0, split="train", progress=silent)
    written = card(tmp_path)
    assert written["specimen"] == f"predictive-{error}" == control.folder.name
    assert written["recipe"]["command"] == f"itinf train predictive -O error={error} --seed 0"
    assert written["data"] == card(folder)["data"]
    assert {layer.correction.error for layer in predictive(str(tmp_path)).model.layers} == {error}
    with pytest.raises(ItinfError, match="another training: specimen"):
        trained_into(TINY, tmp_path, seed=0, split="train", progress=silent)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 3}, "the option 'depth' to train with; it has only error"),
        ({"error": "up"}, "'up'; expected prediction"),
    ],
)
def test_other_options_to_train_with_are_refused(options, message):
    with pytest.raises(ItinfError, match=message):
        PREDICTIVE.changed(options)


def test_the_command_line_trains_a_control(tmp_path, monkeypatch, command):
    monkeypatch.setattr("itinf.registry.specimen", lambda name, **options: TINY.changed(options))
    monkeypatch.chdir(tmp_path)
    code, printed = command("train", "predictive", "-O", "error=truth", "--device", "cpu")
    assert code == 0 and "trained/predictive-truth" in printed
    assert card(tmp_path / "trained" / "predictive-truth")["specimen"] == "predictive-truth"


def test_the_command_line_scores_a_control(folder, monkeypatch, command):
    bits = [1.6, 1.5, 1.5]
    monkeypatch.setattr("itinf.registry.specimen", lambda name, **options: TINY.changed(options))
    monkeypatch.setattr(PredictiveSpecimen, "_pairs", lambda *_: 1.7)
    monkeypatch.setattr(train_predictive, "bits_per_byte_of_each", lambda *_, **__: (bits, 99))
    words = ["evaluate", "predictive", "-O", "error=truth", "--weights", str(folder)]
    code, printed = command(*words)
    assert code == 1 and "predictive-truth" in printed and "< 1.700 (counts of" in printed
    assert "1.500 over 99 < 1.500 (state 1) missed" in printed
    bits[2] = 1.4
    assert command(*words)[0] == 0


def test_a_specimen_without_options_says_so():
    with pytest.raises(ItinfError, match="gpt2 takes no options; given error"):
        itinf.registry.specimen("gpt2", error="truth")


def test_the_gpt2_beside_it_is_trained_alike():
    assert PREDICTIVE_GPT2.recipe == PREDICTIVE.recipe and not PREDICTIVE.recipe.muon
    ours, theirs = PREDICTIVE._config(), PREDICTIVE_GPT2._config()
    assert (ours.vocab_size, ours.n_positions, ours.depth) == (theirs.vocab_size, theirs.n_positions, theirs.n_layer)
    model = PREDICTIVE_GPT2._family.model(theirs)
    (optimizer,) = train._optimizers(model, PREDICTIVE_GPT2.recipe)
    assert isinstance(optimizer, torch.optim.AdamW) and optimizer.defaults["lr"] == 3e-3
    assert len(optimizer.param_groups[0]["params"]) == len(list(model.parameters()))
    sizes = [sum(p.numel() for p in made.parameters()) for made in (PREDICTIVE._family.model(ours), model)]
    assert sizes == [789_408, 1_088_256]
