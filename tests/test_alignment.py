"""The alignment probe on networks whose alignment is known."""

from __future__ import annotations

import math

import pytest
import torch

import oracles
from itinf import trace
from itinf.probes import Alignment
from measured import alignment, measure, view


def test_gradient_descent_on_the_readouts_loss_is_aligned():
    network = oracles.descent()
    found = alignment(network, oracles.descent_batch())
    rows = [r for r in found.units if (r.measure, r.gradient, r.form) == ("alignment", "readout", "raw")]
    assert [r.block for r in rows] == [1, 2, 3, 4]
    for row in rows:
        assert (found.units[row] >= 1 - 1e-6).all() and (found.units[row] <= 1 + 1e-12).all()


def test_the_three_gradients_are_not_confused():
    """Steps of 1.5 down an isotropic quadratic: down before the block, up after it, down its own readout."""
    network = oracles.quadratic()
    batch = oracles.batch(oracles.normal(8, 5, 1, 1))
    seen = trace(network, batch)
    centre = network.model.head.centre.detach()
    for l, state in enumerate(seen.states):
        torch.testing.assert_close(state[:, :, 0, 0] - centre, (-0.5) ** l * (batch.inputs[:, :, 0, 0] - centre))
    torch.testing.assert_close(
        seen.loss[:, 0], (seen.states[-1][:, :, 0, 0] - centre).square().sum(1) / 2, rtol=1e-6, atol=0
    )
    found = measure(view(network, seen), [Alignment(forms=["raw"])])
    for block in range(1, 7):
        for gradient, expected in (("input", 1.0), ("output", -1.0), ("readout", 1.0)):
            (values,) = [v for r, v in found.units.items() if (r.block, r.gradient) == (block, gradient)]
            torch.testing.assert_close(values, torch.full_like(values, expected), rtol=0, atol=1e-6)


def test_random_updates():
    n, d = 20_000, 16
    network = oracles.noise(width=d)
    batch = oracles.batch(oracles.normal(n, d, 1, 1), torch.arange(n) % 4)
    found = measure(view(network, trace(network, batch)), [Alignment(gradients=["readout"], forms=["raw"])])
    rows = [r for r in found.units if r.measure == "alignment"]
    assert len(rows) == 2
    size = math.gamma(d / 2) / (math.sqrt(math.pi) * math.gamma((d + 1) / 2))
    for row in rows:
        cosines = found.units[row]
        assert abs(cosines.mean()) < 4 / math.sqrt(n * d)
        assert cosines.abs().mean().item() == pytest.approx(size, rel=0.02)


def test_zero_updates_have_no_cosine_and_are_counted():
    network = oracles.smooth(blocks=2)
    with torch.no_grad():
        for p in network.model.blocks[1].branch[2].parameters():
            p.zero_()
    found = alignment(network, oracles.smooth_batch())
    for row, values in found.units.items():
        if row.measure == "alignment" and row.form == "raw":
            assert values.isnan().all() if row.block == 2 else values.isfinite().all()


def test_the_network_can_be_told_from_its_own_answer():
    """Descent on the label is aligned with the label, and less with what the network says at first."""
    network, batch = oracles.descent(step=0.05), oracles.descent_batch()
    seen = trace(network, batch, ["label", "answer"])
    assert (seen.answer != seen.targets).any()
    opened = view(network, seen, targets=("label", "answer"))
    found = measure(
        opened, [Alignment(gradients=["readout"], targets=["label", "answer"], forms=["raw"])], ("label", "answer")
    )
    values = {r.target: v for r, v in found.units.items() if r.block == 1}
    missed = (seen.answer != seen.targets)[:, 0]
    assert (values["label"] > 1 - 1e-6).all()
    assert (values["answer"][~missed] > 1 - 1e-6).all() and (values["answer"][missed] < 0.9).all()


def test_random_pairs_of_aligned_networks():
    """Against another image's gradient the effect of descent on the own label is gone, and not its anisotropy."""
    network, batch = oracles.descent(), oracles.descent_batch()
    found = alignment(network, batch)

    def take(null: str) -> list[float]:
        wanted = ("alignment", "raw", "readout", null, "all", "mean")
        return [
            v
            for r, v in found.values.items()
            if (r.measure, r.form, r.gradient, r.null, r.subset, r.statistic) == wanted
        ]

    for own, pairing, same in zip(take("observed"), take("pairing"), take("same-target"), strict=True):
        assert own == pytest.approx(1) and pairing < 0.2 < same < own
