"""Figures show exactly the table's numbers, name their conventions, and say what is undefined."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itinf import ItinfError
from itinf.results.schema import results_table
from reports.figures.alignment import alignment
from reports.figures.gain import gain
from reports.figures.update_norm import update_norm
from tables import BLANK

pytestmark = pytest.mark.pixels
NAN = float("nan")


def table(model: str = "net", depth: int = 9, segments: int = 3, parts: bool = False) -> pd.DataFrame:
    """A table of one model as the probes would write it: an image network with stages, or a GPT-2 with parts.

    The first block of every later segment changes shape: its alignment is missing with a reason.
    """
    rng = np.random.default_rng(depth)
    segment = [index * segments // depth for index in range(depth)]
    changes = [index > 0 and segment[index] != segment[index - 1] for index in range(depth)]
    kinds = [("update", ""), ("part", "attention"), ("part", "mlp")] if parts else [("update", ""), ("branch", "")]
    rows: list[dict[str, object]] = []

    def add(measure: str, values: np.ndarray, spread: float, missing: str = "", **convention: object) -> None:
        for index, value in enumerate(values):
            reason = "the state's shape changes across this block" if changes[index] else missing
            known = not reason or str(measure).startswith(("prediction", "efficiency"))
            mean = float(value) if known else NAN
            half, band = (spread, 1.6 * spread) if convention.get("null") != "untrained" else (NAN, NAN)
            rows.append(
                BLANK | {
                    "model": model, "modality": "language" if parts else "image",
                    "block": f"layer{segment[index]}.{index}", "block_index": index + 1, "depth": (index + 1) / depth,
                    "segment": segment[index], "measure": measure, "unit": "token" if parts else "image",
                    "mean": mean, "lo": mean - half, "hi": mean + half, "band_lo": mean - band,
                    "band_hi": mean + band, "n_units": 2000 if known else 0, "n_missing": 0 if known else 2000,
                    "n_clusters": 200, "reason": "" if known else reason,
                } | convention
            )  # fmt: skip

    x = np.arange(1, depth + 1) / depth
    for update, part in kinds:
        for number, gradient in enumerate(("input", "output", "readout")):
            of = {"update": update, "part": part, "gradient": gradient}
            curve = (0.05 + 0.1 * number) * np.sin(4 * x + number + depth / 9) + 0.01 * rng.standard_normal(depth)
            for form in ("raw", "gauge-fixed"):
                for statistic, factor in (("mean", 1.0), ("median", 0.7), ("weighted", -0.4)):
                    add("alignment", curve * factor, 0.02, form=form, statistic=statistic, **of)
                if parts:
                    add("alignment", curve * 0.2, 0.02, form=form, statistic="flattened", unit="sequence", **of)
                add("alignment", 0.2 * curve, 0.006, form=form, null="pairing", **of)
                add("alignment", 0.5 * curve, 0.01, form=form, null="same-target", **of)
                for seed in range(3):
                    wobble = 0.02 * rng.standard_normal(depth)
                    add("alignment", wobble, 0.01, form=form, null="untrained", null_seed=seed, **of)
            add("alignment", 3 * curve, 0.1, form="gauge-free", statistic="ratio", **of)
            add("descent_share", 0.5 + curve, 0.02, form="gauge-free", **of)
            add("descent_share", 0.5 + 0.1 * curve, 0.01, form="gauge-free", null="pairing", **of)
            nats = curve * np.geomspace(1, 300, depth)
            add("first_order_gain", nats, 0.1, **of)
            add("first_order_gain", 0.1 * nats, 0.05, null="pairing", **of)
            if gradient == "readout" and update == "update":
                add("realised_gain", 0.6 * nats, 0.1, **of)
                add("unexplained_gain", -0.4 * nats, 0.1, **of)
        norm = {"update": update, "part": part, "target": ""}
        for statistic, factor in (("mean", 1.0), ("median", 0.8)):
            add(
                "update_norm",
                factor
                * (0.5 if update == "branch" or part == "mlp" else 0.8 if part else 1)
                * np.geomspace(2, 0.02, depth),
                0.004,
                statistic=statistic,
                **norm,
            )
    for lens in ("affine", "one lens"):
        add("prediction_gain", 0.5 * x - 0.1, 0.03, lens=lens)
        add("prediction_movement", 0.8 * x, 0.03, lens=lens)
        add("efficiency", 0.6 * x - 0.2, 0.05, lens=lens, statistic="ratio")
        add("efficiency", 0.1 * x, 0.05, lens=lens, statistic="ratio", null="order-shuffled")
    return results_table(rows)


RESNET, DEEP, GPT2 = table("resnet20"), table("resnet110", depth=54), table("gpt2", depth=12, segments=1, parts=True)
ALL = pd.concat([RESNET, DEEP, GPT2], ignore_index=True)
SMALL = RESNET[RESNET["gradient"].isin(["", "readout"]) & (RESNET["update"] != "branch")]


def draw(figure: Figure) -> bytes:
    """Warnings (a collapsed layout, a missing glyph) are errors here."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def panels(figure: Figure, title: str, label: str = "") -> list[Axes]:
    found = [a for a in figure.axes if a.get_title(loc="left") == title and label in a.get_ylabel()]
    assert found, [(a.get_title(loc="left"), a.get_ylabel()) for a in figure.axes]
    return found


