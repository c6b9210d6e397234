"""Tests a network's description on a batch."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from html import escape
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..data.dataset import Batch
from ..errors import ItinfError, shown
from .axes import problem_of_axes
from .block_call import block_calls
from .containers import tensors
from .gauge import random_change
from .hooks import modules_inside, recorded
from .measuring import evaluating
from .network import Network, require_network
from .proofs import faults
from .states import segments
from .trace import Trace, trace, updates

Status = Literal["ok", "failed", "not tested"]

TOLERANCE = 1e-4
"""Largest relative difference between two float32 computations of the same number."""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        subject: what was checked; ``status``: the outcome; ``detail``: names, shapes, sizes.
    """

    subject: str
    status: Status
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.status:<10} {self.subject}" + (f": {self.detail}" if self.detail else "")


@dataclass
class Report:
    """The findings of ``check``; its repr is the report.

    Attributes:
        network: name; ``findings``: every check; ``layout``: one line per block.
    """

    network: str
    findings: list[Finding] = field(default_factory=list)
    layout: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(f.status != "failed" for f in self.findings)

    def __repr__(self) -> str:
        verdict = "the description holds" if self.ok else "the description is wrong"
        return "\n".join([f"{self.network}: {verdict}", *map(str, self.findings), *self.layout])

    def _repr_html_(self) -> str:
        """For notebooks: one row per finding."""
        rows = pd.DataFrame([(f.status, f.subject, f.detail) for f in self.findings], columns=["", "checked", "detail"])
        title, *_ = repr(self).splitlines()
        return f"<div><p>{escape(title)}</p>{rows.to_html(index=False, border=0, escape=True)}</div>"


def check(network: Network, batch: Batch | None = None) -> Report:
    """Tests every claim of a network's description on a batch.

    Args:
        network: the network; not changed.
        batch: a few units with targets; without one, made-up items go through ``network.prepare``.

    Returns:
        The report: outputs are bit-identical under hooks, readout(h_L) gives the model's logits,
        branches and parts add up, a gradient reaches every state, the axes of the states are as the layout says and
        every pass gives the same, the declared gauge holds (tried on a copy), there are as many targets as units.

    Raises:
        ItinfError: no batch and no ``prepare`` to make one.
    """
    require_network(network)
    if batch is not None and not isinstance(batch, Batch):
        raise ItinfError(
            f"The batch is {shown(batch)}; expected an itinf.Batch(inputs, targets, keys). Leave it out to make one up."
        )
    with evaluating(network):
        return _checked(network, sample_batch(network) if batch is None else batch)


def _checked(network: Network, batch: Batch) -> Report:
    report = Report(network.name)
    try:
        batch_trace = trace(network, batch)
    except ItinfError as error:
        report.findings.append(Finding("forward and backward", "failed", str(error)))
        return report
    report.findings += [
        _axes(network, batch, batch_trace),
        _outputs(network, batch),
        readout_finding(batch, batch_trace),
        *_branches(batch_trace),
        *_proofs(network, batch),
        _gradients(batch_trace),
        *_gauge(network, batch),
        Finding("units", "ok", f"{batch_trace.targets.numel()} {network.unit}s in {len(batch_trace)} clusters"),
    ]
    report.layout = _layout(batch_trace)
    return report


