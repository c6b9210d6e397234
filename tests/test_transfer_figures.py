"""Figures of lenses and transfer show the table's numbers, where they exist and nowhere else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure

from itinf import ItinfError
from itinf.results.comparison import Comparison
from itinf.results.transfer_result import TransferResult
from lens_tables import LITTLE, QUALITIES, moved
from reports.figures.lenses import lenses
from reports.figures.retention import retention
from reports.figures.transfer import transfer

NAN = float("nan")
NET, STAGES = moved(), moved("stages", (0, 0, 1, 1, 1), missing=(1, 2))
TABLE, SUMMARIES = (pd.concat(both, ignore_index=True) for both in zip(NET, STAGES, strict=True))
KINDS = {"": ("", "observed"), "channels matched, ": ("gauge-matched", "observed"), "untrained, ": ("", "untrained")}


def panel(figure: Figure, *words: str) -> Axes:
    """The one panel whose title holds all of them, as lines."""
    (axes,) = [a for a in figure.axes if a.get_title(loc="left") == "\n".join(words)]
    return axes


def shown(axes: Axes) -> np.ndarray:
    return np.ma.filled(axes.images[0].get_array(), np.nan)


def points(axes: Axes, label: str) -> list[tuple[float, float]]:
    """Of all lines of one colour: that of the line with this label."""
    (first,) = [line for line in axes.lines if line.get_label() == label]
    same = [
        line for line in axes.lines if line.get_color() == first.get_color() and line.get_marker() not in ("", "None")
    ]
    found = np.concatenate([line.get_xydata() for line in same])
    return sorted(map(tuple, found[~np.isnan(found[:, 1])].round(9).tolist()))


def wanted(rows: pd.DataFrame, x: str = "depth") -> list[tuple[float, float]]:
    rows = rows[rows["mean"].notna()]
    return sorted(zip(rows[x].astype(float).round(9), rows["mean"].round(9), strict=True))


def bars(axes: Axes) -> set[tuple[float, ...]]:
    found = [bar for c in axes.collections if hasattr(c, "get_segments") for bar in c.get_segments() if len(bar)]
    return {tuple(np.round([bar[0][0], *bar[:, 1]], 9).tolist()) for bar in found if np.isfinite(bar).all()}


def words(axes: Axes) -> str:
    return " ".join(t.get_text() for t in axes.texts).replace("\n", " ")


@pytest.mark.parametrize("target", ["label", "model"])
def test_matrices_hold_the_cells_that_exist_and_no_others(target):
    figure = transfer(TABLE, target=target)
    for model, states in (("net", 4), ("stages", 5)):
        for word, (form, null) in KINDS.items():
            if form and target == "model":
                continue
            aim = "model" if null == "untrained" else target
            axes = panel(figure, model, f"{word}target: {aim}")
            rows = TABLE[(TABLE["model"] == model) & (TABLE["measure"] == "retention") & TABLE["fitted_at"].notna()]
            rows = rows[(rows["null"] == null) & (rows["target"] == aim)]
            own = rows["fitted_at"] == rows["state_index"]
            rows = rows[(rows["form"] == form) | own]
            cells = np.full((states, states), NAN)
            cells[rows["fitted_at"].astype(int), rows["state_index"].astype(int)] = rows["mean"]
            np.testing.assert_allclose(shown(axes), cells, equal_nan=True)


def test_a_missing_cell_is_hatched_by_its_reason_and_no_pair_is_left_empty():
    figure = transfer(TABLE)
    axes = panel(figure, "stages", "target: label")
    (hatched,) = [c for c in axes.collections if isinstance(c, PatchCollection)]
    corners = {tuple(path.get_extents().min.astype(float) + 0.5) for path in hatched.get_paths()}
    assert corners == {(1, 0), (1, 1), (2, 2), (2, 3), (2, 4)}  # column read, row fitted at
    entries = [t.get_text() for t in figure.legends[0].get_texts()]
    assert entries[0] == LITTLE and entries[1].startswith("no pair") and len(entries) == 2
    whole = transfer(NET[0])
    assert [t.get_text() for t in whole.legends[0].get_texts()] == [LITTLE]
    full, _ = moved(missing=())
    assert not transfer(full).legends


def test_a_null_is_no_cell_of_the_network():
    """Another seed of an untrained network is not laid over the first, nor over the trained one."""
    untrained = NET[0][NET[0]["null"] == "untrained"]
    again = untrained.assign(null_seed=3, mean=9.0)
    axes = panel(transfer(pd.concat([again, NET[0]])), "net", "untrained, target: model")
    assert np.nanmax(shown(axes)) == 1


def test_numbers_are_written_into_small_matrices():
    texts = {t.get_position(): t.get_text() for t in panel(transfer(NET[0]), "net", "target: label").texts}
    assert texts[(2, 1)] == ".70" and texts[(1, 2)] == ".65" and texts[(1, 1)] == "1.0" and (0, 1) not in texts
    zero, _ = moved(kept=lambda i, j: -0.001 if i < j else -0.25)
    texts = {t.get_position(): t.get_text() for t in panel(transfer(zero), "net", "target: label").texts}
    assert texts[(2, 1)] == "0" and texts[(1, 2)] == "−.25"
    large, _ = moved(segments=(0,) * 13)
    assert not panel(transfer(large), "net", "target: label").texts


@pytest.mark.parametrize(("measure", "value"), [("raw_retention", -0.3), ("transfer_penalty", 2.0)])
def test_other_matrices(measure, value):
    figure = transfer(TABLE, measure=measure)
    title = "target: label" if measure == "raw_retention" else "channels matched"
    assert shown(panel(figure, "net", *([title] if measure == "raw_retention" else [""])))[1, 2] == pytest.approx(value)
    assert measure.replace("_", " ") in figure.axes[-1].get_ylabel()
    figure.draw_without_rendering()


def test_a_network_without_a_kind_says_so():
    plain, _ = moved("bare", matched=False)
    figure = transfer(pd.concat([NET[0], plain]))
    (axes,) = [a for a in figure.axes if "bare" in words(a)]
    assert words(axes) == "bare channels matched: not measured" and not axes.images


@pytest.mark.parametrize("count", [1, 6])
def test_any_number_of_networks_is_laid_out(count):
    """Warnings, as of a collapsed layout, are errors here."""
    names = [f"n$_{k}^" for k in range(count)]
    table = pd.concat([NET[0].assign(model=name) for name in names])
    for figure in (transfer(table), lenses(table), retention(table)):
        figure.draw_without_rendering()
    found = [a.get_title(loc="left").split("\n")[0].replace("\\$", "$") for a in transfer(table).axes if a.images]
    assert sorted(set(found)) == names and len(found) == 3 * count


@pytest.mark.parametrize("target", ["label", "model"])
def test_retention_against_distance_is_that_of_the_summaries(target):
    figure = retention(TABLE, summaries=SUMMARIES, target=target)
    for name, form, null, aim in (
        ("own lenses, moved as they are", "", "observed", target),
        ("own lenses, channels matched", "gauge-matched", "observed", target),
        ("untrained: own lenses moved", "", "untrained", "model"),
    ):
        axes, s = panel(figure, name), SUMMARIES
        rows = s[(s["direction"] == "both") & (s["measure"] == "retention") & (s["distance"] > 0) & (s["form"] == form)]
        rows = rows[(rows["null"] == null) & (rows["target"] == aim)]
        for model, some in rows.groupby("model"):
            assert points(axes, model) == wanted(some, "share")
        assert bars(axes) == {tuple(np.round(r, 9)) for r in rows[["share", "lo", "hi"]].to_numpy().tolist()}
        assert len(rows) or "nothing to show" in words(axes)


def test_without_summaries_means_are_the_same_and_have_no_intervals():
    with_, without = retention(TABLE, summaries=SUMMARIES), retention(TABLE)
    for name in ("own lenses, moved as they are", "untrained: own lenses moved"):
        for model in ("net", "stages"):
            assert points(panel(with_, name), model) == points(panel(without, name), model)
        assert bars(panel(with_, name)) and not bars(panel(without, name))


def test_one_lens_by_depth_with_its_nulls():
    figure = retention(TABLE, summaries=SUMMARIES)
    for name, null, target in (
        ("one lens, that depth left out", "observed", "label"),
        ("null: the same, depths rotated", "rotated", "label"),
        ("untrained: one lens, left out", "untrained", "model"),
    ):
        rows = TABLE[(TABLE["measure"] == "retention") & (TABLE["lens"] == "shared, left out")]
        rows = rows[(rows["null"] == null) & (rows["target"] == target)]
        for model, some in rows.groupby("model"):
            assert points(panel(figure, name), model) == wanted(some)
        known = rows[rows["mean"].notna()]
        assert bars(panel(figure, name)) == {
            tuple(np.round(r, 9)) for r in known[["depth", "lo", "hi"]].to_numpy().tolist()
        }


def test_a_results_own_summaries_are_drawn():
    made = TransferResult(*STAGES, {"network": {"name": "stages"}})
    for result in (made, Comparison([], [made])):
        assert bars(panel(result.plot("retention"), "own lenses, moved as they are"))
        assert result.plot("transfer").axes and result.plot("lenses").axes


def test_quality_by_depth_breaks_where_the_width_does():
    figure = lenses(TABLE)
    names = {"affine": "own affine lens", "logit": "logit lens: no translator", "shared": "one lens, fitted on all depths",
             "shared, left out": "one lens, fitted without this depth"}  # fmt: skip
    for place, axes in enumerate(figure.axes):
        model, measure = ("net", "stages")[place // 5], QUALITIES[place % 5]
        rows = TABLE[(TABLE["model"] == model) & (TABLE["measure"] == measure)]
        for lens, label in names.items():
            assert points(axes, label) == wanted(rows[(rows["lens"] == lens) & (rows["null"] == "observed")])
        assert points(axes, "untrained: own lens") == wanted(rows[rows["null"] == "untrained"])
        assert axes.get_xlabel() == "relative depth, 500 images"
        ends = {line.get_xdata()[-1] for line in axes.lines if line.get_label() == "own affine lens"}
        assert ends == ({1.0} if model == "net" else {0.25})  # the labelled line is the first segment's
    assert [a.get_title(loc="left") for a in figure.axes[::5]] == ["net", "stages"]


def test_a_lens_off_the_scale_makes_the_column_logarithmic():
    wild = TABLE["measure"].eq("lens_kl") & TABLE["lens"].eq("logit") & TABLE["model"].eq("net")
    figure = lenses(TABLE.assign(mean=TABLE["mean"].mask(wild, 400.0)))
    kl, loss, *_ = figure.axes
    assert kl.get_yscale() == figure.axes[5].get_yscale() == "symlog" and "log beyond 1" in kl.get_ylabel()
    assert loss.get_yscale() == "linear" and "log" not in loss.get_ylabel()


def test_mistakes_are_named():
    for draw in (lenses, transfer, retention):
        with pytest.raises(ItinfError, match="has no rows of"):
            draw(TABLE[TABLE["measure"] == "readable"])
    for draw in (transfer, retention):
        with pytest.raises(ItinfError, match=r"target 'lable'.*Did you mean label"):
            draw(TABLE, target="lable")
    shared = TABLE[TABLE["fitted_at"].isna()]
    with pytest.raises(ItinfError, match="of no lens that was fitted at one state"):
        transfer(shared[shared["measure"] == "retention"])