def drawn(axes: Axes, values: pd.Series, x: pd.Series | None = None) -> bool:
    """Whether one line's y data are exactly these values, undefined ones included (and its x data those)."""
    found = [line for line in axes.lines if np.array_equal(line.get_ydata(), values, equal_nan=True)]
    return any(x is None or np.allclose(line.get_xdata(), x) for line in found)


@pytest.mark.parametrize("form", ["raw", "gauge-fixed"])
@pytest.mark.parametrize("given", [GPT2, ALL], ids=["one", "several"])
def test_alignment_shows_every_number_of_its_form(given: pd.DataFrame, form: str) -> None:
    figure = alignment(given, form=form)
    asked = given[(given["measure"] == "alignment") & (given["form"] == form)]
    seen = 0
    for (model, update, part, gradient), rows in asked.groupby(["model", "update", "part", "gradient"]):
        (axes,) = panels(figure, f"{model} · {part or update}", f"gradient: {gradient}\n")
        assert f"form: {form}, target: label" in axes.get_ylabel()
        assert any(set(line.get_ydata()) == {0} for line in axes.lines)
        for (_, null, _), values in rows.groupby(["statistic", "null", "null_seed"], dropna=False):
            stair = null in {"pairing", "same-target"}
            assert drawn(axes, values["mean"].repeat(2 if stair else 1))
            seen += len(values)
    assert seen == len(asked)


def test_interval_and_simultaneous_band_end_where_the_table_says() -> None:
    figure = alignment(RESNET)
    rows = RESNET.query("measure == 'alignment' and form == 'raw' and statistic == 'mean' and null == 'observed'")
    rows = rows.query("gradient == 'output' and update == 'branch'").dropna(subset="mean")
    (axes,) = panels(figure, "resnet20 · branch", "gradient: output")
    ends = [
        segment[:, 1]
        for c in axes.collections
        if hasattr(c, "get_segments")
        for segment in c.get_segments()
        if len(segment)
    ]
    ends = [end for end in ends if np.isfinite(end).all()]
    np.testing.assert_array_equal(ends, rows[["lo", "hi"]])
    corners = np.concatenate([p.vertices[:, 1] for c in axes.collections for p in c.get_paths()])
    assert set(rows["band_lo"]) | set(rows["band_hi"]) <= set(corners)


def test_several_models_are_compared_free_of_gauge_over_relative_depth() -> None:
    figure = alignment(ALL)
    free = ALL[(ALL["form"] == "gauge-free") & (ALL["update"] == "update") & (ALL["null"] == "observed")]
    for title, measure in (("descent share", "descent_share"), ("normalised alignment", "alignment")):
        for (gradient, _), rows in free[free["measure"] == measure].groupby(["gradient", "model"]):
            (axes,) = panels(figure, title, f"gradient: {gradient}")
            assert drawn(axes, rows["mean"], rows["depth"])
            assert "form: gauge-free" in axes.get_ylabel()
    without = alignment(ALL[ALL["form"] != "gauge-free"])
    assert "form: raw" in without.axes[0].get_ylabel()


@pytest.mark.parametrize("given", [RESNET, ALL], ids=["one", "several"])
def test_update_norm_shows_every_number_on_a_log_scale(given: pd.DataFrame) -> None:
    figure = update_norm(given)
    asked = given[given["measure"] == "update_norm"]
    for (model, _, _, _), rows in asked.groupby(["model", "update", "part", "statistic"]):
        (axes,) = panels(figure, str(model), "|update| / |hₗ₋₁|")
        assert axes.get_yscale() == "log"
        assert drawn(axes, rows["mean"])


@pytest.mark.parametrize("given", [RESNET, ALL], ids=["one", "several"])
def test_gain_shows_every_number_in_nats_and_bits(given: pd.DataFrame) -> None:
    figure = gain(given)
    several = given["model"].nunique() > 1
    nats = given[given["measure"].str.contains("first_order|realised|unexplained") & (given["null"] == "observed")]
    for (model, update, part, gradient, _), rows in nats.groupby(["model", "update", "part", "gradient", "measure"]):
        (axes,) = panels(figure, f"{model} · {part or update}", f"gradient: {gradient}")
        assert drawn(axes, rows["mean"])
        assert "nats per unit" in axes.get_ylabel() and "target: label" in axes.get_ylabel()
        assert (axes.get_yscale() == "symlog") == ("symmetric log" in axes.get_ylabel())
    for measure, name in (
        ("prediction_gain", "gain"),
        ("prediction_movement", "movement"),
        ("efficiency", "efficiency"),
    ):
        for (model, lens, null), rows in given[given["measure"] == measure].groupby(["model", "lens", "null"]):
            (axes,) = panels(figure, name if several else f"{model} · {name}", f"lens: {lens}, target: label")
            assert drawn(axes, rows["mean"].repeat(1 if null == "observed" else 2))


