"""The headline figure shows gain, movement and efficiency of merged steps as the table has them, beside their nulls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itinf import ItinfError
from itinf.results.schema import results_table
from reports.figures.gain import gain
from reports.figures.prediction import prediction
from tables import BLANK
from test_overview import ends, intervals, lines, made

NAN = float("nan")
WIDTH = "the lens of the step's end does not fit the width of its start"
ROWS = [
    *((lens, (measure,)) for lens in ("shared", "affine") for measure in ("efficiency", "prediction_gain", "prediction_movement")),
    ("affine", ("block_gain", "lens_change_gain")),
]  # fmt: skip


def walked(
    model: str = "net", depth: int = 12, steps: int = 6, change: int = 9, seed: int = 0, **said: Any
) -> pd.DataFrame:
    """Predictions through two lenses, block by block and merged; at the block ``change`` the width does."""
    rng, rows = np.random.default_rng(seed), []

    def add(measure: str, form: str, index: int, lens: str, mean: float, **convention: Any) -> None:
        half = 0.05 * abs(mean)
        rows.append(BLANK | {
            "model": model, "modality": "image", "block": f"layer.{index}", "block_index": index,
            "depth": index / depth, "segment": int(index >= change), "lens": lens, "measure": measure,
            "statistic": "ratio" if measure == "efficiency" else "mean", "form": form, "unit": "image",
            "mean": mean, "lo": mean - half, "hi": mean + half, "n_units": 500, "n_clusters": 500,
        } | said | convention)  # fmt: skip

    merged = [round(depth * (k + 1) / steps) for k in range(steps)]
    for lens in ("affine", "shared"):
        for form, last in (("", range(1, depth + 1)), (f"merged to {steps}", merged)):
            for index in last:
                for measure in ("efficiency", "prediction_gain", "prediction_movement"):
                    for null in ("observed", "same-target", "order-shuffled"):
                        add(measure, form, index, lens, rng.uniform(-0.9, 0.9), null=null)
                        add(measure, form, index, lens, 77.0, null=null, target="model")
                    add(f"{measure}_effect", form, index, lens, 55.0, null="same-target")
                for measure in ("block_gain", "lens_change_gain"):
                    lost = index >= change > index - depth // steps
                    add(
                        measure,
                        form,
                        index,
                        lens,
                        NAN if lost else rng.uniform(-0.9, 0.9),
                        reason=WIDTH if lost else "",
                    )
    return results_table(rows)


DEEP, SHORT = walked(), walked("short", depth=3, steps=3, change=9, seed=1)
TABLE = pd.concat([DEEP, SHORT, made("third")], ignore_index=True)
_FOUR = DEEP[DEEP["form"] != ""].assign(form="merged to 4", mean=lambda rows: rows["mean"] / 2)


def chosen(model: str, lens: str, measures: tuple[str, ...], form: str, table: pd.DataFrame = TABLE) -> pd.DataFrame:
    rows = table[(table["model"] == model) & (table["lens"] == lens) & table["measure"].isin(measures)]
    return rows[(rows["form"] == form) & (rows["target"] == "label")]


def drawn(rows: pd.DataFrame) -> set[tuple[tuple[float, ...], tuple[float, ...]]]:
    rows = rows[rows["mean"].notna()].sort_values("block_index")
    return {
        (tuple(some["depth"].round(9)), tuple(some["mean"].round(9))) for _, some in rows.groupby(["measure", "null"])
    }


def panels(figure: Figure) -> list[list[Axes]]:
    """Rows of one panel for each of two networks."""
    return [figure.axes[2 * k : 2 * k + 2] for k in range(len(ROWS))]


@pytest.mark.parametrize("steps", [6, 4, None])
def test_every_panel_shows_its_rows_merged_as_asked(steps):
    table = TABLE if steps == 6 else pd.concat([DEEP, SHORT, _FOUR])
    figure = prediction(table, steps=steps)
    for (lens, measures), across in zip(ROWS, panels(figure), strict=True):
        for model, axes in zip(("net", "short"), across, strict=True):
            form = "" if steps is None else f"merged to {3 if model == 'short' else steps}"
            rows = chosen(model, lens, measures, form, table)
            assert lines(axes) == drawn(rows) and drawn(rows)
            assert intervals(axes) == ends(rows, "depth")
    assert len(figure.axes) == 2 * len(ROWS) and "third" not in "".join(a.get_title(loc="left") for a in figure.axes)


def test_networks_share_the_scale_of_a_measure():
    figure = prediction(TABLE)
    limits = [{a.get_ylim() for a in across} for across in panels(figure)]
    assert all(len(found) == 1 for found in limits) and len(set.union(*limits)) > 1
    for across in panels(figure):
        for axes in across:
            low, high = axes.get_ylim()
            assert all(low <= y <= high for _, ys in lines(axes) for y in ys)


def test_large_parts_are_on_a_logarithmic_scale_that_says_so():
    parts = TABLE["measure"].isin(["block_gain", "lens_change_gain"])
    figure = prediction(TABLE.assign(mean=TABLE["mean"].mask(parts & TABLE["mean"].notna(), 90.0)))
    *others, last = panels(figure)
    assert last[0].get_yscale() == "symlog" and "log beyond 1" in last[0].get_ylabel()
    assert {a.get_yscale() for across in others for a in across} == {"linear"}


def test_an_interval_may_end_beyond_what_an_efficiency_can_be():
    figure = prediction(TABLE.assign(hi=TABLE["hi"].mask(TABLE["measure"].eq("efficiency"), 7.0)))
    assert panels(figure)[0][0].get_ylim()[1] == 1.05 and panels(figure)[1][0].get_ylim()[1] < 1.05


def test_what_is_missing_is_said_where_it_is():
    deep, short = panels(prediction(TABLE))[-1]
    assert f"no parts for 1: {WIDTH}" in deep.get_xlabel().replace("\n", " ")
    assert (
        "no parts" not in short.get_xlabel() and "3 steps" in short.get_xlabel() and "500 images" in short.get_xlabel()
    )
    only = TABLE[~((TABLE["model"] == "short") & (TABLE["lens"] == "shared"))]
    assert [t.get_text() for t in panels(prediction(only))[0][1].texts] == ["not measured"]


def test_dotted_lines_part_the_segments():
    def borders(axes: Axes) -> list[float]:
        dotted = [line for line in axes.lines if line.get_linestyle() == ":" and str(line.get_label())[0] == "_"]
        return [line.get_xdata()[0] for line in dotted]

    deep, short = panels(prediction(TABLE))[0]
    assert borders(deep) == [pytest.approx(8.5 / 12)] and not borders(short)


@pytest.mark.parametrize("count", [1, 7])
def test_any_number_of_networks_is_laid_out(count):
    """Warnings, as of a collapsed layout, are errors here."""
    names = [f"a$_{k}^" for k in range(count)]
    figure = prediction(pd.concat([SHORT.assign(model=name) for name in names]))
    figure.draw_without_rendering()
    assert len(figure.axes) == 7 * count
    titles = [a.get_title(loc="left").replace("\\$", "$") for a in figure.axes]
    assert [title for title in titles if title] == names


def test_another_target_is_named_and_shown():
    figure = prediction(TABLE, target="model")
    assert "target: model" in figure.get_suptitle()
    assert all(set(ys) == {77.0} for _, ys in lines(panels(figure)[1][0]))


def test_mistakes_are_named():
    with pytest.raises(ItinfError, match="no predictions through a lens"):
        prediction(made())
    with pytest.raises(ItinfError, match="no predictions through a lens"):
        prediction(made()[made()["lens"] == ""], steps=None)
    with pytest.raises(ItinfError, match="net has no predictions merged to 2 steps or fewer; it has: merged to 6"):
        prediction(DEEP, steps=2)
    with pytest.raises(ItinfError, match="no rows of prediction_gain"):
        prediction(DEEP[DEEP["measure"] == "efficiency_effect"])
    with pytest.raises(ItinfError, match=r"target 'lable'.*Did you mean label"):
        prediction(DEEP, target="lable")


def test_merged_steps_are_no_blocks_of_the_first_figures():
    figure = gain(pd.concat([DEEP, SHORT]))
    shown = [axes for axes in figure.axes if axes.get_title(loc="left") == "efficiency"]
    for axes, lens in zip(shown, ("affine", "shared"), strict=True):
        rows = pd.concat([chosen(model, lens, ("efficiency",), "") for model in ("net", "short")])
        rows = rows[rows["null"] == "observed"]
        assert {tuple(map(tuple, p)) for p in lines(axes)} >= {
            (tuple(some["depth"].round(9)), tuple(some["mean"].round(9))) for _, some in rows.groupby("model")
        }
