"""Numbers about blocks by choice: one small table for every target, gradient, kind of update, and measure or form.

All tables are in the page, and radio buttons choose the one that is seen, without a script.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import pandas as pd

from ..labels import GRADIENTS, UNTRAINED
from ..numbers import number, signed
from ..rows import about_blocks, kinds
from .blocks_table import Cell, written

ORDER = ("output", "readout", "input")
"""Gradients; the first one is seen first."""
WHOLE = ("update", "branch")
"""Kinds of update that stand alone; parts stand side by side."""


class Measure(NamedTuple):
    """A measure, and a form where it has several, of the update's direction."""

    heading: str
    measure: str
    form: str
    statistic: str = "mean"
    signed: bool = True


MEASURES = (
    Measure("descent share (gauge-free)", "descent_share", "gauge-free", signed=False),
    Measure("normalised alignment (gauge-free)", "alignment", "gauge-free", "ratio"),
    Measure("cosine, gauge-fixed", "alignment", "gauge-fixed"),
    Measure("cosine, centred", "alignment", "centred"),
    Measure("cosine, raw", "alignment", "raw"),
    Measure("first-order gain, nats", "first_order_gain", ""),
)
"""Gauge-free first: only these may be compared across architectures."""
COLUMNS = (
    ("as measured", "", "observed"),
    ("pairing", "", "pairing"),
    ("beyond pairing", "_effect", "pairing"),
    ("beyond same-target", "_effect", "same-target"),
    ("untrained", "", UNTRAINED),
)
"""Heading, end of the measure's name, null. Levels of nulls have no interval here: that of the difference counts."""
NOTHING = (math.nan, math.nan, math.nan)


class Axis(NamedTuple):
    """One set of radio buttons: a letter, what is chosen, and the choices in order."""

    letter: str
    name: str
    choices: Sequence[str]


class Choice(NamedTuple):
    """The table of one choice.

    Attributes:
        codes: letter and number of its choice on every axis, such as ("t0", "g1", "k0", "m3").
        title: its choices in words.
        groups: (kind, number of columns); headings: of the columns.
        rows: (block, cells); empty where nothing is defined.
        reason: why nothing is.
    """

    codes: Sequence[str]
    title: str
    groups: Sequence[tuple[str, int]]
    headings: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    reason: str = ""


class Curve(NamedTuple):
    """Numbers of one curve by block: mean, lower and upper end; and reasons why some have no value."""

    values: dict[int, tuple[float, float, float]]
    reasons: list[str]


def choices(rows: pd.DataFrame) -> tuple[list[Axis], list[Choice]]:
    """The axes of choice of one network, and its tables; both are empty where no direction was measured.

    Args:
        rows: results of one network.
    """
    rows = _directions(rows)
    if rows.empty:
        return [], []
    measured = kinds(rows)
    parts = tuple(kind for kind in measured if kind not in WHOLE)
    shown: dict[str, Sequence[str]] = {kind: (kind,) for kind in measured if kind in WHOLE}
    shown |= {" beside ".join(parts): parts} if parts else {}
    there = set(zip(rows["measure"], rows["form"], rows["statistic"], strict=True))
    axes = [
        Axis("t", "target", sorted(rows["target"].unique(), key=lambda t: (t != "label", t))),
        Axis("g", "gradient", [g for g in ORDER if g in set(rows["gradient"])]),
        Axis("k", "update", list(shown)),
        Axis("m", "measure", [m.heading for m in MEASURES if (m.measure, m.form, m.statistic) in there]),
    ]
    return axes, list(_tables(rows, axes, shown))


