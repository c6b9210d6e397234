"""What the page says in cells and words, from tables whose answer is known."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itinf.results.schema import results_table
from reports.html.blocks_table import Cell, headlines, undefined, written
from tables import BLANK

NAN = float("nan")
SHAPE, WIDTH = "the block changes the state's shape", "the readout does not fit the state's width; it takes a lens"
OUTPUT, READOUT = {"update": "update", "gradient": "output"}, {"update": "update", "gradient": "readout"}


def row(measure: str, index: int, mean: float, half: float = NAN, depth: int = 5, **convention: Any) -> dict[str, Any]:
    """One row of an observed mean over all units, label as target."""
    return BLANK | {
        "model": "net", "modality": "image", "block": f"layer.{index}", "block_index": index, "depth": index / depth,
        "measure": measure, "unit": "image", "mean": mean, "lo": mean - half, "hi": mean + half, "n_units": 500,
        "n_clusters": 500,
    } | convention  # fmt: skip


def lost(measure: str, index: int, reason: str, **convention: Any) -> dict[str, Any]:
    return row(measure, index, NAN, n_units=0, reason=reason, **convention)


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return results_table(rows)


def performance(accuracy: float = 0.8125, loss: float = 0.5, **convention: Any) -> list[dict[str, Any]]:
    return [row("accuracy", 5, accuracy, 0.01, **convention), row("loss", 5, loss, 0.01, **convention)]


def test_blocks_count_by_the_side_of_zero_their_interval_lies_on() -> None:
    effect = {"measure": "descent_share_effect", "null": "pairing", **OUTPUT}
    means = [0.3, 0.2, -0.4, 0.1, 0.1]  # up, up, down, touches zero, crosses it
    halves = [0.1, 0.1, 0.1, 0.1, 0.2]
    rows = [row(index=i + 1, mean=m, half=h, **effect) for i, (m, h) in enumerate(zip(means, halves, strict=True))]
    other = [r | {"subset": "right before", "mean": 9.0, "lo": 8.0, "hi": 10.0} for r in rows]
    parts = [r | {"update": "part", "part": "mlp", "mean": 9.0, "lo": 8.0, "hi": 10.0} for r in rows]
    model = [r | {"target": "model", "mean": 9.0, "lo": 8.0, "hi": 10.0} for r in rows]
    (found,) = headlines(table(*performance(), *other, *parts, *model, *rows))
    assert found.counts[0] == "2 of 5 blocks above the null, 1 below"


def test_a_count_says_whether_it_is_undefined_unmeasured_or_without_intervals() -> None:
    few = [row("descent_share_effect", i, 0.3, null="same-target", **OUTPUT) for i in (1, 2)]
    observed = [row("descent_share", i, 0.6, 0.1, **OUTPUT) for i in (1, 2)]
    none = [lost("descent_share", i, WIDTH, **READOUT) for i in (1, 2)]
    (found,) = headlines(table(*performance(), *few, *observed, *none))
    assert found.counts == ["not measured", "no intervals", "undefined"]


def test_a_headline_is_of_the_network_itself_whatever_the_order_of_rows() -> None:
    nulls = performance(0.1, 2.3, null="untrained", null_seed=0)
    steps = [row("efficiency", i, e, 0.1, statistic="ratio") for i, e in ((3, -0.25), (4, 0.5))]
    shuffled = [row("efficiency", 4, 0.9, 0.1, statistic="ratio", null="order-shuffled")]
    (found,) = headlines(table(*nulls, *shuffled, *performance(), *steps))
    assert (found.network, found.modality, found.blocks) == ("net", "image", 5)
    assert (found.accuracy, found.loss) == ("81.2%", "0.500")
    assert found.efficiency == "−0.250 … +0.500, 2 of 5 blocks"


def test_networks_keep_their_order_and_their_own_numbers() -> None:
    rows = [*performance(0.5, model="z"), *performance(0.25, model="a", depth=9)]
    first, second = headlines(table(*rows))
    assert (first.network, first.accuracy, first.blocks) == ("z", "50.0%", 5)
    assert (second.network, second.accuracy) == ("a", "25.0%")
    assert first.efficiency == "undefined"


def test_a_table_without_performance_has_a_dash_for_it() -> None:
    (found,) = headlines(table(row("update_norm", 1, 0.5, 0.1, target="", update="update")))
    assert (found.accuracy, found.loss) == ("–", "–")


def test_only_effects_have_a_side_and_zero_belongs_to_none() -> None:
    ends = [(0.4, 0.6), (-0.6, -0.4), (0.0, 0.5), (-0.5, 0.0)]
    sides = [written((lo + hi) / 2, lo, hi, True, True).side for lo, hi in ends]
    assert sides == ["up", "down", "", ""]
    assert written(0.5, 0.4, 0.6, False, False) == Cell("0.50 ± 0.10")
    assert written(NAN, NAN, NAN, True, True) == Cell("–")


@settings(max_examples=40, deadline=None)
@given(
    mean=st.floats(-1e4, 1e4, allow_subnormal=False).filter(lambda x: abs(x) > 1e-6 or x == 0),
    half=st.floats(1e-5, 1e4, allow_subnormal=False),
)
def test_a_cell_reads_back_to_two_digits_of_its_interval(mean: float, half: float) -> None:
    found = written(mean, mean - half, mean + half, True, False).text
    number, width = found.replace("−", "-").split(" ± ")
    assert "-" not in found and found[0] in "+−"
    unit = 10.0 ** -len(width.partition(".")[2])
    assert abs(float(width) - half) <= 0.51 * unit and abs(float(number) - mean) <= 0.51 * unit
    assert 9.99 * unit <= half and (half < 100.01 * unit or unit == 1)
    assert not re.fullmatch(r"−0(\.0*)?", found.split(" ")[0])


@pytest.mark.parametrize(("mean", "text"), [(0.25, "+0.250"), (-0.25, "−0.250"), (-0.0001, "+0.000"), (0.0, "+0.000")])
def test_without_an_interval_a_cell_is_the_number_alone(mean: float, text: str) -> None:
    assert written(mean, NAN, NAN, True, False) == Cell(text)


def test_an_interval_that_is_a_point_is_written() -> None:
    assert written(1.0, 1.0, 1.0, False, False) == Cell("1.000 ± 0.000")


def test_every_reason_is_said_once_with_its_blocks() -> None:
    rows = [lost("alignment", i, WIDTH, form=form, **READOUT) for i in (1, 2, 3) for form in ("raw", "centred")]
    rows += [lost("realised_gain", i, WIDTH, **READOUT) for i in (1, 2)]
    for update in ("update", "branch"):
        rows += [lost("alignment", 4, SHAPE, update=update, gradient=g, form="raw") for g in ("output", "input")]
    rows += [lost("update_norm", 4, SHAPE, update="update", target="")]
    rows += [lost("efficiency", i, "no readout", statistic="ratio") for i in (1, 2)]
    rows += [lost("efficiency", 3, "no readout", statistic="ratio", lens="affine")]
    rows += [lost("alignment", 5, "no gauge", update="part", part="mlp", gradient="input", form="gauge-fixed")]
    found = undefined(table(row("descent_share", 5, 0.6, 0.1, **OUTPUT), *rows))
    assert found == [
        f"3 of 5 blocks: {WIDTH} (update: alignment [readout], realised gain [readout]).",
        f"1 of 5 blocks: {SHAPE} (update: alignment [input, output], update norm; branch: alignment [input, output]).",
        "3 of 5 blocks: no readout (prediction: efficiency, efficiency under lens affine).",
        "1 of 5 blocks: no gauge (mlp: gauge-fixed alignment [input]).",
    ]


def test_kinds_that_lack_the_same_share_their_words() -> None:
    both = [lost("alignment", 1, SHAPE, update=u, gradient="input", form="raw") for u in ("update", "branch")]
    assert undefined(table(*both)) == [f"1 of 5 blocks: {SHAPE} (update and branch: alignment [input])."]


def test_a_complete_table_lacks_nothing() -> None:
    assert undefined(table(*performance())) == ["Nothing."]


def test_rows_of_states_change_nothing_of_what_is_said_of_blocks() -> None:
    """Lenses number states from 0 before the first block, and there are more of them than blocks."""
    effects = [row("descent_share_effect", i, 0.3, 0.1, null="pairing", **OUTPUT) for i in range(1, 6)]
    rows = [*performance(), *effects, lost("alignment", 4, SHAPE, form="raw", **OUTPUT)]
    about = {"block": "", "block_index": None, "state": "a state"}
    states = [row("retention", 0, 0.5, 0.1, depth=6, lens="affine", statistic="ratio")]
    states += [lost("retention", i, "too little", depth=6, lens="shared", statistic="ratio") for i in range(8)]
    states += [row("lens_kl", i, 0.5, 0.1, depth=6, target="model", lens="affine") for i in range(8)]
    states = [state | about | {"state_index": state["block_index"]} for state in states]
    alone, beside = table(*rows), table(*states, *rows)
    for said in (headlines, undefined):
        assert said(beside) == said(alone)


@settings(max_examples=40, deadline=None)
@given(depth=st.integers(1, 200), index=st.integers(1, 200))
def test_depth_is_the_number_of_blocks_whichever_are_there(depth: int, index: int) -> None:
    index = min(index, depth)
    (sentence,) = undefined(table(lost("alignment", index, SHAPE, depth=depth, **OUTPUT)))
    assert sentence.startswith(f"1 of {depth} blocks: ")
    assert headlines(table(row("loss", index, 1.0, depth=depth)))[0].blocks == depth
