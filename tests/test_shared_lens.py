"""The shared lens against least squares on pooled depths, and networks on which one lens must or must not do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itinf.lenses.fit_statistics import FitStatistics
from itinf.lenses.moments import Moments
from itinf.lenses.shared import shared, shared_maps
from itinf.lenses.transfer.cells import LEFT_OUT, ROTATED, SHARED
from itinf.networks.gauge import random_rotation
from itinf.networks.states import Site
from lens_oracles import CLASSES, case, evidence, labelled, starts
from oracles import generator, normal


def depths(count=4, n=60, width=5, target=5, seed=0):
    """(x, y) of every depth; the last x is y where widths agree. Numbers of units differ, as those of positions do."""
    y = normal(n, target, seed=seed) + 1
    last = y if width == target else normal(n, width, seed=seed + 50)
    xs = [last @ normal(width, width, seed=seed + k) + normal(n, width, seed=seed + 10 + k) for k in range(count - 1)]
    pairs = [(3.0**k * x + k, y) for k, x in enumerate(xs)] + [(last, y)]
    return [(x[: n - 7 * k], y[: n - 7 * k]) for k, (x, y) in enumerate(reversed(pairs))][::-1]


def moments(pairs):
    return [Moments.of(x, y) for x, y in pairs]


def nothing(pairs):
    return [Moments.none(x.shape[1], y.shape[1]) for x, y in pairs]


def pooled(pairs, left_out, turns=None):
    """Fits on vectors of all depths but one, every depth weighing the same; a function of vectors of any depth."""
    means, scales = [x.mean(0) for x, _ in pairs], [x.var(0, correction=0).mean().sqrt() for x, _ in pairs]
    turns = turns or [torch.eye(x.shape[1], dtype=torch.float64) for x, _ in pairs]

    def standard(k, x):
        return (x - means[k]) / scales[k] @ turns[k].T

    rows, goals = [], []
    for k, (x, y) in enumerate(pairs):
        if k != left_out:
            ones = torch.ones(len(x), 1, dtype=torch.float64)
            rows.append(torch.cat([standard(k, x), ones], 1) / len(x) ** 0.5)
            goals.append(y / len(x) ** 0.5)
    found = torch.linalg.lstsq(torch.cat(rows), torch.cat(goals)).solution
    return lambda k, x: standard(k, x) @ found[:-1] + found[-1]


@given(st.integers(2, 5), st.sampled_from([5, 3]), st.booleans(), st.booleans(), st.integers(0, 40))
@settings(deadline=None, max_examples=40)
def test_least_squares_on_the_pooled_depths(count, target, leave_out, turned, seed):
    pairs = depths(count, target=target, seed=seed)
    turns = [random_rotation(5, seed + k) for k in range(count)] if turned else None
    maps = shared(moments(pairs), nothing(pairs), leave_out, turns)
    for k, ((matrix, bias), (x, _)) in enumerate(zip(maps, pairs, strict=True)):
        wanted = pooled(pairs, k if leave_out else None, turns)
        torch.testing.assert_close(x @ matrix.T + bias, wanted(k, x), rtol=1e-8, atol=1e-8)


@given(st.integers(0, 3), st.floats(1e-3, 1e3), st.booleans())
@settings(deadline=None, max_examples=20)
def test_size_and_place_of_a_depth_do_not_matter(which, scale, leave_out):
    pairs = depths()
    moved = [(scale * x + 5 if k == which else x, y) for k, (x, y) in enumerate(pairs)]
    here, there = (shared(moments(p), nothing(p), leave_out) for p in (pairs, moved))
    for k in range(4):
        (a, b), (c, d) = here[k], there[k]
        torch.testing.assert_close(pairs[k][0] @ a.T + b, moved[k][0] @ c.T + d, rtol=1e-6, atol=1e-6)


def test_what_is_left_out_does_not_count():
    pairs = depths()
    other = [(normal(*x.shape, seed=9) if k == 1 else x, y) for k, (x, y) in enumerate(pairs)]

    def inner(p, leave_out):  # on standardised vectors, which are the depth's own
        (matrix, _), x = shared(moments(p), nothing(p), leave_out)[1], p[1][0]
        return matrix * x.var(0, correction=0).mean().sqrt()

    torch.testing.assert_close(inner(pairs, True), inner(other, True))
    assert (inner(pairs, False) - inner(other, False)).norm() > 0.05


def test_a_constant_depth_reads_the_mean_and_disturbs_none():
    pairs = depths()
    still = torch.full_like(pairs[0][0], 0.1)
    pairs[0] = still, pairs[0][1]
    maps = shared(moments(pairs), nothing(pairs), True)
    means = torch.stack([y.mean(0) for _, y in pairs[1:]]).mean(0)
    torch.testing.assert_close(still[0] @ maps[0][0].T + maps[0][1], means)
    alone = shared(moments(pairs[1:]), nothing(pairs[1:]), True)
    for with_it, without in zip(maps[1:], alone, strict=True):  # its vectors are 0 and say nothing of slopes
        torch.testing.assert_close(with_it[0], without[0], rtol=1e-2, atol=1e-2)


def test_a_rotation_turns_and_nothing_else():
    found = [random_rotation(6, seed) for seed in range(200)]
    eye = torch.eye(6, dtype=torch.float64)
    assert all((q @ q.T - eye).abs().max() < 1e-12 for q in found)
    assert torch.equal(random_rotation(6, 3), found[3])
    # uniform: first and second moments of every entry, 200 draws of variance 1/6
    stacked = torch.stack(found)
    assert stacked.mean(0).abs().max() < 5 * (6 * 200) ** -0.5
    assert (stacked.square().mean(0) - 1 / 6).abs().max() < 0.1


def test_a_segment_of_its_own_has_nothing_left_to_be_fitted_on():
    pairs = [*depths(3), (normal(60, 4, seed=3), depths(3)[-1][1])]
    found = FitStatistics(
        [Site(str(k), k, x.shape[1], int(k == 3), k / 3) for k, (x, _) in enumerate(pairs)],
        moments(pairs),
        nothing(pairs),
    )
    maps = shared_maps(found, leave_out=True)
    assert torch.equal(maps[3][0], torch.zeros(5, 4)) and torch.allclose(maps[3][1], pairs[3][1].mean(0))
    for a, b in zip(maps[:3], shared(moments(pairs[:3]), nothing(pairs[:3]), True), strict=True):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    turned = shared_maps(found, leave_out=True, rotated=1)
    assert (turned[0][0] - maps[0][0]).norm() > 0.1
    assert torch.equal(turned[0][0], shared_maps(found, leave_out=True, rotated=1)[0][0])


# networks whose answers are known (MEASURES.md, identity 13)


def nothing_is_kept(judged, lens, slack):
    for j in range(len(judged.grid.sites)):
        row = judged.row("retention", lens, j)
        assert row.lo - slack <= 0 <= row.hi + slack and row["mean"] < 0.1


def test_depths_in_subspaces_of_their_own_share_no_code():
    judged = case("subspaces")
    nothing_is_kept(judged, LEFT_OUT, 0.01)
    # the last state included: a map that keeps what it never saw would read it by the identity
    assert judged.row("retention", LEFT_OUT, 3)["mean"] < 0.01
    # fitted with the depth, one lens reads everything, by its capacity alone
    assert (judged.along("retention", SHARED) > 0.99).all()


@pytest.mark.parametrize(("name", "slack"), [("shifting", 0.01), ("turning", 0.05)])
def test_depths_turned_afresh_share_no_code(name, slack):
    judged = case(name)  # random turns of 64 dimensions overlap by chance, shifted groups do not
    nothing_is_kept(judged, LEFT_OUT, slack)
    assert (judged.along("raw_retention", LEFT_OUT) < 0).all()
    assert (judged.along("retention", SHARED) > 0.15).all()  # what the naive definition says


def test_descent_towards_its_own_posterior_is_read_by_one_lens():
    judged = case("descending")
    assert torch.isnan(judged.along("retention", LEFT_OUT)[0])  # the start tells nothing
    assert (judged.along("retention", LEFT_OUT)[1:] > 0.9).all()
    assert (judged.along("retention", LEFT_OUT, null=ROTATED)[1:] < 0.6).all()


def test_an_answer_carried_along_is_kept_without_gain():
    judged = case("carrying")
    torch.testing.assert_close(judged.along("retention", LEFT_OUT), torch.ones(4), rtol=0, atol=1e-3, check_dtype=False)
    for lens in (LEFT_OUT, SHARED):  # retention alone would call this inference
        assert judged.along("lens_loss", lens).diff().abs().max() < 1e-3
    assert judged.along("lens_loss", LEFT_OUT)[0] < judged.row("lens_loss", "logit", 3)["mean"] + 1e-3


def states(judged, items):
    """h_l of every item, (N, D), by plain calls."""
    inputs = torch.stack([x for x, _ in items])
    model = judged.network.model
    h, *fed = inputs.split(model.head.in_features, 1)
    found = [h]
    for place, block in enumerate(model.blocks):
        found.append(block(found[-1], fed[place if model.own else 0]))
    return [x.flatten(1) for x in found], torch.tensor([label for _, label in items])


def partners(labels, same):
    """For every unit another one, of its class or of any."""
    draw, other = generator(5), torch.empty_like(labels)
    for label in range(CLASSES):
        members = (labels == label).nonzero()[:, 0] if same else torch.arange(len(labels))
        members = members[torch.randperm(len(members), generator=draw)]
        other[members] = members.roll(1)
    return other


def gains(name, items):
    """By block: a unit's gain under the shared lens, and that with the update of a partner: of its class, of any."""
    judged = case(name)
    shared_reads = [r for r in judged.grid.cells if r.lens == SHARED]
    h, labels = states(judged, items)

    def loss(l, state):
        z = judged.network.head(shared_reads[l].translator(state))
        return torch.nn.functional.cross_entropy(z, labels, reduction="none").detach()

    for l in range(1, len(h)):
        before, update = loss(l - 1, h[l - 1]), h[l] - h[l - 1]
        given = (update, update[partners(labels, True)], update[partners(labels, False)])
        yield [before - loss(l, h[l - 1] + d) for d in given]


def sigmas(values):
    return float(values.mean() / values.std() * len(values) ** 0.5)


def test_independent_evidence_gains_no_more_than_another_of_its_class():
    for own, same, any_other in gains("gathering", evidence(4000, 3, 5)):
        assert sigmas(own) > 5
        assert sigmas(own - any_other) > 10  # the usual null would call this an answer to the unit's error
        assert abs(sigmas(own - same)) < 4


def test_descent_gains_more_than_another_of_its_class():
    network = case("descending").network
    items = labelled(network, starts(4000, network.model.head.in_features, 5), 5)
    own, same, _ = next(iter(gains("descending", items)))
    assert sigmas(own) > 5 and sigmas(own - same) > 5
