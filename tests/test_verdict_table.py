"""The verdict table on the page: controls first and compared, names escaped, rows added by anybody."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

import itinf
from itinf import registry
from itinf.results import report
from itinf.results.power import MEASURES
from pages import page
from reports.verdict import blocks, carried, convergence, depth, interventions, later, paths, predictive, skips, states
from reports.verdict.blocks import DESCENT, GAINS, OWN_OR_CLASS
from reports.verdict.claim import Claim
from reports.verdict.places import MARGIN, Number, Place
from reports.verdict.sparkline import sparkline
from reports.verdict.table import verdict_table
from reports.verdict.words import MEANINGS, Verdict, Word
from test_page import OWN, QUOTED, Read, manifest
from verdict_tables import NAN, NO_SUMMARIES, corrected, descent, gains, neighbour, one_lens, used

ROOT = Path(__file__).parent.parent
MODULES = (depth, blocks, states, interventions, paths, convergence, later, carried, predictive, skips)
OURS = [value for module in MODULES for value in vars(module).values() if isinstance(value, Claim)]
ROLES = {"built": "yes", "plain": "no", "random": "no", "asked": ""}


def tables(**effects):
    """The table of networks with a descent each, name -> effect; all of images."""
    return pd.concat([descent(effect).table.assign(model=name) for name, effect in effects.items()])


def power(verdict, roles=ROLES, measure=DESCENT.power[0]):
    rows = [{"measure": measure, "model": name, "modality": "image", "role": role} for name, role in roles.items()]
    return pd.DataFrame(rows).assign(mean=0.0, lo=NAN, hi=NAN, verdict=verdict)


def made(table, claims, names=("random", "asked", "plain", "built"), **options):
    manifests = [manifest(name, weights="random:0" if name == "random" else "specimen") for name in names]
    opens = {claim.name: partial(lambda one: one, claim) for claim in claims}
    return verdict_table(table, NO_SUMMARIES, manifests, opens, **options)


FOUR = tables(built=[0.3, 0.3], plain=[0.0, 0.0], random=[0.0, 0.0], asked=[0.2, 0.2])


def test_controls_come_first():
    found = made(FOUR, [DESCENT], power=power("tells"))
    assert [network.name for network in found.networks] == ["built", "plain", "random", "asked"]
    (row,) = found.rows
    assert row.remark == "" and all(cell.told for cell in row.cells)
    assert [cell.verdict.word for cell in row.cells] == [Word.YES, Word.OPEN, Word.OPEN, Word.YES]
    assert [cell.section for cell in row.cells] == ["network-4", "network-3", "network-1", "network-2"]


@pytest.mark.parametrize(("verdict", "remark"), [
    ("cannot tell", "image controls cannot be told apart"),
    ("points the other way", "image controls point the other way"),
    ("tells", ""),
])  # fmt: skip
def test_the_table_of_power_judges_a_row(verdict, remark):
    (row,) = made(FOUR, [DESCENT], power=power(verdict)).rows
    assert row.remark == remark and [cell.told for cell in row.cells] == [not remark] * 4


def test_numbers_of_the_row_judge_it_where_power_has_none():
    of = {"built": [0.5, 0.5], "plain": [0.0, 0.0], "random": [0.0, 0.0], "asked": [0.2, 0.2]}
    table = pd.concat([gains(effect).table.assign(model=name) for name, effect in of.items()])
    assert made(table, [GAINS], power=power("cannot tell")).rows[0].remark == ""  # of another measure
    near = table.assign(**{column: table[column].mask(table["model"] == "plain", 0.49) for column in ("mean", "hi")})
    assert made(near, [GAINS], power=power("tells")).rows[0].remark == "image controls cannot be told apart"


def test_a_control_that_should_fail_and_passes_fully_spoils_a_row():
    table = tables(built=[0.5, 0.5], plain=[0.2, 0.2], random=[0.0, 0.0])  # naive: .5 is more than .2
    (row,) = made(table, [DESCENT], ("built", "plain", "random"), power=power("tells")).rows
    assert row.remark == "image controls cannot be told apart"


def test_without_a_value_controls_cannot_be_compared():
    empty = FOUR["model"].isin(["plain", "random"])
    none = FOUR.assign(**{column: FOUR[column].mask(empty) for column in ("mean", "lo", "hi")})
    (row,) = made(none, [DESCENT], power=power("")).rows
    assert row.remark == "image controls cannot be compared" and row.cells[1].verdict.word is Word.UNDEFINED
    assert row.cells[1].section == "" and row.cells[0].told
    assert made(none, [DESCENT], ("built", "asked"), power=power("")).rows[0].remark == ""  # of one kind alone


def test_questions_have_answers_of_their_own():
    texts = {}
    for name, effect in {"own": [0.3, 0.2], "class": [0.3, 0.0], "others": [-0.3, -0.2], "mixed": [0.3, -0.3]}.items():
        table = descent(effect, 0.01, null="same-target").table.assign(model=name)
        (row,) = made(table, [OWN_OR_CLASS], [name]).rows
        texts[name] = row.cells[0].verdict.text
    assert texts == {
        "own": "the unit's own",
        "class": "the unit's own, in the first of 2 blocks",
        "others": "others of its class, more than its own in all 2 blocks",
        "mixed": "mixed: the unit's own in the first of 2 blocks; the reverse in 1",
    }


def shown(names, **options):
    table = pd.concat([descent([0.3, 0.2]).table.assign(model=name) for name in names])
    return page(table, [manifest(name) for name in names], [[] for _ in names], **options)


def opener(claim):
    return {"one": lambda: claim}


def test_names_are_escaped():
    evil = replace(DESCENT, name=QUOTED, question="<script>ask()</script>", nulls="<b>null</b>")
    text = shown(["<script>alert(1)</script>", QUOTED], claims=opener(evil))
    read = Read(text)
    assert set(read.inside("script")) <= OWN and "<script>a" not in text and "<img src=x" not in text
    assert QUOTED in read.inside("span")
    assert {link["href"] for link in read.of("a") if link.get("href", "").startswith("#network")} >= {"#network-1"}


def test_the_table_is_reachable_and_named():
    read = Read(shown(["a"], claims=opener(DESCENT)))
    (region,) = [
        div for div in read.of("div") if div.get("role") == "region" and "Verdict" in (div["aria-label"] or "")
    ]
    assert region["tabindex"] == "0"
    assert {"col", "row"} <= {th.get("scope") for th in read.of("th")}
    (line,) = [svg for svg in read.of("svg") if svg.get("class") == "spark"]
    assert line["aria-hidden"] == "true"
    assert "No controls were measured here: no row shows that it can tell." in " ".join(read.inside("p"))


def test_no_claims_no_table():
    assert 'id="verdict"' not in shown(["a"])


def test_an_error_in_a_claim_does_not_prevent_the_page():
    def wrong(source):
        raise ValueError("<b>no</b>")

    text = shown(["a"], claims={"mine": lambda: replace(DESCENT, find=wrong), "yours": lambda: 1 / 0} | opener(DESCENT))
    assert "The claim &#39;mine&#39; could not be decided (ValueError: &lt;b&gt;no&lt;/b&gt;)." in text
    assert "The claim &#39;yours&#39; could not be decided (ZeroDivisionError" in text
    assert DESCENT.question in text


def test_a_session_adds_a_row(monkeypatch):
    own = Claim(
        "my claim", "Mine?", lambda source: None, decide=lambda _: Verdict(Word.YES, "indeed", size=Number(1.0))
    )
    monkeypatch.setitem(registry._session, "claims", {})
    itinf.register(own, "mine", group="claims")
    assert "mine" in registry.names("claims")
    claims = report._openers("claims")
    text = shown(["a"], claims={"mine": claims["mine"]})
    assert "my claim" in text and "indeed" in text


OUTSIDE = """
from dataclasses import replace
from reports.verdict.blocks import DESCENT

