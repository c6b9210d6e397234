"""The figures that carry the comparison: their marks are the table's numbers, at the places that the SVG draws."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from itinf.errors import NothingToDrawError
from lens_tables import LITTLE, moved
from reports.charts.marks import marks_of
from reports.figures.distance import distance, means_by_distance
from reports.figures.identity import identity
from reports.figures.one_lens import one_lens
from reports.figures.readable import readable
from reports.figures.sheet import WIDTH

NAN = float("nan")
NET, STAGES = moved()[0], moved("stages", (0, 0, 1, 1, 1), missing=(1, 2))[0]
TABLE = pd.concat([NET, STAGES], ignore_index=True)
DEEP = NET[NET["state_index"] == 3]
DEEP = pd.concat(
    [DEEP.assign(model="deep", state_index=k, fitted_at=k, depth=k / 100) for k in range(101)], ignore_index=True
)
"""Hundred blocks."""
FIGURES = (distance, one_lens, readable)


def telling(table: pd.DataFrame) -> pd.DataFrame:
    """With untrained copies whose own lenses tell a bit."""
    untrained = (table["measure"] == "readable") & (table["null"] == "untrained")
    return table.assign(mean=table["mean"].where(~untrained, 1.0))


def values(figure, network, name):
    return {
        m.label: r.mean
        for m in marks_of(figure).every
        if m.name == network
        for r in m.readings
        if r.name.startswith(name)
    }


def svg(figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    return file.getvalue().decode()


@pytest.mark.parametrize("draw", FIGURES)
def test_a_phone_shows_it_whole(draw):
    figure = draw(TABLE)
    assert figure.get_figwidth() == pytest.approx(3.4)
    box = figure.bbox
    for text in figure.axes[0].texts:
        assert text.get_fontsize() >= 9
        inside = text.get_window_extent()
        assert inside.x0 >= box.x0 - 1 and inside.x1 <= box.x1 + 1, text.get_text()
        assert inside.y0 >= box.y0 - 1 and inside.y1 <= box.y1 + 1, text.get_text()


@pytest.mark.pixels
@pytest.mark.parametrize("draw", FIGURES)
def test_marks_stand_where_points_are_drawn(draw):
    figure = draw(TABLE)
    drawn = ElementTree.fromstring(svg(figure))
    points = [
        (float(use.get("x", NAN)), float(use.get("y", NAN))) for use in drawn.iter("{http://www.w3.org/2000/svg}use")
    ]
    data = marks_of(figure)()
    assert len(data["marks"]) == len(marks_of(figure).every) > 6
    for _, x, y, label, readings in data["marks"]:
        assert 0 < x < WIDTH
        if readings[0][1] is not None:
            near = np.nanmin([np.hypot(x - at[0], y - at[1]) for at in points])
            assert near < 0.02, label


def test_one_lens_has_the_table_s_numbers():
    figure = one_lens(telling(TABLE))
    rows = TABLE[(TABLE["measure"] == "retention") & (TABLE["lens"] == "shared, left out")]
    for network in ("net", "stages"):
        of = rows[(rows["model"] == network)]
        for null, name, target in (
            ("observed", "retention", "label"), ("rotated", "depths rotated", "label"), ("untrained", "untrained", "model"),
        ):  # fmt: skip
            wanted = of[(of["null"] == null) & (of["target"] == target)].set_index("state")["mean"]
            found = {label.split(", ")[1]: value for label, value in values(figure, network, name).items()}
            assert found == pytest.approx(wanted.to_dict(), nan_ok=True) and (null == "untrained" or len(found))
    missing = [m for m in marks_of(figure).every if m.name == "net" and np.isnan(m.readings[0].mean)]
    assert [m.readings[0].reason for m in missing] == [LITTLE] and missing[0].label.startswith("state 0, ")
    assert len(figure.numbers) == sum(len(m.readings) for m in marks_of(figure).every)


def test_untrained_copies_with_nothing_to_keep_are_no_null():
    assert values(one_lens(TABLE), "net", "untrained") == values(distance(TABLE), "net", "untrained") == {}
    assert values(distance(telling(TABLE)), "net", "untrained") != {}


def test_distances_are_by_segment_and_state_0_is_apart():
    cells = {(0, 1): 0.5, (1, 0): 0.1, (2, 3): 0.9, (3, 2): 0.7, (3, 4): 0.6, (4, 3): 0.4, (2, 4): 0.3, (4, 2): 0.2}
    means = means_by_distance(
        moved("net", (0, 0, 1, 1, 1), lambda i, j: cells[i, j], missing=())[0], "observed", "label"
    )
    found = {
        (one["segment"], one["input"], one["distance"]): (round(one["mean"], 9), one["pairs"], round(one["share"], 9))
        for one in means.to_dict("records")
    }
    assert found == {
        (0, True, 1): (0.3, 2, 0.25),
        (1, False, 1): (0.65, 4, 0.25),
        (1, False, 2): (0.25, 2, 0.5),
    }
    one = means[(means["segment"] == 1) & (means["distance"] == 1)].iloc[0]
    assert (one["least"], one["median"], one["most"]) == pytest.approx((0.4, 0.65, 0.9))
    assert (one["lo"], one["hi"]) == pytest.approx((0.63, 0.67))


def test_readable_has_own_lenses_and_one_scale():
    untrained = (TABLE["measure"] == "readable") & (TABLE["null"] == "untrained")
    figure = readable(TABLE.assign(target=TABLE["target"].where(~untrained, "label")))
    assert values(figure, "net", "own lens") == {f"state {k}, state {k}": 1.0 + k for k in range(4)}
    assert values(figure, "net", "untrained") == pytest.approx(
        {f"state {k}, state {k}": (2 + k) / 100 for k in range(4)}
    )
    assert {text.get_text() for text in figure.axes[0].texts} >= {"0", "5", "4.0", "5.0"}  # the scale, and line ends


@pytest.mark.parametrize("draw", FIGURES)
def test_what_is_missing(draw):
    with pytest.raises(NothingToDrawError):
        draw(TABLE[:0])
    lone = draw(NET[NET["null"] == "observed"])  # no nulls at all
    assert {m.name for m in marks_of(lone).every} == {"net"}


@pytest.mark.pixels
@pytest.mark.parametrize("draw", FIGURES)
def test_many_networks_and_many_blocks(draw):
    names = ["<script>alert(1)</script>", 'a "name"', "ש־רשת", *[f"net {k}" for k in range(9)]]
    deep = DEEP if draw is not distance else NET.assign(model="deep")
    figure = draw(pd.concat([*(NET.assign(model=name) for name in names), deep], ignore_index=True))
    assert len({m.network for m in marks_of(figure).every}) == 13
    ids = re.findall(r'id="(network-[^"]*)"', svg(figure))
    assert len(ids) == len(set(ids)) and {int(one.split("-")[1].split(".")[0]) for one in ids} == set(range(13))


def test_a_network_is_drawn_in_its_own_colour():
    figure = one_lens(pd.concat([NET.assign(model="first")[:0], TABLE], ignore_index=True))
    for number in (0, 1):
        colours = {
            line.get_color() for line in figure.axes[0].lines if (line.get_gid() or "").startswith(f"network-{number}.")
        }
        assert identity(number).colour in colours and identity(1 - number).colour not in colours