def test_scale_is_stretched_only_where_the_range_demands() -> None:
    wide = RESNET[RESNET["measure"] == "first_order_gain"]
    narrow = wide.assign(mean=wide["mean"].clip(0.1, 0.5))
    assert {a.get_yscale() for a in gain(wide).axes} == {"symlog"}
    assert {a.get_yscale() for a in gain(narrow).axes} == {"linear"}


def test_undefined_blocks_are_counted_with_their_reason() -> None:
    lost = (RESNET["gradient"] == "readout") & (RESNET["block_index"] <= 3)
    numbers = ["mean", "lo", "hi", "band_lo", "band_hi"]
    given = RESNET.assign(reason=RESNET["reason"].mask(lost, "width 16 is not the readout's"))
    given[numbers] = given[numbers].mask(lost)
    (axes,) = panels(alignment(given), "resnet20 · update", "gradient: readout")
    said = axes.get_xlabel().replace("\n", " ")
    assert "3 of 9 blocks: width 16 is not the readout's" in said
    assert "2 of 9 blocks: the state's shape changes" in said
    absent = RESNET[RESNET["block_index"] != 5]
    (axes,) = panels(alignment(absent), "resnet20 · update", "gradient: input")
    assert "1 of 9 blocks: no row in the table" in axes.get_xlabel().replace("\n", " ")


@pytest.mark.parametrize("figure", [alignment, update_norm, gain])
def test_a_table_of_undefined_numbers_is_drawn(figure) -> None:
    numbers = ["mean", "lo", "hi", "band_lo", "band_hi"]
    nothing = SMALL.assign(**dict.fromkeys(numbers, NAN), reason="too few clusters", n_units=0)
    drawing = figure(nothing)
    draw(drawing)
    assert all("undefined for 9 of 9 blocks: too few" in a.get_xlabel().replace("\n", " ") for a in drawing.axes)


def test_segments_are_parted_where_they_change() -> None:
    (axes,) = panels(alignment(RESNET), "resnet20 · update", "gradient: input")
    parted = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert parted == [3.5, 6.5]


def test_order_of_rows_does_not_matter() -> None:
    shuffled = RESNET.sample(frac=1, random_state=0)
    for one, other in zip(alignment(RESNET).axes, alignment(shuffled).axes, strict=True):
        assert one.get_title(loc="left") == other.get_title(loc="left")
        lines = [sorted(tuple(np.nan_to_num(line.get_ydata(), nan=9)) for line in a.lines) for a in (one, other)]
        assert lines[0] == lines[1]


@pytest.mark.parametrize("figure", [alignment, update_norm, gain])
def test_a_name_is_drawn_as_it_is(figure) -> None:
    name = "a$\\frac{$b\n" + 60 * "long "
    drawing = figure(pd.concat([SMALL.assign(model=name), SMALL.assign(model=name + "2")]).replace("affine", "$l_$"))
    draw(drawing)
    assert all(len(a.get_title(loc="left")) < 70 for a in drawing.axes)


@pytest.mark.parametrize("figure", [alignment, update_norm, gain])
def test_nothing_global_is_touched(figure) -> None:
    before = dict(matplotlib.rcParams)
    draw(figure(SMALL))
    assert pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("figure", "measure"), [(alignment, "alignment"), (update_norm, "update_norm"), (gain, "first_order_gain")]
)
def test_a_table_without_the_measure_says_what_is_missing(figure, measure: str) -> None:
    with pytest.raises(ItinfError, match=rf"no rows of {measure}.* nothing: it is empty"):
        figure(RESNET[:0])
    with pytest.raises(ItinfError, match=rf"no rows of {measure}.*it holds other"):
        figure(RESNET.assign(measure="other"))
    with pytest.raises(ItinfError, match="columns depth, null_seed are missing"):
        figure(RESNET.drop(columns=["depth", "null_seed"]))


def test_an_unknown_choice_names_what_there_is() -> None:
    with pytest.raises(ItinfError, match=r"form 'gauge-fxed'.*Did you mean gauge-fixed"):
        alignment(RESNET, form="gauge-fxed")
    with pytest.raises(ItinfError, match=r"target 'answer'.*Known: label"):
        gain(RESNET, target="answer")
    with pytest.raises(ItinfError, match=r"kind 'attention'.*branch, update"):
        update_norm(RESNET, update="attention")
    with pytest.raises(ItinfError, match=r"statistic 'mode'"):
        alignment(RESNET, statistic="mode")
    assert len(alignment(GPT2, update="mlp").axes) == 3


def test_two_rows_for_one_block_name_the_column_that_tells_them_apart() -> None:
    twice = pd.concat([RESNET, RESNET.assign(fitted_at=3)])
    with pytest.raises(ItinfError, match=r"fitted_at: 3, none"):
        update_norm(twice)
    with pytest.raises(ItinfError, match="drop_duplicates"):
        update_norm(pd.concat([RESNET, RESNET]))
