"""Prediction space through lenses: the same formulas on the lens's logits, and what must not change."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import oracles
from itinf import Alignment, Batch, Gain, ItinfError, Network, Prediction, trace
from itinf.lenses.fit import closed_form_lens
from itinf.lenses.fit_statistics import fit_statistics
from itinf.lenses.lens import Lens, translators_at
from itinf.lenses.translator import Translator
from itinf.networks.states import sites
from itinf.networks.trace import Trace
from itinf.networks.weights import readout_fingerprint
from itinf.probes.prediction_space import Step, gain_and_movement, prediction_steps
from itinf.probes.readouts import read
from itinf.probes.steps import block_steps, merged_steps
from itinf.statistics.nulls import neighbours, same_target
from measured import steps
from oracles import normal
from shipped import shipped
from tiny import gpt2, images, probed, resnet, tokens
from tolerance import rounding

NETWORKS = ["cifar-resnet20", "cifar-preresnet20", "googlenet", "gpt2"]
FIELDS = ["gain", "movement", "known"]


def lens_of(network: Network, seen: Trace, kind: str = "affine", parts: bool = False) -> Lens:
    """Random translators, or identities where the width allows."""
    found = sites(seen, parts)
    width = found[-1].width

    def translator(place: int) -> Translator | None:
        own = found[place].width
        if kind == "logit":
            return Translator.identity(width) if own == width else None
        return Translator(normal(width, own, seed=place).float() / own**0.5, normal(width, seed=99 + place).float())

    record = {"network": network.name, "readout": readout_fingerprint(network)}
    none = torch.zeros(0)
    return Lens(kind, found, [translator(k) for k in range(len(found))], none, none, record)


def head(network: Network, x: Tensor) -> Tensor:
    """Vectors of the last width, channels last, to logits: written out for each architecture."""
    model = network.model
    if network.unit == "token":
        return model.lm_head(model.transformer.ln_f(x))
    if hasattr(model, "fc"):
        return model.fc(x)
    if network.neck is not None:
        x = model.bn(x.movedim(-1, 1)).relu().mean((2, 3))
    return model.linear(x)


def by_hand(network: Network, state: Tensor, translator: Translator) -> Tensor:
    """Logits (R, classes) of a state: pool, translate, norm, head."""
    if network.unit == "token":
        x = state.flatten(0, 1)
    else:
        x = state.movedim(1, -1) if network.neck is not None else state.mean((2, 3))
    weight, bias = translator.weight.double(), translator.bias.double()
    return head(network, x @ weight.T + bias + (x if weight.shape[0] == weight.shape[1] else 0))


def bits(before: Tensor, after: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and movement of (R, classes) logits against distributions ``goal``, from probabilities."""
    p, q = before.log_softmax(1) / math.log(2), after.log_softmax(1) / math.log(2)
    return (goal * (q - p)).sum(1), (before.softmax(1) * (p - q)).sum(1)


@pytest.mark.parametrize("target", ["label", "model"])
@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_steps_through_a_lens_by_brute_force(name, target):
    network, batch = shipped(name)
    seen = trace(network, batch, gradients=False)
    lens = lens_of(network, seen)
    by_place = {p.id: t for p, t in zip(lens.sites, lens.translators, strict=True)}
    known, (n, p) = seen.known.flatten(), seen.targets.shape
    own = network.readout(network.per_prediction(seen.states[-1]))
    label = torch.nn.functional.one_hot(seen.targets.flatten().clamp_min(0), own.shape[1]).double()
    goal = label if target == "label" else own.softmax(1)
    partners = {"pairing": neighbours((n, p), 32), "same-target": same_target(seen.targets.numpy(), seen.keys)}
    found = steps(seen, [target], partners, lens=lens)
    assert {b for b, _, null in found if null == "observed"} == set(range(len(network.blocks)))
    for (b, _, null), step in found.items():
        if null == "order-shuffled":
            continue
        start, end = seen.states[seen.before[b]], seen.states[seen.after[b]]
        first, last = by_hand(network, start, by_place[seen.before[b]]), by_hand(network, end, by_place[seen.after[b]])
        who = torch.arange(n * p) if null == "observed" else torch.from_numpy(partners[null])
        here = known & (who >= 0)
        expected = bits(first, first + (last - first)[who.clamp_min(0)], goal)
        assert torch.equal(step.known.flatten(), here)
        for values, wanted in zip((step.gain, step.movement), expected, strict=True):
            torch.testing.assert_close(values.flatten()[here], wanted[here], rtol=1e-8, atol=1e-9)
        fits = by_place[seen.before[b]].weight.shape == by_place[seen.after[b]].weight.shape
        assert (step.block_gain is not None) == (fits and null == "observed")
        if step.block_gain is not None:
            same = by_hand(network, start, by_place[seen.after[b]])
            torch.testing.assert_close(
                step.block_gain.flatten()[here], bits(same, last, goal)[0][here], rtol=1e-8, atol=1e-9
            )


