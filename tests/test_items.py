"""Data of the user's own: what is handed over is what is measured, or it is refused with the reason."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)

import itinf
from itinf import IGNORED, ItinfError
from itinf.data.items import as_data
from tiny import resnet

IMAGES, LABELS = torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 10
WHOLE = TensorDataset(IMAGES, LABELS)
IDS = torch.arange(1, 8)


class Halved(Dataset):
    """Holds another data set under the name that loaders have for theirs."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        image, label = self.dataset[index]
        return image / 2, label


class Noisy(Halved):
    def __getitem__(self, index):
        image, label = self.dataset[index]
        return image + torch.randn(()), label


class Stream(IterableDataset):
    def __iter__(self):
        return iter(WHOLE)


def inputs(data):
    return torch.stack([data[k][0] for k in range(len(data))])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Subset(WHOLE, range(30, 40)), IMAGES[30:]),
        (Subset(Subset(WHOLE, range(20)), [3, 5]), IMAGES[[3, 5]]),
        (random_split(WHOLE, [30, 10], torch.Generator().manual_seed(0))[1], None),
        (Halved(WHOLE), IMAGES / 2),
        (Halved(Subset(WHOLE, range(5))), IMAGES[:5] / 2),
        (list(WHOLE), IMAGES),
        ([(image.numpy(), np.int32(label)) for image, label in WHOLE], IMAGES),
        ([{"pixel_values": image, "label": label} for image, label in WHOLE], IMAGES),
    ],
)
@pytest.mark.parametrize("loaded", [False, True])
def test_what_is_handed_over_is_what_is_measured(given, expected, loaded):
    data = as_data(DataLoader(given, 8, shuffle=True) if loaded else given, "image")
    expected = torch.stack([given[k][0] for k in range(len(given))]) if expected is None else expected
    assert len(data) == len(given) and torch.equal(inputs(data), expected)


def test_a_subset_is_measured_and_not_the_whole():
    network = resnet()
    held_out = Subset(WHOLE, range(30, 40))
    run = itinf.probe(network, held_out, [itinf.Performance()], replicates=4)
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(network.model(IMAGES[30:]), LABELS[30:])
    measured = run.table.loc[run.table.measure == "loss", "mean"].item()
    assert run.clusters == 10 and measured == pytest.approx(float(loss), rel=1e-5)
    training = as_data(Subset(WHOLE, range(30)), "image")
    assert training.name != run.manifest["data"]["name"]


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        (DataLoader(WHOLE, sampler=SubsetRandomSampler(range(5))), "by a SubsetRandomSampler"),
        (DataLoader(WHOLE, sampler=WeightedRandomSampler([1.0] * 40, 40)), "by a WeightedRandomSampler"),
        (DataLoader(WHOLE, sampler=RandomSampler(WHOLE, num_samples=5)), "by a RandomSampler"),
        (DataLoader(WHOLE, sampler=RandomSampler(WHOLE, replacement=True)), "by a RandomSampler"),
        (DataLoader(WHOLE, batch_sampler=[[0, 1], [2]]), "by a list"),
        (DataLoader(WHOLE, 4, collate_fn=lambda items: items), "by its collate_fn <lambda>"),
        (DataLoader(Stream(), 4), "Stream is a stream"),
        (Stream(), "Stream is a stream"),
        (iter(WHOLE), "is a stream"),
        (Noisy(WHOLE), "differs between two readings"),
    ],
)
def test_a_loader_that_chooses_or_changes_items_is_refused(loader, words):
    with pytest.raises(ItinfError, match=words):
        as_data(loader, "image")


IMAGE = IMAGES[0]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ((IMAGE, 1, 2), "has 3 fields, and which of them is the target"),
        ((IMAGE,), "has 1 fields"),
        (IMAGE, "is a Tensor"),
        ("image.png", "is a str"),
        ((IMAGE, 1.0), "float32 numbers for classes"),
        ((IMAGE, torch.tensor(2.5)), "float32 numbers for classes"),
        ((IMAGE, "cat"), "a str for numbers"),
        ((IMAGE, None), "a NoneType for numbers"),
        ((IMAGE.to_sparse(), 1), "sparse_coo tensor as its image"),
        ((IMAGE.to("meta"), 1), "a meta tensor as its image"),
        ((np.array([["a"]]), 1), "an array of <U1 as its image"),
        ((IMAGE, 2**70), "a int for numbers"),
        ((IMAGE, torch.tensor([0, 1, 0])), r"a target of shape \(3,\)"),
        ((Image.new("RGB", (8, 8)), 1), "a Image as its image; apply the model's transform"),
        ({"image": IMAGE, "label": 1}, "is a dict with image, label"),
        ({"pixel_values": IMAGE}, "is a dict with pixel_values"),
    ],
)
def test_image_items_of_another_form_are_refused(item, words):
    with pytest.raises(ItinfError, match=rf"Item 0 of list .*{words}.*; expected \(image, class number\), or a dict"):
        as_data([item], "image")


