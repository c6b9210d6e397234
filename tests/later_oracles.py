"""Sequences and tabular language models whose later effects are known by construction, and the same effects in plain torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

import itinf
from itinf import Network
from language.correction import Correction, Layer
from language.encoder import BYTES, Encoder
from language.predictive import opened
from language.predictive_tabular import Tabular
from oracles import generator
from tiny import Items

V = 30
AFTER = 20


class Mean(Correction):
    """A correction with weights that add up to 1, as attention has: the mean over earlier errors at the same token."""

    def kernel(self, x: Tensor) -> Tensor:
        kernel = super().kernel(x)
        return kernel / kernel.tril(-1).sum(2, keepdim=True).clamp_min(1e-9)


def tabular(error: str = "prediction", steps: int = 1, rate: float = 0.5, mean: bool = False, seed: int = 0) -> Network:
    """The tabular model of random counts, in float64."""
    table = table_of(seed)
    model = Tabular(table, steps, rate, error)
    if mean:
        layers = (Layer(Mean(V, torch.nn.Identity(), rate=rate, error=error)) for _ in range(steps))
        model.layers = torch.nn.ModuleList(layers).to(table.dtype)
    return opened(model, prepare=Encoder(BYTES, V), context=256, causal=True, name="tabular", weights="as given")


def table_of(seed: int = 0, size: float = 2.0) -> Tensor:
    return torch.randn(V, V, generator=generator(seed), dtype=torch.float64) * size


def text(count: int = 24, length: int = 60, own: float = 1.0, seed: int = 1) -> Items:
    """Sequences from the table, each from a table of its own near it: so a sequence teaches something."""
    draw = generator(seed)
    shares = (table_of() + own * torch.randn(count, V, V, generator=draw, dtype=torch.float64)).softmax(2)
    ids = torch.randint(V, (count, 1), generator=draw)
    for _ in range(length):
        ids = torch.cat([ids, torch.multinomial(shares[torch.arange(count), ids[:, -1]], 1, generator=draw)], 1)
    return Items("token", ids[:, :-1], ids[:, 1:])


def centred(logits: Tensor, token: int) -> Tensor:
    """z_v − mean z of logits (…, V)."""
    return logits[..., token] - logits.mean(-1)


def plain_effect(
    network: Network, ids: Tensor, state: int, earlier: int, later: int, raised: int, read: int, nats: float = 1e-5
) -> float:
    """χ of a network of one residual stream by a finite difference, with one hook of torch and no code of the probe."""
    model, kept = network.model, {}
    blocks = [model.get_submodule(block.name) for block in network.blocks]

    # the state before block k is its first argument; the last state is what the last block puts out
    def take(module, args):
        kept["h"] = args[0].detach().clone()

    handle = blocks[state].register_forward_pre_hook(take)
    before = model(ids.unsqueeze(0)).logits[0, later].detach()
    handle.remove()
    h = kept["h"][0, earlier].clone().requires_grad_()
    z = network.head(network.neck(h) if network.neck is not None else h)
    (d,) = torch.autograd.grad(centred(z, raised), h)
    step = nats * d / d.square().sum()

    def add(module, args):
        moved = args[0].clone()
        moved[0, earlier] += step
        return (moved, *args[1:])

    handle = blocks[state].register_forward_pre_hook(add)
    after = model(ids.unsqueeze(0)).logits[0, later].detach()
    handle.remove()
    return float((centred(after, read) - centred(before, read)) / nats)


def detected(network: Network, data: Items) -> tuple[float, float]:
    """Error over copy by regression, with half of its 95 % interval: the detector that misleads.

    The update of every position is regressed on T = Σ onehot(true next token) and P = Σ p over earlier positions with the
    same token, and so on later ones, as a null; error / copy is that of the excess of the coefficients.
    """
    each = []
    for ids, following in zip(data.inputs, data.targets, strict=True):
        with torch.no_grad():
            states = network.model.states(ids.unsqueeze(0))
            update, p = (states[1] - states[0])[0, :, V:], network.model.read(states[-1])[0].softmax(1)
        match = (ids[:, None] == ids[None, :]).double()
        earlier, later = match.tril(-1), match.triu(1)
        both = (earlier.sum(1) > 0) & (later.sum(1) > 0)
        wanted = F.one_hot(following, V).double()
        each.append(torch.stack([_normal((m @ wanted)[both], (m @ p)[both], update[both]) for m in (earlier, later)]))
    sums = torch.stack(each)  # (N, 2, 5)
    whole = sums.sum(0)
    without = torch.stack([_ratio(whole - one) for one in sums])
    spread = (without - without.mean()).square().mean() * (len(sums) - 1)
    return float(_ratio(whole)), 1.96 * float(spread.sqrt())


def _normal(t: Tensor, p: Tensor, u: Tensor) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in ((t, t), (t, p), (p, p), (t, u), (p, u))])


def _ratio(sums: Tensor) -> Tensor:
    forward, null = (
        torch.linalg.solve(torch.stack([torch.stack([tt, tp]), torch.stack([tp, pp])]), torch.stack([tu, pu]))
        for tt, tp, pp, tu, pu in sums
    )
    excess = forward - null
    return -excess[1] / excess[0]


def probe(**settings) -> itinf.LaterResponse:
    return itinf.LaterResponse(**({"after": AFTER, "finite_one_in": 2} | settings))
