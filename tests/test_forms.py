"""Forms by algebra equal forms by rewriting vectors, and none changes with its network's own gauge."""

from __future__ import annotations

import copy
import dataclasses
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import oracles
from itinf import Batch, Block, Network, modules, trace
from itinf.networks.states import segments
from itinf.probes.block import BlockProducts
from itinf.probes.dot_products import squares
from itinf.probes.forms import gauge_fixed
from measured import GRADIENTS, Measured, alignment, measure, view
from oracles import normal
from shipped import shipped
from vision.cifar_resnet import CIFAR10, cifar_resnet20

DATA = Path(__file__).parents[2] / "shared" / "data"
PHOTOGRAPHS = 32


@cache
def photographs() -> tuple[Network, Batch]:
    """The given ResNet-20 in float64 and CIFAR-10 test photographs of every class."""
    archive, weights = DATA / "cifar10-jpeg.tar.gz", DATA / "resnet20-cifar10-idelbayev.safetensors"
    if not (archive.exists() and weights.exists()):
        pytest.skip(f"no CIFAR-10 under {DATA}")
    network = cifar_resnet20(str(weights)).to("cpu", torch.float64)
    inputs, labels = [], []
    with tarfile.open(archive, "r|gz") as files:
        for file in files:
            if file.name.startswith("test/") and file.isfile() and int(Path(file.name).stem) % 100 == 0:
                inputs.append(network.prepare(Image.open(files.extractfile(file)).convert("RGB")))
                labels.append(CIFAR10.index(Path(file.name).parent.name))
                if len(labels) == PHOTOGRAPHS:
                    break
    return network, oracles.batch(torch.stack(inputs).double(), torch.tensor(labels))


def rewritten(block: BlockProducts, form: str, c) -> tuple[Tensor, Tensor]:
    """(N, P, K) update and gradient of a form, vector by vector."""
    network, seen = block.batch.network, block.batch.trace
    d, g = block.updates[c.update, c.part], block.directions[block.gradients[c].key]
    known = seen.known
    if form == "centred":
        d, g = d - d[known].mean(0), g - g[known].mean(0)
    if form == "gauge-fixed" and network.gauge == "channel-scale":
        numbers = segments(seen)
        here = numbers[seen.after[block.number]]
        states = [network.canonical(s) for s, n in zip(seen.states, numbers, strict=True) if n == here]
        values = torch.cat([s.transpose(0, 2).flatten(1) for s in states], 1)  # (C, everything)
        scale = values.std(1, correction=0)[:, None]
        alive = values.amax(1) > values.amin(1)
        d, g = (d / scale)[:, :, alive], (g * scale)[:, :, alive]
    if form == "gauge-fixed" and network.gauge == "orthogonal-layernorm":
        d = d - d.mean(2, keepdim=True)
    return d.flatten(2), g.flatten(2)


def deaden(network: Network) -> Network:
    """A copy of an isotropic network whose first two channels are 0 in every state."""
    network = copy.deepcopy(network)
    with torch.no_grad():
        for norm in [network.model.bn1, *(network.model.get_submodule(b.name).bn2 for b in network.blocks)]:
            norm.weight[:2], norm.bias[:2] = 0, -1
    return network