@pytest.mark.parametrize(
    ("item", "ids", "targets"),
    [
        (IDS, IDS[:-1], IDS[1:]),
        ((IDS,), IDS[:-1], IDS[1:]),
        (IDS.numpy(), IDS[:-1], IDS[1:]),
        ((IDS, IDS + 1), IDS, IDS + 1),
        ({"input_ids": IDS}, IDS[:-1], IDS[1:]),
        (IDS.tolist(), IDS[:-1], IDS[1:]),
        ([5, 6], IDS[4:5], IDS[5:6]),
        ((IDS, IDS), IDS[:-1], IDS[1:]),
        ({"input_ids": IDS, "attention_mask": torch.ones(7)}, IDS[:-1], IDS[1:]),
        ({"input_ids": IDS, "attention_mask": torch.ones(7) > 0, "token_type_ids": [0] * 7}, IDS[:-1], IDS[1:]),
        (
            {"input_ids": torch.tensor([-1, -1, 3, 4]), "attention_mask": [0, 0, 1, 1]},
            torch.tensor([3, 4, 0]),
            torch.tensor([4, IGNORED, IGNORED]),
        ),
        ({"input_ids": IDS.tolist(), "labels": IDS.tolist()}, IDS[:-1], IDS[1:]),
        ({"input_ids": IDS, "labels": IDS + 1}, IDS, IDS + 1),
        (
            {"input_ids": IDS, "attention_mask": [1, 1, 1, 1, 1, 0, 0]},
            IDS[:-1],
            torch.tensor([2, 3, 4, 5, IGNORED, IGNORED]),
        ),
        (
            {"input_ids": IDS, "labels": torch.tensor([IGNORED, IGNORED, 3, 4, 5, 6, 7])},
            IDS[:-1],
            torch.tensor([IGNORED, 3, 4, 5, 6, 7]),
        ),
    ],
)
def test_token_items(item, ids, targets):
    """Labels as transformers has them stand at their own ids; masked and −100 ones are not predicted."""
    data = as_data([item], "token")
    assert torch.equal(data[0][0], ids) and torch.equal(data[0][1], targets)
    assert data[0][1].dtype == torch.int64


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ((IDS, torch.ones_like(IDS), IDS), "has 3 fields"),
        ((IDS, IDS[1:]), r"\(7,\) ids and \(6,\) targets"),
        (IDS.float(), "float32 numbers"),
        (IDS.reshape(1, 7), r"ids of shape \(1, 7\)"),
        ({"labels": IDS}, "is a dict with labels"),
        ({"input_ids": IDS, "labels": IDS.flip(0)}, "neither its input_ids nor the next ones"),
        ({"input_ids": IDS, "labels": IDS[1:]}, "7 input_ids, 6 labels"),
        ({"input_ids": IDS, "attention_mask": [1, 1, 0, 1, 1, 1, 1]}, "is padded inside"),
        ({"input_ids": IDS, "attention_mask": [0, 1, 0, 1, 1, 1, 1]}, "is padded inside"),
        ({"input_ids": IDS, "attention_mask": [0] * 7}, "is padding alone"),
        ({"input_ids": IDS, "attention_mask": [0, 0, 1, 1, 2, 2, 2]}, "other numbers than 0 and 1"),
        ({"input_ids": IDS - 5}, "has the token id -4"),
        ({"input_ids": IDS, "attention_mask": "1111111"}, "has a str as its attention_mask"),
        (IDS > 3, "has true and false for token ids"),
        ((IDS > 3).numpy(), "has true and false for token ids"),
        (IDS[:1], "has one token or none"),
        (IDS[:0], "has one token or none"),
    ],
)
def test_token_items_of_another_form_are_refused(item, words):
    with pytest.raises(ItinfError, match=rf"Item 0 of list .*{words}.*; expected token ids, \(ids, targets\)"):
        as_data([item], "token")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "NoneType is no data set"),
        (3, "int is no data set"),
        ("images:photographs", r"'images:photographs' was given as data. Open it first: itinf\.dataset"),
        (Path("photographs"), "was given as data. Open it first"),
        ((IMAGES, LABELS), "A tuple of 2 arrays was given as data. Join them item by item"),
        ((IMAGES.numpy(), LABELS.numpy()), "A tuple of 2 arrays"),
        ({"train": WHOLE, "test": WHOLE}, "A dict with train, test was given as data. Give one of its data sets"),
        (
            TensorDataset(IMAGES, LABELS * 0 - 100),
            "None of 40 items of TensorDataset, spread over the data, has a target",
        ),
        (IMAGES, "Item 0 of Tensor is a Tensor"),
        (zip(IMAGES, LABELS, strict=True), "zip is a stream"),
    ],
)
def test_what_is_no_data_set(given, words):
    with pytest.raises(ItinfError, match=words):
        itinf.probe(resnet(), given, [itinf.Performance()])


@pytest.mark.parametrize(
    "image",
    [
        IMAGES[0].numpy()[:, ::-1],
        np.broadcast_to(np.float32(1), (3, 8, 8)),
        IMAGES[0].clone().requires_grad_(),
        IMAGES[0].double(),
        IMAGES[0].half(),
    ],
)
def test_arrays_of_any_kind(image):
    run = itinf.probe(resnet(), [(image, np.uint64(k % 10)) for k in range(9)], [itinf.Performance()], replicates=4)
    assert run.clusters == 9


def test_numbers_that_are_not_finite_are_named_as_such():
    with pytest.raises(ItinfError, match="not finite"):
        itinf.probe(resnet(), TensorDataset(IMAGES * float("nan"), LABELS), [itinf.Performance()])


def test_the_form_of_every_item_is_looked_at_when_it_is_read():
    data = list(WHOLE)
    data[17] = (IMAGES[0], 0.5)
    with pytest.raises(ItinfError, match="Item 17 of list"):
        itinf.probe(resnet(), data, [itinf.Performance()], replicates=4)
