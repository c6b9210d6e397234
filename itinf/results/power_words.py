"""The table of power in words, as Markdown: one table for each modality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .notebook import ranged
from .power import NO, YES

if TYPE_CHECKING:
    from .probe_result import ProbeResult

MEANING = """A measure **tells** if, in every pair of a yes and a no, the interval of the yes lies above that of the no; it
**points the other way** if all lie below; otherwise it **cannot tell**. Controls without a value are left out: an untrained network, which
tells nothing of a label, has no retention. A dash is undefined or not measured. ± is half a 95 %
interval over images or sequences, of one trained network each. Networks without a role stand beside the controls and decide nothing.
What cannot tell is a question that a study may ask, and no evidence."""


def power_markdown(power: pd.DataFrame, runs: Sequence[ProbeResult]) -> str:
    """The table of power, for a reader.

    Args:
        power: from ``itinf.results.power.power_table``.
        runs: the networks, for their weights and data.
    """
    by_name = {run.name: run for run in runs}
    parts = ["# What each measure can tell", "", MEANING, ""]
    for modality in dict.fromkeys(power["modality"]):
        within = power[power["modality"] == modality]
        if not within["verdict"].any():  # without controls of both kinds
            continue
        networks = within.drop_duplicates("model")
        named = list(zip(networks["model"], networks["role"], strict=True))
        headings = [f"{name}{role and f' ({role})'}".replace("|", "\\|") for name, role in named]
        parts += [f"## {str(modality).capitalize()} networks", ""]
        parts += [f"* {_about(by_name[name], role)}" for name, role in named]
        parts += ["", f"| measure | verdict | {' | '.join(headings)} |", f"|---|---|{'---|' * len(headings)}"]
        for measure, of in within.groupby("measure", sort=False):
            if of["mean"].isna().all():  # not measured
                continue
            cells = [_cell(row) for _, row in of.iterrows()]
            parts.append(f"| {measure} | {of['verdict'].iloc[0] or 'not tested'} | {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


def _about(run: ProbeResult, role: str) -> str:
    part = {YES: "should pass", NO: "should fail", "": "beside them"}[role]
    network, data = run.manifest["network"], run.manifest["data"]
    return f"{run.name}, {part}: weights {network['weights']}; {run.units:,} {data['unit']}s of {data['name']}"


def _cell(row: pd.Series) -> str:
    """An estimate; with both ends of an interval that does not lie evenly about it."""
    mean, lo, hi = (float(row[column]) for column in ("mean", "lo", "hi"))
    if not np.isfinite(mean):
        return "–"
    if abs(hi + lo - 2 * mean) > 0.01:
        return f"{mean:z.2f} ({lo:z.2f} … {hi:z.2f})".replace("-", "−")
    return ranged(mean, lo, hi)
