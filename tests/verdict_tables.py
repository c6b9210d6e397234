"""Tables of one network with a curve made by hand for every kind of row of the verdict table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from reports.verdict.source import Source
from tables import BLANK

NAN = math.nan
NO_SUMMARIES = pd.DataFrame()


def curve(
    measure: str,
    values: Sequence[float],
    half: float | Sequence[float] = 0.03,
    *,
    states: bool = False,
    lens_of: Sequence[int] | None = None,
    **columns: Any,
) -> list[dict[str, Any]]:
    """One row for each value: of blocks 1 … L, or of states 0 … L; without bands.

    Args:
        half: half-width of the interval, of each or of all.
        lens_of: the states at which the lenses were fitted.
    """
    halves = [half] * len(values) if isinstance(half, float | int) else list(half)
    last = len(values) - states
    made = []
    for k, (value, width) in enumerate(zip(values, halves, strict=True)):
        place = {"state_index": k, "depth": k / last} if states else {"block_index": k + 1, "depth": (k + 1) / last}
        fitted = {} if lens_of is None else {"fitted_at": lens_of[k]}
        made.append(
            BLANK | place | fitted | {"model": "net", "modality": "image", "measure": measure, "n_clusters": 800}
            | {"mean": value, "lo": value - width, "hi": value + width} | columns
        )  # fmt: skip
    return made


def source(*curves: list[dict[str, Any]], summaries: pd.DataFrame = NO_SUMMARIES) -> Source:
    return Source(pd.DataFrame([row for rows in curves for row in rows]), summaries)


def against(
    measure: str,
    effect: Sequence[float],
    half: float | Sequence[float] = 0.03,
    *,
    level: float = 0.5,
    null: str = "pairing",
    untrained: float | None = None,
    observed: float | None = None,
    **columns: Any,
) -> Source:
    """A measure of blocks with its paired effect against a null.

    Args:
        effect: of each block; ``level``: of the null.
        untrained: value of an untrained copy.
        observed: value over all units, where it is not the null's plus the effect.
    """
    shown = [level + one if observed is None else observed for one in effect]
    copies = [] if untrained is None else curve(
        measure, [untrained] * len(effect), null="untrained", null_seed=0, **columns
    )  # fmt: skip
    return source(
        curve(measure, shown, **columns),
        curve(measure, [level] * len(effect), null=null, **columns),
        curve(f"{measure}_effect", effect, half, null=null, **columns),
        copies,
    )


def descent(effect: Sequence[float], half: float | Sequence[float] = 0.03, **options: Any) -> Source:
    columns = {"gradient": "readout", "update": "update", "form": "gauge-free"}
    return against("descent_share", effect, half, **options, **columns)


def gains(effect: Sequence[float], half: float | Sequence[float] = 0.03, **options: Any) -> Source:
    return against("prediction_gain", effect, half, lens="shared", **options)


def order(effect: Sequence[float], half: float | Sequence[float] = 0.03, **options: Any) -> Source:
    return against("efficiency", effect, half, null="order-shuffled", **options)


def one_lens(
    kept: Sequence[float],
    half: float | Sequence[float] = 0.03,
    rotated: float = 0.0,
    untrained: float | None = None,
    bits: float = 1.0,
    **columns: Any,
) -> Source:
    """States 1 … L are as given, state 0 keeps nothing.

    Args:
        kept: retention of one lens, of the label and of the final answer.
        rotated: the same with depths rotated.
        untrained: the same of an untrained copy whose own lenses tell ``bits``.
    """
    halves = half if isinstance(half, float | int) else [0.03, *half]
    curves = [
        curve("retention", [0.0, *kept], halves, states=True, lens="shared, left out", target=target, **columns)
        for target in ("label", "model")
    ]
    curves.append(
        curve("retention", [rotated] * (len(kept) + 1), 0.01, states=True, lens="shared, left out", null="rotated")
    )
    if untrained is not None:
        copy = {"states": True, "target": "model", "null": "untrained", "null_seed": 0}
        every = range(len(kept) + 1)
        curves.append(curve("retention", [untrained for _ in every], lens="shared, left out", **copy))
        curves.append(curve("readable", [bits for _ in every], lens="affine", lens_of=list(every), **copy))
    return source(*curves)


def neighbour(kept: Sequence[float], half: float | Sequence[float] = 0.03, **columns: Any) -> Source:
    """States 1 … L are read as given by the lenses before and after; a lens of state 0, and farther ones, read nothing."""
    count = len(kept) + 1
    halves = [half] * count if isinstance(half, float | int) else [0.03, *half]
    cells = []
    for fitted in range(count):
        near = [value if fitted and abs(k - fitted) == 1 else 0.0 for k, value in enumerate([0.0, *kept])]
        cells.append(curve("retention", near, halves, states=True, lens="affine", lens_of=[fitted] * count, **columns))
    return source(*cells)


def used(
    persists: Sequence[float],
    half: float | Sequence[float] = 0.03,
    carried: float = 1.0,
    untrained: float | None = None,
    kept_half: float = 0.03,
    **columns: Any,
) -> Source:
    """States 1 … L − 1 are as given; state 0 is not read, and the last one has persistence 1.

    Args:
        carried: carried alone, at every state.
        kept_half: half-width of persistence over carried alone.
    """
    halves = half if isinstance(half, float | int) else [0.03, *half, 0.0]
    whole, about = [0.0, *persists, 1.0], {"states": True, "statistic": "ratio"}
    curves = [
        curve("persistence", whole, halves, **about, **columns),
        curve("carried_alone", [carried] * len(whole), **about),
        curve("kept", [one / carried for one in whole], kept_half, **about),
    ]
    if untrained is not None:
        curves.append(curve("persistence", [untrained] * len(whole), null="untrained", null_seed=0, **about))
    return source(*curves)


def corrected(effect: Sequence[float], half: float | Sequence[float] = 0.03, **columns: Any) -> Source:
    halves = half if isinstance(half, float | int) else [0.03, *half, 0.0]
    return source(
        curve("selectivity", [9.0, *effect, 0.0], halves, states=True, statistic="ratio", target="wrong", **columns)
    )


def skipping(
    kept: Sequence[float],
    *twins: Sequence[float],
    half: float | Sequence[float] = 0.03,
    has: bool | None = True,
    matched: Sequence[float] = (),
    **columns: Any,
) -> Source:
    """A network with skips beside its twins; states 1 … L are as given, and state 0 keeps everything in the network alone.

    Args:
        kept: retention of one lens; ``twins``: the same of each twin, named twin1, twin2, …
        has: whether the network has skips.
        matched: retention with channels matched at state 1 … L by the lens of the next one (of the last by the first), of the
            network and of each twin; the network has cells of state 0, which its twins lack.
    """
    halves = half if isinstance(half, float | int) else [0.03, *half]
    sources = []
    for k, values in enumerate([kept, *twins]):
        about = {"model": f"twin{k}", "skips": False} if k else {"model": "net", "skips": has}
        one = curve("retention", [0.0 if k else 1.0, *values], halves, states=True, lens="shared, left out", **about)
        last, cells = len(kept), []
        for value in matched[k : k + 1]:
            matching = {"states": True, "lens": "affine", "form": "gauge-matched"} | about
            by_next = [0, *range(2, last + 1), 1]
            cells += curve("retention", [NAN if k else 9.0, *[value] * last], 0.1, lens_of=by_next, **matching)
            cells += curve("retention", [NAN if k else 9.0] * (last + 1), 0.1, lens_of=[0] * (last + 1), **matching)
        sources.append(Source(pd.DataFrame([row | columns for row in one + cells]), NO_SUMMARIES))
    return replace(sources[0], twins=tuple(sources[1:]))
