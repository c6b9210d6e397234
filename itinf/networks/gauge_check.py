"""Tests the gauge that a description declares."""

from __future__ import annotations

import copy

import torch

from ..data.dataset import Batch
from ..errors import ItinfError
from .block_call import block_calls
from .findings import TOLERANCE, Finding, relative
from .gauge import random_change
from .gauge_proof import prove_gauge
from .network import Network
from .states import segments
from .trace import Trace, trace

LARGEST = 500_000_000
"""Number of parameters up to which copies of a network are made."""


def gauge_findings(network: Network, batch: Batch) -> list[Finding]:
    """Does the declared gauge hold? Its ``regauge`` is tried on a copy; without one, every block has to absorb a change."""
    subject = f"gauge {network.gauge}"
    if network.gauge is None:
        return [Finding("gauge", "ok", "none is declared: gauge-fixed forms are missing")]
    if network.regauge is None:
        inputs = network.ready(batch.inputs[:1])
        holds, why = prove_gauge(network, inputs, block_calls(network, inputs), network.gauge)
        if holds is None:
            return [Finding(subject, "not tested", f"{why}; a regauge would show it")]
        advice = "" if holds else ". Give gauge=None, or the regauge that shows it"
        return [Finding(subject, "ok" if holds else "failed", why + advice)]
    size = sum(p.numel() for p in network.model.parameters())
    if size > LARGEST:
        return [Finding(subject, "not tested", f"{size / 1e6:,.0f} M parameters; it takes two copies in float64")]
    plain = copy.deepcopy(network).to("cpu", torch.float64)
    reference = trace(plain, batch, gradients=False)
    numbers = segments(reference)
    main = [reference.before[0], *reference.after]
    findings = []
    for segment in sorted(set(numbers)):
        states = [n for n, state in enumerate(main) if numbers[state] == segment]
        if states:
            try:
                findings.append(_regauged(plain, batch, reference, main, states, subject))
            except ItinfError as error:  # the regauge refuses states, as where a block is left out of the description
                findings.append(Finding(subject, "not tested", str(error)))
    return findings


def _regauged(
    network: Network, batch: Batch, reference: Trace, main: list[int], states: list[int], subject: str
) -> Finding:
    changed = copy.deepcopy(network)
    width = network.width(reference.states[main[states[0]]])
    change = random_change(network.gauge or "", width)
    assert network.regauge is not None
    network.regauge(changed.model, states, change)
    changed_trace = trace(changed, batch, gradients=False)
    subject = f"{subject}, states {states[0]}–{states[-1]}"
    for state in states:
        old, new = (network.canonical(t.states[main[state]]) for t in (reference, changed_trace))  # (N, P, C, S)
        expected = old * change[:, None] if change.ndim == 1 else torch.einsum("dc,npcs->npds", change, old)
        gap = relative(new, expected)
        if gap > TOLERANCE:
            return Finding(subject, "failed", f"state {state} is not the changed one ({gap:.1e} off)")
    with torch.no_grad():
        logits = [
            n.readout(n.per_prediction(t.states[-1])) for n, t in ((network, reference), (changed, changed_trace))
        ]
    gap = relative(logits[1], logits[0])
    detail = f"logits differ by {gap:.1e}"
    return Finding(subject, "ok" if gap < TOLERANCE else "failed", detail)
