"""A model opened at its blocks: all that the rest of itinf knows of an architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import ItinfError, nearest, shown
from .gauge import GAUGES, Gauge

Unit = Literal["image", "token"]
Layout = Literal["n c h w", "n h w c", "n t c"]

image: Unit = "image"
token: Unit = "token"

LAYOUTS: tuple[Layout, ...] = ("n c h w", "n h w c", "n t c")


@dataclass(frozen=True)
class Block:
    """One step of depth: the module that maps a state to the next.

    Attributes:
        name: path of the module inside the model, e.g. ``"layer1.0"``.
        branch: path *inside the block* of the submodule whose output is exactly F, which is then added
            to the skip. None where no module puts out F.
        parts: part name -> path inside the block of a submodule whose output is added to the
            state, e.g. ``{"attention": "attn", "mlp": "mlp"}``, in the order of addition.
        parallel: True where all parts read the block's own ``before`` (GPT-J), False where each
            is added before the next one reads (GPT-2).
        call: which call of the module this block is, for a module that is called repeatedly.
    """

    name: str
    branch: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    parallel: bool = False
    call: int | None = None


def modules(model: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...]) -> list[str]:
    """Paths of every submodule of a class, in the order of definition.

    Args:
        model: the model to look through.
        kind: a module class, or several.

    Raises:
        ItinfError: where the model has no such module.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, kind)]
    if not names:
        classes = kind.__name__ if isinstance(kind, type) else " or ".join(k.__name__ for k in kind)
        present = sorted({type(module).__name__ for module in model.modules()})
        raise ItinfError(f"{type(model).__name__} has no module of class {classes}. Its classes: {', '.join(present)}.")
    return names


