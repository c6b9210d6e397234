"""The page's tables about directions and sizes of steps, from tables whose answer is known."""

from __future__ import annotations

from typing import Any

import pytest

from reports.html.blocks_table import Cell
from reports.html.choices import Choice, choices
from reports.html.sizes import sizes
from test_blocks_table import SHAPE, WIDTH, lost, row, table

SHARE = {"form": "gauge-free", "target": "label"}


def direction(measure: str, index: int, mean: float, gradient: str = "output", **convention: Any) -> dict[str, Any]:
    return row(measure, index, mean, 0.05, **{"update": "update", "gradient": gradient} | SHARE | convention)


def only(rows: list[dict[str, Any]]) -> Choice:
    (found,) = choices(table(*rows))[1]
    return found


def test_gauge_free_comes_first_and_only_what_was_measured_can_be_chosen() -> None:
    rows = [
        direction("alignment", 1, 0.1, form=form, gradient=g)
        for form in ("raw", "centred")
        for g in ("input", "output")
    ]
    rows += [direction("descent_share", 1, 0.6, target=t) for t in ("model", "label")]
    rows += [direction("descent_share", 1, 0.6, update="branch"), direction("first_order_gain", 1, 0.1, form="")]
    axes, found = choices(table(*rows))
    assert [(axis.name, list(axis.choices)) for axis in axes] == [
        ("target", ["label", "model"]),
        ("gradient", ["output", "input"]),
        ("update", ["update", "branch"]),
        ("measure", ["descent share (gauge-free)", "cosine, centred", "cosine, raw", "first-order gain, nats"]),
    ]
    assert len(found) == 2 * 2 * 2 * 4 and len({tuple(choice.codes) for choice in found}) == len(found)
    assert list(found[0].codes) == ["t0", "g0", "k0", "m0"] and "descent share" in found[0].title


def test_every_cell_shows_its_own_row() -> None:
    rows = [
        direction("descent_share", 2, 0.71),
        direction("descent_share", 2, 0.52, null="pairing"),
        direction("descent_share_effect", 2, 0.19, null="pairing"),
        direction("descent_share_effect", 2, -0.33, null="same-target"),
        direction("descent_share", 2, 0.44, null="untrained", null_seed=0),
        direction("descent_share", 2, 0.48, null="untrained", null_seed=1),
    ]
    noise = [r | {"mean": 9.0, "lo": 8.0, "hi": 10.0} | other for r in rows for other in (
        {"subset": "right before"}, {"statistic": "median"}, {"lens": "affine"}, {"unit": "sequence"},
    )]  # fmt: skip
    found = only(noise + rows)
    assert list(found.headings) == ["as measured", "pairing", "beyond pairing", "beyond same-target", "untrained"]
    ((name, cells),) = found.rows
    assert name == "2 layer.2"
    assert cells == [
        Cell("0.710 ± 0.050"), Cell("0.520"), Cell("+0.190 ± 0.050", "up"), Cell("−0.330 ± 0.050", "down"), Cell("0.480"),
    ]  # fmt: skip  # the higher one of two untrained copies


def test_blocks_are_in_order_and_a_missing_number_is_a_dash() -> None:
    rows = [direction("descent_share", i, 0.6) for i in (3, 1)]
    rows.append(lost("descent_share", 2, SHAPE, update="update", gradient="output", **SHARE))
    assert [(name, cells[0].text) for name, cells in only(rows).rows] == [
        ("1 layer.1", "0.600 ± 0.050"), ("2 layer.2", "–"), ("3 layer.3", "0.600 ± 0.050"),
    ]  # fmt: skip


def test_a_table_without_a_value_says_why() -> None:
    reasons = [SHAPE, WIDTH, WIDTH]
    rows = [
        lost("descent_share", i, why, update="update", gradient="readout", **SHARE) for i, why in enumerate(reasons, 1)
    ]
    found = only(rows)
    assert not found.rows and found.reason == WIDTH, "the more frequent of two reasons"


def test_parts_stand_side_by_side() -> None:
    rows = [direction("descent_share", 1, m, update="part", part=p) for p, m in (("mlp", 0.4), ("attention", 0.7))]
    axes, (found,) = choices(table(*rows))
    assert list(axes[2].choices) == ["attention beside mlp"]
    assert list(found.groups) == [("attention", 1), ("mlp", 1)]
    assert [cell.text for cell in found.rows[0][1]] == ["0.700 ± 0.050", "0.400 ± 0.050"]


def test_a_network_without_directions_has_no_choice() -> None:
    assert choices(table(row("accuracy", 5, 0.8, 0.1))) == ([], [])


def test_sizes_show_their_own_rows_and_leave_out_what_was_not_measured() -> None:
    length = {"target": "", "update": "update"}
    read = {"statistic": "ratio"}
    rows = [
        row("update_norm", 1, 0.5, 0.1, **length),
        row("update_norm", 1, 7.0, 0.1, **length | {"statistic": "median"}),
        row("update_norm", 1, 0.25, 0.1, **length | {"update": "part", "part": "mlp"}),
        row("update_norm", 1, 0.75, 0.1, **length, null="untrained", null_seed=0),
        row("efficiency", 1, 0.4, 0.1, **read),
        row("efficiency", 1, 9.0, 0.1, **read, lens="affine"),
        row("efficiency", 1, 8.0, 0.1, **read, form="merged to 6"),
        row("efficiency_effect", 1, -0.3, 0.1, **read, null="order-shuffled"),
    ]
    headings, ((name, cells),) = sizes(table(*rows))
    assert headings == [
        "l2 ratio, update", "l2 ratio, mlp", "l2 ratio, update, untrained", "efficiency",
        "… beyond own steps in random order",
    ]  # fmt: skip
    assert name == "1 layer.1" and [cell.text.split(" ")[0] for cell in cells] == [
        "0.50",
        "0.25",
        "0.75",
        "+0.40",
        "−0.30",
    ]
    assert cells[-1].side == "down" and cells[3].side == ""


@pytest.mark.parametrize("target", ["label", "model"])
def test_sizes_are_of_the_target_that_is_shown(target: str) -> None:
    rows = [row("efficiency", 1, m, 0.1, statistic="ratio", target=t) for t, m in (("label", 0.4), ("model", 0.6))]
    ((_, (cell,)),) = sizes(table(*rows), target)[1]
    assert cell.text == {"label": "+0.40 ± 0.10", "model": "+0.60 ± 0.10"}[target]
