"""Every missing number has a reason, whatever the network and the data; nothing but a finite number stands without one."""

import numpy as np
import pandas as pd
import pytest
import torch

import itinf
from itinf.results.reasons import NO_PAIR, NO_UNIT, REASONS, TOO_FEW_CLUSTERS
from itinf.results.table import table
from tiny import gpt2, images, probed, resnet, tokens

LIMITS = ["lo", "hi"]


def zeroed(network, modules=None):
    """The network with all parameters, or those of some modules, set to zero."""
    with torch.no_grad():
        for module in [network.model] if modules is None else modules:
            for values in module.parameters():
                values.zero_()
    return network


def equal_logits(kind):
    network = resnet() if kind == "image" else gpt2()
    return zeroed(network, [network.model.linear if kind == "image" else network.model.transformer.wte])


def dead_block(kind):
    network = resnet() if kind == "image" else gpt2()
    return zeroed(network, [network.model.layer1[1] if kind == "image" else network.model.transformer.h[1]])


def data(kind, count=24):
    return images(count) if kind == "image" else tokens(count)


def one_class(kind, count=24):
    items = data(kind, count)
    items.targets = torch.ones_like(items.targets)
    return items


def ignored(kind):
    """Only the first token of four sequences has a target."""
    items = data(kind)
    keep = torch.zeros(items.targets.shape, dtype=torch.bool)
    keep[:4, 0] = True
    items.targets = torch.where(keep, items.targets, itinf.IGNORED)
    return items


def usual(kind):
    return resnet() if kind == "image" else gpt2()


CASES = {
    "zero weights": lambda kind: (zeroed(usual(kind)), data(kind)),
    "a dead block": lambda kind: (dead_block(kind), data(kind)),
    "equal logits": lambda kind: (equal_logits(kind), data(kind)),
    "one class": lambda kind: (usual(kind), one_class(kind)),
    "one cluster": lambda kind: (usual(kind), data(kind, 1)),
    "two clusters": lambda kind: (usual(kind), data(kind, 2)),
    "seven clusters": lambda kind: (usual(kind), data(kind, 7)),
    "eight clusters": lambda kind: (usual(kind), data(kind, 8)),
    "zero weights, one cluster": lambda kind: (zeroed(usual(kind)), data(kind, 1)),
    "zero weights, one class": lambda kind: (zeroed(usual(kind)), one_class(kind)),
}


def require_reasons(rows):
    """NaN never stands without a reason; nor is there a reason where nothing is missing."""
    assert len(rows) and not np.isinf(rows[["mean", *LIMITS]].to_numpy()).any()
    lacking = rows["mean"].isna() | rows[LIMITS].isna().any(axis=1)
    without = rows[lacking & ((rows["reason"] == "") | (rows["reason_code"] == ""))]
    assert without.empty, without[["measure", "block_index", "statistic", "form", "null", "subset", "mean", "lo"]].head(
        9
    )
    assert (rows.loc[~lacking, ["reason", "reason_code"]] == "").all(axis=None)
    assert rows["lo"].isna().equals(rows["hi"].isna())
    assert rows.loc[rows["mean"].isna(), [*LIMITS, "band_lo", "band_hi"]].isna().all(axis=None)
    codes = rows.loc[lacking, ["reason_code", "reason"]].drop_duplicates().itertuples(index=False, name=None)
    assert all(REASONS[code].sentence == sentence for code, sentence in codes)
    few = rows["mean"].notna() & rows["lo"].isna()
    assert (rows.loc[few, "n_clusters"] < 8).eq(rows.loc[few, "reason_code"] == TOO_FEW_CLUSTERS.code).all()


@pytest.mark.parametrize("kind", ["image", "token"])
@pytest.mark.parametrize("case", CASES)
def test_every_missing_number_has_a_reason(case, kind):
    network, items = CASES[case](kind)
    run = probed(network, items, replicates=20)
    require_reasons(run.table)
    if case == "zero weights":
        cosines = run.table[
            (run.table.measure == "alignment") & (run.table.statistic == "mean") & (run.table.form == "raw")
        ]
        assert set(cosines[cosines.null == "observed"].reason_code) <= {NO_UNIT.code, "shape_changes", "no_readout"}
        assert set(cosines[cosines.null == "pairing"].reason_code) == {NO_PAIR.code}


def test_units_without_a_target_leave_reasons():
    require_reasons(probed(gpt2(), ignored("token"), replicates=20).table)


def test_untrained_networks_have_reasons_too():
    run = probed(resnet(), images(7), replicates=20, untrained=1)
    require_reasons(run.table)
    fresh = run.table[run.table.null == "untrained"]
    assert len(fresh) and set(fresh.reason_code) <= {TOO_FEW_CLUSTERS.code, NO_UNIT.code}


def test_a_saved_table_keeps_the_reasons(tmp_path):
    run = probed(zeroed(resnet()), images(12), replicates=20)
    run.save(tmp_path / "run")
    pd.testing.assert_frame_equal(table(itinf.ProbeResult.load(tmp_path / "run").stages), run.table)
