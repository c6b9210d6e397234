"""Items with named fields, padding, and inputs that a network cannot read."""

import collections
import dataclasses
import logging

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset
from torchvision.datasets import FakeData, ImageFolder
from torchvision.transforms import ToTensor

import itinf
from itinf import IGNORED, Block, ItinfError, Network
from itinf.data.classes import require_meaning
from itinf.data.items import as_data
from itinf.networks.inputs import run
from test_images import painted
from tiny import VOCABULARY, gpt2, resnet
from vision.cifar_resnet import CIFAR10

DRAW = torch.Generator().manual_seed(0)
IMAGES, LABELS, OTHERS = torch.randn(40, 3, 8, 8, generator=DRAW), torch.arange(40) % 10, torch.arange(40) % 3
IDS = torch.randint(VOCABULARY, (24, 8), generator=DRAW)


@dataclasses.dataclass
class Photo:
    picture: Tensor
    place: int
    kind: int


@dataclasses.dataclass
class Usual:
    pixel_values: Tensor
    label: int


Row = collections.namedtuple("Row", "picture place kind")
Pair = collections.namedtuple("Pair", "picture kind")
Text = collections.namedtuple("Text", "input_ids attention_mask labels")


def loss_of(network, data, **settings):
    run = itinf.probe(network, data, [itinf.Performance()], replicates=4, **settings)
    return run.table.loc[run.table.measure == "loss", "mean"].item(), run


@pytest.mark.parametrize(
    ("make", "inputs", "targets"),
    [
        (lambda image, other, label: (image, other, label), 0, 2),
        (lambda image, other, label: [label, other, image], 2, 0),
        (lambda image, other, label: {"img": image, "coarse": other, "fine": label}, "img", "fine"),
        (lambda image, other, label: {0: image, 1: label}, 0, 1),
        (Photo, "picture", "kind"),
        (Row, "picture", "kind"),
        (Row, 0, 2),
    ],
)
def test_named_fields(make, inputs, targets):
    network, source = resnet(), [make(*item) for item in zip(IMAGES, OTHERS, LABELS, strict=True)]
    data = itinf.items(source, inputs, targets)
    loss, run = loss_of(network, data)
    with torch.no_grad():
        assert loss == pytest.approx(float(F.cross_entropy(network.model(IMAGES), LABELS)), rel=1e-5)
    assert run.manifest["data"]["note"]["fields"] == {"inputs": inputs, "targets": targets}
    lens = itinf.fit(network, data, "logit", units=20)
    assert lens.record["data"] == run.manifest["data"]["name"]


@pytest.mark.parametrize("make", [Usual, Pair, lambda image, label: {"pixel_values": image, "labels": label}])
def test_fields_with_the_usual_names_and_pairs_need_no_naming(make):
    data = as_data([make(image, label) for image, label in zip(IMAGES, LABELS, strict=True)], "image")
    assert torch.equal(data[3][0], IMAGES[3]) and data[3][1] == 3


def test_a_loader_over_named_fields():
    source = TensorDataset(IMAGES, OTHERS, LABELS)
    loaded = itinf.items(DataLoader(source, 8, shuffle=True, num_workers=0), 0, 2)
    assert as_data(loaded, "image").name == as_data(itinf.items(source, 0, 2), "image").name
    with pytest.raises(ItinfError, match="by its collate_fn"):
        itinf.items(DataLoader(source, collate_fn=list), 0, 2)
    with pytest.raises(ItinfError, match="is a stream"):
        itinf.items(iter(source), 0, 2)


@pytest.mark.parametrize(
    ("item", "inputs", "targets", "words"),
    [
        ((IMAGES[0], 1, 2), 0, 3, r"Item 0 of list has no field 3. Its fields: 0, 1, 2"),
        ((IMAGES[0], 1, 2), 0, "label", r"no field 'label'. Its fields: 0, 1, 2"),
        ({"img": IMAGES[0], "fine": 1}, "image", "fine", r"no field 'image'. Its fields: 'img', 'fine'"),
        (Photo(IMAGES[0], 1, 2), 0, 1, "no field 0. Its fields: none, as it is a Photo"),
        (IMAGES[0], 0, 1, "none, as it is a Tensor"),
        ((IMAGES[0], 1, 0.5), 0, 2, "float32 numbers for classes"),
        ((IMAGES[0], 1), 0, None, "has 1 fields"),
        (Photo(IMAGES[0], 1, 2), None, None, r"is a dict with picture, place, kind.*itinf\.items\(data, inputs"),
        (Row(IMAGES[0], 1, 2), None, None, r"has 3 fields.*name the fields: itinf\.items"),
    ],
)
def test_fields_that_are_not_there(item, inputs, targets, words):
    with pytest.raises(ItinfError, match=words):
        as_data([item] if inputs is None else itinf.items([item], inputs, targets), "image")


