"""Tests a network's description on a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ..data.clusters import load_batch
from ..data.dataset import Batch, Data
from ..errors import ItinfError, shown
from .axes import problem_of_axes, require_padding_unseen
from .block_call import block_calls
from .containers import tensors
from .findings import Finding, Report, Status, relative, tolerance
from .gauge_check import gauge_findings
from .hooks import modules_inside, recorded
from .measuring import evaluating
from .network import Network, require_network
from .prefix import prefix_findings
from .proofs import faults
from .skips import has_skips
from .states import segments
from .suggestions import readers, seen_blocks
from .trace import Trace, trace, updates

FEW = 3
"""Clusters that are enough for the proofs: they run together, again, and without the first."""
SHORT = 32
"""Length of the sequences of which blocks are called by themselves."""


def check(network: Network, batch: Batch | None = None) -> Report:
    """Tests every claim of a network's description on a batch.

    Args:
        network: the network; not changed.
        batch: a few units with targets; without one, made-up items go through ``network.prepare``.

    Returns:
        The report: outputs are bit-identical under hooks, readout(h_L) gives the model's logits,
        branches and parts add up, a gradient reaches every state, the axes of the states are as the layout says and
        every pass gives the same, the declared gauge holds (tried on a copy), positions of a token network see no later
        tokens, there are as many targets as units.

    Raises:
        ItinfError: no batch and no ``prepare`` to make one.
    """
    require_network(network)
    if batch is not None and not isinstance(batch, Batch):
        raise ItinfError(
            f"The batch is {shown(batch)}; expected an itinf.Batch(inputs, targets, keys). Leave it out to make one up."
        )
    with evaluating(network):
        batch = sample_batch(network) if batch is None else batch
        report = Report(network.name)
        try:
            batch_trace = trace(network, batch)
        except ItinfError as error:
            report.findings.append(Finding("forward and backward", "failed", str(error)))
            return report
        units = f"{batch_trace.targets.numel()} {network.unit}s in {len(batch_trace)} clusters"
        report.findings += [
            *_proofs(network, batch, batch_trace),
            *prefix_findings(network, batch, batch_trace),
            _gradients(batch_trace),
            Finding("units", "ok", units),
            *(Finding("left out", "not tested", sentence) for sentence in network.left_out),
        ]
        report.layout = _layout(batch_trace)
        return report


def require_proven(network: Network, data: Data, indices: np.ndarray) -> None:
    """Requires that the description of a network holds on the data: nothing that fails a proof is measured.

    Args:
        network: the network; it is proven once.
        data: the data set; a few of its clusters are read. ``indices``: the clusters that will be measured.

    Raises:
        ItinfError: what does not hold, or the network attends to padding of the data.
    """
    require_padding_unseen(network, data)
    if network.proven:
        return
    batch = load_batch(data, indices[:FEW])
    findings = _proofs(network, batch, trace(network, batch, gradients=False))
    failed = [f"{finding.subject}: {finding.detail}" for finding in findings if finding.status == "failed"]
    if failed:
        more = f" ({len(failed) - 1} more)" if len(failed) > 1 else ""
        raise ItinfError(f"{network.name} is not what its description says. {failed[0]}{more}. See itinf check.")
    network.proven = True


def _proofs(network: Network, batch: Batch, batch_trace: Trace) -> list[Finding]:
    """Everything that has to hold before a network is measured."""
    return [
        _axes(network, batch, batch_trace),
        _outputs(network, batch),
        readout_finding(batch, batch_trace),
        *_blocks(network, batch, batch_trace),
        _skips(network, batch),
        *gauge_findings(network, batch),
    ]


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
    words = network.prepare("Depth may be gradient descent in activation space, or it may not. " * 8)
    length = min(len(words) // clusters, (network.context or 32) + 1, 33)
    pieces = words[: clusters * length].reshape(clusters, length)
    if network.unit == "text":
        return Batch(pieces[:, :-1], torch.zeros(clusters, dtype=torch.int64), keys)
    return Batch(pieces[:, :-1], pieces[:, 1:], keys)


def readout_finding(batch: Batch, batch_trace: Trace) -> Finding:
    """Does the readout of the last state give the model's own logits?"""
    network = batch_trace.network
    subject = "readout(h_L) equals the model's logits"
    with torch.no_grad():
        logits = network.readout(network.per_prediction(batch_trace.states[-1]))
        outputs = list(tensors(network.model(network.ready(batch.inputs))).values())
    gaps = [_gap_of_logits(logits, output, batch_trace.targets.shape) for output in outputs]
    known = [gap for gap in gaps if gap is not None]
    if known and min(known) < tolerance(network):
        return Finding(subject, "ok", _difference(min(known)))
    advice = readers(network, short(network, batch.inputs))
    if known:
        return Finding(subject, "failed", _difference(min(known)) + advice)
    head_in_model = isinstance(network.head, nn.Module) and any(m is network.head for m in network.model.modules())
    shapes = ", ".join(str(tuple(output.shape)) for output in outputs) or None
    detail = f"the model puts out {shapes}, the readout {tuple(logits.shape)}{advice}"
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
    return min(relative(logits, order.reshape(logits.shape)) for order in orders)


