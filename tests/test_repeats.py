"""Repeats of a block against gradient descent, whose costs are known, and the choice of their scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import itinf
import oracles
import tiny
from itinf import Batch, Block, Network
from itinf.probes.repeat import form_of
from itinf.results.recorder import Recorder
from itinf.results.row import Row
from itinf.statistics.bootstrap import Sums
from oracles import Chain, normal
from test_interventions import BITS, costs, measured

Q = np.array([0.6, 0.4])
"""The network's posterior: 60 % of the units have label 0. The loss has curvature 2·Q₀·Q₁ there, so descent diverges from a
step of 1 / (Q₀·Q₁) = 4.17 on."""


class _Descent(nn.Module):
    """z ← z − step · gradient of the cross-entropy against Q, read by the softmax itself."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def forward(self, h: Tensor) -> Tensor:
        z = h[:, :, 0, 0]
        return (z + self.step * (torch.from_numpy(Q) - z.softmax(1)))[:, :, None, None]


def descending(step: float, blocks: int = 3) -> tuple[Network, Batch]:
    """Equal blocks, each a step of gradient descent on the readout's own loss."""
    start = torch.tensor([0.0, 1.0], dtype=torch.float64).expand(40, 2)[:, :, None, None]
    labels = (torch.arange(40) % 5 < 2).long()  # 40 % have label 1
    head = nn.Linear(2, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        head.weight.copy_(torch.eye(2))
    network = oracles.opened(Chain([_Descent(step) for _ in range(blocks)], head))
    keys = np.arange(40, dtype=np.uint64) << np.uint64(32)  # they belong to one half and the other in turns
    return network, Batch(start.clone(), labels, keys)


def by_hand(step: float, scale: float, blocks: int, times: int) -> float:
    """Cost in bits of further steps."""
    z, found = np.array([0.0, 1.0]), []
    for number in range(blocks + times + 1):
        found.append(-(Q * (z - np.log(np.exp(z).sum()))).sum() * BITS)
        p = np.exp(z) / np.exp(z).sum()
        z = z + (step if number < blocks else scale * step) * (Q - p)
    return found[blocks + times] - found[blocks]


def test_repeats_go_on_with_gradient_descent():
    """For a small step the loss falls with every repeat; equal blocks change places at no cost."""
    network, batch = descending(0.5)
    found = measured(network, batch, itinf.Repeat(times=(1, 2, 5), scale=(0.1, 1.0)))
    for scale in (0.1, 1.0):
        seen = [costs(found, form_of(k, scale))[2] for k in (1, 2, 5)]
        assert seen == pytest.approx([by_hand(0.5, scale, 3, k) for k in (1, 2, 5)], abs=1e-12)
        assert 0 > seen[0] > seen[1] > seen[2]
    assert costs(found, "repeat best")[2] == pytest.approx(by_hand(0.5, 1.0, 3, 5), abs=1e-12)
    swapped = measured(network, batch, itinf.Swap())
    assert costs(swapped, "swap") == {0: 0, 1: 0} == costs(swapped, "swap", measure="intervention_kl")


def test_steps_beyond_the_curvature_diverge_however_well_they_point():
    """Unscaled, the repeat says "no improvement" of a network that descends; a scale chosen on other clusters tells."""
    threshold = 1 / (Q[0] * Q[1])
    network, batch = descending(0.5, blocks=12)
    below, above = 0.9 * threshold / 0.5, 1.2 * threshold / 0.5
    found = measured(network, batch, itinf.Repeat(times=(1, 30), scale=(0.1, below, above)))
    for scale in (0.1, below, above):
        assert costs(found, form_of(30, scale))[11] == pytest.approx(by_hand(0.5, scale, 12, 30), abs=1e-9)
    assert costs(found, form_of(30, below))[11] < 0 < costs(found, form_of(30, above))[11]
    far, batch = descending(1.2 * threshold, blocks=2)
    naive = measured(far, batch, itinf.Repeat(times=(1,), scale=(0.1, 0.3, 1.0)))
    assert costs(naive, "repeat best")[1] < 0
    assert costs(naive, form_of(1, 0.3))[1] == pytest.approx(by_hand(1.2 * threshold, 0.3, 2, 1), abs=1e-9)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"times": (0,)}, "times is 0"),
        ({"times": 3}, "times is 3; expected a sequence"),
        ({"scale": (0.1, -1)}, "the scale -1 is not positive"),
        ({"scale": ()}, "scale is"),
    ],
)
def test_a_wrong_repeat_is_refused(given, said):
    with pytest.raises(itinf.ItinfError, match=said):
        itinf.Repeat(**given)


class _Cubed(nn.Module):
    def forward(self, h: Tensor) -> Tensor:
        return h + h**3


def test_a_repeat_that_overflows_has_no_mean_and_is_not_chosen():
    head = nn.Linear(3, 5)
    network = Network(Chain([_Cubed()], head), [Block("blocks.0")], layout="n c h w", head=head, pool=oracles.mean)
    data = tiny.Items("image", 100 * normal(24, 3, 1, 1).float(), torch.arange(24) % 5)
    table = tiny.probed(network, data, probes=[itinf.Repeat(times=(1, 9), scale=(1e-6, 1.0))]).table
    rows = table[(table["statistic"] == "mean") & (table["subset"] == "all")].set_index(["measure", "form"])
    assert rows.loc[("cost", "repeat 9 × 1"), "reason_code"] == "not_finite"
    assert rows.loc[("agreement", "repeat 9 × 1"), "mean"] < 1
    assert np.isfinite(rows.loc[("cost", "repeat best"), ["mean", "lo", "hi"]].astype(float)).all()


def test_each_half_chooses_for_the_other():
    """By hand: on the first half option 0 is best, on the second option 1; so each half pays for the other's choice."""

    options = [torch.tensor([[1.0], [3.0], [10.0], [12.0]]), torch.tensor([[5.0], [7.0], [2.0], [4.0]])]
    record, known = Recorder(), torch.ones(4, 1, dtype=torch.bool)
    record.count("n|known", known)
    row = Row("cost", 1, "image", form="repeat best")
    record.best(row, options, known, torch.tensor([False, False, True, True]), "n|known")
    sums = Sums(0, 5)
    sums.add(np.arange(1, 5, dtype=np.uint64), record.take())
    sums.flush()
    assert record.entries[row].estimate(sums)[0] == (5 + 7 + 10 + 12) / 4