@pytest.mark.parametrize("name", NETWORKS)
def test_gain_and_movement_add_up_to_the_slope_in_a_lenss_logits(name):
    network, batch = shipped(name)
    seen = trace(network, batch, gradients=False)
    lens = lens_of(network, seen)
    z = {p.id: lens.read(seen, p.name) for p in lens.sites}
    assert all(x.dtype == torch.float64 for x in z.values())
    known, label = seen.known.flatten(), seen.targets.flatten()
    for (b, _, null), step in steps(seen, shuffled=False, lens=lens).items():
        assert null == "observed"
        before, after = z[seen.before[b]][known], z[seen.after[b]][known]
        hot = torch.nn.functional.one_hot(label[known], before.shape[1])
        slope = ((after - before) * (hot - before.softmax(1))).sum(1)
        total = (step.gain + step.movement).flatten()[known] * math.log(2)
        # a logit is a sum over channels, of terms of either sign: their sizes add up to about √width times as much
        width = lens.sites[-1].width
        bound = rounding(torch.float64, width + before.shape[1], width**0.5 * (before.abs().max() + after.abs().max()))
        torch.testing.assert_close(total, slope, rtol=0, atol=bound)


@pytest.mark.parametrize("name", ["cifar-isotropic", "cifar-preresnet20", "cifar-resnet20", "gpt2", "predictive"])
def test_identity_translators_are_the_own_readout_bit_for_bit(name):
    network, batch = shipped(name, torch.float32)
    seen = trace(network, batch, gradients=False)
    partners = {"pairing": neighbours(tuple(seen.targets.shape), 32)}
    targets = ["label", "model"]
    own = steps(seen, targets, partners)
    through = steps(seen, targets, partners, lens=lens_of(network, seen, "logit"))
    assert own.keys() == through.keys() and len(own) > 6
    for key, step in own.items():
        assert all(torch.equal(getattr(step, f), getattr(through[key], f)) for f in FIELDS)
        assert step.block_gain is None
        if key[2] == "observed":
            assert torch.equal(through[key].block_gain, step.gain)


def ways(network: Network, seen: Trace, lens: Lens, number: int) -> dict[tuple[str, int], Step]:
    through = translators_at(seen, lens)
    found = prediction_steps(
        seen, through, {"": block_steps(seen, through), "merged": merged_steps(seen, through, number)}
    )
    return {(form, block): step for (form, block, _, null), step in found.items() if null == "observed"}


