"""Photographs without labels: their targets are the network's own answers."""

import numpy as np
import pytest
import torch
from PIL import Image

import itinf
from itinf import ItinfError


@pytest.fixture
def folder(tmp_path):
    draw = np.random.default_rng(0)
    for name in ("a.png", "deep/b.png", "deep/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_the_target_is_the_answer_of_the_network_in_eval_mode(folder):
    network = itinf.network("cifar-resnet8", "random:3")
    network.model.train()
    data = itinf.dataset(f"unlabelled:{folder}", network)
    assert [data.key(k) for k in range(len(data))] == ["a.png", "deep/b.png", "deep/c.jpg"]
    found = [int(data[k][1]) for k in range(3)]
    assert network.model.training
    network.model.eval()
    with torch.no_grad():
        images = torch.stack([network.prepare(Image.open(folder / data.key(k))) for k in range(3)])
        assert found == network.model(images).argmax(1).tolist()
    assert data.note["targets"] == "the final answers of cifar-resnet8"


def test_content_is_that_of_the_file(folder):
    data = itinf.dataset(f"unlabelled:{folder}", itinf.network("cifar-resnet8"))
    before = data.content(0)
    Image.new("RGB", (40, 50)).save(folder / "a.png")
    assert data.content(0) != before


def test_folders_without_images_are_refused(tmp_path):
    network = itinf.network("cifar-resnet8")
    with pytest.raises(ItinfError, match="There is no folder"):
        itinf.dataset(f"unlabelled:{tmp_path / 'nowhere'}", network)
    with pytest.raises(ItinfError, match="has no images"):
        itinf.dataset(f"unlabelled:{tmp_path}", network)
