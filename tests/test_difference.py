"""The paired difference of two rows of one network."""

import math

import numpy as np
import pytest
from scipy import stats

import itinf
from tiny import NAMES, opened, probed, study

EFFICIENCY = {"measure": "efficiency", "form": ""}


def only(rows):
    (row,) = rows.to_dict("records")
    return row


def test_block_against_block_is_worked_out_from_the_replicates():
    run = study("token")
    stage = run.stages["observed"]
    rows = [
        next(r for r in stage.entries if (r.measure, r.block, r.null) == ("efficiency", b, "observed")) for b in (2, 1)
    ]
    gain, movement = zip(
        *((stage.sums.column(e.gain), stage.sums.column(e.movement)) for e in map(stage.entries.get, rows)), strict=True
    )
    a, b = (g / (np.abs(g) + k) for g, k in zip(gain, movement, strict=True))
    half = stats.t.ppf(0.975, 23) * (a - b)[1:].std(ddof=1)
    found = run.difference(EFFICIENCY | {"block_index": 2}, EFFICIENCY | {"block_index": 1})
    assert found == pytest.approx((a[0] - b[0], a[0] - b[0] - half, a[0] - b[0] + half, 24))
    by_name = run.difference(EFFICIENCY | {"block": "transformer.h.1"}, EFFICIENCY | {"block": "transformer.h.0"})
    assert by_name == found
    assert run.difference(EFFICIENCY | {"block_index": 1}, EFFICIENCY | {"block_index": 1})[:3] == (0, 0, 0)


def test_it_is_narrower_than_two_intervals():
    """Gains of a block against the label, with and without its curvature, share nearly all of their noise."""
    run = study("token")
    chosen = {"update": "update", "gradient": "readout", "target": "label", "block_index": 2, "statistic": "mean"}
    found = run.difference({"measure": "realised_gain", **chosen}, {"measure": "first_order_gain", **chosen})
    table = run.table[(run.table.block_index == 2) & (run.table.null == "observed") & (run.table.statistic == "mean")]
    unexplained = only(table[table.measure == "unexplained_gain"])
    assert found[:3] == pytest.approx([unexplained[k] for k in ("mean", "lo", "hi")], rel=1e-6, abs=1e-9)


def test_the_effect_of_order_is_observed_minus_shuffled():
    run = study("token")
    found = run.table[run.table.null == "order-shuffled"]
    effects = found[found.measure.str.endswith("_effect") & found.block_index.notna()]
    assert set(effects.measure) == {"efficiency_effect", "prediction_gain_effect", "prediction_movement_effect"}
    for row in effects[effects.measure == "efficiency_effect"].to_dict("records"):
        chosen = EFFICIENCY | {"block_index": row["block_index"]}
        expected = run.difference(chosen, chosen | {"null": "order-shuffled"})
        assert (row["mean"], row["lo"], row["hi"], row["n_clusters"]) == pytest.approx(expected)


def test_an_effect_is_the_same_difference():
    """Against all pairs every unit counts, so the effect is observed − null, of a share and of a cosine."""
    run = study("image")
    for measure, form in (("alignment", "raw"), ("descent_share", "gauge-free")):
        effects = run.table[
            (run.table.measure == f"{measure}_effect") & (run.table.form == form) & (run.table.null == "pairing")
        ]
        row = effects[effects.statistic == "mean"].to_dict("records")[0]
        chosen = {n: row[n] for n in NAMES if n not in ("null_seed", "measure")} | {"measure": measure}
        found = run.difference(chosen | {"null": "observed"}, chosen)
        assert found[:3] == pytest.approx((row["mean"], row["lo"], row["hi"]))


def test_two_nulls_of_one_pairing_are_never_too_narrow():
    run = study("token")
    chosen = {"measure": "prediction_gain", "null": "pairing"}
    found = run.difference(chosen | {"block_index": 2}, chosen | {"block_index": 1})
    apart = [
        only(
            run.table[
                (run.table.measure == "prediction_gain") & (run.table.null == "pairing") & (run.table.block_index == b)
            ]
        )
        for b in (1, 2)
    ]
    assert found.mean == pytest.approx(apart[1]["mean"] - apart[0]["mean"])
    assert found.hi - found.mean > 0 and math.isfinite(found.lo)


@pytest.mark.parametrize(
    ("columns", "message"),
    [({"measure": "efficiency"}, "selects 2 rows; expected one: they differ in block"),
     ({"measure": "efficency", "block_index": 1}, "selects 0 rows"),
     ({"measures": "efficiency"}, "no column 'measures' names a row"),
     ({"measure": "update_norm", "statistic": "median", "update": "update", "block_index": 1}, "selects a median")],
)  # fmt: skip
def test_mistakes_are_named(columns, message):
    with pytest.raises(itinf.ItinfError, match=message):
        study("token").difference(columns, columns)


def test_rows_without_a_value_and_few_clusters():
    network, data = opened("token", 7)
    run = probed(network, data, probes=[itinf.Prediction()])
    found = run.difference(EFFICIENCY | {"block_index": 2}, EFFICIENCY | {"block_index": 1})
    assert math.isfinite(found.mean) and math.isnan(found.lo) and math.isnan(found.hi) and found.n_clusters == 7
    alone = probed(*opened("token", 1), probes=[itinf.Prediction()])
    chosen = EFFICIENCY | {"block_index": 1}
    with pytest.raises(itinf.ItinfError, match="has no value; its reason is in the table"):
        alone.difference(chosen, chosen | {"null": "pairing"})
