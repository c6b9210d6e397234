"""Methods, glossary, provenance and data on the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pages import page
from reports.html.glossary import MEASURES, NULLS, TERMS, term
from reports.html.provenance import citation, provenance
from reports.html.template import render, text_of
from reports.verdict.places import CEILING, MARGIN
from reports.verdict.rules import RULES, rules
from reports.verdict.words import MEANINGS, Word
from test_overview import made
from test_page import NAME, Read, manifest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def text() -> str:
    study = f'seed = 0\n\n[[network]]\nname = "{NAME}"\n'
    files = ["measures.parquet", "study.toml", "sums.safetensors"]
    return page(made("net", depth=3), [manifest("net")], [[]], study=study, files=files)


@pytest.fixture(scope="module")
def read(text: str) -> Read:
    return Read(text)


def test_every_word_has_a_rule_and_its_thresholds_are_those_that_decide() -> None:
    assert set(RULES) == set(Word) == set(MEANINGS)
    assert [shape for shape, *_ in rules()] == [word.shape for word in RULES]
    assert f"± {MARGIN}" in RULES[Word.NO] and f"{CEILING}".lstrip("0") in RULES[Word.NO_ROOM]
    assert "twice" in RULES[Word.REVERSE] and "twice" in RULES[Word.MIXED]


def test_every_button_opens_a_definition_that_is_on_the_page(read: Read) -> None:
    buttons = [a for a in read.of("button") if "popovertarget" in a]
    places = {a["id"] for _, a in read.tags if "popover" in a}
    assert buttons and {a["popovertarget"] for a in buttons} <= places and all(a["type"] == "button" for a in buttons)
    assert places == {term.id for term in TERMS.values()} and len({t.id for t in TERMS.values()}) == len(TERMS)
    with pytest.raises(KeyError):
        term("no such word")
    assert "<b>" not in term("lens", "<b>")


def test_every_measure_has_a_formula_and_every_null_a_drawing(text: str) -> None:
    assert all(measure.formula and measure.formula in text for measure in MEASURES)
    cards = text[text.index('<ul class="definitions nulls">') :]
    drawings = re.findall(r'<svg class="null".*?</svg>', cards, re.DOTALL)
    assert len(drawings) == len(NULLS) == len(set(drawings)) and all("<path" in one for one in drawings)


def test_definitions_are_seen_when_the_page_is_printed() -> None:
    """Out of its popover, a definition is a plain part of the section."""
    style = text_of("sections/methods.css")
    (rule,) = re.findall(r"\.definition:not\(:popover-open\) \{([^}]*)\}", style)
    assert "display: block" in rule and "position: static" in rule


def test_the_study_is_shown_as_text_with_the_commands(text: str, read: Read) -> None:
    assert any(NAME in said for said in read.inside("pre")) and NAME not in text
    assert {"itinf report .", "itinf compare study.toml --out AGAIN"} <= set(read.inside("code"))


def test_without_a_study_file_that_is_said() -> None:
    bare = Read(page(made("net", depth=3), [manifest("net")], [[]]))
    assert "itinf compare study.toml --out AGAIN" not in bare.inside("code")
    assert any("study file is not recorded" in said for said in bare.inside("dd"))


def test_provenance_says_what_was_recorded_and_what_was_not() -> None:
    sittings = [
        {"started": "2026-01-02T03:04:05+00:00", "circumstances": {"device": device, "versions": {"torch": "2.1"}}}
        for device in ("cpu", "cuda")
    ]
    one = manifest("one") | {"history": sittings}
    moved = {"network": {"name": "one"}, "lens": {"kind": "affine", "units": 9}, "seconds": 5.2}
    headings, ((name, first), (other, second)) = provenance([one, {"network": {"name": "two"}}], [moved])
    found = dict(zip(headings, first, strict=True))
    assert (name, other) == ("one", "two") and set(second) == {"not recorded"}
    assert found["device"] == "cpu; cuda" and found["torch"] == "2.1" and found["scipy"] == "not recorded"
    assert found["measured, UTC"] == "2026-01-02 03:04; 2026-01-02 03:04" and found["wall time"] == "12 s"
    assert (found["seed"], found["lens"], found["units to fit"]) == ("3", "affine", "9")
    assert found["wall time of the transfer"] == "5 s"


@pytest.mark.parametrize("broken", [{"history": [{}]}, {"settings": None}, {"data": []}, {"network": {"name": "net"}}])
def test_a_manifest_that_was_changed_by_hand_is_no_error(broken: dict[str, Any]) -> None:
    headings, ((_, cells),) = provenance([manifest("net") | broken], [])
    assert len(headings) == len(cells) and "not recorded" in cells


def test_transfers_alone_have_a_provenance() -> None:
    headings, ((name, cells),) = provenance([], [manifest("net") | {"units": 1400, "clusters": 1400}])
    assert name == "net" and dict(zip(headings, cells, strict=True))["units"] == "1,400 images in 1,400 clusters"


def test_the_citation_is_that_of_the_project() -> None:
    cff = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    entry = citation("1.2")
    for name in ("title", "license", "version"):
        (value,) = re.findall(rf'^{name}: "?([^"\n]*)"?$', cff, re.MULTILINE)
        assert f"{{{value if name != 'version' else '1.2'}}}" in entry
    (author,) = re.findall(r"- name: (.*)", cff)
    assert f"{{{{{author}}}}}" in entry and entry.count("{") == entry.count("}")
    assert "version" not in citation("")


def test_data_links_to_every_file_that_is_there(read: Read) -> None:
    links = [str(a["href"]) for a in read.of("a")]
    assert {"measures.csv", "measures.parquet", "study.toml", "manifest.json"} <= set(links)
    assert "groups.parquet" not in links
    rows = {cells[0]: cells[1:] for cells in read.rows}
    assert rows["overview net"] == ["SVG", "PNG", "CSV"] and "figures/overview%20net.svg" in links


def test_provenance_of_many_networks_is_safe() -> None:
    headings, rows = provenance([manifest(NAME)], [])
    text = render(
        "sections/provenance.html", headings=headings, rows=rows, study="", joined=(), probes=[], citation="@x"
    )
    assert "<script" not in text
