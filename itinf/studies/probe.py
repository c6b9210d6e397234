"""One network on one data set: what is measured is fixed by its settings, resumable, in any number of processes."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.clusters import Order, Progress, keyed_order, load_batch, silent
from ..data.dataset import Data, as_data
from ..errors import ItinfError
from ..networks.check import require_readout
from ..networks.network import Network
from ..networks.untrained import fresh
from ..networks.weights import fingerprint
from ..probes import Alignment, Gain, Performance, Prediction, Probe, UpdateNorm
from ..results.probe_result import ProbeResult
from ..results.schema import SCHEMA
from ..results.sums import StudySums
from ..statistics.bootstrap import Sums
from .checkpoint import Checkpoint
from .distributed import ProcessGroup, all_reduce, process_group
from .probe_pass import ProbePass
from .settings import CALIBRATION, Settings


def default_probes() -> list[Probe]:
    """Every probe, with its defaults."""
    return [Performance(), Alignment(), UpdateNorm(), Gain(), Prediction()]


def probe(
    network: Network,
    data: Any,
    probes: Sequence[Probe] | None = None,
    *,
    batch: int = 64,
    out: str | Path | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> ProbeResult:
    """Measures a network.

    Args:
        network: the network; its model is put back as it was, whatever happens.
        data: an ``itinf`` data set, a map-style Dataset, a DataLoader over one, or a list of items.
        probes: what to measure; ``default_probes()`` by default.
        batch: clusters per forward pass; results do not depend on it.
        out: results folder. The same study there is resumed or read; another study is refused.
        progress: called with (stage, clusters done, clusters in all).
        **settings: fields of ``Settings``: units, seed, group, calibration, replicates, untrained, shard.

    Returns:
        The run; under torchrun every process gets the same one, and the first alone writes.

    Raises:
        ItinfError: any mistake in what was given, before anything is written.
    """
    if batch < 1:
        raise ItinfError(f"batch is {batch}; expected at least 1.")
    source = as_data(data, network.unit)
    study = _ProbeStudy(network, source, probes or default_probes(), Settings.of(settings), batch, progress)
    with process_group() as here:
        return study.run(here, Path(out) if out is not None else None)


class _ProbeStudy:
    def __init__(
        self,
        network: Network,
        data: Data,
        probes: Sequence[Probe],
        settings: Settings,
        batch: int,
        progress: Progress,
    ) -> None:
        if data.unit != network.unit:
            raise ItinfError(f"{data.name} has {data.unit}s, but {network.name} reads {network.unit}s.")
        self.network, self.data, self.settings, self.progress = network, data, settings, progress
        self.measurement = ProbePass(data, tuple(probes), batch, settings.group, settings.seed)
        self.order = keyed_order(data, self._clusters(), settings.seed, self._calibration())
        if len(self._share("observed").indices) == 0:
            raise ItinfError(
                f"shard {settings.shard} has nothing: {len(self.order.indices):,} clusters make "
                f"{-(-len(self.order.indices) // settings.group)} groups of {settings.group}. Use fewer shards."
            )

    def _clusters(self) -> int | None:
        length = self.data[0][1].numel() if len(self.data) else 1
        units, total = self.settings.units, len(self.data) * length
        if units is None:
            return None
        if not 0 < units <= total:
            what = f"{units:,} {self.network.unit}s asked for, but {self.data.name} has {total:,}"
            raise ItinfError(f"{what}. Ask for at most {total:,}.")
        return -(-units // length)

    def _calibration(self) -> int:
        if self.settings.calibration is not None:
            return self.settings.calibration
        return CALIBRATION[self.network.unit]

    def manifest(self) -> dict[str, Any]:
        """How the study is recorded; what is in ``run.IDENTITY`` decides whether two are the same."""
        network, s = self.network, self.settings
        packages = ("torch", "numpy", "scipy", "transformers", "torchvision")
        return {
            "schema": SCHEMA,
            "network": {
                "name": network.name,
                "weights": network.weights,
                "fingerprint": fingerprint(network.model),
                "dtype": str(network.dtype).removeprefix("torch."),
            },
            "data": {"name": self.data.name, "note": self.data.note, "unit": self.data.unit},
            "settings": {
                "units": s.units,
                "clusters": len(self.order.indices),
                "seed": s.seed,
                "group": s.group,
                "calibration": len(self.order.calibration),
                "replicates": s.replicates,
                "untrained": s.untrained,
                "shard": list(s.shard) if s.shard else None,
            },
            "probes": [repr(p) for p in self.measurement.probes],
            "complete": False,
            "seconds": 0.0,
            "circumstances": {
                "batch": self.measurement.batch,
                "device": str(network.device),
                "threads": torch.get_num_threads(),
                "platform": platform.platform(),
                "python": platform.python_version(),
                "versions": {name: version(name) for name in packages},
                "itinf": version("itinf"),
            },
        }

    def run(self, here: ProcessGroup, out: Path | None) -> ProbeResult:
        keeper = Checkpoint.open(self.manifest(), out, writes=here.first)
        if keeper.finished is not None:
            return keeper.finished
        require_readout(self.network, load_batch(self.data, self.order.indices[:2]))
        try:
            for name in ("observed", *(f"untrained:{seed}" for seed in range(self.settings.untrained))):
                self._stage(name, keeper, here)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if "memory" not in str(error).lower():
                raise
            batch = self.measurement.batch
            what = f"Out of memory with --batch {batch} ({str(error).splitlines()[0]})"
            raise ItinfError(f"{what}. Try --batch {max(1, batch // 2)}.") from error
        return keeper.finish()

    def _stage(self, name: str, keeper: Checkpoint, here: ProcessGroup) -> None:
        kind, _, seed = name.partition(":")
        order, network = self._share(kind), self.network
        clusters = len(order.indices)
        total = keeper.stages.setdefault(name, self._empty())
        if total.clusters == clusters:
            return
        measurement = self.measurement
        if kind == "untrained":
            measurement = measurement.without_nulls()
            network = fresh(network, int(seed), self.data, order, self.settings.group)
            order = replace(order, calibration=_quarter(order.calibration, self.settings.group))
        means = measurement.calibrate(network, order, self.progress)
        self.progress(name, total.clusters, clusters)
        size = max(1, self.measurement.batch // self.settings.group) * self.settings.group
        while total.clusters < clusters:
            start = total.clusters + here.rank * size
            part = total if here.size == 1 else self._empty()
            if start < clusters:
                slab = slice(start, min(start + size, clusters))
                measurement.measure(network, order, slab, means, part)
            if part is not total:
                total.merge(all_reduce(part, here))
            self.progress(name, total.clusters, clusters)
            keeper.save()

    def _empty(self) -> StudySums:
        return StudySums(Sums(self.settings.seed, self.settings.replicates))

    def _share(self, kind: str) -> Order:
        """The clusters of a stage that are this shard's: whole groups, so that no batch matters."""
        place = np.arange(len(self.order.indices))
        if kind == "untrained":
            place = _quarter(place, self.settings.group)
        if self.settings.shard is not None:
            i, n = self.settings.shard
            place = place[place // self.settings.group % n == i]
        return self.order.part(place)


def _quarter(clusters: np.ndarray, group: int) -> np.ndarray:
    """The first quarter of some clusters, but at least a group."""
    return clusters[: max(group, len(clusters) // 4)]
