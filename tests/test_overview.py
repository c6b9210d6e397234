"""The page's figures show exactly the table's numbers, and say in words what is undefined."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itinf import ItinfError
from itinf.results.schema import results_table
from reports.figures.overview import comparison, overview
from tables import BLANK

NAN = float("nan")
SHAPE, WIDTH = "the block changes the state's shape", "the readout does not fit the state's width; it takes a lens"


def made(
    model: str = "net", depth: int = 6, changes: tuple[int, ...] = (4,), readout_from: int = 4, seed: int = 0
) -> pd.DataFrame:
    """A table as the probes would write it, every number a different one, effects too.

    Args:
        changes: blocks that change the state's shape; they have no update.
        readout_from: the first block whose state fits the readout.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []

    def add(measure: str, size: float = 1.0, **convention: object) -> None:
        for index in range(1, depth + 1):
            whole = measure.startswith("efficiency")
            wide = index >= readout_from or not (whole or convention.get("gradient") == "readout")
            reason = "" if wide else WIDTH
            reason = SHAPE if index in changes and not whole else reason
            if reason and convention.get("null", "observed") != "observed":
                continue
            mean, half = (NAN, NAN) if reason else (size * rng.uniform(0.1, 0.9), size * rng.uniform(0.01, 0.1))
            known = convention.get("null") != "untrained"
            lo, hi = (mean - half, mean + half) if known else (NAN, NAN)
            row = BLANK | {
                "model": model, "modality": "image", "block": f"layer.{index}", "block_index": index,
                "depth": index / depth, "segment": sum(index >= c for c in changes), "measure": measure,
                "unit": "image", "mean": mean, "lo": lo, "hi": hi, "n_units": 0 if reason else 500,
                "n_clusters": 500, "reason": reason,
            }  # fmt: skip
            rows.append(row | convention)

    for update in ("update", "branch"):
        for gradient in ("input", "output", "readout"):
            of = {"update": update, "gradient": gradient}
            for target, subset in (("label", "all"), ("model", "all"), ("label", "right before")):
                seen = of | {"target": target, "subset": subset}
                add("descent_share", form="gauge-free", **seen)
                add("first_order_gain", **seen)
            add("first_order_gain", statistic="median", **of)
            add("first_order_gain", null="pairing", **of)
            add("first_order_gain_effect", null="pairing", **of)
            for null in ("pairing", "same-target"):
                add("descent_share", form="gauge-free", null=null, **of)
                add("descent_share_effect", 0.1, form="gauge-free", null=null, **of)
            for run in range(2):
                add("descent_share", form="gauge-free", null="untrained", null_seed=run, **of)
        for statistic in ("mean", "median"):
            add("update_norm", update=update, target="", statistic=statistic)
    add("realised_gain", update="update", gradient="readout")
    add("efficiency", statistic="ratio")
    add("efficiency", statistic="ratio", lens="affine")
    add("efficiency_effect", statistic="ratio", lens="affine", null="pairing")
    for null in ("pairing", "same-target", "order-shuffled"):
        add("efficiency", statistic="ratio", null=null)
        if null != "order-shuffled":
            add("efficiency_effect", 0.1, statistic="ratio", null=null)
    for measure, mean in (("accuracy", 0.75), ("loss", 1.25)):
        last = rows[-1] | {
            "block_index": depth,
            "depth": 1.0,
            "statistic": "mean",
            "null": "observed",
            "lens": "",
            "reason": "",
        }
        rows.append(last | {"measure": measure, "mean": mean, "lo": mean - 0.1, "hi": mean + 0.1})
    return results_table(rows)


NET = made()
TWO = pd.concat([NET, made("deep", depth=12, changes=(5, 9), readout_from=10, seed=1)], ignore_index=True)


def panel(figure: Figure, name: str) -> Axes:
    (axes,) = [a for a in figure.axes if a.get_title(loc="left") == name]
    return axes


def lines(axes: Axes) -> set[tuple[tuple[float, ...], tuple[float, ...]]]:
    """(x, y) of the defined points of every labelled line."""
    found = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    points = [np.stack([line.get_xdata(), line.get_ydata()]).astype(float) for line in found]
    return {tuple(map(tuple, p[:, ~np.isnan(p[1])].round(9).tolist())) for p in points}


def expected(rows: pd.DataFrame, relative: bool) -> set[tuple[tuple[float, ...], tuple[float, ...]]]:
    """The same of a table's rows: one line for each model, measure, statistic and null, nulls as stairs."""
    found = set()
    for (*_, null, _), some in rows[rows["mean"].notna()].groupby(
        ["model", "measure", "statistic", "null", "null_seed"], dropna=False
    ):
        x, y = (some["depth"] if relative else some["block_index"].astype(float)), some["mean"]
        if null not in {"observed", "untrained"}:
            half = (x / some["block_index"].astype(float)).iloc[0] / 2
            x, y = pd.concat([x - half, x + half]).sort_values(), y.repeat(2)
        found.add((tuple(x.round(9)), tuple(y.round(9))))
    return found