def padded(ids, left, right=0, **changes):
    """An item of transformers, padded with a token that also occurs in the text."""
    mask = torch.tensor([0] * left + [1] * len(ids) + [0] * right)
    whole = torch.cat([torch.full((left,), 3), ids, torch.full((right,), 3)])
    return {"input_ids": whole, "attention_mask": mask, "labels": whole.masked_fill(mask == 0, IGNORED)} | changes


@pytest.mark.parametrize(("left", "right"), [(0, 0), (0, 3), (3, 0), (2, 1)])
@pytest.mark.parametrize("labels", ["own", "shifted", "none"])
@pytest.mark.parametrize("kind", [dict, lambda item: Text(**item)])
def test_the_loss_of_padded_text_is_that_of_the_text(left, right, labels, kind):
    """By transformers itself, which is given the attention mask and the positions."""
    network = gpt2()
    items = [padded(ids, left, right) for ids in IDS]
    with torch.no_grad():
        expected = []
        for item in items:
            mask = item["attention_mask"][None]
            logits = network.model(
                item["input_ids"][None], attention_mask=mask, position_ids=mask.cumsum(1) * mask - mask
            )
            ids = item["input_ids"][left : left + 8]
            expected.append(F.cross_entropy(logits.logits[0, left : left + 7], ids[1:]))
            if labels == "shifted":
                item["labels"] = torch.cat([item["labels"][1:], torch.tensor([IGNORED])])
                item["labels"][max(left - 1, 0)] = ids[0] if left else ids[1]
            elif labels == "none":
                item["labels"] = None
    loss, run = loss_of(network, [kind(item) for item in items])
    assert loss == pytest.approx(float(torch.stack(expected).mean()), rel=1e-5)
    assert run.units == 24 * 7


def test_naming_a_mask():
    items = [tuple(padded(ids, 2).values()) for ids in IDS]
    whole, _ = loss_of(gpt2(), list(IDS))
    assert loss_of(gpt2(), itinf.items(items, 0, 2, mask=1))[0] == pytest.approx(whole, rel=1e-5)
    assert loss_of(gpt2(), itinf.items(items, 0, mask=1))[0] == pytest.approx(whole, rel=1e-5)
    data = itinf.items(items, 0, 2, mask=1)
    lens = itinf.fit(gpt2(), data)
    assert lens.record["units"] == 24 * 7
    assert itinf.transfer(gpt2(), lens, data).manifest["data"]["name"] == lens.record["data"]


def test_unshifted_labels_in_a_pair_are_recognised():
    """As targets of their own position, a network could copy them."""
    whole, _ = loss_of(gpt2(), list(IDS))
    assert loss_of(gpt2(), list(zip(IDS, IDS, strict=True)))[0] == pytest.approx(whole, rel=1e-6)
    assert loss_of(gpt2(), [(ids[:-1], ids[1:]) for ids in IDS])[0] == pytest.approx(whole, rel=1e-6)


class Both(nn.Module):
    """Every position reads the mean of all."""

    def forward(self, h):
        return h + h.mean(1, keepdim=True)


def test_padding_is_refused_where_the_network_attends_to_it():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(VOCABULARY, 8), Both(), nn.Linear(8, VOCABULARY))
    network = Network(model, [Block("1")], layout="n t c", unit="token", head=model[2], name="both")
    loss_of(network, list(IDS))
    for measure in (loss_of, lambda network, data: itinf.fit(network, data, "logit")):
        with pytest.raises(ItinfError, match=r"both attends to the padding of item 0 of list.*needs a causal model"):
            measure(network, [padded(ids, 2) for ids in IDS])


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ((IMAGES * 20).to(torch.uint8), r"shape \(.*\) and dtype uint8.*are no floats.*image / 255"),
        (IMAGES.permute(0, 2, 3, 1), r"channels seem to be last: expected \(3, H, W\)"),
        (IMAGES[:, :1], r"grey, and the first convolution reads 3 channels: image.expand\(3, -1, -1\)"),
        (IMAGES[:, [0, 1, 2, 0]], "4 channels, and the first convolution reads 3"),
        (IMAGES[:, 0], r"Expected images of shape \(3, H, W\)"),
        (IMAGES[:, :, :0], r"cannot read inputs of shape \(\d+, 3, 0, 8\)"),
    ],
)
def test_images_that_a_network_cannot_read(images, words):
    with pytest.raises(ItinfError, match=words):
        loss_of(resnet(), TensorDataset(images, LABELS))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            list(IDS + VOCABULARY),
            r"ids from \d+ to 1\d\d in 7 positions, and the embeddings of the network have 61, 16 rows",
        ),
        ([IDS[0] - 61] * 9, "has the token id -"),
        (list(IDS.repeat(1, 3)), "sequences of 23 tokens, and its context has 16"),
        ([IDS[0], IDS[1], IDS[2, :4]], r"items differ in shape \(\(3,\), \(7,\)\).*attention_mask"),
        ([IDS[0, :1]] * 9, "has one token or none"),
        ([], "has no items"),
        ({"train": list(IDS), "test": list(IDS)}, "A dict with train, test was given as data"),
        ([(IDS[0], IDS[1] + VOCABULARY)] * 9, "out of range for a head of 61 classes"),
    ],
)
@pytest.mark.parametrize("measure", [loss_of, lambda network, data: itinf.fit(network, data, "logit")])
def test_tokens_that_a_network_cannot_read(data, words, measure):
    with pytest.raises(ItinfError, match=words):
        measure(gpt2(), data)


