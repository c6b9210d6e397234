"""The debate's guesses: every number of a line is the table's, planted effects are found, missing ones said."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_tables import moved, read
from reports.html.findings import findings
from reports.html.retention_table import HEADINGS, retention_rows
from reports.numbers import Estimate
from test_prediction_figure import walked

NAN = float("nan")


def gauge(model: str, skips: bool, modality: str = "image") -> pd.DataFrame:
    """A row of a network of which it is known whether it has skips."""
    return pd.DataFrame([read(model, [0, 0], modality=modality)("alignment", 1, 0.1) | {"skips": skips}])


def study(*parts: tuple[pd.DataFrame, pd.DataFrame] | pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    both = [part if isinstance(part, tuple) else (part, pd.DataFrame()) for part in parts]
    tables, summaries = (pd.concat(some, ignore_index=True) for some in zip(*both, strict=True))
    return tables, summaries


def lines(table: pd.DataFrame, summaries: pd.DataFrame) -> list[dict[str, str]]:
    """Of each guess, what -> said."""
    found = [dict(finding.lines) for finding in findings(table, summaries)]
    assert [len(f) for f in found] == [len(finding.lines) for finding in findings(table, summaries)]
    return found


def flat(value: float):
    return lambda i, j: value


# the same layers with and without skips; a language network; every retention a constant
WITH = moved("with", (0, 0, 0, 0), flat(0.6))
WITHOUT = moved("without", (0, 0, 0, 0), flat(0.1))
WORDS = moved("words", (0, 0, 0), flat(0.8), modality="language", unit="token", matched=False)
ALL = study(WITH, WITHOUT, WORDS, gauge("with", True), gauge("without", False), gauge("words", True, "language"),
            walked("with", seed=3))  # fmt: skip


def test_images_against_language():
    (images, *_) = lines(*ALL)
    assert images["with (image)"] == (
        "0.600 ± 0.020 one state away (0.33 of depth), 0.600 ± 0.020 over all 9 pairs (up to 1.00 of depth); raw −0.40 and −0.40"
    )
    assert images["words (language)"].startswith("0.800 ± 0.020 one state away (0.50 of depth), ")
    assert images["images, 2 networks"] == "0.100 … 0.600 one state away, 0.100 … 0.600 over all pairs"
    assert images["language, 1 network"] == "0.800 … 0.800 one state away, 0.800 … 0.800 over all pairs"


def test_with_and_without_skips():
    skips = lines(*ALL)[1]
    assert skips["with (skips)"] == (
        "as they are 0.600 ± 0.020 one state away, 0.600 ± 0.020 over all pairs; "
        "channels matched 0.650 ± 0.020 one state away, 0.650 ± 0.020 over all pairs"
    )
    assert skips["words (skips)"].endswith("; channels matched not measured")
    assert "without (no skips)" in skips
    twins = "with − without, as many states of as many widths"
    assert skips[f"{twins}, as they are"] == "+0.500 ± 0.028 one state away, +0.500 ± 0.028 over all pairs"
    assert f"{twins}, channels matched" in skips


def test_networks_of_other_shape_are_not_compared():
    shorter = moved("without", (0, 0, 1, 1), flat(0.1), missing=())
    skips = lines(*study(WITH, shorter, gauge("with", True), gauge("without", False)))[1]
    assert skips["with − without skips"] == "not measured: no two networks are alike but for the skips"
    assert not any("as many states" in what for what in skips)


def test_what_the_table_does_not_say_is_not_guessed():
    images, skips, *_ = lines(*study(WITH, WITHOUT))
    assert images["images and language"] == "not measured: all networks are of one kind"
    assert skips["with − without skips"] == "not measured: no two networks differ in that"
    assert "with (skips not recorded)" in skips


def test_own_lenses_first_middle_and_last():
    later = lines(*ALL)[2]
    assert (
        later["with, label"]
        == "1.00 ± 0.02 … 3.00 ± 0.02 … 4.00 ± 0.02 bits; 3 of 3 steps rise, 3 by more than both intervals"
    )
    assert later["with, final answer"].startswith("2.00 ± 0.02 … 4.00 ± 0.02 … 5.00 ± 0.02 bits")
    # hundredths of a bit, rising by less than both intervals
    assert later["with untrained, final answer"] == (
        "0.020 ± 0.020 … 0.040 ± 0.020 … 0.050 ± 0.020 bits; 3 of 3 steps rise, 0 by more than both intervals"
    )


def test_a_fall_is_no_rise():
    table, summaries = WITH
    falls = (table["measure"] == "readable") & (table["state_index"] == 2) & (table["null"] == "observed")
    bumped = table.assign(**{c: table[c].mask(falls, table[c] - 2) for c in ("mean", "lo", "hi")})
    assert lines(bumped, summaries)[2]["with, label"].endswith("2 of 3 steps rise, 2 by more than both intervals")


def test_penalties_by_distance_language_first():
    penalties = lines(*ALL)[3]
    assert list(penalties) == ["words", "with", "without"]
    assert penalties["with"] == (
        "2.00 ± 0.02, 4.00 ± 0.02, 6.00 ± 0.02 bits per image at distance 1, 2, 3; more at 2 of 2 further distances than at "
        "the one before; moved forward − backward +0.250 ± 0.020; the last state's own lens tells 4.000 ± 0.020"
    )
    assert "bits per token at distance 1, 2; more at 1 of 1 " in penalties["words"]


def test_one_lens_its_worst_state_and_its_nulls():
    one = lines(*ALL)[4]
    assert one["with"] == (
        "0.700 ± 0.020 over 3 states, least 0.600 ± 0.020 at state 1; depths rotated 0.020 ± 0.020; of the final answer "
        "0.600 ± 0.020, untrained 0.315 ± 0.020"
    )


def test_evidence_beyond_the_nulls():
    table = walked("with", seed=3)
    step = (table["lens"] == "shared") & (table["form"] == "merged to 6") & (table["target"] == "label")
    values = {
        "efficiency": [-0.25, 0.1, 0.2, 0.3, 0.4, 0.5],
        "efficiency_effect": [-0.3, -0.01, 0.02, 0.2, 0.3, 0.4],  # below, neither, neither, above, above, above
        "order-shuffled": [-0.45, 0.01, 0.0, 0.2, 0.3, -0.1],  # below, neither, neither, above, above, below
    }
    shuffled = table[step & (table["measure"] == "efficiency_effect") & (table["null"] == "same-target")]
    table = pd.concat([table, shuffled.assign(null="order-shuffled")], ignore_index=True)
    step = (table["lens"] == "shared") & (table["form"] == "merged to 6") & (table["target"] == "label")
    for measure, means in values.items():
        null = measure if measure == "order-shuffled" else "same-target" if measure.endswith("effect") else "observed"
        name = "efficiency_effect" if null == "order-shuffled" else measure
        rows = step & (table["measure"] == name) & (table["null"] == null)
        order = table[rows].sort_values("block_index").index
        table.loc[order, "mean"] = means
        table.loc[order, "lo"], table.loc[order, "hi"] = np.array(means) - 0.05, np.array(means) + 0.05
    evidence = lines(*study(WITH, WITHOUT, table))[5]
    assert evidence["with"] == (
        "−0.25 … +0.50 over 6 steps; same-target: 3 of 6 steps above the null, 1 below (−0.30 … +0.40); "
        "its own steps in random order: 2 of 6 steps above the null, 2 below"
    )
    assert evidence["without"] == "not measured"
    bare = table[~table["null"].isin(["same-target", "order-shuffled"])]
    assert lines(*study(WITH, bare))[5]["with"] == (
        "−0.25 … +0.50 over 6 steps; same-target: not measured; its own steps in random order: not measured"
    )


def test_a_network_that_retains_nothing_or_has_one_state_a_width_is_said():
    nothing = moved("nothing", missing=(0, 1, 2, 3), untrained=False)
    alone = moved("alone", (0, 1, 2), missing=(), untrained=False)
    images, skips, later, penalties, one, evidence = lines(*study(nothing, alone))
    assert images["nothing"] == "no pair of states has a retention"
    assert images["alone"] == "no pair of states has a retention"
    assert skips["alone (skips not recorded)"] == "as they are not measured; channels matched not measured"
    assert later["nothing untrained"] == "not measured" and later["nothing, label"].startswith("1.00")
    assert penalties["alone"] == one["alone"] == one["nothing"] == evidence["alone"] == "not measured"


def test_without_lenses_nothing_is_found():
    assert findings(walked(), pd.DataFrame()) == []
    assert findings(gauge("net", True), pd.DataFrame()) == []


def test_several_untrained_networks_are_all_told():
    table, summaries = WITH
    again = [rows[rows["null"] == "untrained"].assign(null_seed=1) for rows in (table, summaries)]
    again[0] = again[0].assign(**{c: again[0][c] + 0.1 for c in ("mean", "lo", "hi")})
    found = findings(*study(WITH, (again[0], again[1])))
    told = [line.numbers for line in found[2].lines if line.name == "with untrained, final answer"]
    assert [said[:5] for said in told] == ["0.020", "0.120"] and all("3 of 3 steps" in said for said in told)
    assert "untrained 0.315 ± 0.020 and 0.315 ± 0.020" in found[4].lines[0].numbers


def test_the_table_of_networks_has_the_same_numbers():
    table, summaries = ALL
    manifest = {"network": {"name": "with"}, "data": {"unit": "image"}, "units": 1234, "reached": 0.0449, "stopped": True,
                "settings": {"precision": 0.05}}  # fmt: skip
    other = manifest | {"network": {"name": "words"}, "data": {"unit": "token"}, "reached": 0.0712, "stopped": False}
    rows = {
        row.network: dict(zip(HEADINGS, row.cells, strict=True))
        for row in retention_rows(table, summaries, [manifest, other])
    }
    assert list(rows) == ["with", "without", "words"]
    assert list(rows["with"].values()) == [
        "0.600 ± 0.020", "0.600 ± 0.020", "0.650 ± 0.020", "0.700 ± 0.020", "0.020 ± 0.020", "0.300 ± 0.020",
        "0.315 ± 0.020", "1,234 images, ± 0.045",
    ]  # fmt: skip
    assert rows["words"]["units used, widest interval"] == "1,234 tokens, ± 0.071, ± 0.05 asked"
    assert rows["words"]["… all pairs, channels matched"] == rows["without"]["units used, widest interval"] == "–"


numbers = st.floats(-1e3, 1e3, allow_subnormal=False)
halves = st.floats(1e-4, 1e2)


@given(mean=numbers, half=halves, most=st.integers(2, 9))
def test_a_number_reads_back_to_a_digit_of_its_interval(mean, half, most):
    written, width = Estimate(mean, half).text(most=most).replace("−", "-").split(" ± ")
    unit = 10.0 ** -len(width.partition(".")[2])
    assert abs(float(width) - half) <= 0.51 * unit and abs(float(written) - mean) <= 0.51 * unit
    assert float(width) > 0 and not re.fullmatch(r"-0(\.0*)?", written)


def test_numbers_without_or_with_a_point_for_an_interval():
    assert Estimate(0.25).text() == "0.250" and Estimate(-0.25).text(sign=True) == "−0.250"
    assert Estimate(1.0, 0.0).text() == "1.000 ± 0.000"


@given(st.tuples(numbers, halves), st.tuples(numbers, halves))
def test_independent_intervals_add_as_squares(one, other):
    gap = Estimate(*one) - Estimate(*other)
    assert gap.mean == pytest.approx(one[0] - other[0], abs=1e-9)
    assert gap.half**2 == pytest.approx(one[1] ** 2 + other[1] ** 2)