@pytest.mark.parametrize("name", NETWORKS)
def test_gains_telescope_over_depth(name):
    network, batch = shipped(name)
    seen = trace(network, batch, gradients=False)
    lens = lens_of(network, seen)
    first, last = (lens.read(seen, lens.sites[k].name) for k in (0, -1))
    gain, _ = gain_and_movement(first, last, seen.targets.flatten().clamp_min(0))
    found = ways(network, seen, lens, 2)
    blocks, both = (sum(s.gain for (form, _), s in found.items() if form == f) for f in ("", "merged"))
    known = seen.known
    whole = gain.reshape(known.shape)[known] / math.log(2)
    torch.testing.assert_close(both[known], whole, rtol=1e-9, atol=1e-9)
    bridges = any(a != b for a, b in zip(seen.before[1:], seen.after, strict=False))
    assert bridges == (name == "googlenet")
    assert torch.allclose(blocks[known], whole, rtol=1e-9, atol=1e-9) != bridges
    assert sorted(b for form, b in found if form == "merged")[-1] == len(network.blocks) - 1


class Carry(nn.Module):
    """Keeps the first answer: the state is stretched and a constant of this depth is added to it."""

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        self.constant = nn.Parameter(normal(width, 1, 1, seed=seed))

    def forward(self, h: Tensor) -> Tensor:
        return 1.5 * h + self.constant


def test_a_first_answer_carried_along_neither_moves_nor_gains_under_one_lens():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = oracles.Chain([Carry(5, k) for k in range(4)], nn.Linear(5, 4))
    network, n = oracles.opened(model), 400
    x = normal(n, 5, 1, 1)
    batch = Batch(x, model.head(x.mean((2, 3))).argmax(1), np.arange(1, n + 1, dtype=np.uint64) << np.uint64(8))
    found = closed_form_lens(network, fit_statistics(network, [batch]), "shared", {})
    seen = trace(network, batch, gradients=False)
    for step in steps(seen, shuffled=False, lens=found).values():
        assert step.gain.abs().max() < 1e-4 and step.movement.max() < 1e-8
    naive = steps(seen, shuffled=False)  # the own readout takes the stretching for news
    assert all(step.movement.mean() > 0.01 and step.gain.mean().abs() > 0.01 for step in naive.values())


def numbers(run, **chosen):
    table = run.table
    for column, value in chosen.items():
        table = table[table[column] == value]
    index = [
        "block_index",
        "measure",
        "statistic",
        "gradient",
        "update",
        "part",
        "form",
        "target",
        "subset",
        "null",
        "unit",
    ]
    return table.set_index(index)[["mean", "lo", "hi", "n_units", "reason"]].sort_index()


def agree(a, b) -> None:
    """The same rows; products are of tables of other sizes, so the last digits may differ."""
    assert a.index.equals(b.index) and a[["n_units", "reason"]].equals(b[["n_units", "reason"]])
    bound = rounding(torch.float32, 16 * 8 * 8)  # the largest state
    np.testing.assert_allclose(a[["mean", "lo", "hi"]], b[["mean", "lo", "hi"]], rtol=bound, atol=bound)


@pytest.mark.parametrize("kind", ["image", "token"])
def test_rows_through_a_lens_stand_beside_those_of_the_own_readout(kind):
    network, data = (resnet(), images(24)) if kind == "image" else (gpt2(), tokens(24))
    inputs = torch.stack([data[i][0] for i in range(2)])
    seen = trace(network, oracles.batch(inputs, torch.stack([torch.as_tensor(data[i][1]) for i in range(2)])))
    logit, affine = lens_of(network, seen, "logit", parts=True), lens_of(network, seen)
    plain = [Alignment(), Gain(), Prediction()]
    lensed = [p for l in (logit, affine) for p in (Alignment(lens=l), Gain(lens=l), Prediction(lens=l))]
    alone, both = (probed(network, data, probes=p) for p in (plain, [*plain, *lensed]))
    own = numbers(alone)
    agree(numbers(both, lens=""), own)
    # identities: what the own readout gives, wherever it gives a number
    through = numbers(both, lens="logit")
    same = own[own["mean"].notna() & own.index.isin(through.index)]
    assert len(same) > 80
    agree(through.loc[same.index], same)
    kinds = set(same.index.get_level_values("measure"))
    assert {"alignment", "first_order_gain", "realised_gain", "efficiency"} <= kinds  # nulls stand at merged steps
    # random translators: numbers at every block, other ones
    found = numbers(both, lens="affine")
    for measure in ("efficiency", "prediction_gain", "prediction_movement", "lens_change_gain"):
        rows = found.xs(measure, level="measure").query("form == '' and null == 'observed'")
        assert len(rows) == len(network.blocks)
        blank = (rows["mean"].isna()).sum()
        assert blank == (2 if measure == "lens_change_gain" and kind == "image" else 0)
        assert (rows["reason"] != "").sum() == blank
    for measure in ("alignment", "first_order_gain"):
        rows = found.xs(measure, level="measure").query(
            "statistic == 'mean' and null == 'observed' and subset == 'all'"
        )
        rows = rows.query("update == 'update' and form in ('raw', '')")
        assert rows["mean"].isna().sum() == (2 if kind == "image" else 0) and len(rows) == len(network.blocks)
    assert not same["mean"].equals(found["mean"].reindex(same.index))
    merged_to = f"merged to {min(6, len(network.blocks))}"
    assert set(found.index.get_level_values("form")) >= {"", merged_to}


