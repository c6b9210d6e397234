"""The distribution probe against its identity, exact posteriors, temperatures found by a search, and readings by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

import itinf
from itinf import registry, trace
from itinf.lenses.fit import fit
from itinf.lenses.lens import translators_at
from itinf.lenses.translator import translated_logits
from itinf.networks.trace import Trace
from itinf.probes.batch import ProbeBatch
from itinf.probes.calibration import Calibration
from itinf.probes.distribution import BEST
from itinf.studies.compare import study_probes
from lens_oracles import fed, pixels, reads
from measured import measure, view
from oracles import generator, normal
from shipped import shipped
from tiny import GROUP, gpt2, images, resnet, tokens

CLASSES, VALUES, VARIABLES = 6, 4, 5
PROBE = itinf.Distribution()
Items = list[tuple[Tensor, int]]


def evidence(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Labels, and what each of ``VARIABLES`` says of them: (count, VARIABLES, CLASSES) log-likelihoods, up to a constant."""
    labels = torch.randint(CLASSES, (count,), generator=generator(seed))
    likelihood = (normal(VARIABLES, CLASSES, VALUES, seed=77)).softmax(2)
    seen = [
        torch.multinomial(table[labels], 1, generator=generator(seed + 1 + k))[:, 0]
        for k, table in enumerate(likelihood)
    ]
    return labels, torch.stack([table.log()[:, v].T for table, v in zip(likelihood, seen, strict=True)], 1)


def depths(labels: Tensor, states: list[Tensor]) -> tuple[itinf.Network, Items]:
    """A network whose logits at each depth are given, and its items."""
    steps = [after - before for before, after in itertools.pairwise(states)]
    network = fed(CLASSES, reads(CLASSES, 0, CLASSES, scale=1.0), len(steps))
    return network, list(zip(pixels(torch.cat([states[0], *steps], 1)), labels.tolist(), strict=True))


def posteriors(count: int, seed: int = 3) -> tuple[Tensor, list[Tensor]]:
    """Labels, and the logits of the exact posterior after one variable, two …"""
    labels, seen = evidence(count, seed)
    return labels, list(seen.cumsum(1).unbind(1))


def probed(
    labels: Tensor, states: list[Tensor], replicates: int = 200, **settings: object
) -> dict[tuple[str, str, str], np.ndarray]:
    """(measure, form, null) -> (depths, 3) mean, lo, hi."""
    settings = {"group": 200, "batch": 2000, "calibration": 200} | settings
    table = itinf.probe(*depths(labels, states), [PROBE], replicates=replicates, **settings).table
    kept = table.sort_values(["block_index", "state_index"]).groupby(["measure", "form", "null"])
    return {key: rows[["mean", "lo", "hi"]].to_numpy(float) for key, rows in kept}


def seen_by(seen: Trace) -> ProbeBatch:
    """A batch whose calibration knows no temperature, which is then 1."""
    return view(seen.network, seen, Calibration(), readouts={})


def near(numbers: np.ndarray, goal: float = 0.0) -> bool:
    """Within twice the intervals, which several at once almost always are."""
    return bool((np.abs(numbers[:, 0] - goal) <= numbers[:, 2] - numbers[:, 1]).all())


def within(numbers: np.ndarray, goal: float = 0.0) -> np.ndarray:
    return (numbers[:, 1] <= goal) & (goal <= numbers[:, 2])


def test_excess_movement_is_twice_what_a_step_takes_back_and_its_definition():
    labels, states = torch.arange(64) % CLASSES, [2 * normal(64, CLASSES, seed=k) for k in range(4)]
    network, items = depths(labels, states)
    inputs, targets = torch.stack([x for x, _ in items]), torch.tensor([y for _, y in items])
    seen = trace(network, itinf.Batch(inputs, targets, np.arange(64, dtype=np.uint64)))
    found = {(r.measure, r.block, r.state): v for r, v in measure(seen_by(seen), [PROBE]).values.items()
             if r.form == "" and r.null == "observed"}  # fmt: skip
    p = [state.softmax(1) for state in states]
    for block, (before, after) in enumerate(itertools.pairwise(p), 1):
        movement = (after - before).square().sum(1).mean()
        reduction = (after.square().sum(1) - before.square().sum(1)).mean()
        takes_back = -2 * (before * (after - before)).sum(1).mean()
        assert found["squared_movement", block, None] == pytest.approx(float(movement), abs=1e-12)
        assert found["excess_movement", block, None] == pytest.approx(float(movement - reduction), abs=1e-12)
        assert float(takes_back) == pytest.approx(float(movement - reduction), abs=1e-12)
    for state, one in enumerate(p):
        honesty = one[torch.arange(64), labels].mean() - one.square().sum(1).mean()
        assert found["honesty", 0, state] == pytest.approx(float(honesty), abs=1e-12)


