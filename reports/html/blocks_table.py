"""Cells of the page's tables, one row per network, and undefined measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..numbers import Estimate, number, sides, signed
from ..rows import about_blocks, number_of_blocks

MEASURES = ("accuracy", "loss", "efficiency", "descent_share", "descent_share_effect")
COLUMNS = (
    *("model", "modality", "block_index", "depth", "measure", "statistic", "gradient", "update", "lens", "target"),
    *("subset", "null", "mean", "lo", "hi"),
)
"""What headlines are made from."""
EFFECTS = (("output", "pairing"), ("output", "same-target"), ("readout", "same-target"))


class Cell(NamedTuple):
    """A number with the half-width of its interval; of an effect also the side of zero its interval lies on."""

    text: str
    side: str = ""


class Headline(NamedTuple):
    """One network in one row."""

    network: str
    modality: str
    accuracy: str
    loss: str
    blocks: int
    counts: Sequence[str]
    efficiency: str


def headlines(table: pd.DataFrame, target: str = "label") -> list[Headline]:
    """For each network its accuracy, and how many blocks descend more often than each null.

    A block counts where the interval of its effect lies on one side of zero: "4 of 5 blocks above the null, 1 below".
    """
    by_model = about_blocks(table[list(COLUMNS)]).groupby("model", sort=False)
    return [_headline(str(model), rows, target) for model, rows in by_model]


def undefined(rows: pd.DataFrame) -> list[str]:
    """What one network has no value for: one sentence for every reason, with the blocks it holds for."""
    rows = about_blocks(rows)
    missing = rows[rows["mean"].isna() & (rows["null"] == "observed") & (rows["subset"] == "all")]
    kinds = missing["part"].where(missing["part"] != "", missing["update"]).replace("", "prediction")
    sentences = []
    for reason, of_reason in missing.assign(kind=kinds).groupby("reason", sort=False):
        kinds_of: dict[str, list[str]] = {}
        for kind, of_kind in of_reason.groupby("kind", sort=False):
            kinds_of.setdefault(_measures(of_kind, "gauge" in str(reason)), []).append(str(kind))
        measures = "; ".join(f"{' and '.join(names)}: {measures}" for measures, names in kinds_of.items())
        count = of_reason["block_index"].nunique()
        sentences.append(f"{count} of {number_of_blocks(rows)} blocks: {reason} ({measures}).")
    return sentences or ["Nothing."]


def _headline(model: str, rows: pd.DataFrame, target: str) -> Headline:
    depth, modality = number_of_blocks(rows), str(rows["modality"].iloc[0])
    rows = rows[rows["measure"].isin(MEASURES) & rows["update"].isin(["", "update"]) & rows["lens"].eq("")]
    rows = rows[rows["subset"].isin(["all", ""])]
    accuracy, loss = (_select(rows, {"measure": m}, "label")["mean"].dropna() for m in ("accuracy", "loss"))
    efficiencies = _select(rows, {"measure": "efficiency", "statistic": "ratio"}, target)["mean"].dropna()
    return Headline(
        network=model,
        modality=modality,
        accuracy=f"{accuracy.iloc[0]:.1%}" if len(accuracy) else "–",
        loss=number(loss.iloc[0], 3) if len(loss) else "–",
        blocks=depth,
        counts=[_count(rows, gradient, null, target) for gradient, null in EFFECTS],
        efficiency=_span(efficiencies, depth),
    )


def _count(rows: pd.DataFrame, gradient: str, null: str, target: str) -> str:
    """How many blocks descend more often than a null, and how many less often."""
    effects = _select(rows, {"measure": "descent_share_effect", "gradient": gradient, "null": null}, target)
    effects = effects[effects["mean"].notna()]
    if effects.empty:
        observed = _select(rows, {"measure": "descent_share", "gradient": gradient}, target)["mean"]
        return "not measured" if observed.notna().any() else "undefined"
    effects = effects[effects["lo"].notna()]
    if effects.empty:
        return "no intervals"
    return sides((effects["lo"] > 0).sum(), (effects["hi"] < 0).sum(), len(effects), "block")


def _span(values: pd.Series, depth: int) -> str:
    """Least and most of a measure's values at the blocks."""
    if values.empty:
        return "undefined"
    return f"{signed(values.min())} … {signed(values.max())}, {len(values)} of {depth} blocks"


def _select(rows: pd.DataFrame, values: dict[str, str], target: str) -> pd.DataFrame:
    """Rows with these values, for one target."""
    wanted = {"statistic": "mean", "null": "observed"} | values
    chosen = [(rows[column] == value).to_numpy(bool) for column, value in wanted.items()]
    return rows[np.logical_and.reduce([rows["target"].isin([target, ""]).to_numpy(bool), *chosen])]


def written(mean: float, lo: float, hi: float, sign: bool, effect: bool) -> Cell:
    """A number with its interval; of an effect with its side of zero."""
    if math.isnan(mean):
        return Cell("–")
    side = "up" if lo > 0 else "down" if hi < 0 else ""
    return Cell(Estimate(mean, (hi - lo) / 2).text(sign, most=9), side if effect else "")


def _measures(rows: pd.DataFrame, with_form: bool) -> str:
    """Measures, each with its gradients, and with its form where the reason is one of gauge."""
    gradients: dict[str, set[str]] = {}
    for r in rows.itertuples():
        words = (r.form if with_form else "", r.measure, r.lens and f"under lens {r.lens}")
        gradients.setdefault(" ".join(filter(None, words)).replace("_", " "), set()).add(str(r.gradient))
    names = {name: ", ".join(sorted(listed - {""})) for name, listed in gradients.items()}
    return ", ".join(f"{name} [{listed}]" if listed else name for name, listed in sorted(names.items()))