def test_parts_of_the_gain_add_up_and_steps_are_merged_in_the_table():
    network, data = resnet(), images(24)
    seen = trace(network, oracles.batch(data.inputs[:2], data.targets[:2]))
    run = probed(network, data, probes=[Prediction(lens=lens_of(network, seen), merge=2, name="mine")])
    found = numbers(run, lens="mine", null="observed")["mean"]
    gain, block, change = (found.xs(m, level="measure") for m in ("prediction_gain", "block_gain", "lens_change_gain"))
    both = (block + change).dropna()
    assert len(both) == 4  # of 6 blocks; both merged steps change the width
    np.testing.assert_allclose(both, gain.loc[both.index], rtol=1e-9)
    merged_rows = gain[gain.index.get_level_values("form") == "merged to 2"]
    assert list(merged_rows.index.get_level_values("block_index")) == [3, 6]
    fine = gain[gain.index.get_level_values("form") == ""]
    np.testing.assert_allclose(merged_rows, [fine.iloc[:3].sum(), fine.iloc[3:].sum()], rtol=1e-9)
    # every unit has a partner, so the effect is of the same units
    for measure in ("prediction_gain", "prediction_movement", "efficiency"):
        seen_, null, effect = (
            numbers(run, measure=m, null=n, form="merged to 2")["mean"].to_numpy()
            for m, n in ((measure, "observed"), (measure, "pairing"), (f"{measure}_effect", "pairing"))
        )
        assert len(effect) == 2 and len(numbers(run, measure=measure, null="pairing", form="")) == 6
        assert numbers(run, measure=measure, null="same-target", form="").empty
        np.testing.assert_allclose(effect, seen_ - null, rtol=1e-9, atol=1e-12)


def test_splits_are_by_what_the_lens_says_before_the_block():
    network, data = resnet(), images(24)
    seen = trace(network, oracles.batch(data.inputs, data.targets))
    lens = lens_of(network, seen)
    probes = [Alignment(gradients=["readout"], forms=["raw"], lens=lens), Gain(gradients=["readout"], lens=lens)]
    run, said = probed(network, data, probes=probes), read(seen, lens=lens)
    for measure in ("alignment", "first_order_gain"):
        rows = numbers(run, measure=measure, subset="right before", update="update")["n_units"]
        right = [int((said[b].answer == seen.targets).sum()) for b in seen.before]
        assert len(set(right)) > 2
        assert dict(zip(rows.index.get_level_values("block_index"), rows, strict=True)) == {
            b + 1: right[b] for b in (0, 1, 3, 5)
        }


