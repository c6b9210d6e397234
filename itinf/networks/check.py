"""Proving a network's description instead of trusting it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..data.dataset import Batch
from ..errors import ItinfError
from .gauge import random_change
from .hooks import first_tensor, tapped
from .network import Network
from .states import segments
from .trace import Trace, trace, updates

Status = Literal["ok", "failed", "not tested"]

TOLERANCE = 1e-4
"""Largest relative difference between two ways to the same number in float32."""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        subject: what; ``status``: how it came out; ``detail``: names, shapes, sizes.
    """

    subject: str
    status: Status
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.status:<10} {self.subject}" + (f": {self.detail}" if self.detail else "")


@dataclass
class Report:
    """What ``check`` found; its repr is the report.

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


def check(network: Network, batch: Batch | None = None) -> Report:
    """Tests every claim of a network's description on a batch.

    Args:
        network: the network; not changed.
        batch: a few units with targets; made up through ``network.prepare`` where not given.

    Returns:
        The report: outputs are bit-identical under taps, readout(h_L) gives the model's logits,
        branches and parts add up, a gradient reaches every state, the declared gauge (tried on a
        copy), units and targets agree in number.

    Raises:
        ItinfError: no batch and no ``prepare`` to make one.
    """
    batch = sample_batch(network) if batch is None else batch
    report = Report(network.name)
    try:
        seen = trace(network, batch)
    except ItinfError as error:
        report.findings.append(Finding("forward and backward", "failed", str(error)))
        return report
    report.findings += [
        _taps(network, batch),
        readout_finding(batch, seen),
        *_branches(seen),
        _gradients(seen),
        *_gauge(network, batch),
        Finding("units", "ok", f"{seen.targets.numel()} {network.unit}s in {len(seen)} clusters"),
    ]
    report.layout = _layout(seen)
    return report


def sample_batch(network: Network, clusters: int = 2) -> Batch:
    """A made-up batch: noise images or a sentence, through the network's own ``prepare``."""
    if network.prepare is None:
        raise ItinfError(f"{network.name} has no prepare, so no input can be made up; give check a batch.")
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
    """Refuses a network whose readout does not reproduce its model's logits.

    Raises:
        ItinfError: with the shapes or sizes that disagree.
    """
    finding = readout_finding(batch, trace(network, batch, gradients=False))
    if finding.status == "failed":
        raise ItinfError(f"{network.name}: {finding.subject} does not hold: {finding.detail}. See itinf check.")


def readout_finding(batch: Batch, seen: Trace) -> Finding:
    """Does the readout of the last state give the model's own logits?"""
    network = seen.network
    subject = "readout(h_L) equals the model's logits"
    with torch.no_grad():
        logits = network.readout(network.per_prediction(seen.states[-1]))
        own = first_tensor(network.model(_inputs(network, batch)))
    inside = isinstance(network.head, nn.Module) and any(m is network.head for m in network.model.modules())
    if own is None or own.numel() != logits.numel():
        detail = f"the model puts out {None if own is None else tuple(own.shape)}, the readout {tuple(logits.shape)}"
        return Finding(subject, "failed" if inside else "not tested", detail)
    gap = _relative(logits, own.reshape(logits.shape))
    return Finding(subject, "ok" if gap < TOLERANCE else "failed", f"largest relative difference {gap:.1e}")


def _inputs(network: Network, batch: Batch) -> Tensor:
    inputs = batch.inputs.to(network.device)
    return inputs.to(network.dtype) if inputs.is_floating_point() else inputs


def _relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-30))


def _taps(network: Network, batch: Batch) -> Finding:
    inputs = _inputs(network, batch)
    with torch.no_grad():
        plain = first_tensor(network.model(inputs))
        with tapped(network):
            under = first_tensor(network.model(inputs))
    same = plain is not None and under is not None and torch.equal(plain, under)
    return Finding("outputs are bit-identical under taps", "ok" if same else "failed")