class Patches(nn.Module):
    """Residual MLPs behind LayerNorms on (N, T, C): an image network whose states are tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Patch() for _ in range(2))
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


class Patch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def patches() -> tuple[Network, Batch]:
    torch.manual_seed(0)
    model = Patches().double()
    blocks = [Block(name, branch="branch") for name in modules(model, Patch)]
    network = Network(
        model,
        blocks,
        "n t c",
        model.head,
        pool=lambda h: h.mean(1),
        neck=model.norm,
        gauge="orthogonal-layernorm",
    )
    return network, Batch(normal(2, 5, 6), torch.tensor([0, 2]), np.arange(2, dtype=np.uint64))


CASES = {
    "images of tokens": patches,
    "resnet": lambda: shipped("cifar-resnet20"),
    "pre-activation": lambda: shipped("cifar-preresnet20"),
    "dead channels": lambda: (deaden(shipped("cifar-isotropic")[0]), shipped("cifar-isotropic")[1]),
    "gpt2": lambda: shipped("gpt2"),
}


@pytest.mark.parametrize("form", ["raw", "centred", "gauge-fixed"])
@pytest.mark.parametrize("case", CASES)
def test_forms_by_rewriting_the_vectors(case, form):
    network, batch = CASES[case]()
    seen = trace(network, batch)
    opened = view(network, seen)
    checked = 0
    for b in range(len(network.blocks)):
        block = BlockProducts(opened, b, GRADIENTS, ("label",))
        for c in block.gradients:
            found = block.form(form, c)
            d, g = rewritten(block, form, c)
            expected = torch.einsum("ipk,jpk->pij", d, g)
            bound = 1e-11 * expected.abs().max()
            torch.testing.assert_close(found.pairs(block.raw(c, 0), 0, slice(0, 2)), expected, rtol=1e-9, atol=bound)
            torch.testing.assert_close(found.update2, d.square().sum(2), rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(found.gradient2, g.square().sum(2), rtol=1e-9, atol=1e-12)
            other = opened.partners["pairing"]
            rows = found.rows(block.partner_products(c, other), other, opened.groups)
            torch.testing.assert_close(rows, (d.flatten(0, 1) * g.flatten(0, 1)[other]).sum(1), rtol=1e-9, atol=bound)
            checked += 1
    assert checked >= 2 * len(network.blocks)


def test_channels_left_out_matter_to_a_branch():
    """F lives in channels that are 0 in every state, so a form that kept them would differ."""
    network, batch = CASES["dead channels"]()
    opened = view(network, trace(network, batch))
    assert (opened.calibration.scales[0][:2] == 0).all() and (opened.calibration.scales[0][2:] > 0).any()
    block = BlockProducts(opened, 1, ("output",), ("label",))
    assert (block.updates["branch", ""][:, :, :2] != 0).all()


def test_layernorm_form_of_any_two_vectors():
    """Gradients of a real LayerNorm network cannot show a wrong correction: theirs is 0."""
    d, g = normal(5, 3, 6, 1), normal(5, 3, 6, 1, seed=1)
    form = gauge_fixed("orthogonal-layernorm", d, g, (squares(d), squares(g)), None, None)
    centred = d - d.mean(2, keepdim=True)
    found = form.pairs(torch.einsum("ipcs,jpcs->pij", d, g), 0, slice(0, 5))
    torch.testing.assert_close(found, torch.einsum("ipcs,jpcs->pij", centred, g))
    torch.testing.assert_close(form.update2, centred.square().sum((2, 3)))


def far(a: Measured, b: Measured, form: str) -> float:
    """Largest difference of any unit's cosine in a form."""
    rows = [row for row in a.units if row.measure == "alignment" and row.form == form]
    assert rows and rows == [row for row in b.units if row.measure == "alignment" and row.form == form]
    return max(float((a.units[r] - b.units[r]).abs().nan_to_num().max()) for r in rows)


def gauge_free(found: Measured) -> Tensor:
    values = [v for row, v in found.values.items() if row.form == "gauge-free" and row.null != "same-target"]
    assert len(values) > 10
    return torch.tensor(values, dtype=torch.float64)


def slopes(found: Measured) -> Tensor:
    """⟨update, gradient⟩ of every unit, combination and block."""
    each = [
        b.raw(c, g).diagonal(dim1=1, dim2=2).T * b.gradients[c].scale[members]
        for b in found.blocks
        for c in b.gradients
        for g, members in enumerate(b.batch.groups)
    ]
    return torch.cat([e.flatten() for e in each])


def rescaled(network: Network) -> Network:
    """A copy whose states are scaled channel by channel, each segment otherwise, by factors between ⅓ and 3."""
    changed = copy.deepcopy(network)
    for place, (states, width) in enumerate([((0, 1, 2, 3), 16), ((4, 5, 6), 32), ((7, 8, 9), 64)]):
        with torch.no_grad():
            changed.regauge(changed.model, states, (normal(width, seed=place).clamp(-2, 2) * 0.55).exp())
    return changed


