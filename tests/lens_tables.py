"""Tables of lenses and their transfer as the study writes them, every number known; for tests of what reports make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from itinf.results.table import COLUMNS

NAN = float("nan")
LITTLE = "own lens tells under 5 % of what the last state's tells"
QUALITIES = ("lens_kl", "lens_loss", "lens_agreement", "lens_calibration_error", "lens_marginal_bias")
HALF = 0.02


def read(model: str, segments: list[int], **said: Any) -> Callable[..., dict[str, Any]]:
    """Rows of one network's states; ``depth`` is as in a network of one block between two states."""
    last = len(segments) - 1

    def row(measure: str, at: int, mean: float, half: float = HALF, **convention: Any) -> dict[str, Any]:
        return dict.fromkeys(COLUMNS, "") | {
            "schema": 1, "model": model, "modality": "image", "block": f"state {at}", "index": at, "depth": at / last,
            "segment": segments[at], "measure": measure, "statistic": "mean", "target": "label", "subset": "all",
            "null": "observed", "null_seed": -1, "unit": "image", "mean": mean, "lo": mean - half, "hi": mean + half,
            "band_lo": NAN, "band_hi": NAN, "n_units": 500, "n_missing": 0, "n_clusters": 500,
        } | said | convention  # fmt: skip

    return row


def keeps(i: int, j: int) -> float:
    """Less with distance, and less backwards."""
    return 0.9 - 0.2 * abs(i - j) - 0.05 * (i > j)


def moved(
    model: str = "net",
    segments: tuple[int, ...] = (0, 0, 0, 0),
    kept: Callable[[int, int], float] = keeps,
    missing: tuple[int, ...] = (0,),
    matched: bool = True,
    untrained: bool = True,
    **said: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of a transfer and its summaries.

    What is kept is as given, of the model 0.05 less, with channels matched 0.05 more, untrained half; the
    own lens tells 1 + state bits of the label, 2 + state of the model's answer, (1 + state) / 100 untrained.

    Args:
        missing: states whose retention is missing; never of untrained networks.
    """
    segments_, rows = list(segments), []
    row, states = read(model, segments_, **said), range(len(segments))
    pairs = [(i, j) for i in states for j in states if segments[i] == segments[j]]
    known: dict[tuple[str, str, str], dict[tuple[int, int], float]] = {}
    for null, form, target, of in (
        ("observed", "", "label", kept),
        ("observed", "", "model", lambda i, j: kept(i, j) - 0.05),
        ("observed", "gauge-matched", "label", lambda i, j: kept(i, j) + 0.05),
        ("untrained", "", "model", lambda i, j: kept(i, j) / 2),
    ):
        if (form and not matched) or (null == "untrained" and not untrained):
            continue
        way = {"null": null, "null_seed": 0 if null == "untrained" else -1, "form": form, "target": target}
        cells = known.setdefault((null, form, target), {})
        for i, j in pairs:
            own = {"lens": "affine", "fitted_at": str(i)} | way
            if i == j and form:
                continue
            lost = j in missing and null == "observed"
            value = NAN if lost else 1.0 if i == j else of(i, j)
            reason = {"reason": LITTLE} if lost else {}
            rows.append(row("retention", j, value, statistic="ratio", **own, **reason))
            rows.append(row("raw_retention", j, value - 1, statistic="ratio", **own, **reason))
            if target == "label" or null == "untrained":
                rows.append(row("transfer_penalty", j, 2.0 * abs(i - j), **own | {"target": "label"}))
            told = (1 + j + (target == "model")) / (100 if null == "untrained" else 1)
            rows.append(row("readable", j, told if i == j else -9.0, **own))
            if i != j and not lost:
                cells[i, j] = value
    alike = [j for j in states if segments.count(segments[j]) > 1]
    for j in states:
        for place, measure in enumerate(QUALITIES):
            for lens, share in (("affine", 1), ("logit", 4), ("shared", 2), ("shared, left out", 3)):
                if lens in ("affine", "logit") or j in alike:
                    fitted = str(j) if lens == "affine" else ""
                    rows.append(row(measure, j, share / (1 + j + place), lens=lens, fitted_at=fitted, target="model"))
            if untrained:
                rows.append(row(measure, j, 0.25 + place, lens="affine", fitted_at=str(j), null="untrained",
                                null_seed=0, n_units=900))  # fmt: skip
    one: dict[tuple[str, int, str], list[float]] = {}
    for j in alike:
        for null, seed, target, value in (
            ("observed", -1, "label", 0.5 + 0.1 * j), ("observed", -1, "model", 0.4 + 0.1 * j),
            ("rotated", 1, "label", 0.01 * j), ("untrained", 0, "model", 0.3 + 0.01 * j),
        ):  # fmt: skip
            if null == "untrained" and not untrained:
                continue
            lost = j in missing and null != "untrained"
            rows.append(row("retention", j, NAN if lost else value, lens="shared, left out", null=null, null_seed=seed,
                            target=target, reason=LITTLE if lost else ""))  # fmt: skip
            one.setdefault((null, seed, target), []).extend([] if lost else [value])
    depth = {j: j / (len(segments) - 1) for j in states}
    return pd.DataFrame(rows, columns=COLUMNS), pd.DataFrame(list(_summaries(model, known, one, depth)))


def _summaries(
    model: str,
    known: dict[tuple[str, str, str], dict[tuple[int, int], float]],
    one: dict[tuple[str, int, str], list[float]],
    depth: dict[int, float],
) -> Iterator[dict[str, object]]:
    for (null, form, target), cells in known.items():
        for distance in (0, *sorted({abs(i - j) for i, j in cells})):
            here = {(i, j): value for (i, j), value in cells.items() if distance in (0, abs(i - j))}
            if not here:
                continue
            for measure, value in (
                ("retention", np.mean(list(here.values()))),
                ("transfer_penalty", np.mean([2.0 * abs(i - j) for i, j in here])),
            ):
                label = "label" if measure == "transfer_penalty" else target
                if measure == "transfer_penalty" and target == "model" and null == "observed":
                    continue
                for direction, mean in (("both", value), ("forward − backward", 0.25)):
                    yield {
                        "model": model, "measure": measure, "lens": "affine", "form": form, "target": label,
                        "null": null, "null_seed": 0 if null == "untrained" else -1, "direction": direction,
                        "distance": distance, "share": np.mean([abs(depth[i] - depth[j]) for i, j in here]),
                        "mean": mean, "lo": mean - HALF, "hi": mean + HALF, "cells": len(here),
                    }  # fmt: skip
    for (null, seed, target), values in ((way, values) for way, values in one.items() if values):
        mean = np.mean(values)
        yield {
            "model": model, "measure": "retention", "lens": "shared, left out", "form": "", "target": target,
            "null": null, "null_seed": seed, "direction": "one lens", "distance": 0, "share": 0.0, "mean": mean,
            "lo": mean - HALF, "hi": mean + HALF, "cells": len(values),
        }  # fmt: skip
