"""A results table in words and cells: what the page prints beside its figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from ..numbers import Estimate, number, signed
from ..rows import of_blocks


class Column(NamedTuple):
    """A column of the blocks' table: its heading, the rows it shows, and whether zero parts good from bad."""

    heading: str
    rows: dict[str, str]
    signed: bool = True


COLUMNS = (
    Column("output: descent share", {"measure": "descent_share", "gradient": "output"}, signed=False),
    Column("… beyond pairing", {"measure": "descent_share_effect", "gradient": "output", "null": "pairing"}),
    Column("… beyond same-target", {"measure": "descent_share_effect", "gradient": "output", "null": "same-target"}),
    Column("readout: descent share", {"measure": "descent_share", "gradient": "readout"}, signed=False),
    Column("… beyond same-target", {"measure": "descent_share_effect", "gradient": "readout", "null": "same-target"}),
    Column("efficiency", {"measure": "efficiency", "statistic": "ratio"}),
    Column("l2 ratio", {"measure": "update_norm"}, signed=False),
    Column("output: first-order gain, nats", {"measure": "first_order_gain", "gradient": "output"}),
    Column("readout: realised gain, nats", {"measure": "realised_gain", "gradient": "readout"}),
)
AIMLESS = ("accuracy", "loss", "update_norm")
"""Measures without a choice of target."""

EFFECTS = (("output", "pairing"), ("output", "same-target"), ("readout", "same-target"))


class Cell(NamedTuple):
    """A number with the half-width of its interval, and for an effect the side of zero its interval lies on."""

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
    """For each network its accuracy, and how many blocks descend beyond each null.

    A block counts where its interval lies on one side of zero: "1 up, 2 down, of 5" such blocks.
    """
    found, table = [], of_blocks(table)
    for model in table["model"].unique():
        rows = table[table["model"] == model]
        accuracy, loss = (_pick(rows, {"measure": m}, target)["mean"].dropna() for m in ("accuracy", "loss"))
        steps = _pick(rows, {"measure": "efficiency", "statistic": "ratio"}, target)["mean"].dropna()
        found.append(
            Headline(
                network=str(model),
                modality=str(rows["modality"].iloc[0]),
                accuracy=f"{accuracy.iloc[0]:.1%}" if len(accuracy) else "–",
                loss=number(loss.iloc[0], 3) if len(loss) else "–",
                blocks=_depth(rows),
                counts=[_count(rows, gradient, null, target) for gradient, null in EFFECTS],
                efficiency=_reach(steps, _depth(rows)),
            )
        )
    return found


def blocks(rows: pd.DataFrame, target: str = "label") -> tuple[list[str], list[tuple[str, list[Cell]]]]:
    """Headings, and one row of cells for every block of one network; updates only."""
    rows = of_blocks(rows)
    columns = [(column, _pick(rows, column.rows, target).set_index("index")) for column in COLUMNS]
    names = rows.drop_duplicates("index").sort_values("index").set_index("index")["block"]
    return [column.heading for column in COLUMNS], [
        (f"{index} {name}", [_cell(found, int(index), column.signed) for column, found in columns])
        for index, name in names.items()
    ]


def undefined(rows: pd.DataFrame) -> list[str]:
    """What one network has no value for: one sentence for every reason, with the blocks it holds for."""
    rows = of_blocks(rows)
    missing = rows[rows["reason"] != ""]
    kind = missing["part"].where(missing["part"] != "", missing["update"]).replace("", "prediction")
    sentences = []
    for reason, some in missing.assign(kind=kind).groupby("reason", sort=False):
        lost: dict[str, list[str]] = {}
        for kind, of in some.groupby("kind", sort=False):
            lost.setdefault(_names(of, "gauge" in str(reason)), []).append(str(kind))
        what = "; ".join(f"{' and '.join(kinds)}: {names}" for names, kinds in lost.items())
        sentences.append(f"{some['index'].nunique()} of {_depth(rows)} blocks: {reason} ({what}).")
    return sentences or ["Nothing."]


def _names(rows: pd.DataFrame, forms: bool) -> str:
    """Measures, each with its gradients; forms are told apart only where the reason is one of gauge."""
    gradients: dict[str, set[str]] = {}
    for r in rows.itertuples():
        name = " ".join(filter(None, (r.form if forms else "", r.measure, r.lens and f"under lens {r.lens}")))
        gradients.setdefault(name.replace("_", " "), set()).add(str(r.gradient))
    named = {name: ", ".join(sorted(found - {""})) for name, found in gradients.items()}
    return ", ".join(f"{name} [{found}]" if found else name for name, found in sorted(named.items()))


def _pick(rows: pd.DataFrame, wanted: dict[str, str], target: str) -> pd.DataFrame:
    """Rows of one kind, of updates or whole networks, over all units, for one target and no lens."""
    rows = rows[rows["update"].isin(["", "update"]) & rows["lens"].eq("")]
    rows = rows[rows["subset"].isin(["all", ""]) & (rows["target"].isin([target, ""]) | rows["measure"].isin(AIMLESS))]
    for column, value in ({"statistic": "mean", "null": "observed"} | wanted).items():
        rows = rows[rows[column] == value]
    return rows


def _count(rows: pd.DataFrame, gradient: str, null: str, target: str) -> str:
    effects = _pick(rows, {"measure": "descent_share_effect", "gradient": gradient, "null": null}, target)
    effects = effects[effects["mean"].notna()]
    if effects.empty:
        observed = _pick(rows, {"measure": "descent_share", "gradient": gradient}, target)["mean"]
        return "not measured" if observed.notna().any() else "undefined"
    sure = effects[effects["lo"].notna()]
    if sure.empty:
        return "no intervals"
    return f"{(sure['lo'] > 0).sum()} up, {(sure['hi'] < 0).sum()} down, of {len(sure)}"


def _reach(steps: pd.Series, depth: int) -> str:
    if steps.empty:
        return "undefined"
    return f"{signed(steps.min())} … {signed(steps.max())}, {len(steps)} of {depth} blocks"


def _cell(found: pd.DataFrame, index: int, sign: bool) -> Cell:
    if index not in found.index or math.isnan(found.loc[index, "mean"]):
        return Cell("–")
    row = found.loc[index]
    side = "up" if row["lo"] > 0 else "down" if row["hi"] < 0 else ""
    text = Estimate(row["mean"], (row["hi"] - row["lo"]) / 2).text(sign, most=9)
    return Cell(text, side if str(row["measure"]).endswith("_effect") else "")


def _depth(rows: pd.DataFrame) -> int:
    return round(float((rows["index"] / rows["depth"]).max()))