def intervals(axes: Axes) -> set[tuple[float, ...]]:
    bars = [bar for c in axes.collections if hasattr(c, "get_segments") for bar in c.get_segments() if len(bar)]
    return {tuple(np.round([bar[0][0], *bar[:, 1]], 9).tolist()) for bar in bars if np.isfinite(bar).all()}


def ends(rows: pd.DataFrame, x: str) -> set[tuple[float, ...]]:
    rows = rows[rows["lo"].notna()]
    return {tuple(r) for r in rows[[x, "lo", "hi"]].astype(float).round(9).itertuples(index=False, name=None)}


def updates(table: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """What a figure of updates may show: over all units, with the label as target and no lens."""
    table = table[table["lens"] == ""]
    rows = table[table["update"].isin(["", "update"]) & table["subset"].eq("all") & table["target"].isin(["", "label"])]
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows


def words(axes: Axes) -> str:
    return axes.get_xlabel().replace("\n", " ")


OVERVIEW = {
    "descent share, gradient: input": {"measure": "descent_share", "gradient": "input"},
    "descent share, gradient: output": {"measure": "descent_share", "gradient": "output"},
    "descent share, gradient: readout": {"measure": "descent_share", "gradient": "readout"},
    "efficiency": {"measure": "efficiency"},
    "l2 ratio": {"measure": "update_norm"},
}
COMPARISON = {
    "output": {"measure": "descent_share", "gradient": "output"},
    "readout": {"measure": "descent_share", "gradient": "readout"},
    "efficiency": {"measure": "efficiency"},
}


def test_overview_shows_exactly_the_updates_of_the_table() -> None:
    figure = overview(NET)
    shown = {name: updates(NET, **wanted) for name, wanted in OVERVIEW.items()}
    first = updates(NET, measure="first_order_gain", gradient="output", statistic="mean")
    shown["gain"] = pd.concat([first, updates(NET, measure="realised_gain")])
    assert [a.get_title(loc="left") for a in figure.axes] == list(shown)
    for name, rows in shown.items():
        assert lines(panel(figure, name)) == expected(rows, relative=False), name
        main = rows[(rows["null"] == "observed") & rows["statistic"].isin(["mean", "ratio"])]
        assert intervals(panel(figure, name)) == ends(main, "block_index"), name


def test_comparison_shows_exactly_what_is_observed_and_each_effect() -> None:
    figure = comparison(TWO)
    assert len(figure.axes) == 9
    for name, wanted in COMPARISON.items():
        shown = {"as observed": updates(TWO, **wanted, null="observed")}
        for null in ("pairing", "same-target"):
            effect = wanted | {"measure": f"{wanted['measure']}_effect", "null": null}
            shown[f"beyond {null}"] = updates(TWO, **effect)
        for how, rows in shown.items():
            axes = panel(figure, f"{name}: {how}")
            assert lines(axes) == expected(rows.assign(null="observed"), relative=True)
            assert len(lines(axes)) == 2
            assert intervals(axes) == ends(rows, "depth")
            assert how == "as observed" or f"observed − {how.removeprefix('beyond ')}" in axes.get_ylabel()


def test_rows_through_lenses_and_of_states_are_not_shown() -> None:
    lens = NET[NET["measure"].str.startswith("efficiency") & (NET["lens"] == "affine")]
    states = NET[NET["measure"] == "update_norm"].assign(
        measure="retention", state_index=lambda rows: rows["block_index"] - 1, block_index=pd.NA
    )
    more = pd.concat([NET, lens.assign(lens="shared"), lens.assign(form="merged to 6"), states], ignore_index=True)
    for draw in (overview, comparison):
        for axes, other in zip(draw(more).axes, draw(NET).axes, strict=True):
            assert lines(axes) == lines(other) and words(axes) == words(other)


def test_networks_of_different_depth_share_the_relative_axis() -> None:
    figure = comparison(TWO)
    assert {a.get_xlim() for a in figure.axes} == {(0, 1.02)}
    assert all("relative depth" in a.get_xlabel() for a in figure.axes)
    assert [t.get_text() for t in figure.legends[0].get_texts()][:2] == ["net", "deep"]


@pytest.mark.parametrize("draw", [overview, comparison])
def test_every_number_lies_inside_its_panel(draw) -> None:
    rows = NET["gradient"].eq("readout") & NET["measure"].eq("descent_share")
    far = NET.assign(**{c: NET[c].mask(rows, NET[c] + 3) for c in ("mean", "lo", "hi")})
    figure = draw(far)
    for axes in figure.axes:
        low, high = axes.get_ylim()
        ys = [y for _, *interval in intervals(axes) for y in interval] + [y for _, line in lines(axes) for y in line]
        assert ys and low <= min(ys) and max(ys) <= high
    if draw is overview:
        assert len({a.get_ylim() for a in figure.axes[:3]}) == 1


@pytest.mark.parametrize("draw", [overview, comparison])
def test_another_target_shows_other_numbers_and_is_named(draw) -> None:
    figure = draw(NET, target="model")
    axes = next(a for a in figure.axes if "output" in a.get_title(loc="left"))
    rows = NET[(NET["target"] == "model") & (NET["update"] == "update") & (NET["gradient"] == "output")]
    assert lines(axes) == expected(rows[rows["measure"] == "descent_share"], relative=draw is comparison)
    assert "target: model" in axes.get_ylabel()


def test_what_is_undefined_is_said_on_every_panel_it_holds_for() -> None:
    figure = overview(NET)
    assert f"1 of 6 blocks: {SHAPE}" in words(panel(figure, "l2 ratio"))
    readout = words(panel(figure, "descent share, gradient: readout"))
    assert f"3 of 6 blocks: {WIDTH}" in readout and f"1 of 6 blocks: {SHAPE}" in readout
    assert f"realised gain (gradient: readout): undefined for 3 of 6 blocks: {WIDTH}" in words(panel(figure, "gain"))
    figure = comparison(TWO)
    for how in ("as observed", "beyond pairing", "beyond same-target"):
        said = words(panel(figure, f"output: {how}"))
        assert f"net: undefined for 1 of 6 blocks: {SHAPE}" in said
        assert f"deep: undefined for 2 of 12 blocks: {SHAPE}" in said


def test_a_network_no_readout_fits_is_said_by_name_and_one_without_a_null_too() -> None:
    table = pd.concat([NET, made("inception", depth=5, changes=(1, 3), readout_from=6)])
    figure = comparison(table[(table["model"] != "net") | (table["null"] != "same-target")])
    for how in ("as observed", "beyond pairing", "beyond same-target"):
        assert f"inception: undefined for 5 of 5 blocks: {WIDTH}" in words(panel(figure, f"efficiency: {how}"))
        unmeasured = "net: undefined for 5 of 6 blocks: not measured; 1 of 6" in words(panel(figure, f"output: {how}"))
        assert unmeasured == (how == "beyond same-target")


def test_a_network_without_a_measure_is_said_by_name() -> None:
    figure = comparison(TWO[(TWO["model"] != "net") | ~TWO["measure"].str.startswith("efficiency")])
    for how in ("as observed", "beyond pairing", "beyond same-target"):
        assert "net: undefined for 6 of 6 blocks: not measured" in words(panel(figure, f"efficiency: {how}"))


@pytest.mark.parametrize("draw", [overview, comparison])
def test_one_block_or_no_number_at_all_is_drawn(draw) -> None:
    """Warnings, as of a collapsed layout, are errors here."""
    one = draw(made(depth=1, changes=(), readout_from=1))
    one.draw_without_rendering()
    assert all(lines(a) for a in one.axes)
    nothing = draw(made(changes=(1, 2, 3, 4, 5, 6), readout_from=7))
    nothing.draw_without_rendering()
    assert all("undefined for 6 of 6 blocks" in words(a) for a in nothing.axes)
    assert not any(lines(a) - {((), ())} for a in nothing.axes)


def test_names_are_drawn_as_they_are_and_told_apart() -> None:
    names = ["a$\\frac{$b <i>&amp;", *("long " * 50 + end + " name" * 50 for end in "xy")]
    figure = comparison(pd.concat([NET.assign(model=name) for name in names]))
    figure.draw_without_rendering()
    legend = [t.get_text() for t in figure.legends[0].get_texts()][:3]
    assert legend[0].replace("\\$", "$").endswith(names[0]) and len(set(legend)) == 3
    assert max(map(len, legend)) < 60
    assert overview(NET.assign(model=names[0])).get_suptitle().replace("\\$", "$") == names[0]


def test_many_notes_do_not_take_the_panels_room() -> None:
    figure = comparison(pd.concat([made(f"network number {d}", depth=d) for d in range(5, 9)]))
    figure.draw_without_rendering()
    heights = [a.get_window_extent().height / figure.dpi for a in figure.axes]
    assert min(heights) > 1.8
    bottoms = [a.xaxis.label.get_window_extent().y0 for a in figure.axes]
    assert min(bottoms) >= figure.legends[0].get_window_extent().y1 - 1


def test_a_size_that_spans_decades_is_on_a_log_scale_and_says_so() -> None:
    wide = NET.assign(mean=NET["mean"] ** NET["block_index"].astype(int))
    for table, scale in ((NET, "linear"), (wide, "log")):
        axes = panel(overview(table), "l2 ratio")
        assert axes.get_yscale() == scale and ("(log)" in axes.get_ylabel()) == (scale == "log")


def test_mistakes_are_named() -> None:
    with pytest.raises(ItinfError, match=r'one network and the table holds net, deep.*"comparison"'):
        overview(TWO)
    for draw in (overview, comparison):
        with pytest.raises(ItinfError, match=r"target 'lable'.*Did you mean label"):
            draw(NET, target="lable")
        with pytest.raises(ItinfError, match=r"no rows of descent_share.*it holds accuracy"):
            draw(NET[NET["measure"] == "accuracy"])
        with pytest.raises(ItinfError, match="drop_duplicates"):
            draw(pd.concat([NET, NET]))
