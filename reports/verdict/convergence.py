"""Questions about further steps: does the answer come early and stay, and does one more help where it is close?"""

from __future__ import annotations

import pandas as pd

from ..figures.borderline import of_repeats
from .claim import Claim
from .places import Place, numbers
from .source import Source
from .words import Evidence

NEED = 0.5
INDICES = (
    ("convergence_index", "error", "label", 0.5, 0.5),
    ("divergence_index", "error", "label", 1.0, -1.0),
)
"""(measure, form, target, a, b): a + b · index is the share of the gain made on average over depth; and of the gain, what is left after
further runs of the last block. The recurrence index does not judge: where steps converge, leaving out a block costs next to nothing but at the
first one, which reads another kind of state, and it alone decides (−8 in the control that is trained to be a recurrence)."""


def _iterates(source: Source) -> Evidence:
    places = []
    for number, (measure, form, target, a, b) in enumerate(INDICES, 1):
        rows = source.rows(measure, form=form, target=target)
        for one, reason in zip(numbers(_moved(rows, a, b)), rows["reason"], strict=True):
            places.append(Place(number, one, need=NEED, reason=reason))
    return Evidence(places, noun="index", reason=source.why_not("convergence_index"))


def _moved(rows: pd.DataFrame, a: float, b: float) -> pd.DataFrame:
    """a + b · x of rows with their intervals."""
    ends = {"mean": "mean", "lo": "lo" if b > 0 else "hi", "hi": "hi" if b > 0 else "lo"}
    moved = {new: a + b * rows[old] for new, old in ends.items()}
    return rows.assign(**moved, band_lo=float("nan"), band_hi=float("nan"))


def _helped(source: Source) -> Evidence:
    rows = of_repeats(source.table[source.table["null"] == "observed"])
    places = [Place(int(at), one) for at, one in zip(rows["block_index"], numbers(rows), strict=True)]
    return Evidence(places, reason="no unit is borderline, or the last block was not repeated")


ITERATES = Claim(
    "does it converge, and stay?",
    "Is more than half of the gain there on average over depth, and left after as many further runs of the last block?",
    _iterates,
    anchor="convergence",
    order=132,
    is_question=True,
    optional=True,
    scale=(0.0, 1.0),
)
HELPED = Claim(
    "does one more step help borderline units?",
    "Are more of the borderline units right if the last block runs again, as often and as much as is best on others?",
    _helped,
    anchor="borderline",
    order=133,
    is_question=True,
    optional=True,
)
