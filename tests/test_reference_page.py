"""docs/reference.md says what the code says, and describes all that stands in real tables."""

from __future__ import annotations

import re

import pandas as pd
import pytest

import itinf
from itinf.lenses.kinds import lens_kinds
from itinf.results.columns import GROUPS, POWER, RESULTS, SUMMARIES
from itinf.results.measures import ANYWHERE, MEASURES, STATE
from itinf.results.reasons import REASONS
from itinf.results.values import LENSES, VALUES
from itinf.statistics.nulls import NULLS, OBSERVED
from markdown import ROOT
from reference_page import page
from test_onset_oracles import made, oracle
from tiny import gpt2, images, probed, resnet, study, tokens

PAGE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date():
    assert page() == PAGE, "python tests/reference_page.py > docs/reference.md"


@pytest.fixture(scope="module")
def tables():
    """Of images and tokens, with the default probes, interventions, a lens, its transfer, nulls, subsets, and an onset."""
    eyes = resnet()
    lens = itinf.fit(eyes, images(200, seed=1))
    read = [itinf.Prediction(lens=lens), itinf.Persistence(lens=lens, one_in=1)]
    changed = probed(eyes, images(24), probes=[itinf.Lesion(), itinf.Swap(), itinf.Repeat()])
    words_apart = [
        itinf.Borderline(at_end=True),
        itinf.Convergence(),
        itinf.Distribution(),
        itinf.LaterResponse(after=2),
    ]
    followed = probed(gpt2(), tokens(24), probes=words_apart)
    seen = probed(eyes, images(24), probes=[*read, itinf.Paths(), itinf.Similarity()])
    inserted = probed(gpt2(), tokens(24), probes=[itinf.Recovery(1, 2), itinf.ClosedLoop("random", 2, 3, 2)])
    other = itinf.fit(eyes, images(200, seed=2))
    moved = itinf.transfer(eyes, lens, images(24), also=[other], replicates=20)
    depth = made(*oracle("gathering"))
    words = gpt2()
    heard = itinf.transfer(words, itinf.fit(words, tokens(120, seed=1)), tokens(40), replicates=20)
    results = [
        study("image", untrained=1).table,
        study("token").table,
        seen.table,
        changed.table,
        followed.table,
        inserted.table,
        moved.table,
        heard.table,
        depth.table,
    ]
    summaries = [moved.summaries, heard.summaries, depth.summaries]
    return pd.concat(results), pd.concat(summaries)


def test_every_measure_of_a_real_table_is_described(tables):
    for table in tables:
        assert {name.removesuffix("_effect") for name in table["measure"]} <= MEASURES.keys()
    for measure, rows in tables[0].groupby("measure"):
        about = MEASURES[measure.removesuffix("_effect")].about
        assert rows["state_index"].notna().all() == (about == STATE), measure
    seen = {name for table in tables for name in table["measure"]}
    assert MEASURES.keys() - seen == set(), "a measure that no table has"


def test_every_value_of_a_real_table_is_described(tables):
    for table in tables:
        for column, meanings in VALUES.items():
            if column in table:
                values = {
                    re.sub(r"(merged to|length|lag|borderline at) \d+", r"\1 N", value) for value in table[column]
                }
                values = {re.sub(r"fitted on .+", "fitted on DATA", value) for value in values}
                values = {re.sub(r"^(k|insertion) [\d-]+$", r"\1 N", value) for value in values}
                values = {re.sub(r"repeat \d+ × [\d.]+", "repeat K × A", value) for value in values}
                known = {each for value in meanings for each in value.split(", ")} | set(meanings)
                assert values - {""} <= known, column
        assert set(table["null"]) <= {OBSERVED, *NULLS}
        assert set(table["lens"]) <= {"", *LENSES, *(kind.name for kind in lens_kinds())}


def test_every_reason_is_one_that_the_measure_may_have(tables):
    met = {
        (measure, code)
        for table in tables
        for measure, code in zip(table["measure"], table["reason_code"], strict=True)
        if code
    }
    assert ("alignment", "no_readout") in met and ("retention", "last_unreliable") in met
    for measure, code in met:
        assert code in {why.code for why in (*MEASURES[measure.removesuffix("_effect")].undefined, *ANYWHERE)}, measure


def test_numbers_are_in_the_range_that_is_said(tables):
    found = tables[0][tables[0]["mean"].notna()]
    for measure, rows in found.groupby("measure"):
        if measure.endswith("_effect"):
            continue
        values, said = rows["mean"], MEASURES[measure].range
        if said == "0 … 1":
            assert values.between(0, 1).all(), measure
        elif said == "−1 … 1":
            assert values.between(-1, 1).all(), measure
        elif said.startswith("≥ 0"):
            assert (values >= -1e-6).all(), measure


def test_the_tables_have_the_columns_that_are_described(tables):
    assert list(tables[0].columns) == list(RESULTS) and list(tables[1].columns) == list(SUMMARIES)
    for described in (RESULTS, SUMMARIES, GROUPS, POWER):
        for name, column in described.items():
            assert f"`{name}`" in PAGE and column.meaning.endswith("."), name
    for why in REASONS.values():
        assert f"| `{why.code}` | {why.sentence} |" in PAGE