@pytest.mark.parametrize("name", ["cifar-resnet20", "cifar-preresnet20", "gpt2"])
@pytest.mark.parametrize("target", ["label", "answer", "model"])
def test_the_readout_gradient_through_a_lens(name, target):
    network, batch = shipped(name)
    seen = trace(network, batch, ["label", "answer"])
    lens = lens_of(network, seen, parts=True)
    found = read(seen, [target], lens=lens)
    assert found.keys() == {p.id for p in lens.sites}
    known = seen.known.flatten()
    own = network.readout(network.per_prediction(seen.states[-1])).softmax(1).detach()
    goal = {"label": seen.targets, "answer": seen.answer}.get(target)
    for place, translator in zip(lens.sites, lens.translators, strict=True):
        if isinstance(place.id, tuple):
            block, part = place.id
            assert part == "mlp"
            state = seen.states[seen.before[block]] + seen.parts[block]["attention"]
        else:
            state = seen.states[place.id]
        leaf = state.clone().requires_grad_()
        log = by_hand(network, leaf, translator).log_softmax(1)
        losses = -(own * log).sum(1) if goal is None else -log.gather(1, goal.flatten().clamp_min(0)[:, None])[:, 0]
        label_losses = -log.gather(1, seen.targets.flatten().clamp_min(0)[:, None])[:, 0]
        readout = found[place.id]
        torch.testing.assert_close(readout.loss.flatten()[known], label_losses[known].detach(), rtol=1e-8, atol=1e-9)
        assert torch.equal(readout.answer.flatten(), log.argmax(1))
        if place.id == len(seen.states) - 1:
            assert not readout.gradients
            continue
        (gradient,) = torch.autograd.grad(losses[known].sum(), leaf)
        direction, norm = readout.gradients[target]
        assert direction.shape == state.shape
        scale = norm.unsqueeze(2) if network.unit == "token" else norm[:, :, None, None]
        torch.testing.assert_close(direction * scale, gradient, rtol=1e-7, atol=1e-10)


def test_the_unexplained_gain_through_a_lens_is_the_curvature_of_the_step():
    """For blocks scaled down, realised and first-order gain agree to second order."""
    rests = []
    for size in (1e-2, 1e-3):
        network = oracles.smooth()
        with torch.no_grad():
            for block in network.model.blocks:
                for p in block.branch[2].parameters():
                    p.mul_(size)
        batch = oracles.smooth_batch(24)
        seen = trace(network, batch)
        data = images(24)
        data.inputs, data.targets = batch.inputs, batch.targets
        run = probed(network, data, probes=[Gain(lens=lens_of(network, seen), nulls=())])
        found = numbers(run, lens="affine", statistic="mean", subset="all", update="update")["mean"]
        first, whole, rest = (
            found.xs(m, level="measure").to_numpy() for m in ("first_order_gain", "realised_gain", "unexplained_gain")
        )
        np.testing.assert_allclose(rest, whole - first, rtol=1e-6, atol=1e-12)
        assert len(rest) == 4 and (np.abs(rest) < size * np.abs(whole).max() * 10).all()
        rests.append(rest)
    np.testing.assert_allclose(rests[0] / rests[1], 100, rtol=0.2)


def test_every_block_of_inception_has_an_efficiency_through_a_lens():
    network, batch = shipped("googlenet")
    data = images(16, side=48)
    data.inputs = data.inputs.double()
    seen = trace(network, batch)
    run = probed(network, data, probes=[Prediction(lens=lens_of(network, seen))])
    rows = numbers(run, measure="efficiency", null="observed", lens="affine")["mean"]
    fine = rows[rows.index.get_level_values("form") == ""]
    assert len(fine) == 9 and fine.between(-1, 1).all()
    coarse = rows[rows.index.get_level_values("form") == "merged to 6"]
    assert len(coarse) == 6 and coarse.between(-1, 1).all()
    shuffled = numbers(run, measure="efficiency", null="order-shuffled", lens="affine")["mean"]
    assert set(shuffled.index.get_level_values("form")) == {"merged to 6"}  # bridges stand between the blocks
    assert shuffled.notna().all() and not np.allclose(shuffled, coarse)


