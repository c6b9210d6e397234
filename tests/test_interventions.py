"""Interventions against plain hooks, and against networks whose answers are known by construction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import itinf
import oracles
import tiny
from itinf import Batch, Block, Network, trace
from itinf.networks.onward import Onward, is_chain, onward
from itinf.probes.repeat import form_of, repeated
from itinf.studies.compare import study_probes
from measured import Measured, measure, view
from oracles import Chain, Residual, normal

BITS = 1 / math.log(2)
KINDS = pytest.mark.parametrize("kind", ["image", "token"])


def batch_of(kind: str, count: int = 16) -> tuple[Network, Batch]:
    network, data = tiny.opened(kind, count)
    return network, oracles.batch(data.inputs, data.targets)


def run_on(network: Network, batch: Batch) -> Onward:
    seen = trace(network, batch, gradients=False)
    assert seen.inputs is not None
    return onward(network, seen.inputs, seen.after, is_chain(network, seen.inputs[:1]))


def losses(network: Network, batch: Batch, hooks: dict[str, Callable[..., Any]] | None = None) -> Tensor:
    """(N, P) losses in bits with hooks on some modules, without itinf."""
    handles = [network.model.get_submodule(path).register_forward_hook(hook) for path, hook in (hooks or {}).items()]
    with torch.no_grad():
        out = network.model.eval()(batch.inputs)
    for handle in handles:
        handle.remove()
    logits = (out if isinstance(out, Tensor) else out.logits).double()
    each = F.cross_entropy(logits.flatten(0, -2), batch.targets.flatten(), reduction="none")
    return each.reshape(len(batch.inputs), -1) * BITS


def measured(network: Network, batch: Batch, probe: itinf.Probe, size: int = 8) -> Measured:
    return measure(view(network, trace(network, batch), size=size), [probe])


def costs(found: Measured, form: str, null: str = "observed", measure: str = "cost") -> dict[int, float]:
    """Number of the block, from 0 -> number."""
    rows = [r for r in found.values if (r.measure, r.form, r.null, r.subset) == (measure, form, null, "all")]
    return {row.block - 1: found.values[row] for row in rows}


def first(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def instead(output: Any, state: Tensor) -> Any:
    return state if isinstance(output, Tensor) else (state, *output[1:])


@KINDS
def test_what_is_unchanged_gives_the_model_bit_for_bit(kind):
    """An empty lesion, no repeat, and repeats of scale 0."""
    network, batch = batch_of(kind)
    on = run_on(network, batch)
    assert on.chained
    end = on.calls[-1].after
    for number, call in enumerate(on.calls):
        assert torch.equal(on.last(number, call.after), end)
        branch = call.block.branch
        if branch is not None:
            assert torch.equal(on.last(number, call.again({branch: call.inside[branch]})[0]), end)
        if call.before.shape == call.after.shape:
            assert [torch.equal(on.last(number, state), end) for state in repeated(call, 0.0, 2)] == [True, True]
            assert list(repeated(call, 1.0, 0)) == []


@KINDS
def test_lesions_are_those_of_plain_hooks(kind):
    network, batch = batch_of(kind)
    found, whole = measured(network, batch, itinf.Lesion(nulls=())), losses(network, batch)
    for number, block in enumerate(network.blocks):
        if block.branch is not None:  # ReLU(skip), also where the shortcut changes the shape
            hooks = {f"{block.name}.{block.branch}": lambda module, args, output: torch.zeros_like(output)}
        else:
            hooks = {block.name: lambda module, args, output: instead(output, args[0])}
        expected = (losses(network, batch, hooks) - whole).mean()
        assert costs(found, "lesion")[number] == pytest.approx(float(expected), rel=1e-4, abs=1e-5)
    kl, agreement = (costs(found, "lesion", measure=name) for name in ("intervention_kl", "agreement"))
    assert len(kl) == len(network.blocks) and min(kl.values()) > 1e-4 and min(agreement.values()) < 1


@KINDS
def test_swaps_and_repeats_are_those_of_plain_hooks(kind):
    network, batch = batch_of(kind)
    whole = losses(network, batch)
    model = network.model.eval()
    swapped, again = measured(network, batch, itinf.Swap()), measured(network, batch, itinf.Repeat())
    seen = costs(swapped, "swap")
    assert set(seen) == {0}  # the first block of a later stage changes the shape
    with torch.no_grad():
        if kind == "image":
            blocks = [model.get_submodule(block.name) for block in network.blocks]
            start = F.relu(model.bn1(model.conv1(batch.inputs)))
            orders = {"swap": [1, 0, 2, 3, 4, 5], form_of(1, 1.0): [0, 1, 2, 3, 4, 5, 5]}
        else:
            blocks = list(model.transformer.h)
            where = torch.arange(batch.inputs.shape[1])
            start = model.transformer.wte(batch.inputs) + model.transformer.wpe(where)
            orders = {"swap": [1, 0], form_of(1, 1.0): [0, 1, 1]}
        for form, order in orders.items():
            h = start
            for number in order:
                h = first(blocks[number](h))
            rows = network.per_prediction(h)
            logits = network.readout(rows).double()
            after = F.cross_entropy(logits, batch.targets.flatten(), reduction="none").view_as(whole) * BITS
            block = 0 if form == "swap" else len(blocks) - 1
            given = (seen if form == "swap" else costs(again, form))[block]
            assert given == pytest.approx(float((after - whole).mean()), rel=1e-4, abs=1e-5)


@KINDS
@pytest.mark.parametrize("null", ["mean", "pairing"])
def test_under_a_null_a_block_adds_something_else(kind, null):
    network, batch = batch_of(kind)
    seen = trace(network, batch)
    found = measured(network, batch, itinf.Lesion(nulls=(null,)), size=8)
    whole = losses(network, batch)
    order = torch.arange(16).view(2, 8).roll(-1, 1).flatten()  # the next cluster of a group of 8
    for number, block in enumerate(network.blocks):
        added = seen.branches[number]
        if added is None:
            added = seen.states[seen.after[number]] - seen.states[seen.before[number]]
        axes = (0, 1) if kind == "token" else (0,)
        other = added.mean(axes, keepdim=True).expand_as(added) if null == "mean" else added[order]
        if block.branch is not None:
            hooks = {f"{block.name}.{block.branch}": lambda module, args, output, other=other: other.clone()}
        else:
            hooks = {block.name: lambda module, args, output, other=other: instead(output, args[0] + other)}
        expected = float((losses(network, batch, hooks) - whole).mean())
        assert costs(found, "lesion", null)[number] == pytest.approx(expected, rel=2e-4, abs=2e-5)


def linear(weight: Tensor) -> nn.Conv2d:
    made = nn.Conv2d(len(weight), len(weight), 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        made.weight.copy_(weight[:, :, None, None])
    return made


def residual(*weights: Tensor) -> Network:
    """h + W_l h, and a head."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = nn.Linear(len(weights[0]), 5)
    return oracles.opened(Chain([Residual(linear(w)) for w in weights], head), branch="branch")


