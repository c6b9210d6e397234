"""The section on errors: charts and captions hold the table's numbers, each only where its rows are; questions of the verdict table."""

from __future__ import annotations

import itertools
import math
import re
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from itinf.errors import NothingToDrawError
from itinf.results.schema import results_table
from pages import page
from reports.charts.corrected import (
    bits_caption,
    excess_caption,
    kept_caption,
    later_caption,
    share_caption,
    surprise_caption,
)
from reports.charts.marks import marks_of
from reports.figures.beliefs import excess_movement, moved
from reports.figures.bits import bits, needs_no_lens, own_bits
from reports.figures.later_response import later_response, subtracted
from reports.figures.recovery import context_kept, surprise
from reports.figures.signed import round_above
from reports.sections.predictive import PREDICTIVE
from reports.verdict.predictive import OVER_REACTS, RECOVERS
from reports.verdict.source import Source
from reports.verdict.table import verdict_table
from tables import BLANK
from test_page import manifest

SECTIONS = {"predictive": lambda: PREDICTIVE}
NAN = math.nan
CHI = (-0.302, -0.233, -0.161, -0.080, 0.0)
PLACES = ("k 1", "k 2", "k 3-4", "k 5-8", "k 9-16")


def by_block(model: str, measure: str, values: Any, half: float = 0.002, **said: Any) -> list[dict[str, Any]]:
    return _rows(model, measure, values, half, lambda k, n: {
        "block": f"layers.{k}", "block_index": k + 1, "depth": (k + 1) / n}, **said)  # fmt: skip


def by_state(model: str, measure: str, values: Any, half: float = 0.002, **said: Any) -> list[dict[str, Any]]:
    return _rows(model, measure, values, half, lambda k, n: {
        "state": f"layers.{k}", "state_index": k, "depth": k / (n - 1)}, **said)  # fmt: skip


def _rows(model: str, measure: str, values: Any, half: float, place: Any, **said: Any) -> list[dict[str, Any]]:
    return [
        BLANK
        | {"model": model, "modality": "language", "measure": measure, "unit": "token", "n_units": 96, "n_clusters": 96}
        | place(k, len(values))
        | {"mean": value, "lo": value - half, "hi": value + half}
        | said
        for k, value in enumerate(values)
    ]


def at(model: str, measure: str, values: dict[str, float], half: float = 0.05, **said: Any) -> list[dict[str, Any]]:
    """Rows of the last of four blocks or states, one for each subset."""
    place = {"block_index": 4, "depth": 1.0, "target": ""} if measure != "context_kept" else {
        "state_index": 4, "depth": 1.0, "target": "", "statistic": "ratio"}  # fmt: skip
    return [
        row | {"subset": subset}
        for subset, row in zip(
            values, _rows(model, measure, list(values.values()), half, lambda *_: place, **said), strict=True
        )
    ]


def predicts(model: str, own: tuple[float, ...], lens: tuple[float, ...] = ()) -> list[dict[str, Any]]:
    """Bits at every depth by the own readout, and through own lenses."""
    gains = [a - b for a, b in itertools.pairwise(own)]
    rows = by_block(model, "prediction_gain", gains) + by_block(model, "loss", [own[-1] * math.log(2)])
    if lens:
        made = by_state(model, "lens_loss", lens, lens="affine")
        rows += [row | {"fitted_at": row["state_index"]} for row in made]
    return rows


def beliefs(model: str, best: tuple[float, ...], read: tuple[float, ...], lens: str = "") -> list[dict[str, Any]]:
    said = {"target": "", "lens": lens}
    return [
        *by_block(model, "excess_movement", best, form="best temperature", **said),
        *by_block(model, "excess_movement", read, **said),
        *by_block(model, "excess_movement", [0.005] * len(read), null="order-shuffled", **said),
        *by_block(model, "squared_movement", [0.04] * len(read), form="best temperature", **said),
        *by_block(model, "squared_movement", [0.1] * len(read), **said),
        *by_state(model, "honesty", [-0.02] * (len(read) + 1), lens=lens),
        *by_state(model, "honesty", [0.001] * (len(read) + 1), form="best temperature", lens=lens),
        *by_state(model, "best_confidence", [0.8] * (len(read) + 1), form="best temperature", lens=lens),
    ]


def chi(
    model: str, values: tuple[float, ...], place: float, token: float, rho: tuple[float, ...]
) -> list[dict[str, Any]]:
    said = {"target": ""}
    return [
        *by_state(model, "later_response", values, 0.02, **said),
        *by_state(model, "later_response", [place * value for value in values], null="other-place", **said),
        *by_state(model, "later_response", [token * value for value in values], null="other-token", **said),
        *by_state(model, "later_response", values, 0.02, form="finite", **said),
        *by_state(model, "later_response", [9.0] * len(values), form="lag 1", **said),
        *by_state(model, "subtracted_share", rho, 0.1, statistic="ratio", **said),
        *by_state(model, "subtracted_share", rho, 0.1, statistic="ratio", form="same depth", **said),
    ]


