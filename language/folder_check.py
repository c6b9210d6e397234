"""Checks a Hugging Face folder before it is opened: its config, the files and tensors it names, and their dtypes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from itinf.networks.weight_file import content

CONFIG, WEIGHTS, INDEX, OLD = "config.json", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
NO_WEIGHT = re.compile(
    r"(^|\.)attn\.(masked_)?bias$|(^|\.)rotary_emb\.inv_freq$|(^|\.)position_ids$|(^|\.)num_batches_tracked$"
)
"""Entries that follow from the architecture, in old files, and counters of batches; they may have other dtypes."""
SPARE = 100_000_000
"""Parameters that a model may have beyond twice those of its file, before it is refused unopened."""


@dataclass(frozen=True)
class Tensors:
    """The tensors of a folder.

    Attributes:
        dtypes: dtype of the weights, for the record.
        count: number of tensors.
        elements: number of elements of all of them.
        old: the tensors themselves, where an old file without header holds them.
    """

    dtypes: frozenset[str]
    count: int
    elements: int
    old: dict[str, torch.Tensor] | None = None


def require_folder(folder: Path) -> Tensors:
    """Checks config.json and the files of weights, of which only the headers are read.

    Raises:
        ValueError: a phrase that says what is wrong.
        ItinfError: an old file of weights is damaged or asks to run something.
    """
    config = json_object(folder / CONFIG)
    for key, value in config.items():
        # transformers would fetch such an implementation from the hub, and run it
        if key.endswith("implementation") and "/" in str(value):
            raise ValueError(f"{CONFIG} asks for code from elsewhere: {key} is {value!r}")
    if "quantization_config" in config:
        raise ValueError(f"{CONFIG} says that the weights are quantised; give the weights before quantisation")
    if (folder / "adapter_config.json").exists():
        raise ValueError("it holds an adapter; merge it into its model and save that")
    if not (folder / WEIGHTS).is_file() and not (folder / INDEX).is_file() and (folder / OLD).is_file():
        return _old(folder / OLD)
    dtypes: dict[str, str] = {}
    elements = 0
    for path in _shards(folder):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                part = file.get_slice(name)
                dtypes[name] = str(part.get_dtype())
                elements += math.prod(part.get_shape())
    return Tensors(_known(dtypes, FLOATS), len(dtypes), elements)


def json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ValueError: a phrase that says what is wrong.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there is no {path.name}") from None
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds a {type(value).__name__}, not an object with names")
    return value


def require_size(config: Any, model: Any, tensors: Tensors) -> None:
    """Refuses a config of a model that is far larger than the file, before memory is taken for it.

    Raises:
        ValueError: a phrase with both sizes.
    """
    layers = getattr(config, "num_hidden_layers", 0)  # a ResNet has none
    if layers > tensors.count:
        raise ValueError(f"{CONFIG} says {layers} blocks, and the file has {tensors.count} tensors")
    with torch.device("meta"):
        made = model(config)
    size = sum(v.numel() for v in (*made.parameters(), *made.buffers()))
    if size > 2 * tensors.elements + SPARE:
        raise ValueError(f"{CONFIG} describes {size:,} numbers, and the file has {tensors.elements:,}")


def _shards(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file() or not (folder / INDEX).is_file():
        names: list[Any] = [WEIGHTS]
    else:
        listed = json_object(folder / INDEX).get("weight_map")
        if not isinstance(listed, dict):
            raise ValueError(f"{INDEX} has no weight_map")
        names = list(dict.fromkeys(map(str, listed.values())))
    for name in names:
        # a name with a folder in it could lead anywhere
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(f"{INDEX} names {name!r}, which is no .safetensors file in this folder")
        if not (folder / name).is_file():
            raise ValueError(f"there is no {name}")
    return [folder / name for name in names]


def _old(path: Path) -> Tensors:
    tensors = content(path)
    if not isinstance(tensors, dict) or not all(isinstance(v, torch.Tensor) for v in tensors.values()):
        raise ValueError(f"{path.name} holds more than tensors; save the model again with save_pretrained")
    dtypes = {str(name): str(value.dtype).removeprefix("torch.") for name, value in tensors.items()}
    known = _known(dtypes, {name: name for name in FLOATS.values()})
    return Tensors(known, len(tensors), sum(v.numel() for v in tensors.values()), tensors)


def _known(dtypes: Mapping[str, str], known: Mapping[str, str]) -> frozenset[str]:
    """The dtypes of the weights; what is no weight may have others."""
    weights = {name: dtype for name, dtype in dtypes.items() if not NO_WEIGHT.search(name)}
    for name, dtype in weights.items():
        if dtype not in known:
            raise ValueError(f"{name!r} is {dtype}; weights are expected in float32, float16, bfloat16 or float64")
    return frozenset(known[dtype] for dtype in weights.values())
