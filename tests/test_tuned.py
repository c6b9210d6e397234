"""The tuned lens: its gradient by brute force, its score, its start kept where nothing is gained."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import itinf
import tiny
from itinf.data.clusters import keyed_order, load_batch
from itinf.data.dataset import IGNORED
from itinf.errors import ItinfError
from itinf.lenses import tuned
from itinf.lenses.fit import fit
from itinf.lenses.fit_statistics import is_held_out
from itinf.lenses.kfac import KFAC
from itinf.lenses.tuned import Recipe, tune
from itinf.networks import readout, trace
from itinf.networks.readout import vectors
from tolerance import rounding

SHORT = Recipe(passes=4, units=64, rate=0.1)


def preresnet():
    """Its neck stands before the pool, so lenses read positions."""
    return itinf.network("cifar-preresnet8", weights="random:1")


CASES = {
    "tokens": (tiny.gpt2, lambda: tiny.tokens(60)),
    "pooled images, three widths": (tiny.resnet, lambda: tiny.images(400)),
    "positions": (preresnet, lambda: tiny.images(180)),
}


@pytest.fixture(params=CASES)
def case(request):
    make, data = CASES[request.param]
    return make(), data()


def held_out_kl(network, data, lens, clusters=None, seed=0):
    """Mean KL(final ‖ lens) at every place, nats, in float64 from whole logits."""
    order = keyed_order(data, clusters, seed)
    held = is_held_out(order.keys)
    batch = load_batch(data, order.indices[held], order.keys[held])
    seen = trace.trace(network, batch, gradients=False)
    known = (seen.targets != IGNORED).flatten()
    with torch.no_grad():
        final = network.readout(network.per_prediction(seen.states[-1]))[known].double().log_softmax(1)
    found = []
    for place, translator in zip(lens.sites, lens.translators, strict=True):
        if translator is None:
            found.append(None)
            continue
        read = lens.read(seen, place.name)[known].double().log_softmax(1)
        found.append(float((final.exp() * (final - read)).sum(1).mean()))
    return found


def slack(lens):
    """What rounding does to a recorded KL, which is taken in float32 and comes out on either side of 0.

    The logarithm of a sum of exponentials is off by the sum's relative error, and there is a term for every class.
    """
    return rounding(torch.float32, len(lens.log_prior))


def test_scores_are_those_of_the_lens_and_never_worse_than_the_start(case):
    network, data = case
    lens = fit(network, data, "tuned", recipe=SHORT)
    start = fit(network, data, "affine")
    assert lens.kind == "tuned" and lens.statistics is not None and lens.sites == start.sites
    assert lens.record["kl"] == pytest.approx(held_out_kl(network, data, lens), rel=1e-4, abs=slack(lens))
    assert lens.record["start_kl"] == pytest.approx(held_out_kl(network, data, start), rel=1e-4, abs=slack(lens))
    pairs = list(zip(lens.record["kl"], lens.record["start_kl"], strict=True))
    assert all(kl <= before for kl, before in pairs)
    assert any(kl < 0.99 * before for kl, before in pairs)
    # the last state reads the final distribution itself
    assert pairs[-1][0] == pairs[-1][1] and abs(pairs[-1][0]) < slack(lens)
    assert all(p.dtype == torch.float32 for t in lens.translators for p in t.parameters())


def test_the_network_is_left_as_it_was():
    network, data = tiny.gpt2(), tiny.tokens(60)
    before = {name: value.clone() for name, value in network.model.state_dict().items()}
    fit(network, data, "tuned", recipe=SHORT)
    assert all(torch.equal(before[name], value) for name, value in network.model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in network.model.parameters())


@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-4), ("bfloat16", rounding(torch.bfloat16, 6))])
def test_the_gradient_is_that_of_the_mean_kl(monkeypatch, precision, tolerance):
    """In bfloat16 a vector, a weight and a product are rounded on the way to the logits, and three on the way back."""
    network, data = tiny.gpt2(), tiny.tokens(20)
    lens = fit(network, data, "affine")
    reader = tuned._ClusterReader(
        network, data, keyed_order(data, None, 0), lens.sites, Recipe(precision=precision), 20
    )
    states = reader.states(next(reader.batches(np.arange(20))))
    learner = KFAC(lens.translators[1], lens.statistics.fitted[1].mean, network.device)
    learner.weight.normal_(0, 0.01, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(readout, "CHUNK_BYTES", 4 * 61 * 7)  # 7 units at a time
    tuned._add_gradient(reader, [(1, learner)], states)

    weight, bias = (x.clone().requires_grad_() for x in (learner.weight, learner.bias))
    final = network.readout(states[-1]).log_softmax(1).detach()
    start = lens.translators[1](states[1]).detach()
    mine = network.readout(start + (states[1] - learner.mean) @ weight.T + bias).log_softmax(1)
    kl = (final.exp() * (final - mine)).sum(1).mean()
    wanted = torch.autograd.grad(kl, [weight, bias])
    for found, right in zip(learner.gradient, wanted, strict=True):
        assert (found - right).norm() < tolerance * right.norm()


def test_the_curvature_is_that_of_targets_drawn_from_the_final_distribution(monkeypatch):
    """Against the sum over all targets; drawing them leaves noise only, by the seed 0.07 to 0.13 of it."""
    network, data = tiny.gpt2(), tiny.tokens(400)
    lens = fit(network, data, "affine")
    reader = tuned._ClusterReader(network, data, keyed_order(data, None, 0), lens.sites, Recipe(), 400)
    states = reader.states(next(reader.batches(np.arange(400))))
    learner = KFAC(lens.translators[1], lens.statistics.fitted[1].mean, network.device)
    monkeypatch.setattr(tuned, "CURVATURE_UNITS", 10**6)
    tuned._add_curvature(reader, [(1, learner)], states, seed=0)

    y = learner(states[1]).requires_grad_()
    log, final = network.readout(y).log_softmax(1), network.readout(states[-1]).softmax(1).detach()
    wanted = torch.zeros_like(learner.curvature[0])
    for target in range(log.shape[1]):
        (slope,) = torch.autograd.grad(log[:, target].sum(), y, retain_graph=True)
        wanted += (slope * final[:, [target]]).T @ slope / len(y)
    assert (learner.curvature[0] - wanted).norm() < 0.25 * wanted.norm()
    torch.testing.assert_close(learner.curvature[1], torch.cov(states[1].T, correction=0), rtol=0.2, atol=0.1)


def test_few_logits_exist_at_once(monkeypatch):
    network, data = tiny.gpt2(), tiny.tokens(60)
    network.proven = True  # proofs read all logits of a few clusters
    rows = []
    hook = network.head.register_forward_hook(lambda module, args, out: rows.append(len(args[0].flatten(0, -2))))
    monkeypatch.setattr(readout, "CHUNK_BYTES", 4 * 61 * 7)
    tune(network, data, fit(network, data, "affine"), SHORT)
    hook.remove()
    assert max(rows) == 7


def test_steps_take_the_units_asked_for_or_fewer(monkeypatch):
    network, data, sizes = tiny.gpt2(), tiny.tokens(200), []
    start, add = fit(network, data, "affine"), KFAC.add_gradient
    fitted = int((~is_held_out(keyed_order(data, None, 0).keys)).sum()) * tiny.SEQUENCE
    monkeypatch.setattr(KFAC, "add_gradient", lambda self, x, slope: (sizes.append(len(x)), add(self, x, slope)))
    for units, steps in ((10, fitted / 10), (512, tuned.FEWEST_STEPS)):
        sizes.clear()
        tune(network, data, start, Recipe(units=units))
        assert sum(sizes) == 2 * fitted and max(sizes) - min(sizes) <= 1
        assert len(sizes) / 2 == pytest.approx(steps, rel=0.05)


def test_chunks_change_nothing(monkeypatch):
    network, data = tiny.gpt2(), tiny.tokens(60)
    whole = fit(network, data, "tuned", recipe=SHORT)
    monkeypatch.setattr(readout, "CHUNK_BYTES", 4 * 61 * 7)
    parts = fit(network, data, "tuned", recipe=SHORT)
    assert parts.record["kl"] == pytest.approx(whole.record["kl"], rel=1e-3, abs=slack(whole))


def test_the_seed_decides_everything():
    network, data = tiny.gpt2(), tiny.tokens(60)
    start = fit(network, data, "affine")
    one, same, other = (tune(network, data, start, SHORT, seed=seed) for seed in (0, 0, 1))
    torch.manual_seed(5)
    assert [t.weight.tolist() for t in one.translators] == [t.weight.tolist() for t in same.translators]
    assert not torch.equal(one.translators[0].weight, other.translators[0].weight)


def test_no_step_leaves_the_logit_lens_bit_for_bit():
    network, data = tiny.gpt2(), tiny.tokens(60)
    lens = tune(network, data, fit(network, data, "logit"), Recipe(passes=0))
    seen = trace.trace(network, load_batch(data, range(10)), gradients=False)
    for place in lens.sites:
        with torch.no_grad():
            logits = network.readout(vectors(network, seen.state(place.id)))
        assert torch.equal(lens.read(seen, place.name), logits)


def test_steps_that_help_nowhere_leave_the_start():
    network, data = tiny.gpt2(), tiny.tokens(60)
    start = fit(network, data, "affine")
    lens = tune(network, data, start, dataclasses.replace(SHORT, rate=1e4))
    assert all(ours is theirs for ours, theirs in zip(lens.translators, start.translators, strict=True))
    assert lens.record["kl"] == lens.record["start_kl"]


def test_held_out_clusters_teach_nothing(monkeypatch):
    network, data = tiny.gpt2(), tiny.tokens(60)
    start = fit(network, data, "affine")
    monkeypatch.setattr(tuned, "SHARES", (1.0,))  # what was learned, whether it helps or not
    order, learned = keyed_order(data, None, 0), []
    held = is_held_out(order.keys)
    for clusters in (order.indices[:0], order.indices[held], order.indices[~held][:1]):
        inputs = data.inputs.clone()
        inputs[clusters] = (inputs[clusters] + 1) % tiny.VOCABULARY
        changed = tune(network, tiny.Items("token", inputs, data.targets), start, SHORT)
        learned.append(changed.translators[0].weight)
    assert torch.equal(learned[0], learned[1]) and not torch.equal(learned[0], learned[2])


def test_a_lens_that_exists_is_found():
    """The only block is a linear map, so a translator reads the final distribution without loss."""
    torch.manual_seed(0)
    width, classes = 6, 5
    model = nn.Sequential(nn.Embedding(40, width), nn.Linear(width, width), nn.Linear(width, classes))
    blocks = [itinf.Block("1")]
    run = lambda model, ids: model[1](model[0](ids))  # noqa: E731
    network = itinf.Network(model, blocks, "n t c", model[2], "token", trunk=run)
    draw = torch.Generator().manual_seed(1)
    data = [(torch.randint(40, (8,), generator=draw), torch.randint(classes, (8,), generator=draw)) for _ in range(60)]
    data = itinf.data.items.as_data(data, "token")
    start = fit(network, data, "logit")
    lens = tune(network, data, start, Recipe(passes=30, units=64, rate=0.1))
    assert lens.record["start_kl"][0] > 0.05
    assert held_out_kl(network, data, lens)[0] < 1e-3 * lens.record["start_kl"][0]
    assert abs(lens.record["kl"][0]) < 1e-3 * lens.record["start_kl"][0]
    found = tune(network, data, fit(network, data, "affine"), SHORT)  # without loss from the start, and left so
    # taken in float64 it is half the square of what rounding does to float32 logits, two products of terms below 4
    assert held_out_kl(network, data, found)[0] < rounding(torch.float32, 2 * width, 4.0) ** 2
    assert abs(found.record["kl"][0]) < slack(found) < 1e-4 * lens.record["start_kl"][0]


def test_units_without_a_target_are_not_read():
    network, data = tiny.gpt2(), tiny.tokens(60)
    short = tiny.Items("token", data.inputs[:, :4], data.targets[:, :4])
    data.targets = data.targets.clone()  # they share memory with the inputs
    data.targets[:, 4:] = IGNORED
    whole, cut = (fit(network, d, "tuned", recipe=SHORT) for d in (data, short))
    assert whole.record["kl"] == pytest.approx(cut.record["kl"], rel=1e-3, abs=slack(cut))


def test_products_in_bfloat16_find_nearly_the_same():
    network, data = tiny.gpt2(), tiny.tokens(60)
    exact, rough = (fit(network, data, "tuned", recipe=Recipe(4, 64, precision=p)) for p in tuned.PRECISIONS)
    assert not torch.equal(exact.translators[0].weight, rough.translators[0].weight)
    assert rough.record["kl"] == pytest.approx(exact.record["kl"], rel=0.05, abs=slack(exact))
    assert rough.record["start_kl"] == exact.record["start_kl"]  # scores are exact


def test_states_that_the_readout_does_not_fit_stay_unread():
    network, data = tiny.resnet(), tiny.images(300)
    lens = tune(network, data, fit(network, data, "logit"), Recipe(passes=1))
    missing = [place.width != lens.sites[-1].width for place in lens.sites]
    assert any(missing) and [t is None for t in lens.translators] == missing
    assert [kl is None for kl in lens.record["kl"]] == missing


def test_progress_is_told():
    network, data, told = tiny.gpt2(), tiny.tokens(60), []
    start = fit(network, data, "affine")
    tune(network, data, start, Recipe(passes=2), batch=16, progress=lambda *one: told.append(one))
    held = int(is_held_out(keyed_order(data, None, 0).keys).sum())
    for stage, total in (("tuning", 2 * (60 - held)), ("scoring", held)):
        done = [d for s, d, t in told if s == stage and t == total]
        assert done == sorted(done) and done[0] == 0 and done[-1] == total
    assert len(told) == sum(t[0] in ("tuning", "scoring") for t in told)


def test_mistakes_are_explained():
    network, data = tiny.gpt2(), tiny.tokens(60)
    start = fit(network, data, "affine")
    with pytest.raises(ItinfError, match="read from a file has no statistics"):
        tune(network, data, dataclasses.replace(start, statistics=None), SHORT)
    with pytest.raises(ItinfError, match=r"of 1 clusters [01] are held out"):
        tune(network, data, start, SHORT, clusters=1)
    for wrong in ({"passes": -1}, {"units": 0}, {"rate": 0}, {"rate": float("nan")}, {"precision": "float16"}):
        with pytest.raises(ItinfError, match=f"{next(iter(wrong))} is .*; expected"):
            Recipe(**wrong)
    with pytest.raises(ItinfError, match="only tuned lenses follow one"):
        fit(network, data, "affine", recipe=SHORT)
    with pytest.raises(ItinfError, match=r"no lens of kind 'tunned'. Did you mean tuned"):
        fit(network, data, "tunned")
    with pytest.raises(ItinfError, match="cannot fit a translator"):
        fit(network, tiny.tokens(8), "tuned")