def _branches(seen: Trace) -> list[Finding]:
    network = seen.network
    findings = []
    for place, block in enumerate(network.blocks):
        before, after = seen.states[seen.before[place]], seen.states[seen.after[place]]
        for what, value in (("branch", seen.branches[place]), ("parts", _total(seen.parts[place]))):
            if value is None:
                continue
            subject = f"{block.name}: before + {what} is after"
            if before.shape != after.shape:
                if value.shape == after.shape:
                    findings.append(
                        Finding(subject, "not tested", f"the shortcut changes the shape, {_shapes(before, after)}")
                    )
                    continue
                findings.append(
                    Finding(subject, "failed", f"{what} {tuple(value.shape)}, states {_shapes(before, after)}")
                )
            elif value.shape != after.shape:
                findings.append(Finding(subject, "failed", f"{what} {tuple(value.shape)}, states {tuple(after.shape)}"))
            else:
                total = before + value
                gap = min(_relative(total, after), _relative(total.relu(), after))
                detail = (
                    ""
                    if gap < TOLERANCE
                    else f"they differ by {gap:.1e} of the largest entry, with and without a final ReLU"
                )
                findings.append(Finding(subject, "ok" if gap < TOLERANCE else "failed", detail))
    return _summed(findings)


def _total(parts: dict[str, Tensor]) -> Tensor | None:
    return sum(parts.values(), torch.zeros(())) if parts else None


def _summed(findings: list[Finding]) -> list[Finding]:
    """Many findings of one kind in one line, failures each in their own."""
    failed = [f for f in findings if f.status == "failed"]
    for status in ("ok", "not tested"):
        same = [f for f in findings if f.status == status]
        if same:
            detail = f"{len(same)} of {len(findings)}" + (f" ({same[0].detail})" if same[0].detail else "")
            failed.append(Finding("before + branch (or parts) is after", status, detail))
    return failed


def _gradients(seen: Trace) -> Finding:
    subject = "a gradient at every state"
    for place, gradient in enumerate(seen.gradients["label"].states):
        size = float(torch.linalg.vector_norm(gradient, dtype=torch.float64))
        if not np.isfinite(size) or size == 0:
            return Finding(subject, "failed", f"state {place} of {len(seen.states) - 1} has a gradient of norm {size}")
    return Finding(subject, "ok")


def _gauge(network: Network, batch: Batch) -> list[Finding]:
    subject = f"gauge {network.gauge}"
    if network.gauge is None:
        return [Finding("gauge", "ok", "every layer its own: gauge-fixed forms are missing")]
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
        states = [n for n, place in enumerate(main) if numbers[place] == segment]
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
    seen = trace(changed, batch, gradients=False)
    subject = f"{subject}, states {states[0]}–{states[-1]}"
    for state in states:
        given, found = (network.canonical(t.states[main[state]]) for t in (reference, seen))  # (N, P, C, S)
        wanted = given * change[:, None] if change.ndim == 1 else torch.einsum("dc,npcs->npds", change, given)
        gap = _relative(found, wanted)
        if gap > TOLERANCE:
            return Finding(subject, "failed", f"state {state} is not the changed one ({gap:.1e} off)")
    with torch.no_grad():
        logits = [n.readout(n.per_prediction(t.states[-1])) for n, t in ((network, reference), (changed, seen))]
    gap = _relative(logits[1], logits[0])
    detail = f"logits differ by {gap:.1e}"
    return Finding(subject, "ok" if gap < TOLERANCE else "failed", detail)


def _layout(seen: Trace) -> list[str]:
    network = seen.network
    numbers = segments(seen)
    joined = [seen.before[0], *seen.after[:-1]]
    lines = [f"{'block':<24}{'before':>14}{'after':>14}  segment  updates"]
    for place, block in enumerate(network.blocks):
        before, after = (seen.states[i[place]] for i in (seen.before, seen.after))
        kinds = [part or update for update, part in updates(seen, place)] or ["none: nothing of one shape"]
        bridge = "  (a bridge stands before)" if seen.before[place] != joined[place] else ""
        sizes = (("×".join(map(str, s.shape[1:]))) for s in (before, after))
        lines.append(
            f"{block.name:<24}{next(sizes):>14}{next(sizes):>14}  {numbers[seen.after[place]]:<7}  {', '.join(kinds)}{bridge}"
        )
    return lines


def _shapes(before: Tensor, after: Tensor) -> str:
    return f"{tuple(before.shape)} to {tuple(after.shape)}"
