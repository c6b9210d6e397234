"""Image folders and CIFAR-10: which files, which split, and which of the head's outputs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights

from itinf import Block, Data, ItinfError, Network
from itinf.data.clusters import keyed_order, load_batch
from vision.cifar_resnet import CIFAR10
from vision.images import cifar10, head_indices, images

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def to_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 255


def image_network(outputs: int | None, classes: Sequence[str] | None = None) -> Network:
    model = nn.Sequential(nn.Identity(), nn.Linear(3, outputs or 3))
    return Network(
        model,
        [Block("0")],
        layout="n c h w",
        head=model[1] if outputs else lambda rows: model[1](rows),
        pool=lambda h: h.mean((2, 3)),
        prepare=to_tensor,
        classes=classes,
        name="net",
    )


def token_network() -> Network:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Identity(), nn.Linear(4, 9))
    return Network(model, [Block("1")], layout="n t c", unit="token", head=model[2], name="words")


def painted(folder: Path, name: str, mode: str = "RGB") -> None:
    """One image per class folder, of the class's colour."""
    for colour, value in COLOURS.items():
        (folder / colour).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), value).convert(mode).save(folder / colour / name)


def test_pictures_and_targets(tmp_path):
    painted(tmp_path, "a.png")
    painted(tmp_path, "b.PNG", mode="RGBA")
    (tmp_path / "red" / "notes.txt").write_text("no image")
    (tmp_path / ".cache").mkdir()
    data = images(str(tmp_path), image_network(3), seed=1, length=None)
    assert isinstance(data, Data) and len(data) == 6
    for i in range(len(data)):
        picture, target = data[i]
        colour = data.key(i).split("/")[0]
        assert torch.equal(picture[:, 0, 0] * 255, torch.tensor(COLOURS[colour], dtype=torch.float32))
        assert target == ["blue", "green", "red"].index(colour)
    assert sorted(map(data.key, range(6)))[:2] == ["blue/a.png", "blue/b.PNG"]
    assert data.name == f"images:{tmp_path.name}/all"
    batch = load_batch(data, keyed_order(data, 4, seed=0).indices)
    assert batch.inputs.shape == (4, 3, 4, 4) and batch.targets.dtype == torch.int64


def test_split_folders(tmp_path):
    painted(tmp_path / "train", "a.png")
    painted(tmp_path / "val", "b.png")
    net = image_network(3)
    train, test = images(str(tmp_path), net, split="train"), images(str(tmp_path), net, split="test")
    assert train.key(0) == "blue/a.png" and test.key(0) == "blue/b.png"
    assert (train.note["split"], test.note["split"]) == ("train", "val")
    assert train.name != test.name
    painted(tmp_path / "test", "c.png")
    assert images(str(tmp_path), net).key(0) == "blue/c.png"


def test_a_class_may_be_called_train(tmp_path):
    painted(tmp_path, "a.png")
    (tmp_path / "red").rename(tmp_path / "train")
    assert images(str(tmp_path), image_network(3)).note["classes"] == {"blue": 0, "green": 1, "train": 2}


def test_pictures_are_opened_late(tmp_path):
    painted(tmp_path, "a.png")
    broken = tmp_path / "red" / "a.png"
    broken.write_bytes(broken.read_bytes()[:40])
    data = images(str(tmp_path), image_network(3))
    with pytest.raises(ItinfError, match=r"red.a\.png cannot be read as an image"):
        data[2]


NAMES = ["cat", "dog"]


@pytest.mark.parametrize(
    ("folders", "outputs", "classes", "expected", "rule"),
    [
        (["b", "a", "c"], 3, None, [0, 1, 2], "alphabetical order"),
        (["b", "a", "c"], None, None, [0, 1, 2], "alphabetical order"),
        (["7", "12"], 1000, None, [12, 7], "number, counted from 0"),
        (["1", "0"], 2, None, [0, 1], "number, counted from 0"),
        (["1", "0"], 10, list("abcdefghij"), [0, 1], "number, counted from 0"),
        ([f"{i:02}" for i in range(11)], 11, None, list(range(11)), "number, counted from 0"),
        ([f"{i:02}" for i in range(1, 11)], 10, None, list(range(10)), "alphabetical order"),  # both orders agree
        (["1", "2", "3"], 3, None, [0, 1, 2], "alphabetical order"),
        (["tabby_cat", "Gold Fish"], 4, ["x", "goldfish", "y", "Tabby Cat"], [1, 3], None),
        (["gold-fish"], 2, ["x", "gold fish"], [1], None),
        (["cat", "dog"], 2, ["dog", "cat"], [1, 0], None),  # names before alphabet
        (["cardigan", "Cardigan"], 2, ["cardigan", "Cardigan"], [1, 0], None),  # a garment and a dog
        (["2", "1"], 2, ["2", "1"], [1, 0], None),  # names before numbers
        (["plane", "car", "ship"], 10, CIFAR10, [1, 0, 8], None),  # as in PyTorch's tutorial
        (["n02123045", "n01440764"], 1000, None, [0, 281], None),  # tench, tabby cat
    ],
)
def test_head_indices(folders, outputs, classes, expected, rule):
    found, note = head_indices(folders, image_network(outputs, classes))
    assert list(found) == sorted(folders) and list(found.values()) == expected
    assert note["classes"] == found and note.get("classes_by") == rule
    assert ("doubts" in note) == (rule == "alphabetical order")


