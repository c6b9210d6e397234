"""Losses at the best of a window of temperatures: right on average, and with intervals that contain the truth."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

import itinf
from itinf.data.clusters import batches, keyed_order
from itinf.data.items import as_data
from itinf.lenses.fit import fit
from itinf.lenses.transfer.cells import cells_of
from itinf.lenses.transfer.matrix import TransferMatrix
from itinf.lenses.transfer.pilot import windows
from itinf.lenses.transfer.retention import Retention
from itinf.lenses.transfer.summaries import summaries
from itinf.lenses.transfer.temperature import (
    BETAS,
    BETWEEN,
    LARGEST_UNIT,
    POWERS,
    crosswise,
    mixing,
    tempered_losses,
    window_totals,
    window_units,
)
from itinf.statistics.intervals import interval
from lens_oracles import evidence, gathering, labelled, turning
from oracles import generator, normal

NODES = np.array((0, *POWERS), dtype=float)


def quadratic(best: float, curvature: float = 1.0) -> np.ndarray:
    return 0.5 * curvature * (NODES - best) ** 2


@pytest.mark.parametrize("best", [5.0, 8.0, 11.0])
def test_halves_that_agree_are_scored_at_their_best(best):
    losses = np.stack([quadratic(best), quadratic(best)])[:, :, None]
    found, at_end = crosswise(losses)
    assert (
        found[0] == pytest.approx(0, abs=0.06) and not at_end
    )  # two halves, a grid 4 % apart, a spline through a parabola


def test_halves_that_disagree_pay_for_it():
    """Both at 8: 2 · ½ · (2/2)² lost. Crosswise, at 9 and 7: 2 · ½ · 2² = 4 lost. Two parts and one: (2 · 1 + 4) / 3."""
    losses = np.stack([quadratic(7.0), quadratic(9.0)])[:, :, None]
    assert crosswise(losses)[0][0] == pytest.approx(2.0, abs=0.15)


def test_what_misleads_is_read_at_nothing_exactly_and_the_end_of_a_window_is_seen():
    rising = np.stack([1 + NODES, 2 + NODES])[:, :, None]
    assert crosswise(rising) == (pytest.approx(3.0, abs=0), False)
    assert crosswise(np.stack([100 - NODES, quadratic(5.0)])[:, :, None])[1]


@pytest.mark.parametrize(("best", "bias"), [(0.0, 0.02), (0.5, 0.1), (1.5, 0.1), (3.0, 0.02)])
def test_it_is_right_on_average(best, bias):
    """Near 0, which β cannot pass, it is nearly so: at 0.5, the bias is 0.42 if all choose, −0.60 crosswise, 0.08 here.

    Slopes at 0 in noise of variance 1 for each half, curvature 1 for each: what is gained is best² for both halves."""
    slopes = best + np.random.default_rng(0).standard_normal((2, 1, 40_000))
    nodes = 0.5 * NODES[:, None]  # the window reaches to 12
    gains = -crosswise(0.5 * nodes**2 - slopes * nodes)[0]
    assert gains.mean() == pytest.approx(best**2, abs=4 * gains.std() / 200 + bias)


def drawn(scale: float, rows: int = 400, classes: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    prior = normal(classes, seed=1).log_softmax(0)
    logits = normal(1, rows, classes, seed=2)
    labels = torch.multinomial((prior + logits[0]).softmax(1), 1, generator=generator(3))[:, 0]
    return scale * (logits + prior), prior, labels


def of_window(logits, prior, labels, unit):
    """(len(POWERS), 1) sums of losses."""
    buffers = torch.empty(2, *logits.shape, dtype=logits.dtype)
    units = torch.tensor([unit], dtype=logits.dtype)
    totals = window_totals(logits, prior.exp().to(logits), *mixing(prior.to(logits), units), buffers)
    excess = (logits[0] - prior).gather(1, labels[:, None])[:, 0]
    betas = unit * torch.tensor(POWERS, dtype=torch.float64)[:, None, None]
    return (totals.double() - betas * excess - prior[labels]).sum(2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0, 1000.0])
def test_losses_of_a_window_by_hand(dtype, scale):
    logits, prior, labels = drawn(scale)
    logits = logits.to(dtype)
    for unit in (2.0**-12, 0.01, LARGEST_UNIT):
        wanted = torch.stack([
            torch.nn.functional.cross_entropy((1 - b) * prior + b * logits[0].double().log_softmax(1), labels, reduction="sum")
            for b in unit * np.array(POWERS)
        ])  # fmt: skip
        eps = torch.finfo(dtype).eps * 400 * (30 + 50 * unit * POWERS[-1] * scale)
        torch.testing.assert_close(of_window(logits, prior, labels, unit)[:, 0], wanted, rtol=1e-6, atol=eps + 1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_answer_that_is_rarer_than_all_others(dtype):
    """π = 1e-12, and the reading is sure of it; small powers of the others count as long as they count."""
    prior = torch.tensor([1 - 1e-12, 1e-12], dtype=torch.float64).log()
    logits, label = torch.tensor([[[0.0, 100.0]]], dtype=dtype), torch.tensor([1])
    for unit in (0.001, 0.01, 0.03, 0.1, LARGEST_UNIT):
        found = of_window(logits, prior, label, unit)[:, 0]
        for power, loss in zip(POWERS, found, strict=True):
            z = [(1 - power * unit) * float(prior[k]) + power * unit * (0, 100)[k] for k in (0, 1)]
            assert loss == pytest.approx(np.logaddexp(*z) - z[1], rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("scale", [0.5, 2.0, 2000.0])
def test_a_window_holds_the_best_temperature_and_is_interpolated(scale):
    """Scaled logits are read at 1 / scale; 1 / 2000 is below the grid of old, 1/128."""
    logits, _, labels = drawn(scale)
    prior = torch.full((7,), 1 / 7, dtype=torch.float64).log()
    at = logits[0].gather(1, labels[:, None])[None, :, 0]
    losses = tempered_losses(logits, prior, at, prior[labels])
    weights = torch.poisson(torch.ones(400, 33, dtype=torch.float64), generator=generator(0))
    weights[:, 0] = 1
    (unit,) = window_units(losses @ weights).tolist()
    assert BETAS[1] <= unit <= LARGEST_UNIT
    betas = np.geomspace(unit * POWERS[0], unit * POWERS[-1], 2000)
    exact = [float(torch.nn.functional.cross_entropy(b * logits[0], labels, reduction="sum")) for b in betas]
    nodes = np.r_[float(losses[0].sum()), of_window(logits, prior, labels, unit)[:, 0].numpy()]
    found = (BETWEEN @ nodes).min()
    told = nodes[0] - min(exact)
    assert told > 20 and abs(found - min(exact)) < 1e-3 * told


# coverage: the same lens on many disjoint samples (MEASURES.md, section 11)


def known(name: str, count: int, seed: int) -> list:
    if name == "gathering":
        return evidence(count, 3, seed)
    return labelled(turning(16), normal(count, 16, seed=seed), seed)


def judged_apart(network, lens, data, subsets: int, size: int, replicates: int) -> tuple[dict, dict]:
    """Cell or summary -> (mean, lo, hi) on each of disjoint subsets, (subsets, 3); -> its mean over all of them."""
    cells, order = cells_of(lens), keyed_order(data, subsets * size, 0)
    placed = windows(network, lens, cells, batches(data, order.part(slice(2000)), 500))
    whole, found = TransferMatrix(network, lens, cells, placed, 0, 0), {}
    for k in range(subsets):
        (batch,) = batches(data, order.part(slice(k * size, (k + 1) * size)), size)
        grid = TransferMatrix(network, lens, cells, windows(network, lens, cells, [batch]), 0, replicates)
        for matrix in (grid, whole):
            matrix.add(network, batch)
        for key, estimate in numbers(network, grid).items():
            found.setdefault(key, []).append(estimate)
    return {key: np.array(x) for key, x in found.items()}, {k: v[0] for k, v in numbers(network, whole).items()}


def numbers(network, grid) -> dict:
    kept, found = Retention(grid, "label"), {}
    for cell in grid.cells:
        if not cell.diagonal and (estimate := kept.of(cell)[0]) is not None:
            found["cell", cell.name] = (estimate[0], *interval(estimate, grid.clusters))
        if cell.onward and (estimate := kept.surplus(cell)[0]) is not None:
            found["surplus", cell.name] = (estimate[0], *interval(estimate, grid.clusters))
    rows = summaries(network, grid)
    for _, row in rows[(rows.measure == "retention") & (rows.target == "label") & (rows.distance == 0)].iterrows():
        found["summary", row.direction, row.form, row.null] = (row["mean"], row.lo, row.hi)
    return found


def coverage(network, lens, data, subsets: int, size: int, replicates: int) -> dict[str, list[float]]:
    """Cell, surplus, summary, or small cell -> the coverage of each."""
    found: dict[str, list[float]] = {}
    estimates, truth = judged_apart(network, lens, data, subsets, size, replicates)
    widen = (1 + 1 / subsets) ** 0.5  # the value over all has an error of its own
    for key, wanted in truth.items():
        if len(estimates.get(key, [])) == subsets:
            mean, low, high = estimates[key].T
            covered = np.abs(mean - wanted) <= widen * (high - low) / 2 + 1e-12
            kind = "small cell" if key[0] == "cell" and wanted < 0.05 else key[0]
            found.setdefault(kind, []).append(float(covered.mean()))
    print({kind: (len(x), round(np.mean(x), 3), min(x), max(x)) for kind, x in found.items()})
    return found


def of_known(name: str, subsets: int, size: int, replicates: int) -> dict[str, list[float]]:
    network = {"gathering": gathering, "turning": lambda: turning(16)}[name]()
    data = as_data(known(name, subsets * size, 2), network.unit)
    return coverage(network, fit(network, known(name, 2000, 1), batch=500), data, subsets, size, replicates)


@pytest.mark.parametrize("name", ["gathering", "turning"])
def test_intervals_contain_the_truth(name):
    found = of_known(name, subsets=24, size=150, replicates=60)
    assert {"summary", "surplus", "small cell"} <= set(found) or {"summary", "surplus", "cell"} <= set(found)
    assert min(np.mean(values) for values in found.values()) > 0.88
    assert min(min(values) for values in found.values()) > 0.6


def require_as_often_as_they_say(found: dict[str, list[float]], most: float) -> None:
    for kind, values in found.items():
        assert 0.93 <= np.mean(values) <= most, kind


@pytest.mark.simulation
@pytest.mark.parametrize(("name", "most"), [("gathering", 0.98), ("turning", 0.995)])
def test_intervals_contain_the_truth_as_often_as_they_say(name, most):
    """Where codes turn, lenses elsewhere tell nothing: no temperature is below 0, and intervals at that end are wide."""
    require_as_often_as_they_say(of_known(name, subsets=200, size=300, replicates=400), most=most)


SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.simulation
@pytest.mark.skipif(not (SHARED / "cifar10-jpeg.tar.gz").exists(), reason="photographs and weights are not at hand")
def test_intervals_contain_the_truth_on_photographs(tmp_path):
    """ResNet-20, 24 subsets of 300 photographs."""
    with tarfile.open(SHARED / "cifar10-jpeg.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    network = itinf.network("cifar-resnet20", weights=str(SHARED / "resnet20-cifar10-idelbayev.safetensors"))
    train, test = (itinf.dataset(f"images:{tmp_path}", network, split=split) for split in ("train", "test"))
    found = coverage(network, fit(network, train, units=6000), test, subsets=24, size=300, replicates=400)
    require_as_often_as_they_say(found, most=0.99)  # of so few subsets, of which all cells are read: ± 0.02
