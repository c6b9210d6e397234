"""Scores lenses at every state, their own and others, until retention is as precise as asked for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ...data.clusters import (
    Order,
    Progress,
    batches,
    clusters_of,
    groups,
    keyed_order,
    silent,
    units_per_cluster,
)
from ...data.dataset import Data, as_data
from ...errors import ItinfError, TooFewError
from ...networks.network import Network
from ...networks.weights import fingerprint, readout_fingerprint
from ...results.manifest import difference, read_manifest
from ...results.table import SCHEMA
from ...results.transfer_result import IDENTITY, TransferResult
from ..kinds import either, lens_kind, lens_kinds
from ..lens import Lens
from .cells import cells_of
from .matrix import TransferMatrix, temperatures
from .retention import precise_enough, widest_half_width
from .summaries import summaries
from .table import transfer_table

CHECK = {"image": 64, "token": 16}
"""Clusters between two checks of the precision."""
PILOT_UNITS = 512
"""Units, at most a quarter of all, that choose temperatures and are not scored."""


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
    """Reads every state of a segment with every translator of that segment, and scores it.

    The cost is depth² unembeddings per unit, so it stops once no retention's interval is wider than ± ``precision``.

    Args:
        network: the network.
        lens: a lens of it with a map for each state, such as an affine or tuned one.
        data: anything ``itinf.probe`` takes; other data than the lens was fitted on.
        units: images or tokens, at most; None for all.
        precision: half-width that no retention's 95 % interval may exceed.
        rotations: how many seeds of the rotated null.
        batch: clusters per forward pass; results do not depend on it.
        seed: of the choice of clusters and the bootstrap.
        replicates: of the bootstrap.
        out: results folder. The same transfer there is read; another one is refused.
        progress: called with ("transfer", clusters done, clusters in all).

    Raises:
        ItinfError: a lens with one map for many states or of another readout, or a folder that holds something else.
    """
    source = as_data(data, network.unit)
    _require(network, lens)
    order, pilot = _orders(source, clusters_of(source, units, at_most=True), seed)
    settings = {"units": units, "precision": precision, "rotations": rotations, "seed": seed, "replicates": replicates}
    manifest = _identity(network, lens, source, settings)
    if out is not None and (there := read_manifest(Path(out))) is not None:
        if (why := difference(manifest, there, IDENTITY)) is not None:
            raise ItinfError(f"{out} holds another transfer: {why}. Choose another --out.")
        return TransferResult.load(out)
    start = time.monotonic()
    cells = cells_of(lens, rotations)
    betas = temperatures(network, lens, cells, batches(source, pilot, batch))
    matrix = TransferMatrix(network, lens, cells, betas, seed, replicates)
    stopped = _score(network, matrix, source, order, batch, precision, progress)
    manifest |= {
        "complete": True,
        "units": matrix.units,
        "clusters": matrix.clusters,
        "reached": widest_half_width(matrix),
        "stopped": stopped,
        "seconds": round(time.monotonic() - start, 1),
    }
    result = TransferResult(transfer_table(network, matrix), summaries(network, matrix), manifest)
    if out is not None:
        result.save(out)
    return result


def _identity(network: Network, lens: Lens, data: Data, settings: dict[str, Any]) -> dict[str, Any]:
    """What makes a transfer the one it is, for its manifest."""
    return {
        "schema": SCHEMA,
        "network": {"name": network.name, "weights": network.weights, "fingerprint": fingerprint(network.model)},
        "data": {"name": data.name, "note": data.note, "unit": data.unit},
        "settings": settings,
        "lens": {"kind": lens.kind, **lens.record},
    }


def _score(
    network: Network, matrix: TransferMatrix, data: Data, order: Order, batch: int, precision: float, progress: Progress
) -> bool:
    """Adds clusters to the matrix until it is precise enough; returns whether it is."""
    for group in groups(len(order), CHECK[network.unit]):  # of a fixed size: --batch must not decide where it stops
        for loaded in batches(data, order.part(group), batch):
            matrix.add(network, loaded)
        progress("transfer", matrix.clusters, len(order))
        if precise_enough(matrix, precision):
            return True
    return False


def _orders(data: Data, clusters: int, seed: int) -> tuple[Order, Order]:
    """The clusters that are scored, and the pilot clusters before them, which only choose temperatures."""
    order = keyed_order(data, clusters, seed)
    pilot = min(-(-PILOT_UNITS // units_per_cluster(data)), clusters // 4)
    if not 0 < pilot < clusters:
        raise TooFewError(
            f"{clusters} clusters of {data.name} are too few: some must choose the lenses' temperatures, and others are "
            "scored. Give at least 4 clusters, better 100."
        )
    return order.part(slice(pilot, None)), order.part(slice(pilot))


def _require(network: Network, lens: Lens) -> None:
    if not lens_kind(lens.kind).transfers:
        raise ItinfError(
            f"A {lens.kind} lens has one map for many states; transfer needs one for each state. Fit a lens of kind "
            f"{either(kind for kind in lens_kinds() if kind.transfers)}."
        )
    if (fitted := lens.record.get("readout")) != (expected := readout_fingerprint(network)):
        raise ItinfError(
            f"This lens was fitted on another readout (fingerprint {fitted}) than that of {network.name} ({expected}). "
            "Fit one on this network."
        )
