"""What a network reads: a message instead of a traceback where its inputs do not fit."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..errors import ItinfError, lacks_memory
from .network import Network


def run(network: Network, inputs: Tensor) -> Any:
    """``network.forward``, with a message about the inputs where it fails.

    Args:
        network: the network.
        inputs: (N, C, H, W), or (N, T) ids.

    Raises:
        ItinfError: token ids are negative, a sequence is longer than the network's context, or the model fails.
    """
    if network.unit != "image" and not inputs.is_floating_point() and inputs.numel():
        _require_ids(network, inputs)
    try:
        return network.forward(inputs)
    except (RuntimeError, TypeError, IndexError, ValueError) as error:
        if isinstance(error, ItinfError) or lacks_memory(error):
            raise
        why = (str(error).strip().splitlines() or [""])[0].rstrip(".")
        raise ItinfError(
            f"{network.name} cannot read inputs of shape {tuple(inputs.shape)} and dtype "
            f"{str(inputs.dtype).removeprefix('torch.')}: {type(error).__name__}: {why}. {_hint(network, inputs)}"
        ) from error


def _require_ids(network: Network, ids: Tensor) -> None:
    if int(ids.min()) < 0:
        raise ItinfError(f"{network.name} was given the token id {int(ids.min())}; expected ids from 0 on.")
    if network.context is not None and ids.shape[1] > network.context:
        raise ItinfError(
            f"{network.name} was given sequences of {ids.shape[1]} tokens, and its context has {network.context}. "
            "Cut them to that length."
        )


def _hint(network: Network, inputs: Tensor) -> str:
    if network.unit != "image":
        sizes = [m.num_embeddings for m in network.model.modules() if isinstance(m, nn.Embedding)]
        ids = f"ids from {int(inputs.min())} to {int(inputs.max())}" if inputs.numel() else "no ids"
        known = f" and the embeddings of the network have {', '.join(map(str, sizes[:3]))} rows" if sizes else ""
        return f"There are {ids} in {inputs.shape[-1]} positions,{known}. Give ids of the network's own tokenizer."
    convolution = next((m for m in network.model.modules() if isinstance(m, nn.Conv2d)), None)
    if not inputs.is_floating_point():
        return "The pixels are no floats. Give floats as the network learned from, such as image / 255, normalised."
    if convolution is None:
        return "Give inputs of the shape that the model reads."
    channels = convolution.in_channels
    if inputs.ndim != 4:
        return f"Expected images of shape ({channels}, H, W)."
    if inputs.shape[1] != channels and inputs.shape[-1] == channels:
        return f"The channels seem to be last: expected ({channels}, H, W), as image.permute(2, 0, 1) gives."
    if inputs.shape[1] == 1 != channels:
        return f"The images are grey, and the first convolution reads {channels} channels: image.expand({channels}, -1, -1)."
    if inputs.shape[1] != channels:
        return f"The images have {inputs.shape[1]} channels, and the first convolution reads {channels}."
    return "Give images of the size that the model reads."
