"""Data to fit a lens on: the training split if there is one, else the clusters that are not measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..data.clusters import keyed_order
from ..data.dataset import Data
from ..errors import NoSplitError, TooFewError
from ..networks.network import Network
from ..registry import dataset, dataset_options


class UnmeasuredClusters(Data):
    """The clusters of a data set that a study does not measure.

    Args:
        data: the data set.
        measured: number of clusters that the study measures.
        seed: seed of the study.
    """

    def __init__(self, data: Data, measured: int, seed: int) -> None:
        order = keyed_order(data, None, seed)
        self.data, self.indices = data, order.indices[measured:]
        self.name, self.unit = f"{data.name}, not measured", data.unit
        self.note: dict[str, Any] = {**data.note, "without": measured, "order": seed}

    def __len__(self) -> int:
        return len(self.indices)

    def key(self, index: int) -> str:
        return self.data.key(int(self.indices[index]))

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.data[int(self.indices[index])]

    @property
    def content(self) -> Callable[[int], bytes] | None:
        """What ``content_of`` reads, if the data set has it."""
        inner = getattr(self.data, "content", None)
        return None if inner is None else lambda index: inner(int(self.indices[index]))


def fitting_data(source: str, network: Network, measured: Data, clusters: int, seed: int, length: int | None) -> Data:
    """Data to fit a lens on; they share no cluster with the measured ones.

    Args:
        source: ``NAME[:ARGUMENT]`` of the data to fit on; usually ``measured`` was opened from the same words.
        network: the network.
        measured: the data set on which the lens is scored.
        clusters: number of clusters of it that are measured, in keyed order.
        seed, length: as for ``measured``.

    Raises:
        TooFewError: there is no training split, and too few clusters are left to fit on.
    """
    training = training_split(source, network, seed, length)
    if training.name != measured.name:
        return training
    rest = UnmeasuredClusters(measured, clusters, seed)
    if len(rest) < max(1, clusters // 4):
        raise TooFewError(
            f"{measured.name} has {len(measured):,} {'images' if measured.unit == 'image' else 'sequences'}, and "
            f"{clusters:,} are measured: {len(rest):,} are left to fit a lens on. "
            "Measure fewer, or give other data to fit on."
        )
    return rest


def training_split(source: str, network: Network, seed: int, length: int | None) -> Data:
    """The training split of a data set; the whole data set if it has no splits."""
    if "split" in dataset_options(source):
        try:
            return dataset(source, network, seed=seed, length=length, split="train")
        except NoSplitError:  # an image folder of test images only
            pass
    return dataset(source, network, seed=seed, length=length)