def _difference(gap: float) -> str:
    return f"largest relative difference {gap:.1e}"


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


def _blocks(network: Network, batch: Batch, batch_trace: Trace) -> list[Finding]:
    """Do branches and parts add up, and does each block do what the description says when something in it changes?"""
    sums: list[Finding] = []
    wrong: dict[int, list[Finding]] = {}
    for number, block in enumerate(network.blocks):
        before, after = (batch_trace.states[index[number]] for index in (batch_trace.before, batch_trace.after))
        for what, value in (("branch", batch_trace.branches[number]), ("parts", _total(batch_trace.parts[number]))):
            if value is not None:
                status, detail = _adds_up(before, value, after, what, tolerance(network))
                sums.append(Finding(f"{block.name}: before + {what} is after", status, detail))
                if status == "failed":
                    wrong.setdefault(number, []).append(sums[-1])
    subject = "blocks do what the description says when something in them is changed"
    calls = block_calls(network, short(network, batch.inputs))
    for number, call in enumerate(calls):
        if number not in wrong:
            found = [Finding(f"{call.block.name}: {subject}", "failed", fault) for fault in faults(call.in_float32())]
            wrong |= {number: found} if found else {}
    described = sum(bool(modules_inside(call.block)) for call in calls)
    if not any(f.subject.endswith(subject) for found in wrong.values() for f in found):
        sums.append(Finding(subject, "ok" if described else "not tested", f"{described} of {len(calls)}"))
    return [*_in_few_lines([f for f in sums if f.status != "failed"]), *_with_advice(network, batch, wrong)]


def _with_advice(network: Network, batch: Batch, wrong: dict[int, list[Finding]]) -> list[Finding]:
    """The findings about wrong blocks, with what a recorded pass sees there instead."""
    if not wrong:
        return []
    seen = seen_blocks(network, short(network, batch.inputs))
    return [replace(f, detail=f.detail + seen[number]) for number, found in wrong.items() for f in found]


def _skips(network: Network, batch: Batch) -> Finding:
    subject = "whether blocks pass their input on"
    network.skips = has_skips(network, short(network, batch.inputs))
    if network.skips is None:
        return Finding(subject, "not tested", "the pass could not be recorded")
    return Finding(subject, "ok", "there are skips" if network.skips else "there are no skips")


def short(network: Network, inputs: Tensor) -> Tensor:
    """Two items, ready, of sequences only the beginnings: what is recorded, or called again and again, is kept small."""
    ids = network.unit != "image" and not inputs.is_floating_point()
    return network.ready(inputs[:2, :SHORT] if ids else inputs[:2])


def _adds_up(before: Tensor, value: Tensor, after: Tensor, what: str, tolerance: float) -> tuple[Status, str]:
    """Status and detail of before + value = after."""
    if before.shape != after.shape:
        if value.shape == after.shape:
            return "not tested", f"the shortcut changes the shape, {_shapes(before, after)}"
        return "failed", f"{what} {tuple(value.shape)}, states {_shapes(before, after)}"
    if value.shape != after.shape:
        return "failed", f"{what} {tuple(value.shape)}, states {tuple(after.shape)}"
    total = before + value
    gap = min(relative(total, after), relative(total.relu(), after))
    if gap < tolerance:
        return "ok", ""
    detail = f"they differ by {gap:.1e} of the largest entry, with and without a final ReLU"
    return "failed", f"{detail}, so something else is added"


def _total(parts: dict[str, Tensor]) -> Tensor | None:
    return sum(parts.values(), torch.zeros(())) if parts else None


def _in_few_lines(findings: list[Finding]) -> list[Finding]:
    """One line for all sums that are right, one for all that were not tested; the other findings as they are."""
    sums = [f for f in findings if f.subject.endswith("is after")]
    lines = [f for f in findings if f not in sums]
    for status in ("not tested", "ok"):
        same = [f for f in sums if f.status == status]
        if same:
            detail = f"{len(same)} of {len(sums)}" + (f" ({same[0].detail})" if same[0].detail else "")
            lines.insert(0, Finding("before + branch (or parts) is after", status, detail))
    return lines


def _gradients(batch_trace: Trace) -> Finding:
    subject = "a gradient at every state"
    gradients = batch_trace.gradients["label"].states
    if not bool(gradients[-1].any()):
        return Finding(
            subject, "not tested", "none at the last one: are the weights of the head zero, as before training?"
        )
    for state, gradient in enumerate(gradients):
        size = float(torch.linalg.vector_norm(gradient, dtype=torch.float64))
        if not np.isfinite(size) or size == 0:
            return Finding(subject, "failed", f"state {state} of {len(gradients) - 1} has a gradient of norm {size}")
    return Finding(subject, "ok")


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
