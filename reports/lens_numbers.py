"""Finding single numbers of lenses and their transfer in a results table and its summaries."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd

from .labels import LEFT_OUT, NO_SKIPS, OWN_LENSES
from .numbers import Estimate
from .rows import merged

SUMMARY = ("model", "measure", "lens", "form", "target", "null", "null_seed", "direction", "distance", "share")


class LensNumbers:
    """What was read through lenses, network by network.

    Args:
        table: a results table of any number of networks and of transfers of their lenses.
        summaries: of the same transfers.
    """

    def __init__(self, table: pd.DataFrame, summaries: pd.DataFrame) -> None:
        self.table = table
        self.summaries = summaries if len(summaries) else pd.DataFrame(columns=[*SUMMARY, "mean", "lo", "hi", "cells"])

    @cached_property
    def networks(self) -> list[str]:
        """Those whose lenses were moved, in the table's order."""
        rows = self._cells("retention", null="observed")
        return [str(model) for model in rows["model"].unique()]

    @cached_property
    def without(self) -> list[str]:
        """Networks of the table whose lenses were not moved."""
        return [str(model) for model in self.table["model"].unique() if model not in self.networks]

    @cached_property
    def skips(self) -> dict[str, bool]:
        """Network -> whether it has skips, where the table says so: without them no form is fixed by a gauge."""
        fixed = self.table[(self.table["form"] == "gauge-fixed") & (self.table["null"] == "observed")]
        found = {}
        for model, rows in fixed.groupby("model", sort=False):
            lacking = (rows["reason_code"] == NO_SKIPS).any()
            if lacking or (rows["reason"] == "").any():
                found[str(model)] = not lacking
        return found

    def modality(self, model: str) -> str:
        return str(self.table.loc[self.table["model"] == model, "modality"].iloc[0])

    def unit(self, model: str) -> str:
        return str(self.table.loc[self.table["model"] == model, "unit"].iloc[0])

    def shape(self, model: str) -> tuple[object, ...]:
        """Its modality and the segment of every state."""
        places = self.own(model)
        return (self.modality(model), *places["segment"].tolist())

    def moved(
        self,
        model: str,
        distance: int = 0,
        form: str = "",
        target: str = "label",
        null: str = "observed",
        measure: str = "retention",
        direction: str = "both",
    ) -> pd.DataFrame:
        """Summaries of own lenses moved: one row, or one for each seed of a null; distance 0 is all pairs."""
        s = self.summaries
        return s[
            (s["model"] == model) & (s["measure"] == measure) & (s["form"] == form) & (s["target"] == target)
            & (s["null"] == null) & (s["direction"] == direction) & (s["distance"] == distance)
        ]  # fmt: skip

    def distances(self, model: str, measure: str) -> list[tuple[int, Estimate]]:
        """(states apart, mean over pairs) of own lenses moved as they are."""
        s = self.summaries
        rows = s[
            (s["model"] == model) & (s["measure"] == measure) & (s["form"] == "") & (s["target"] == "label")
            & (s["null"] == "observed") & (s["direction"] == "both") & (s["distance"] > 0)
        ].sort_values("distance")  # fmt: skip
        return [(int(row["distance"]), estimate(row)) for _, row in rows.iterrows()]

    def farthest(self, model: str) -> float:
        """The largest distance between two states of which one's lens was moved to the other, in relative depth."""
        s = self.summaries
        return float(s.loc[(s["model"] == model) & (s["measure"] == "retention") & (s["distance"] > 0), "share"].max())

    def one_lens(self, model: str, target: str = "label", null: str = "observed") -> pd.DataFrame:
        """Summaries of the shared lens, each depth left out."""
        return self.moved(model, 0, "", target, null, direction="one lens")

    def left_out(self, model: str, target: str = "label") -> pd.DataFrame:
        """Retention of one lens at every state that it was fitted without."""
        t = self._cells("retention", null="observed", model=model, target=target)
        return t[(t["lens"] == LEFT_OUT) & t["mean"].notna()].sort_values("index")

    def raw(self, model: str) -> pd.DataFrame:
        """Cells of raw retention of own lenses moved as they are, with ``distance`` in states."""
        t = self._cells("raw_retention", null="observed", model=model, target="label", form="")
        t = t[t["fitted_at"].ne("") & t["mean"].notna()]
        apart = (t["index"] - t["fitted_at"].astype(int)).abs()
        return t.assign(distance=apart)[apart > 0]

    def own(self, model: str, target: str = "label", null: str = "observed", seed: int | None = None) -> pd.DataFrame:
        """What each state's own lens tells of a target, nats taken from its prior in bits, by state."""
        t = self._cells("readable", null=null, model=model, target=target, form="")
        t = t[t["lens"].isin(OWN_LENSES) & (t["fitted_at"] == t["index"].astype(int).astype(str))]
        if seed is not None:
            t = t[t["null_seed"] == seed]
        return t[t["mean"].notna()].sort_values("index")

    def seeds(self, model: str, null: str) -> list[int]:
        t = self._cells("readable", null=null, model=model)
        return sorted(map(int, t["null_seed"].unique()))

    def steps(self, model: str, measure: str, lens: str, steps: int, null: str = "observed") -> pd.DataFrame:
        """A measure of prediction space, by merged step."""
        t = self._cells(measure, null=null, model=model, lens=lens, target="label", form=f"merged to {steps}")
        return t[t["mean"].notna()].sort_values("index")

    def cut(self, model: str, lens: str, most: int) -> int:
        """Steps that a network's depth was merged to, as many as asked or the next fewer; 0 for none."""
        return merged(self._cells("efficiency", null="observed", model=model, lens=lens)["form"].unique(), most)

    def _cells(self, measure: str, **wanted: str) -> pd.DataFrame:
        chosen = self.table["measure"] == measure
        for column, value in wanted.items():
            chosen &= self.table[column] == value
        return self.table[chosen]


def estimate(row: pd.Series, end: str = "") -> Estimate:
    """Of a row with mean, lo and hi, whose names may all have one ending."""
    mean, lo, hi = (float(row[name + end]) for name in ("mean", "lo", "hi"))
    return Estimate(mean, (hi - lo) / 2)


def estimates(rows: pd.DataFrame, end: str = "") -> list[Estimate]:
    return [estimate(row, end) for _, row in rows.iterrows()]


def rises(found: list[Estimate]) -> tuple[int, int, int]:
    """(Steps, how many rise, how many rise by more than independent intervals of both ends allow)."""
    changes = [after - before for before, after in pairwise(found)]
    sure = sum(bool(np.greater(change.low, 0)) for change in changes)
    return len(changes), sum(change.mean > 0 for change in changes), sure
