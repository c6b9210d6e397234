"""Probes on slabs of data: one forward and one backward feed every probe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.clusters import Order, Progress, groups, load_batch
from ..data.dataset import IGNORED, Data
from ..errors import ItinfError
from ..lenses.lens import Lens
from ..networks.network import Network
from ..networks.states import structure
from ..networks.trace import SiteId, Target, Trace, concatenate, trace, updates
from ..networks.weights import readout_fingerprint
from ..probes import Alignment, Gain, Prediction, Probe
from ..probes.batch import Combination, ProbeBatch, gradient_of, lens_name
from ..probes.block import BlockProducts
from ..probes.calibration import Calibration, calibrate
from ..probes.gradients import GradientName, Key
from ..probes.readouts import Readout, read
from ..results.recorder import Recorder
from ..results.row import Row
from ..results.sums import KNOWN, StudySums
from ..statistics.nulls import neighbours, same_target

GRADIENTS: tuple[GradientName, ...] = ("input", "output", "readout")
UNREAD: dict[type, tuple[str, str, str]] = {
    Prediction: ("efficiency", "ratio", ""),
    Alignment: ("alignment", "mean", "readout"),
    Gain: ("first_order_gain", "mean", "readout"),
}
"""Measure, statistic and gradient of the row that says why a probe's lens reads nothing."""


