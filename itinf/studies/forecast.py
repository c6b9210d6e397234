"""How long probes and fits will take: a little of each stage is done and timed. None of it enters a result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from ..data.clusters import Order, load_batch, silent
from ..data.dataset import Batch, Data
from ..lenses.affine import best
from ..lenses.fit_statistics import HELD_OUT, fit_statistics
from ..lenses.kfac import KFAC
from ..lenses.kinds import LensKind
from ..lenses.lens import Lens
from ..lenses.moments import Moments
from ..lenses.translator import Translator
from ..lenses.tuned import CURVATURE_UNITS, FEWEST_STEPS, SHARES, Recipe
from ..networks.measuring import evaluating
from ..networks.network import Network
from ..networks.readout import classes_of, logits, vectors
from ..networks.states import sites
from ..networks.trace import Trace, trace
from ..networks.weights import readout_fingerprint
from ..probes.calibration import Calibration
from ..results.sums import StudySums
from ..results.table import table
from ..settings import Settings
from ..statistics.bootstrap import Sums
from .probe_pass import ProbePass

ENOUGH, MOST_TIMES = 0.25, 16
"""Seconds after which a trial is long enough to be believed; and how many times as many items the next one has, at most."""
FIRST = 2
"""Clusters of the first trial."""
FIT_CLUSTERS = 64
"""Clusters of a trial of a fit, at most."""
WIDTH = 512
"""Widest map whose fit is tried; for wider ones, the time grows as the number of multiplications does."""

Seconds = dict[str, float]
"""Stage -> seconds."""


def rate(work: Callable[[int], Any], most: int, first: int = FIRST) -> float:
    """Seconds for each item of some work: more items are tried, until that takes long enough to be timed.

    Args:
        work: called with a number of items.
        most: the largest number; ``first``: the first one.
    """
    count = min(first, most)
    while True:
        seconds = _seconds_of(partial(work, count))
        if seconds >= ENOUGH or count >= most:
            return seconds / count
        enough = round(1.2 * count * ENOUGH / max(seconds, 1e-9))
        count = min(most, max(2 * count, enough), MOST_TIMES * count)


class Cost(NamedTuple):
    """Seconds of some work on a number of items: a fixed part for every portion, and a part for each item."""

    portion: float
    each: float

    def of(self, items: int, portions: int) -> float:
        """Seconds for so many items in so many portions."""
        return portions * self.portion + items * self.each


def cost(work: Callable[[int], Any], total: int, most: int) -> Cost:
    """Times one item, and a portion of a thirty-second of the work, of two items at least.

    Args:
        work: called with a number of items; ``total``: the items there are; ``most``: the largest portion.
    """
    little, much = 1, min(most, max(2, total // 32))
    short = _seconds_of(partial(work, little))
    long = _seconds_of(partial(work, much))
    if short < ENOUGH:  # much of that may have been the start
        short = _seconds_of(partial(work, little))
    if much == little:
        return Cost(0.0, min(short, long) / much)
    each = max(0.0, long - short) / (much - little)
    return Cost(max(0.0, long - each * much), each)


def some(data: Data, order: Order, count: int) -> Batch:
    """The first clusters of an order."""
    return load_batch(data, order.indices[:count], order.keys[:count])


def probe_seconds(
    network: Network, probes: ProbePass, order: Order, settings: Settings, quarter: int
) -> tuple[Seconds, StudySums]:
    """Seconds of a probe study, and the sums of a few clusters: they say which rows have no value, and why.

    Args:
        network: the network; ``probes``: what is measured; ``order``: the clusters; ``settings``: of the study.
        quarter: clusters that an untrained network is measured on.
    """
    calibration, slab = len(order.calibration), max(1, settings.batch // settings.group) * settings.group
    means, sums = Calibration(), StudySums(Sums(settings.seed, settings.replicates))

    def calibrated(count: int) -> None:
        nonlocal means
        means = probes.calibrate(network, replace(order, calibration=order.calibration[:count]), silent)

    def measured(which: ProbePass, count: int) -> StudySums:
        into = StudySums(Sums(settings.seed, settings.replicates))
        which.measure(network, order, slice(0, count), means, into)
        into.sums.flush()
        return into

    def observed(count: int) -> None:
        nonlocal sums
        sums = measured(probes, count)

    before = rate(calibrated, min(calibration, settings.batch)) if probes.calibrates(network) else 0.0
    spent = cost(observed, len(order), min(slab, len(order)))
    seconds = {"calibration": before * calibration, "measuring": spent.of(len(order), -(-len(order) // slab))}
    seconds["table"] = _seconds_of(lambda: table({"observed": _of_one_block(sums)})) * len(network.blocks)
    if settings.untrained:
        share = _seconds_of(lambda: measured(probes.without_nulls(), 1)) / max(1e-9, spent.of(1, 1))
        once = min(1.0, share) * spent.of(quarter, -(-quarter // slab))
        once += before * calibration / 4 + seconds["table"] / 2
        seconds["untrained networks"] = settings.untrained * once
    return seconds, sums


def _of_one_block(sums: StudySums) -> StudySums:
    """The sums with the rows of the middle block and state alone."""
    middle = len(sums.structure["blocks"]) // 2 + 1
    return replace(
        sums, entries={row: e for row, e in sums.entries.items() if middle in (row.block, row.state)}, missing={}
    )


def fit_seconds(
    network: Network, data: Data, order: Order, kind: LensKind, parts: bool = False, shared: int = 0
) -> Seconds:
    """Seconds of the fit of a lens.

    Args:
        network: the network; ``data``: to fit on; ``order``: its clusters.
        kind: of the lens; ``parts``: whether states inside blocks are read, too.
        shared: how many shared lenses are fitted beside it, each with as many maps.
    """
    most = min(len(order), FIT_CLUSTERS)
    each = rate(lambda count: fit_statistics(network, [some(data, order, count)], parts), most)
    batch_trace = trace(network, some(data, order, 1), gradients=False)
    read = sites(batch_trace, parts)
    alone = {width: _map_seconds(width, read[-1].width) for width in {site.width for site in read}}
    maps = shared + (not kind.shared)
    seconds = {"fitting": each * len(order), "maps": maps * sum(alone[site.width] for site in read)}
    if kind.tune is not None:
        costs = _tuning_costs(network, stand_in(network, batch_trace, kind.name, parts), batch_trace)
        seconds["tuning"] = tuning_seconds(costs, len(order) * batch_trace.targets.shape[1])
    return seconds


@dataclass(frozen=True)
class TuningCosts:
    """What the tuning of a lens costs.

    Attributes:
        slope: seconds for the gradients of one unit at all states; ``score``: for its scores on held-out clusters.
        step: seconds of a step of all states.
        curvature: units that curvature is measured on, at most.
    """

    slope: float
    score: float
    step: float
    curvature: int


def tuning_seconds(costs: TuningCosts, units: int, recipe: Recipe | None = None) -> float:
    """Seconds that tuning takes after the fit of its start, on this many units; one in ``HELD_OUT`` is scored only."""
    recipe = recipe or Recipe()
    fitted, held_out = units * (HELD_OUT - 1) / HELD_OUT, units / HELD_OUT
    slopes = recipe.passes * fitted + min(costs.curvature, fitted)
    steps = max(FEWEST_STEPS, recipe.passes * fitted / recipe.units)
    return slopes * costs.slope + steps * costs.step + held_out * costs.score


def stand_in(network: Network, batch_trace: Trace, kind: str, parts: bool = False) -> Lens:
    """A lens that takes as long as a fitted one, and reads every state through the plainest map of its widths."""
    read = sites(batch_trace, parts)
    with torch.no_grad(), evaluating(network):
        classes = classes_of(network, network.per_prediction(batch_trace.states[-1]))
    wide = read[-1].width
    translators = [Translator.of(torch.eye(wide, site.width), torch.zeros(wide)) for site in read]
    even = torch.full((classes,), -float(np.log(classes)), dtype=torch.float64)
    return Lens(kind, read, translators, even, even, {"readout": readout_fingerprint(network)})


def _tuning_costs(network: Network, lens: Lens, batch_trace: Trace) -> TuningCosts:
    """Times the tuning of the first state, and takes every other one for as dear."""
    site, translator = lens.sites[0], lens.translators[0]
    assert translator is not None
    x = vectors(network, batch_trace.state(site.id)).float()
    learner = KFAC(translator, torch.zeros(site.width), network.device)

    def rows(count: int) -> torch.Tensor:
        return x[torch.arange(count, device=x.device) % len(x)]

    def sloped(count: int) -> None:
        with evaluating(network), torch.enable_grad():
            translated = learner(rows(count)).detach().requires_grad_()
            z = logits(network, translated)
            learner.add_gradient(rows(count), torch.autograd.grad(z, translated, z.detach().softmax(1))[0])

    def scored(count: int) -> None:
        with torch.no_grad(), evaluating(network):
            logits(network, learner(rows(count))).log_softmax(1).exp().sum()

    def steps(count: int) -> None:
        for _ in range(count):
            learner.step(0.0)

    states = len(lens.sites) - 1
    slope, score = rate(sloped, 512, 16) * states, rate(scored, 512, 16) * (states * len(SHARES) + 1)
    learner.add_curvature(rows(16), rows(16).new_zeros(16, *x.shape[1:-1], lens.sites[-1].width), 16)
    invert = _seconds_of(lambda: learner.step(0.0))  # the first step inverts the curvature
    step = rate(steps, 8)
    return TuningCosts(slope, score, (step + invert / FEWEST_STEPS) * states, CURVATURE_UNITS * lens.sites[-1].width)


def _map_seconds(width: int, target: int) -> float:
    """Seconds of the fit of one map, from vectors of one width to those of the last state, with all its ridges."""
    x, y = min(width, WIDTH), min(target, WIDTH)
    draw = torch.Generator().manual_seed(0)
    moments = Moments.of(*(torch.randn(2 * x, size, generator=draw) for size in (x, y)))
    return _seconds_of(lambda: best(moments, moments)) * (width / x) ** 2 * max(width, target) / max(x, y)


def _seconds_of(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
