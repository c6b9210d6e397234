"""Says why a weight file does not fit a model: what it is, its nearest reading, and the names that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .stand_ins import class_name
from .weight_file import SAVE

if TYPE_CHECKING:
    from .readings import Reading

ARRAY = "an array of NumPy"
Shapes = Mapping[str, tuple[int, ...]]


def misfit(content: Any, readings: Sequence[Reading], shapes: Shapes) -> str:
    """The sentences about a file of which no reading fits.

    Args:
        content: what the file holds.
        readings: the readings that were tried.
        shapes: of the parameters and buffers of the model.
    """
    if not readings:
        return _foreign(content, shapes)
    reading = min(readings, key=lambda r: r.faults)
    faults = []
    if reading.missing:
        faults.append(f"{_count(reading.missing, 'is missing', 'are missing')}, first {_first(reading.missing)}")
    if reading.unknown:
        faults.append(f"{_count(reading.unknown, 'is', 'are')} unknown to the model, first {_first(reading.unknown)}")
    if reading.wrong:
        pairs = [f"{shown(n)}: file {_shape(reading.found[n])}, model {shapes[n]}" for n in reading.wrong[:3]]
        faults.append(f"{_count(reading.wrong, 'has', 'have')} another shape, first {'; '.join(pairs)}")
    where = " and ".join(
        [f"its entry {shown(reading.entry)}"] * bool(reading.entry)
        + [f"prefix {shown(reading.prefix)}"] * bool(reading.prefix)
    )
    nearest = f"the nearest reading is {where}; in it " if where else ""
    top = f" At its top the file holds {_keys(content)}." if reading.entry else ""
    return f"{nearest}{'; '.join(faults)}.{top}{_advice(reading, shapes)}"


def shown(name: Any) -> str:
    """A name from a file for a message: on one line, without control characters, at most 80 characters."""
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:77]}…'"


def _advice(reading: Reading, shapes: Shapes) -> str:
    owners = {name.rpartition(".")[0] for name in reading.wrong}
    sizes = {(_shape(reading.found[name]), shapes[name]) for name in reading.wrong}
    tensors = bool(sizes) and all(isinstance(a, tuple) and len(a) == len(b) > 0 for a, b in sizes)
    outputs = {(a[0], b[0]) for a, b in sizes if tensors and a[1:] == b[1:]}
    head = any(len(a) == 2 for a, _ in sizes)
    if tensors and head and len(owners) == len(outputs) == 1 and reading.faults == len(reading.wrong):
        ((theirs, ours),) = outputs
        return (
            f" So {shown(owners.pop())} has {theirs} outputs in the file and {ours} in the model: make the model with "
            f"{theirs} (networks of itinf: option classes={theirs})."
        )
    if ARRAY in {a for a, _ in sizes}:
        return " Save tensors: torch.save({name: torch.from_numpy(array) for name, array in weights.items()}, 'weights.pt')."
    if tensors and all(len(a) == 2 and a == b[::-1] for a, b in sizes):
        return " These are transposed: the file is of another implementation. Convert it with its own tools."
    if reading.unknown and not reading.missing and not reading.wrong and not reading.unknown_inside:
        return f" To leave these out, choose the reading: add #{reading.name} to the name of the file."
    return " Give the options with which the model was made, or the weights of this architecture."


def _foreign(content: Any, shapes: Shapes) -> str:
    """About a file without any name of the model."""
    ours = f"The model has {_first(list(shapes))}."
    if isinstance(content, Tensor):
        return f"the file holds one tensor of shape {tuple(content.shape)}. Give a state dict. {SAVE}"
    if not isinstance(content, dict | list | tuple) or "." in class_name(content):
        return f"the file holds an object of class {shown(class_name(content))}, not a state dict. {SAVE}"
    if not content:
        return f"the file is empty: it holds no tensors. {SAVE}"
    objects = [v for v in (content.values() if isinstance(content, dict) else content) if "." in class_name(v)]
    names = [key for key in content if isinstance(key, str)] if isinstance(content, dict) else []
    if {"param_groups", "state"} <= set(names):
        return f"the file holds the state of an optimizer, no weights. {SAVE}"
    if any("lora_" in name for name in names):
        return "the file holds an adapter (LoRA) without the weights it adapts. Merge it into its model, and save that."
    what = f"no tensor in the file has a name of the model. At its top the file holds {_keys(content)}. {ours}"
    return what + (f" It holds objects of class {shown(class_name(objects[0]))}. {SAVE}" if objects else "")


def _keys(content: Any) -> str:
    keys = list(content) if isinstance(content, dict) else [f"[{i}]" for i in range(len(content))]
    return f"{', '.join(map(shown, keys[:6]))}{f', … ({len(keys)} entries)' if len(keys) > 6 else ''}"


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:3])) + (", …" if len(names) > 3 else "")


def _count(names: Sequence[str], one: str, many: str) -> str:
    return f"1 tensor {one}" if len(names) == 1 else f"{len(names)} tensors {many}"


def _shape(value: Any) -> tuple[int, ...] | str:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    return ARRAY if class_name(value).endswith("_reconstruct") else f"no tensor but {shown(class_name(value))}"
