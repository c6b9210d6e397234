"""The table of power in words, as Markdown: one table for each modality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .power import CANNOT, NO, OTHER_WAY, TELLS, YES

if TYPE_CHECKING:
    from .probe_result import ProbeResult

ORDER = (TELLS, CANNOT, OTHER_WAY, "")
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
        columns = within.drop_duplicates("model").sort_values(
            "role", key=lambda r: r.map({YES: 0, "": 1, NO: 2}), kind="stable"
        )
        parts += [f"## {str(modality).capitalize()} networks", ""]
        parts += [
            f"* {_about(by_name[name], str(role))}"
            for name, role in zip(columns["model"], columns["role"], strict=True)
        ]
        headings = [
            f"{name}{role and f' ({role})'}" for name, role in zip(columns["model"], columns["role"], strict=True)
        ]
        parts += ["", f"| measure | verdict | {' | '.join(headings)} |", f"|---|---|{'---|' * len(headings)}"]
        measures = within.drop_duplicates("measure")
        for verdict in ORDER:
            for measure in measures.loc[measures["verdict"] == verdict, "measure"]:
                of = within[within["measure"] == measure].set_index("model")
                cells = [_cell(of.loc[name]) for name in columns["model"]]
                parts.append(f"| {measure} | {verdict or 'not tested'} | {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


def _about(run: ProbeResult, role: str) -> str:
    part = {YES: "should pass", NO: "should fail", "": "beside them"}[role]
    network, data = run.manifest["network"], run.manifest["data"]
    return f"{run.name}, {part}: weights {network['weights']}; {run.units:,} {data['unit']}s of {data['name']}"


def _cell(row: pd.Series) -> str:
    mean, lo, hi = (float(row[column]) for column in ("mean", "lo", "hi"))
    if not np.isfinite(mean):
        return "–"
    if not np.isfinite(lo):
        text = f"{mean:z.2f}"
    elif abs(hi + lo - 2 * mean) > 0.01:
        text = f"{mean:z.2f} ({lo:z.2f} … {hi:z.2f})"
    else:
        text = f"{mean:z.2f} ± {(hi - lo) / 2:.2f}"
    return text.replace("-", "−")
