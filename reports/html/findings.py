"""The debate's guesses, each beside the numbers that speak to it; the verdict is the reader's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import pandas as pd

from ..labels import MATCHED, ROTATED, SHARED, UNTRAINED
from ..lens_numbers import LensNumbers, estimate, estimates, rises
from ..numbers import Estimate, average, number, signed

WAYS = (("as they are", ""), ("channels matched", MATCHED))
PAIRS = ((1, "one state away"), (0, "over all pairs"))
STEPS = 6
"""That depth is cut into where networks are compared."""
NOT_MEASURED = "not measured"


class Line(NamedTuple):
    """A network, or a difference of networks, and its numbers."""

    what: str
    said: str


@dataclass(frozen=True)
class Finding:
    """A guess.

    Attributes:
        guess: as it is put in the debate.
        measure: which numbers speak to it.
        lines: these numbers.
    """

    guess: str
    measure: str
    lines: Sequence[Line]


def findings(table: pd.DataFrame, summaries: pd.DataFrame) -> list[Finding]:
    """Every guess with its numbers and 95 % intervals; what was not measured is said.

    Args:
        table: a results table of any number of networks, with transfers of their lenses.
        summaries: of the same transfers.

    Returns:
        Nothing where no lens was moved.
    """
    r = LensNumbers(table, summaries)
    return [Finding(guess, measure, lines(r)) for guess, measure, lines in GUESSES] if r.networks else []


def _images(r: LensNumbers) -> list[Line]:
    lines = []
    for name in r.networks:
        near, far, raw = r.moved(name, 1), r.moved(name), r.raw(name)
        if far.empty:
            lines.append(Line(name, "no pair of states has a retention"))
            continue
        naive = [number(some["mean"].mean(), 2) for some in (raw[raw["distance"] == 1], raw) if len(some)]
        shares = ", ".join(f"{share:.2f}" for share in near["share"])
        lines.append(
            Line(
                f"{name} ({r.modality(name)})",
                f"{_all(near)} one state away ({shares} of depth), {_all(far)} over all {far['cells'].iloc[0]} pairs "
                f"(up to {r.farthest(name):.2f} of depth); raw {' and '.join(naive) or NOT_MEASURED}",
            )
        )
    images, others = _parted(r.networks, lambda name: r.modality(name) == "image")
    if not (images and others):
        return [*lines, Line("images − language", f"{NOT_MEASURED}: all networks are of one kind")]
    lines.append(_gap(r, "images − language", images, others))
    skipping = [name for name in images if r.skips.get(name)]
    if skipping and skipping != images:
        lines.append(_gap(r, "the same, networks with skips", skipping, [n for n in others if r.skips.get(n)]))
    return lines


def _skips(r: LensNumbers) -> list[Line]:
    words, lines = {True: "skips", False: "no skips", None: "skips not recorded"}, []
    for name in r.networks:
        ways = [(way, [(_all(r.moved(name, apart, form)), where) for apart, where in PAIRS]) for way, form in WAYS]
        said = [
            f"{way} {NOT_MEASURED if {text for text, _ in found} == {NOT_MEASURED} else ', '.join(map(' '.join, found))}"
            for way, found in ways
        ]
        lines.append(Line(f"{name} ({words[r.skips.get(name)]})", "; ".join(said)))
    having, lacking = _parted([name for name in r.networks if name in r.skips], lambda name: r.skips[name])
    if not (having and lacking):
        return [*lines, Line("with − without skips", f"{NOT_MEASURED}: no two networks differ in that")]
    twins = [(a, b) for a in having for b in lacking if r.shape(a) == r.shape(b)]
    images = [[name for name in some if r.modality(name) == "image"] for some in (having, lacking)]
    for way, form in WAYS:
        for a, b in twins:
            lines.append(_gap(r, f"{a} − {b}, as many states of as many widths, {way}", [a], [b], form))
        if all(images) and not (twins and max(map(len, images)) == 1):
            lines.append(_gap(r, f"images with − without skips, {way}", images[0], images[1], form))
    return lines


def _later(r: LensNumbers) -> list[Line]:
    lines = []
    for name in r.networks:
        lines.append(Line(f"{name}, label", _told(r.own(name))))
        lines.append(Line(f"{name}, final answer", _told(r.own(name, "model"))))
        seeds = r.seeds(name, UNTRAINED)
        for seed in seeds:
            lines.append(Line(f"{name} untrained, final answer", _told(r.own(name, "model", UNTRAINED, seed))))
        if not seeds:
            lines.append(Line(f"{name} untrained", NOT_MEASURED))
    return lines


def _penalties(r: LensNumbers) -> list[Line]:
    lines = []
    for name in sorted(r.networks, key=lambda name: r.modality(name) == "image"):
        found = r.distances(name, "transfer_penalty")
        if not found:
            lines.append(Line(name, NOT_MEASURED))
            continue
        shown = [found[k] for k in sorted({0, len(found) // 2, len(found) - 1})]
        lost = ", ".join(e.text(most=2) for _, e in shown)
        grows = sum(after.mean > before.mean for (_, before), (_, after) in pairwise(found))
        order = estimates(r.moved(name, measure="transfer_penalty", direction="forward − backward"))
        lines.append(
            Line(
                name,
                f"{lost} bits per {r.unit(name)} at distance {', '.join(str(states) for states, _ in shown)}; "
                f"more at {grows} of {len(found) - 1} further distances than at the one before; moved forward − backward "
                f"{_texts(order, sign=True)}; the last state's own lens tells {_texts(estimates(r.own(name))[-1:])}",
            )
        )
    return lines


def _one_lens(r: LensNumbers) -> list[Line]:
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
                f"{_all(mean)} over {_many(len(states), 'state')}, least {estimate(least).text()} at state {least['index']}; "
                f"depths rotated {_all(r.one_lens(name, null=ROTATED))}; of the final answer {_all(r.one_lens(name, 'model'))}, "
                f"untrained {_all(r.one_lens(name, 'model', UNTRAINED))}",
            )
        )
    return lines


def _evidence(r: LensNumbers) -> list[Line]:
    lines = []
    for name in r.networks:
        steps = r.cut(name, SHARED, STEPS)
        gained = r.steps(name, "efficiency", SHARED, steps)
        if gained.empty:
            lines.append(Line(name, NOT_MEASURED))
            continue
        beyond = r.steps(name, "efficiency_effect", SHARED, steps, "same-target")
        shuffled = r.steps(name, "efficiency", SHARED, steps, "order-shuffled")
        both = gained.merge(shuffled, on="index", suffixes=("", "_null"))
        gaps = [a - b for a, b in zip(estimates(both), estimates(both, "_null"), strict=True)]
        span = f" ({_range(beyond)})" if len(beyond) else ""
        lines.append(
            Line(
                name,
                f"{_range(gained)} over {_many(len(gained), 'step')}; beyond same-target {_sides(estimates(beyond))}{span}; "
                f"beyond its own steps in random order {_sides(gaps)}",
            )
        )
    return lines


GUESSES: tuple[tuple[str, str, Callable[[LensNumbers], list[Line]]], ...] = (
    (
        "Lenses of image networks transfer badly.",
        "Mean retention of lenses moved to another state, one state away and over all pairs. Beside it, without intervals, "
        "the naive raw retention of lenses as confident as they were: its mean is owned by those that are sure and wrong.",
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
        "rise, and how many surely: by more than both intervals. An untrained network knows no label, so it is read for "
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
        f"Least … greatest efficiency of a step, blocks merged to at most {STEPS}. Up and down: steps whose difference from "
        "the null has an interval above or below zero. Only what goes beyond same-target speaks of the unit itself.",
        _evidence,
    ),
)


def _gap(r: LensNumbers, what: str, first: list[str], second: list[str], form: str = "") -> Line:
    """Means of networks, one minus the other; nothing where a network of them has no number."""
    said = []
    for distance, where in PAIRS:
        sides = [[estimates(r.moved(name, distance, form)) for name in names] for names in (first, second)]
        if all(sides) and all(found for side in sides for found in side):
            a, b = (average([found[0] for found in side]) for side in sides)
            said.append(f"{(a - b).text(sign=True)} {where}")
    names = f" (mean of {', '.join(first)} − mean of {', '.join(second)})" if len(first) + len(second) > 2 else ""
    return Line(what, f"{', '.join(said) or NOT_MEASURED}{names}")


def _told(rows: pd.DataFrame) -> str:
    """At the first, the middle and the last state, and how often it rises."""
    found = estimates(rows)
    if not found:
        return NOT_MEASURED
    steps, up, sure = rises(found)
    chosen = [found[k].text(most=2 if found[-1].mean > 1 else 3) for k in (0, len(found) // 2, -1)]
    return f"{' … '.join(chosen)} bits; {up} of {_many(steps, 'step')} rise, {sure} surely"


def _sides(found: Sequence[Estimate]) -> str:
    if not found:
        return NOT_MEASURED
    return f"{sum(e.low > 0 for e in found)} up, {sum(e.high < 0 for e in found)} down, of {len(found)}"


def _range(rows: pd.DataFrame) -> str:
    return f"{signed(rows['mean'].min(), 2)} … {signed(rows['mean'].max(), 2)}"


def _all(rows: pd.DataFrame) -> str:
    return _texts(estimates(rows))


def _texts(found: Sequence[Estimate], sign: bool = False) -> str:
    """One number, or one for each seed of a null."""
    return " and ".join(e.text(sign) for e in found) or NOT_MEASURED


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _parted(names: Sequence[str], first: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    return [name for name in names if first(name)], [name for name in names if not first(name)]
