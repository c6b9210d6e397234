"""Training that an interruption cannot spoil: a fixed number of steps, saved as it goes, without pickle."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..data.clusters import Progress, silent
from ..errors import ItinfError
from ..files import difference, write_bytes

CHECKPOINT = "checkpoint.safetensors"
SAVE_SECONDS = 30.0
"""How much work an interruption can cost."""
WARMUP = 0.05
"""Share of the steps over which the learning rate rises to its peak."""


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
) -> float:
    """Takes every step that the folder's checkpoint has not taken yet.

    The learning rates given are peaks: they rise linearly, then fall to zero along a cosine.

    Args:
        model: trained in place.
        optimizers: between them hold every parameter.
        loss_at: the loss of step k, from a batch that k alone decides; torch's random numbers start from k.
        steps: in all.
        folder: where the checkpoint is kept; ``finish`` takes it away.
        study: what makes this training what it is, JSON-ready; a checkpoint of another is refused.
        clip: largest norm of the whole gradient; None for any.
        progress: called with ("training", steps done, steps in all).

    Returns:
        seconds spent, those before an interruption included.

    Raises:
        ItinfError: a checkpoint of another training or cut short, or a loss that is not finite.
    """
    peaks = [[float(group["lr"]) for group in optimizer.param_groups] for optimizer in optimizers]
    path = folder / CHECKPOINT
    done, before = _resume(path, model, optimizers, study)
    start = saved = time.monotonic()
    progress("training", done, steps)
    for step in range(done, steps):
        for optimizer, rates in zip(optimizers, peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = peak * schedule((step + 1) / steps)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step)  # dropout too has to be the same after an interruption
            loss = loss_at(step)
        if not math.isfinite(loss.item()):
            raise ItinfError(f"The loss is {loss.item()} at step {step} of {steps}. Train with lower learning rates.")
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        progress("training", step + 1, steps)
        if time.monotonic() - saved > SAVE_SECONDS or step + 1 == steps:
            _save(path, model, optimizers, study, step + 1, before + time.monotonic() - start)
            saved = time.monotonic()
    return before + time.monotonic() - start


def finish(folder: Path) -> None:
    """Takes the checkpoint away, once what was trained for is written."""
    (folder / CHECKPOINT).unlink(missing_ok=True)


def schedule(share: float) -> float:
    """Learning rate in units of its peak when a share of the steps has been taken, 0 … 1."""
    if share < WARMUP:
        return share / WARMUP
    return 0.5 + 0.5 * math.cos(math.pi * (share - WARMUP) / (1 - WARMUP))


def _save(
    path: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    study: dict[str, Any],
    done: int,
    seconds: float,
) -> None:
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        for place, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{place}/{key}": v for key, v in state.items() if isinstance(v, Tensor)}
    record = {"study": study, "done": done, "seconds": seconds}
    # cloned: tied weights share memory, which the format refuses
    own = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(own, metadata={"record": json.dumps(record)}))


def _resume(
    path: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], study: dict[str, Any]
) -> tuple[int, float]:
    """Steps done and seconds spent, the model and its optimizers filled."""
    if not path.exists():
        return 0, 0.0
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads(file.metadata()["record"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ItinfError(f"{path} cannot be read ({error}). Remove it to train from the start.") from error
    whole = dict.fromkeys(record["study"]) | study  # an entry that is only there is a difference, too
    if (what := difference(whole, record["study"])) is not None:
        raise ItinfError(f"{path} is of another training: {what}. Choose another --out, or remove it.")
    weights = {name.removeprefix("model/"): v for name, v in tensors.items() if name.startswith("model/")}
    model.load_state_dict(weights)
    for number, optimizer in enumerate(optimizers):
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            kind, *where = name.split("/")
            if kind == "optimizer" and where[0] == str(number):
                states.setdefault(int(where[1]), {})[where[2]] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    return int(record["done"]), float(record["seconds"])
