"""What a command will measure, what it cannot and why, how long it will take: known before the long work begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..data.clusters import Order, clusters_of, keyed_order, load_batch, silent, units_per_cluster
from ..data.dataset import Data
from ..errors import batch_in_memory
from ..lenses.kinds import LensKind, lens_kind
from ..lenses.lens import Lens
from ..lenses.transfer.transfer import CHECK
from ..networks.check import FEW, require_proven
from ..networks.measuring import evaluating
from ..networks.network import Network
from ..networks.states import Site, segments, sites
from ..networks.trace import Trace, trace
from ..probes import Probe
from ..results.probe_result import runs_of, undefined
from ..settings import Settings
from .enough import few, require_fit
from .forecast import Seconds, fit_seconds, probe_seconds, stand_in
from .forecast_transfer import cell_costs, transfer_seconds
from .lens_study import default_fit_units
from .probe import ProbeStudy

LEFT_OUT_LENSES = 2
"""Shared lenses with a map of its own for each state: that depth left out, and the same with depths rotated."""


@dataclass(frozen=True)
class Preview:
    """What is known of a study before its long work.

    Attributes:
        network: its name.
        lines: what will be measured, as (what, in words).
        undefined: for each reason one line: what has no value for it.
        warnings: sentences.
        seconds: stage -> seconds in one process, if every cluster is read.
        spared: seconds less, if the transfer is precise enough at its first check.
    """

    network: str
    lines: Sequence[tuple[str, str]]
    undefined: Sequence[str] = ()
    warnings: Sequence[str] = ()
    seconds: Seconds = field(default_factory=dict)
    spared: float = 0.0

    @property
    def total(self) -> float:
        """Seconds of all stages, at most."""
        return sum(self.seconds.values())

    def __add__(self, other: Preview) -> Preview:
        """Of two studies of one network, one after the other; a stage of both takes the sum of its times."""
        stages = dict.fromkeys([*self.seconds, *other.seconds])
        seconds = {stage: self.seconds.get(stage, 0.0) + other.seconds.get(stage, 0.0) for stage in stages}
        lines = dict.fromkeys([*self.lines, *other.lines])
        warnings = dict.fromkeys([*self.warnings, *other.warnings])
        undefined = [*self.undefined, *other.undefined]
        return Preview(self.network, list(lines), undefined, list(warnings), seconds, self.spared + other.spared)


def preview_probe(network: Network, data: Data, probes: Sequence[Probe], settings: Settings) -> Preview:
    """What ``itinf.probe`` will measure.

    Args:
        network, data, probes, settings: as for ``itinf.probe``.

    Raises:
        ItinfError: there are too few clusters for intervals, or ``itinf.probe`` would refuse its arguments.
    """
    study = ProbeStudy(network, data, probes, settings, silent)
    warnings = few(data, len(study.order), len(data), "measured")
    order = study.share("observed")
    with evaluating(network), batch_in_memory(settings.batch):
        read = _first(network, data, order)
        quarter = len(study.share("untrained").indices)
        seconds, sums = probe_seconds(network, study.measurement, order, settings, quarter)
        lines = [*_described(read), _data_line(data, len(order), "measured")]
    lines += _probe_lines(study.measurement.probes, settings)
    return Preview(network.name, lines, undefined(sums.missing, len(network.blocks)), warnings, seconds)


def preview_fit(
    network: Network, data: Data, kind: str, units: int | None, seed: int, batch: int, parts: bool = False
) -> Preview:
    """What ``itinf.fit`` will fit.

    Args:
        network, data, kind, units, seed, batch, parts: as for ``itinf.fit``.

    Raises:
        ItinfError: there are too few units for the lens, or ``itinf.fit`` would refuse its arguments.
    """
    chosen, order = lens_kind(kind), keyed_order(data, clusters_of(data, units), seed)
    with evaluating(network), batch_in_memory(batch):
        read = _first(network, data, order)
        require_fit(network.name, order, chosen, sites(read, parts), read)
        seconds = fit_seconds(network, data, order, chosen, parts)
        lines = [*_described(read), _lens_line(chosen, sites(read, parts), data, order)]
    return Preview(network.name, lines, [], [], seconds)


def preview_transfer(
    network: Network, data: Data, fitting: Data | Lens, kind: str, settings: Settings, rotations: int = 1
) -> Preview:
    """What a transfer will measure, with the fit of its lenses.

    Args:
        network: the network; ``data``: data to score on.
        fitting: data to fit on, or a lens that is fitted already.
        kind: of the lens; ``settings``: of the study; ``rotations``: seeds of the rotated null.

    Raises:
        ItinfError: there are too few units to fit the lens, or too few clusters for intervals.
    """
    clusters = clusters_of(data, settings.units, at_most=True)
    available = len(data) if isinstance(fitting, Lens) or fitting.name == data.name else max(clusters, len(data) // 2)
    warnings = few(data, clusters, available, "read")
    order = keyed_order(data, clusters, settings.seed)
    with evaluating(network), batch_in_memory(settings.batch):
        read = _first(network, data, order)
        lines, seconds = _described(read), Seconds()
        lens = fitting if isinstance(fitting, Lens) else stand_in(network, read, kind)
        if not isinstance(fitting, Lens):
            units = settings.fit_units or default_fit_units(network, fitting)
            fit_order = keyed_order(fitting, clusters_of(fitting, units, at_most=True), settings.seed)
            require_fit(network.name, fit_order, lens_kind(kind), sites(read), read, "--fit-units")
            lines += [_lens_line(lens_kind(kind), sites(read), fitting, fit_order)]
            seconds |= fit_seconds(network, fitting, fit_order, lens_kind(kind), shared=LEFT_OUT_LENSES)
        costs = cell_costs(network, lens, data, order, settings, rotations)
        size, first = units_per_cluster(data), min(CHECK[network.unit], len(order))
        most, least = (transfer_seconds(costs, count, size, network.unit) for count in (len(order), first))
    copies = 1 + (0 if isinstance(fitting, Lens) else settings.untrained)
    lines += [
        _data_line(data, len(order), f"read, at most: until every retention is known to ± {settings.precision:g}")
    ]
    lines += [("cells", f"{costs.cells:,}: each lens at every state of its segment, shared lenses, and nulls")]
    lines += [("nulls", _nulls(["rotated"] if rotations else [], copies - 1))]
    seconds = {stage: copies * spent for stage, spent in (seconds | most).items()}
    return Preview(network.name, lines, [], warnings, seconds, copies * (sum(most.values()) - sum(least.values())))


def _first(network: Network, data: Data, order: Order) -> Trace:
    """A trace of the first clusters, once the description of the network is proven."""
    require_proven(network, data, order.indices)
    return trace(network, load_batch(data, order.indices[:FEW]), gradients=False)


def _described(read: Trace) -> list[tuple[str, str]]:
    """A line on a network and its blocks."""
    network = read.network
    branches = sum(block.branch is not None for block in network.blocks)
    parts = dict.fromkeys(part for block in network.blocks for part in block.parts)
    inside = f"parts: {', '.join(parts)}" if parts else f"{branches} with a branch"
    size = sum(p.numel() for p in network.model.parameters()) / 1e6
    of = [segments(read)[state] for state in read.after]
    blocks = f"{len(network.blocks)} blocks ({inside}), segments {runs_of(of)}"
    return [("network", f"{network.name}: {size:.1f} M parameters, weights {network.weights}; {blocks}")]


def _data_line(data: Data, clusters: int, done: str) -> tuple[str, str]:
    return ("data", f"{data.name}: {_counted(data, clusters)} of {len(data):,} are {done}")


def _lens_line(kind: LensKind, read: Sequence[Site], data: Data, order: Order) -> tuple[str, str]:
    of = len({site.segment for site in read})
    where = f"{len(read)} states in {of} segment{'' if of == 1 else 's'}"
    return ("lens", f"{kind.name}, for {where}; fitted on {_counted(data, len(order))} of {data.name}")


def _counted(data: Data, clusters: int) -> str:
    if data.unit != "token":
        return f"{clusters:,} {data.unit}s"
    size = units_per_cluster(data)
    return f"{clusters * size:,} tokens in {clusters:,} sequences of {size:,}"


def _probe_lines(probes: Sequence[Probe], settings: Settings) -> list[tuple[str, str]]:
    """What the probes measure: gradients, forms, targets, lenses and nulls, each once."""

    def of(name: str) -> str:
        return ", ".join(dict.fromkeys(str(value) for probe in probes for value in getattr(probe, name, ())))

    lenses = ", ".join(dict.fromkeys(probe.lens_name for probe in probes if probe.lens is not None))
    nulls = dict.fromkeys(null for probe in probes for null in probe.null_names)
    lines = [
        ("probes", ", ".join(dict.fromkeys(type(probe).__name__ for probe in probes))),
        ("gradients", f"{of('gradients')}; forms {of('forms')}; target {of('targets')}" if of("gradients") else ""),
        ("read", f"through the network's own readout, and the lenses {lenses}" if lenses else ""),
        ("nulls", _nulls(nulls, settings.untrained)),
    ]
    return [(what, text) for what, text in lines if text]


def _nulls(names: Iterable[str], untrained: int) -> str:
    copies = [f"{untrained} untrained network{'' if untrained == 1 else 's'}"] if untrained else []
    return ", ".join([*names, *copies]) or "none"
