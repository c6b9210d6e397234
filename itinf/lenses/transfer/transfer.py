"""Scores lenses at every state, their own and others, until retention is as precise as asked for."""

from __future__ import annotations

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
)
from ...data.dataset import Data
from ...data.items import as_data
from ...errors import ItinfError, TooFewError
from ...networks.hooks import evaluating
from ...networks.network import Network
from ...networks.weights import fingerprint, readout_fingerprint
from ...results.circumstances import circumstances
from ...results.folder import ResultsFolder
from ...results.schema import SCHEMA
from ...results.sums import SUMS
from ...results.table import MEASURES
from ...results.transfer_result import SUMMARIES, TransferResult
from ...settings import DEFAULTS, Settings
from ..kinds import either, lens_kind, lens_kinds
from ..lens import Lens
from .cells import Cell, cells_of
from .checkpoint import load_windows, matrix_file, resume
from .matrix import TransferMatrix
from .pilot import pilot_clusters, windows
from .retention import precise_enough, widest_half_width
from .summaries import summaries
from .table import transfer_table

USED = ("units", "seed", "replicates", "precision", "batch")
"""Settings that a transfer uses. ``Network.to`` sets device and dtype."""
CHECK = {"image": 64, "token": 16}
"""Clusters between two checks of the precision."""
FEWEST = 4
"""Clusters that a transfer takes at least."""

VERSIONS = ("lens.itinf", "lens.torch")
"""A transfer may go on under other versions than its lens was fitted with."""


def transfer(
    network: Network,
    lens: Lens,
    data: Any,
    *,
    rotations: int = 1,
    out: str | Path | None = None,
    settings: Settings = DEFAULTS,
    progress: Progress = silent,
    **changes: Any,
) -> TransferResult:
    """Reads every state of a segment with every translator of that segment, and scores it.

    The cost is depth² unembeddings per unit, so it stops once every retention is known to ± ``settings.precision``.

    Args:
        network: the network.
        lens: a lens of it with a map for each state, such as an affine or tuned one.
        data: anything ``itinf.probe`` takes; other data than the lens was fitted on.
        rotations: how many seeds of the rotated null.
        out: results folder. The same transfer there is resumed or read; another one is refused.
        settings: how much is read at most (``units``), how precisely (``precision``), and where.
        progress: called with ("transfer", clusters done, clusters in all).
        **changes: settings by name, in place of those of ``settings``.

    Raises:
        ItinfError: a lens with one map for many states or of another readout, or a folder that holds something else.
    """
    settings = settings.changed(changes, USED)
    source = as_data(data, network.unit)
    _require(network, lens)
    order = _order(source, clusters_of(source, settings.units, at_most=True), settings.seed)
    identity = _identity(network, lens, source, rotations, settings)
    under, where = circumstances(network.device, settings.batch), None if out is None else Path(out)
    with ResultsFolder.open(where, identity, under, what="transfer", ignored=VERSIONS) as folder, evaluating(network):
        if (done := _finished(folder)) is not None:
            return done
        matrix = _begun(folder, network, lens, cells_of(lens, rotations), source, order, settings)
        stopped = _score(folder, network, matrix, source, order, settings, progress)
        result = TransferResult(transfer_table(network, matrix), summaries(network, matrix), {})
        reached = {"units": matrix.units, "clusters": matrix.clusters, "reached": widest_half_width(matrix)}
        folder.complete(result.files(), matrix.clusters, leaves=[SUMS], **reached, stopped=stopped)
        result.manifest = folder.record
    return result


def _identity(network: Network, lens: Lens, data: Data, rotations: int, settings: Settings) -> dict[str, Any]:
    """What makes a transfer the one it is, for its manifest."""
    return {
        "schema": SCHEMA,
        "network": {"name": network.name, "weights": network.weights, "fingerprint": fingerprint(network.model)},
        "data": {"name": data.name, "note": data.note, "unit": data.unit},
        "settings": {
            "units": settings.units,
            "precision": settings.precision,
            "rotations": rotations,
            "seed": settings.seed,
            "replicates": settings.replicates,
        },
        "lens": {"kind": lens.kind, **lens.record},
    }


def _score(
    folder: ResultsFolder,
    network: Network,
    matrix: TransferMatrix,
    data: Data,
    order: Order,
    settings: Settings,
    progress: Progress,
) -> bool:
    """Adds clusters to the matrix until it is precise enough; returns whether it is."""
    if matrix.clusters and precise_enough(matrix, settings.precision):
        return True
    rest = order.part(slice(matrix.clusters, None))
    for piece in groups(len(rest), CHECK[network.unit]):  # of a fixed size: --batch must not decide where it stops
        for batch in batches(data, rest.part(piece), settings.batch):
            matrix.add(network, batch)
        progress("transfer", matrix.clusters, len(order))
        if precise_enough(matrix, settings.precision):
            return True
        folder.save(SUMS, lambda: matrix_file(matrix), matrix.clusters)
    return False


def _finished(folder: ResultsFolder) -> TransferResult | None:
    """What a complete folder holds; one whose tables are damaged begins again, as nothing else holds the numbers."""
    if folder.state != "complete" or folder.path is None:
        return None
    for name in (MEASURES, SUMMARIES):
        if why := folder.problem(name):
            folder.start_over(f"{folder.path / name} {why}", SUMS)
            return None
    return TransferResult.load(folder.path)


def _begun(
    folder: ResultsFolder,
    network: Network,
    lens: Lens,
    cells: list[Cell],
    data: Data,
    order: Order,
    settings: Settings,
) -> TransferMatrix:
    """A matrix that holds what an interrupted transfer has left."""
    seed, replicates = settings.seed, settings.replicates
    path = None if folder.path is None or folder.state != "resume" else folder.path / SUMS
    if path is not None and path.exists():
        try:
            known = load_windows(path, [cell.name for cell in cells])
            matrix = TransferMatrix(network, lens, cells, known, seed, replicates)
            resume(matrix, path)
            folder.resume_at(matrix.clusters)
            return matrix
        except ItinfError as error:
            folder.start_over(str(error), SUMS)
    elif path is not None:
        folder.resume_at(0)
    pilot, every = pilot_clusters(data, order)
    chosen = windows(network, lens, cells, batches(data, pilot, settings.batch), seed, every)
    return TransferMatrix(network, lens, cells, chosen, seed, replicates)


def _order(data: Data, clusters: int, seed: int) -> Order:
    """The clusters that are scored."""
    if clusters < FEWEST:
        raise TooFewError(
            f"{clusters} clusters of {data.name} are too few: the lenses' temperatures are chosen on one half of them "
            f"for the other half. Give at least {FEWEST} clusters, better 100."
        )
    return keyed_order(data, clusters, seed)


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
