"""Lenses judged and transferred on a data set, until the asked precision is reached; a folder that says so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...data.clusters import Order, Progress, clusters_of, keyed_order, load_batch, silent
from ...data.dataset import Batch, Data, as_data
from ...errors import ItinfError, TooFewError
from ...networks.network import Network
from ...networks.weights import fingerprint, readout_fingerprint
from ...results.manifest import difference, read_manifest
from ...results.schema import SCHEMA
from ...results.transfer_result import IDENTITY, TransferResult
from ..lens import Lens
from .cells import cells_of
from .matrix import TransferMatrix, temperatures
from .retention import precise_enough, widest_half_width
from .summaries import summaries
from .table import transfer_table

CHECK = {"image": 64, "token": 16}
"""Clusters between two looks at the precision."""
PILOT_UNITS = 512
"""Units on which temperatures are chosen and nothing is scored, at most a quarter of all."""


def transfer(
    network: Network,
    lens: Lens,
    data: Any,
    *,
    units: int | None = None,
    precision: float = 0.02,
    rotations: int = 1,
    batch: int = 64,
    seed: int = 0,
    replicates: int = 400,
    out: str | Path | None = None,
    progress: Progress = silent,
) -> TransferResult:
    """Reads every state of a segment by every translator of it, and judges what is read.

    The cost is depth² unembeddings per unit; so it stops by itself once no retention's 95 % interval
    is wider than ± ``precision``.

    Args:
        network: the network.
        lens: an affine or tuned lens of it.
        data: anything ``itinf.probe`` takes; other data than the lens was fitted on.
        units: images or tokens at most; None for all.
        precision: half-width of the interval of every retention.
        rotations: seeds of the rotated-depth null.
        batch: clusters per forward pass; results do not depend on it.
        seed: of the choice of clusters and the bootstrap.
        replicates: of the bootstrap.
        out: results folder; the same transfer there is read, another one refused.
        progress: called with ("transfer", clusters done, clusters in all).

    Raises:
        ItinfError: a shared or logit lens, a lens of another readout, or a folder that holds something else.
    """
    source = as_data(data, network.unit)
    _require(network, lens)
    order, pilot = _orders(source, clusters_of(source, units), seed)
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "network": {"name": network.name, "weights": network.weights, "fingerprint": fingerprint(network.model)},
        "data": {"name": source.name, "note": source.note, "unit": source.unit},
        "settings": {
            "units": units,
            "precision": precision,
            "rotations": rotations,
            "seed": seed,
            "replicates": replicates,
        },
        "lens": {"kind": lens.kind, **lens.record},
    }
    if out is not None and (there := read_manifest(Path(out))) is not None:
        why = difference(manifest, there, IDENTITY)
        if why is not None:
            raise ItinfError(f"{out} holds another transfer: {why}. Choose another --out.")
        return TransferResult.load(out)
    start = time.monotonic()
    reads = cells_of(lens, rotations)
    betas = temperatures(network, lens, reads, _batches(source, pilot, batch))
    grid = TransferMatrix(network, lens, reads, betas, seed, replicates)
    stopped = False
    for slab in _slabs(order, CHECK[network.unit]):  # of a fixed size, so that no batch decides where it stops
        for some in _batches(source, slab, batch):
            grid.add(network, some)
        progress("transfer", grid.clusters, len(order.indices))
        stopped = precise_enough(grid, precision)
        if stopped:
            break
    manifest |= {
        "complete": True,
        "units": grid.units,
        "clusters": grid.clusters,
        "reached": widest_half_width(grid),
        "stopped": stopped,
        "seconds": round(time.monotonic() - start, 1),
    }
    made = TransferResult(transfer_table(network, grid), summaries(network, grid), manifest)
    if out is not None:
        made.save(out)
    return made


def _orders(data: Data, clusters: int, seed: int) -> tuple[Order, Order]:
    """The clusters that are scored, and those before them that only choose temperatures."""
    order = keyed_order(data, clusters, seed)
    length = data[0][1].numel()
    pilot = min(-(-PILOT_UNITS // length), clusters // 4)
    if not 0 < pilot < clusters:
        raise TooFewError(
            f"{clusters} clusters of {data.name} cannot be parted into some that set the lenses' confidence and some "
            "that are scored. Give at least 4 clusters, and better 100."
        )
    return order.part(slice(pilot, None)), order.part(slice(pilot))


def _slabs(order: Order, size: int) -> Iterator[Order]:
    for start in range(0, len(order.indices), size):
        yield order.part(slice(start, start + size))


def _batches(data: Data, order: Order, size: int) -> Iterator[Batch]:
    for slab in _slabs(order, size):
        yield load_batch(data, slab.indices, slab.keys)


def _require(network: Network, lens: Lens) -> None:
    if lens.kind not in ("affine", "tuned"):
        raise ItinfError(f"A {lens.kind} lens has one map for many states; transfer takes an affine or tuned lens.")
    if (given := lens.record.get("readout")) != (wanted := readout_fingerprint(network)):
        raise ItinfError(
            f"This lens was fitted on another readout (fingerprint {given}) than that of {network.name} ({wanted}). "
            "Fit one on this network."
        )
