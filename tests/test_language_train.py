"""Training the language specimen: a standard Hugging Face folder, and that an interruption changes nothing."""

import shutil
import tomllib

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

import itinf
from itinf import ItinfError
from itinf.data.clusters import silent
from itinf.training import loop
from language import bpe, train
from language.compression import bits_per_byte, xz_bits_per_byte
from language.train import GPT2, ITERATIVE_GPT2, LanguageSpecimen, Recipe

SIZES = {"n_layer": 2, "n_embd": 16, "n_head": 2, "vocab_size": 300, "n_positions": 16}
STEPS = 4
TINY = LanguageSpecimen("gpt2", tuple(SIZES.items()), Recipe(tokens=STEPS * 2 * 16 + 5, batch=2))
TEXTS = {
    "train": {f"m{i}": f"def plus{i}(value, other={i}):\n    return value + other * {i * i}\n" for i in range(30)},
    "test": {f"n{i}": f"def minus{i}(value):\n    return value - {i}  # naïve, 日本\n" for i in range(5)},
}
CHECKPOINT = loop.CHECKPOINT


@pytest.fixture(scope="module", autouse=True)
def little():
    """Few short modules in place of the standard library's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "modules", TEXTS.__getitem__)
        patch.setattr(train, "SCORED", 3)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder, and the scores that training it gave."""
    out = tmp_path_factory.mktemp("trained")
    return out, TINY.train(out, seed=0, split="train", progress=silent)


@pytest.fixture
def text():
    return TEXTS["test"]["n4"]


class Stop:
    """A progress that interrupts at one of its calls."""

    def __init__(self, stage, done):
        self.id, self.training = (stage, done), []

    def __call__(self, stage, done, total):
        if stage == "training":
            assert total == STEPS
            self.training.append(done)
        if (stage, done) == self.id:
            raise KeyboardInterrupt


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def card(folder):
    return tomllib.loads((folder / "card.toml").read_text(encoding="utf-8"))


def fresh(seed=0):
    torch.manual_seed(seed)
    return GPT2LMHeadModel(train._config(TINY.sizes))


def test_transformers_opens_the_folder_as_itinf_does(trained, text):
    folder, _ = trained
    ours = itinf.network("gpt2", weights=str(folder))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    assert type(model) is GPT2LMHeadModel and model.config.to_dict().items() >= SIZES.items()
    assert model.lm_head.weight is model.transformer.wte.weight
    ids = ours.prepare(text)
    assert tokenizer(text).input_ids == ids.tolist() and tokenizer.decode(ids) == text
    assert tokenizer.model_max_length == ours.context == 16
    with torch.no_grad():
        torch.testing.assert_close(ours.model(ids[None, :16]).logits, model(ids[None, :16]).logits)


def test_the_folder_is_what_transformers_writes_and_a_card(trained):
    folder, _ = trained
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "card.toml"} <= names
    assert CHECKPOINT not in names
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.float16}


def test_the_card(trained):
    folder, (score,) = trained
    written = card(folder)
    assert (written["specimen"], written["split"], written["seed"]) == ("gpt2", "train", 0)
    assert (written["recipe"]["steps"], written["recipe"]["batch"]) == (STEPS, 2)
    assert written["recipe"]["command"] == "itinf train gpt2 --seed 0"
    assert written["data"]["name"] == "stdlib/train" and written["data"]["modules"] == 30
    assert written["scores"] == {score.what: pytest.approx(score.value, abs=1e-4)}
    assert written["bounds"] == {score.what: pytest.approx(score.bound, abs=1e-4)}


def test_the_score_is_of_the_first_held_out_modules(trained):
    folder, scores = trained
    text = "".join(TEXTS["test"][name] for name in ("n0", "n1", "n2"))
    bits, tokens = bits_per_byte(itinf.network("gpt2", weights=str(folder)), text)
    (score,) = TINY.evaluate(folder, split="train", progress=silent)
    assert [score] == scores
    assert (score.value, score.items, score.bound, score.better) == (bits, tokens, xz_bits_per_byte(text), "lower")
    assert "3 held-out modules, n0 … n2 (bound: xz -9e)" in score.what


