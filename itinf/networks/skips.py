"""Whether the blocks of a network pass their input on, and add to it."""

from __future__ import annotations

from torch import Tensor

from .flow import Call, Flow
from .network import Network


def passes_on(call: Call, flow: Flow) -> bool:
    """Whether a module adds something to its input, as a residual block does, with or without a norm afterwards."""
    given = {flow.content(value) for value in call.inputs}
    return any(
        flow.operations[value] == "add" and not given.isdisjoint(map(flow.content, flow.made_from[value]))
        for value in range(call.start, call.end)
    )


def has_skips(network: Network, inputs: Tensor) -> bool | None:
    """Whether any block of a network passes its input on; None where a pass cannot be recorded."""
    flow = recorded_flow(network, inputs)
    if flow is None:
        return None
    calls = {(call.path, call.count): call for call in flow.calls}
    found = [calls.get((block.name, block.call or 1)) for block in network.blocks]
    return None if None in found else any(passes_on(call, flow) for call in found if call is not None)


def recorded_flow(network: Network, inputs: Tensor, whole: bool = False) -> Flow | None:
    """The flow of a pass over prepared inputs, up to the last block or to the logits; None where it cannot be recorded."""
    flow = Flow()
    flow.value(inputs)
    try:
        flow.record(network.model, lambda: network.model(inputs) if whole else network.forward(inputs))
    except Exception:  # compiled, scripted or foreign models may not run under a recording
        return None
    return flow