def test_exact_posteriors_are_honest_and_move_by_evidence_alone():
    found = probed(*posteriors(4000))
    for form in ("", BEST):
        assert near(found["honesty", form, "observed"])
        assert near(found["excess_movement", form, "observed"])
    assert near(found["excess_movement", "", "order-shuffled"])  # in any order they are exact posteriors
    assert near(found["best_confidence", BEST, "observed"], 1.0)
    # the naive reading: the prediction moves at every depth, so it would be "corrected" at every depth
    assert (found["squared_movement", "", "observed"][:, 1] > 0.04).all()


def test_over_reaction_is_above_zero_and_gone_at_the_best_temperature():
    """Beliefs that count all evidence twice: only their confidence is wrong."""
    labels, states = posteriors(4000)
    found = probed(labels, [2 * state for state in states])
    assert (found["excess_movement", "", "observed"][:, 1] > 0.03).all()
    assert (found["honesty", "", "observed"][:, 2] < -0.05).all()
    assert near(found["best_confidence", BEST, "observed"], 0.5)
    assert near(found["honesty", BEST, "observed"])
    assert near(found["excess_movement", BEST, "observed"])


def test_too_much_of_the_newest_evidence_stays_above_zero_at_the_best_temperature():
    """Each depth counts what it sees four times, and takes that back at the next: a lens has no part in this."""
    labels, states = posteriors(4000)
    found = probed(labels, [state + 3 * (state - before) for before, state in itertools.pairwise(states)])
    assert (found["excess_movement", BEST, "observed"][:, 1] > 0.1).all()


def test_sharpening_without_evidence_is_below_zero():
    """The naive reading of a growing confidence is a belief that gathers evidence; it is honest at its start alone."""
    labels, states = posteriors(4000)
    found = probed(labels, [states[-1] * (0.25 + 0.25 * k) for k in range(4)])
    assert (found["excess_movement", "", "observed"][:, 2] < -0.03).all()
    assert (found["honesty", "", "observed"][:3, 1] > 0.02).all()
    assert within(found["honesty", "", "observed"])[3]
    # every depth says the same, so at the best temperature nothing moves
    assert np.abs(found["squared_movement", BEST, "observed"][:, 0]).max() < 1e-3
    assert np.abs(found["excess_movement", BEST, "observed"][:, 0]).max() < 1e-3


def at(logits: Tensor, log_prior: Tensor, beta: float) -> Tensor:
    return (log_prior + beta * (logits - log_prior)).softmax(1)


def best_beta(logits: Tensor, log_prior: Tensor, labels: Tensor) -> float:
    """By a search over all units."""
    index = torch.arange(len(labels))

    def loss(beta: float) -> float:
        return float(-at(logits, log_prior, beta)[index, labels].log().mean())

    return float(minimize_scalar(loss, bounds=(1e-4, 8.0), method="bounded", options={"xatol": 1e-9}).x)


def test_the_best_temperature_is_that_of_a_search_and_intervals_hold_its_choice():
    labels, states = posteriors(3000, seed=9)
    states = [state * (1.6 + 0.3 * k) + 0.8 * normal(3000, CLASSES, seed=50 + k) for k, state in enumerate(states)]
    uniform, index = torch.full((CLASSES,), 1 / CLASSES, dtype=torch.float64).log(), torch.arange(3000)
    found = probed(labels, states)
    beta = [best_beta(state, uniform, labels) for state in states]
    p = [at(state, uniform, b) for state, b in zip(states, beta, strict=True)]
    assert found["best_confidence", BEST, "observed"][:, 0] == pytest.approx(beta, rel=0.01)
    honesty = [float(one[index, labels].mean() - one.square().sum(1).mean()) for one in p]
    assert found["honesty", BEST, "observed"][:, 0] == pytest.approx(honesty, abs=5e-4)
    pairs = list(itertools.pairwise(p))
    excess = [float(-2 * (a * (b - a)).sum(1).mean()) for a, b in pairs]
    assert found["excess_movement", BEST, "observed"][:, 0] == pytest.approx(excess, abs=5e-4)
    movement = [float((b - a).square().sum(1).mean()) for a, b in pairs]
    assert found["squared_movement", BEST, "observed"][:, 0] == pytest.approx(movement, abs=5e-4)


def test_a_reading_that_is_right_of_all_units_has_no_best_temperature():
    labels = torch.arange(400) % CLASSES
    sure = 3 * torch.nn.functional.one_hot(labels, CLASSES).double()
    network, items = depths(labels, [normal(400, CLASSES), sure + 0.1 * normal(400, CLASSES, seed=1)])
    table = itinf.probe(network, items, [PROBE], group=200, batch=2000, calibration=200, replicates=200).table
    lacking = table[table["form"].eq(BEST) & table["mean"].isna() & (table["state_index"].fillna(1) == 1)]
    assert set(lacking["measure"]) == {"honesty", "best_confidence", "excess_movement", "squared_movement"}
    assert lacking[["lo", "hi"]].isna().all(axis=None)
    assert set(lacking["reason_code"]) == {"no_best_temperature"}, "the loss falls for ever: no division by zero"
    assert np.isfinite(table.loc[table["form"] == "", ["mean", "lo", "hi"]]).all(axis=None)


