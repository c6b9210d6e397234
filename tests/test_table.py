"""The tidy table: every row filled or with a reason, counts that add up, effects that are differences."""

import math

import numpy as np
import pytest

import itinf
from itinf.results.row import Row
from reports.rows import about_blocks
from tiny import GROUP, NAMES, opened, probed, study, with_partners

KINDS = pytest.mark.parametrize("kind", ["image", "token"])


@KINDS
def test_every_row_is_filled(kind):
    run = study(kind, untrained=1)
    table = run.table
    assert not table.duplicated(NAMES).any()
    given = table[table["mean"].notna()]
    assert ((table.reason == "") == (table["mean"].notna() & table.lo.notna())).all()
    assert table.n_missing.isna().equals(
        (table.null == "pairing") | (table.subset != "all") | table.state_index.notna()
    )
    assert set(table.null) >= {"observed", "pairing", "same-target", "isotropic", "untrained"}
    assert ((table.null == "untrained") == (table.null_seed == 0).fillna(False)).all()
    names = run.stages["observed"].structure["blocks"]
    blocks, states = (table[table[place].notna()] for place in ("block_index", "state_index"))
    assert (blocks.block_index == [names.index(b) + 1 for b in blocks.block]).all() and (blocks.state == "").all()
    assert (states.state == states.state_index.map(dict(enumerate([f"before {names[0]}", *names])))).all()
    assert len(blocks) + len(states) == len(table) and (states.depth == states.state_index / len(names)).all()
    assert blocks.depth.between(0, 1, inclusive="right").all() and table.depth.max() == 1
    missing = table[table["mean"].isna()]
    assert (missing.n_units == 0).all()
    assert len(missing) or kind == "token"
    sided = given[given.lo.notna()]
    assert ((sided.lo <= sided["mean"]) & (sided["mean"] <= sided.hi)).all()
    banded = given[given.band_lo.notna()]
    assert len(banded) and ((banded.band_lo <= banded["mean"]) & (banded["mean"] <= banded.band_hi)).all()
    # every interval is there, but where a readout has too few units or clusters
    bare = given[given.lo.isna()]
    assert (bare.n_clusters < 8).all() and (bare.reason_code == "few_clusters").all(), bare[NAMES]


@KINDS
def test_units_and_missing_units_make_the_whole(kind):
    run = study(kind)
    of_all = (run.table.subset == "all") & run.table.block_index.notna()
    table = run.table[of_all & (run.table.null != "pairing")]
    total = np.where(table.unit == "sequence", run.clusters, run.units)
    assert (table.n_units + table.n_missing == total).all()
    pairs = run.table[
        (run.table.null == "pairing") & (run.table.statistic == "mean") & (run.table.measure == "alignment")
    ]
    here = 1 if kind == "image" else run.units // run.clusters
    assert (pairs.n_units == run.clusters * (GROUP - 1) * here).all()  # 24 clusters make whole groups


@KINDS
def test_effects_are_differences(kind):
    """Over the same units, so exactly: where a target occurs once, observed is of the others alone."""
    network, data = opened(kind)
    table = about_blocks(probed(network, with_partners(data, ignored=False)).table)
    names = [name for name in NAMES if name != "null"]
    rows = {null: table[table.null == null].set_index(names)["mean"] for null in ("observed", "pairing")}
    effects = table[table.measure.str.endswith("_effect") & (table.null == "pairing")]
    measured = set()
    for row in effects.to_dict("records"):
        place = (row["block_index"], row["measure"].removesuffix("_effect"), *(row[name] for name in names[2:]))
        measured.add(place[1])
        if not place[1].startswith("prediction") and place[1] != "efficiency":
            assert row["mean"] == pytest.approx(rows["observed"][place] - rows["pairing"][place], abs=1e-12)
    assert measured == {
        "alignment",
        "descent_share",
        "first_order_gain",
        "prediction_gain",
        "prediction_movement",
        "efficiency",
    }
    alone = len(data) // GROUP * 2 * (1 if kind == "image" else data.targets.shape[1])
    same = table[(table.null == "same-target") & (table.unit == kind)]
    assert (same.n_missing == alone).all()


