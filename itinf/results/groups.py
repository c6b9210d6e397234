"""Groups of networks, such as several trained copies of one network: their means, and differences of groups.

The unit is the trained network: an interval says what another training of the same network would give. Intervals over
images or sequences do not; they hold for the one network that was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ..errors import ItinfError, nearest, shown
from ..statistics.over_networks import OverNetworks, difference_over_networks, mean_over_networks, permutation_p
from .reasons import NETWORKS_AGREE, NOT_IN_ALL, ONE_NETWORK
from .schema import GROUP_DTYPES

GROUPS = "groups.parquet"
NUMBER = ("measure", "statistic", "gradient", "update", "part", "form", "target", "subset", "null", "lens", "unit",
          "direction", "distance")  # fmt: skip
"""Columns that say what a number is; ..."""
PLACE = ("block_index", "state_index", "fitted_at")
"""... and these say where. A number of the whole network has no place."""
NOWHERE = -1
NOT_OF_COPIES = ("untrained", "isotropic")
"""Nulls that no training changes: copies of one network share them."""
HEADLINES: dict[str, dict[str, str | int]] = {
    "accuracy": {"measure": "accuracy"},
    "output: descent share beyond pairing": {"measure": "descent_share_effect", "gradient": "output", "null": "pairing"},
    "output: descent share beyond same-target": {
        "measure": "descent_share_effect", "gradient": "output", "null": "same-target",
    },
    "readout: realised gain, nats": {"measure": "realised_gain", "gradient": "readout"},
    "retention of one lens, that depth left out": {"measure": "retention", "direction": "one lens", "distance": 0},
    "gain through one lens beyond same-target, bits per step": {
        "measure": "prediction_gain_effect", "lens": "shared", "null": "same-target",
    },
}  # fmt: skip
"""Numbers that answer first whether two groups differ; each is a mean over blocks or states of the whole network."""


def checked_groups(groups: Any, names: Sequence[str]) -> dict[str, list[str]]:
    """Group -> names of its networks.

    Args:
        groups: what a user gave; None for no groups.
        names: of all networks.

    Raises:
        ItinfError: it is no such mapping, a group is empty, a name is unknown, or a network is in two groups.
    """
    example = 'groups={"skips": ["one", "two"], "plain": ["three"]}'
    if groups is None:
        return {}
    if not isinstance(groups, Mapping):
        raise ItinfError(f"groups is {shown(groups)}; expected a mapping from a group to names, such as {example}.")
    seen: dict[str, str] = {}
    for group, members in groups.items():
        if not isinstance(group, str) or not group or not isinstance(members, list | tuple) or not members:
            raise ItinfError(
                f"The group {shown(group)} is {shown(members)}; expected names of networks, as in {example}."
            )
        for name in members:
            if name not in names:
                raise ItinfError(
                    f"The group {group!r} names {shown(name)}, which is no run of this comparison. "
                    f"{nearest(str(name), names)}"
                )
            if name in seen:
                where = (
                    f"twice in the group {group!r}"
                    if seen[name] == group
                    else f"in the groups {seen[name]!r} and {group!r}"
                )
                raise ItinfError(f"The network {name!r} is {where}. Name every network once.")
            seen[name] = group
    return {group: list(members) for group, members in groups.items()}


def group_table(table: pd.DataFrame, summaries: pd.DataFrame, groups: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Means of groups over their networks, and differences of every two groups.

    A number of the whole network is the mean over its blocks (or states); where all networks concerned have blocks that
    correspond, over those blocks at which each of them has the number. Numbers of single blocks exist only where blocks
    correspond: as many, in the same segments.

    Args:
        table: the joint table; ``summaries``: of the transfers.
        groups: group -> names of its networks.

    Returns:
        One row per number, those that answer first on top, with the columns ``GROUP_DTYPES``. ``minus`` is "" for the mean of ``group``, else the group
        that is subtracted. ``lo`` and ``hi`` are 95 % intervals over networks: Student's for a mean, Welch's for a
        difference. ``p`` is of the exact permutation test, ``least_p`` the least that it can be with so many networks.
        ``cells`` counts the blocks or states that a number is the mean of. ``headline`` is "" except for the numbers that
        answer first.
    """
    members = [name for names in groups.values() for name in names]
    placed, whole = _placed(table, members), _whole(summaries, members)
    chosen: list[tuple[Sequence[str], Sequence[str], str, str]] = [
        (names, (), group, "") for group, names in groups.items()
    ]
    chosen += [(groups[a], groups[b], a, b) for a, b in combinations(groups, 2)]
    made = []
    for first, second, group, minus in chosen:
        values, cells = _values(placed, whole, [*first, *second], correspond(table, [*first, *second]))
        made.append(_estimated(values, cells, first, second).assign(group=group, minus=minus))
    rows = pd.concat(made, ignore_index=True) if made else pd.DataFrame(columns=list(GROUP_DTYPES))
    for column in ("distance", *PLACE):
        rows[column] = rows[column].astype("Int64").replace(NOWHERE, pd.NA)
    rows = rows.assign(headline=_headlines(rows))
    first = rows["headline"].map({name: place for place, name in enumerate(HEADLINES)}).fillna(len(HEADLINES))
    rows = rows.iloc[first.argsort(kind="stable")].reset_index(drop=True)  # the numbers that answer first stand first
    return rows[list(GROUP_DTYPES)].astype(GROUP_DTYPES)


