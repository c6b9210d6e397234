"""Lenses judged and transferred on a data set, until the asked precision is reached; a folder that says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...data.clusters import Order, Progress, clusters_of, keyed_order, load_batch, silent
from ...data.dataset import Batch, Data, as_data
from ...errors import ItinfError, TooFewError
from ...networks.network import Network
from ...networks.weights import fingerprint, readout_fingerprint
from ...results.circumstances import circumstances
from ...results.folder import ResultsFolder
from ...results.sums import SUMS
from ...results.table import MEASURES, SCHEMA
from ...results.transfer_result import SUMMARIES, TransferResult
from ...settings import DEFAULTS, Settings
from ..lens import Lens
from .cells import Cell, cells_of
from .checkpoint import load_betas, matrix_file, resume
from .matrix import TransferMatrix, temperatures
from .retention import precise_enough, widest_half_width
from .summaries import summaries
from .table import transfer_table

CHECK = {"image": 64, "token": 16}
"""Clusters between two looks at the precision."""
PILOT_UNITS = 512
"""Units on which temperatures are chosen and nothing is scored, at most a quarter of all."""

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
    """Reads every state of a segment by every translator of it, and judges what is read.

    The cost is depth² unembeddings per unit; so it stops by itself once no retention's 95 % interval
    is wider than ± ``settings.precision``.

    Args:
        network: the network.
        lens: an affine or tuned lens of it.
        data: anything ``itinf.probe`` takes; other data than the lens was fitted on.
        rotations: seeds of the rotated-depth null.
        out: results folder; the same transfer there is resumed or read, another one refused.
        settings: how much is read at most (``units``), how precisely (``precision``), and where.
        progress: called with ("transfer", clusters done, clusters in all).
        **changes: settings by name, in place of those of ``settings``.

    Raises:
        ItinfError: a shared or logit lens, a lens of another readout, or a folder that holds something else.
    """
    settings = settings.changed(changes)
    source = as_data(data, network.unit)
    _require(network, lens)
    order, pilot = _orders(source, clusters_of(source, settings.units), settings.seed)
    identity: dict[str, Any] = {
        "schema": SCHEMA,
        "network": {"name": network.name, "weights": network.weights, "fingerprint": fingerprint(network.model)},
        "data": {"name": source.name, "note": source.note, "unit": source.unit},
        "settings": {
            "units": settings.units,
            "precision": settings.precision,
            "rotations": rotations,
            "seed": settings.seed,
            "replicates": settings.replicates,
        },
        "lens": {"kind": lens.kind, **lens.record},
    }
    under, where = circumstances(network.device, settings.batch), None if out is None else Path(out)
    with ResultsFolder.open(where, identity, under, what="transfer", ignored=VERSIONS) as folder:
        if (done := _finished(folder)) is not None:
            return done
        matrix = _begun(
            folder,
            network,
            lens,
            cells_of(lens, rotations),
            _batches(source, pilot, settings.batch),
            settings.seed,
            settings.replicates,
        )
        stopped = matrix.clusters > 0 and precise_enough(matrix, settings.precision)
        for slab in _slabs(order.part(slice(matrix.clusters, None)), CHECK[network.unit]):
            if stopped:
                break
            for some in _batches(
                source, slab, settings.batch
            ):  # within a slab of fixed size: no batch decides where it stops
                matrix.add(network, some)
            progress("transfer", matrix.clusters, len(order.indices))
            stopped = precise_enough(matrix, settings.precision)
            folder.save(SUMS, lambda: matrix_file(matrix), matrix.clusters)
        made = TransferResult(transfer_table(network, matrix), summaries(network, matrix), {})
        reached = {"units": matrix.units, "clusters": matrix.clusters, "reached": widest_half_width(matrix)}
        folder.complete(made.files(), matrix.clusters, leaves=[SUMS], **reached, stopped=stopped)
        made.manifest = folder.record
    return made


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
    pilot: Iterator[Batch],
    seed: int,
    replicates: int,
) -> TransferMatrix:
    """A matrix that holds what an interrupted transfer has left."""
    path = None if folder.path is None or folder.state != "resume" else folder.path / SUMS
    if path is not None and path.exists():
        try:
            matrix = TransferMatrix(network, lens, cells, load_betas(path, [c.name for c in cells]), seed, replicates)
            resume(matrix, path)
            folder.resume_at(matrix.clusters)
            return matrix
        except ItinfError as error:
            folder.start_over(str(error), SUMS)
    elif path is not None:
        folder.resume_at(0)
    return TransferMatrix(network, lens, cells, temperatures(network, lens, cells, pilot), seed, replicates)


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