def of_vectors(count: int = 20, width: int = 6) -> Batch:
    return oracles.batch(normal(count, width, 1, 1, seed=3), torch.arange(count) % 5)


def test_linear_blocks_that_commute_swap_at_no_cost():
    a = normal(6, 6, seed=1) / 4
    commuting, not_commuting = residual(a, a @ a, a @ a @ a - 0.1 * a), residual(a, normal(6, 6, seed=2) / 4)
    found = measured(commuting, of_vectors(), itinf.Swap())
    for name in ("cost", "intervention_kl"):
        assert list(costs(found, "swap", measure=name).values()) == pytest.approx([0, 0], abs=1e-12)
    assert set(costs(found, "swap", measure="agreement").values()) == {1}
    assert abs(costs(measured(not_commuting, of_vectors(), itinf.Swap()), "swap")[0]) > 1e-3


def test_a_block_that_adds_nothing_costs_nothing():
    found = measured(
        residual(normal(6, 6) / 4, torch.zeros(6, 6)), of_vectors(), itinf.Lesion(nulls=("mean", "pairing"))
    )
    for null in ("observed", "mean", "pairing"):
        assert costs(found, "lesion", null)[1] == 0 != costs(found, "lesion", null)[0]
    for name in ("intervention_kl", "predicted_cost", "direct_cost", "self_repair"):
        assert costs(found, "lesion", measure=name)[1] == 0


