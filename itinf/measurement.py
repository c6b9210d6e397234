"""Probes on slabs of data: one forward and one backward feed every probe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .accumulator import KNOWN, Accumulator
from .architecture import Network
from .calibration import Calibration, calibrate
from .data import IGNORED, Data, Order, load_batch
from .partners import groups, neighbours, same_target
from .probes import Probe
from .progress import Progress
from .readouts import Readout, StateId, read
from .recorder import Recorder
from .tracing import Target, Trace, concatenate, trace
from .vectors import GradientName, Key, gradient, segments, updates
from .view import BatchView, BlockView

GRADIENTS: tuple[GradientName, ...] = ("input", "output", "readout")


@dataclass(frozen=True)
class Measurement:
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

    @property
    def gradients(self) -> list[GradientName]:
        """Every gradient that a probe asks for."""
        return [g for g in GRADIENTS if any(g in p.gradients for p in self.probes)]

    @property
    def targets(self) -> list[Target]:
        """Every target that a probe wants a gradient for."""
        return list(dict.fromkeys(t for p in self.probes if p.gradients for t in p.targets))

    def calibrate(self, network: Network, order: Order, progress: Progress) -> Calibration:
        """Means and scales from the calibration clusters of an order."""
        if not self.gradients:
            return Calibration()
        return calibrate(network, self._calibration_traces(network, order.calibration, progress))

    def measure(self, network: Network, order: Order, slab: slice, means: Calibration, into: Accumulator) -> None:
        """Measures some clusters, whole groups of them, and adds them up."""
        seen = concatenate(list(self._traces(network, order, slab)))
        members = groups(len(seen), self.group)
        read_out, partners = self._read(network, seen), self._partners(seen, members)
        view = BatchView(network, seen, read_out, means, members, partners, self.seed)
        record = Recorder(into.entries, into.missing)
        record.count(KNOWN, seen.known)
        for probe in self.probes:
            probe.whole(view, record)
        for block in range(len(network.blocks)):
            block_view = BlockView(view, block, self.gradients, self.targets)
            for probe in self.probes:
                probe.block(block_view, record)
        if not into.structure:
            into.structure = describe(network, seen)
        into.add(seen.keys, record)

    def _traces(self, network: Network, order: Order, slab: slice) -> Iterator[Trace]:
        for piece in groups(slab.stop - slab.start, self.batch):
            part = slice(slab.start + piece.start, slab.start + piece.stop)
            batch = load_batch(self.data, order.indices[part], order.keys[part])
            yield trace(network, batch, self.targets or ("label",), bool(self.gradients))

    def _read(self, network: Network, batch: Trace) -> dict[StateId, Readout]:
        if not any(p.readouts for p in self.probes):
            return {}
        return read(network, batch, self.targets, "readout" in self.gradients)

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
        progress("calibration", 0, len(indices))
        for piece in groups(len(indices), self.batch):
            seen = trace(network, load_batch(self.data, indices[piece]), self.targets, True)
            yield seen, self._vectors(network, seen, self._read(network, seen))
            progress("calibration", piece.stop, len(indices))

    def _vectors(self, network: Network, seen: Trace, read: dict[StateId, Readout]) -> dict[Key, Tensor]:
        found: dict[Key, Tensor] = {}
        for block in range(len(network.blocks)):
            for (update, part), vector in updates(seen, block).items():
                found["vector", block, update, part] = vector
                for which in self.gradients:
                    for target in self.targets:
                        g = gradient(network, seen, read, block, update, part, which, target)
                        if not isinstance(g, str):
                            found[g.key] = g.direction
        return found


def describe(network: Network, seen: Trace) -> dict[str, Any]:
    """What the table needs to know of a network: blocks, segments, bridges, sizes."""
    numbers = segments(network, seen)
    joined = [0, *(seen.after[b] for b in range(len(seen.after) - 1))]
    units = 1 if network.unit == "image" else seen.targets.shape[1]
    return {
        "model": network.name,
        "modality": network.modality,
        "unit": network.unit,
        "gauge": network.gauge,
        "blocks": [b.name for b in network.blocks],
        "segments": [numbers[a] for a in seen.after],
        "bridges": [network.blocks[b].name for b, (x, y) in enumerate(zip(seen.before, joined, strict=True)) if x != y],
        "sizes": [seen.states[a][0].numel() // units for a in seen.after],
    }