@dataclass(frozen=True)
class ProbePass:
    """What is measured, and in which portions.

    Attributes:
        data: the data set; ``probes``: what to measure on it.
        batch: clusters per forward pass; ``group``: clusters within which nulls find their pairs.
        seed: of random depth orders.
    """

    data: Data
    probes: Sequence[Probe]
    batch: int
    group: int
    seed: int

    def without_nulls(self) -> ProbePass:
        """The same measures without their nulls, for a network that is a null itself."""
        bare: list[Any] = [replace(p, nulls=()) if hasattr(p, "nulls") and is_dataclass(p) else p for p in self.probes]
        return replace(self, probes=bare)

    @property
    def gradients(self) -> list[GradientName]:
        """Every gradient that a probe asks for."""
        return [g for g in GRADIENTS if any(g in p.gradients for p in self.probes)]

    @property
    def targets(self) -> list[Target]:
        """Every target that a probe wants a gradient for."""
        return list(dict.fromkeys(t for p in self.probes if p.gradients for t in p.targets))

    def fitting(self, network: Network) -> list[Probe]:
        """The probes, less what takes a lens where the lens is of the trained network and this one is not.

        Raises:
            ItinfError: a lens of another network, or two lenses of one name.
        """
        lenses: dict[str, Lens] = {}
        fit: list[Probe] = []
        own = ""
        for probe in self.probes:
            if not isinstance(probe, Alignment | Gain | Prediction) or probe.lens is None:
                fit.append(probe)
                continue
            name, lens = lens_name(probe), probe.lens
            if lenses.setdefault(name, lens) is not lens:
                raise ItinfError(
                    f"Two lenses are called {name!r} in the table. Give one a name: {type(probe).__name__}(lens=…, name=…)."
                )
            own = own or readout_fingerprint(network)
            if (given := lens.record.get("readout")) == own:
                fit.append(probe)
            elif network.weights.startswith("random"):
                fit += [] if isinstance(probe, Prediction) else [_without_lens(probe)]
            else:
                raise ItinfError(
                    f"The {lens.kind} lens of {lens.record.get('network')} was fitted on another readout (fingerprint "
                    f"{given}) than that of {network.name} ({own}) in {network.dtype}. Fit one on this network."
                )
        return fit

    def calibrate(self, network: Network, order: Order, progress: Progress) -> Calibration:
        """Means and scales from the calibration clusters of an order."""
        if not self.gradients:
            return Calibration()
        return calibrate(self._calibration_traces(network, order.calibration, progress))

    def measure(self, network: Network, order: Order, slab: slice, means: Calibration, into: StudySums) -> None:
        """Measures some clusters, whole groups of them, and adds them up."""
        seen = concatenate(list(self._traces(network, order, slab)))
        members = groups(len(seen), self.group)
        read_out, partners = self._read(network, seen), self._partners(seen, members)
        probes = self.fitting(network)
        lensed = self._read_lenses(network, seen, probes)
        view = ProbeBatch(seen, read_out, means, members, partners, self.seed, lensed)
        record = Recorder(into.entries, into.missing)
        record.count(KNOWN, seen.known)
        self._absent(network, probes, record)
        for probe in probes:
            probe.measure_batch(view, record)
        for block in range(len(network.blocks)):
            block_view = BlockProducts(view, block, self.gradients, self.targets)
            for probe in probes:
                probe.measure_block(block_view, record)
        if not into.structure:
            into.structure = structure(seen)
        into.add(seen.keys, record)

    def _traces(self, network: Network, order: Order, slab: slice) -> Iterator[Trace]:
        for piece in groups(slab.stop - slab.start, self.batch):
            part = slice(slab.start + piece.start, slab.start + piece.stop)
            batch = load_batch(self.data, order.indices[part], order.keys[part])
            yield trace(network, batch, self.targets or ("label",), bool(self.gradients))

    def _read(self, network: Network, batch: Trace) -> dict[SiteId, Readout]:
        if not any(p.readouts for p in self.probes):
            return {}
        return read(batch, self.targets, "readout" in self.gradients)

    def _absent(self, network: Network, fit: Sequence[Probe], record: Recorder) -> None:
        for probe in self.probes:
            if any(probe is other for other in fit):
                continue
            measure, statistic, gradient = UNREAD[type(probe)]
            for block, target in product(range(len(network.blocks)), probe.targets):
                name = lens_name(probe)
                row = Row(measure, block + 1, network.unit, statistic, gradient, target=target, lens=name)
                record.absent(row, "the lens was fitted on another readout")

    def _read_lenses(self, network: Network, batch: Trace, probes: Sequence[Probe]) -> dict[str, dict[SiteId, Readout]]:
        lenses = {lens_name(p): p.lens for p in probes if "readout" in p.gradients and isinstance(p, Alignment | Gain)}
        return {n: read(batch, self.targets, lens=lens) for n, lens in lenses.items() if lens is not None}

    def _partners(self, seen: Trace, members: list[slice]) -> dict[str, Tensor]:
        targets = seen.targets.cpu().numpy()
        p = targets.shape[1]
        same = []
        for m in members:
            found = same_target(targets[m], seen.keys[m])
            same.append(torch.from_numpy(found + (found >= 0) * m.start * p))
        near = neighbours(targets.shape, self.group)
        known = targets.ravel() != IGNORED
        near = np.where(known & (near >= 0) & known[near], near, -1)
        device = seen.targets.device
        return {"same-target": torch.cat(same).to(device), "pairing": torch.from_numpy(near).to(device)}

    def _calibration_traces(
        self, network: Network, indices: np.ndarray, progress: Progress
    ) -> Iterator[tuple[Trace, dict[Key, Tensor]]]:
        probes = self.fitting(network)
        progress("calibration", 0, len(indices))
        for piece in groups(len(indices), self.batch):
            seen = trace(network, load_batch(self.data, indices[piece]), self.targets, True)
            lensed = self._read_lenses(network, seen, probes)
            yield seen, self._vectors(network, seen, {"": self._read(network, seen), **lensed})
            progress("calibration", piece.stop, len(indices))

    def _vectors(self, network: Network, seen: Trace, read: dict[str, dict[SiteId, Readout]]) -> dict[Key, Tensor]:
        found: dict[Key, Tensor] = {}
        for block in range(len(network.blocks)):
            for (update, part), vector in updates(seen, block).items():
                found["vector", block, update, part] = vector
                for which in self.gradients:
                    for target in self.targets:
                        for lens in read if which == "readout" else ("",):
                            g = gradient_of(seen, read[lens], block, Combination(update, part, which, target, lens))
                            if not isinstance(g, str):
                                found[g.key] = g.direction
        return found


def _without_lens(probe: Alignment | Gain) -> Probe:
    return replace(probe, lens=None, gradients=[g for g in probe.gradients if g != "readout"])
