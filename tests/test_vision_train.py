"""Training image specimens: the stream of glyphs, what is written, and that an interruption changes nothing."""

import shutil
import tomllib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from itinf import ItinfError
from itinf.data.clusters import silent
from itinf.training import loop
from itinf.training.recipe import Recipe, optimizer
from vision import glyphs, train
from vision.cifar_resnet import cifar_resnet
from vision.glyphs import TRAIN_ITEMS, Glyphs
from vision.train import HELD_OUT, INCEPTION, ITERATIVE, PLAIN_ISOTROPIC, RESNET, RESNET_ISOTROPIC
from vision.transforms import whole

STEPS = 4
TINY = replace(RESNET, make=lambda weights: cifar_resnet(weights, 8, classes=46), recipe=Recipe(images=33, batch=8))
WEIGHTS, CHECKPOINT = "model.safetensors", loop.CHECKPOINT


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(train, "SCORED", 10)


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


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder, and the scores that training it gave."""
    out = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "SCORED", 10)
        return out, TINY.train(out, seed=0, split="train", progress=silent)


def weights(folder):
    return (folder / WEIGHTS).read_bytes()


def card(folder):
    return tomllib.loads((folder / "card.toml").read_text(encoding="utf-8"))


def stream(split="train", seed=0):
    return train._Stream(split, seed, 32)


def test_the_folder_holds_weights_and_a_card(trained):
    out, scores = trained
    assert sorted(path.name for path in out.iterdir()) == ["card.toml", WEIGHTS]
    for name, value in load_file(out / WEIGHTS).items():
        assert value.dtype == (torch.float16 if value.ndim > 1 else torch.float32), name
    written = card(out)
    assert (written["specimen"], written["split"], written["seed"]) == ("resnet", "train", 0)
    assert written["recipe"]["steps"] == STEPS and written["recipe"]["batch"] == 8
    assert written["recipe"]["command"] == "itinf train resnet --split train --seed 0"
    assert written["data"] == stream().note()
    assert list(written["scores"]) == [score.what for score in scores]
    assert list(written["scores"].values()) == pytest.approx([score.value for score in scores], abs=1e-4)
    assert set(written["bounds"].values()) == {0.9}
    assert TINY.evaluate(out, split="train", progress=silent) == scores


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A folder whose training was interrupted at its third step, resumed, and interrupted again while scored."""
    out, again = tmp_path_factory.mktemp("interrupted"), Stop("scoring STIX", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "SCORED", 10)
        patch.setattr(loop, "SAVE_SECONDS", -1)
        with pytest.raises(KeyboardInterrupt):
            TINY.train(out, seed=0, split="train", progress=Stop("training", 3))
        assert [path.name for path in out.iterdir()] == [CHECKPOINT]
        with pytest.raises(KeyboardInterrupt):
            TINY.train(out, seed=0, split="train", progress=again)
    assert again.training == [2, 3, 4]
    return out


def test_interrupted_twice_and_resumed(trained, interrupted, tmp_path):
    assert sorted(path.name for path in interrupted.iterdir()) == [CHECKPOINT, WEIGHTS]
    out, last = shutil.copytree(interrupted, tmp_path / "copy"), Stop("nowhere", 0)
    assert TINY.train(out, seed=0, split="train", progress=last) == trained[1]
    assert last.training == [STEPS]
    assert weights(out) == weights(interrupted) == weights(trained[0])
    assert card(out)["data"] == card(trained[0])["data"]
    assert not (out / CHECKPOINT).exists()


def test_what_half_precision_keeps(interrupted):
    full = {name[6:]: v for name, v in load_file(interrupted / CHECKPOINT).items() if name.startswith("model/")}
    written = load_file(interrupted / WEIGHTS)
    assert full.keys() - written.keys() == {name for name in full if name.endswith("num_batches_tracked")}
    opened = TINY.make(str(interrupted / WEIGHTS)).model
    assert not opened.training
    for name, value in written.items():
        assert torch.equal(value, full[name].to(value.dtype))
        torch.testing.assert_close(opened.state_dict()[name], full[name], rtol=2**-11, atol=2**-25)