@pytest.mark.parametrize("block", range(4))
def test_scaling_a_branch_down_a_little_costs_what_the_first_order_says(block):
    """Over ε the cost of scaling by 1 − ε approaches the first-order gain, with its sign: what a block gains it costs to lose."""
    network, batch = oracles.smooth(), oracles.smooth_batch()
    on, small = run_on(network, batch), 1e-5

    def loss(share: float) -> float:
        state = on.calls[block].again({"branch": share * on.calls[block].inside["branch"]})[0]
        with torch.no_grad():
            return float(F.cross_entropy(network.readout(on.last(block, state)), batch.targets)) * BITS

    slope = (loss(1 - small) - loss(1 + small)) / (2 * small)
    found = measured(network, batch, itinf.Lesion(nulls=()))
    predicted = costs(found, "lesion", measure="predicted_cost")[block]
    assert slope == pytest.approx(predicted, rel=1e-4)
    gain = measured(network, batch, itinf.Gain(nulls=()))
    (row,) = [
        r
        for r in gain.values
        if (r.measure, r.block, r.gradient, r.update, r.subset)
        == ("first_order_gain", block + 1, "output", "branch", "all")
    ]
    assert predicted == pytest.approx(gain.values[row] * BITS, rel=1e-9)


def test_later_blocks_repair_what_they_take_back():
    """The second block takes half of all differences back, so half of what the first block adds, and of what its lesion changes."""

    class Back(nn.Module):
        def forward(self, h: Tensor) -> Tensor:
            return h - 0.5 * (h - h[:, :1])

    batch = of_vectors()
    network = residual(normal(6, 6, seed=1) / 4)
    network = oracles.opened(Chain([*network.model.blocks, Back()], network.model.head))
    found = measured(network, batch, itinf.Lesion(nulls=()))
    h = batch.inputs
    a = network.model.blocks[0].branch(h).detach()
    states = [Back()(h + a), Back()(h), Back()(h + a) - a]  # the network, with the lesion, with its direct effect alone
    whole, cost, direct = (float(F.cross_entropy(network.readout(s), batch.targets).detach()) * BITS for s in states)
    assert costs(found, "lesion")[0] == pytest.approx(cost - whole, abs=1e-12)
    assert costs(found, "lesion", measure="direct_cost")[0] == pytest.approx(direct - whole, abs=1e-12)
    assert costs(found, "lesion", measure="self_repair")[0] == pytest.approx(direct - cost, abs=1e-12)
    assert costs(found, "lesion", measure="self_repair")[1] == 0 != costs(found, "lesion")[1]


class _BatchSecond(nn.Module):
    """Transformer blocks that take a mask beside a state with the batch second."""

    def __init__(self) -> None:
        super().__init__()
        layer = {"d_model": 16, "nhead": 2, "dim_feedforward": 32, "dropout": 0.0, "norm_first": True}
        self.embedding, self.head = nn.Embedding(20, 16), nn.Linear(16, 20)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(**layer) for _ in range(3))

    def forward(self, ids: Tensor) -> Tensor:
        h = self.embedding(ids).transpose(0, 1)
        mask = torch.triu(torch.full((len(h), len(h)), -math.inf), 1)
        for layer in self.layers:
            h = layer(h, src_mask=mask)
        return self.head(h.transpose(0, 1))