def recovery(model: str, kept: tuple[float, ...], detour: tuple[float, ...]) -> list[dict[str, Any]]:
    rows = at(model, "context_kept", dict(zip(PLACES, kept, strict=True)), form="inserted")
    rows += at(model, "context_kept", dict(zip(PLACES, detour, strict=True)), form="detour")
    rows += at(
        model, "excess", dict(zip(("k 0", *PLACES), (9.2, 1.2, 0.7, 0.3, 0.1, 0.06), strict=True)), form="inserted"
    )
    return rows + at(model, "surprise", {"inserted tokens": 18.6}, form="inserted")


def loop(model: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for process, last in (("random", 18.7), ("constant", 16.8)):
        values = {f"insertion {k}": 20.7 + (last - 20.7) * (k - 1) / 10 for k in range(1, 12)}
        rows += at(model, "surprise", values, 1.0, form=process)
        rows += at(model, "information", {"own tokens": 0.54, "later own tokens": 0.2}, form=process)
    return rows


def table_of(*rows: list[dict[str, Any]]) -> pd.DataFrame:
    return results_table([row for several in rows for row in several])


TABLE = table_of(
    predicts("coding", (7.0, 6.5, 6.1, 5.95, 5.9)),
    chi("coding", CHI, 0.015, 0.39, (1.08, 0.84, 0.58, 0.29, 0.0)),
    beliefs("coding", (-0.004, -0.009, -0.012, -0.011), (0.004, -0.007, -0.015, -0.019)),
    predicts("gpt", (14.0, 9.5, 7.4, 6.4, 5.9), (7.0, 6.6, 6.3, 6.1, 5.9)),
    chi("gpt", (0.0, -0.003, -0.007, -0.004, 0.0), 0.4, 1.0, (0.01, 0.03, 0.09, 0.05, 0.0)),
    beliefs("gpt", (0.03, 0.01, 0.008, 0.02), (0.154, 0.042, 0.041, 0.034), lens="affine"),
    beliefs("gpt", (0.9, 0.9, 0.9, 0.9), (0.9, 0.9, 0.9, 0.9)),
    recovery("gpt", (0.63, 0.56, 0.75, 0.83, 0.91), (0.1, 0.3, 0.6, 0.8, 0.9)),
    loop("gpt"),
    predicts("other", (7.0, 6.0)),
)  # fmt: skip
NAMES = ("coding", "gpt", "other")
DRAW = {
    "bits_by_depth": lambda table, **more: bits(table, ["coding", "gpt"], **more),
    "later_response": later_response,
    "subtracted_share": subtracted,
    "context_kept": context_kept,
    "surprise": surprise,
    "excess_movement": excess_movement,
}


def shown(name: str, network: str, words: str) -> list[float]:
    """What hovering over the marks of a network says."""
    marks = marks_of(DRAW[name](TABLE)).every
    return [r.mean for m in marks if m.name == network for r in m.readings if r.name == words]


def test_bits_of_every_depth_are_the_loss_and_the_gains_behind_it():
    assert own_bits(TABLE[TABLE["model"] == "gpt"])["mean"].tolist() == pytest.approx([14.0, 9.5, 7.4, 6.4, 5.9])
    assert shown("bits_by_depth", "coding", "bits, own readout") == pytest.approx([7.0, 6.5, 6.1, 5.95, 5.9])
    assert shown("bits_by_depth", "gpt", "bits, own lens") == pytest.approx([7.0, 6.6, 6.3, 6.1, 5.9])
    assert bits_caption(TABLE, ["coding"]).endswith("coding 7.00 to 5.90, less at 4 of 4 blocks.")


def test_depths_that_the_own_readout_does_not_fit_are_left_out():
    rows = pd.DataFrame(predicts("stages", (6.0, 5.0, 4.0, 3.0)))
    rows.loc[rows["block_index"].eq(2) & rows["measure"].eq("prediction_gain"), "mean"] = NAN
    assert own_bits(rows)[["block", "mean"]].to_numpy() == pytest.approx(np.array([[2, 4.0], [3, 3.0]]))


def test_a_network_whose_readout_reads_every_depth_is_read_by_it_alone():
    coding, gpt = (TABLE[TABLE["model"] == name] for name in ("coding", "gpt"))
    assert needs_no_lens(coding) and not needs_no_lens(gpt)
    assert set(moved(coding).best["lens"]) == {""} and set(moved(gpt).best["lens"]) == {"affine"}
    with_lens = table_of(predicts("coding", (7.0, 6.5, 6.1), (6.95, 6.5, 6.1)))
    assert needs_no_lens(with_lens)


def test_later_responses_are_those_at_matching_places_beside_their_nulls():
    assert shown("later_response", "coding", "where the same token stood") == pytest.approx(list(CHI))
    assert shown("later_response", "coding", "where another token stood") == pytest.approx([0.015 * x for x in CHI])
    assert later_caption(TABLE[TABLE["model"] == "coding"]) == (
        "Most is subtracted, in thousandths of a nat per nat: coding −302 ± 20.0 at state 0 (other place −4.5; other token −118)."
    )
    assert shown("subtracted_share", "gpt", "with p of the last depth") == pytest.approx([0.01, 0.03, 0.09, 0.05, 0.0])
    assert share_caption(TABLE).endswith("coding 1.08 [0.98, 1.18]; gpt 0.09 [−0.01, 0.19].")


def test_recovery_and_loops_are_told_by_place():
    assert shown("context_kept", "gpt", "kept") == pytest.approx([0.63, 0.56, 0.75, 0.83, 0.91])
    assert shown("context_kept", "gpt", "kept after a detour") == pytest.approx([0.1, 0.3, 0.6, 0.8, 0.9])
    assert shown("context_kept", "gpt", "excess inserted, bits") == pytest.approx([1.2, 0.7, 0.3, 0.1, 0.06])
    assert kept_caption(TABLE) == (
        "Kept of what the old context was worth: gpt 0.63 at k 1 and 0.91 at k 9-16 (after a detour of its own 0.10 at first)."
    )
    assert len(shown("surprise", "gpt", "surprise, constant, bits")) == 11
    assert shown("surprise", "gpt", "surprise, random, bits")[-1] == pytest.approx(18.7)
    assert surprise_caption(TABLE).startswith(
        "First insertion to last, in bits: gpt: constant 20.7 to 16.8, own tokens carry 0.54 ± 0.05 bits of it; random"
    )


def test_excess_movement_is_drawn_at_the_best_temperature_beside_what_is_read():
    assert shown("excess_movement", "gpt", "excess movement") == pytest.approx([0.03, 0.01, 0.008, 0.02])
    assert shown("excess_movement", "gpt", "as read") == pytest.approx([0.154, 0.042, 0.041, 0.034])
    assert shown("excess_movement", "coding", "honesty after it") == pytest.approx([0.001] * 4)
    assert excess_caption(TABLE) == (
        "At the best temperature: coding (by its own readout) 0 above 0, 4 below, of 4 blocks; "
        "gpt (through affine lenses) 4 above 0, 0 below, of 4 blocks."
    )


def test_a_scale_ends_at_a_round_number():
    assert [round_above(x) for x in (302.0, 7.0, 0.9, 5.0, 0.0, 1000.0)] == [500, 10, 1, 5, 1, 1000]


@pytest.mark.parametrize("name", DRAW)
def test_every_chart_fits_a_phone_and_needs_its_rows(name):
    figure = DRAW[name](TABLE)
    assert figure.get_figwidth() == pytest.approx(3.4) and len(figure.numbers)
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1, text.get_text()
    with pytest.raises(NothingToDrawError):
        DRAW[name](TABLE[TABLE["model"] == "other"])


def test_the_page_has_each_chart_only_where_its_rows_are():
    manifests, notes = [manifest(name) for name in NAMES], [[], [], []]
    text = page(TABLE, manifests, notes, sections=SECTIONS)
    found = re.findall(r'<figure id="figure-([^"]*)"', text)
    assert found == list(DRAW)
    assert "from a network that only copies" in text
    only = TABLE[TABLE["measure"].isin(["excess_movement", "squared_movement", "prediction_gain", "loss"])]
    text = page(only, manifests, notes, sections=SECTIONS)
    assert re.findall(r'<figure id="figure-([^"]*)"', text) == ["bits_by_depth", "excess_movement"]
    assert "from a network that only copies" not in text
    nothing = TABLE[TABLE["measure"].isin(["prediction_gain", "loss"])]
    assert 'id="predictive"' not in page(nothing, manifests, notes, sections=SECTIONS)


def test_the_questions():
    said = {}
    for claim in (RECOVERS, OVER_REACTS):
        table = verdict_table(
            TABLE, None, [manifest(name) for name in NAMES], {claim.name: partial(lambda one: one, claim)}
        )
        (row,) = table.rows
        said |= {(claim.name, n.name): cell.verdict.text for n, cell in zip(table.networks, row.cells, strict=True)}
    assert said[RECOVERS.name, "gpt"].startswith("yes: more than half")
    assert said[RECOVERS.name, "coding"].startswith("not defined")
    assert said[OVER_REACTS.name, "gpt"] == "yes: too far, and back"
    assert said[OVER_REACTS.name, "coding"].startswith("the reverse: on in one direction")
    verdict = OVER_REACTS.decide(OVER_REACTS.find(Source(TABLE[TABLE["model"] == "gpt"], pd.DataFrame())))
    assert verdict.size.mean == pytest.approx(np.mean([0.03, 0.01, 0.008, 0.02]) / 0.04)
    assert verdict.null == "as read 0.68"
