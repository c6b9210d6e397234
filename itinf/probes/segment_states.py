"""The states of a segment as vectors of units, in a form, and their variances over units."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from ..networks.measuring import evaluating
from ..networks.states import segments
from ..results.reasons import ALONE, NO_GAUGE, NO_SKIP_CARRIES, Reason
from ..results.row import Row
from ..statistics.nulls import OBSERVED
from .batch import ProbeBatch

FORMS = ("raw", "centred", "gauge-fixed")
COUNT = "n|segment states"
"""Name of the count of the units, see ``counted`` and ``Spread``."""


def runs(batch: ProbeBatch) -> list[list[int]]:
    """The states of every segment, as indices of ``Trace.states``."""
    numbers = segments(batch.trace)
    return [list(run) for _, run in groupby(range(len(numbers)), key=lambda state: numbers[state])]


def absent(batch: ProbeBatch, states: Sequence[int], form: str) -> Reason | None:
    """Why the states of a segment have no differences in a form; None where they have them."""
    network = batch.network
    if network.skips is False:
        return NO_SKIP_CARRIES
    if len(states) < 2:
        return ALONE
    return NO_GAUGE if form == "gauge-fixed" and network.gauge is None else None


def row_of(batch: ProbeBatch, measure: str, state: int, form: str, null: str = OBSERVED) -> Row:
    """The row of a measure of a state, a ratio of sums that has no target."""
    return batch.state_row(measure, state, statistic="ratio", form=form, target="", null=null)


def vectors(batch: ProbeBatch, state: int, form: str) -> Tensor:
    """What every unit holds at a state: (N, P, C) float64, pooled as the network's readout pools.

    The form ``centred`` is left to the probe. In the form ``gauge-fixed`` channels are divided by their standard deviation over the segment, or what LayerNorm
    cannot see is removed; a rotation changes no dot product, so that nothing is done about it.
    """
    network, trace = batch.network, batch.trace
    with torch.no_grad(), evaluating(network):
        rows = network.pooled(trace.per_prediction(state)).double()
    rows = rows.reshape(*trace.targets.shape, -1)
    if form == "gauge-fixed" and network.gauge == "channel-scale":
        scale = batch.calibration.scales[segments(trace)[state]]
        return torch.where(scale > 0, rows / scale, 0.0)
    if form == "gauge-fixed" and network.gauge == "orthogonal-layernorm":
        return rows - rows.mean(2, keepdim=True)
    return rows


def counted(batch: ProbeBatch) -> Tensor:
    """(N, P) bool: the units that have a target and are not first in their sequence.

    Many language models give the first position a state more than ten times as long as any other, and it would own every
    sum of squares: of SmolLM2 one block would write .87 and another −.44 of the variance.
    """
    known = batch.trace.known.clone()
    if known.shape[1] > 1:
        known[:, 0] = False
    return known


class Spread:
    """Variances and covariances over units, as sums that add up over clusters.

    Means are taken within groups of clusters, and the product of a cluster is corrected for the part that it has in them,
    n/(n − 1) for one unit each: so no mean has to be known before, numbers do not depend on the batch, and the
    sums have no bias, however few clusters a group has. Means that a calibration had measured would add an error of
    their own, which the bootstrap cannot see.

    Attributes:
        known: (N, P) bool: units of groups in which two clusters have units; the others have no mean to be compared with.
    """

    def __init__(self, known: Tensor, groups: Sequence[slice]) -> None:
        sizes = [members.stop - members.start for members in groups]
        self._group = torch.repeat_interleave(torch.tensor(sizes)).to(known.device)  # (N,)
        clusters = self._by_group(known.any(1).double())
        self.known = known & (clusters >= 2)[:, None]
        self._weight = self.known.double()[:, :, None]
        self._units = self._by_group(self._weight.sum((1, 2))).clamp_min(1)
        self._part = clusters / (clusters - 1).clamp_min(1) / self._units

    def centred(self, values: Tensor) -> Tensor:
        """Values (N, P, C) without the mean of their group; 0 for units that are not known."""
        mean = self._by_group((values * self._weight).sum(1)) / self._units[:, None]
        return (values - mean[:, None]) * self._weight

    def product(self, one: Tensor, other: Tensor) -> Tensor:
        """(N, P): products of centred values (N, P, C), whose sum over units estimates their number times the covariance."""
        whole = one.sum(1, keepdim=True) * self._part[:, None, None]
        return ((one + whole) * other).sum(2)

    def _by_group(self, values: Tensor) -> Tensor:
        """The sum over each group of values (N, …), at every one of its clusters."""
        total = values.new_zeros((int(self._group[-1]) + 1, *values.shape[1:]))
        return total.index_add(0, self._group, values)[self._group]