def correspond(table: pd.DataFrame, members: Iterable[str]) -> bool:
    """Whether networks have as many blocks, in the same segments."""
    blocks = table[table["model"].isin(list(members)) & table["block_index"].notna()]
    structures = {
        tuple(map(tuple, of.drop_duplicates().sort_values("block_index").to_numpy(int)))
        for _, of in blocks.groupby("model")[["block_index", "segment"]]
    }
    return len(structures) == 1


def _placed(table: pd.DataFrame, members: Sequence[str]) -> pd.DataFrame:
    """Numbers of blocks and states, one column per network; the seeds of a null are averaged."""
    kept = table["model"].isin(members) & ~table["null"].isin(NOT_OF_COPIES) & table["mean"].notna()
    return _wide(table[kept].assign(direction="", distance=NOWHERE), members)


def _whole(summaries: pd.DataFrame, members: Sequence[str]) -> pd.DataFrame:
    """Summaries of transfers, which are numbers of whole networks, one column per network."""
    kept = summaries["model"].isin(members) & ~summaries["null"].isin(NOT_OF_COPIES) & summaries["mean"].notna()
    empty = {"statistic": "mean", "gradient": "", "update": "", "part": "", "subset": "all", "unit": ""}
    return _wide(summaries[kept].assign(**empty, **dict.fromkeys(PLACE, NOWHERE)), members)


def _wide(rows: pd.DataFrame, members: Sequence[str]) -> pd.DataFrame:
    rows = rows.assign(**{column: rows[column].fillna(NOWHERE).astype(int) for column in ("distance", *PLACE)})
    means = rows.groupby([*NUMBER, *PLACE, "model"], sort=False)["mean"].mean()
    return means.unstack("model").reindex(columns=list(members))


def _values(
    placed: pd.DataFrame, whole: pd.DataFrame, names: list[str], same_blocks: bool
) -> tuple[pd.DataFrame, pd.Series]:
    """Numbers of some networks, first those of whole networks; and how many blocks or states each is the mean of."""
    placed, whole = (frame[names].dropna(how="all") for frame in (placed, whole))
    complete = placed.dropna()
    over = _own(complete if same_blocks else placed).groupby(level=list(NUMBER), sort=False)
    known = _own(placed).index.droplevel(list(PLACE)).unique()
    means, counts = over.mean().reindex(known), over.count().reindex(known)
    cells = counts.min(axis=1).where(counts.nunique(axis=1) == 1).astype("Int64")
    means.index = _nowhere(means.index)
    single = complete if same_blocks else complete.iloc[:0]
    joined = pd.concat([means, whole, single])
    counted = pd.concat([cells, pd.Series(pd.NA, range(len(whole))), pd.Series(1, range(len(single)))])
    return joined, counted.astype("Int64").set_axis(joined.index)


def _own(rows: pd.DataFrame) -> pd.DataFrame:
    """Without lenses that were fitted at another state than they read: the mean over those is in the summaries."""
    fitted, at = (rows.index.get_level_values(level) for level in ("fitted_at", "state_index"))
    return rows[(fitted == NOWHERE) | (fitted == at)]


def _nowhere(index: pd.Index) -> pd.MultiIndex:
    frame = index.to_frame(index=False).assign(**dict.fromkeys(PLACE, NOWHERE))
    return pd.MultiIndex.from_frame(frame)


def _estimated(values: pd.DataFrame, cells: pd.Series, first: Sequence[str], second: Sequence[str]) -> pd.DataFrame:
    """One row per number, with its interval and its p."""
    a, b = (values[list(names)].to_numpy(float) for names in (first, second))
    found: OverNetworks = difference_over_networks(a, b) if second else mean_over_networks(a)
    p, least = permutation_p(a, b) if second else (np.full(len(a), np.nan), np.nan)
    lacking, single = np.isnan(found.mean), min(len(names) for names in (first, second) if names) == 1
    why = [NOT_IN_ALL if n else ONE_NETWORK if single else NETWORKS_AGREE for n in lacking]
    unknown = lacking | np.isnan(found.lo)
    return values.index.to_frame(index=False).assign(
        networks=len(first),
        networks_minus=len(second),
        cells=cells.to_numpy(),
        **found._asdict(),
        p=p,
        least_p=np.where(np.isnan(p), np.nan, least),
        reason=[w.sentence if u else "" for w, u in zip(why, unknown, strict=True)],
        reason_code=[w.code if u else "" for w, u in zip(why, unknown, strict=True)],
    )


def _headlines(rows: pd.DataFrame) -> pd.Series:
    """The headline of each row, or "": of whole networks, for the label, or for another target without labels."""
    targets = set(rows.loc[rows["measure"] == "descent_share", "target"])
    target = "label" if "label" in targets or not targets else min(targets)
    at_all = rows["update"].isin(["", "update"]) & rows["statistic"].eq("mean") & rows["subset"].eq("all")
    at_all &= rows["block_index"].isna() & rows["state_index"].isna()
    steps = rows["form"].str.extract(r"^merged to (\d+)$", expand=False).astype(float)
    found = pd.Series("", index=rows.index)
    for headline, columns in HEADLINES.items():
        wanted = {"lens": "", "null": "observed", "direction": "", "target": target} | columns
        if columns["measure"] == "accuracy":
            wanted["target"] = "label"
        if columns["measure"] == "retention":
            del wanted["lens"]
        through_lens = "lens" in columns  # its nulls exist only for blocks merged to steps
        chosen = at_all & (steps.notna() if through_lens else steps.isna())
        for column, value in wanted.items():
            chosen &= rows[column].eq(value).fillna(False).astype(bool)
        if through_lens:
            chosen &= steps.eq(steps[chosen & rows["mean"].notna()].max())
        found = found.mask(chosen, headline)
    return found