def test_another_seed_starts_and_sees_another(trained, tmp_path):
    TINY.train(tmp_path, seed=1, split="train", progress=silent)
    first, second = load_file(trained[0] / WEIGHTS), load_file(tmp_path / WEIGHTS)
    assert not any(torch.equal(first[name], second[name]) for name in first)
    hashes = [card(folder)["data"]["pixels_of_the_first_1000"] for folder in (trained[0], tmp_path)]
    assert hashes[0] != hashes[1]


def test_training_moves_what_is_trained(trained):
    before = TINY.make("random:0").model.state_dict()
    assert not any(torch.equal(before[name].to(v.dtype), v) for name, v in load_file(trained[0] / WEIGHTS).items())


def test_no_steps_leave_the_seeds_own_initialisation(tmp_path):
    replace(TINY, recipe=Recipe(images=0)).train(tmp_path, seed=5, split="train", progress=silent)
    start = TINY.make("random:5").model.state_dict()
    assert all(torch.equal(v, start[name].to(v.dtype)) for name, v in load_file(tmp_path / WEIGHTS).items())


def test_the_optimizer_decays_kernels_alone():
    model = TINY.make(None).model
    decay = {p: group["weight_decay"] for group in optimizer(model, TINY.recipe).param_groups for p in group["params"]}
    assert decay == {p: TINY.recipe.weight_decay * (p.ndim > 1) for p in model.parameters()}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, TRAIN_ITEMS + 20), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_an_image_is_the_same_in_every_batch(start, counts):
    images, labels = STREAM.batch(start, sum(counts))
    for count in counts:
        part, its = STREAM.batch(start, count)
        assert torch.equal(part, images[:count]) and torch.equal(its, labels[:count])
        start, images, labels = start + count, images[count:], labels[count:]


STREAM = stream()


def test_every_round_is_of_other_images():
    across, _ = STREAM.batch(TRAIN_ITEMS - 2, 4)
    assert torch.equal(across[:2], STREAM.batch(TRAIN_ITEMS - 2, 2)[0])
    assert torch.equal(across[2:], STREAM.batch(TRAIN_ITEMS, 2)[0])
    assert (across[2:] - STREAM.batch(0, 2)[0]).abs().amax((1, 2, 3)).min() > 0.1


def test_images_are_prepared_as_studies_prepare_them():
    images, labels = STREAM.batch(5, 3)
    source = Glyphs("train", 1, 32, lambda image: whole(image, 32))
    for i in range(3):
        torch.testing.assert_close(images[i], source[5 + i][0])
        assert labels[i] == source[5 + i][1]


def test_no_round_of_any_seed_is_what_studies_measure():
    rounds = [stream(seed=seed).round(n).seed for seed in (0, 1, 2) for n in (0, 1, 8)]
    assert len(set(rounds)) == 9 and 0 not in rounds
    studied = Glyphs("train", 0, 32, None)
    seen = {STREAM.round(0).pixels(i)[0].tobytes() for i in range(200)}
    assert len(seen) == 200 and not seen & {studied.pixels(i)[0].tobytes() for i in range(200)}


@pytest.mark.parametrize("split", HELD_OUT)
def test_no_face_is_both_trained_on_and_scored(split, trained, monkeypatch):
    drawn, mask = set(), glyphs._mask
    monkeypatch.setattr(glyphs, "_mask", lambda face, *rest: (drawn.add(face), mask(face, *rest))[1])
    monkeypatch.setattr(train, "SCORED", 60)
    stream(split).batch(0, 200)
    taught = set(drawn)
    drawn.clear()
    scores = TINY.evaluate(trained[0], split=split, progress=silent)
    assert not taught & drawn
    assert len(taught | drawn) == (20 if split == "train" else 16)
    if split == "train-without-cm":
        assert drawn == {"cmr10", "cmb10", "cmss10", "cmtt10"}
        assert [score.bound for score in scores] == [0.85]


