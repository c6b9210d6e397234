"""The answer in up to four sentences, with numbers and their nulls: on top of the page, and last on the console."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from ..labels import ROTATED, SHARED, UNTRAINED
from ..lens_numbers import LensNumbers, estimate, estimates
from ..numbers import counted, number, sides, signed
from ..onset_numbers import onset_curves
from ..rows import about_blocks, number_of_blocks
from .findings import STEPS
from .onset_table import depth_text

MOST, NETWORKS = 4, 4
"""Sentences, and networks that a sentence names, at most."""


def answers(table: pd.DataFrame, summaries: pd.DataFrame | None = None) -> list[str]:
    """Up to four sentences: what was found, as size, interval and null; nothing where nothing was measured.

    Args:
        table: a results table of any number of networks, with transfers of their lenses where there are some.
        summaries: of the same transfers.
    """
    if table.empty:
        return []
    numbers = LensNumbers(table, pd.DataFrame() if summaries is None else summaries)
    models = [str(model) for model in table["model"].unique()]
    sentences = []
    for claim, words in CLAIMS:
        told = [(model, text) for model in models if (text := words(numbers, model))]
        if told:
            more = f"; {len(told) - NETWORKS} more networks are in the table" if len(told) > NETWORKS else ""
            sentences.append(f"{claim}: {'; '.join(f'{model} {text}' for model, text in told[:NETWORKS])}{more}.")
    return sentences[:MOST]


def _iterative(r: LensNumbers, model: str) -> str:
    """The iterative depth, the onset, and the same of untrained copies."""
    found = [curves for curves in onset_curves(r.table, r.summaries) if curves.model == model]
    if not found:
        return ""
    trained, *untrained = found
    where = "at none" if trained.onset is None else f"after block {trained.onset} of {trained.states - 1}"
    beside = "".join(f"; untrained {depth_text(curves)}" for curves in untrained)
    return f"{depth_text(trained)}, {where}{beside}"


def _descent(r: LensNumbers, model: str) -> str:
    """How many units the blocks step down the loss of, beside the nulls."""
    observed = _updates(r, model, "descent_share")
    if observed.empty:
        return _why_not(r, model, "descent_share")
    effects = _updates(r, model, "descent_share_effect", "pairing")
    known = effects[effects["lo"].notna()]
    above = (
        sides((known["lo"] > 0).sum(), (known["hi"] < 0).sum(), len(known), "block") if len(known) else "no intervals"
    )
    untrained = _updates(r, model, "descent_share", UNTRAINED)
    beside = f"; untrained {number(untrained['mean'].median(), 2)}" if len(untrained) else ""
    unit = observed["unit"].iloc[0]
    return f"for {number(observed['mean'].median(), 2)} of {unit}s in the median block (pairing: {above}{beside})"


def _one_lens(r: LensNumbers, model: str) -> str:
    """What one lens tells at states that it was fitted without, beside what each state's own lens tells."""
    mean = estimates(r.one_lens(model))
    if not mean:
        return ""
    states = r.left_out(model)
    least = (
        f", least {estimate(row).text()} at state {row['state_index']}" if (row := _least(states)) is not None else ""
    )
    told = [f"depths rotated {estimates(rows)[0].text()}"] if len(rows := r.one_lens(model, null=ROTATED)) else []
    untrained, own = (estimates(r.one_lens(model, "model", null)) for null in (UNTRAINED, "observed"))
    if untrained and own:
        told.append(f"of the final answer {own[0].text()}, untrained {untrained[0].text()}")
    return f"on average {mean[0].text()}{least}" + (f" ({'; '.join(told)})" if told else "")


def _least(states: pd.DataFrame) -> pd.Series | None:
    return None if states.empty else states.loc[states["mean"].idxmin()]


def _neighbour(r: LensNumbers, model: str) -> str:
    """What lenses tell one state away, and anywhere."""
    near, far = (estimates(r.transferred(model, distance)) for distance in (1, 0))
    if near and far:
        return f"{near[0].text()}, over all pairs {far[0].text()}"
    return _why_not(r, model, "retention")


def _efficiency(r: LensNumbers, model: str) -> str:
    """How much of the movement of the prediction is gain."""
    steps = r.steps(model, "efficiency", SHARED, r.step_count(model, SHARED, STEPS))
    what = counted(len(steps), "step")
    if steps.empty:
        steps = _updates(r, model, "efficiency", gradient="")
        what = f"{len(steps)} of {counted(number_of_blocks(steps), 'block')}" if len(steps) else ""
    if steps.empty:
        return ""
    return f"{signed(steps['mean'].min(), 2)} … {signed(steps['mean'].max(), 2)} over {what}"


CLAIMS: Sequence[tuple[str, Callable[[LensNumbers, str], str]]] = (
    (
        "Iterative depth, the last share of depth over which one lens reads, what it reads is used, and steps gain and none harms",
        _iterative,
    ),
    ("Steps go down the loss", _descent),
    (
        "One lens for all depths tells, at a depth left out of its fit, this share of what that depth's own lens tells",
        _one_lens,
    ),
    ("A lens tells this share of what a state's own lens tells, one state away", _neighbour),
    ("Of the movement of the prediction, gain is (efficiency)", _efficiency),
)
"""What is claimed, and the words on one network; the first claims that have numbers are told."""


def _why_not(r: LensNumbers, model: str, measure: str) -> str:
    """The commonest reason for which a measure has no value anywhere; "" where it was not asked for."""
    rows = r.table[(r.table["model"] == model) & (r.table["measure"] == measure) & (r.table["null"] == "observed")]
    reasons = rows.loc[rows["mean"].isna() & (rows["reason"] != ""), "reason"]
    return f"is not known ({reasons.mode().iloc[0]})" if len(reasons) else ""


def _updates(
    r: LensNumbers, model: str, measure: str, null: str = "observed", gradient: str = "output"
) -> pd.DataFrame:
    """Rows about updates, one for each block that has a value, by the network's own readout and over all units."""
    rows = about_blocks(r.table[r.table["model"] == model])
    targets = rows.loc[rows["measure"] == measure, "target"].unique()
    target = "label" if "label" in targets or not len(targets) else min(targets)
    chosen = rows[
        (rows["measure"] == measure) & (rows["null"] == null) & (rows["gradient"] == gradient) & (rows["target"] == target)
        & rows["update"].isin(["", "update"]) & (rows["part"] == "") & (rows["lens"] == "") & (rows["subset"] == "all")
        & rows["statistic"].isin(["mean", "ratio"]) & rows["mean"].notna()
    ]  # fmt: skip
    return chosen.drop_duplicates(["block_index", "null_seed"])
