"""Whether a position of a token network sees only the tokens up to it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..data.dataset import Batch
from .findings import Finding, tolerance
from .network import Network
from .trace import Trace, trace


def prefix_findings(network: Network, batch: Batch, whole: Trace) -> list[Finding]:
    """Do states and logits at positions ≤ i stay when the tokens after i change? One finding, for token networks alone.

    Args:
        network: the network; what it says of itself is ``causal``.
        batch: a few clusters; ``whole``: its trace.
    """
    if network.unit != "token":
        return []
    subject = "position i sees only tokens ≤ i"
    known = batch.inputs.unique()
    if batch.inputs.is_floating_point() or batch.inputs.shape[1] < 2 or len(known) < 2:
        return [Finding(subject, "not tested", "it needs sequences of two ids or more, that are not all the same")]
    length = batch.inputs.shape[1]
    gap = max(_gap(network, batch, whole, known, last) for last in {length // 2 - 1, length - 2})
    detail = f"when later tokens change, states and logits change by {gap:.1e}"
    if gap < tolerance(network):
        if network.causal:
            return [Finding(subject, "ok", detail)]
        return [Finding(subject, "failed", f"{detail}, and the description says causal=False")]
    if not network.causal:
        return [
            Finding(
                "positions see later tokens, as causal=False says", "ok", f"{detail}; its losses are no predictions"
            )
        ]
    advice = (
        "so a mask lets later tokens in, and losses on next tokens are no predictions. Correct the mask; for a network that is "
        "to see them, say causal=False"
    )
    return [Finding(subject, "failed", f"{detail}, {advice}")]


def _gap(network: Network, batch: Batch, whole: Trace, known: Tensor, last: int) -> float:
    """Largest relative change of a state or of logits at positions ≤ ``last`` when every later token is another one."""
    inputs = batch.inputs.clone()
    places = torch.searchsorted(known, inputs[:, last + 1 :].contiguous())
    inputs[:, last + 1 :] = known[(places + 1) % len(known)]
    other = trace(network, replace(batch, inputs=inputs), gradients=False)
    return max(
        _change(a[:, : last + 1], b[:, : last + 1])
        for a, b in zip(_with_logits(whole), _with_logits(other), strict=True)
    )


@torch.no_grad()
def _with_logits(found: Trace) -> list[Tensor]:
    """The states, and the logits with the same axes (N, T, …)."""
    last = found.states[-1]
    logits = found.network.readout(found.network.per_prediction(last))
    return [*found.states, logits.unflatten(0, last.shape[:2])]


def _change(before: Tensor, after: Tensor) -> float:
    """Largest norm of a difference at a position, as a share of the norm there: at some positions all is far larger."""
    gap = (after - before).double().norm(dim=-1) / before.double().norm(dim=-1).clamp_min(1e-30)
    return float(gap.max())