def test_names_of_imagenet():
    """Its own names, WordNet ids and WordNet's synonyms; ``crane`` is two of its classes, and one of its names."""
    named = image_network(1000, ResNet18_Weights.DEFAULT.meta["categories"])
    found, _ = head_indices(["tench", "n01443537", "Carcharodon carcharias", "crane"], named)
    assert found == {"tench": 0, "n01443537": 1, "Carcharodon carcharias": 2, "crane": 517}


@pytest.mark.parametrize(
    ("folders", "outputs", "classes", "words"),
    [
        (["a", "b"], 3, None, "2 classes were given.*net has 3 outputs and knows no class names"),
        (["a", "b", "c", "d"], 3, None, "4 classes were given"),
        (["n01440764", "n01443537"], 2, None, "WordNet ids only for 1,000 outputs"),
        (["n01", "n02"], 2, NAMES, "does not know 'n01', 'n02'"),
        (
            ["airplan", "automobiles"],
            10,
            CIFAR10,
            r"'airplan' \(nearest 'airplane'\).*'automobiles' \(nearest 'automobile",
        ),
        (["cat", "cow"], 3, ["cat", "dog", "hen"], r"does not know 'cow'.*option classes=FILE"),
        (["cat", "DOG"], 4, ["cat", "dog", "Dog", "hen"], r"two outputs have the name 'DOG' \(outputs \[1, 2\]\)"),
        (["plane", "airplane"], 10, CIFAR10, "two classes have the same output"),
        (["0", "3"], 3, None, "numbers of outputs, counted from 0"),
        ([str(i) for i in range(1, 11)], 10, CIFAR10, "the count may begin at 1"),
        ([str(i) for i in range(1, 10)], 10, CIFAR10, "one output may be missing or the count may begin at 1"),
        ([str(i) for i in range(1, 11)], 10, None, "1, 10, 2.*pad them with zeros"),
        ([str(i) for i in range(11)], 11, None, "0, 1, 10.*pad them with zeros"),
        (["0", "90", "270"], 4, None, "Expected numbers of outputs"),
        (["0", "90", "270"], 3, None, "pad them with zeros"),
        (["1", "01"], 2, NAMES, "does not know '01', '1'"),
    ],
)
def test_classes_that_do_not_fit(folders, outputs, classes, words):
    with pytest.raises(ItinfError, match=words):
        head_indices(folders, image_network(outputs, classes))


def test_refused_folders(tmp_path):
    net = image_network(3)
    (tmp_path / "photographs").mkdir()
    with pytest.raises(ItinfError, match=r"photograps'.*Did you mean photographs"):
        images(str(tmp_path / "photograps"), net)
    with pytest.raises(ItinfError, match="photographs has no class folders"):
        images(str(tmp_path / "photographs"), net)
    for name in COLOURS:
        (tmp_path / "photographs" / name).mkdir()
    with pytest.raises(ItinfError, match=r"photographs has no images in 3 of its 3 class folders.*'blue'"):
        images(str(tmp_path / "photographs"), net)
    with pytest.raises(ItinfError, match="no split 'dev'; expected one of train, val, test"):
        images(str(tmp_path), net, split="dev")
    with pytest.raises(ItinfError, match="images:FOLDER"):
        images(None, net)
    painted(tmp_path / "split" / "test", "a.png")
    with pytest.raises(ItinfError, match=r"has only test; .*'train'"):
        images(str(tmp_path / "split"), net, split="train")


def test_refused_networks(tmp_path):
    painted(tmp_path, "a.png")
    with pytest.raises(ItinfError, match="images holds images, but words reads tokens"):
        images(str(tmp_path), token_network())
    bare = image_network(3)
    bare.prepare = None
    with pytest.raises(ItinfError, match="net has no prepare"):
        images(str(tmp_path), bare)


class Published:
    """Stands in for torchvision's CIFAR10, whose files only its own checksums admit."""

    classes = ("airplane", "cat", "truck")

    def __init__(self, root: Path, train: bool, download: bool) -> None:
        self.asked = (str(root), train, download)

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.new("RGB", (32, 32), (index, 0, 0)), index


def test_cifar10(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Published)
    data = cifar10(str(tmp_path), image_network(4, ["Truck", "cat", "frog", "air plane"]), split="train")
    assert data.source.asked == (str(tmp_path), True, False)
    assert [int(data[i][1]) for i in range(3)] == [3, 1, 0]
    assert (data.name, data.key(2), len(data)) == ("cifar10/train", "train/00002", 3)
    root, train, download = cifar10(None, image_network(3)).source.asked
    assert Path(root).is_absolute() and not train and download


def test_cifar10_refused(tmp_path):
    with pytest.raises(ItinfError, match=r"nowhere.*cifar-10-batches-py"):
        cifar10(str(tmp_path / "nowhere"), image_network(10))
    with pytest.raises(ItinfError, match="cifar10 has no split 'val'"):
        cifar10(str(tmp_path), image_network(10), split="val")
    with pytest.raises(ItinfError, match="words reads tokens"):
        cifar10(str(tmp_path), token_network())
