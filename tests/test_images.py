"""Image folders and CIFAR-10: which files, which split, and which of the head's outputs."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from itinf import Block, Data, ItinfError, Network
from itinf.data.clusters import keyed_order, load_batch
from vision.images import cifar10, head_indices, images

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def to_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 255


def image_network(outputs: int, classes: list[str] | None = None) -> Network:
    model = nn.Sequential(nn.Identity(), nn.Linear(3, outputs))
    return Network(
        model,
        [Block("0")],
        layout="n c h w",
        head=model[1],
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


@pytest.mark.parametrize(
    ("folders", "outputs", "classes", "expected"),
    [
        (["b", "a", "c"], 3, None, [0, 1, 2]),
        (["7", "12"], 1000, None, [12, 7]),
        (["tabby_cat", "Gold Fish"], 4, ["x", "goldfish", "y", "Tabby Cat"], [1, 3]),
        (["cat", "dog"], 2, ["dog", "cat"], [1, 0]),  # names before alphabet
        (["n01", "n02"], 2, ["dog", "cat"], [0, 1]),
        (["1", "0"], 2, None, [0, 1]),
    ],
)
def test_head_indices(folders, outputs, classes, expected):
    found = head_indices(folders, image_network(outputs, classes))
    assert list(found) == sorted(folders) and list(found.values()) == expected


@pytest.mark.parametrize(
    ("folders", "outputs", "classes"),
    [
        (["a", "b"], 3, None),
        (["a", "b", "c", "d"], 3, None),
        (["0", "3"], 3, None),  # 3 is no output
        (["cat", "cow"], 3, ["cat", "dog", "hen"]),
        (["cat", "dog"], 4, ["cat", "dog", "Dog", "hen"]),  # which dog?
    ],
)
def test_classes_that_do_not_fit(folders, outputs, classes):
    with pytest.raises(ItinfError) as caught:
        head_indices(folders, image_network(outputs, classes))
    message = str(caught.value)
    assert f"{len(folders)} classes were given" in message and f"the head of net has {outputs}" in message
    assert "alphabetical" in message and f"0 … {outputs - 1}" in message and "class names" in message


def test_numbers_out_of_order():
    with pytest.raises(ItinfError, match=r"0, 1, 10.*pad them with zeros"):
        head_indices([str(i) for i in range(11)], image_network(11))
    assert head_indices([f"{i:02}" for i in range(11)], image_network(11)) == {f"{i:02}": i for i in range(11)}


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