def rigged(knows):
    """``make`` of a model that gives the label of a held-out image where ``knows(family, i)``, and else the next."""
    answers = {}
    for family, split in HELD_OUT["train"].items():
        data = Glyphs(split, 0, 32, lambda image: whole(image, 32))
        for i in range(train.SCORED):
            image, label = data[i]
            answers[image.numpy().tobytes()] = int(label) if knows(family, i) else (int(label) + 1) % 46

    def model(images):
        return torch.eye(46)[[answers[np.ascontiguousarray(image).tobytes()] for image in images.numpy()]]

    return lambda _: SimpleNamespace(model=model)


@pytest.mark.parametrize("scored", [20, 230])  # within one chunk, and over the edge of one
def test_a_score_is_the_share_of_right_answers(scored, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "SCORED", scored)
    right = {"DejaVu": scored, "STIX": 3, "Computer Modern": 0}
    calls = []
    knowing = replace(TINY, make=rigged(lambda family, i: i >= scored - right[family]))
    scores = knowing.evaluate(tmp_path, split="train", progress=lambda *call: calls.append(call))
    assert [score.value for score in scores] == [count / scored for count in right.values()]
    assert all(score.items == scored and score.bound == 0.9 for score in scores)
    assert [score.reached for score in scores] == [True, False, False]
    for family, score in zip(right, scores, strict=True):
        assert family in score.what and all(face in score.what for face in glyphs.HELD_OUT[family])
        assert (f"scoring {family}", scored, scored) in calls


def test_a_specimen_without_gates_has_no_bounds(trained):
    scores = replace(TINY, gates=()).evaluate(trained[0], split="train", progress=silent)
    assert [score.bound for score in scores] == [None] * 3 and all(score.reached for score in scores)


SHIPPED = [RESNET, RESNET_ISOTROPIC, ITERATIVE, PLAIN_ISOTROPIC, INCEPTION]


def test_the_iterative_specimen_and_its_twin_differ_in_two_things_alone():
    assert replace(ITERATIVE.recipe, deep_supervision=False) == RESNET_ISOTROPIC.recipe
    one, other = (
        {name: value.shape for name, value in specimen.make(None).model.state_dict().items()}
        for specimen in (ITERATIVE, RESNET_ISOTROPIC)
    )
    assert one == other
    counts = [sum(p.numel() for p in s.make(None).model.parameters()) for s in (ITERATIVE, RESNET_ISOTROPIC)]
    assert counts[1] - counts[0] == 9 * 2 * 32 * 32 * 9, "nine blocks' kernels"


@pytest.mark.parametrize("specimen", SHIPPED, ids=lambda s: s.name)
def test_shipped_specimens_fit_their_data(specimen):
    network = specimen.make("random")
    images, _ = train._Stream("train", 0, specimen.size).batch(0, 2)
    assert network.name == specimen.name == specimen.folder.name
    assert glyphs.glyphs(specimen.data.partition(":")[2] or None, network)[0][0].shape == images.shape[1:]
    with torch.no_grad():
        assert network.model(images).shape == (2, 46)


@pytest.mark.parametrize("split", ["test", "train-witout-cm"])
def test_other_splits_are_refused_before_anything_is_done(split, tmp_path):
    with pytest.raises(ItinfError, match=f"resnet is trained on the split train or train-without-cm; given '{split}'"):
        TINY.train(tmp_path, seed=0, split=split, progress=silent)
    with pytest.raises(ItinfError, match=f"given '{split}'"):
        TINY.evaluate(tmp_path, split=split, progress=silent)
    assert not any(tmp_path.iterdir())