def sample_batch(network: Network, clusters: int = 2) -> Batch:
    """A made-up batch: noise images or pieces of a sentence, prepared by the network's own ``prepare``."""
    if network.prepare is None:
        raise ItinfError(f"{network.name} has no prepare, so check cannot make up a batch; give it one.")
    keys = np.arange(clusters, dtype=np.uint64)
    if network.unit == "image":
        from PIL import Image

        noise = np.random.default_rng(0).integers(0, 256, (clusters, 64, 64, 3), dtype=np.uint8)
        images = torch.stack([network.prepare(Image.fromarray(pixels)) for pixels in noise])
        return Batch(images, torch.zeros(clusters, dtype=torch.int64), keys)
    ids = network.prepare("Depth may be gradient descent in activation space, or it may not. " * 8)
    length = min(len(ids) // clusters, (network.context or 32) + 1, 33)
    pieces = ids[: clusters * length].reshape(clusters, length)
    return Batch(pieces[:, :-1], pieces[:, 1:], keys)


def require_readout(network: Network, batch: Batch) -> None:
    """Requires that the network's readout reproduces its model's logits.

    Raises:
        ItinfError: it does not; names the shapes or sizes that disagree.
    """
    finding = readout_finding(batch, trace(network, batch, gradients=False))
    if finding.status == "failed":
        raise ItinfError(f"{network.name}: {finding.subject} does not hold: {finding.detail}. See itinf check.")


def readout_finding(batch: Batch, batch_trace: Trace) -> Finding:
    """Does the readout of the last state give the model's own logits?"""
    network = batch_trace.network
    subject = "readout(h_L) equals the model's logits"
    with torch.no_grad():
        logits = network.readout(network.per_prediction(batch_trace.states[-1]))
        outputs = list(tensors(network.model(network.ready(batch.inputs))).values())
    gaps = [_gap_of_logits(logits, output, batch_trace.targets.shape) for output in outputs]
    known = [gap for gap in gaps if gap is not None]
    if known:
        return Finding(subject, "ok" if min(known) < _tolerance(network) else "failed", _difference(min(known)))
    head_in_model = isinstance(network.head, nn.Module) and any(m is network.head for m in network.model.modules())
    shapes = ", ".join(str(tuple(output.shape)) for output in outputs) or None
    detail = f"the model puts out {shapes}, the readout {tuple(logits.shape)}"
    return Finding(subject, "failed" if head_in_model else "not tested", detail)


def _gap_of_logits(logits: Tensor, output: Tensor, units: torch.Size) -> float | None:
    """Largest relative difference of logits (N·P, classes) and an output of the model; None for an output of another size.

    The logits of tokens may stand with the batch or with the time first.
    """
    if output.numel() != logits.numel() or not output.is_floating_point():
        return None
    orders = [output]
    if output.ndim == 3 and output.shape[:2] == units[::-1]:
        orders.append(output.transpose(0, 1))
    return min(_relative(logits, order.reshape(logits.shape)) for order in orders)


def _difference(gap: float) -> str:
    return f"largest relative difference {gap:.1e}"


def _tolerance(network: Network) -> float:
    """Largest relative difference between two computations of the same number in the network's dtype."""
    return max(TOLERANCE, 8 * torch.finfo(network.dtype).eps)


def _relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-30))


def _outputs(network: Network, batch: Batch) -> Finding:
    inputs = network.ready(batch.inputs)
    with torch.no_grad():
        plain = tensors(network.model(inputs))
        with recorded(network):
            hooked = tensors(network.model(inputs))
    same = plain and plain.keys() == hooked.keys() and all(torch.equal(plain[path], hooked[path]) for path in plain)
    return Finding("outputs are bit-identical under hooks", "ok" if same else "failed")


def _axes(network: Network, batch: Batch, batch_trace: Trace) -> Finding:
    try:
        problem = problem_of_axes(network, batch, batch_trace)
    except ItinfError as error:
        problem = str(error)
    subject = f"the axes of states are {network.layout!r}, and each item's states are its own"
    return Finding(subject, "failed" if problem else "ok", problem)


def _branches(batch_trace: Trace) -> list[Finding]:
    findings = []
    for number, block in enumerate(batch_trace.network.blocks):
        before, after = (batch_trace.states[index[number]] for index in (batch_trace.before, batch_trace.after))
        for what, value in (("branch", batch_trace.branches[number]), ("parts", _total(batch_trace.parts[number]))):
            if value is not None:
                status, detail = _adds_up(before, value, after, what, _tolerance(batch_trace.network))
                findings.append(Finding(f"{block.name}: before + {what} is after", status, detail))
    return _in_few_lines(findings)


def _proofs(network: Network, batch: Batch) -> list[Finding]:
    """What perturbations of every block say, in one line where nothing is wrong."""
    subject = "blocks do what the description says when something in them is changed"
    calls = block_calls(network, network.ready(batch.inputs))
    findings = [Finding(f"{call.block.name}: {subject}", "failed", fault) for call in calls for fault in faults(call)]
    described = sum(bool(modules_inside(call.block)) for call in calls)
    return findings or [Finding(subject, "ok" if described else "not tested", f"{described} of {len(calls)}")]


