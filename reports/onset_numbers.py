"""Onset and iterative depth of each network, and the three curves that they are made of, from the tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from .labels import LEFT_OUT, UNTRAINED
from .selector import Selector

THRESHOLD, OTHERS = "1/2", ("1/3", "2/3")


@dataclass(frozen=True)
class OnsetCurves:
    """One network, trained or untrained.

    Attributes:
        model: its name; ``seed``: of an untrained copy, None for the network itself.
        lens: through which its states are read, "" for its own readout.
        summaries: rows of the summaries: iterative depth, onset and bits, at each threshold.
        in_code, used: rows of the table about states: retention of one lens, persistence of the label; through a lens the
            latter is beside that of the last state.
        gains: rows about blocks: gain beyond pairing; none of an untrained copy, which has no nulls in the table.
        states: number of states, L + 1.
        limit: what fails before the onset, or anywhere if there is none.
    """

    model: str
    seed: int | None
    lens: str
    summaries: pd.DataFrame
    in_code: pd.DataFrame
    used: pd.DataFrame
    gains: pd.DataFrame
    states: int
    limit: str

    def number(self, measure: str, form: str = THRESHOLD) -> pd.Series:
        """One row of the summaries."""
        return self._selector.of_measure(measure).where(form=form).iloc[0]

    @cached_property
    def _selector(self) -> Selector:
        return Selector(self.summaries)

    @property
    def onset(self) -> int | None:
        """How many blocks come before the onset; None without an onset."""
        found = self.number("onset")["mean"]
        return None if pd.isna(found) else int(found)


def onset_curves(table: pd.DataFrame, summaries: pd.DataFrame | None) -> Iterator[OnsetCurves]:
    """Every network that has an iterative depth, its untrained copy after it."""
    if summaries is None or summaries.empty:
        return
    found = summaries[summaries["measure"].isin(["iterative_depth", "onset", "bits_at_onset", "bits_after_onset"])]
    table = table[table["measure"].isin(["retention", "persistence", "prediction_gain_effect"])]
    for (model, seed), rows in found.groupby(["model", "null_seed"], sort=False, dropna=False):
        untrained, lens = not pd.isna(seed), str(rows["lens"].iloc[0])
        of = table[(table["model"] == model) & (table["target"] == "label") & (table["form"] == "")]
        here = of[
            (of["null"] == (UNTRAINED if untrained else "observed")) & (of["null_seed"].eq(seed) | (not untrained))
        ]
        yield OnsetCurves(
            str(model),
            int(seed) if untrained else None,
            lens,
            rows,
            here[(here["measure"] == "retention") & (here["lens"] == LEFT_OUT)].sort_values("state_index"),
            _used(here, lens),
            of[(of["measure"] == "prediction_gain_effect") & (of["null"] == "pairing") & (of["lens"] == lens)]
            .iloc[: 0 if untrained else None]
            .sort_values("block_index"),
            int(rows["cells"].max()),
            str(rows.loc[rows["form"] == THRESHOLD, "limit"].iloc[0]),
        )


def _used(rows: pd.DataFrame, lens: str) -> pd.DataFrame:
    """Persistence of the label by state; through a lens as a share of that of the last state."""
    chosen = (rows["measure"] == "persistence") & (rows["statistic"] == "ratio") & (rows["lens"] == lens)
    used = rows[chosen].sort_values("state_index")
    if lens and len(used):
        used = used.assign(**{column: used[column] / used["mean"].iloc[-1] for column in ("mean", "lo", "hi")})
    return used
