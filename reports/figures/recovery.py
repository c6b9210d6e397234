"""Whether the old context is used again after inserted tokens, and whether the environment of a network that writes surprises it less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..charts.marks import Reading, reading
from ..numbers import number
from .identity import controls_first, identities
from .sheet import Row, Sheet
from .style import shows

HEIGHT = 34.0
KEPT, EXCESS, SURPRISE, INFORMATION = "context_kept", "excess", "surprise", "information"
INSERTED, DETOUR, FRESH, RANDOM = "inserted", "detour", "fresh", "random"


def by_place(table: pd.DataFrame, measure: str, form: str) -> pd.DataFrame:
    """Rows of a form at the places "k 1", "k 3-4" … in their order, at the last state; one column ``k`` more."""
    kept = (
        (table["measure"] == measure) & (table["form"] == form) & (table["null"] == "observed") & (table["lens"] == "")
    )
    return _numbered(table[kept], r"k (\d+)", "k")


def insertions(table: pd.DataFrame, process: str) -> pd.DataFrame:
    """Rows of the surprise of the first insertion, the second …; one column ``k`` more."""
    kept = (table["measure"] == SURPRISE) & (table["form"] == process) & (table["null"] == "observed")
    return _numbered(table[kept], r"insertion (\d+)", "k")


def processes(table: pd.DataFrame) -> list[str]:
    """What was inserted while a network wrote, the random process last."""
    loops = table[(table["measure"] == SURPRISE) & table["subset"].str.startswith("insertion ")]
    return sorted(loops["form"].unique(), key=lambda form: (form == RANDOM, form))


def _numbered(rows: pd.DataFrame, pattern: str, name: str) -> pd.DataFrame:
    rows = rows.assign(**{name: pd.to_numeric(rows["subset"].str.extract(pattern)[0])})
    if rows["state_index"].notna().any():
        rows = rows[rows["state_index"] == rows.groupby("model")["state_index"].transform("max")]
    return rows.dropna(subset=name).sort_values(["model", name])


def context_kept(table: pd.DataFrame, *, roles: Mapping[str, str] | None = None) -> Figure:
    """What is kept of the old context behind inserted tokens, by place, one row for each network.

    Args:
        table: results of recovery, of any number of networks.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure; 0 is a fresh start, 1 as if nothing had been inserted; dashes are tokens that the network wrote itself.

    Raises:
        NothingToDrawError: nothing was inserted, or the old context was worth nothing.
    """
    rows, detour = by_place(table, KEPT, INSERTED), by_place(table, KEPT, DETOUR)
    if not rows["mean"].notna().any():
        raise NothingToDrawError(
            "No network has old context that inserted tokens could cost: itinf recover inserts some."
        )
    places = list(dict.fromkeys(rows.sort_values("k")["subset"]))
    ends = tuple(one.removeprefix("k ") for one in (places[0], places[-1]))
    shown = set(rows["model"])
    drawn = {name: one for name, one in controls_first(identities(table), roles).items() if name in shown}
    key = [("line", "a detour of its own"), ("", "0: fresh start, 1: clean")]
    sheet = Sheet("Old context, used again", key, drawn, HEIGHT, (0.0, 1.0), "tokens later", ends=(ends[0], ends[1]))
    for name, row in sheet.rows.items():
        row.levels("0", "1", half=True)
        row.dashes(np.array([0.0, 1.0]), np.array([1.0, 1.0]), "dots")
        mine, other = (one[one["model"] == name] for one in (rows, detour))
        _line(row, mine, places, 2)
        known = other.dropna(subset="mean")
        if len(known):
            row.dashes(_shares(known, places), known["mean"].to_numpy(float))
        lost = {form: by_place(table[table["model"] == name], EXCESS, form) for form in (INSERTED, DETOUR, FRESH)}
        for one in mine.to_dict("records"):
            readings = [reading("kept", one), *_at(other, one, "kept after a detour")]
            readings += [r for form, rows_ in lost.items() for r in _at(rows_, one, f"excess {form}, bits")]
            share = places.index(one["subset"]) / max(len(places) - 1, 1)
            row.mark(share, float(one["mean"]), "places", f"{one['subset'].removeprefix('k ')} tokens later", readings)
    return shows(sheet.figure, rows, detour)


def surprise(table: pd.DataFrame, *, roles: Mapping[str, str] | None = None) -> Figure:
    """Surprise of each insertion while a network writes, one row for each network and process that can be predicted.

    Args:
        table: results of closed loops, of any number of networks; ``roles``: as for ``context_kept``.

    Returns:
        A Figure; the line is a process that can be predicted, or the random one where there is no other, the dashes the random one.

    Raises:
        NothingToDrawError: no loop was closed.
    """
    found = processes(table)
    if not found:
        raise NothingToDrawError("No network wrote with insertions between: itinf loop does so.")
    rows = {form: insertions(table, form) for form in found}
    first, random = rows[found[0]], rows.get(RANDOM, rows[found[0]].iloc[:0])
    every = pd.concat(list(rows.values()))
    places = list(dict.fromkeys(every.sort_values("k")["subset"]))
    low, high = float(np.floor(every["mean"].min())), float(np.ceil(every["mean"].max()))
    shown = set(every["model"])
    drawn = {name: one for name, one in controls_first(identities(table), roles).items() if name in shown}
    key = [("line", "random tokens")] if found[0] != RANDOM and len(random) else []
    key.append(("", f"line: {found[0]}, bits"))
    sheet = Sheet(
        "Surprise of each insertion", key, drawn, HEIGHT, (low, high), "insertion", ends=("1", str(len(places)))
    )
    for name, row in sheet.rows.items():
        row.levels(f"{low:g}", f"{high:g}")
        mine, other = (one[one["model"] == name] for one in (first, random))
        if found[0] != RANDOM and len(other):
            row.dashes(_shares(other, places), other["mean"].to_numpy(float))
        _line(row, mine if len(mine) else other, places, 1)
        for one in (mine if len(mine) else other).to_dict("records"):
            readings = [
                r for form, of in rows.items() for r in _at(of[of["model"] == name], one, f"surprise, {form}, bits")
            ]
            share = places.index(one["subset"]) / max(len(places) - 1, 1)
            row.mark(share, float(one["mean"]), "insertions", str(one["subset"]), readings)
    return shows(sheet.figure, every)


def _shares(rows: pd.DataFrame, places: Sequence[str]) -> np.ndarray:
    return np.array([places.index(one) for one in rows["subset"]], float) / max(len(places) - 1, 1)


def _line(row: Row, rows: pd.DataFrame, places: Sequence[str], digits: int) -> None:
    known = rows.dropna(subset="mean")
    if known.empty:
        why = rows["reason"][rows["reason"] != ""]
        row.note(str(why.iloc[0]).removeprefix("undefined: ") if len(why) else "no value")
        return
    row.line(_shares(known, places), *(known[column].to_numpy(float) for column in ("mean", "lo", "hi")))
    row.end(float(known["mean"].iloc[-1]), number(float(known["mean"].iloc[-1]), digits))


def _at(rows: pd.DataFrame, one: Mapping, words: str) -> list[Reading]:
    """The number of the same network and place."""
    here = rows[(rows["model"] == one["model"]) & (rows["subset"] == one["subset"])]
    return [reading(words, here.iloc[0])] if len(here) else []
