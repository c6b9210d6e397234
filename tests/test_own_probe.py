"""A probe in a file of its own, with its own statistic, null and figure: it joins without an edit elsewhere."""

import importlib
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch

import itinf
import oracles
from itinf import registry
from itinf.results import estimators
from itinf.statistics.nulls import next_cluster, same_target
from test_lens_steps import lens_of
from test_study import KilledError, agree, killed_after, save_always
from tiny import GROUP, NAMES, opened, probed, with_partners

FILE = '''
"""One cosine of all units together, so that long vectors count more, and the figure of it."""

from dataclasses import dataclass

import numpy as np

import itinf


@dataclass(frozen=True)
class PooledCosine(itinf.Estimator):  # has a column "n", too: how many units
    dots: str
    updates: str
    gradients: str

    def estimate(self, sums):
        dots, updates, gradients = map(sums.column, (self.dots, self.updates, self.gradients))
        return dots / np.sqrt(updates * gradients)


class PartnersCosine(PooledCosine):
    counts_twice = True  # every number stands in the unit's cluster and in its partner's

    def estimate(self, sums):
        dots, updates, gradients = (sums.pair_mean(x, self.n) for x in (self.dots, self.updates, self.gradients))
        return dots / np.sqrt(updates * gradients)


def previous_cluster(targets, keys):
    """The gradient at the same position of the cluster before stands in, in a ring."""
    rows = np.arange(targets.size).reshape(targets.shape)
    return np.roll(rows, 1, axis=0).ravel() if len(rows) > 1 else np.full(targets.size, -1)


@dataclass(frozen=True, repr=False)
class Pooled(itinf.Probe):
    gradients: tuple = ("output",)
    targets: tuple = ("label",)
    nulls: tuple = (previous_cluster,)

    def measure_block(self, block, record):
        present, absent = self.requested(block)
        for c, reason in absent.items():
            record.absent(block.row("pooled_cosine", c, statistic="pooled"), reason)
        for c in present:
            norms = {"updates": block.form("raw", c).update2, "gradients": block.form("raw", c).gradient2}
            row, dots = block.row("pooled_cosine", c, statistic="pooled"), -block.own_products(c)
            record.per_unit(row, PooledCosine, norms | {"dots": dots}, block.batch.trace.known)
            for null in self.partner_nulls:
                partner, row = block.batch.partners[null], block.row("pooled_cosine", c, statistic="pooled", null=null)
                dots = -block.partner_products(c, partner).view_as(dots)
                record.per_partner(row, PartnersCosine, norms | {"dots": dots}, partner)


@itinf.register(group="figures")
def pooled(table):
    rows = table[table["measure"] == "pooled_cosine"]
    return None if rows.empty else rows.pivot_table("mean", index="depth", columns=["update", "null"]).plot().figure
'''
KINDS = pytest.mark.parametrize("kind", ["image", "token"])


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The file, imported as a user would."""
    (tmp_path / "own_pooled.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("own_pooled")
    del sys.modules["own_pooled"]


def rows_of(run, **chosen):
    table = run.table
    for column, value in chosen.items():
        table = table[table[column] == value]
    return table.set_index([name for name in NAMES if name not in chosen])


def test_the_file_is_short():
    assert len(FILE.strip().splitlines()) <= 60


@KINDS
def test_an_own_probe_is_one_cosine_of_all_units(own, kind):
    network, data = opened(kind)
    run = probed(network, data, probes=[itinf.Alignment(), own.Pooled()])
    trace = itinf.trace(network, oracles.batch(data.inputs, data.targets), ["label"])
    last = len(network.blocks) - 1
    known = trace.known.flatten()
    update = (trace.states[trace.after[last]] - trace.states[trace.before[last]]).reshape(known.numel(), -1)
    gradient = trace.gradients["label"].states[trace.after[last]].reshape(known.numel(), -1)
    expected = -(update[known] * gradient[known]).sum() / (update[known].norm() * gradient[known].norm())
    rows = rows_of(run, measure="pooled_cosine", update="update", null="observed")
    value = rows[rows["mean"].notna()].iloc[[-1]]
    assert value["mean"].iloc[0] == pytest.approx(float(expected), rel=1e-5)
    assert (value.n_units == run.units).all()
    effect = rows_of(run, measure="pooled_cosine_effect", null="previous_cluster")
    assert effect[["mean", "lo", "hi"]].notna().all(axis=None) and (effect.n_units == run.units).all()
    missing = run.table[(run.table.measure == "pooled_cosine") & run.table["mean"].isna()]
    assert set(missing.reason_code) == ({"shape_changes"} if kind == "image" else set())
    axes = run.plot("pooled").axes[0]
    assert {"(update, observed)", "(update, previous_cluster)"} <= {line.get_label() for line in axes.lines}


@KINDS
def test_it_resumes_loads_and_merges(own, kind, tmp_path, monkeypatch):
    save_always(monkeypatch)
    network, data = opened(kind, 28)
    probes = {"probes": [itinf.Alignment(forms=("raw",)), own.Pooled()], "untrained": 1}
    whole = probed(network, data, batch=8, **probes)
    assert set(whole.table.null) >= {"previous_cluster", "untrained"}
    with pytest.raises(KilledError):
        probed(network, data, batch=8, out=tmp_path / "run", progress=killed_after(2), **probes)
    resumed = probed(network, data, batch=8, out=tmp_path / "run", **probes)
    pd.testing.assert_frame_equal(resumed.table, whole.table)
    pd.testing.assert_frame_equal(itinf.ProbeResult.load(tmp_path / "run").table, whole.table)
    shards = [probed(network, data, shard=(i, 2), out=tmp_path / f"{i}", **probes) for i in range(2)]
    agree(itinf.merge(shards), whole)
    agree(itinf.merge([itinf.ProbeResult.load(tmp_path / f"{i}") for i in range(2)]), whole)


def test_its_figure_appears_on_the_page(own, tmp_path, monkeypatch):
    monkeypatch.setitem(registry._session, "figures", dict(registry._session["figures"]))
    itinf.register(lambda table: table.no_such_column, "cracked", group="figures")
    network, data = opened("token", 16)
    out = tmp_path / "run"
    probed(network, data, probes=[*itinf.default_probes(), own.Pooled()], out=out)
    with pytest.warns(UserWarning, match="The figure 'cracked' could not be drawn"):
        page = itinf.report(out).read_text(encoding="utf-8")
    assert "<h3>pooled</h3>" in page and (out / "figures" / "pooled.png").is_file()
    assert "The figure &#39;cracked&#39; could not be drawn (AttributeError" in page
    registry._session["figures"].pop("cracked")
    probed(network, data, out=tmp_path / "without")
    assert "<h3>pooled</h3>" not in itinf.report(tmp_path / "without").read_text(encoding="utf-8")


def test_a_file_with_an_unknown_estimator_says_what_to_import(own, tmp_path, monkeypatch):
    run = probed(*opened("token", 16), probes=[own.Pooled()])
    run.save(tmp_path / "run")
    # in a session that never saw the file
    known = {name: kinds for name, kinds in estimators._KNOWN.items() if "own_pooled" not in kinds}
    monkeypatch.setattr(estimators, "_KNOWN", known)
    with pytest.raises(
        itinf.ItinfError, match=r"an estimator 'PooledCosine', which the module 'own_pooled' defines. Imp"
    ):
        itinf.ProbeResult.load(tmp_path / "run")
    # the same study, were its probe's estimator called otherwise: refused, and nothing is lost
    (tmp_path / "run" / "manifest.json").write_text(
        (tmp_path / "run" / "manifest.json").read_text().replace('"complete": true', '"complete": false')
    )
    sums = (tmp_path / "run" / "sums.safetensors").read_bytes()
    with pytest.raises(itinf.ItinfError, match="an estimator 'PooledCosine'"):
        probed(*opened("token", 16), probes=[own.Pooled()], out=tmp_path / "run")
    assert (tmp_path / "run" / "sums.safetensors").read_bytes() == sums
    run.save(tmp_path / "again")
    del sys.modules["own_pooled"]
    importlib.import_module("own_pooled")
    pd.testing.assert_frame_equal(itinf.ProbeResult.load(tmp_path / "again").table, run.table)


@KINDS
def test_it_reads_through_a_lens(own, kind):
    network, data = opened(kind)
    trace = itinf.trace(network, oracles.batch(data.inputs[:2], data.targets[:2]))
    logit, affine = lens_of(network, trace, "logit", parts=True), lens_of(network, trace)
    probes = [
        own.Pooled(gradients=("readout",)),
        *(own.Pooled(gradients=("readout",), lens=x) for x in (logit, affine)),
    ]
    run = probed(network, data, probes=probes, untrained=1)
    by_lens = {lens: rows_of(run, lens=lens, measure="pooled_cosine")["mean"] for lens in ("", "logit", "affine")}
    both = by_lens[""].dropna().index.intersection(by_lens["logit"].dropna().index)
    assert len(both) > 2
    np.testing.assert_allclose(by_lens["logit"][both], by_lens[""][both], rtol=1e-5, atol=1e-7)
    both = both.intersection(by_lens["affine"].dropna().index)
    assert len(both) > 2 and not np.allclose(by_lens["affine"][both], by_lens[""][both])
    fresh = run.table[run.table.null == "untrained"]
    assert set(fresh.lens) == {""} and len(fresh)


@KINDS
@pytest.mark.parametrize("base", [itinf.Alignment, itinf.Gain, itinf.Prediction])
def test_a_subclass_measures_what_its_class_does(base, kind):
    """With and without a lens; a plain subclass and one with a setting of its own."""

    class Plain(base):
        pass

    @dataclass(frozen=True, repr=False)
    class Mine(base):
        strength: float = 1.0

    network, data = opened(kind, 16)
    trace = itinf.trace(network, oracles.batch(data.inputs[:2], data.targets[:2]))
    for settings in ({}, {"lens": lens_of(network, trace)}):
        expected = probed(network, data, probes=[base(**settings)], untrained=1)
        for subclass in (Plain, Mine):
            run = probed(network, data, probes=[subclass(**settings)], untrained=1)
            pd.testing.assert_frame_equal(run.table, expected.table)
            assert run.manifest["probes"][0].startswith(subclass.__name__)


def test_a_null_of_ones_own_is_as_good_as_a_built_in_one():
    """The partners of same-target and of pairing under other names give the same numbers, where every unit has one."""

    def mine(targets, keys):
        """Another unit of the same target."""
        return same_target(targets, keys)

    network, data = opened("token")
    data = with_partners(data)
    following = itinf.register(itinf.Null("following", "the next cluster's", next_cluster), group="nulls")
    assert following.effect
    probes = [
        itinf.Alignment(nulls=("same-target", mine)),
        itinf.Gain(nulls=("same-target", mine)),
        itinf.Prediction(nulls=("pairing", "following")),
    ]
    table = probed(network, data, probes=probes).table
    for name, builtin in (("mine", "same-target"), ("following", "pairing")):
        a, b = (
            table[table.null == null].drop(columns=["null", "n_missing"]).reset_index(drop=True)
            for null in (name, builtin)
        )
        assert len(a) and set(a.measure[a.measure.str.endswith("_effect")])
        pd.testing.assert_frame_equal(a, b)


def test_a_null_without_an_effect_has_none_after_loading(tmp_path):
    null = itinf.Null("quiet", "the next cluster's", next_cluster, effect=False)
    run = probed(*opened("token", 16), probes=[itinf.Alignment(nulls=(null,), forms=("raw",))])
    assert "quiet" in set(run.table.null) and not run.table.measure.str.endswith("_effect").any()
    run.save(tmp_path / "run")
    pd.testing.assert_frame_equal(itinf.ProbeResult.load(tmp_path / "run").table, run.table)


def test_probes_and_figures_are_found_by_name(own):
    itinf.register(own.Pooled, group="probes")
    network, data = opened("token", 16)
    named = probed(network, data, probes=["Pooled"])
    agree(named, probed(network, data, probes=[own.Pooled()]), 0)
    with pytest.raises(itinf.ItinfError, match=r"no probe 'Poled'. Did you mean Pooled"):
        probed(network, data, probes=["Poled"])


def broken(targets, keys):
    return np.zeros(3)


def beyond(targets, keys):
    return np.full(targets.size, targets.size)


def pairing(targets, keys):
    return next_cluster(targets, keys)


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda: itinf.Alignment(nulls=("paring",)), "no null 'paring'. Did you mean pairing"),
     (lambda: itinf.Alignment(nulls=("order-shuffled",)), "Alignment does not measure the null 'order-shuffled'"),
     (lambda: itinf.Alignment(nulls=(pairing,)), "A null of your own is called 'pairing'"),
     (lambda: itinf.Alignment(nulls=(3,)), "3 is no null; expected a name, an itinf.Null, or a function"),
     (lambda: itinf.Alignment(gradients="output"), r"gradients is 'output'; expected a sequence of names, such as \('output',\)"),
     (lambda: itinf.Alignment(gradients=("outputs",)), "no 'outputs' among the gradients. Did you mean output"),
     (lambda: itinf.Gain(targets=("labels",)), "no 'labels' among the targets. Did you mean label"),
     (lambda: itinf.Alignment, r"The probe Alignment was given as a class; expected an object. Write Alignment\(\)"),
     (lambda: torch.nn.Identity(), "is no probe. Expected a probe of itinf"),
     (lambda: itinf.Alignment(nulls=(broken,)), rf"'broken' gave float64 of shape \(3,\) for a group of {GROUP * 6} units"),
     (lambda: itinf.Alignment(nulls=(beyond,)), rf"partners from {GROUP * 6} to {GROUP * 6} in a group of {GROUP * 6} units")],
)  # fmt: skip
def test_mistakes_are_named(make, message):
    network, data = opened("token", 16)
    with pytest.raises(itinf.ItinfError, match=message):
        probed(network, data, probes=[make()])


def test_an_estimator_is_not_called_as_one_of_itinfs():
    with pytest.raises(itinf.ItinfError, match="defines an estimator Mean, as itinf does"):
        type("Mean", (itinf.Estimator,), {"__module__": "mine"})


def test_two_probes_do_not_measure_one_row_in_two_ways(own):
    class Other(own.Pooled):
        def measure_block(self, block, record):
            for c in self.requested(block)[0]:
                values = block.own_products(c)
                record.mean(block.row("pooled_cosine", c, statistic="pooled"), values, block.batch.trace.known)

    with pytest.raises(itinf.ItinfError, match=r"Two probes measure .*pooled_cosine.* not in one way"):
        probed(*opened("token", 16), probes=[own.Pooled(), Other()])
