"""The first claim: a network infers iteratively over the last part of its depth."""

from __future__ import annotations

import math

from ..lens_numbers import estimates
from ..numbers import number
from ..onset_numbers import OTHERS, OnsetCurves, onset_curves
from .claim import Claim
from .places import Number
from .source import Source
from .words import DepthEvidence, decide_depth

SHORT = {"1/3": "⅓", "2/3": "⅔"}


def _depth(source: Source) -> DepthEvidence:
    every = list(onset_curves(source.table, source.summaries))
    trained = next((curves for curves in every if curves.seed is None), None)
    if trained is None:
        measured = not source.summaries.empty
        why = "persistence and gain were not measured" if measured else "its lenses were not read at other states"
        return DepthEvidence(reason=why)
    copies = [_number(curves) for curves in every if curves.seed is not None]
    others = [f"{SHORT[form]} {number(_number(trained, form).mean, 2)}" for form in OTHERS]
    untrained = [f"untrained {number(max(copies).mean, 2)}"] if copies else []
    return DepthEvidence(
        _number(trained),
        trained.states - 1,
        "; ".join([f"at thresholds {', '.join(others)}", *untrained]),
        max((copy.hi for copy in copies), default=None),
        _curve(trained),
    )


def _number(curves: OnsetCurves, form: str = "1/2") -> Number:
    row = curves.number("iterative_depth", form)
    return Number(float(row["mean"]), float(row["lo"]), float(row["hi"]))


def _curve(curves: OnsetCurves) -> tuple[tuple[int, float, bool], ...]:
    """By state, the lesser of what one lens retains and what persists; a state counts from the onset on."""
    code, used = (
        dict(zip(rows["state_index"].astype(int), (one.mean for one in estimates(rows)), strict=True))
        for rows in (curves.in_code, curves.used)
    )
    least = {at: min(code[at], used[at]) if at in used else math.nan for at in code}
    begins = math.inf if curves.onset is None else list(least)[curves.onset] if curves.onset < len(least) else math.inf
    return tuple((at, value, at >= begins) for at, value in least.items())


ITERATIVE_DEPTH = Claim(
    "iterative depth",
    "Over which last share of its depth does it write one prediction, in one code, that is used and improved?",
    _depth,
    nulls="pairing, untrained",
    anchor="four-figures",
    power=("iterative depth",),
    order=10,
    scale=(0.0, 1.0),
    decide=decide_depth,
)