def test_training_learns(trained):
    folder, (score,) = trained
    longer = LanguageSpecimen("gpt2", TINY.sizes, Recipe(tokens=30 * 4 * 16, batch=4))
    (better,) = longer.train(folder.with_name("longer"), seed=0, split="train", progress=silent)
    assert better.value < score.value - 0.1


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A folder whose training was interrupted at its third step, resumed, and interrupted again while scored."""
    out, again = tmp_path_factory.mktemp("interrupted"), Stop("compressing", 17)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "SAVE_SECONDS", -1)
        with pytest.raises(KeyboardInterrupt):
            TINY.train(out, seed=0, split="train", progress=Stop("training", 3))
    assert [path.name for path in out.iterdir()] == [CHECKPOINT]
    with pytest.raises(KeyboardInterrupt):
        TINY.train(out, seed=0, split="train", progress=again)
    assert again.training == [2, 3, 4]
    return out


def test_interrupted_twice_and_resumed(trained, interrupted, tmp_path):
    assert CHECKPOINT in {path.name for path in interrupted.iterdir()} and not (interrupted / "card.toml").exists()
    out, last = shutil.copytree(interrupted, tmp_path / "copy"), Stop("nowhere", 0)
    assert TINY.train(out, seed=0, split="train", progress=last) == trained[1]
    assert last.training == [STEPS]
    for path in trained[0].iterdir():
        if path.name != "card.toml":
            assert (out / path.name).read_bytes() == path.read_bytes(), path.name
    assert card(out)["data"] == card(trained[0])["data"]
    assert not (out / CHECKPOINT).exists()


def test_every_weight_is_trained_and_kept_in_half_precision(interrupted):
    full = {name[6:]: v for name, v in load_file(interrupted / CHECKPOINT).items() if name.startswith("model/")}
    written, before = load_file(interrupted / "model.safetensors"), fresh().state_dict()
    assert full.keys() - written.keys() == {"lm_head.weight"}  # tied
    for name, value in written.items():
        assert torch.equal(value, full[name].half())
        assert not torch.equal(full[name], before[name]), name


def test_another_seed_is_another_network_of_the_same_ids(trained, tmp_path):
    TINY.train(tmp_path, seed=1, split="train", progress=silent)
    assert weights(tmp_path) != weights(trained[0])
    assert (tmp_path / "tokenizer.json").read_bytes() == (trained[0] / "tokenizer.json").read_bytes()
    assert card(tmp_path)["data"] == card(trained[0])["data"]


def windows(out, seed, order, monkeypatch):
    """Step -> what the model reads at it, when the steps are asked for in that order."""
    seen = {}

    def trainer(model, optimizers, loss_at, *_, **__):
        for step in order:
            with model.register_forward_pre_hook(lambda _, given, at=step: seen.update({at: given[0]})):
                loss_at(step)
        return 0.0

    monkeypatch.setattr(train, "train", trainer)
    TINY.train(out, seed=seed, split="train", progress=silent)
    return seen


def test_the_step_and_the_seed_alone_decide_the_windows(tmp_path, monkeypatch):
    first, again, other = (
        windows(tmp_path, seed, order, monkeypatch) for seed, order in ((0, range(4)), (0, (3, 1)), (1, range(4)))
    )
    assert all(torch.equal(again[step], first[step]) for step in again)
    read = [tuple(window.tolist()) for batch in (*first.values(), *other.values()) for window in batch]
    assert len(set(read)) == len(read) == 2 * 4 * 2
    texts = list(TEXTS["train"].values())
    ids = train._stream(bpe.learn(texts, 300), texts).tolist()
    assert set(read) <= {tuple(ids[i : i + 16]) for i in range(len(ids))}


def test_no_steps_leave_the_seeds_own_initialisation(tmp_path):
    untrained = LanguageSpecimen("gpt2", TINY.sizes, Recipe(tokens=0))
    untrained.train(tmp_path, seed=5, split="train", progress=silent)
    start = fresh(5).state_dict()
    assert all(torch.equal(v, start[name].half()) for name, v in load_file(tmp_path / "model.safetensors").items())


def test_the_stream_is_every_text_behind_an_end():
    texts = list(TEXTS["train"].values())
    tokenizer = bpe.learn(texts, 300)
    ids = train._stream(tokenizer, texts)
    assert ids.dtype == torch.int64
    decoded = tokenizer.decode(ids.tolist(), skip_special_tokens=False)
    assert decoded.split(bpe.END_OF_TEXT) == ["", *texts]


def test_the_optimizers_hold_every_parameter_once():
    model = fresh()
    muon, adam = train._optimizers(model, TINY.recipe)
    held = [p for optimizer in (muon, adam) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, model.parameters()))
    assert model.lm_head.weight is model.transformer.wte.weight
    assert any(p is model.lm_head.weight for p in adam.param_groups[0]["params"])
    inside = {f"{kind}.weight" for kind in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")}
    wanted = {id(block.get_parameter(name)) for block in model.transformer.h for name in inside}
    assert {id(p) for p in muon.param_groups[0]["params"]} == wanted
    assert (muon.defaults["lr"], adam.defaults["lr"]) == (TINY.recipe.learning_rate, TINY.recipe.other_learning_rate)


@pytest.mark.parametrize("specimen", [GPT2, ITERATIVE_GPT2], ids=lambda specimen: specimen.name)
def test_the_shipped_sizes_make_a_gpt2_without_dropout(specimen):
    config = train._config(specimen.sizes, specimen.share)
    assert isinstance(config, transformers.GPT2Config)
    assert config.n_embd % config.n_head == 0 and config.bos_token_id == config.eos_token_id == 0
    assert config.resid_pdrop == config.embd_pdrop == config.attn_pdrop == 0
    assert specimen.folder.name == specimen.name
    assert config.model_type == ("gpt2-shared" if specimen is ITERATIVE_GPT2 else "gpt2")


@pytest.mark.parametrize("split", ["test", "val"])
def test_other_splits_are_refused_before_anything_is_done(split, tmp_path):
    with pytest.raises(ItinfError, match=f"gpt2 is trained on the split train; given '{split}'"):
        TINY.train(tmp_path, seed=0, split=split, progress=silent)
    with pytest.raises(ItinfError, match=f"given '{split}'"):
        TINY.evaluate(tmp_path, split=split, progress=silent)
    assert not any(tmp_path.iterdir())
