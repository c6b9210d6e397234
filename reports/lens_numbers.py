"""Single numbers of lenses and their transfer, found in a results table and its summaries."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd

from .labels import LEFT_OUT
from .numbers import Estimate
from .rows import fitted_at_one_state, most_steps, own_lens
from .selector import Selector

SUMMARY = ("model", "measure", "lens", "form", "target", "null", "null_seed", "direction", "distance", "share")


class LensNumbers:
    """Numbers of lenses, network by network.

    Args:
        table: a results table of any number of networks and of transfers of their lenses.
        summaries: of the same transfers.
    """

    def __init__(self, table: pd.DataFrame, summaries: pd.DataFrame) -> None:
        self.table = table
        self.summaries = summaries if len(summaries) else pd.DataFrame(columns=[*SUMMARY, "mean", "lo", "hi", "cells"])

    @cached_property
    def networks(self) -> list[str]:
        """Networks whose lenses were transferred, in the table's order."""
        rows = self._rows("retention", null="observed")
        return [str(model) for model in rows["model"].unique()]

    @cached_property
    def skips(self) -> dict[str, bool]:
        """Network -> whether it has skips, where the table says so."""
        said = self.table[self.table["skips"].notna()].groupby("model", sort=False)["skips"].first()
        return {str(model): bool(value) for model, value in said.items()}

    def modality(self, model: str) -> str:
        """ "image" or "language"."""
        return str(self.table.loc[self.table["model"] == model, "modality"].iloc[0])

    def unit(self, model: str) -> str:
        """ "image" or "token"."""
        return str(self.table.loc[self.table["model"] == model, "unit"].iloc[0])

    def shape(self, model: str) -> tuple[object, ...]:
        """Its modality and the segment of every state."""
        own = self.own(model)
        own = self.own(model, "model") if own.empty else own  # without labels
        return (self.modality(model), *own.drop_duplicates("state_index")["segment"].tolist())

    def alike_without_skips(self, model: str) -> list[str]:
        """Networks without skips that have as many states of as many widths; none where the network itself has no skips."""
        if not self.skips.get(model):
            return []
        lacking = [other for other in self.networks if self.skips.get(other) is False]
        return [other for other in lacking if self.shape(other) == self.shape(model)]

    def transferred(
        self,
        model: str,
        distance: int = 0,
        form: str = "",
        target: str = "label",
        null: str = "observed",
        measure: str = "retention",
        direction: str = "both",
    ) -> pd.DataFrame:
        """Summaries of own lenses at other states: one row, or one for each seed of a null; distance 0 is all pairs."""
        return self._summaries.where(
            model=model, measure=measure, form=form, target=target, null=null, direction=direction, distance=distance
        )

    def by_distance(self, model: str, measure: str) -> list[tuple[int, Estimate]]:
        """(states apart, mean over pairs) of own lenses transferred as they are."""
        rows = self._summaries.where(
            model=model, measure=measure, form="", target="label", null="observed", direction="both"
        )
        rows = rows[rows["distance"] > 0].sort_values("distance")
        return list(zip(rows["distance"].astype(int), estimates(rows), strict=True))

    def farthest(self, model: str) -> float:
        """The largest distance, in relative depth, over which a lens was transferred."""
        s = self.summaries
        return float(s.loc[(s["model"] == model) & (s["measure"] == "retention") & (s["distance"] > 0), "share"].max())

    def one_lens(self, model: str, target: str = "label", null: str = "observed") -> pd.DataFrame:
        """Summaries of the shared lens, fitted without the state it reads."""
        return self.transferred(model, 0, "", target, null, direction="one lens")

    def left_out(self, model: str, target: str = "label") -> pd.DataFrame:
        """Retention, by state, of the shared lens fitted without that state."""
        rows = self._rows("retention", null="observed", model=model, target=target)
        return rows[(rows["lens"] == LEFT_OUT) & rows["mean"].notna()].sort_values("state_index")

    def raw(self, model: str) -> pd.DataFrame:
        """Raw retentions of own lenses transferred as they are, with their ``distance`` in states."""
        rows = self._rows("raw_retention", null="observed", model=model, target="label", form="")
        rows = fitted_at_one_state(rows[rows["mean"].notna()])
        rows = rows.assign(distance=(rows["state_index"] - rows["fitted_at"]).abs())
        return rows[rows["distance"] > 0]

    def own(self, model: str, target: str = "label", null: str = "observed", seed: int | None = None) -> pd.DataFrame:
        """What each state's own lens tells of a target, by state, in bits beyond the targets' frequencies."""
        rows = own_lens(self._rows("readable", null=null, model=model, target=target, form=""))
        if seed is not None:
            rows = rows[rows["null_seed"] == seed]
        return rows[rows["mean"].notna()].sort_values("state_index")

    def seeds(self, model: str, null: str) -> list[int]:
        """Seeds of a null."""
        return sorted(map(int, self._rows("readable", null=null, model=model)["null_seed"].dropna().unique()))

    def steps(self, model: str, measure: str, lens: str, count: int, null: str = "observed") -> pd.DataFrame:
        """A measure of prediction space, for each of ``count`` merged steps."""
        rows = self._rows(measure, null=null, model=model, lens=lens, target="label", form=f"merged to {count}")
        return rows[rows["mean"].notna()].sort_values("block_index")

    def step_count(self, model: str, lens: str, limit: int) -> int:
        """Steps that a network's blocks were merged to: ``limit``, or the next fewer; 0 for none."""
        return most_steps(self._rows("efficiency", null="observed", model=model, lens=lens)["form"].unique(), limit)

    def _rows(self, measure: str, **values: str) -> pd.DataFrame:
        return self._table.of_measure(measure).where(**values)

    @cached_property
    def _table(self) -> Selector:
        return Selector(self.table)

    @cached_property
    def _summaries(self) -> Selector:
        return Selector(self.summaries)


def estimate(row: pd.Series, suffix: str = "") -> Estimate:
    """The estimate in a row's columns mean, lo and hi, which may have a common suffix."""
    mean, lo, hi = (float(row[name + suffix]) for name in ("mean", "lo", "hi"))
    return Estimate(mean, (hi - lo) / 2)


def estimates(rows: pd.DataFrame, suffix: str = "") -> list[Estimate]:
    """The estimate in each row."""
    ends = rows[[name + suffix for name in ("mean", "lo", "hi")]].to_numpy(float)
    return [Estimate(float(mean), float(hi - lo) / 2) for mean, lo, hi in ends]


def rises(sequence: list[Estimate]) -> tuple[int, int, int]:
    """Changes from one estimate to the next: (how many, how many rise, how many rise by more than both intervals)."""
    changes = [after - before for before, after in pairwise(sequence)]
    clear = sum(bool(np.greater(change.low, 0)) for change in changes)
    return len(changes), sum(change.mean > 0 for change in changes), clear
