"""The debate's guesses, each beside the numbers that speak for or against it; the verdict is the reader's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import pandas as pd

from ..labels import MATCHED, ROTATED, SHARED, UNTRAINED
from ..lens_numbers import LensNumbers, estimate, estimates, rises
from ..numbers import Estimate, counted, number, sides, signed

FORMS = (("as they are", ""), ("channels matched", MATCHED))
DISTANCES = ((1, "one state away"), (0, "over all pairs"))
STEPS = 6
"""Steps that blocks are merged to, so that networks can be compared."""
NOT_MEASURED = "not measured"


class Line(NamedTuple):
    """A network, or a difference of networks, and its numbers in words."""

    name: str
    numbers: str


@dataclass(frozen=True)
class Finding:
    """A guess and its numbers.

    Attributes:
        guess: in the words of the debate.
        measure: which numbers speak for or against it.
        lines: these numbers.
    """

    guess: str
    measure: str
    lines: Sequence[Line]


def findings(table: pd.DataFrame, summaries: pd.DataFrame) -> list[Finding]:
    """Every guess with its numbers and 95 % intervals; what was not measured is named.

    Args:
        table: a results table of any number of networks, with transfers of their lenses.
        summaries: of the same transfers.

    Returns:
        Nothing where no lens was transferred.
    """
    numbers = LensNumbers(table, summaries)
    return [Finding(guess, measure, lines(numbers)) for guess, measure, lines in GUESSES] if numbers.networks else []


def _images(r: LensNumbers) -> list[Line]:
    """Retention of image networks and of language networks."""
    lines = []
    for name in r.networks:
        near, far, raw = r.transferred(name, 1), r.transferred(name), r.raw(name)
        if far.empty:
            lines.append(Line(name, "no pair of states has a retention"))
            continue
        naive = [number(rows["mean"].mean(), 2) for rows in (raw[raw["distance"] == 1], raw) if len(rows)]
        shares = ", ".join(f"{share:.2f}" for share in near["share"])
        lines.append(
            Line(
                f"{name} ({r.modality(name)})",
                f"{_all(near)} one state away ({shares} of depth), {_all(far)} over all {far['cells'].iloc[0]} pairs "
                f"(up to {r.farthest(name):.2f} of depth); raw {' and '.join(naive) or NOT_MEASURED}",
            )
        )
    images, others = _split(r.networks, lambda name: r.modality(name) == "image")
    if not (images and others):
        return [*lines, Line("images and language", f"{NOT_MEASURED}: all networks are of one kind")]
    return [*lines, _ranges(r, "images", images), _ranges(r, "language", others)]


def _skips(r: LensNumbers) -> list[Line]:
    """Retention of networks with and without skips."""
    words, lines = {True: "skips", False: "no skips", None: "skips not recorded"}, []
    for name in r.networks:
        texts = [f"{label} {_at_distances(r, name, form)}" for label, form in FORMS]
        lines.append(Line(f"{name} ({words[r.skips.get(name)]})", "; ".join(texts)))
    having, lacking = _split([name for name in r.networks if name in r.skips], lambda name: r.skips[name])
    if not (having and lacking):
        return [*lines, Line("with − without skips", f"{NOT_MEASURED}: no two networks differ in that")]
    twins = [(a, b) for a in having for b in r.alike_without_skips(a)]
    if not twins:
        return [*lines, Line("with − without skips", f"{NOT_MEASURED}: no two networks are alike but for the skips")]
    for label, form in FORMS:
        for a, b in twins:
            lines.append(_difference(r, f"{a} − {b}, as many states of as many widths, {label}", a, b, form))
    return lines


def _later(r: LensNumbers) -> list[Line]:
    """Bits that own lenses tell, by depth."""
    lines = []
    for name in r.networks:
        lines.append(Line(f"{name}, label", _along_depth(r.own(name))))
        lines.append(Line(f"{name}, final answer", _along_depth(r.own(name, "model"))))
        seeds = r.seeds(name, UNTRAINED)
        for seed in seeds:
            lines.append(Line(f"{name} untrained, final answer", _along_depth(r.own(name, "model", UNTRAINED, seed))))
        if not seeds:
            lines.append(Line(f"{name} untrained", NOT_MEASURED))
    return lines


def _penalties(r: LensNumbers) -> list[Line]:
    """Bits lost by transferred lenses, by distance."""
    lines = []
    for name in sorted(r.networks, key=lambda name: r.modality(name) == "image"):
        penalties = r.by_distance(name, "transfer_penalty")
        if not penalties:
            lines.append(Line(name, NOT_MEASURED))
            continue
        shown = [penalties[k] for k in sorted({0, len(penalties) // 2, len(penalties) - 1})]
        bits = ", ".join(penalty.text(most=2) for _, penalty in shown)
        grows = sum(after.mean > before.mean for (_, before), (_, after) in pairwise(penalties))
        order = estimates(r.transferred(name, measure="transfer_penalty", direction="forward − backward"))
        lines.append(
            Line(
                name,
                f"{bits} bits per {r.unit(name)} at distance {', '.join(str(states) for states, _ in shown)}; "
                f"more at {grows} of {len(penalties) - 1} further distances than at the one before; moved forward − backward "
                f"{_texts(order, sign=True)}; the last state's own lens tells {_texts(estimates(r.own(name))[-1:])}",
            )
        )
    return lines


def _one_lens(r: LensNumbers) -> list[Line]:
    """Retention of one lens at states that it was fitted without."""
    lines = []
    for name in r.networks:
        mean, states = r.one_lens(name), r.left_out(name)
        if mean.empty or states.empty:
            lines.append(Line(name, NOT_MEASURED))
            continue
        least = states.loc[states["mean"].idxmin()]
        lines.append(
            Line(
                name,
                f"{_all(mean)} over {counted(len(states), 'state')}, least {estimate(least).text()} at state "
                f"{least['state_index']}; depths rotated {_all(r.one_lens(name, null=ROTATED))}; of the final answer "
                f"{_all(r.one_lens(name, 'model'))}, untrained {_all(r.one_lens(name, 'model', UNTRAINED))}",
            )
        )
    return lines


def _evidence(r: LensNumbers) -> list[Line]:
    """Efficiency of steps through one lens, beside its nulls."""
    lines = []
    for name in r.networks:
        count = r.step_count(name, SHARED, STEPS)
        efficiencies = r.steps(name, "efficiency", SHARED, count)
        if efficiencies.empty:
            lines.append(Line(name, NOT_MEASURED))
            continue
        beyond = r.steps(name, "efficiency_effect", SHARED, count, "same-target")
        gaps = estimates(r.steps(name, "efficiency_effect", SHARED, count, "order-shuffled"))
        span = f" ({_range(beyond)})" if len(beyond) else ""
        lines.append(
            Line(
                name,
                f"{_range(efficiencies)} over {counted(len(efficiencies), 'step')}; same-target: "
                f"{_sides(estimates(beyond))}{span}; its own steps in random order: {_sides(gaps)}",
            )
        )
    return lines


GUESSES: tuple[tuple[str, str, Callable[[LensNumbers], list[Line]]], ...] = (
    (
        "Lenses of image networks transfer badly.",
        "Mean retention of lenses moved to another state, one state away and over all pairs. Beside it, without intervals, "
        "the naive raw retention of lenses as confident as they were: its mean is dominated by lenses that are confident "
        "and wrong.",
        _images,
    ),
    (
        "Residual connections are why lenses transfer.",
        "Mean retention of lenses moved as they are says whether states share a basis: a skip gives one, and a network "
        "without may change it at every layer without changing any answer. With channels matched, without labels, it says "
        "whether the code is the same but for the order and scale of channels.",
        _skips,
    ),
    (
        "Later lenses read better, in any network.",
        "Bits that each state's own lens tells, at the first … middle … last state; how many steps from state to state "
        "rise, and how many rise by more than both intervals. An untrained network knows no label, so it is read for "
        "its own final answer, as the trained one is beside it.",
        _later,
    ),
    (
        "The penalty of a moved lens is small but not zero, and grows with distance.",
        "Bits lost against the state's own lens by a lens moved as it is, as confident as it is: mean over pairs that many "
        "states apart. Beside it what there is to lose.",
        _penalties,
    ),
    (
        "One lens suffices for all depths.",
        "Mean retention of one lens for all states of a segment, fitted without the state it reads. It tests for a common "
        "code, not for inference: a network that carries its first answer along keeps everything.",
        _one_lens,
    ),
    (
        "Through one lens, each step of depth adds evidence about the unit itself.",
        f"Least … greatest efficiency of a step, blocks merged to at most {STEPS}. Then, for each null, the steps whose "
        "difference from it has an interval above or below zero. Both are questions and no verdicts: whether a "
        "step is the unit's own or its class's, and whether the order of steps matters.",
        _evidence,
    ),
)
"""Each guess, which numbers speak for or against it, and what finds them."""


def _difference(r: LensNumbers, label: str, first: str, second: str, form: str = "") -> Line:
    """Mean retention of one network minus that of another; nothing where one of them has none."""
    texts = []
    for distance, where in DISTANCES:
        a, b = (estimates(r.transferred(name, distance, form)) for name in (first, second))
        if a and b:
            texts.append(f"{(a[0] - b[0]).text(sign=True)} {where}")
    return Line(label, ", ".join(texts) or NOT_MEASURED)


def _ranges(r: LensNumbers, kind: str, names: list[str]) -> Line:
    """The least and the highest retention of a kind of network: a few networks say nothing about the mean of their kind."""
    texts = []
    for distance, where in DISTANCES:
        means = [found[0].mean for name in names if (found := estimates(r.transferred(name, distance)))]
        if means:
            texts.append(f"{number(min(means))} … {number(max(means))} {where}")
    return Line(f"{kind}, {len(names)} network{'s' if len(names) > 1 else ''}", ", ".join(texts) or NOT_MEASURED)


def _at_distances(r: LensNumbers, name: str, form: str) -> str:
    """Mean retention one state away and over all pairs."""
    means = [(_all(r.transferred(name, distance, form)), where) for distance, where in DISTANCES]
    if all(text == NOT_MEASURED for text, _ in means):
        return NOT_MEASURED
    return ", ".join(f"{text} {where}" for text, where in means)


def _along_depth(rows: pd.DataFrame) -> str:
    """At the first, the middle and the last state, and how often it rises."""
    bits = estimates(rows)
    if not bits:
        return NOT_MEASURED
    steps, up, clear = rises(bits)
    chosen = [bits[k].text(most=2 if bits[-1].mean > 1 else 3) for k in (0, len(bits) // 2, -1)]
    return f"{' … '.join(chosen)} bits; {up} of {counted(steps, 'step')} rise, {clear} by more than both intervals"


def _sides(differences: Sequence[Estimate]) -> str:
    """On which side of zero the intervals of differences from a null lie."""
    if not differences:
        return NOT_MEASURED
    above, below = (sum(e.low > 0 for e in differences), sum(e.high < 0 for e in differences))
    return sides(above, below, len(differences), "step")


def _range(rows: pd.DataFrame) -> str:
    return f"{signed(rows['mean'].min(), 2)} … {signed(rows['mean'].max(), 2)}"


def _all(rows: pd.DataFrame) -> str:
    return _texts(estimates(rows))


def _texts(values: Sequence[Estimate], sign: bool = False) -> str:
    """One number, or one for each seed of a null."""
    return " and ".join(e.text(sign) for e in values) or NOT_MEASURED


def _split(names: Sequence[str], in_first: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    return [name for name in names if in_first(name)], [name for name in names if not in_first(name)]
