"""Probing one network on one data set. Settings fix the numbers; a run can be resumed and can use many processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.clusters import Order, Progress, clusters_of, identity_of, keyed_order
from ..data.dataset import Data
from ..data.items import as_data
from ..data.progress import visible
from ..errors import ItinfError, batch_in_memory, shown
from ..networks.check import require_proven
from ..networks.measuring import evaluating
from ..networks.network import Network, require_network
from ..networks.untrained import fresh
from ..networks.weights import fingerprint
from ..probes import (
    Alignment,
    EstimationError,
    Gain,
    Performance,
    Persistence,
    Prediction,
    Probe,
    UpdateNorm,
    VarianceShares,
)
from ..registry import probe as registered_probe
from ..results.circumstances import circumstances
from ..results.folder import ResultsFolder
from ..results.manifest import folder_of
from ..results.probe_result import ProbeResult
from ..results.schema import SCHEMA
from ..results.sums import SUMS, StudySums, sums_file
from ..settings import CALIBRATION, DEFAULTS, Settings
from ..statistics.bootstrap import Sums
from ..statistics.processes import ProcessGroup, process_group
from .distributed import all_reduce, shared_stages
from .probe_pass import ProbePass

USED = ("units", "seed", "group", "calibration", "replicates", "untrained", "shard", "batch")
"""Settings that a probe study uses. ``Network.to`` sets device and dtype."""


def default_probes() -> list[Probe]:
    """The built-in probes with their default settings."""
    return [
        Performance(),
        Alignment(),
        UpdateNorm(),
        Gain(),
        Prediction(),
        Persistence(),
        VarianceShares(),
        EstimationError(),
    ]


def probe(
    network: Network,
    data: Any,
    probes: Sequence[Probe | str] | None = None,
    *,
    out: str | Path | None = None,
    settings: Settings = DEFAULTS,
    progress: Progress | None = None,
    **changes: Any,
) -> ProbeResult:
    """Measures a network.

    Args:
        network: the network; its model is left unchanged, also after an error.
        data: an ``itinf`` data set, a map-style Dataset, a DataLoader over one, or a list of items.
        probes: probes, or names of registered probes; ``default_probes()`` by default.
        out: results folder. If it holds the same study, this is resumed or read; a folder of another study is refused.
        settings: settings of the study.
        progress: called with (stage, clusters done, clusters in all); by default a notebook shows a bar.
        **changes: settings by name that replace those of ``settings``: units, seed, batch …

    Returns:
        The result. Under torchrun every process gets the same result, and only the first process writes.

    Raises:
        ItinfError: an argument is wrong; nothing has been written then.
    """
    require_network(network)
    source = as_data(data, network.unit, network.classes, network.name)
    if not isinstance(settings, Settings):
        raise ItinfError(f"settings is {shown(settings)}; expected itinf.Settings(…), or settings by name.")
    if probes is not None and (isinstance(probes, str | Probe) or not isinstance(probes, Iterable)):
        raise ItinfError(f"probes is {shown(probes)}; expected a list of probes or of their names. Write it in [ ].")
    probes = default_probes() if probes is None else list(probes)
    if not probes:
        raise ItinfError("The list of probes is empty; expected at least one. Leave probes out for the default ones.")
    study = ProbeStudy(network, source, probes, settings.changed(changes, USED), visible(progress))
    fits = batch_in_memory(study.settings.batch, "A smaller --group needs less, too, and changes the nulls.")
    with process_group() as here, evaluating(network), fits:
        return study.run(here, None if out is None else folder_of(out))


class ProbeStudy:
    """One study: its clusters in order, its probes, and its stages.

    Args:
        network, data, probes, settings, progress: as for ``probe``.

    Raises:
        ItinfError: probes, data and network do not fit each other, or a shard has no clusters.
    """

    def __init__(
        self,
        network: Network,
        data: Data,
        probes: Sequence[Probe | str],
        settings: Settings,
        progress: Progress,
    ) -> None:
        if data.unit != network.unit:
            raise ItinfError(
                f"{data.name} has {data.unit}s, but {network.name} reads {network.unit}s. Give data of {network.unit}s."
            )
        self.network, self.data, self.settings, self.progress = network, data, settings, progress
        self.measurement = ProbePass(
            data, tuple(map(opened_probe, probes)), settings.batch, settings.group, settings.seed
        )
        self.order = keyed_order(data, clusters_of(data, settings.units), settings.seed, self._calibration())
        if len(self.share("observed").indices) == 0:
            raise ItinfError(
                f"shard {settings.shard} has nothing: {len(self.order.indices):,} clusters make "
                f"{-(-len(self.order.indices) // settings.group)} groups of {settings.group}. Use fewer shards."
            )

    def _calibration(self) -> int:
        if self.settings.calibration is not None:
            return self.settings.calibration
        return CALIBRATION[self.network.unit]

    def identity(self) -> dict[str, Any]:
        """The recorded entries that define the study."""
        network, s = self.network, self.settings
        return {
            "schema": SCHEMA,
            "network": {
                "name": network.name,
                "weights": network.weights,
                "fingerprint": fingerprint(network.model),
                "dtype": str(network.dtype).removeprefix("torch."),
            },
            "data": identity_of(self.data, np.concatenate([self.order.indices, self.order.calibration])),
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
            "probes": [p.description for p in self.measurement.probes],
        }

    def run(self, here: ProcessGroup, out: Path | None) -> ProbeResult:
        under = circumstances(self.network.device, self.measurement.batch)
        with ResultsFolder.open(out, self.identity(), under) as folder:
            stages = shared_stages(folder)
            if folder.state == "complete":
                return ProbeResult(stages, folder.record)
            require_proven(self.network, self.data, self.order.indices)
            for name in ("observed", *(f"untrained:{seed}" for seed in range(self.settings.untrained))):
                self._stage(name, stages, folder, here)
            result = ProbeResult(stages, {})
            about = about_network(self.network, stages["observed"].structure)
            folder.complete(result.files() if folder.writes else {}, _clusters(stages), about=about)
            result.manifest = folder.record
            return result

    def _stage(self, name: str, stages: dict[str, StudySums], folder: ResultsFolder, here: ProcessGroup) -> None:
        kind, _, seed = name.partition(":")
        order, network = self.share(kind), self.network
        clusters = len(order.indices)
        total = stages.setdefault(name, self._empty())
        if total.clusters == clusters:
            total.sums.flush()
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
            folder.save(SUMS, lambda: sums_file(stages), _clusters(stages))
        total.sums.flush()

    def _empty(self) -> StudySums:
        return StudySums(Sums(self.settings.seed, self.settings.replicates))

    def share(self, kind: str) -> Order:
        """The clusters of a stage in this shard: whole groups, so that results do not depend on the batch."""
        place = np.arange(len(self.order.indices))
        if kind == "untrained":
            place = _quarter(place, self.settings.group)
        if self.settings.shard is not None:
            i, n = self.settings.shard
            place = place[place // self.settings.group % n == i]
        return self.order.part(place)


def about_network(network: Network, structure: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader wants to know of a network, and no number depends on: its size, shape, and scores."""
    return {
        "family": type(network.model).__name__,
        "parameters": sum(p.numel() for p in network.model.parameters()),
        "scores": dict(network.scores),
    } | {name: structure[name] for name in ("outputs", "shapes", "widths") if name in structure}


def opened_probe(given: Any) -> Probe:
    """The given probe, or the registered probe with that name."""
    if isinstance(given, str):
        given = registered_probe(given)()
    if isinstance(given, type) and issubclass(given, Probe):
        raise ItinfError(
            f"The probe {given.__name__} was given as a class; expected an object. Write {given.__name__}()."
        )
    if not isinstance(given, Probe):
        raise ItinfError(
            f"{given!r} is no probe. Expected a probe of itinf, such as itinf.Alignment(), the name of a registered "
            "probe, or an object of a class derived from itinf.Probe."
        )
    return given


def _clusters(stages: dict[str, StudySums]) -> int:
    return sum(stage.clusters for stage in stages.values())


def _quarter(clusters: np.ndarray, group: int) -> np.ndarray:
    """The first quarter of the clusters, but at least one group."""
    return clusters[: max(group, len(clusters) // 4)]
