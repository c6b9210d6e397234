"""Are there enough clusters for intervals, and enough units for a lens? Asked before anything is fitted."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.clusters import Order, units_per_cluster
from ..data.dataset import Data
from ..errors import TooFewError
from ..lenses.affine import require_units
from ..lenses.fit_statistics import is_held_out
from ..lenses.kinds import AFFINE, TUNED, LensKind
from ..networks.readout import vectors
from ..networks.states import Site
from ..networks.trace import Trace
from ..statistics.intervals import FEW_CLUSTERS, MIN_CLUSTERS


def few(data: Data, clusters: int, available: int, done: str) -> list[str]:
    """A warning where intervals will be rough, in a list; an empty list where there are enough clusters.

    Args:
        data: the data set.
        clusters: how many clusters of it a study uses; ``available``: how many it could use.
        done: what is done with them, such as "measured".

    Raises:
        TooFewError: there will be no intervals.
    """
    if clusters >= FEW_CLUSTERS:
        return []
    what = f"sequences of {units_per_cluster(data):,} tokens" if data.unit == "token" else f"{data.unit}s"
    needed = f"intervals take at least {MIN_CLUSTERS}, and are rough under {FEW_CLUSTERS}"
    sentence = f"{data.name}: {clusters:,} {what} are {done}; {needed}. {_more(data, clusters, available)}"
    if clusters < MIN_CLUSTERS:
        raise TooFewError(sentence)
    return [sentence]


def _more(data: Data, clusters: int, available: int) -> str:
    """Which option gives more clusters."""
    size, wanted = units_per_cluster(data), min(available, FEW_CLUSTERS)
    if wanted > clusters and wanted >= MIN_CLUSTERS:
        return f"Give --units {wanted * size:,} or more: the data have {available * size:,} {data.unit}s."
    if data.unit != "token":
        return f"Give more {data.unit}s."
    shorter = available * size // FEW_CLUSTERS
    if shorter >= 1:
        return f"Give --length {shorter:,} or less, with --units {FEW_CLUSTERS * shorter:,} or more, or a longer text."
    return "Give a longer text."


def require_fit(
    network_name: str, order: Order, kind: LensKind, read: Sequence[Site], batch_trace: Trace, option: str = "--units"
) -> None:
    """Requires as many units as a map of each state takes, if every unit has a target.

    Args:
        network_name: for the message; ``order``: the clusters to fit on; ``kind``: of the lens.
        read: the states; ``batch_trace``: of some clusters.
        option: gives more units.

    Raises:
        TooFewError: there are too few; says how many it takes.
    """
    if kind.name not in (AFFINE.name, TUNED.name):
        return
    network = batch_trace.network
    fitted = int((~is_held_out(order.keys)).sum())
    last = _rows(vectors(network, batch_trace.states[-1]).shape[:-1], len(batch_trace))
    for site in sorted(read, key=lambda site: -site.width):  # the widest needs most units: name it first
        rows = _rows(vectors(network, batch_trace.state(site.id)).shape[:-1], len(batch_trace))
        each = rows if rows == last else batch_trace.targets.shape[1]
        require_units(fitted * each, site.width, f"{network_name}, state {site.name!r}", f"Give more with {option}.")


def _rows(shape: Sequence[int], clusters: int) -> int:
    """Vectors of one cluster, of a tensor of vectors with these axes."""
    rows = 1
    for length in shape:
        rows *= length
    return rows // clusters