def test_untrained_networks_are_measured_without_the_lens():
    network, data = resnet(), images(24)
    seen = trace(network, oracles.batch(data.inputs[:2], data.targets[:2]))
    lens = lens_of(network, seen)
    table = probed(network, data, probes=[Alignment(lens=lens), Prediction(), Prediction(lens=lens)], untrained=1).table
    fresh = table[table["null"] == "untrained"]
    assert set(fresh.lens) == {""} and {"alignment", "efficiency"} <= set(fresh.measure)
    assert not set(fresh.gradient) & {"readout"}


def test_a_probes_repr_is_short_and_knows_its_lens():
    assert repr(Prediction()) == ("Prediction(targets=('label',), nulls=('pairing', 'same-target', 'order-shuffled'))")
    assert repr(Gain()) == ("Gain(gradients=('input', 'output', 'readout'), targets=('label',), nulls=('pairing',))")
    assert "lens" not in repr(Alignment())
    network, batch = shipped("cifar-isotropic")
    seen = trace(network, batch, gradients=False)
    for probe in (Alignment, Gain, Prediction):
        lens, other = lens_of(network, seen), lens_of(network, seen)
        said = repr(probe(lens=lens))
        assert "lens=affine " in said and len(said) < 250
        assert said == repr(probe(lens=other)) != repr(probe(lens=lens_of(network, seen, "logit")))
        assert said != repr(probe(lens=lens, name="mine"))
        with torch.no_grad():
            other.translators[1].bias[0] += 1e-3
        assert said != repr(probe(lens=other))


def test_mistakes_are_named():
    network, data = gpt2(), tokens(24)
    seen = trace(network, oracles.batch(data.inputs[:2], data.targets[:2]))
    lens = lens_of(network, seen)
    with pytest.raises(ItinfError, match="merge is 0; expected a whole number of at least 1"):
        Prediction(lens=lens, merge=0)
    with pytest.raises(ItinfError, match=r"Two lenses are called 'affine'.*Gain\(lens=…, name=…\)"):
        probed(network, data, probes=[Prediction(lens=lens), Gain(lens=lens_of(network, seen))])
    trained = replace(network, weights="as given")
    foreign = replace(lens, record={"network": "another", "readout": "1234"})
    with pytest.raises(ItinfError, match=r"affine lens of another was fitted on another readout.*1234.*torch.float32"):
        probed(trained, data, probes=[Prediction(lens=foreign)])
    # random weights may be those of an untrained network: no number, and the reason
    run = probed(network, data, probes=[Prediction(lens=foreign), Alignment(lens=foreign), Gain(lens=foreign)])
    rows = run.table[run.table.lens == "affine"]
    assert set(rows.measure) == {"efficiency", "alignment", "first_order_gain"}
    assert set(rows.reason) == {"the lens was fitted on another readout"} and rows["mean"].isna().all()
    other, batch = shipped("gpt2")
    with pytest.raises(ItinfError, match=r"does not fit gpt2: there is no state|does not fit .* wide, not"):
        steps(seen, lens=lens_of(other, trace(other, batch)))
    wide = replace(lens, sites=[replace(p, width=p.width + 1) for p in lens.sites])
    with pytest.raises(ItinfError, match="is 32 wide, not 33"):
        steps(seen, lens=wide)


def test_a_state_without_a_translator_has_no_number_and_says_so():
    network, data = gpt2(), tokens(24)
    seen = trace(network, oracles.batch(data.inputs[:2], data.targets[:2]))
    lens = lens_of(network, seen)
    lens.translators = [None, *lens.translators[1:]]
    run = probed(network, data, probes=[Prediction(lens=lens), Gain(gradients=["readout"], lens=lens)])
    found = numbers(run, lens="affine", null="observed", block_index=1)
    assert set(found.xs("efficiency", level="measure")["reason"]) == {"the lens has no translator for both states"}
    assert set(found.xs("realised_gain", level="measure")["reason"]) == {"the lens has no translator for the state"}
    assert numbers(run, lens="affine", null="observed", block_index=2, measure="efficiency")["mean"].notna().all()
