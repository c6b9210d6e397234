"""Whether depth moves as a belief that gathers evidence: excess movement of each block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..charts.marks import reading
from ..labels import OWN_LENSES
from .bits import needs_no_lens
from .identity import controls_first, identities
from .sheet import Row, Sheet
from .signed import BESIDE, signed, thousandths, written
from .style import shows

HEIGHT = 34.0
EXCESS, MOVEMENT, HONESTY, CONFIDENCE = "excess_movement", "squared_movement", "honesty", "best_confidence"
BEST, SHUFFLED = "best temperature", "order-shuffled"


class Moved(NamedTuple):
    """Rows of one network, each in order of depth: at the best temperature, as read, own steps in random order; all of one reader."""

    best: pd.DataFrame
    read: pd.DataFrame
    shuffled: pd.DataFrame
    table: pd.DataFrame


def moved(table: pd.DataFrame) -> Moved | None:
    """Excess movement of one network, read by its own readout where that needs no lens, else through own lenses; None without."""
    rows = table[table["measure"] == EXCESS]
    lenses = [lens for lens in ("", *OWN_LENSES) if rows[rows["lens"] == lens]["mean"].notna().any()]
    if not lenses:
        return None
    lens = lenses[0] if len(lenses) == 1 or (lenses[0] == "" and needs_no_lens(table)) else lenses[-1]
    of = table[(table["lens"] == lens)]
    rows = rows[rows["lens"] == lens].sort_values("block_index")
    plain = rows[rows["form"] == ""]
    best = rows[(rows["form"] == BEST) & (rows["null"] == "observed")]
    return Moved(best, plain[plain["null"] == "observed"], plain[plain["null"] == SHUFFLED], of)


def excess_movement(table: pd.DataFrame, *, roles: Mapping[str, str] | None = None) -> Figure:
    """Excess movement of each block at the best temperature, one row for each network on a scale of its own, in thousandths.

    Args:
        table: results of the probe distribution, of any number of networks.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure; dashes: as read; dots: own steps in random order, as read.

    Raises:
        NothingToDrawError: no network was read before and after a block.
    """
    networks = controls_first(identities(table), roles)
    found = {name: one for name in networks if (one := moved(table[table["model"] == name])) is not None}
    if not found:
        raise NothingToDrawError('No depth was read as a distribution: measure = ["distribution"] in the study file.')
    key = [("line", "as read"), ("dots", "own steps in random order")]
    drawn = {name: networks[name] for name in found}
    sheet = Sheet("Movement beyond evidence", key, drawn, HEIGHT, foot="relative depth", beside=BESIDE)
    for name, row in sheet.rows.items():
        _row(row, found[name])
    return shows(sheet.figure, *(rows for one in found.values() for rows in one[:3]))


def _row(plain: Row, found: Moved) -> None:
    best, read, shuffled = (rows.dropna(subset="mean") for rows in found[:3])
    row = signed(plain, best, read, shuffled)
    for rows, how in ((read, "line"), (shuffled, "dots")):
        if len(rows):
            row.dashes(rows["depth"].to_numpy(float), thousandths(rows)["mean"].to_numpy(float), how)
    for _, segment in best.groupby("segment"):
        row.line(*(thousandths(segment)[name].to_numpy(float) for name in ("depth", "mean", "lo", "hi")))
    last = float(best["mean"].iloc[-1]) if len(best) else np.nan
    if len(best):
        row.end(1000 * last, written(last))
    else:
        row.note("no value")
    table, observed = found.table, found.table["null"] == "observed"
    for one in best.to_dict("records"):
        index = one["block_index"]
        readings = [reading("excess movement", one)]
        for words, rows in (("as read", read), ("own steps in random order", shuffled)):
            readings += [reading(words, r) for _, r in rows[rows["block_index"] == index].iterrows()]
        moves = table[
            observed & (table["measure"] == MOVEMENT) & (table["form"] == BEST) & (table["block_index"] == index)
        ]
        readings += [reading("squared movement", r) for _, r in moves.iterrows()]
        after = table[observed & table["state_index"].notna() & (table["depth"].sub(one["depth"]).abs() < 1e-9)]
        for words, measure, form in (
            ("honesty after it", HONESTY, BEST), ("honesty, as read", HONESTY, ""), ("best confidence β", CONFIDENCE, BEST),
        ):  # fmt: skip
            here = after[(after["measure"] == measure) & (after["form"] == form)]
            readings += [reading(words, r) for _, r in here.iterrows()]
        label = f"block {int(index)}, {one['block']}" + (f", {one['lens']} lens" if one["lens"] else "")
        row.mark(float(one["depth"]), 1000 * float(one["mean"]), "blocks", label, readings)
