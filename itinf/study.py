"""One network on one data set: every probe fed by one forward and one backward, resumable, in any number of processes."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import accumulator
from .accumulator import KNOWN, Accumulator
from .calibration import Calibration, calibrate
from .checking import require_readout
from .data import IGNORED, Batch, Data, Order, as_data, keyed_order, load_batch
from .distributed import World, reduce, world
from .errors import ItinfError
from .files import write_text
from .network import Network
from .partners import groups, neighbours, same_target
from .probes import Alignment, Gain, Performance, Prediction, Probe, UpdateNorm
from .readouts import Readout, StateId, read
from .recorder import Recorder
from .run import MANIFEST, SUMS, Run, difference, read_manifest
from .settings import Settings
from .statistics import Sums
from .table import SCHEMA
from .trace import Target, Trace, concatenate, trace
from .untrained import untrained as untrained_network
from .vectors import GradientName, Key, gradient, segments, updates
from .view import BatchView, BlockView
from .weights import fingerprint

Progress = Callable[[str, int, int], None]

SAVE_SECONDS = 15.0
"""How much work an interruption can cost."""

GRADIENTS: tuple[GradientName, ...] = ("input", "output", "readout")


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
    progress: Progress | None = None,
    **settings: Any,
) -> Run:
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
    chosen = list(probes) if probes is not None else default_probes()
    study = _Study(network, source, chosen, Settings.of(settings), batch, progress or (lambda *_: None))
    with world() as here:
        return study.run(here, Path(out) if out is not None else None)


class _Study:
    def __init__(
        self, network: Network, data: Data, probes: list[Probe], settings: Settings, batch: int, progress: Progress
    ) -> None:
        if data.unit != network.unit:
            raise ItinfError(f"{data.name} has {data.unit}s, but {network.name} reads {network.unit}s.")
        self.network, self.data, self.probes, self.settings = network, data, probes, settings
        self.batch, self.progress = batch, progress
        self.length = data[0][1].numel() if len(data) else 1
        self.order = keyed_order(data, self._clusters(), settings.seed, self._calibration())
        if len(self._share("observed").indices) == 0:
            raise ItinfError(
                f"shard {settings.shard} has nothing: {len(self.order.indices):,} clusters make "
                f"{-(-len(self.order.indices) // settings.group)} groups of {settings.group}. Use fewer shards."
            )
        self.gradients = [g for g in GRADIENTS if any(g in p.gradients for p in probes)]
        self.targets: list[Target] = list(dict.fromkeys(t for p in probes if p.gradients for t in p.targets))

    def _clusters(self) -> int | None:
        units, total = self.settings.units, len(self.data) * self.length
        if units is None:
            return None
        if not 0 < units <= total:
            raise ItinfError(
                f"{units:,} {self.network.unit}s asked for, but {self.data.name} has {total:,}. Ask for at most {total:,}."
            )
        return -(-units // self.length)

    def _calibration(self) -> int:
        if self.settings.calibration is not None:
            return self.settings.calibration
        return 256 if self.network.unit == "image" else 32

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
            "probes": [repr(p) for p in self.probes],
            "complete": False,
            "seconds": 0.0,
            "circumstances": {
                "batch": self.batch,
                "device": str(network.device),
                "threads": torch.get_num_threads(),
                "platform": platform.platform(),
                "python": platform.python_version(),
                "versions": {name: version(name) for name in packages},
                "itinf": version("itinf"),
            },
        }

    def run(self, here: World, out: Path | None) -> Run:
        manifest = self.manifest()
        stages: dict[str, Accumulator] = {}
        if out is not None:
            there = read_manifest(out)
            if there is not None and (why := difference(manifest, there)) is not None:
                raise ItinfError(f"{out} holds another study: {why}. Choose another --out.")
            if there is not None and there["complete"]:
                return Run.load(out)
            if there is None and out.exists() and (not out.is_dir() or any(out.iterdir())):
                raise ItinfError(f"{out} exists and holds no itinf results. Choose another --out.")
            if there is not None and (out / SUMS).exists():
                stages, manifest["seconds"] = accumulator.load(out / SUMS), there["seconds"]
        require_readout(self.network, load_batch(self.data, self.order.indices[:2]))
        keeper = _Keeper(stages, manifest, out if here.first else None)
        names = ["observed", *(f"untrained:{seed}" for seed in range(self.settings.untrained))]
        try:
            for name in names:
                self._stage(name, keeper, here)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if "memory" not in str(error).lower():
                raise
            raise ItinfError(
                f"Out of memory with --batch {self.batch} ({str(error).splitlines()[0]}). Try --batch {max(1, self.batch // 2)}."
            ) from error
        return keeper.finish()

    def _stage(self, name: str, keeper: _Keeper, here: World) -> None:
        kind, _, seed = name.partition(":")
        order, network = self._share(kind), self.network
        clusters = len(order.indices)
        total = keeper.stages.setdefault(name, self._empty())
        if total.clusters == clusters:
            return
        if kind == "untrained":
            # batches of a fixed size: BatchNorm's statistics must not depend on --batch
            pieces = groups(len(order.calibration), self.settings.group)
            network = untrained_network(
                network, int(seed), [load_batch(self.data, order.calibration[s]) for s in pieces]
            )
        means = self._calibrate(network, order)
        size = max(1, self.batch // self.settings.group) * self.settings.group
        while total.clusters < clusters:
            start = total.clusters + here.rank * size
            part = total if here.size == 1 else self._empty()
            if start < clusters:
                self._measure(network, order, slice(start, min(start + size, clusters)), means, part)
            if part is not total:
                total.merge(reduce(part, here))
            self.progress(name, total.clusters, clusters)
            keeper.save()

    def _empty(self) -> Accumulator:
        return Accumulator(Sums(self.settings.seed, self.settings.replicates))

    def _share(self, kind: str) -> Order:
        """The clusters of a stage that are this shard's: whole groups, so that no batch matters."""
        place = np.arange(len(self.order.indices))
        if kind == "untrained":
            place = place[: max(self.settings.group, len(place) // 4)]
        if self.settings.shard is not None:
            i, n = self.settings.shard
            place = place[place // self.settings.group % n == i]
        return replace(self.order, indices=self.order.indices[place], keys=self.order.keys[place])

    def _traces(self, network: Network, order: Order, slab: slice) -> Iterator[Trace]:
        for piece in groups(slab.stop - slab.start, self.batch):
            part = slice(slab.start + piece.start, slab.start + piece.stop)
            batch: Batch = load_batch(self.data, order.indices[part], order.keys[part])
            yield trace(network, batch, self.targets or ("label",), bool(self.gradients))

    def _read(self, network: Network, batch: Trace) -> dict[StateId, Readout]:
        if not any(p.readouts for p in self.probes):
            return {}
        return read(network, batch, self.targets, "readout" in self.gradients)

    def _measure(self, network: Network, order: Order, slab: slice, means: Calibration, into: Accumulator) -> None:
        seen = concatenate(list(self._traces(network, order, slab)))
        members = groups(len(seen), self.settings.group)
        view = BatchView(
            network, seen, self._read(network, seen), means, members, self._partners(seen, members), self.settings.seed
        )
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

    def _partners(self, seen: Trace, members: list[slice]) -> dict[str, Tensor]:
        targets = seen.targets.cpu().numpy()
        p = targets.shape[1]
        same = []
        for m in members:
            found = same_target(targets[m], seen.keys[m])
            same.append(torch.from_numpy(found + (found >= 0) * m.start * p))
        near = neighbours(targets.shape, self.settings.group)
        known = targets.ravel() != IGNORED
        near = np.where(known & (near >= 0) & known[near], near, -1)
        device = seen.targets.device
        return {"same-target": torch.cat(same).to(device), "pairing": torch.from_numpy(near).to(device)}

    def _calibrate(self, network: Network, order: Order) -> Calibration:
        if not self.gradients:
            return Calibration()
        fixed = replace(order, indices=order.calibration, keys=order.keys[:0])
        return calibrate(network, self._calibration_traces(network, fixed))

    def _calibration_traces(
        self, network: Network, order: Order
    ) -> Iterator[tuple[Trace, dict[StateId, Readout], dict[Key, Tensor]]]:
        done = 0
        for piece in groups(len(order.indices), self.batch):
            batch = load_batch(self.data, order.indices[piece])
            seen = trace(network, batch, self.targets, True)
            read = self._read(network, seen)
            yield seen, read, self._vectors(network, seen, read)
            done += len(batch)
            self.progress("calibration", done, len(order.indices))

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


class _Keeper:
    """Keeps a study's files in step with its sums."""

    def __init__(self, stages: dict[str, Accumulator], manifest: dict[str, Any], out: Path | None) -> None:
        self.stages, self.manifest, self.out = stages, manifest, out
        self.before, self.start = manifest["seconds"], time.monotonic()
        self.saved = self.start

    def save(self) -> None:
        if self.out is None or time.monotonic() - self.saved < SAVE_SECONDS:
            return
        self._write_manifest()
        accumulator.save(self.out / SUMS, self.stages)
        self.saved = time.monotonic()

    def _write_manifest(self) -> None:
        """Before any sums: sums without a manifest are no study's."""
        assert self.out is not None
        self.manifest["seconds"] = round(self.before + time.monotonic() - self.start, 1)
        write_text(self.out / MANIFEST, json.dumps(self.manifest, indent=2) + "\n")

    def finish(self) -> Run:
        if self.out is not None:
            self._write_manifest()
        run = Run(self.stages, self.manifest | {"complete": True})
        if self.out is not None:
            run.save(self.out)
        return run
