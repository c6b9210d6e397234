"""Scores lenses at every state, their own and others, until retention is as precise as asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load as of_bytes
from safetensors.torch import save

from ...data.clusters import (
    Order,
    Progress,
    batches,
    clusters_of,
    groups,
    identity_of,
    keyed_order,
    units_per_cluster,
)
from ...data.dataset import Batch, Data
from ...data.items import as_data
from ...data.progress import visible
from ...errors import ItinfError, TooFewError, batch_in_memory
from ...networks.check import require_proven
from ...networks.measuring import evaluating
from ...networks.network import Network, require_network
from ...networks.weights import fingerprint
from ...results.circumstances import circumstances
from ...results.folder import ResultsFolder
from ...results.manifest import folder_of
from ...results.schema import SCHEMA
from ...results.sums import SUMS
from ...results.table import MEASURES
from ...results.transfer_result import REPLICATES, SUMMARIES, TransferResult
from ...settings import DEFAULTS, Settings, whole
from ...statistics.processes import (
    agreed,
    from_first,
    here,
    joined_bytes,
    parted_bytes,
    process_group,
    summed,
    summed_sums,
)
from ..kinds import either, lens_kind, lens_kinds
from ..lens import Lens, require_lens, require_readout
from .cells import Cell, cells_of, cells_of_other_data
from .checkpoint import load_windows, matrix_file, resume
from .matrix import TransferMatrix
from .pilot import pilot_clusters, windows
from .replicates import replicates
from .retention import precise_enough, widest_half_width
from .summaries import summaries
from .table import transfer_table

USED = ("units", "seed", "replicates", "precision", "pairs", "counterfactual", "group", "batch")
"""Settings that a transfer uses. ``Network.to`` sets device and dtype."""
CHECK = {"image": 64, "token": 16, "text": 64}
"""Clusters between two checks of the precision."""
FEWEST = 4
"""Clusters that a transfer takes at least."""
TOLD_SECONDS = 1.0
"""Time between two calls of a progress function, at least, while a batch is read."""

VERSIONS = ("lens.itinf", "lens.torch")
"""A transfer may go on under other versions than its lens was fitted with."""


def transfer(
    network: Network,
    lens: Lens,
    data: Any,
    *,
    also: Sequence[Lens] = (),
    rotations: int = 1,
    out: str | Path | None = None,
    settings: Settings = DEFAULTS,
    progress: Progress | None = None,
    **changes: Any,
) -> TransferResult:
    """Reads every state of a segment with every translator of that segment, and scores it.

    The cost is depth² unembeddings per unit, so it stops once every retention is known to ± ``settings.precision``.

    Args:
        network: the network.
        lens: a lens of it with a map for each state, such as an affine or tuned one.
        data: anything ``itinf.probe`` takes; other data than the lens was fitted on.
        also: lenses of the same kind that were fitted on other data: how much do they retain?
        rotations: how many seeds of the rotated null.
        out: results folder. The same transfer there is resumed or read; another one is refused.
        settings: how much is read at most (``units``), how precisely (``precision``), and where.
        progress: called with ("pilot" or "transfer", units done, units in all); by default a notebook shows a bar.
        **changes: settings by name, in place of those of ``settings``.

    Raises:
        ItinfError: a lens with one map for many states or of another readout, or a folder that holds something else.

    Under torchrun every process has to call it; each reads its share of the clusters, and gets the same result.
    """
    require_network(network)
    require_lens(lens)
    rotations = whole("rotations", rotations, 0, "it is the number of seeds of the rotated null")
    settings, progress = settings.changed(changes, USED), visible(progress)
    source = as_data(data, network.unit, network.classes, network.name)
    _require(network, lens)
    _require_also(network, lens, also)
    order = _order(source, clusters_of(source, settings.units, at_most=True), settings.seed)
    identity = _identity(network, lens, identity_of(source, order.indices), rotations, settings, also)
    under, where = circumstances(network.device, settings.batch), None if out is None else folder_of(out)
    with (
        process_group(),
        ResultsFolder.open(where, identity, under, what="transfer", ignored=VERSIONS) as folder,
        evaluating(network),
        batch_in_memory(settings.batch),
    ):
        if folder.from_first(lambda: b"yes" if _finished(folder) else b"") and where is not None:
            return _shared(folder, lambda: TransferResult.load(where))
        require_proven(network, source, order.indices)
        cells = cells_to_read(network, lens, rotations, settings)
        cells += [cell for other in also for cell in cells_of_other_data(lens, other)]
        matrix = _begun(folder, network, lens, cells, source, order, settings, progress)
        stopped = _score(folder, network, matrix, source, order, settings, progress)
        return _shared(folder, lambda: _result(folder, network, matrix, stopped))


def _result(folder: ResultsFolder, network: Network, matrix: TransferMatrix, stopped: bool) -> TransferResult:
    """Computes the tables and completes the folder; the first process does it, which has all the sums."""
    result = TransferResult(transfer_table(network, matrix), summaries(network, matrix), {}, replicates(matrix))
    reached = {"units": matrix.units, "clusters": matrix.clusters, "reached": widest_half_width(matrix)}
    folder.complete(result.files(), matrix.clusters, leaves=[SUMS], **reached, stopped=stopped)
    result.manifest = folder.record
    return result


def _shared(folder: ResultsFolder, make: Callable[[], TransferResult]) -> TransferResult:
    """The result that the first process makes, for all."""
    made: list[TransferResult] = []

    def content() -> bytes:
        made.append(make())
        if here().size == 1:
            return b""
        return joined_bytes([*made[0].files().values(), json.dumps(made[0].manifest).encode()])

    whole = folder.from_first(content)
    if made:
        return made[0]
    table, means, kept, manifest = map(BytesIO, parted_bytes(whole))
    return TransferResult(pd.read_parquet(table), pd.read_parquet(means), json.load(manifest), pd.read_parquet(kept))


def cells_to_read(network: Network, lens: Lens, rotations: int, settings: Settings) -> list[Cell]:
    """The cells of a transfer: no state without skips is a summand of a later one, and none has counterfactual states."""
    return cells_of(lens, rotations, settings.pairs, settings.counterfactual and network.skips is not False)


def _whole(settings: Settings) -> int:
    """Clusters that are read together: with counterfactual states a group, in which partners are sought."""
    return settings.group if settings.counterfactual else 1


def _mine(order: Order, whole: int) -> Order:
    """The clusters of this process: an equal share of an order, in pieces of ``whole``."""
    first, beyond = (whole * (-(-len(order) // whole) * part // here().size) for part in (here().rank, here().rank + 1))
    return order.part(slice(first, beyond))


def _read(data: Data, order: Order, settings: Settings) -> Iterator[Batch]:
    return batches(data, order, settings.group if settings.counterfactual else settings.batch)


def _identity(
    network: Network, lens: Lens, read: dict[str, Any], rotations: int, settings: Settings, also: Sequence[Lens]
) -> dict[str, Any]:
    """What makes a transfer the one it is, for its manifest."""
    return {
        "schema": SCHEMA,
        "network": {"name": network.name, "weights": network.weights, "fingerprint": fingerprint(network.model)},
        "data": read,
        "settings": {
            "units": settings.units,
            "precision": settings.precision,
            "rotations": rotations,
            "seed": settings.seed,
            "replicates": settings.replicates,
            **({} if settings.pairs else {"pairs": False}),
            **({"counterfactual": True, "group": settings.group} if settings.counterfactual else {}),
        },
        "lens": {"kind": lens.kind, **lens.record},
        **({"also": [other.record for other in also]} if also else {}),
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
    if agreed(lambda: matrix.clusters > 0 and precise_enough(matrix, settings.precision)):
        return True
    done = int(from_first(lambda: str(matrix.clusters).encode()))
    rest, size = order.part(slice(done, None)), units_per_cluster(data)
    whole = _whole(settings)
    for piece in groups(
        len(rest), -(-CHECK[network.unit] // whole) * whole
    ):  # of a fixed size: --batch must not decide where it stops
        told = _told(progress, "transfer", len(matrix.cells), (done + piece.start) * size, len(order) * size)
        _add(matrix, network, _read(data, _mine(rest.part(piece), whole), settings), settings.batch, told)
        read, most = (done + piece.stop) * size, len(order) * size
        progress("transfer", read, most)
        if agreed(lambda: precise_enough(matrix, settings.precision)):
            if read < most:
                progress("transfer", read, read)  # it ends here
            return True
        folder.save(SUMS, lambda: matrix_file(matrix), matrix.clusters)
    return False


def _told(progress: Progress, stage: str, cells: int, before: int, total: int) -> Callable[[int], None]:
    """A function that takes how often a cell of this process has read a unit, and now and then tells the progress."""
    read, last = before * cells, time.monotonic()

    def told(count: int) -> None:
        nonlocal read, last
        read += count * here().size
        if time.monotonic() - last >= TOLD_SECONDS:
            last = time.monotonic()
            progress(stage, min(read // cells, total), total)

    return told


def _add(
    matrix: TransferMatrix, network: Network, batches: Iterator[Batch], at_once: int, told: Callable[[int], None]
) -> None:
    """Adds the batches of all processes to the matrix of the first one."""
    part = matrix if here().size == 1 else matrix.empty()
    for batch in batches:
        part.add(network, batch, told, at_once)
    if part is not matrix:
        part.halves, part.marginals = [summed_sums(sums) for sums in part.halves], summed(part.marginals)
        if here().first:
            matrix.merge(part)


def _finished(folder: ResultsFolder) -> bool:
    """Whether a folder holds the result; one whose tables are damaged begins again, as nothing else has the numbers."""
    if folder.state != "complete" or folder.path is None:
        return False
    listed = folder.manifest.get("files", {})  # an older itinf kept no replicates
    for name in (MEASURES, SUMMARIES, *({REPLICATES} & set(listed))):
        if why := folder.problem(name):
            folder.start_over(f"{folder.path / name} {why}", SUMS)
            return False
    return True


def _begun(
    folder: ResultsFolder,
    network: Network,
    lens: Lens,
    cells: list[Cell],
    data: Data,
    order: Order,
    settings: Settings,
    progress: Progress,
) -> TransferMatrix:
    """A matrix that holds what an interrupted transfer has left."""
    seed, replicates = settings.seed, settings.replicates
    path = None if folder.path is None or folder.state != "resume" else folder.path / SUMS
    matrix: TransferMatrix | None = None

    def begun() -> bytes:
        nonlocal matrix
        if path is not None and path.exists():
            try:
                known = load_windows(path, [cell.name for cell in cells])
                matrix = TransferMatrix(network, lens, cells, known, seed, replicates)
                resume(matrix, path)
                folder.resume_at(matrix.clusters)
                return save({"windows": known})
            except ItinfError as error:
                matrix = None
                folder.start_over(str(error), SUMS)
        elif path is not None:
            folder.resume_at(0)
        pilot, every = pilot_clusters(data, order)
        told = _told(progress, "pilot", len(cells), 0, len(pilot) * -(-units_per_cluster(data) // every))
        read = _read(data, pilot, settings)
        return save({"windows": windows(network, lens, cells, read, seed, every, told, settings.batch)})

    chosen = of_bytes(folder.from_first(begun))["windows"]  # only the first process has the sums
    return matrix or TransferMatrix(network, lens, cells, chosen, seed, replicates)


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
    require_readout(network, lens)


def _require_also(network: Network, lens: Lens, also: Sequence[Lens]) -> None:
    """Refuses lenses that do not fit beside the one that is transferred."""
    for other in also:
        require_lens(other)
        require_readout(network, other)
        if other.kind != lens.kind or other.sites != lens.sites:
            raise ItinfError(
                f"A {other.kind} lens was given beside a {lens.kind} lens; expected one of the same kind and states, "
                "which differs in the data it was fitted on alone. Fit it in the same way."
            )
    names = [other.record.get("data") for other in also]
    if len(set(names)) < len(names):
        raise ItinfError(
            f"Two lenses were given that were fitted on {names[0]}. Give lenses of different data, or of one at a time."
        )
