"""Small networks and data for whole studies: seconds on one core, every kind of row."""

import functools

import numpy as np
import torch

import itinf
from itinf.data.clusters import keyed_order
from itinf.data.dataset import IGNORED
from itinf.results.folder import ResultsFolder

GROUP, SEQUENCE, VOCABULARY = 8, 6, 61
SETTINGS = {"group": GROUP, "calibration": 12, "replicates": 60}
NAMES = [
    "block_index",
    "measure",
    "statistic",
    "gradient",
    "update",
    "part",
    "form",
    "target",
    "subset",
    "null",
    "null_seed",
    "unit",
    "state_index",
]
"""The columns that name a row."""


class Items:
    """A data set held in memory; an item's name is its place."""

    def __init__(self, unit, inputs, targets, name="tiny"):
        self.name, self.unit, self.note = name, unit, {"items": len(inputs)}
        self.inputs, self.targets = inputs, targets

    def __len__(self):
        return len(self.inputs)

    def key(self, index):
        return str(index)

    def __getitem__(self, index):
        return self.inputs[index], self.targets[index]


def resnet(depth=14):
    """2 blocks in each of 3 stages; BatchNorm's statistics and affine maps drawn at random."""
    network = itinf.network(f"cifar-resnet{depth}", weights="random:1")
    draw = torch.Generator().manual_seed(2)
    for module in network.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            with torch.no_grad():
                for values in (module.running_mean, module.bias):
                    values.copy_(torch.randn(values.shape, generator=draw) / 4)
                for values in (module.running_var, module.weight):
                    values.copy_(torch.rand(values.shape, generator=draw) + 0.5)
    return network


def gpt2(seed=1):
    """Two blocks, with weights large enough that attention and predictions are not uniform."""
    shape = {"n_layer": 2, "n_embd": 32, "n_head": 2, "vocab_size": VOCABULARY, "n_positions": 16}
    network = itinf.network("gpt2", weights=f"random:{seed}", **shape)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in network.model.named_parameters():
            noise = torch.randn(values.shape, generator=draw)
            values.add_(noise * (0.1 if "bias" in name or "ln" in name else 0.15))
    return network


def images(count, classes=10, seed=0, side=8):
    draw = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (count,), generator=draw)
    return Items("image", torch.randn(count, 3, side, side, generator=draw), targets)


def tokens(count, seed=0, length=SEQUENCE):
    draw = torch.Generator().manual_seed(seed)
    # few distinct tokens, so that every group holds some twice
    ids = torch.randint(VOCABULARY // 4, (count, length + 1), generator=draw)
    return Items("token", ids[:, :-1], ids[:, 1:])


def with_partners(data, group=GROUP, ignored=True):
    """Gives a data set targets that occur exactly twice in a group of a study (seed 0), in two clusters.

    The same-target partner is then known without knowing how one is chosen. The last cluster of a group, or
    the last two of an even number, have none. Some tokens are not predicted, unless ``ignored`` is False.
    """
    order = keyed_order(data, None, 0).indices
    draw = np.random.default_rng(0)
    targets = data.targets.reshape(len(data), -1).clone()
    positions = targets.shape[1]
    for start in range(0, len(order), group):
        members = order[start : start + group]
        place = draw.permutation(positions)
        for pair in range(0, len(members) - 1, 2):
            first, second = members[pair : pair + 2]
            for p in range(positions):
                label = (pair // 2 * positions + p) % VOCABULARY
                targets[first, p] = targets[second, place[p]] = label
        alone = members[-1]
        targets[alone] = len(members) // 2 * positions + torch.arange(positions)
        if positions > 1 and ignored:
            targets[members[0], :2] = IGNORED
    data.targets = targets.reshape(data.targets.shape)
    return data


def opened(kind, count=24):
    """A tiny network and its data."""
    return (resnet(), images(count)) if kind == "image" else (gpt2(), tokens(count))


def probed(network, data, **settings):
    """A quick study, default probes unless given."""
    return itinf.probe(network, data, **(SETTINGS | settings))


@functools.cache
def study(kind, count=24, **settings):
    """A quick study of a tiny network; the same arguments give the same run."""
    return probed(*opened(kind, count), **settings)


def save_always(monkeypatch):
    """Every portion of a study is saved."""
    monkeypatch.setattr(ResultsFolder, "due", lambda folder: True)
