"""A question about the paths of the gradient: do the short ones carry it?"""

from __future__ import annotations

import pandas as pd

from ..figures.paths import by_length, effective_lengths, of_first_state
from ..labels import UNTRAINED
from ..numbers import number
from .claim import Claim
from .places import Place, numbers
from .source import Source, beside_untrained
from .words import Evidence


def _short(source: Source) -> Evidence:
    lengths = of_first_state(by_length(source.table))
    rows = of_first_state(effective_lengths(source.table))
    if lengths.empty or rows.empty:
        return Evidence(noun="state", reason=source.why_not("effective_path_length"))
    longest = int(lengths["longest"].iloc[0])
    observed, untrained = (_shorter(rows[rows["null"] == null], longest) for null in ("observed", UNTRAINED))
    effective = number(float(rows[rows["null"] == "observed"]["mean"].iloc[0]), 1)
    return Evidence(
        [Place(int(observed["state_index"].iloc[0]), numbers(observed)[0])],
        noun="state",
        null=f"effective length {effective} of {longest}",
        untrained=beside_untrained(observed, untrained),
    )


def _shorter(rows: pd.DataFrame, longest: int) -> pd.DataFrame:
    """How much shorter than half of the longest path, as a share of that half."""
    shorter = {new: 1 - 2 * rows[old] / longest for new, old in (("mean", "mean"), ("lo", "hi"), ("hi", "lo"))}
    return rows.assign(**shorter)


SHORT_PATHS = Claim(
    "short paths carry the gradient",
    "Is the effective path length below half of the longest path, where branches would be as strong as skips, and by how much?",
    _short,
    nulls="half of the longest path, untrained",
    anchor="paths",
    order=130,
    is_question=True,
    scale=(-1.0, 1.0),
    optional=True,
)
