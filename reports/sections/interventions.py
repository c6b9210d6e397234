"""What each block is for: what changes without it, in another place, or when it runs again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from ..charts.switches import chart_script, chart_style
from ..figures.identity import controls_first, identities
from ..figures.lesions import BEST, LESION, SWAP, Chosen, lesions
from ..html.picture import Pictures
from ..html.template import render
from ..numbers import Estimate, counted, number
from ..verdict.sentence import named
from .charts import charts
from .results import Results
from .section import Draw, Section

NAME, TITLE = "lesions", "Answers that stay without a block"
MOST = 0.9
"""Blocks without which at least this share of the answers stays are hardly needed."""


class Line(NamedTuple):
    """One network in the table, in words."""

    network: str
    spare: str
    gone: str
    least: str
    cost: str
    predicted: str
    swapped: str
    again: str


def _figures(results: Results) -> Mapping[str, Draw]:
    if Chosen(LESION).of(results.table).empty:
        return {}
    return {NAME: lambda: lesions(results.table, roles=results.roles)}


def _html(results: Results, pictures: Pictures) -> Markup | None:
    networks = controls_first(identities(results.table), results.roles)
    lines = [line for name in networks if (line := _line(name, results.rows(name))) is not None]
    if not lines:
        return None
    drawn = charts(pictures, [(NAME, TITLE, _caption(lines))])
    return render("sections/interventions.html", lines=lines, charts=drawn, most=MOST)


def _line(name: str, table: pd.DataFrame) -> Line | None:
    gone = Chosen(LESION).of(table).dropna(subset="mean")
    if gone.empty:
        return None
    swapped, cost = (Chosen(*of).of(table).dropna(subset="mean") for of in ((SWAP,), (LESION, "cost")))
    predicted, best = (
        Chosen(*of).of(table).dropna(subset="mean") for of in ((LESION, "predicted_cost"), (BEST, "cost"))
    )
    least = gone.loc[gone["mean"].idxmin()]
    worst = cost.loc[cost["mean"].idxmax()]
    expected = predicted[predicted["block_index"] == worst["block_index"]]["mean"]
    return Line(
        network=name,
        spare=f"{int((gone['mean'] >= MOST).sum())} of {counted(len(gone), 'block')}",
        gone=number(float(gone["mean"].median()), 2),
        least=f"{number(float(least['mean']), 2)}, block {int(least['block_index'])}",
        cost=f"{_estimate(worst)}, block {int(worst['block_index'])}",
        predicted=number(float(expected.iloc[0]), 2) if len(expected) else "–",
        swapped=f"{int((swapped['mean'] >= MOST).sum())} of {counted(len(swapped), 'pair')}" if len(swapped) else "–",
        again=_estimate(best.iloc[0]) if len(best) else "–",
    )


def _estimate(row: pd.Series) -> str:
    return Estimate(float(row["mean"]), float(row["hi"] - row["lo"]) / 2 if np.isfinite(row["lo"]) else np.nan).text()


def _caption(lines: list[Line]) -> str:
    """How many blocks of each network are hardly needed."""
    told = ", ".join(f"{line.spare} of {named(line.network)}" for line in lines)
    return f"At least {100 * MOST:.0f} % of the answers stay without: {told}."


INTERVENTIONS = Section(
    name="interventions",
    title="What each block is for",
    question="Does it hurt to leave out a block, to move it, or to run it again?",
    html=_html,
    figures=_figures,
    place=43,
    script=chart_script(),
    style=chart_style(),
)