def test_channel_scale_gauge_of_a_trained_resnet():
    network, batch = photographs()
    changed = rescaled(network)
    a, b = alignment(network, batch), alignment(changed, batch)
    with torch.no_grad():
        torch.testing.assert_close(changed.model(batch.inputs), network.model(batch.inputs), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(slopes(b), slopes(a), rtol=1e-5, atol=1e-9)
    assert far(a, b, "gauge-fixed") < 1e-5
    assert far(a, b, "raw") > 0.01 and far(a, b, "centred") > 0.01
    torch.testing.assert_close(gauge_free(b), gauge_free(a), rtol=1e-5, atol=1e-5)


def turn(width: int) -> Tensor:
    """A rotation that fixes the all-ones vector."""
    basis = torch.linalg.qr(torch.cat([torch.ones(width, 1, dtype=torch.float64), normal(width, width - 1)], 1)).Q
    inside = torch.linalg.qr(normal(width - 1, width - 1, seed=1)).Q
    return basis @ torch.block_diag(torch.ones(1, 1, dtype=torch.float64), inside) @ basis.T


def test_orthogonal_gauge_of_gpt2():
    network, batch = shipped("gpt2")
    changed = copy.deepcopy(network)
    changed.regauge(changed.model, range(4), turn(32))
    a, b = alignment(network, batch), alignment(changed, batch)
    assert (trace(network, batch).states[0] - trace(changed, batch).states[0]).abs().max() > 0.1
    torch.testing.assert_close(slopes(b), slopes(a), rtol=1e-5, atol=1e-9)
    for form in ("raw", "centred", "gauge-fixed"):
        assert far(a, b, form) < 1e-5
    torch.testing.assert_close(gauge_free(b), gauge_free(a), rtol=1e-5, atol=1e-5)


def test_what_layernorm_cannot_see_changes_raw_and_not_the_gauge_fixed_form():
    network, batch = shipped("gpt2")
    changed = copy.deepcopy(network)
    with torch.no_grad():
        for block in changed.model.transformer.h:
            block.mlp.c_proj.bias += 3.0  # along the all-ones vector
    a, b = alignment(network, batch), alignment(changed, batch)
    torch.testing.assert_close(slopes(b), slopes(a), rtol=1e-5, atol=1e-9)
    assert far(a, b, "gauge-fixed") < 1e-5 and far(a, b, "raw") > 0.01


def test_channel_scale_form_is_no_form_for_rotations():
    """Rotated with its gradient, a vector keeps its orthogonal form and its dot products, and not its channel-scale one."""
    states, d, g = 3 * normal(200, 6) * torch.arange(1, 7), normal(5, 1, 6, 1, seed=1), normal(5, 1, 6, 1, seed=2)
    rotation = torch.linalg.qr(normal(6, 6, seed=3)).Q

    def cosines(gauge: str, r: Tensor) -> Tensor:
        u, v = (torch.einsum("ab,npbs->npas", r, x) for x in (d, g))
        scale = (states @ r.T).std(0, correction=0)
        form = gauge_fixed(gauge, u, v, (squares(u), squares(v)), scale if gauge == "channel-scale" else None, None)
        return (u * v).sum((2, 3)) / (form.update2 * form.gradient2).sqrt()

    still = torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(cosines("orthogonal", rotation), cosines("orthogonal", still))
    assert (cosines("channel-scale", rotation) - cosines("channel-scale", still)).abs().max() > 0.01


def factor(found: Measured, network: Network, by: Tensor, what: str) -> Measured:
    """The same batch with every cluster's loss multiplied by a factor of its own."""
    batch = found.blocks[0].batch
    seen, reads = copy.deepcopy(batch.trace), copy.deepcopy(batch.readouts)
    shaped = lambda t: by.reshape(-1, *[1] * (t.ndim - 1))  # noqa: E731
    for g in seen.gradients.values():
        if what == "scale":
            g.scale = g.scale * shaped(g.scale)
        else:
            g.states = [s * shaped(s) for s in g.states]
            g.branches = [None if s is None else s * shaped(s) for s in g.branches]
            g.parts = [{k: s * shaped(s) for k, s in p.items()} for p in g.parts]
    for r in reads.values():
        for target, (direction, scale) in r.gradients.items():
            pair = (direction, scale * shaped(scale)) if what == "scale" else (direction * shaped(direction), scale)
            r.gradients[target] = pair
    return measure(dataclasses.replace(batch, trace=seen, readouts=reads))


@pytest.mark.parametrize("name", ["cifar-resnet20", "gpt2"])
def test_a_factor_on_a_clusters_loss_changes_no_cosine(name):
    network, batch = shipped(name)
    by = torch.tensor([1e-3, 20.0], dtype=torch.float64)
    found = alignment(network, batch)
    reported = factor(found, network, by, "scale")
    for row, values in found.units.items():
        if row.measure == "alignment":
            torch.testing.assert_close(reported.units[row], values, rtol=0, atol=1e-6, equal_nan=True)
    same = [r for r in found.values if r.statistic != "weighted" and r.measure in ("alignment", "descent_share")]
    for row in same:
        if row.statistic != "flattened":
            assert reported.values[row] == pytest.approx(found.values[row], abs=1e-6, nan_ok=True)
    weighted = [r for r in found.values if r.statistic == "weighted"]
    assert max(abs(reported.values[r] - found.values[r]) for r in weighted) > 1e-3
    fed = factor(found, network, by, "direction")
    for form in ("raw", "gauge-fixed"):
        assert far(found, fed, form) < 1e-6
    flattened = [r for r in found.values if r.statistic == "flattened" and r.form == "raw" and r.null == "observed"]
    assert bool(flattened) == (name == "gpt2")
    for row in flattened:
        assert fed.values[row] == pytest.approx(found.values[row], abs=1e-6)
        assert reported.values[row] == pytest.approx(found.values[row], abs=1e-6)


def test_a_saturated_head_silences_no_cosine():
    """In float32 the gradient of the loss itself is exactly 0 for some images; its direction is not."""
    network = oracles.smooth()
    with torch.no_grad():
        for p in network.model.head.parameters():
            p.mul_(50)
    inputs = oracles.smooth_batch(40).inputs
    batch = oracles.batch(inputs.float(), network.model(inputs).argmax(1))
    calm = alignment(network, batch)
    network.to("cpu", torch.float32)
    with torch.no_grad():
        for p in network.model.head.parameters():
            p.mul_(10)
    logits = network.model(batch.inputs).detach().requires_grad_()
    (naive,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, batch.targets), logits)
    assert (naive == 0).all(1).any()
    sharp = alignment(network, batch)
    for row, values in sharp.units.items():
        if row.measure == "alignment":
            assert values.isfinite().all() and (values != 0).all()
            assert calm.units[row].shape == values.shape


def test_blocks_without_an_update_or_a_gauge_have_no_row():
    network, batch = shipped("googlenet")
    found = alignment(network, batch)
    assert {r.block for r in found.values} == {4, 5, 8}  # inception4b, 4c and 5a keep the state's shape
    assert {r.form for r in found.values} == {"raw", "centred", "gauge-free"}
