"""Power: which measures tell a network built and trained for iterative inference from networks that do none.

A measure that cannot tell the two apart is no evidence on any other network, however striking its value there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import ItinfError, nearest, shown
from ..settings import one_of
from ..statistics.bootstrap import Array
from ..statistics.intervals import interval
from .difference import of_same_units
from .onset import THRESHOLD
from .row import Row
from .schema import POWER_DTYPES

if TYPE_CHECKING:
    from .comparison import Comparison
    from .estimators import Estimator
    from .probe_result import ProbeResult
    from .sums import StudySums

POWER, POWER_WORDS = "power.parquet", "power.md"
YES, NO = "yes", "no"
ROLES = (YES, NO)
"""A control that should pass, and one that should fail."""
TELLS, CANNOT, OTHER_WAY = "tells", "cannot tell", "points the other way"
VERDICTS = (TELLS, CANNOT, OTHER_WAY, "")


def checked_roles(roles: Any, names: Sequence[str]) -> dict[str, str]:
    """Name of a control -> its role.

    Args:
        roles: what a user gave; None for no controls.
        names: of all networks.

    Raises:
        ItinfError: it is no such mapping, a role is unknown, or is of a network that is not there.
    """
    if roles is None:
        return {}
    if not isinstance(roles, Mapping):
        raise ItinfError(f'roles is {shown(roles)}; expected a mapping, such as roles={{"one": "yes", "two": "no"}}.')
    for name, role in roles.items():
        if name not in names:
            raise ItinfError(f"The roles name {shown(name)}, which is no run. {nearest(str(name), names)}")
        one_of(f"The role of {name}", role, ROLES)
    return dict(roles)


@dataclass(frozen=True)
class Headline:
    """One number of a whole network, larger for more iterative inference: a mean over blocks or states, or a summary.

    Attributes:
        words: what it is, for readers.
        columns: of its rows, in the results table or the summaries.
        beyond: the null that is subtracted, "" for none; of rows of the results table.
        summary: whether it stands in the summaries.
        last: whether rows about the last state count; persistence there is 1 in any network.
    """

    words: str
    columns: Mapping[str, Any]
    beyond: str = ""
    summary: bool = False
    last: bool = False


def _descent(gradient: str, beyond: str) -> Headline:
    words = f"descent share, {gradient} gradient{beyond and f', beyond {beyond}'}"
    return Headline(words, {"measure": "descent_share", "gradient": gradient, "update": "update", "lens": ""}, beyond)


def _efficiency(beyond: str, lens: str = "") -> Headline:
    words = f"efficiency of steps through {'one lens' if lens else 'the own readout'}{beyond and f', beyond {beyond}'}"
    return Headline(words, {"measure": "efficiency", "lens": lens} | ({} if lens else {"form": ""}), beyond)


def _retention(words: str, **columns: Any) -> Headline:
    return Headline(
        f"retention {words}", {"measure": "retention", "target": "label", "null": "observed"} | columns, summary=True
    )


def _nudged(words: str, measure: str) -> Headline:
    target = "wrong" if measure == "selectivity" else "label"
    return Headline(words, {"measure": measure, "statistic": "ratio", "target": target, "form": "", "lens": ""})


MEASURES: tuple[Headline, ...] = (
    Headline("iterative depth", {"measure": "iterative_depth", "form": THRESHOLD}, summary=True),
    _retention("of one lens, the state left out", direction="one lens"),
    _retention("of one lens, beyond rotated depths", direction="one lens − rotated", null="rotated"),
    _retention("one state away, as lenses are", direction="both", distance=1, form=""),
    _retention("over all pairs, as lenses are", direction="both", distance=0, form=""),
    _retention("over all pairs, channels matched", direction="both", distance=0, form="gauge-matched"),
    Headline(
        "surplus over all pairs: written in a lens's code, not carried",
        {
            "measure": "surplus",
            "target": "label",
            "null": "observed",
            "direction": "forward",
            "distance": 0,
            "form": "",
        },
        summary=True,
    ),
    _nudged("persistence of the label, mean over states", "persistence"),
    _nudged("persistence over carried alone", "kept"),
    _nudged("selectivity: the own error taken back more than others' errors", "selectivity"),
    Headline("gain of steps beyond pairing, bits", {"measure": "prediction_gain", "form": "", "lens": ""}, "pairing"),
    *(_efficiency(beyond) for beyond in ("", "pairing", "same-target", "order-shuffled")),
    *(_efficiency(beyond, "shared") for beyond in ("same-target", "order-shuffled")),
    *(_descent(gradient, beyond) for gradient in ("output", "readout") for beyond in ("", "pairing", "same-target")),
    Headline(
        "first-order gain, output gradient, nats",
        {"measure": "first_order_gain", "statistic": "mean", "gradient": "output", "update": "update", "lens": ""},
    ),
    Headline("convergence over depth, in errors", {"measure": "convergence_index", "form": "error"}, last=True),
    Headline("answers that stay without a block", {"measure": "agreement", "form": "lesion", "target": ""}),
    Headline("answers that stay with neighbours swapped", {"measure": "agreement", "form": "swap", "target": ""}),
    Headline("realised gain of the readout, nats", {"measure": "realised_gain", "statistic": "mean", "lens": ""}),
)
"""The numbers that have been taken for evidence of iterative inference."""


def power_table(comparison: Comparison, roles: Mapping[str, str]) -> pd.DataFrame:
    """Every measure of ``MEASURES`` for every network, and whether it tells the controls apart.

    Args:
        comparison: with the controls among its runs.
        roles: name of a control -> "yes" or "no". Controls are compared within a modality.

    Returns:
        one row per measure and network, with the columns ``POWER_DTYPES``: those of one modality together, measures in order
        of their verdicts, and networks that should pass before those that should fail. ``verdict`` is of the measure in that modality:
        "tells" if in every pair of a yes and a no the interval of the yes lies above that of the no; "points the other way"
        if all lie below; else "cannot tell". Controls without a value are left out; it is "" if no yes, or no no, is left.
    """
    modalities: dict[str, list[ProbeResult]] = {}
    for run in sorted(comparison.runs, key=lambda run: (YES, "", NO).index(roles.get(run.name, ""))):
        modalities.setdefault(run.stages["observed"].structure["modality"], []).append(run)
    rows = []
    for modality, runs in modalities.items():
        judged = []
        for measure in MEASURES:
            found = [_row(measure, comparison, run, roles.get(run.name, "")) for run in runs]
            judged.append([row | {"modality": modality, "verdict": _verdict(found)} for row in found])
        rows += [row for of in sorted(judged, key=lambda of: VERDICTS.index(of[0]["verdict"])) for row in of]
    return pd.DataFrame(rows, columns=list(POWER_DTYPES)).astype(POWER_DTYPES)


def _row(measure: Headline, comparison: Comparison, run: ProbeResult, role: str) -> dict[str, Any]:
    value = _summary(measure, comparison, run.name) if measure.summary else _mean(measure, run)
    mean, lo, hi = (np.nan, np.nan, np.nan) if value is None else value
    return {"measure": measure.words, "model": run.name, "role": role, "mean": mean, "lo": lo, "hi": hi}


def _summary(measure: Headline, comparison: Comparison, name: str) -> tuple[float, float, float] | None:
    rows = comparison.summaries
    chosen = (rows["model"] == name) & (rows["null"] != "untrained")
    for column, value in measure.columns.items():
        chosen &= rows[column] == value
    found = rows.loc[chosen, ["mean", "lo", "hi"]].dropna(subset="mean")
    return None if found.empty else tuple(float(x) for x in found.mean())  # type: ignore[return-value]  # of several seeds


def _mean(measure: Headline, run: ProbeResult) -> tuple[float, float, float] | None:
    """Mean over blocks or states, with its interval over clusters; None without a value."""
    stage = run.stages["observed"]
    wanted = {"subset": "all", "target": "label", "null": measure.beyond or "observed"} | dict(measure.columns)
    last = len(stage.structure.get("states", ())) - 1
    curves = [
        _values(row, estimator, stage)
        for row, estimator in stage.entries.items()
        if row.measure == wanted["measure"]  # first, as most rows are of other measures
        and (measure.last or row.state != last)
        and estimator.replicated
        and all(getattr(row, column) == value for column, value in wanted.items())
    ]
    finite = [curve for curve in curves if np.isfinite(curve[0])]
    if not finite:
        return None
    mean = np.mean(finite, axis=0)
    return float(mean[0]), *interval(mean, stage.clusters)


def _values(row: Row, estimator: Estimator, stage: StudySums) -> Array:
    """(1 + B,) the row, or its effect if it is a row of a null."""
    with np.errstate(divide="ignore", invalid="ignore"):  # a replicate without clusters has no value
        values = estimator.estimate(stage.sums)
        if row.null == "observed":
            return values
        return of_same_units(stage.entries[replace(row, null="observed")], estimator, stage.sums) - values


def _verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """Of one measure in one modality."""
    yes, no = ([row for row in rows if row["role"] == role and np.isfinite(row["lo"])] for role in (YES, NO))
    sides = {int(a["lo"] > b["hi"]) - int(a["hi"] < b["lo"]) for a in yes for b in no}
    if not sides:
        return ""
    return TELLS if sides == {1} else OTHER_WAY if sides == {-1} else CANNOT
