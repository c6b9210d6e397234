"""Runs all probes on a slab of clusters, with one forward and one backward pass per batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import torch
from torch import Tensor

from ..data.clusters import Order, Progress, groups, load_batch
from ..data.dataset import Data
from ..errors import ItinfError
from ..lenses.lens import Lens
from ..networks.network import Network
from ..networks.states import structure
from ..networks.trace import SiteId, Target, Trace, concatenate, trace, updates
from ..networks.weights import is_random, readout_fingerprint
from ..probes import Probe
from ..probes.batch import Combination, ProbeBatch, gradient_of
from ..probes.block import BlockProducts
from ..probes.calibration import Calibration, calibrate
from ..probes.gradients import GRADIENTS, GradientName, Key
from ..probes.readouts import Readout, read
from ..results.reasons import OTHER_READOUT, Reason
from ..results.recorder import Recorder
from ..results.sums import KNOWN, StudySums
from ..statistics.nulls import NULLS, Null, null_of, partners_of


@dataclass(frozen=True)
class ProbePass:
    """The probes to run, and the sizes of batches and groups.

    Attributes:
        data: the data set; ``probes``: the probes to run on it.
        batch: clusters per forward pass; ``group``: clusters per group; nulls pair units within a group.
        seed: seed of the random depth orders.
    """

    data: Data
    probes: Sequence[Probe]
    batch: int
    group: int
    seed: int

    def __post_init__(self) -> None:
        _ = self.nulls  # finds mistakes in the nulls before anything is measured

    def without_nulls(self) -> ProbePass:
        """The same probes without nulls, for an untrained network, which is a null itself."""
        return replace(self, probes=[probe.without_nulls() for probe in self.probes])

    @property
    def gradients(self) -> list[GradientName]:
        """Every gradient that a probe asks for."""
        return [g for g in GRADIENTS if any(g in p.gradients for p in self.probes)]

    @property
    def targets(self) -> list[Target]:
        """Every target for which a probe asks for a gradient."""
        return list(dict.fromkeys(t for p in self.probes if p.gradients for t in p.targets))

    @cached_property
    def nulls(self) -> dict[str, Null]:
        """Name -> null, for every null that a probe asks for.

        Raises:
            ItinfError: two different nulls have the same name.
        """
        nulls: dict[str, Null] = {}
        for null in (null_of(given) for probe in self.probes for given in probe.nulls):
            if nulls.setdefault(null.name, null) != null:
                raise ItinfError(f"Two nulls are called {null.name!r}. Give one of them another name.")
        return nulls

    def fitting(self, network: Network) -> list[Probe]:
        """The probes that can run on this network. A lens of the trained network is left out on an untrained one.

        Raises:
            ItinfError: a lens belongs to another network, or two lenses have the same name.
        """
        lenses: dict[str, Lens] = {}
        usable: list[Probe] = []
        readout = ""
        for probe in self.probes:
            if probe.lens is None:
                usable.append(probe)
                continue
            name, lens = probe.lens_name, probe.lens
            if lenses.setdefault(name, lens) is not lens:
                raise ItinfError(
                    f"Two lenses are called {name!r} in the table. Give one a name: "
                    f"{type(probe).__name__}(lens=…, name=…)."
                )
            readout = readout or readout_fingerprint(network)
            if (fingerprint := lens.record.get("readout")) == readout:
                usable.append(probe)
            elif is_random(network):
                without_lens = probe.without_lens()
                usable += [] if without_lens is None else [without_lens]
            else:
                raise ItinfError(
                    f"The {lens.kind} lens of {lens.record.get('network')} was fitted on another readout (fingerprint "
                    f"{fingerprint}) than that of {network.name} ({readout}) in {network.dtype}. "
                    "Fit a lens on this network."
                )
        return usable

    def calibrates(self, network: Network) -> bool:
        """Whether a probe needs the means of updates and gradients, the scales of channels, or a look of its own."""
        scales = network.gauge == "channel-scale" and any(p.scales for p in self.probes)
        return bool(self.gradients) or scales or any(p.looks for p in self.probes)

    def calibrate(self, network: Network, order: Order, progress: Progress) -> Calibration:
        """Means and scales, measured on the calibration clusters."""
        if not self.calibrates(network):
            return Calibration()
        traces = self._calibration_traces(network, order.calibration, progress)
        looking = [probe for probe in self.fitting(network) if probe.looks]
        return calibrate(traces, any(probe.apart for probe in self.probes), [probe.look for probe in looking])

    def measure(self, network: Network, order: Order, slab: slice, means: Calibration, into: StudySums) -> None:
        """Measures the clusters of a slab, which are whole groups, and adds them to ``into``."""
        batch_trace = concatenate(list(self._traces(network, order, slab)))
        members = groups(len(batch_trace), self.group)
        readouts, partners = self._read(batch_trace), self._partners(batch_trace, members)
        probes = self.fitting(network)
        lensed = self._read_lenses(batch_trace, probes)
        places = order.places[slab]
        batch = ProbeBatch(batch_trace, readouts, means, members, partners, self.seed, lensed, self.batch, places)
        record = Recorder(into.entries, into.missing, group=self.group)
        record.count(KNOWN, batch_trace.known)
        self._absent(network, probes, record)
        for probe in probes:
            probe.measure_batch(batch, record)
        for number in range(len(network.blocks)):
            block = BlockProducts(batch, number, self.gradients, self.targets)
            for probe in probes:
                probe.measure_block(block, record)
        if not into.structure:
            into.structure = structure(batch_trace)
            into.nulls = {name: null for name, null in self.nulls.items() if name not in NULLS}
        into.add(batch_trace.keys, record)

    def _traces(self, network: Network, order: Order, slab: slice) -> Iterator[Trace]:
        for piece in groups(slab.stop - slab.start, self.batch):
            part = slice(slab.start + piece.start, slab.start + piece.stop)
            batch = load_batch(self.data, order.indices[part], order.keys[part])
            yield trace(network, batch, self.targets or ("label",), bool(self.gradients))

    def _read(self, batch: Trace) -> dict[SiteId, Readout]:
        if not any(p.readouts for p in self.probes):
            return {}
        return read(batch, self.targets, "readout" in self.gradients)

    def _absent(self, network: Network, fit: Sequence[Probe], record: Recorder) -> None:
        for probe in self.probes:
            if not any(probe is other for other in fit):
                for row in probe.missing_rows(network):
                    record.absent(row, OTHER_READOUT)

    def _read_lenses(self, batch: Trace, probes: Sequence[Probe]) -> dict[str, dict[SiteId, Readout]]:
        lenses = {p.lens_name: p.lens for p in probes if p.lens is not None and p.readouts}
        gradients = "readout" in self.gradients
        return {name: read(batch, self.targets, gradients, lens=lens) for name, lens in lenses.items()}

    def _partners(self, batch: Trace, members: list[slice]) -> dict[str, Tensor]:
        targets = batch.targets.cpu().numpy()
        return {
            name: torch.from_numpy(partners_of(null, targets, batch.keys, members)).to(batch.targets.device)
            for name, null in self.nulls.items()
            if null.partners is not None
        }

    def _calibration_traces(
        self, network: Network, indices: np.ndarray, progress: Progress
    ) -> Iterator[tuple[Trace, dict[Key, Tensor]]]:
        probes = self.fitting(network)
        progress("calibration", 0, len(indices))
        for piece in groups(len(indices), self.batch):
            clusters = load_batch(self.data, indices[piece])
            batch = trace(network, clusters, self.targets or ("label",), bool(self.gradients))
            yield batch, self._vectors(batch, {"": self._read(batch), **self._read_lenses(batch, probes)})
            progress("calibration", piece.stop, len(indices))

    def _vectors(self, batch: Trace, readouts: dict[str, dict[SiteId, Readout]]) -> dict[Key, Tensor]:
        vectors: dict[Key, Tensor] = {}
        for block in range(len(batch.network.blocks)):
            for (update, part), vector in updates(batch, block).items():
                vectors["vector", block, update, part] = vector
                for which, target in product(self.gradients, self.targets):
                    for lens in readouts if which == "readout" else ("",):
                        c = Combination(update, part, which, target, lens)
                        taken = gradient_of(batch, readouts[lens], block, c)
                        if not isinstance(taken, Reason):
                            vectors[taken.key] = taken.direction
        return vectors