def test_items_of_different_shapes_and_no_items():
    with pytest.raises(ItinfError, match=r"items differ in shape \(\(3, 8, 8\), \(3, 9, 9\)\). Make them one size"):
        loss_of(resnet(), [(torch.ones(3, 8 + k % 2, 8 + k % 2), 0) for k in range(9)])
    with pytest.raises(ItinfError, match=r"TensorDataset\[0\] has no items"):
        loss_of(resnet(), TensorDataset(IMAGES[:0], LABELS[:0]), units=4)


class Broken(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        if index == 17:
            raise OSError("image file is truncated")
        return IMAGES[index], LABELS[index]


def test_an_item_that_cannot_be_read():
    with pytest.raises(ItinfError, match=r"Item 17 of Broken cannot be read \(OSError: image file is truncated\)"):
        loss_of(resnet(), Broken())


def test_out_of_memory_is_no_fault_of_the_inputs(monkeypatch):
    network = resnet()

    def full(inputs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(network.model, "forward", full)
    with pytest.raises(RuntimeError, match="allocate"):
        run(network, IMAGES)


def test_pixels_up_to_255_are_a_doubt(caplog):
    with caplog.at_level(logging.WARNING, "itinf"):
        result = loss_of(resnet(), TensorDataset(IMAGES, LABELS))[1]
        assert not caplog.records and not any("reach" in note for note in result.notes)
        result = loss_of(resnet(), TensorDataset((IMAGES.clamp(-1, 1) + 1) * 127.5, LABELS))[1]
    assert "reach 255; networks usually read normalised images" in caplog.text
    assert any("reach 255" in note for note in result.notes) and "reach 255" in repr(result)


class Named(TensorDataset):
    """A data set that says which class each number is, as torchvision's do."""

    def __init__(self, classes):
        super().__init__(IMAGES, LABELS)
        self.classes = classes


class Features(TensorDataset):
    """A data set that says it as those of Hugging Face do."""

    def __init__(self, classes):
        super().__init__(IMAGES, LABELS)
        self.features = {"label": type("ClassLabel", (), {"names": classes})()}


SYNONYMS = [("airplane", "plane"), ("automobile", "car"), *((name,) for name in CIFAR10[2:])]


@pytest.mark.parametrize("source", [Named, Features, lambda classes: Subset(Named(classes), range(20))])
@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (list(CIFAR10), None),
        ([name.upper() for name in CIFAR10], None),
        (list(CIFAR10[:9]), None),
        (["plane", "car", *CIFAR10[2:]], None),  # in its own order, so the numbers are right
        (sorted(["plane", "car", *CIFAR10[2:]]), "class 'bird' is 0 in the data, but output 2"),
        (list(CIFAR10[1:]), "class 'automobile' is 0 in the data, but output 1"),
        ([str(k) for k in range(10)], "knows none of the classes, first '0'"),
        (["n01440764", "n01443537"], "knows none of the classes"),
    ],
)
def test_data_that_number_their_classes_in_another_way(source, classes, words):
    data = source(classes)
    if words is None:
        return require_meaning(data, CIFAR10, "resnet")
    with pytest.raises(ItinfError, match=words + r".*itinf\.items\(data, inputs=…, targets=…\)"):
        loss_of(resnet(), data)
    loss_of(resnet(), itinf.items(data, 0, 1))  # the user vouches for it


def test_meaning_where_nothing_can_be_compared_and_for_imagenet():
    require_meaning(FakeData(), CIFAR10, "net")
    require_meaning(Named(["x"]), None, "net")
    ids = [f"n{k:08}" for k in range(1000)]
    require_meaning(Named(ids), [f"class {k}" for k in range(1000)], "net")
    with pytest.raises(ItinfError, match="none of the classes"):
        require_meaning(Named(ids[::-1]), [f"class {k}" for k in range(1000)], "net")
    require_meaning(Named(SYNONYMS), CIFAR10, "net")


def test_an_image_folder_without_one_class(tmp_path):
    painted(tmp_path, "a.png")
    network = resnet()
    network.classes = ["black", "blue", "green", "red"]
    with pytest.raises(ItinfError, match="class 'blue' is 0 in the data, but output 1"):
        loss_of(network, ImageFolder(str(tmp_path), ToTensor()))


def test_numpy_images_and_labels():
    data = as_data([(image.numpy(), np.int64(label)) for image, label in zip(IMAGES, LABELS, strict=True)], "image")
    assert torch.equal(data[5][0], IMAGES[5])