@pytest.mark.parametrize("name", ["cifar-isotropic", "gpt2", "predictive"])
def test_readings_of_shipped_networks_by_hand(name):
    network, batch = shipped(name)
    seen = trace(network, batch)
    found = measure(seen_by(seen), [PROBE]).values
    known, labels = seen.known.flatten(), seen.targets.flatten().clamp_min(0)
    with torch.no_grad():
        p = [network.readout(network.per_prediction(state)).double().softmax(1) for state in seen.states]
    for row, value in found.items():
        if row.form == BEST or row.null != "observed":
            continue
        if row.measure == "honesty":
            one = p[row.state]
            expected = one.gather(1, labels[:, None])[:, 0] - one.square().sum(1)
        else:
            before, after = p[row.block - 1], p[row.block]
            taken_back = 2 * (before * (before - after)).sum(1)
            expected = (after - before).square().sum(1) if row.measure == "squared_movement" else taken_back
        assert value == pytest.approx(float(expected[known].mean()), rel=1e-6, abs=1e-9)


def test_through_a_lens_the_prior_is_that_of_the_lens():
    network, data = gpt2(), tokens(96, length=12)
    lens = fit(network, data, "affine", units=600)
    probes = [itinf.Distribution(lens=lens)]
    table = itinf.probe(network, data, probes, group=GROUP, calibration=96, replicates=20).table
    order = itinf.Batch(data.inputs, data.targets, np.arange(len(data), dtype=np.uint64))
    seen, labels = trace(network, order, gradients=False), data.targets.flatten()
    for state, translator in translators_at(seen, lens).items():
        if not isinstance(state, int):
            continue
        with torch.no_grad():
            z = translated_logits(network, seen.per_prediction(state), translator).double()
        rows = table[(table["state_index"] == state) & (table["form"] == BEST)].set_index("measure")["mean"]
        beta = best_beta(z, lens.log_prior, labels)
        assert rows["best_confidence"] == pytest.approx(beta, rel=0.01, abs=0.01)
        p = at(z, lens.log_prior, beta)
        honesty = float((p.gather(1, labels[:, None])[:, 0] - p.square().sum(1)).mean())
        assert rows["honesty"] == pytest.approx(honesty, abs=1e-4)
    assert set(table["lens"]) == {"affine"}


def test_what_cannot_be_read_says_why():
    table = itinf.probe(resnet(), images(24), [PROBE], group=GROUP, calibration=12, replicates=20).table
    missing = table[
        table["mean"].isna() & (table["null"] == "observed") & ~table["reason_code"].eq("no_best_temperature")
    ]
    assert set(missing[missing["measure"] == "honesty"]["reason_code"]) == {"no_readout"}
    assert set(missing[missing["measure"] == "excess_movement"]["reason_code"]) == {"no_readout_of_both"}
    read = table[table["mean"].notna() & (table["form"] == "")]
    assert set(read["measure"]) >= {"honesty", "excess_movement", "squared_movement"}


def test_a_study_that_names_it_reads_through_each_of_its_lenses(monkeypatch):
    monkeypatch.setitem(registry._session, "probes", {"distribution": itinf.Distribution, "lesion": itinf.Lesion})
    network, data = gpt2(), tokens(48)
    lenses = [fit(network, data, kind, units=240) for kind in ("affine", "shared")]
    found = [p for p in study_probes(["label"], lenses, measure=["distribution"]) if isinstance(p, itinf.Distribution)]
    assert [probe.lens_name for probe in found] == ["", "affine", "shared"]
    once = study_probes(["label"], lenses, measure=["lesion"])
    assert sum(isinstance(p, itinf.Lesion) for p in once) == 1


@pytest.mark.parametrize("repetitions", [8, pytest.param(600, marks=pytest.mark.simulation)])
def test_intervals_cover_also_what_the_choice_of_temperature_adds(repetitions):
    """Posteriors that count evidence twice: at their best temperature, 1/2, both numbers are 0."""
    covered: dict[str, list[np.ndarray]] = {}
    for seed in range(repetitions):
        labels, states = posteriors(240, seed=1000 + 20 * seed)
        found = probed(labels, [2 * states[0], 2 * states[2]], group=40, batch=240, calibration=120, replicates=100)
        for name, goal in (("honesty", 0.0), ("excess_movement", 0.0), ("best_confidence", 0.5)):
            covered.setdefault(name, []).append(within(found[name, BEST, "observed"], goal))
    shares = {name: float(np.mean(held)) for name, held in covered.items()}
    print(shares)
    spread = 2.5 * (0.95 * 0.05 / repetitions) ** 0.5
    assert all(0.93 - spread <= share <= 0.97 + spread for share in shares.values()), shares
