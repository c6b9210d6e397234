"""What a recorded pass sees in place of a description that is wrong, as ends of sentences."""

from __future__ import annotations

from torch import Tensor

from ..errors import ItinfError
from .block_finder import described_block
from .flow import Flow
from .network import Block, Network
from .skips import recorded_flow
from .tail_finder import steps_to


def seen_blocks(network: Network, inputs: Tensor) -> list[str]:
    """For every block what is added in it, if that is not what its description says."""
    flow = recorded_flow(network, inputs)
    return ["" if flow is None else _seen(block, flow) for block in network.blocks]


def _seen(block: Block, flow: Flow) -> str:
    call = next((c for c in flow.calls if c.path == block.name and c.count == (block.call or 1)), None)
    if call is None:
        return ""
    found, why = described_block(call, flow, block.call)
    if why:
        return f". Nothing that could be named was seen there: {why}"
    if (found.branch, dict(found.parts), found.parallel) == (block.branch, dict(block.parts), block.parallel):
        return ""
    what = [f"branch={found.branch!r}"] if found.branch else [f"parts={dict(found.parts)}"]
    return f". Seen there: {', '.join([*what, *(['parallel=True'] if found.parallel else [])])}"


def readers(network: Network, inputs: Tensor) -> str:
    """What runs between the last state and the logits."""
    flow = recorded_flow(network, inputs, whole=True)
    last = network.blocks[-1]
    calls = [c for c in flow.calls if c.path == last.name] if flow else []
    if flow is None or not calls or not flow.calls[0].outputs:
        return ""
    try:
        steps = steps_to(flow, calls[(last.call or 1) - 1], flow.value(inputs), flow.calls[0].outputs[0])
    except (ItinfError, StopIteration):
        return ""
    return f". After the last block run: {', '.join(steps)}" if steps else ". Nothing runs after the last block"
