"""How long the paths of the gradient are: its share by length, one row for each network, before the binomial."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..charts.marks import Reading, reading
from ..labels import UNTRAINED
from ..numbers import number
from .identity import controls_first, identities
from .sheet import RIGHT, Row, Sheet
from .style import shows

HEIGHT = 30.0
BESIDE = 76.0
"""Width of the effective length."""


def paths(table: pd.DataFrame, *, roles: Mapping[str, str] | None = None) -> Figure:
    """Share of the gradient by the length of its paths, from the first state of each network on.

    Args:
        table: results of any number of networks.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure; each row has the length in shares of the longest path, and behind it the shares if branches were as strong
        as skips and all paths alike.

    Raises:
        NothingToDrawError: no path lengths were measured.
    """
    rows = of_first_state(by_length(table))
    observed, untrained = (rows[rows["null"] == null] for null in ("observed", UNTRAINED))
    if observed.empty:
        raise NothingToDrawError("No network has shares of paths: measure the probe paths.")
    networks = {n: one for n, one in controls_first(identities(table), roles).items() if n in set(observed["model"])}
    high = float(np.ceil(10 * observed["mean"].max()) / 10)
    key = [("band", "branches like skips"), *([("line", "untrained")] if len(untrained) else [])]
    key.append(("", "numbers: effective length"))
    foot = "length, share of the longest"
    sheet = Sheet("Share of the gradient by path length", key, networks, HEIGHT, (0.0, high), foot, BESIDE)
    effective = effective_lengths(table)
    for name, row in sheet.rows.items():
        row.levels("0", number(high, 1).removeprefix("0"))
        mine, null, length = (each[each["model"] == name] for each in (observed, untrained, effective))
        _row(row, mine, null, length)
    return shows(sheet.figure, observed, untrained)


def by_length(table: pd.DataFrame, measure: str = "path_share") -> pd.DataFrame:
    """The rows of a measure by length, with ``length`` and ``longest``, whole blocks before parts of blocks."""
    rows = table[(table["measure"] == measure) & table["form"].str.startswith("length ")]
    rows = rows.assign(length=rows["form"].str.removeprefix("length ").astype(int))
    at = ["model", "update", "state_index"]
    return rows.assign(longest=rows.groupby(at)["length"].transform("max")).sort_values([*at, "length"])


def of_first_state(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows about the first state of each network, of whole blocks where these were measured."""
    for column in ("update", "state_index"):  # "branch" stands before "part"
        rows = rows[rows[column] == rows.groupby("model")[column].transform("min")]
    return rows


def effective_lengths(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of effective path lengths that have a value."""
    return table[(table["measure"] == "effective_path_length") & table["mean"].notna()]


def binomial(longest: int) -> np.ndarray:
    """(B + 1,): shares of lengths where every branch carries as much as its skip and all paths point the same way."""
    return np.array([comb(longest, k) / 2**longest for k in range(longest + 1)])


def _row(row: Row, observed: pd.DataFrame, untrained: pd.DataFrame, effective: pd.DataFrame) -> None:
    longest = int(observed["longest"].iloc[0])
    even = binomial(longest)
    row.band(np.linspace(0, 1, longest + 1), np.zeros(longest + 1), even)
    null = untrained.groupby("length")["mean"].mean()
    row.dashes(null.index.to_numpy(float) / longest, null.to_numpy(float))
    columns = [observed[column].to_numpy(float) for column in ("mean", "lo", "hi")]
    row.line(observed["length"].to_numpy(float) / longest, *columns)
    here = effective[(effective["null"] == "observed") & (effective["update"] == observed["update"].iloc[0])]
    here = here[here["state_index"] == observed["state_index"].iloc[0]]
    if len(here):
        row.write(RIGHT - 46, row.name_at, f"{number(float(here['mean'].iloc[0]), 1)} of {longest}")
    steps = "blocks" if observed["update"].iloc[0] == "branch" else "parts of blocks"
    for one in observed.to_dict("records"):
        length = int(one["length"])
        readings = [reading("share of the gradient", one), Reading("branches like skips", float(even[length]))]
        if length in null:
            readings.append(Reading("untrained", float(null[length])))
        label = f"paths through {length} of {longest} {steps}"
        row.mark(length / longest, float(one["mean"]), "lengths", label, readings)
