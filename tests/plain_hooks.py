"""Alignment and readout gains by torch's forward hooks alone; nothing of itinf is used."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def plain(model, block_classes, readout, channels, inputs, targets) -> list[dict[str, float]]:
    """For every block the cosines of its update with −gradient, at its output and of the readout, and the readout's gain.

    Means over images or tokens; a vector of zeros has no cosine. There is none where a block changes the shape, and no
    readout where the width (the length of the axis ``channels``) is not the last one's.
    """
    seen: list[tuple[Tensor, Tensor]] = []

    def hook(module: Any, args: Any, kwargs: Any, output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) else output
        first.retain_grad()
        seen.append(((args[0] if args else kwargs["hidden_states"]).detach().clone(), first))
        passed_on = first.clone()  # the next module may work in place
        return (passed_on, *output[1:]) if isinstance(output, tuple) else passed_on

    blocks = [module for module in model.modules() if type(module).__name__ in block_classes.split()]
    handles = [block.register_forward_hook(hook, with_kwargs=True) for block in blocks]
    loss_of(model(inputs), targets).backward()
    for handle in handles:
        handle.remove()
    rows = []
    for before, after in seen:
        fitting = [s for s in (before, after.detach()) if s.shape[channels] == seen[-1][1].shape[channels]]
        read = [loss_and_gradient(model, readout, state, targets) for state in fitting]
        rows.append({"gain": read[0][0] - read[1][0]} if len(read) == 2 else {})
        if before.shape == after.shape:
            gradients = {"output": after.grad} | ({"readout": read[0][1]} if read else {})
            start = 2 if targets.ndim == 2 else 1  # one vector per token, or per image
            update = (after.detach() - before).flatten(start)
            for name, gradient in ((name, g.flatten(start)) for name, g in gradients.items()):
                some = update.norm(dim=-1) * gradient.norm(dim=-1) > 0
                if some.any():
                    rows[-1][name] = float(F.cosine_similarity(update, -gradient, dim=-1, eps=0)[some].mean())
    return rows


def loss_of(output: Any, targets: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over all targets."""
    return F.cross_entropy(getattr(output, "logits", output).flatten(0, -2), targets.flatten(), reduction="sum")


def loss_and_gradient(model: Any, readout: Any, state: Tensor, targets: Tensor) -> tuple[float, Tensor]:
    """Mean loss of the readout of a state, and its gradient there."""
    leaf = state.detach().clone().requires_grad_()
    loss = loss_of(readout(model, leaf.clone()), targets)  # a readout may work in place
    return float(loss.detach()) / targets.numel(), torch.autograd.grad(loss, leaf)[0]
