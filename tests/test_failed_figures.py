"""An error while a figure is drawn is named on the page and on the console; all that can be made is made."""

from __future__ import annotations

import re
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import itinf
from itinf import registry
from itinf.results import drawing
from itinf.results.drawing import drawn_all
from itinf.results.folder import ResultsFolder
from itinf.results.report import draw_report
from pictures import blank
from reports.figures.update_norm import update_norm
from test_overview import made
from test_page import Read
from tiny import images, probed, resnet

TABLE = made("net", depth=2)
PROCESSES = pytest.mark.parametrize("processes", [1, 2])


def wrong(*_: Any, **__: Any) -> None:
    raise KeyError("<depth>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a small network, without figures and page."""
    path = tmp_path_factory.mktemp("results") / "run"
    probed(resnet(), images(24), out=path)
    return path


def again(folder: Path) -> tuple[list[str], Read]:
    """Remarks on top of the page about figures and sections, and what else is in it."""
    text = itinf.report(folder).read_text(encoding="utf-8")
    return [
        unescape(remark) for remark in re.findall("<p><strong>(The (?:figure|section) .*?)</strong></p>", text)
    ], Read(text)


@PROCESSES
def test_the_others_are_drawn(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itinf.results.forked._cores", lambda: processes)
    draws = {str(number): partial(update_norm, TABLE) for number in range(8)} | {"1": wrong, "5": wrong}
    figures, failures = drawn_all(draws, {name: f"figures/{name}" for name in draws})
    assert list(figures) == ["0", "2", "3", "4", "6", "7"]
    assert failures == [f"The figure {name!r} could not be drawn (KeyError: '<depth>')." for name in ("1", "5")]


def test_ctrl_c_while_a_figure_is_drawn_ends_it_all() -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drawn_all({"one": stopped}, {"one": "figures/one"})


@PROCESSES
def test_the_page_names_it_and_shows_all_others(folder: Path, processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itinf.results.forked._cores", lambda: processes)
    monkeypatch.setattr(Figure, "savefig", blank)
    whole = again(folder)[1]
    monkeypatch.setattr("reports.sections.networks.overview", wrong)
    with pytest.warns(UserWarning) as warned:
        remarks, read = again(folder)
    assert remarks == ["The figure 'overview cifar-resnet14' could not be drawn (KeyError: '<depth>')."]
    assert [said for one in warned if (said := str(one.message)).startswith("The figure ")] == remarks
    ids = [section["id"] for section in whole.of("section")]
    assert [section["id"] for section in read.of("section")] == ids
    links = {a["href"] for a in whole.of("a")} - {a["href"] for a in read.of("a")}
    assert {link.split(".")[0] for link in links} == {"figures/overview_cifar-resnet14"}


def test_a_page_without_any_figure_has_all_its_sections(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "savefig", blank)
    ids = [section["id"] for section in again(folder)[1].of("section")]
    monkeypatch.setattr(drawing, "drawn", wrong)
    with pytest.warns(UserWarning):
        remarks, read = again(folder)
    assert len(remarks) >= 3
    assert [remark for remark in remarks if not remark.startswith("The figure ")] == []
    only_figures = {"carried", "refining"}
    assert {*ids} - {section["id"] for section in read.of("section")} == only_figures


def test_figures_of_others_are_named_where_there_is_no_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._session, "figures", dict(registry._session.get("figures", {})))
    itinf.register(wrong, "cracked", group="figures")
    monkeypatch.setattr(Figure, "savefig", blank)
    said = pytest.warns(UserWarning, match="The figure 'cracked' could not be drawn")
    with said, ResultsFolder.open(folder, None) as opened:
        made = draw_report(itinf.ProbeResult.load(folder), opened, again=True, page=False)
    assert "figures/update_norm.png" in made
