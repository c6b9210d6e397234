"""Opens any model at its blocks: finds them, and what reads the last state, by structure; then proves what was found."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ItinfError
from .block_call import block_calls
from .block_finder import FoundBlocks, find_blocks
from .flow import Flow, tensors_in
from .gauge_proof import find_gauge
from .measuring import evaluating
from .network import Layout, Network, Unit
from .skips import passes_on
from .tail_finder import FoundTail, find_tail

SIZES = (224, 64, 32, 28)
"""Sides in pixels that are tried where nothing says how large the images of a model are."""
TOKENS = 12
"""Length of the made-up sequences."""


def open_model(
    model: nn.Module,
    example: Tensor | None = None,
    *,
    name: str = "",
    weights: str = "as given",
    prepare: Callable[[Any], Tensor] | None = None,
    classes: Sequence[str] | None = None,
    context: int | None = None,
    causal: bool = True,
    untrained: Callable[[int], Network] | None = None,
    trunk: Callable[[nn.Module, Tensor], Any] | None = None,
) -> Network:
    """Opens a model at its blocks, without a description: blocks, branches, parts, neck, pool, head, layout and gauge are found.

    One forward pass is recorded. Blocks are the smallest modules between states that all the flow goes through;
    branches and parts are the modules whose outputs are added to a skip. What is found is proven on the recorded
    values; what cannot be proven is left out, and named in ``Network.left_out``.

    Args:
        model: classifies images, or predicts tokens; its first output is (N, classes) or (N, T, classes) logits.
        example: inputs of two units or sequences, such as (2, 3, 224, 224) or (2, T) int64; None makes some up.
        name, weights, prepare, classes, context, causal, untrained, trunk: see ``Network``.

    Raises:
        ItinfError: no input could be made up, the model has no blocks or no readout of its last state that itinf can
            use, or it does not predict one class per image or token.
    """
    called = name or type(model).__name__
    with evaluating(model):
        flow, inputs, logits = _recorded(model, example, called)
        tokens = _predicts_tokens(flow.tensors[inputs], flow.tensors[logits], called)
        try:
            found = find_blocks(flow, inputs, logits)
            tail = find_tail(flow, found.calls[-1], inputs, logits, tokens)
        except ItinfError as error:
            raise ItinfError(f"{called} cannot be opened by itself: {error}. {BY_HAND}") from error
    unit: Unit = "token" if tokens else "image" if flow.tensors[inputs].is_floating_point() else "text"
    state = flow.tensors[found.calls[-1].outputs[0]]
    network = Network(
        model,
        found.blocks,
        layout=_layout(state, tail),
        head=tail.head,
        unit=unit,
        pool=tail.pool,
        neck=tail.neck,
        prepare=prepare,
        context=context,
        causal=causal,
        classes=classes,
        untrained=untrained,
        trunk=trunk or (_uncached if _caches(model) else None),
        name=called,
        weights=weights,
    )
    network.left_out = tuple(found.left_out)
    _add_gauge(network, flow, found, inputs)
    return network


def _add_gauge(network: Network, flow: Flow, found: FoundBlocks, inputs: int) -> None:
    network.skips = any(passes_on(call, flow) for call in found.calls)
    if network.skips:
        with evaluating(network):
            one = network.ready(flow.tensors[inputs][:1])
            network.gauge, why = find_gauge(network, one, block_calls(network, one))
        network.left_out += (f"no gauge: {why}",) if why else ()


BY_HAND = "Describe it yourself: itinf.Network(model, blocks=[…], layout=…, head=…)."


def _recorded(model: nn.Module, example: Tensor | None, name: str) -> tuple[Flow, int, int]:
    """The flow of a pass, and the values of its inputs and logits."""
    problems = []
    run = _uncached if _caches(model) else nn.Module.__call__
    for inputs in [example] if example is not None else _made_up(model):
        flow = Flow()
        source = flow.value(inputs)
        try:
            output = flow.record(model, partial(run, model, inputs))
        except Exception as error:  # a made-up input may not fit
            problems.append(
                f"{tuple(inputs.shape)}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
            )
            continue
        first = getattr(output, "logits", None)
        first = first if isinstance(first, Tensor) else next(tensors_in(output), None)
        if first is None:
            raise ItinfError(f"{name} returns {type(output).__name__} without a tensor; expected logits.")
        return flow, source, flow.value(first)
    raise ItinfError(
        f"{name} did not run on {'the example' if example is not None else 'any made-up input'} ({'; '.join(problems)}). "
        "Give inputs that fit: itinf.open_model(model, example)."
    )


def _caches(model: nn.Module) -> bool:
    return "use_cache" in inspect.signature(model.forward).parameters


def _uncached(model: nn.Module, inputs: Tensor) -> Any:
    """Calls a model that would else keep keys and values for the next call."""
    return model(inputs, use_cache=False)


def _made_up(model: nn.Module) -> list[Tensor]:
    """Inputs to try: images for a model that begins with a convolution, tokens for one that begins with an embedding."""
    first = next((m for m in model.modules() if _takes_input(m)), None)
    generator = torch.Generator().manual_seed(0)
    parameter = next(model.parameters(), torch.empty(0))

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(parameter)

    if isinstance(first, nn.Embedding):
        return [torch.randint(first.num_embeddings, (2, TOKENS), generator=generator).to(parameter.device)]
    if isinstance(first, nn.Conv2d):
        return [noise(2, first.in_channels, side, side) for side in dict.fromkeys((*_stated_sizes(model), *SIZES))]
    if isinstance(first, nn.Linear):
        return [noise(2, first.in_features)]
    return [noise(2, 3, side, side) for side in SIZES]


def _takes_input(module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding | nn.Conv2d | nn.Linear)


def _stated_sizes(model: Any) -> list[int]:
    """The image size that a model of timm or transformers states."""
    stated = [
        (getattr(model, "pretrained_cfg", None) or {}).get("input_size"),
        getattr(getattr(model, "config", None), "image_size", None),
    ]
    return [size if isinstance(size, int) else int(tuple(size)[-1]) for size in stated if size]


def _predicts_tokens(inputs: Tensor, logits: Tensor, name: str) -> bool:
    """Whether the logits are of every token, and not of one image or text as a whole."""
    if not logits.is_floating_point():
        raise ItinfError(f"{name}: its first output holds {logits.dtype}; expected logits.")
    if logits.ndim == 2 and logits.shape[0] == inputs.shape[0] and logits.shape[1] > 1:
        return False
    if logits.ndim == 3 and not inputs.is_floating_point() and logits.shape[:2] == inputs.shape[:2]:
        return True
    raise ItinfError(
        f"{name}: for inputs of shape {tuple(inputs.shape)} its first output has shape {tuple(logits.shape)}. itinf needs one "
        "class target per unit: (N, classes) logits of two classes or more, or (N, T, classes) for tokens."
    )


def _layout(state: Tensor, tail: FoundTail) -> Layout:
    if state.ndim == 4:
        necked = tail.neck(state.clone()) if tail.neck else state
        width = tail.pool(necked).shape[-1] if tail.pool else 0
        shape = necked.shape if necked.ndim == 4 else state.shape  # a neck may change the number of channels
        channels_last = tail.pool is not None and width == shape[3] and width != shape[1]
        return "n h w c" if channels_last else "n c h w"
    return "n t c" if state.ndim == 3 else "n c"
