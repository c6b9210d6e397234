"""The layer of a predictive-coding language model: it subtracts from every prediction the errors of earlier predictions."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNELS = ("exp", "linear")
ERRORS = ("prediction", "truth", "ascent")
UNKNOWN = -1
"""The target of a position whose next token is not given."""


def following(ids: Tensor) -> Tensor:
    """The next token of every position, (N, T); that of the last one is ``UNKNOWN``."""
    return F.pad(ids[:, 1:], (0, 1), value=UNKNOWN)


def errors(prediction: Tensor, targets: Tensor, head: Any, kind: str = "prediction") -> Tensor:
    """The error of every prediction, −∂ℓ/∂ŷ of the cross-entropy ℓ of the logits Uŷ + b.

    Args:
        prediction: ŷ, (N, T, d).
        targets: true next tokens, (N, T); where they are ``UNKNOWN`` the error is zero.
        head: a linear readout with ``weight`` U (V, d) and ``bias`` b; a weight of None is the identity.
        kind: ``prediction`` is Uᵀ(onehot − softmax); ``ascent`` its negative; ``truth`` is Uᵀ onehot, which the
            prediction has no part in.

    Returns:
        (N, T, d) errors.
    """
    known = targets >= 0
    wanted = targets.clamp_min(0)
    rows = (
        F.one_hot(wanted, head.out_features).to(prediction) if head.weight is None else F.embedding(wanted, head.weight)
    )
    if kind != "truth":
        logits = prediction if head.weight is None else F.linear(prediction, head.weight, head.bias)
        shares = logits.softmax(-1)
        rows = rows - (shares if head.weight is None else shares @ head.weight)
    return torch.where(known[..., None], -rows if kind == "ascent" else rows, 0.0)


def carried(kernel: Tensor, errors: Tensor, causal: bool = True) -> Tensor:
    """What position j takes over from the errors e_i: Σ_i k(i, j) e_i, over i < j where it is causal.

    The error of i needs token i + 1, which position j knows from j = i + 1 on. With i = j the target would leak.

    Args:
        kernel: symmetric, (N, T, T); ``errors``: (N, T, d).
    """
    return (kernel.tril(-1) if causal else kernel) @ errors


class Correction(nn.Module):
    """One gradient step of all predictions at once: ŷ_j += Σ_i<j Σ_h η_h k_h(x_i, x_j) e_i.

    Queries and keys are the same features φx, and nothing stands between e_i and the sum, neither a value map nor a
    map of the output. So the kernel is symmetric and positive semidefinite, and the step is a step down the gradient
    (a learned map could turn its sign).

    Args:
        tokens: width of the slot of true tokens, the first one of the state; the other slot is the prediction.
        heads: number of kernels; ``features``: x -> φx, all heads in one vector.
        kernel: ``linear`` ⟨φx_i, φx_j⟩, or ``exp`` exp(β(⟨φx_i, φx_j⟩ − 1)) of φx at unit length.
        error: see ``errors``; ``causal``: see ``carried``.
        rate, sharpness: η and β to begin with; both are trained as logarithms, so they stay positive.
    """

    def __init__(
        self,
        tokens: int,
        features: nn.Module,
        *,
        heads: int = 1,
        kernel: str = "linear",
        error: str = "prediction",
        causal: bool = True,
        rate: float = 1.0,
        sharpness: float = 4.0,
    ) -> None:
        super().__init__()
        self.tokens, self.heads, self.kind, self.error, self.causal = tokens, heads, kernel, error, causal
        self.start = math.log(rate), math.log(sharpness)
        self.features = features
        self.log_rate = nn.Parameter(torch.full((heads,), self.start[0]))
        self.log_sharpness = nn.Parameter(torch.full((heads,), self.start[1])) if kernel == "exp" else None

    def kernel(self, x: Tensor) -> Tensor:
        """Σ_h η_h k_h(x_i, x_j), (N, T, T), of token features x (N, T, tokens)."""
        features = self.features(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, heads, T, width)
        rates = self.log_rate.exp()
        if self.log_sharpness is None:
            return torch.einsum("h,nhik,nhjk->nij", rates, features, features)
        features = F.normalize(features, dim=-1)
        nearness = features @ features.mT - 1
        return (nearness * self.log_sharpness.exp()[:, None, None]).exp().mul(rates[:, None, None]).sum(1)

    def forward(self, state: Tensor, targets: Tensor, head: nn.Module) -> Tensor:
        """The update of a state (N, T, tokens + d): zero in the slot of true tokens."""
        x, prediction = state[..., : self.tokens], state[..., self.tokens :]
        update = carried(self.kernel(x), errors(prediction, targets, head, self.error), self.causal)
        return torch.cat([torch.zeros_like(x), update.to(prediction.dtype)], -1)


class Layer(nn.Module):
    """state -> state + correction."""

    def __init__(self, correction: Correction) -> None:
        super().__init__()
        self.correction = correction

    def forward(self, state: Tensor, targets: Tensor, head: nn.Module) -> Tensor:
        return state + self.correction(state, targets, head)


class PredictiveCoding(nn.Module):
    """What both models share: states of two slots, errors and predictions at known places, one readout.

    Attributes:
        layers: the corrections; ``head``: the one readout of all predictions.
        tokens: width of the slot of true tokens; it is followed by the prediction of the next token.
    """

    layers: nn.ModuleList
    head: Any
    tokens: int

    @property
    def places(self) -> dict[str, slice]:
        """Where in a state the true tokens and the prediction are."""
        return {"token": slice(0, self.tokens), "prediction": slice(self.tokens, None)}

    def first(self, ids: Tensor) -> Tensor:
        """The first state, cat[x, ŷ], of ids (N, T)."""
        raise NotImplementedError

    def states(self, ids: Tensor) -> list[Tensor]:
        """h_0 … h_L of ids (N, T), each (N, T, width)."""
        states, targets = [self.first(ids)], following(ids)
        for layer in self.layers:
            states.append(layer(states[-1], targets, self.head))
        return states

    def errors(self, ids: Tensor) -> list[Tensor]:
        """The errors that each layer subtracts, one (N, T, d) tensor per layer; zero at the last position."""
        targets = following(ids)
        corrections: list[Any] = [layer.correction for layer in self.layers]
        return [
            errors(state[..., self.tokens :], targets, self.head, correction.error)
            for correction, state in zip(corrections, self.states(ids), strict=False)
        ]

    def read(self, state: Tensor) -> Tensor:
        """The logits (N, T, V) of the prediction in a state."""
        return self.head(state[..., self.tokens :])


class Slot(nn.Module):
    """The prediction in a state: what the readout of the network reads."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(self, rows: Tensor) -> Tensor:
        return rows[..., self.tokens :]