@KINDS
def test_paired_intervals_are_of_the_difference(kind):
    """An effect's interval comes from replicates of the difference, not from two intervals."""
    run = study(kind)
    stage = run.stages["observed"]
    entries = stage.entries
    row = next(r for r in entries if r.measure == "alignment" and r.null == "pairing" and r.form == "raw")
    observed = Row(**{**row.__dict__, "null": "observed"})
    values = [entries[r].estimate(stage.sums) for r in (observed, row)]
    variance = (values[0] - values[1])[1:].var(ddof=1)
    # what a pair of clusters has of its own counts once, see itinf.statistics.twice; 24 clusters
    spread = math.sqrt(max(variance - entries[row].twice(stage.sums), 0.2 * variance) * 24 / 21)
    effect = run.table[(run.table.measure == "alignment_effect") & (run.table.block_index == row.block)]
    names = [name for name in NAMES[2:] if name not in ("null_seed", "state_index")]
    same = effect[names].eq([getattr(row, name) for name in names]).all(axis=1)
    (found,) = effect[same].to_dict("records")
    t = (found["hi"] - found["mean"]) / spread
    assert t == pytest.approx(2.0687, abs=1e-3)  # Student, 23 degrees of freedom, 97.5 %


def test_what_cannot_be_has_a_reason():
    network, data = opened("token", 16)
    probes = [itinf.Alignment(targets=("label", "model")), itinf.Gain(targets=("label", "model"))]
    table = probed(network, data, probes=probes).table
    model = table[(table.target == "model") & (table.measure == "alignment")]
    none = model[model.gradient.isin(["input", "output"])]
    assert len(none) and none["mean"].isna().all() and none.reason.str.startswith("identically zero").all()
    read = model[(model.gradient == "readout") & (model.null == "observed") & (model.statistic == "mean")]
    assert len(read) and read["mean"].notna().all()


def test_bottlenecks_have_reasons():
    """Every block has a row, with or without a value, for each update, gradient and step."""
    table = about_blocks(study("image").table)
    table = table[(table.null == "observed") & (table.subset == "all") & (table.statistic.isin(["mean", "ratio"]))]
    raw = table[table.form.isin(["raw", ""])].set_index(["block_index", "measure", "update", "gradient"])
    assert len(raw) == len(raw.index.unique())
    wanted = {
        (b, "alignment", u, g)
        for b in range(1, 7)
        for u in ("update", "branch")
        for g in ("input", "output", "readout")
    }
    wanted |= {(b, "update_norm", u, "") for b in range(1, 7) for u in ("update", "branch")}
    wanted |= {(b, m, "", "") for b in range(1, 7) for m in ("efficiency", "prediction_gain", "prediction_movement")}
    assert wanted <= set(raw.index)
    assert "changes the state's shape" in raw.reason[3, "alignment", "update", "input"]
    assert "does not fit the state's width" in raw.reason[1, "alignment", "update", "readout"]
    assert "takes a lens" in raw.reason[1, "efficiency", "", ""]
    valued = set(raw.index[raw.reason == ""])
    assert {
        (3, "alignment", "branch", "output"),
        (6, "alignment", "update", "readout"),
        (6, "efficiency", "", ""),
    } <= valued


def test_labels_of_the_table_are_those_of_measures():
    words = {
        "statistic": {"mean", "median", "weighted", "flattened", "ratio"},
        "gradient": {"input", "output", "readout", ""},
        "update": {"update", "branch", "part", ""},
        "form": {"raw", "centred", "gauge-fixed", "gauge-free", "finite", ""},
        "target": {"label", "answer", "model", "wrong", "random", ""},
        "null": {"observed", "pairing", "same-target", "order-shuffled", "random-walk", "untrained", "isotropic"},
        "unit": {"image", "token", "sequence"},
        "modality": {"image", "language"},
        "part": {"attention", "mlp", ""},
    }
    for kind in ("image", "token"):
        for column, allowed in words.items():
            assert set(study(kind, untrained=1).table[column]) <= allowed


def test_few_clusters_have_no_intervals():
    network, data = opened("token", 7)
    run = probed(network, data, probes=[itinf.UpdateNorm()])
    assert run.table[["lo", "hi", "band_lo", "band_hi"]].isna().all(axis=None)
    assert "no intervals under 8" in run.notes[0]
    run = probed(*opened("token", 19), probes=[itinf.UpdateNorm()])
    assert run.table.lo.notna().all() and run.table.band_lo.isna().all()
    assert "rough" in run.notes[0] and not math.isnan(run.table["mean"].iloc[0])