ROW = replace(DESCENT, name="a row of another package", order=1)
"""


def test_an_outside_package_adds_a_row(tmp_path, monkeypatch):
    about = tmp_path / "outside-0.dist-info"
    about.mkdir()
    (tmp_path / "outside_row.py").write_text(OUTSIDE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 0\n")
    (about / "entry_points.txt").write_text("[itinf.claims]\nanother = outside_row:ROW\n")
    monkeypatch.syspath_prepend(tmp_path)
    claims = report._openers("claims")
    text = shown(["a"], claims={"another": claims["another"]} | opener(DESCENT))
    assert text.index("a row of another package") < text.index(DESCENT.name)  # it asked to be the first


def test_every_claim_is_an_entry_point_and_names_known_measures():
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["itinf.claims"]
    named = {f"{value.find.__module__}:{name}" for module in MODULES
             for name, value in vars(module).items() if isinstance(value, Claim)}  # fmt: skip
    assert set(points.values()) == {f"reports.verdict.{point.rpartition('.')[2]}" for point in named}
    assert {name for claim in OURS for name in claim.power} <= {measure.words for measure in MEASURES}
    assert min(OURS, key=lambda one: one.order).name == "iterative depth"
    assert [claim.name for claim in OURS if claim.is_question] == [
        OWN_OR_CLASS.name,
        blocks.ORDER.name,
        interventions.LEFT_OUT.name,
        interventions.SWAPPED.name,
        paths.SHORT_PATHS.name,
        convergence.ITERATES.name,
        convergence.HELPED.name,
        later.SUBTRACTED.name,
        carried.WRITTEN.name,
        predictive.RECOVERS.name,
        predictive.OVER_REACTS.name,
    ], "questions judge nothing"


def test_every_word_has_a_shape_and_a_meaning():
    assert len({word.shape for word in Word}) == len(Word) and set(MEANINGS) == set(Word)


def test_sparkline():
    line = sparkline([(1, 0.0, False), (2, 1.0, True), (3, 9.0, True)], 0.0, (0.0, 1.0))
    assert 'points="4.0,22.0 55.0,4.0 106.0,4.0"' in line and line.count("<circle") == 3 and line.count("open") == 1
    assert "polyline" not in sparkline([(1, 0.1, True), (2, NAN, False)], 0.0, (0.0, 1.0))  # a gap is no line
    assert sparkline([(1, NAN, False)], 0.0, (0.0, 1.0)) == ""


def test_the_grey_area_is_the_null():
    curve = [(1, 0.5, False), (2, 0.5, True), (3, 0.5, True)]
    line = sparkline(curve, 0.0, (0.0, 1.0), [(0.0, 0.5), (0.0, 0.5), (0.5, 9.0)])
    assert (
        '<path d="M2 22.0H80.5V13.0H2zM80.5 13.0H108V4.0H80.5z"/><line' in line
    )  # alike as one box, cut off at the end
    assert 'd="M29.5 22.0H80.5V13.0H29.5z"' in sparkline(curve, 0.0, (0.0, 1.0), [(NAN, NAN), (0.0, 0.5), (0.1, NAN)])
    assert "<path" not in sparkline(curve, 0.0, (0.0, 1.0)) + sparkline(curve, 0.0, (0.0, 1.0), [(NAN, NAN)] * 3)


def nulls(claim, of):
    found = claim.decide(claim.find(of))
    assert len(found.nulls) == len(found.curve)
    return found.nulls


def test_which_null_is_grey():
    """Where the curve is a difference the null's own interval is of another kind: pairs are compared."""
    assert nulls(DESCENT, descent([0.3, 0.2], level=0.5)) == ((-MARGIN, MARGIN),) * 2
    assert nulls(states.CORRECTED, corrected([0.3, 0.2])) == ((-MARGIN, MARGIN),) * 2
    rotated = nulls(states.ONE_LENS, one_lens([0.9] * 3, rotated=0.1))
    assert rotated == ((0.1 - 0.01, 0.1 + 0.01),) * 3
    assert nulls(states.USED, used([0.9] * 3, carried=0.8)) == ((0.8 - 0.03, 0.8 + 0.03),) * 3
    read = nulls(
        states.NEIGHBOUR, neighbour([0.9] * 3)
    )  # untrained is measured for the final answer, and has no curve here
    assert all(math.isnan(end) for ends in read for end in ends) and len(read) == 3
    without = Place(1, Number(0.5), need=0.5, null=Number(0.2))
    assert without.null_ends == (0.2, 0.2)


def test_the_key_says_what_is_grey():
    text = shown(["a"], claims=opener(DESCENT))
    assert f"± {MARGIN}, no effect" in text and '<path d="M2 ' in text
