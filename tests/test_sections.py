"""Sections of the page are found by name: a session or an outside package adds one, and an error in one spoils no page."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import pytest
from markupsafe import Markup

import itinf
from itinf import registry
from itinf.results import report
from itinf.results.drawing import drawn, drawn_all
from itinf.results.forked import forked
from pages import opened, page
from reports.figures.update_norm import update_norm
from reports.sections.section import Section
from test_overview import made
from test_page import NAME, Read, manifest

TABLE = made("net", depth=2)


def said(results: Any, pictures: Any) -> Markup:
    return Markup("<p>{}</p>").format(f"{results.names[0]} has {len(results.table)} rows {NAME}")


MINE = Section("mine", "My section", "How many rows are there?", said, place=43)


def test_a_session_adds_a_section_with_a_figure(monkeypatch):
    monkeypatch.setitem(registry._session, "sections", {})
    draws = {"my figure": partial(update_norm, TABLE)}

    def html(results, pictures):
        return Markup("<p>{}</p>").format(dict(pictures.files("my figure"))["SVG"])

    own = Section("mine", "My section", "Mine?", html, lambda results: draws, place=43)
    itinf.register(own, "mine", group="sections")
    read = Read(page(TABLE, [manifest("net")], [[]]))
    assert [s["id"] for s in read.of("section")] == [
        "cards", "together", "mine", "networks", "network-1", "methods", "provenance", "data",
    ]  # fmt: skip
    assert "figures/my%20figure.svg" in read.inside("p") and "Mine?" in read.inside("p")
    assert "My section" in read.inside("h2") and "My section" in read.inside("a")


OUTSIDE = """
from markupsafe import Markup
from reports.sections.section import Section
from reports.verdict.claim import Claim
from reports.verdict.places import Number
from reports.verdict.words import Verdict, Word

def html(results, pictures):
    return Markup("<p>{} networks</p>").format(len(results.names))

MORE = Section("more", "More", "What else?", html, script="window.more = 1;", style=".more { color: red; }")
ROW = Claim("more", "More?", lambda source: None, anchor="more", decide=lambda _: Verdict(Word.YES, "indeed", size=Number(1.0)))
"""


def test_an_outside_package_adds_a_section_its_script_and_its_row_of_the_verdict(tmp_path, monkeypatch):
    about = tmp_path / "outside-0.dist-info"
    about.mkdir()
    (tmp_path / "outside_section.py").write_text(OUTSIDE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 0\n")
    (about / "entry_points.txt").write_text(
        "[itinf.sections]\nmore = outside_section:MORE\n[itinf.claims]\nmore = outside_section:ROW\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text = page(TABLE, [manifest("net")], [[]], claims={"more": report._openers("claims")["more"]})
    read = Read(text)
    assert "1 networks" in read.inside("p") and "<script>window.more = 1;</script>" in text
    assert [a["href"] for a in read.of("a")].count("#more") == 2, "the contents, and the row's one cell"
    (policy,) = [str(m["content"]) for m in read.of("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    # printf 'window.more = 1;' | openssl dgst -sha256 -binary | base64
    (scripts,) = [part for part in policy.split("; ") if part.startswith("script-src")]
    assert "'sha256-n5QADsKd3bMdpU2vvpK0y21Du1Dj8ji6KuW9D1P8gnk='" in scripts.split(" ")
    assert ".more { color: red; }" in text


@pytest.mark.parametrize("part", ["opening", "figures", "html"])
@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_in_a_section_is_said_and_the_rest_is_shown(part, processes, monkeypatch):
    monkeypatch.setattr("itinf.results.forked._cores", lambda: processes)

    def wrong(*_):
        raise ValueError("<b>no</b>")

    broken = {"figures": Section("mine", "", "", said, wrong), "html": Section("mine", "", "", wrong)}
    whole = opened(TABLE, [manifest("net")], [[]], sections={
        "mine": (lambda: broken[part]) if part in broken else wrong,
        "networks": partial(registry.opened, "sections", "networks"),
        **{f"part {number}": lambda: Section("other", "", "", said) for number in range(7)},
    })  # fmt: skip
    whole.figures()
    text = whole.html({}, forked)
    assert "The section &#39;mine&#39; could not be made (ValueError: &lt;b&gt;no&lt;/b&gt;)." in text
    assert 'id="network-1"' in text


def test_a_page_made_in_several_processes_is_the_one_made_in_one(monkeypatch):
    monkeypatch.setattr("itinf.results.forked._cores", lambda: 2)
    both = pd.concat([TABLE, made("other", depth=3)])
    one, two = (opened(both, [manifest("net"), manifest("other")], [[], []]) for _ in range(2))
    assert two.html({}, forked) == one.html({})


def test_a_section_that_lacks_its_rows_is_not_there():
    read = Read(page(TABLE, [manifest("net")], [[]]))
    assert "onset" not in [s["id"] for s in read.of("section")] and "#onset" not in [a["href"] for a in read.of("a")]


def test_figures_drawn_in_several_processes_are_those_drawn_in_one(monkeypatch):
    draws = {str(number): partial(update_norm, TABLE) for number in range(8)} | {"none": lambda: None}
    stems = {name: f"figures/{name}" for name in draws}
    monkeypatch.setattr("itinf.results.forked._cores", lambda: 2)
    two, failures = drawn_all(draws, stems)
    assert list(two) == [str(number) for number in range(8)] and failures == []
    assert two == {name: drawn(draw, stems[name]) for name, draw in draws.items() if name != "none"}


def test_the_figures_on_the_page_are_those_of_its_sections():
    both = pd.concat([TABLE, made("other", depth=3)])
    whole = opened(both, [manifest("net"), manifest("other")], [[], []])
    names = set(whole.figures())
    assert names >= {"onset", "distance", "one_lens", "readable", "descent", "overview net", "overview other"}
    assert not names & {"comparison", "transfer", "gain"}, "these are for .plot"