def _tables(rows: pd.DataFrame, axes: Sequence[Axis], shown: Mapping[str, Sequence[str]]) -> Iterator[Choice]:
    names = rows.drop_duplicates("block_index").sort_values("block_index")
    blocks = {int(index): str(name) for index, name in zip(names["block_index"], names["block"], strict=True)}
    by_heading = {measure.heading: measure for measure in MEASURES}
    curves = _curves(rows)
    for (t, target), (g, gradient), (k, update), (m, heading) in product(*(enumerate(axis.choices) for axis in axes)):
        measure = by_heading[heading]
        found = []
        for kind, (column, ending, null) in product(shown[update], COLUMNS):
            key = (target, gradient, kind, measure.measure + ending, measure.form, measure.statistic, null)
            if key in curves:
                found.append((kind, column, ending, null, curves[key]))
        title = f"{heading}; {gradient} gradient; {update}"
        yield _table([f"t{t}", f"g{g}", f"k{k}", f"m{m}"], title, found, measure, blocks)


def _table(
    codes: Sequence[str],
    title: str,
    found: Sequence[tuple[str, str, str, str, Curve]],
    measure: Measure,
    blocks: Mapping[int, str],
) -> Choice:
    """One table; ``found`` are kind, heading, end of the measure's name, null, and curve of each column."""
    defined = [column for column in found if any(mean == mean for mean, *_ in column[-1].values.values())]
    if not defined:
        reasons = [reason for *_, curve in found for reason in curve.reasons]
        return Choice(codes, title, [], [], [], max(reasons, key=reasons.count) if reasons else "it was not measured")
    rows = [
        (
            f"{block} {name}",
            [_cell(curve.values.get(block, NOTHING), measure, ending, null) for _, _, ending, null, curve in defined],
        )
        for block, name in blocks.items()
    ]
    of_kinds = [kind for kind, *_ in defined]
    several = len({kind for kind, *_ in found}) > 1
    groups = [(kind, of_kinds.count(kind)) for kind in dict.fromkeys(of_kinds)] if several else []
    return Choice(codes, title, groups, [heading for _, heading, *_ in defined], rows)


def _cell(value: tuple[float, float, float], measure: Measure, ending: str, null: str) -> Cell:
    """With its interval, but for the level of a null."""
    if ending or null == "observed":
        return written(*value, measure.signed or bool(ending), bool(ending))
    level = value[0]
    return Cell("–" if math.isnan(level) else (signed if measure.signed else number)(level))


def _directions(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows about updates and named gradients, per unit, over all units, through no lens."""
    rows = about_blocks(rows)
    measures = {m.measure + ending for m in MEASURES for ending in ("", "_effect")}
    rows = rows[rows["measure"].isin(measures) & rows["gradient"].isin(list(GRADIENTS)) & (rows["lens"] == "")]
    rows = rows[(rows["subset"] == "all") & rows["statistic"].isin(["mean", "ratio"]) & (rows["unit"] != "sequence")]
    return rows.assign(kind=rows["part"].where(rows["part"] != "", rows["update"]))


def _curves(rows: pd.DataFrame) -> dict[tuple[str, ...], Curve]:
    """Target, gradient, kind, measure, form, statistic and null -> curve; of untrained copies the highest."""
    keys = ["target", "gradient", "kind", "measure", "form", "statistic", "null"]
    copies: dict[tuple[str, ...], dict[int, Curve]] = {}
    columns = (rows[name].tolist() for name in (*keys, "block_index", "mean", "lo", "hi", "reason"))
    seeds = rows["null_seed"].fillna(-1).astype(int)
    for seed, *key, block, mean, lo, hi, reason in zip(seeds, *columns, strict=True):
        curve = copies.setdefault(tuple(key), {}).setdefault(seed, Curve({}, []))
        curve.values.setdefault(int(block), (mean, lo, hi))
        if reason:
            curve.reasons.append(reason)
    return {key: max(of.values(), key=_level) for key, of in copies.items()}


def _level(curve: Curve) -> float:
    """Its mean over blocks with a value."""
    known = [mean for mean, *_ in curve.values.values() if mean == mean]
    return sum(known) / len(known) if known else -math.inf