@pytest.mark.parametrize("null", ["observed", "mean", "pairing"])
def test_a_layout_with_the_batch_second(null):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, ids = _BatchSecond(), torch.randint(20, (16, 7))
    blocks = [Block(f"layers.{i}") for i in range(3)]
    network = Network(model, blocks, layout="t n c", head=model.head, unit="token")
    batch = oracles.batch(ids[:, :-1], ids[:, 1:])
    seen, whole = trace(network, batch), losses(network, batch)
    found = costs(measured(network, batch, itinf.Lesion()), "lesion", null)
    order = torch.arange(16).view(2, 8).roll(-1, 1).flatten()
    for number in range(3):
        added = seen.states[number + 1] - seen.states[number]  # (N, T, C)
        other = {"observed": 0 * added, "mean": added.mean((0, 1)).expand_as(added), "pairing": added[order]}[null]
        hooks = {f"layers.{number}": lambda module, args, output, other=other: args[0] + other.transpose(0, 1)}
        expected = float((losses(network, batch, hooks) - whole).mean())
        assert found[number] == pytest.approx(expected, rel=1e-3, abs=2e-5)


class _Bridged(nn.Module):
    """Something stands between its blocks, or its blocks read the first state, too."""

    def __init__(self, between: Callable[[Tensor], Tensor], remembers: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Remembering() for _ in range(3))
        self.head, self.between, self.remembers = nn.Linear(6, 5), between, remembers

    def forward(self, h: Tensor) -> Tensor:
        whole = self.blocks[0](h, torch.zeros_like(h))
        start = whole if self.remembers else torch.ones_like(h)
        for block in self.blocks[1:]:
            whole = block(self.between(whole), start)
        return self.head(whole.mean((2, 3)))


class _Remembering(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 1)

    def forward(self, h: Tensor, start: Tensor) -> Tensor:
        return h + torch.tanh(self.conv(h)) * start.mean()


@pytest.mark.parametrize(
    ("between", "remembers"), [(lambda h: h, False), (lambda h: 0.5 * h + 1, False), (lambda h: h, True)]
)
def test_where_blocks_are_not_all_there_is_whole_passes_run(between, remembers):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = _Bridged(between, remembers).double()
    blocks = [Block(f"blocks.{i}", input=0) for i in range(3)]
    network = Network(model, blocks, layout="n c h w", head=model.head, pool=oracles.mean)
    batch = of_vectors()
    bridged = float(between(torch.ones(1))) != 1
    assert run_on(network, batch).chained == (not bridged and not remembers)
    found, whole = measured(network, batch, itinf.Lesion(nulls=())), losses(network, batch)
    for number in range(3):
        hooks = {f"blocks.{number}": lambda module, args, output: args[0]}
        expected = float((losses(network, batch, hooks) - whole).mean())
        assert costs(found, "lesion")[number] == pytest.approx(expected, abs=1e-12)
    assert set(costs(measured(network, batch, itinf.Swap()), "swap")) == (set() if bridged else {0, 1})


def missing(network: Network, probe: itinf.Probe, count: int = 12) -> dict[tuple[str, int], str]:
    """(form, block) -> code of the reason, of costs without a value."""
    table = tiny.probed(network, tiny.images(count), probes=[probe]).table
    rows = table[(table["measure"] == "cost") & (table["subset"] == "all") & table["mean"].isna()]
    return {(form, block): code for form, block, code in rows[["form", "block_index", "reason_code"]].to_numpy()}


