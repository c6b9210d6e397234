"""Finds the blocks of a model, their branches and parts, in the flow of one forward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import nn

from ..errors import ItinfError
from .flow import Call, Flow
from .network import Block

ROLES = (
    ("attention", ("attn", "attention")),
    ("token mixing", ("token", "mixer")),
    ("mlp", ("mlp", "ffn", "feed", "fc", "channel")),
)
"""Name of a part -> pieces of the module names and classes by which it is known."""


@dataclass
class FoundBlocks:
    """The blocks of a model.

    Attributes:
        blocks: in the order they run; ``calls``: the call of each.
        left_out: sentences about what could not be described.
    """

    blocks: list[Block]
    calls: list[Call]
    left_out: list[str] = field(default_factory=list)


def find_blocks(flow: Flow, source: int, sink: int) -> FoundBlocks:
    """The blocks of a model: the smallest modules between states that all the flow goes through.

    A *bottleneck* is a value through which every path from the inputs to the logits goes. A block goes from one
    bottleneck to another; between them the flow forks and joins, as a skip and its branch do. In a model without forks,
    blocks are the modules of the class that occurs most often.

    Args:
        flow: a recorded forward pass.
        source: the value of the inputs; ``sink``: of the logits.

    Raises:
        ItinfError: the inputs do not reach the logits, or no module can be a block.
    """
    through = flow.paths_through(source, sink)
    total = through[sink]
    if total == 0:
        raise ItinfError("the logits do not depend on the inputs; is the first output of the model its logits?")
    between = [call for call in flow.calls if call.path and _between_bottlenecks(call, through, total)]
    candidates = [call for call in between if _has_matrix(call.module)]
    forking = [call for call in between if _forks(call, through, total)]
    chosen = [call for call in _smallest(forking, through, total) if _has_matrix(call.module)] or _repeated(candidates)
    if not chosen:
        raise ItinfError("no module of the model can be a block, as where several streams run side by side")
    chosen = _siblings(chosen, candidates, flow)
    return _described(chosen, flow)


def _between_bottlenecks(call: Call, through: list[int], total: int) -> bool:
    if not call.inputs or not call.outputs:
        return False
    return through[call.inputs[0]] == total and through[call.outputs[0]] == total and call.inputs[0] != call.outputs[0]


def _has_matrix(module: nn.Module) -> bool:
    return any(p.ndim > 1 and p.numel() > max(p.shape) for p in module.parameters())


def _forks(call: Call, through: list[int], total: int) -> bool:
    return any(0 < through[value] < total for value in range(call.start, call.end))


def _smallest(forking: list[Call], through: list[int], total: int) -> list[Call]:
    """The forking modules that have forks of their own, outside any smaller one."""
    chosen: list[Call] = []
    for call in forking:
        if any(other.contains(call) for other in chosen):
            continue
        inside = [other for other in forking if call.contains(other)]
        covered = {value for other in inside for value in range(other.start, other.end)}
        own = [value for value in range(call.start, call.end) if 0 < through[value] < total and value not in covered]
        if own or not inside:
            chosen.append(call)
    return chosen


def _repeated(candidates: list[Call]) -> list[Call]:
    """Calls of the class that occurs most often, the larger module where two occur as often."""
    named = [call for call in candidates if not isinstance(call.module, nn.Sequential)]
    counts = Counter(type(call.module) for call in named)
    most = max(counts.values(), default=0)
    for call in named:  # an outer call comes before those inside it
        if counts[type(call.module)] == most:
            return [other for other in named if type(other.module) is type(call.module)]
    return []


def _siblings(chosen: list[Call], candidates: list[Call], flow: Flow) -> list[Call]:
    """Adds modules of the same classes that do not fork; drops classes that only change the shape, if others keep it."""
    classes = {type(call.module) for call in chosen}
    every: list[Call] = []
    for call in candidates:  # an outer call comes before those inside it
        if type(call.module) in classes and not any(other.contains(call) for other in every):
            every.append(call)
    keeping = {type(call.module) for call in every if _keeps_shape(call, flow)}
    if keeping and len(keeping) < len(classes):
        every = [call for call in every if type(call.module) in keeping]
    return every


def _keeps_shape(call: Call, flow: Flow) -> bool:
    return flow.tensors[call.inputs[0]].shape == flow.tensors[call.outputs[0]].shape


def _described(calls: list[Call], flow: Flow) -> FoundBlocks:
    often = {path for path, count in Counter(call.path for call in calls).items() if count > 1}
    found = FoundBlocks([], calls)
    unresolved: dict[str, list[str]] = {}
    for call in calls:
        number = call.count if call.path in often else None
        block, why = described_block(call, flow, number)
        found.blocks.append(block)
        if why:
            unresolved.setdefault(why, []).append(call.path)
    for why, paths in unresolved.items():
        named = paths[0] if len(paths) == 1 else f"{paths[0]} … {paths[-1]} ({len(paths)} blocks)"
        found.left_out.append(f"{named}: no branch or parts: {why}")
    return found


def described_block(call: Call, flow: Flow, number: int | None) -> tuple[Block, str]:
    """A block with its branch or its parts, and why it has none."""
    leaves, why = _summands(call, flow)
    if why:
        return Block(call.path, call=number), why
    inside = [other for other in flow.calls if call.contains(other)]
    modules = [_module_of(leaf, inside, flow) for leaf in leaves]
    if None in modules:
        return Block(call.path, call=number), "what is added to the skip is not the output of a module"
    paths = [_inner_path(call, module, inside) for module in modules if module is not None]
    if len(paths) == 1:
        return Block(call.path, branch=paths[0], call=number), ""
    reached = [flow.reaches(leaves[k], leaves[k + 1], call.start) for k in range(len(leaves) - 1)]
    if any(reached) and not all(reached):
        return Block(call.path, call=number), "some of its parts read what others add, some do not"
    names = _part_names(call.path, leaves, paths, inside, flow)
    return Block(call.path, parts=dict(zip(names, paths, strict=True)), parallel=not any(reached), call=number), ""


def _summands(call: Call, flow: Flow) -> tuple[list[int], str]:
    """The values that a block adds to its input, in the order they are made; or why there are none."""
    before, leaves = flow.content(call.inputs[0]), flow.summands(call.outputs[0], call.start)
    if len(leaves) == 1:
        return [], f"its output is made by {flow.operations[leaves[0]] or 'another module'}, not by a sum"
    if before in leaves:
        leaves = [leaf for leaf in leaves if leaf != before]
        return leaves, "" if all(leaf >= call.start for leaf in leaves) else "something from outside is added"
    if len(leaves) == 2 and not _keeps_shape(call, flow):  # a shortcut with weights: the branch is the longer way
        return [max(leaves, key=lambda leaf: flow.steps(before, leaf))], ""
    return [], "no term of its sum is its input"


def _module_of(value: int, calls: Iterable[Call], flow: Flow) -> Call | None:
    """The module whose first output a value is; the outermost, and no nn.Identity if there is another."""
    made = [call for call in calls if call.outputs and flow.content(call.outputs[0]) == value]
    made.sort(key=lambda call: (isinstance(call.module, nn.Identity), call.path.count("."), call.end))
    return made[0] if made else None


def _after_a_sum(value: int, flow: Flow, start: int) -> bool:
    """Whether a value is the sum to which the part before has just been added."""
    return flow.operations[value] == "add" and start in map(flow.content, flow.made_from[value])


def _inner_path(block: Call, module: Call, inside: list[Call]) -> str:
    """Path inside the block, with the number of the call where the block calls the module more than once."""
    same = [call for call in inside if call.path == module.path]
    number = f":{same.index(module) + 1}" if len(same) > 1 else ""
    return module.path.removeprefix(f"{block.path}.") + number


def _part_names(block: str, leaves: list[int], paths: list[str], inside: list[Call], flow: Flow) -> list[str]:
    names: list[str] = []
    start = -1
    for leaf, path in zip(leaves, paths, strict=True):
        outputs = {c: flow.content(c.outputs[0]) for c in inside if c.outputs}
        made_by = [
            c
            for c, v in outputs.items()
            if v == leaf or (start < v and flow.reaches(v, leaf, c.start) and not _after_a_sum(v, flow, start))
        ]
        words = " ".join(f"{c.path.removeprefix(block)} {type(c.module).__name__}" for c in made_by).lower()
        role = next((role for role, known in ROLES if any(word in words for word in known)), path)
        names.append(path if role in names else role)
        start = leaf
    return names
