"""How far lenses reach: retention of each state's own lens at other states, by distance, a line for each segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..charts.marks import Reading
from ..labels import OWN_LENSES, UNTRAINED
from ..numbers import counted, number
from ..rows import fitted_at_one_state
from .by_depth import HEIGHT
from .identity import controls_first, identities
from .readable import with_something_to_keep
from .sheet import TEXT, Row, Sheet
from .style import SOFT, shows

MOST = 3
"""Segments whose lines have a label; of more only the first and the last have one."""


def distance(table: pd.DataFrame, *, target: str = "label", roles: Mapping[str, str] | None = None) -> Figure:
    """Mean retention by distance of states, one row for each network and in it one line for each segment.

    Args:
        table: transfers of any number of networks.
        target: "label" or "model"; of untrained copies always "model", for they tell nothing of the label, and only where
            their own lenses tell half a bit or more, which another lens could keep.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure. Lenses as they are, to both sides; pairs with state 0, which holds the input, are hollow.

    Raises:
        NothingToDrawError: no lens was read at other states.
    """
    means = means_by_distance(table, "observed", target)
    if means.empty:
        raise NothingToDrawError(
            "No network has lenses of its own that were read at other states: transfer its lenses."
        )
    untrained = with_something_to_keep(means_by_distance(table, UNTRAINED, "model"), table)
    drawn = controls_first(identities(table), roles)
    networks = {name: one for name, one in drawn.items() if name in set(means["model"])}
    nulls = [("band", "untrained, where it has ½ bit to keep")] if len(untrained) else []
    split = means.groupby("model")["segment"].nunique().max() > 1
    words = "with state 0, the input" + (" · numbers: segments" if split else "")
    sheet = Sheet(
        "Own lenses at other states", [*nulls, ("hollow", words)], networks, HEIGHT, foot="distance, share of depth"
    )
    for name, row in sheet.rows.items():
        _row(row, means[means["model"] == name], untrained[untrained["model"] == name])
    return shows(sheet.figure, means, untrained)


def means_by_distance(table: pd.DataFrame, null: str, target: str) -> pd.DataFrame:
    """Mean, median, least and most retention by network, segment and distance, pairs with state 0 apart.

    Args:
        table: a results table.
        null: "observed" or a null, whose seeds are taken together; ``target``: of the retention.

    Returns:
        One row for each mean over ``pairs``: ``model``, ``segment``, ``input`` (whether with state 0), ``distance`` in states,
        ``share`` of depth, ``mean``, ``median``, ``least``, ``most``, and ``lo`` and ``hi``, the means of those of the pairs: never too
        narrow, however they depend on each other.
    """
    chosen = (table["measure"] == "retention") & (table["null"] == null) & (table["target"] == target)
    rows = fitted_at_one_state(table[chosen & (table["form"] == "") & table["lens"].isin(OWN_LENSES)])
    depths = rows.drop_duplicates(["model", "state_index"]).set_index(["model", "state_index"])["depth"]
    rows = rows[(rows["fitted_at"] != rows["state_index"]) & rows["mean"].notna()]
    rows = rows[rows["lens"] == rows.groupby("model")["lens"].transform("min")]  # the first kind where there are two
    fitted = depths.reindex(pd.MultiIndex.from_frame(rows[["model", "fitted_at"]])).to_numpy(float)
    rows = rows.assign(
        distance=(rows["state_index"] - rows["fitted_at"]).abs().astype(int),
        share=np.abs(rows["depth"].to_numpy(float) - fitted),
        input=(rows["state_index"] == 0) | (rows["fitted_at"] == 0),
    )
    groups = rows.groupby(["model", "segment", "input", "distance"], sort=False)
    means = groups.agg(
        share=("share", "mean"), mean=("mean", "mean"), lo=("lo", "mean"), hi=("hi", "mean"), median=("mean", "median"),
        least=("mean", "min"), most=("mean", "max"), pairs=("mean", "size"), units=("n_units", "max"), unit=("unit", "first"),
    )  # fmt: skip
    return means.reset_index().assign(null=null, target=target).sort_values(["model", "segment", "input", "distance"])


def _row(row: Row, means: pd.DataFrame, untrained: pd.DataFrame) -> None:
    row.levels("0", "1", half=True)
    for _, segment in untrained[~untrained["input"]].groupby("segment"):
        row.band(*(segment[column].to_numpy(float) for column in ("share", "lo", "hi")))
    ends = {}
    for segment, line in means[~means["input"]].groupby("segment"):
        row.line(*(line[column].to_numpy(float) for column in ("share", "mean", "lo", "hi")))
        ends[int(str(segment))] = (float(line["share"].iloc[-1]), float(line["mean"].iloc[-1]))
    for _, line in means[means["input"]].groupby("segment"):
        row.line(*(line[column].to_numpy(float) for column in ("share", "mean", "lo", "hi")), hollow=True)
    _ends(row, ends, float(means["share"].max()))
    several = means["segment"].nunique() > 1
    beside = {(one["segment"], one["input"], one["distance"]): one for _, one in untrained.iterrows()}
    for _, one in means.iterrows():
        where = f"segment {one['segment']}, " if several else ""
        label = where + f"{counted(one['distance'], 'state')} apart" + (", with state 0" if one["input"] else "")
        line_name = f"{where}{'state 0' if one['input'] else 'pairs'}"
        null = beside.get((one["segment"], one["input"], one["distance"]))
        row.mark(one["share"], one["mean"], line_name, label, _readings(one, null))


def _ends(row: Row, ends: dict[int, tuple[float, float]], beyond: float) -> None:
    """Labels right of all points, none on another: of one line its value, of several their segments."""
    if len(ends) == 1:
        ((_, value),) = ends.values()
        row.end(value, number(value, 2).removeprefix("0"))
        return
    chosen = list(ends) if len(ends) <= MOST else [min(ends), max(ends)]
    lower = row.top + row.height
    for segment in sorted(chosen, key=lambda one: ends[one][1]):  # from the lowest line up
        y = min(float(row.y(ends[segment][1])), lower)
        row.write(float(row.x(beyond)) + 5, y, str(segment), SOFT)
        lower = y - TEXT + 1


def _readings(one: pd.Series, null: pd.Series | None) -> Sequence[Reading]:
    """The mean with its range over pairs, and the mean of untrained copies."""
    of = f"{counted(one['pairs'], 'pair')}, {int(one['units']):,} {one['unit']}s"
    found = [Reading("mean retention", one["mean"], one["lo"], one["hi"], of)]
    if one["pairs"] > 1:
        found.append(Reading("median, and range over pairs", one["median"], one["least"], one["most"]))
    if null is not None:
        found.append(Reading("untrained", null["mean"], null["lo"], null["hi"], counted(null["pairs"], "pair")))
    return found
