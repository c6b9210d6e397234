"""A model opened at its blocks: all that the rest of itinf knows of an architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import ItinfError, lacks_memory, shown
from ..settings import DTYPES
from .containers import only_tensor
from .devices import require_float64
from .gauge import GAUGES, Gauge
from .requirements import require_modules, require_transparent

Unit = Literal["image", "token", "text"]
UNITS: tuple[Unit, ...] = ("image", "token", "text")
Layout = Literal["n c h w", "n h w c", "n t c", "t n c", "n c"]

image: Unit = "image"
token: Unit = "token"
text: Unit = "text"

LAYOUTS: tuple[Layout, ...] = ("n c h w", "n h w c", "n t c", "t n c", "n c")


@dataclass(frozen=True)
class Block:
    """One step of depth: the module that maps a state to the next.

    Attributes:
        name: path of the module inside the model, e.g. ``"layer1.0"``.
        branch: path *inside the block* of the submodule whose output is exactly F, which is then added
            to the skip. None where no module puts out F.
        parts: part name -> path inside the block of a submodule whose output is added to the
            state, e.g. ``{"attention": "attn", "mlp": "mlp"}``, in the order of addition. ``"drop_path:2"`` is the
            second call of a submodule that the block calls more than once.
        parallel: True where all parts read the block's own ``before`` (GPT-J), False where each
            is added before the next one reads (GPT-2).
        call: which call of the module this block is, for a module that is called repeatedly.
        input, output: position, keyword or field of the state in what the block takes and puts out, for a block that
            takes or puts out several tensors of one shape; None where the first tensor of a state's kind is the state.
    """

    name: str
    branch: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    parallel: bool = False
    call: int | None = None
    input: int | str | None = None
    output: int | str | None = None


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
        model: the module; every measurement puts it into eval mode, and afterwards it has the mode that it had.
        blocks: the steps of depth, in the order they run.
        layout: which axis of a state is what, ``"n c h w"``, ``"n h w c"``, ``"n t c"``, ``"t n c"`` (the batch second,
            as in ``nn.TransformerEncoderLayer`` by default) or ``"n c"`` (one vector per item, such as a table's row).
        head: vectors (…, width) -> logits (…, classes).
        unit: what one prediction is about, ``itinf.token``, or ``itinf.text`` for one per sequence of ids, or
            ``itinf.image`` for one prediction per item of any other kind.
        pool: state -> one vector per unit; tokens and layout ``"n c"`` need none.
        neck: norm or activation between the last state and the pool, a module (or a function
            without parameters), e.g. GPT-2's ``ln_f``.
        gauge: the changes of basis that leave the function unchanged (``itinf.probes.forms``); None
            where every layer has its own, as in networks without skips.
        regauge: ``(model, states, change) -> None`` rewrites the weights of a *copy* so that the
            states numbered ``states`` become ``change`` applied to them, while the logits stay. ``change`` is
            (width,) positive scales for ``"channel-scale"``, else a (width, width) rotation.
        trunk: ``(model, inputs) -> anything`` reaches the last block without applying the head;
            None calls the model.
        step: of a token network that writes: ``(model, ids, memory) -> (logits, memory)`` reads ids (N, t) after those that
            it has read, with None as the first memory, and gives the logits (N, classes) of the next token; None reads a
            text from its beginning for each token.
        prepare: raw item -> model input: PIL image -> (C, H, W) float tensor, or text -> (T,) ids.
            If it has ``pieces(ids) -> list of texts``, trajectories show these for ids.
        causal: whether a position of a token network sees only the tokens up to it; ``check`` tries it.
        context: longest token sequence the model reads; None for images.
        classes: names of the head's outputs where they are known.
        untrained: ``seed -> Network``, the same architecture at random initialisation; None
            resets the parameters of a copy through ``reset_parameters``.
        name: what tables and figures call it.
        weights: where the parameters came from, for the record.
        scores: of these weights on held-out data, where a card brings them: what -> score, for the record.
        left_out: sentences about what could not be found, of a network that itinf opened by itself.
        skips: whether a block passes its input on and adds to it; None until ``check`` or a measurement has found out.
        proven: whether its description has been proven on data.

    Raises:
        ItinfError: where a block or submodule does not exist, layout, unit or gauge is unknown, the model is wrapped so
            that its blocks cannot be seen (DataParallel, TorchScript), or it is quantized.
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
    step: Callable[[nn.Module, Tensor, Any], tuple[Tensor, Any]] | None = None
    prepare: Callable[[Any], Tensor] | None = None
    context: int | None = None
    causal: bool = True
    classes: Sequence[str] | None = None
    untrained: Callable[[int], Network] | None = None
    name: str = ""
    weights: str = "as given"
    scores: Mapping[str, float] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    skips: bool | None = None
    proven: bool = field(default=False, init=False)

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
        for value, valid, what in (
            (self.layout, LAYOUTS, "layout"),
            (self.unit, UNITS, "unit"),
            (self.gauge, (*GAUGES, None), "gauge"),
        ):
            if value not in valid:
                raise ItinfError(f"{self.name}: {what} is {value!r}; expected one of {valid}.")
        if self.unit == "token" and (self.layout not in ("n t c", "t n c") or self.pool is not None):
            raise ItinfError(
                f"{self.name}: a token network has layout 'n t c' or 't n c' and no pool; "
                f"given layout {self.layout!r} and pool {self.pool!r}."
            )
        if self.unit != "token" and self.pool is None and self.layout != "n c":
            raise ItinfError(
                f"{self.name}: a network of {self.unit}s needs a pool: state -> one vector per {self.unit}."
            )
        if not self.blocks:
            raise ItinfError(f"{self.name}: no blocks given; name at least one.")
        require_transparent(self.name, self.model)
        require_modules(self.name, self.model, self.blocks)

    @property
    def modality(self) -> str:
        """``"image"`` or ``"language"``."""
        return "image" if self.unit == "image" else "language"

    @property
    def _tensors(self) -> Iterator[Tensor]:
        """Parameters and buffers of the model, then of the readout where it has its own."""
        modules = [part for part in (self.model, self.head, self.neck, self.pool) if isinstance(part, nn.Module)]
        return chain.from_iterable(chain(m.parameters(), m.buffers()) for m in modules)

    @property
    def device(self) -> torch.device:
        return next((tensor.device for tensor in self._tensors), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """That of the first parameter or buffer of floating-point numbers."""
        return next((tensor.dtype for tensor in self._tensors if tensor.is_floating_point()), torch.float32)

    @property
    def readout_dtype(self) -> torch.dtype:
        """What the readout reads: the dtype of the parameters of neck and head where they are modules, else the model's."""
        modules = [part for part in (self.neck, self.head) if isinstance(part, nn.Module)]
        dtypes = (p.dtype for module in modules for p in module.parameters() if p.is_floating_point())
        return next(dtypes, self.dtype)

    def ready(self, inputs: Tensor) -> Tensor:
        """Inputs on the network's device, in its dtype unless they are whole numbers."""
        inputs = inputs.clone() if inputs.is_inference() else inputs
        return inputs.to(self.device, self.dtype if inputs.is_floating_point() else None)

    def forward(self, inputs: Tensor) -> Any:
        """Runs the model up to its last block (through ``trunk``), or all of it where there is no ``trunk``."""
        return self.trunk(self.model, inputs) if self.trunk is not None else self.model(inputs)

    def batch_first(self, state: Tensor) -> Tensor:
        """A state as the model has it, with the batch first; and the other way round."""
        return state.transpose(0, 1) if self.layout == "t n c" else state

    def per_prediction(self, state: Tensor) -> Tensor:
        """A state, the batch first, with one row per prediction: images (N, …), or tokens (N·T, width)."""
        return state.flatten(0, 1) if self.unit == "token" else state

    def readout(self, rows: Tensor) -> Tensor:
        """The network's own readout, head ∘ pool ∘ neck.

        Args:
            rows: ``per_prediction(state)`` or a slice of it, of the last state's width.

        Returns:
            (R, classes) logits.

        Raises:
            ItinfError: neck, pool or head does not run on such rows, or does not put out one tensor.
        """
        rows = rows.to(self.readout_dtype)
        with self.explained("the readout (neck, pool, head)", rows):
            return self.logits(self.pooled(self.necked(rows)))

    def necked(self, rows: Tensor) -> Tensor:
        """What the neck makes of rows; the rows themselves where there is none."""
        if self.neck is None:
            return rows
        given = rows.clone() if self.unit == "token" else self.batch_first(rows).clone()  # a neck may work in place
        out = only_tensor(self.neck(given), f"{self.name}: the neck")
        return out if self.unit == "token" else self.batch_first(out)

    def pooled(self, rows: Tensor) -> Tensor:
        """One vector per row: the pool of rows that are images, else the rows themselves."""
        if self.pool is None:
            return rows
        return only_tensor(self.pool(self.batch_first(rows)), f"{self.name}: the pool")

    def logits(self, vectors: Tensor) -> Tensor:
        """The head's logits of vectors."""
        return only_tensor(self.head(vectors), f"{self.name}: the head")

    @contextmanager
    def explained(self, what: str, given: Tensor) -> Iterator[None]:
        """Raises ItinfError where the user's own modules fail on a tensor; running out of memory is no fault of theirs."""
        try:
            yield
        except (RuntimeError, TypeError, IndexError, ValueError) as error:
            if isinstance(error, ItinfError) or lacks_memory(error):
                raise
            raise ItinfError(
                f"{self.name}: {what} does not run on {given.dtype} of shape {tuple(given.shape)} "
                f"({type(error).__name__}: {' '.join(str(error).split())[:200]}). "
                "Do the inputs, layout, unit and dtype fit the model?"
            ) from error

    @property
    def axes(self) -> int:
        """Number of axes of a state."""
        return len(self.layout.split())

    def width(self, state: Tensor) -> int:
        """Number of channels of a state."""
        return state.shape[1] if self.layout == "n c h w" else state.shape[-1]

    def canonical(self, state: Tensor) -> Tensor:
        """A state, the batch first, as (N, P, C, S): P positions that are units themselves, S positions within a unit.

        Images have P = 1 and S pixels; tokens have P = T and S = 1; single vectors have P = S = 1.
        """
        if self.layout == "n c":
            return state[:, None, :, None]
        if self.layout == "n c h w":
            return state.flatten(2).unsqueeze(1)
        if self.layout == "n h w c":
            return state.flatten(1, 2).transpose(1, 2).unsqueeze(1)
        if self.unit == "token":
            return state.unsqueeze(-1)
        return state.transpose(1, 2).unsqueeze(1)

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Network:
        """Moves the model in place and returns this network.

        The model's own parameters move, as with ``nn.Module.to``; complex ones stay complex.

        Raises:
            ItinfError: a dtype that itinf does not measure in, complex parameters in 16 bits, or a device without float64.
        """
        if dtype is not None and str(dtype).removeprefix("torch.") not in DTYPES:
            raise ItinfError(f"{self.name}: itinf does not measure in {dtype}; expected one of {', '.join(DTYPES)}.")
        if dtype in (torch.float16, torch.bfloat16) and any(t.is_complex() for t in self._tensors):
            raise ItinfError(f"{self.name} has complex parameters, which have no {dtype}. Choose float32 or float64.")
        require_float64(device)

        def moved(tensor: Tensor) -> Tensor:
            if tensor.is_complex():
                return tensor.to(device, None if dtype is None else dtype.to_complex())
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        for part in (self.model, self.head, self.neck, self.pool):
            if isinstance(part, nn.Module):
                part._apply(moved)
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
            f"  gauge   {self.gauge or 'none: forms that are fixed by a gauge are missing'}",
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
