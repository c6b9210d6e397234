"""Scores and cards of specimens, and what every registered specimen has to have."""

import inspect
import math
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itinf import ItinfError, registry
from itinf.data.clusters import silent
from itinf.lock import kept
from itinf.training.specimen import CARD, Score, Specimen, finished, read_card, trained, write_card

SPECIMENS = list(registry.names("specimens"))
SCORES = [
    Score('top-1 accuracy, "STIX" (é.ttf)', 0.912345, 2000, 0.9),
    Score("bits per byte", 1.23456, 40_000, 1.5, "lower"),
    Score("only told", 7.0, 3),
]
finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("better", "below", "at", "above"), [("higher", False, True, True), ("lower", True, False, False)]
)
def test_a_bound_has_two_sides(better, below, at, above):
    reached = [Score("x", value, 1, 0.9, better).reached for value in (math.nextafter(0.9, 0), 0.9, 0.91)]
    assert reached == [below, at, above]
    assert not Score("x", math.nan, 1, 0.9, better).reached


@given(finite, finite)
def test_a_score_lies_on_one_side(value, bound):
    assert Score("x", value, 1, bound).reached is not Score("x", value, 1, bound, "lower").reached
    assert Score("x", value, 1).reached and Score("x", value, 1, None, "lower").reached


def test_a_bound_of_zero_is_a_bound():
    assert not Score("x", -1.0, 1, 0.0).reached


def test_a_card_reads_back(tmp_path):
    tables = {"data": {"name": "glyphs:32/train", "faces": ["A b", "c"]}, "recipe": {"rate": 0.1, "images": 240_000}}
    folder = tmp_path / "not yet there"
    write_card(folder, "resnet", "train", 3, 90.0, SCORES, **tables)
    card = read_card(folder)
    circumstances = card.pop("circumstances")
    assert card == {
        "specimen": "resnet",
        "itinf": version("itinf"),
        "split": "train",
        "seed": 3,
        "minutes": 1.5,
        **tables,
        "scores": {SCORES[0].what: 0.9123, "bits per byte": 1.2346, "only told": 7.0},
        "bounds": {SCORES[0].what: 0.9, "bits per byte": 1.5},
    }
    assert circumstances["threads"] >= 1 and circumstances["versions"]["torch"] == version("torch")


def test_a_missing_card_names_the_folder(tmp_path):
    file = tmp_path / "model.safetensors"
    file.touch()
    for folder in tmp_path, tmp_path / "nowhere", file:
        with pytest.raises(ItinfError, match=f"has no {CARD}; expected a folder that `itinf train`") as refusal:
            read_card(folder)
        assert str(folder) in str(refusal.value)


@pytest.mark.parametrize("content", [b"specimen = ", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_broken_card_names_the_file(content, tmp_path):
    (tmp_path / CARD).write_bytes(content)
    for call in (lambda: read_card(tmp_path), lambda: finished(tmp_path, "resnet", "train", 0)):
        with pytest.raises(ItinfError, match="is not TOML: ") as refusal:
            call()
        assert str(tmp_path / CARD) in str(refusal.value)


def test_finished_means_this_training(tmp_path):
    asked = {"specimen": "resnet", "split": "train", "seed": 0}
    assert not finished(tmp_path / "nowhere", **asked)
    assert not finished(tmp_path, **asked)
    write_card(tmp_path, **asked, seconds=1.0, scores=[])
    assert finished(tmp_path, **asked)
    for key, other in ("specimen", "gpt2"), ("split", "train-without-cm"), ("seed", 1):
        with pytest.raises(ItinfError, match=f"{key} is {other!r} here and {asked[key]!r} there.*--out") as refusal:
            finished(tmp_path, **asked | {key: other})
        assert str(tmp_path) in str(refusal.value)
    (tmp_path / CARD).write_text('specimen = "resnet"\n', encoding="utf-8")
    with pytest.raises(ItinfError, match="split is 'train' here and None there"):
        finished(tmp_path, **asked)


class Fake:
    """Trains in no time; counts how often."""

    name, times = "fake", 0

    def train(self, out, *, seed, split, device, progress):
        self.times += 1
        (out / "model.safetensors").write_bytes(b"weights")
        (out / "model.safetensors").with_name("tokenizer.json").write_text("{}")
        write_card(out, self.name, split, seed, 1.0, SCORES)
        return SCORES

    def evaluate(self, folder, *, split, progress):
        return SCORES


def test_a_training_is_done_once_and_kept_meanwhile(tmp_path):
    fake, folder, asked = Fake(), tmp_path / "out", {"seed": 0, "split": "train", "progress": silent}
    for _ in range(2):
        assert trained(fake, folder, **asked) == SCORES and fake.times == 1
    with pytest.raises(ItinfError, match="seed is 1 here and 0 there"):
        trained(fake, folder, **asked | {"seed": 1})
    with kept(folder), pytest.raises(ItinfError, match="is in use: process"):
        trained(fake, folder, **asked)
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "tokenizer.json", CARD}


@pytest.mark.parametrize(
    "spoil", [lambda p: p.unlink(), lambda p: p.write_bytes(b"weig"), lambda p: p.write_bytes(b"weirdos")]
)
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_file_of_a_training_is_named(name, spoil, tmp_path):
    fake, asked = Fake(), {"seed": 0, "split": "train", "progress": silent}
    trained(fake, tmp_path, **asked)
    spoil(tmp_path / name)
    with pytest.raises(ItinfError, match=rf"{name} (is not there|has .*)\. Remove .*{CARD} to train again"):
        trained(fake, tmp_path, **asked)
    (tmp_path / CARD).unlink()
    assert trained(fake, tmp_path, **asked) == SCORES and fake.times == 2


def test_there_are_specimens_of_every_kind():
    assert {"resnet", "inception", "gpt2"} <= set(SPECIMENS)


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_specimen_is_what_the_protocol_says(name, tmp_path):
    specimen = registry.specimen(name)
    assert specimen.name == name and specimen.units > 0
    assert specimen.data.partition(":")[0] in registry.names("datasets")
    assert isinstance(specimen.folder, Path) and specimen.folder.name == name
    for method in "train", "evaluate":
        ours, theirs = (inspect.signature(getattr(kind, method)).parameters for kind in (type(specimen), Specimen))
        assert [(p.name, p.kind) for p in ours.values()] == [(p.name, p.kind) for p in theirs.values()]
    with pytest.raises(ItinfError, match=rf"{name} is trained on the split .*train.*'nope'"):
        specimen.train(tmp_path / "out", seed=0, split="nope", progress=silent)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_specimens_network_opens(name):
    network = registry.network(name, "random")
    assert network.name == name and network.blocks


def test_an_unknown_specimen_gives_the_nearest():
    with pytest.raises(ItinfError, match=r"no specimen 'resnett'. Did you mean resnet.*itinf list"):
        registry.specimen("resnett")
    with pytest.raises(ItinfError, match=r"no specimen 'zzz'. Known: .*inception.*resnet"):
        registry.specimen("zzz")