def test_what_is_undefined_has_a_reason():
    eyes, plain = tiny.resnet(), itinf.network("cifar-plain8", weights="random:0")
    assert missing(eyes, itinf.Lesion()) == {}  # blocks that change the shape keep their shortcut
    assert missing(eyes, itinf.Swap()) == {("swap", block): "no_neighbour" for block in range(2, 7)}
    assert missing(eyes, itinf.Repeat()) == {("repeat 1 × 1", block): "shape_changes" for block in (3, 5)}
    assert missing(plain, itinf.Lesion()) == {("lesion", block): "shape_changes" for block in (2, 3)}


@KINDS
def test_a_study_has_intervals_effects_and_untrained_rows(kind, tmp_path):
    network, data = tiny.opened(kind, 24)
    probes = [itinf.Lesion(), itinf.Swap(), itinf.Repeat()]
    run = tiny.probed(network, tiny.with_partners(data), probes=probes, untrained=1, out=tmp_path / "run")
    table = run.table
    assert not table.duplicated(tiny.NAMES).any()
    for null in ("mean", "pairing", "same-target"):
        effect = table[(table["measure"] == "cost_effect") & (table["null"] == null)]
        assert len(effect) == len(network.blocks) and effect[["mean", "lo", "hi"]].notna().all(axis=None)
    assert {"cost", "self_repair", "repeated_norm"} <= set(table.loc[table["null"] == "untrained", "measure"])
    best = table[table["form"] == "repeat best"]
    assert set(best["measure"]) == {"cost", "accuracy_cost"} and best["lo"].notna().any()
    again = itinf.ProbeResult.load(tmp_path / "run").table
    assert again.equals(table)
    small = tiny.probed(network, data, probes=probes, untrained=1, batch=8).table
    np.testing.assert_allclose(small["mean"], table["mean"], rtol=1e-3, atol=1e-4)


@KINDS
@pytest.mark.parametrize("batch", [4, 24])
def test_of_many_clusters_the_first_ones_are_lesioned(kind, batch):
    """The numbers are those of a study of these clusters alone; other measures keep all clusters."""
    network, data = tiny.opened(kind, 24)
    data = tiny.with_partners(data)
    named = {"seed": 3, "calibration": 24}  # the same mean update in both
    few = [itinf.Lesion(nulls=("pairing",), units=12), itinf.Performance()]
    table = tiny.probed(network, data, probes=few, batch=batch, group=12, **named).table.set_index(tiny.NAMES)
    whole = tiny.probed(
        network, data, probes=[itinf.Lesion(nulls=("pairing",))], units=12 * width(kind, data), group=12, **named
    )
    alone = whole.table.set_index(tiny.NAMES)
    costs = alone[alone.index.get_level_values("form") == "lesion"]
    assert len(costs) > 10
    for column in ("mean", "lo", "hi", "n_units"):
        np.testing.assert_allclose(
            table.loc[costs.index, column].astype(float), costs[column].astype(float), rtol=1e-4, atol=1e-5
        )
    everything = table.loc[table.index.get_level_values("measure") == "loss", "n_units"].iloc[0]
    assert everything > 1.8 * costs["n_units"].max(), "tokens without a target count nowhere"


def width(kind: str, data: Any) -> int:
    """Units of a cluster."""
    return data[0][1].numel() if kind == "token" else 1


def test_a_number_of_lesioned_clusters_must_be_one():
    with pytest.raises(itinf.ItinfError, match="units"):
        itinf.Lesion(units=0)


def test_a_study_leaves_every_block_out_of_its_first_clusters_and_a_named_probe_is_measured_in_full():
    usual = {type(probe): probe for probe in study_probes(["label"])}
    assert (usual[itinf.Lesion].units, usual[itinf.Lesion].nulls) == (
        500,
        ("pairing",),
    ) and itinf.VarianceShares in usual
    assert [probe for probe in study_probes(["label"], measure=["lesion"]) if type(probe) is itinf.Lesion] == [
        itinf.Lesion()
    ]
    assert itinf.Lesion not in {type(probe) for probe in study_probes(["answer"])}, "nothing is lost without a label"