@dataclass(eq=False)
class Network:
    """A model opened at its blocks: ordered states h_0 … h_L and a readout of the last one.

    The loss is the cross-entropy of the readout against one target per unit.

    Attributes:
        model: the module; put into eval mode here, and for every measurement, after which it has the mode it had.
        blocks: the steps of depth, in the order they run.
        layout: which axis of a state is what, ``"n c h w"``, ``"n h w c"`` or ``"n t c"``.
        head: vectors (…, width) -> logits (…, classes).
        unit: what one prediction is about, ``itinf.image`` or ``itinf.token``.
        pool: state -> one vector per unit; tokens need none.
        neck: norm or activation between the last state and the pool, a module (or a function
            without parameters), e.g. GPT-2's ``ln_f``.
        gauge: the changes of basis that leave the function unchanged (``itinf.probes.forms``); None
            where every layer has its own, as in networks without skips.
        regauge: ``(model, states, change) -> None`` rewrites the weights of a *copy* so that the
            states numbered ``states`` become ``change`` applied to them, while the logits stay. ``change`` is
            (width,) positive scales for ``"channel-scale"``, else a (width, width) rotation.
        trunk: ``(model, inputs) -> anything`` reaches the last block without applying the head;
            None calls the model.
        prepare: raw item -> model input: PIL image -> (C, H, W) float tensor, or text -> (T,) ids.
        context: longest token sequence the model reads; None for images.
        classes: names of the head's outputs where they are known.
        untrained: ``seed -> Network``, the same architecture at random initialisation; None
            resets the parameters of a copy through ``reset_parameters``.
        name: what tables and figures call it.
        weights: where the parameters came from, for the record.

    Raises:
        ItinfError: where a block or submodule does not exist, or layout, unit or gauge is unknown.
    """

    model: nn.Module
    blocks: Sequence[Block]
    layout: Layout
    head: Callable[[Tensor], Tensor]
    unit: Unit = "image"
    pool: Callable[[Tensor], Tensor] | None = None
    neck: Callable[[Tensor], Tensor] | None = None
    gauge: Gauge | None = None
    regauge: Callable[[nn.Module, Sequence[int], Tensor], None] | None = None
    trunk: Callable[[nn.Module, Tensor], Any] | None = None
    prepare: Callable[[Any], Tensor] | None = None
    context: int | None = None
    classes: Sequence[str] | None = None
    untrained: Callable[[int], Network] | None = None
    name: str = ""
    weights: str = "as given"

    def __post_init__(self) -> None:
        if not isinstance(self.model, nn.Module):
            raise ItinfError(f"The model is {shown(self.model)}; expected a torch.nn.Module.")
        if (
            not isinstance(self.blocks, Iterable)
            or isinstance(self.blocks, str)
            or not all(isinstance(block, Block) for block in self.blocks)
        ):
            raise ItinfError(f"blocks is {shown(self.blocks)}; expected a list such as [itinf.Block('layer1.0'), …].")
        self.blocks = tuple(self.blocks)
        self.name = self.name or type(self.model).__name__
        self.model.eval()
        for value, valid, what in (
            (self.layout, LAYOUTS, "layout"),
            (self.unit, ("image", "token"), "unit"),
            (self.gauge, (*GAUGES, None), "gauge"),
        ):
            if value not in valid:
                raise ItinfError(f"{self.name}: {what} is {value!r}; expected one of {valid}.")
        if self.unit == "token" and (self.layout != "n t c" or self.pool is not None):
            raise ItinfError(
                f"{self.name}: a token network has layout 'n t c' and no pool; "
                f"given layout {self.layout!r} and pool {self.pool!r}."
            )
        if self.unit == "image" and self.pool is None:
            raise ItinfError(f"{self.name}: an image network needs a pool: state -> one vector per image.")
        if not self.blocks:
            raise ItinfError(f"{self.name}: no blocks given; name at least one.")
        self._require_modules()

    def _require_modules(self) -> None:
        known = dict(self.model.named_modules())
        for block in self.blocks:
            inside = [p for p in (block.branch, *block.parts.values()) if p is not None]
            for path in (block.name, *(f"{block.name}.{p}" for p in inside)):
                if path not in known:
                    raise ItinfError(f"{self.name} has no module {path!r}. {nearest(path, known)}")
        calls: set[tuple[str, int | None]] = set()
        for block in self.blocks:
            if (block.name, block.call) in calls:
                raise ItinfError(
                    f"{self.name}: block {block.name!r} is listed twice; "
                    "name the call, e.g. Block(name, call=1), where one module is called repeatedly."
                )
            calls.add((block.name, block.call))

    @property
    def modality(self) -> str:
        """``"image"`` or ``"language"``."""
        return "image" if self.unit == "image" else "language"

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype

    def forward(self, inputs: Tensor) -> Any:
        """Runs the model up to its last block (through ``trunk``), or all of it where there is no ``trunk``."""
        return self.trunk(self.model, inputs) if self.trunk is not None else self.model(inputs)

    def per_prediction(self, state: Tensor) -> Tensor:
        """A state with one row per prediction: images (N, …), or tokens (N·T, width)."""
        return state.flatten(0, 1) if self.unit == "token" else state

    def readout(self, rows: Tensor) -> Tensor:
        """The network's own readout, head ∘ pool ∘ neck.

        Args:
            rows: ``per_prediction(state)`` or a slice of it, of the last state's width.

        Returns:
            (R, classes) logits.
        """
        rows = self.neck(rows.clone()) if self.neck is not None else rows  # a neck may work in place
        rows = self.pool(rows) if self.pool is not None else rows
        return self.head(rows)

    def width(self, state: Tensor) -> int:
        """Number of channels of a state."""
        return state.shape[1] if self.layout == "n c h w" else state.shape[-1]

    def canonical(self, state: Tensor) -> Tensor:
        """A state as (N, P, C, S): P positions that are units themselves, S positions within a unit.

        Images have P = 1 and S pixels; tokens have P = T and S = 1.
        """
        if self.layout == "n c h w":
            return state.flatten(2).unsqueeze(1)
        if self.layout == "n h w c":
            return state.flatten(1, 2).transpose(1, 2).unsqueeze(1)
        if self.unit == "token":
            return state.unsqueeze(-1)
        return state.transpose(1, 2).unsqueeze(1)

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Network:
        """Moves the model in place and returns this network.

        The model's own parameters move, as with ``nn.Module.to``.
        """
        self.model.to(device=device, dtype=dtype)
        for part in (self.head, self.neck, self.pool):
            if isinstance(part, nn.Module):
                part.to(device=device, dtype=dtype)
        return self

    def named(self, name: str) -> Network:
        """The same network under another name, sharing the model."""
        return replace(self, name=name)

    def __repr__(self) -> str:
        branch = sum(block.branch is not None for block in self.blocks)
        parts = sorted({part for block in self.blocks for part in block.parts})
        size = sum(p.numel() for p in self.model.parameters())
        lines = [
            f"Network {self.name!r}: {type(self.model).__name__}, {size / 1e6:.2f} M parameters, weights {self.weights}",
            f"  unit    {self.unit}; layout {self.layout!r}",
            f"  blocks  {len(self.blocks)}: {self.blocks[0].name} … {self.blocks[-1].name}"
            f" ({branch} with a branch; parts: {', '.join(parts) or 'none'})",
            f"  gauge   {self.gauge or 'every layer its own: update cosines are not properties of the function'}",
            "  states, segments and bridges: itinf.check(network, batch)",
        ]
        return "\n".join(lines)


def require_network(given: Any) -> None:
    """Refuses what is no network.

    Raises:
        ItinfError: it is something else; says how to make a network of it.
    """
    if isinstance(given, Network):
        return
    advice = "Write itinf.network(name), or itinf.Network(model, blocks, …) for a model of your own."
    if isinstance(given, str):
        advice = f"Write itinf.network({given!r})."
    raise ItinfError(f"{shown(given)} is no network; expected an itinf.Network. {advice}")