def _adds_up(before: Tensor, value: Tensor, after: Tensor, what: str, tolerance: float) -> tuple[Status, str]:
    """Status and detail of before + value = after."""
    if before.shape != after.shape:
        if value.shape == after.shape:
            return "not tested", f"the shortcut changes the shape, {_shapes(before, after)}"
        return "failed", f"{what} {tuple(value.shape)}, states {_shapes(before, after)}"
    if value.shape != after.shape:
        return "failed", f"{what} {tuple(value.shape)}, states {tuple(after.shape)}"
    total = before + value
    gap = min(_relative(total, after), _relative(total.relu(), after))
    if gap < tolerance:
        return "ok", ""
    return "failed", f"they differ by {gap:.1e} of the largest entry, with and without a final ReLU"


def _total(parts: dict[str, Tensor]) -> Tensor | None:
    return sum(parts.values(), torch.zeros(())) if parts else None


def _in_few_lines(findings: list[Finding]) -> list[Finding]:
    """One line for all findings that are ok, one for all not tested, and one for each failure."""
    failed = [f for f in findings if f.status == "failed"]
    for status in ("ok", "not tested"):
        same = [f for f in findings if f.status == status]
        if same:
            detail = f"{len(same)} of {len(findings)}" + (f" ({same[0].detail})" if same[0].detail else "")
            failed.append(Finding("before + branch (or parts) is after", status, detail))
    return failed


def _gradients(batch_trace: Trace) -> Finding:
    subject = "a gradient at every state"
    gradients = batch_trace.gradients["label"].states
    for state, gradient in enumerate(gradients):
        size = float(torch.linalg.vector_norm(gradient, dtype=torch.float64))
        if not np.isfinite(size) or size == 0:
            return Finding(subject, "failed", f"state {state} of {len(gradients) - 1} has a gradient of norm {size}")
    return Finding(subject, "ok")


def _gauge(network: Network, batch: Batch) -> list[Finding]:
    subject = f"gauge {network.gauge}"
    if network.gauge is None:
        return [Finding("gauge", "ok", "every layer has its own: gauge-fixed forms are missing")]
    norms = [name for name, m in network.model.named_modules() if type(m).__name__.endswith(("LayerNorm", "RMSNorm"))]
    if network.gauge == "channel-scale" and norms:
        return [
            Finding(subject, "failed", f"{norms[0]!r} normalises over channels, so scaling one changes the function")
        ]
    if network.regauge is None:
        return [Finding(subject, "not tested", "declared, no regauge to test it with")]
    plain = copy.deepcopy(network).to("cpu", torch.float64)
    reference = trace(plain, batch, gradients=False)
    numbers = segments(reference)
    main = [reference.before[0], *reference.after]
    findings = []
    for segment in sorted(set(numbers)):
        states = [n for n, state in enumerate(main) if numbers[state] == segment]
        if states:
            findings.append(_regauged(plain, batch, reference, main, states, subject))
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
        gap = _relative(new, expected)
        if gap > TOLERANCE:
            return Finding(subject, "failed", f"state {state} is not the changed one ({gap:.1e} off)")
    with torch.no_grad():
        logits = [
            n.readout(n.per_prediction(t.states[-1])) for n, t in ((network, reference), (changed, changed_trace))
        ]
    gap = _relative(logits[1], logits[0])
    detail = f"logits differ by {gap:.1e}"
    return Finding(subject, "ok" if gap < TOLERANCE else "failed", detail)


def _layout(batch_trace: Trace) -> list[str]:
    numbers = segments(batch_trace)
    joined = [batch_trace.before[0], *batch_trace.after[:-1]]
    lines = [f"{'block':<24}{'before':>14}{'after':>14}  segment  updates"]
    for number, block in enumerate(batch_trace.network.blocks):
        ends = batch_trace.before[number], batch_trace.after[number]
        before, after = ("×".join(map(str, batch_trace.states[end].shape[1:])) for end in ends)
        kinds = [part or update for update, part in updates(batch_trace, number)] or ["none: the shapes differ"]
        bridge = "  (a bridge stands before)" if ends[0] != joined[number] else ""
        segment = numbers[ends[1]]
        lines.append(f"{block.name:<24}{before:>14}{after:>14}  {segment:<7}  {', '.join(kinds)}{bridge}")
    return lines


def _shapes(before: Tensor, after: Tensor) -> str:
    return f"{tuple(before.shape)} to {tuple(after.shape)}"
