"""Glyphs: classes, faces, determinism, and that what is drawn is what the label says."""

import string
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from numpy.random import Generator, Philox

from itinf import Data, ItinfError
from test_images import image_network, to_tensor, token_network
from vision import glyphs as module
from vision.glyphs import CLASSES, HELD_OUT, SPLITS, TRAINED, Glyphs, draw, glyphs

CHARACTERS = string.ascii_letters + string.digits


@pytest.fixture(scope="module")
def data():
    return glyphs(None, image_network(46))


def test_sixteen_merges_make_46_classes():
    assert len(CLASSES) == 46
    assert sorted("".join(CLASSES)) == sorted(CHARACTERS)
    merged = {frozenset(members) for members in CLASSES if len(members) > 1}
    assert merged == {frozenset("0Oo"), frozenset("1Il"), *(frozenset((c, c.lower())) for c in "CJKMPSUVWXYZ")}


def test_held_out_faces():
    assert not set(SPLITS["train"]) & set(SPLITS["test"])
    assert not set(SPLITS["train-without-cm"]) & set(SPLITS["all-cm"])
    assert {family: len(faces) for family, faces in HELD_OUT.items()} == dict.fromkeys(TRAINED, 2)
    assert len(SPLITS["train"]) + len(SPLITS["test"]) == 20
    assert set(SPLITS["all-cm"]) == {"cmr10", "cmb10", "cmss10", "cmtt10"}
    assert sum((SPLITS[f"test-{family}"] for family in ("dejavu", "stix", "cm")), ()) == SPLITS["test"]
    assert not any(face.startswith("cm") for face in SPLITS["train-without-cm"])
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    assert all((folder / f"{face}.ttf").is_file() for face in SPLITS["train"] + SPLITS["test"])


@pytest.mark.parametrize("face", SPLITS["train"] + SPLITS["test"])
def test_every_face_has_every_character(face):
    """A missing character is drawn as a box or as nothing, the same for all that are missing."""
    masks = {character: module._mask(face, character, 32) for character in CHARACTERS}
    assert all(mask.getextrema()[1] == 255 for mask in masks.values())
    assert len({(mask.size, mask.tobytes()) for mask in masks.values()}) == len(CHARACTERS)


def test_items_do_not_depend_on_others(data):
    again = Glyphs("test", 0, 32, to_tensor)
    alone = again.pixels(77)
    for i in range(60, 80):
        data.pixels(i)
    assert np.array_equal(alone[0], data.pixels(77)[0]) and alone[1] == data.pixels(77)[1]
    assert again.note == data.note


def test_another_seed_split_or_item_is_another_image(data):
    net = image_network(46)
    others = [glyphs(None, net, seed=1), glyphs(None, net, split="train"), glyphs(None, net, split="test-cm")]
    assert len({one.note["pixels"] for one in (data, *others)}) == 4
    assert len({one.key(5) for one in (data, *others)}) == 4
    assert not np.array_equal(data.pixels(5)[0], data.pixels(6)[0])


@pytest.mark.parametrize("split", SPLITS)
def test_the_label_is_of_the_glyph_drawn_last(split, monkeypatch):
    drawn = []

    def noting(face, character, size):
        drawn.append((face, character))
        return mask(face, character, size)

    mask = module._mask
    monkeypatch.setattr(module, "_mask", noting)
    for i in range(200):
        _, label = draw(Generator(Philox(key=i)), SPLITS[split], 32)
        face, character = drawn[-1]
        assert character in CLASSES[label] and face in SPLITS[split]
    assert {face for face, _ in drawn} == set(SPLITS[split])


def test_all_classes_occur(data):
    labels = [data.pixels(i)[1] for i in range(1000)]
    assert set(labels) == set(range(46))  # one missing: p < 1e-7


def test_the_glyph_is_whole_and_strays_are_cut():
    solid = module.Image.new("L", (40, 30), 255)
    for i in range(200):
        inside = np.asarray(module._place(Generator(Philox(key=i)), solid, 32, edge=False)) / 255
        cut = np.asarray(module._place(Generator(Philox(key=i)), solid, 32, edge=True)) / 255
        corners = inside[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.max() == 0 and 100 < inside.sum() < 900
        assert cut.sum() < 0.75 * inside.sum()


def test_the_glyph_stands_out():
    for i in range(300):
        rng = Generator(Philox(key=i))
        back = rng.random(3)
        ink = module._ink(rng, back)
        assert abs(np.array([0.299, 0.587, 0.114]) @ (ink - back)) >= 0.3


def test_items_and_sizes(data):
    assert isinstance(data, Data) and (len(data), data.name, data.key(3)) == (10_000, "glyphs:32/test", "test/0/3")
    picture, target = data[3]
    assert picture.shape == (3, 32, 32) and target.dtype == torch.int64 and 0 <= target < 46
    large = glyphs("64", image_network(46), split="train", length=None)
    assert large[0][0].shape == (3, 64, 64) and len(large) == 40_000
    with pytest.raises(IndexError, match="no item 10000"):
        data[10_000]


@pytest.mark.parametrize("argument", ["big", "8", "9999", "-32", ""])
def test_refused_sizes(argument):
    with pytest.raises(ItinfError, match=f"'{argument}'; expected glyphs:PIXELS"):
        glyphs(argument, image_network(46))


def test_refused():
    with pytest.raises(ItinfError, match=r"net has 10 classes, glyphs has 46.*--option classes=46"):
        glyphs(None, image_network(10))
    with pytest.raises(ItinfError, match="no split 'val'"):
        glyphs(None, image_network(46), split="val")
    with pytest.raises(ItinfError, match="glyphs holds images, but words reads tokens"):
        glyphs(None, token_network())
