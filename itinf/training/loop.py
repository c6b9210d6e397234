"""The training loop: a fixed number of steps, with checkpoints that it resumes from, without pickle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ..data.clusters import Progress, silent
from ..errors import ItinfError
from ..files import difference, misfit, read_sealed, sealed, write_bytes

CHECKPOINT = "checkpoint.safetensors"
LOSSES = "losses"
"""The tensor of a checkpoint with the loss of every step."""
SAVE_SECONDS = 30.0
"""Time between two checkpoints."""
WARMUP = 0.05
"""Share of the steps in which the learning rate rises to its peak."""


def train(
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    loss_at: Callable[[int], Tensor],
    steps: int,
    folder: Path,
    study: dict[str, Any],
    *,
    clip: float | None = 1.0,
    progress: Progress = silent,
    losses: list[float] | None = None,
) -> float:
    """Trains a model, starting from the checkpoint in the folder if there is one.

    The learning rates of the optimizers are peak values: rates rise linearly to them, then fall to zero along a cosine.

    Args:
        model: the model, trained in place.
        optimizers: together they hold every parameter.
        loss_at: step k -> loss. The batch depends on k alone; torch's random numbers are seeded with k.
        steps: total number of steps.
        folder: folder of the checkpoint; ``finish`` deletes the checkpoint.
        study: entries that define this training, JSON-ready; a checkpoint with other entries is refused.
        clip: largest norm of the whole gradient; None for no limit.
        progress: called with ("training", steps done, all steps).
        losses: a list that takes the loss of every step, also of those before an interruption.

    Returns:
        training time in seconds, including the time before an interruption.

    Raises:
        ItinfError: the checkpoint belongs to another training or cannot be read, or the loss is not finite.
    """
    peaks = [[float(group["lr"]) for group in optimizer.param_groups] for optimizer in optimizers]
    path = folder / CHECKPOINT
    losses = [] if losses is None else losses
    done, before = _resume(path, model, optimizers, study, losses)
    start = saved = time.monotonic()
    progress("training", done, steps)
    for step in range(done, steps):
        for optimizer, rates in zip(optimizers, peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = peak * schedule((step + 1) / steps)
        loss = _loss(loss_at, step, steps)
        losses.append(loss.item())
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        progress("training", step + 1, steps)
        if time.monotonic() - saved > SAVE_SECONDS or step + 1 == steps:
            _save(path, model, optimizers, study, losses, before + time.monotonic() - start)
            saved = time.monotonic()
    return before + time.monotonic() - start


def _loss(loss_at: Callable[[int], Tensor], step: int, steps: int) -> Tensor:
    """The loss of a step, which is finite."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(step)  # so that dropout is the same after an interruption
        loss = loss_at(step)
    if not math.isfinite(loss.item()):
        raise ItinfError(
            f"The loss is {loss.item()} at step {step} of {steps}, but it must be finite. Train with lower learning rates."
        )
    return loss


def finish(folder: Path) -> None:
    """Deletes the checkpoint, once weights and card are written."""
    (folder / CHECKPOINT).unlink(missing_ok=True)


def schedule(share: float) -> float:
    """Learning rate divided by its peak, when a ``share`` (0 … 1) of the steps is done."""
    if share < WARMUP:
        return share / WARMUP
    return 0.5 + 0.5 * math.cos(math.pi * (share - WARMUP) / (1 - WARMUP))


def _save(
    path: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    study: dict[str, Any],
    losses: Sequence[float],
    seconds: float,
) -> None:
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    tensors[LOSSES] = torch.tensor(losses, dtype=torch.float64)
    for number, optimizer in enumerate(optimizers):
        for place, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{place}/{key}": v for key, v in state.items() if isinstance(v, Tensor)}
    record = {"study": study, "done": len(losses), "seconds": seconds}
    # tied weights share memory, which safetensors refuses: clone them
    cloned = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    write_bytes(path, sealed(save, cloned, "record", record))


def _resume(
    path: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    study: dict[str, Any],
    losses: list[float],
) -> tuple[int, float]:
    """Loads the checkpoint into model, optimizers and losses; returns the steps done and the seconds spent."""
    if not path.exists():
        return 0, 0.0
    try:
        record, tensors = read_sealed(path, "record", "pt")
        if wrong := misfit(record, {"study": dict, "done": int, "seconds": int | float}):
            raise ValueError(wrong)
    except ValueError as error:
        raise ItinfError(f"{path} cannot be read ({error}). Remove it to train from the start.") from error
    whole = dict.fromkeys(record["study"]) | study  # entries that only the checkpoint has are compared, too
    if (why := difference(whole, record["study"])) is not None:
        raise ItinfError(f"{path} belongs to another training: {why}. Choose another --out, or remove the file.")
    try:
        losses += tensors.pop(LOSSES).tolist()
        if len(losses) != record["done"]:
            raise ValueError(f"{len(losses)} losses of {record['done']} steps")
        _fill(model, optimizers, tensors)
    except (RuntimeError, LookupError, ValueError) as error:
        raise ItinfError(f"{path} does not fit the model ({error}). Remove it to train from the start.") from error
    return int(record["done"]), float(record["seconds"])


def _fill(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Loads the tensors of a checkpoint into model and optimizers."""
    weights = {name.removeprefix("model/"): v for name, v in tensors.items() if name.startswith("model/")}
    model.load_state_dict(weights)
    for number, optimizer in enumerate(optimizers):
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            kind, *where = name.split("/")
            if kind == "optimizer" and where[0] == str(number):
                states.setdefault(int(where[1]), {})[where[2]] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
