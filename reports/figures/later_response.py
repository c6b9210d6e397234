"""Whether what an earlier position predicts is subtracted from later predictions, and how strongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..charts.marks import reading
from ..labels import OWN_LENSES, UNTRAINED
from ..numbers import number
from .identity import controls_first, identities
from .sheet import Row, Sheet
from .signed import BESIDE, signed, thousandths, written
from .style import shows

HEIGHT = 34.0
LATER, SHARE = "later_response", "subtracted_share"
OTHER_PLACE, OTHER_TOKEN, CROSS = "other-place", "other-token", "cross"
NAMES = {
    "observed": "where the same token stood",
    OTHER_PLACE: "where another token stood",
    OTHER_TOKEN: "of another token, not predicted",
    CROSS: "on another token",
    UNTRAINED: "untrained",
}


def effects(table: pd.DataFrame, measure: str = LATER) -> pd.DataFrame:
    """Rows of a measure at matching places in their first form, observed and nulls, in order of depth.

    Each network is read by its own readout, and only without that through its own lenses.
    """
    kept = (table["measure"] == measure) & (table["form"] == "") & (table["subset"] == "all")
    rows = table[kept & (table["statistic"] != "median") & table["lens"].isin(["", *OWN_LENSES])]
    known = rows[rows["mean"].notna()].groupby("model")["lens"].min()  # "" comes first
    rows = rows[rows["lens"] == rows["model"].map(known)]
    return rows.sort_values(["model", "state_index"])


def later_response(table: pd.DataFrame, *, roles: Mapping[str, str] | None = None) -> Figure:
    """χ by depth, one row for each network on a scale of its own, in thousandths of a nat per nat.

    Args:
        table: results of the probe later_response, of any number of networks.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Raises:
        NothingToDrawError: it was not measured.
    """
    rows = effects(table)
    observed = rows[rows["null"] == "observed"]
    if not observed["mean"].notna().any():
        raise NothingToDrawError('The later response was not measured: measure = ["later_response"] in the study file.')
    several = set(rows.dropna(subset="mean")["null"])
    key = [("line", "other place"), ("dots", "other token")]
    key += [("band", "untrained")] if UNTRAINED in several else []
    sheet = _sheet("Earlier predictions, subtracted later?", key, table, observed, roles)
    for name, plain in sheet.rows.items():
        mine = rows[rows["model"] == name]
        of = {null: mine[mine["null"] == null].dropna(subset="mean") for null in NAMES}
        row = signed(plain, *of.values())
        _band(row, of[UNTRAINED])
        for null, how in ((OTHER_PLACE, "line"), (OTHER_TOKEN, "dots")):
            if len(of[null]):
                depth, mean = _columns(thousandths(of[null]), "depth", "mean")
                row.dashes(depth, mean, how)
        _observed(row, mine[mine["null"] == "observed"], scaled=True)
        by_state = [(words, of[null].drop_duplicates("state_index")) for null, words in NAMES.items()]
        _marks(row, mine[mine["null"] == "observed"], by_state, scale=1000.0)
    return shows(sheet.figure, rows)


def subtracted(table: pd.DataFrame, *, roles: Mapping[str, str] | None = None) -> Figure:
    """ρ by depth, one row for each network, from −1 to 1.

    Args:
        table: results of the probe later_response; ``roles``: as for ``later_response``.

    Raises:
        NothingToDrawError: it was not measured, or no network learns from its context.
    """
    rows = effects(table, SHARE)
    rows = rows[rows["null"] == "observed"]
    if not rows["mean"].notna().any():
        raise NothingToDrawError("No network has a subtracted share: measure later_response where context teaches.")
    same = table[(table["measure"] == SHARE) & (table["form"] == "same depth") & (table["null"] == "observed")]
    key = [("line", "1: as error correction"), ("", "0: as copying")]
    sheet = _sheet("Subtracted as truths are added", key, table, rows, roles, (-1.0, 1.0))
    for name, row in sheet.rows.items():
        row.levels("−1", "1", zero=True)
        row.dashes(np.array([0.0, 1.0]), np.array([1.0, 1.0]))
        mine = rows[rows["model"] == name]
        _observed(row, mine)
        beside = same[same["model"] == name].drop_duplicates("state_index")
        _marks(row, mine, [("with p of the last depth", mine), ("with p of the same depth", beside)])
    return shows(sheet.figure, rows)


def _sheet(
    title: str,
    key: Sequence[tuple[str, str]],
    table: pd.DataFrame,
    rows: pd.DataFrame,
    roles: Mapping[str, str] | None,
    scale: tuple[float, float] = (-1.0, 1.0),
) -> Sheet:
    shown = set(rows["model"])
    drawn = {name: one for name, one in controls_first(identities(table), roles).items() if name in shown}
    return Sheet(title, key, drawn, HEIGHT, scale, "relative depth", BESIDE)


def _columns(rows: pd.DataFrame, *names: str) -> list[np.ndarray]:
    return [rows[name].to_numpy(float) for name in names]


def _band(row: Row, rows: pd.DataFrame) -> None:
    if len(rows):
        drawn = thousandths(rows.assign(lo=rows["lo"].fillna(rows["mean"]), hi=rows["hi"].fillna(rows["mean"])))
        by_depth = drawn.groupby("depth").agg({"lo": "min", "hi": "max"})
        row.band(by_depth.index.to_numpy(float), *_columns(by_depth, "lo", "hi"))


def _observed(row: Row, rows: pd.DataFrame, scaled: bool = False) -> None:
    known = rows.dropna(subset="mean")
    if known.empty:
        why = rows["reason"][rows["reason"] != ""]
        row.note(str(why.iloc[0]).removeprefix("undefined: ") if len(why) else "no value")
        return
    drawn = thousandths(known) if scaled else known
    row.line(*_columns(drawn, "depth", "mean", "lo", "hi"))
    last = float(known["mean"].iloc[-1])
    row.end(float(drawn["mean"].iloc[-1]), written(last) if scaled else number(last, 2))


def _marks(row: Row, rows: pd.DataFrame, several: Sequence[tuple[str, pd.DataFrame]], scale: float = 1.0) -> None:
    for one in rows.to_dict("records"):
        here = [(words, beside[beside["state_index"] == one["state_index"]]) for words, beside in several]
        readings = [reading(words, found.iloc[0]) for words, found in here if len(found)] or [reading("χ", one)]
        label = f"state {int(one['state_index'])}, {one['state']}"
        row.mark(float(one["depth"]), float(one["mean"]) * scale, "states", label, readings)
