"""Causal language models of transformers: with random weights, or read from a folder or hub id and checked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.utils import logging

from itinf import ItinfError
from itinf.errors import nearest
from itinf.networks.weights import build, in_words
from itinf.settings import whole

from .encoder import OTHER_TOKENIZERS, TOKENIZER
from .folder_check import NO_WEIGHT, require_folder, require_size
from .gguf_header import require_gguf

FILES = frozenset({".bin", ".ckpt", ".gguf", ".pt", ".pth", ".safetensors", ".tar", ".th"})
"""Endings of a missing file, which is not looked for on the hub."""

SIZES = ("n_layer", "n_embd", "n_head", "n_positions", "num_hidden_layers", "hidden_size", "num_attention_heads",
         "num_key_value_heads", "max_position_embeddings", "vocab_size")  # fmt: skip
"""Fields of configs that count something: there must be at least one."""


@dataclass(frozen=True)
class Family:
    """A kind of model.

    Attributes:
        title: its name in messages, e.g. "GPT-2".
        model: the class of the model with its head, such as ``GPT2LMHeadModel``.
    """

    title: str
    model: Any

    @property
    def config(self) -> Any:
        """The class of its configs."""
        return self.model.config_class


def config(family: Family, name: str, usual: dict[str, Any], options: dict[str, Any]) -> Any:
    """A config for a model with random weights.

    Args:
        family, name: kind and name of the network.
        usual: default values of fields.
        options: fields of the config class that replace the defaults.

    Raises:
        ItinfError: there is no such field, or the config class refuses the values.
    """
    known = {field.name for field in dataclasses.fields(family.config)}
    for option in options:
        if option not in known:
            raise ItinfError(f"{name} has no option {option!r}. {nearest(option, known)}")
    try:
        # By default, configs name a first and a last token; with random weights no token has a meaning.
        made = family.config(**{"bos_token_id": None, "eos_token_id": None} | usual | options)
    except Exception as error:
        raise ItinfError(f"{name}: options {options} make no {family.config.__name__} ({error}).") from error
    for size in SIZES:
        if hasattr(made, size) and size in usual | options:
            whole(f"{name}: {size}", getattr(made, size), 1)
    return made


def random_model(family: Family, name: str, config: Any, weights: str | None) -> Any:
    """A model with random weights, see ``itinf.networks.weights.build``."""
    try:
        return build(lambda: family.model(config), weights)[0]
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        raise ItinfError(f"{name}: no {family.title} can be built from {config.to_diff_dict()} ({error}).") from error


def require_no_options(name: str, weights: str, options: dict[str, Any]) -> None:
    if options:
        raise ItinfError(
            f"{name}: options {', '.join(options)} given beside weights {weights!r}, which have their own config. "
            "Leave the options out, or use weights random[:SEED]."
        )


def folder(name: str, weights: str, others: str, *, hub: bool = False) -> tuple[Path, str]:
    """The folder with the weights, and its name for the record.

    Args:
        name: name of the network.
        weights: a folder, or a hub id ``OWNER/NAME``, which is downloaded.
        others: other weights that the network accepts, for the message.
        hub: True if a folder of that name does not count.

    Raises:
        ItinfError: there is no such folder, or the hub cannot be reached.
    """
    path = Path(weights)
    try:
        is_folder, exists = path.is_dir() and not hub, path.exists() and not hub
    except OSError as error:
        raise ItinfError(f"{name}: {weights!r} cannot be opened ({error.strerror}). Give another folder.") from error
    if is_folder:
        return path, weights
    if exists:
        raise ItinfError(
            f"{name}: {weights!r} is a file. Expected a Hugging Face folder: weights and their config.json, as "
            "save_pretrained writes them."
        )
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", weights) or path.suffix in FILES:
        raise ItinfError(
            f"{name}: there is no folder {weights!r}. Expected a Hugging Face folder (config.json, model.safetensors), "
            f"a hub id OWNER/NAME, {others}."
        )
    from huggingface_hub import snapshot_download

    patterns = ["config.json", "model*.safetensors", "model.safetensors.index.json", TOKENIZER, *OTHER_TOKENIZERS]
    try:
        snapshot = Path(snapshot_download(weights, allow_patterns=patterns))
    except Exception as error:
        raise ItinfError(
            f"{name}: {weights!r} is no folder here and cannot be fetched as a hub id ({error}). "
            "Give a folder that exists, or try again with a connection."
        ) from error
    return snapshot, f"{weights}@{snapshot.name}"  # the name of a snapshot folder is its commit


def load(family: Family, folder: Path, gguf: str | None = None) -> tuple[Any, str]:
    """Reads the model in a folder in float32, and checks that every tensor comes from the file.

    Args:
        family: the expected kind of model.
        folder: a folder with ``config.json`` and ``model.safetensors``, or an old ``pytorch_model.bin``.
        gguf: name of a GGUF file in the folder; if given, it is read instead.

    Returns:
        The model, and the dtype of its file where that is not float32, in brackets, for the record.

    Raises:
        ItinfError: the model is of another kind; files are missing or incomplete; tensors are missing, unknown, or do
            not have the shape that the config says.
    """
    where, expected = folder, "a complete config.json and model.safetensors, as save_pretrained writes them"
    file: dict[str, Any] = {}
    if gguf is not None:
        where, expected, file = folder / gguf, "a complete GGUF file of quantised or plain weights", {"gguf_file": gguf}
    try:
        tensors = require_folder(folder) if gguf is None else require_gguf(folder / gguf)
        with quiet():
            kind = family.config.get_config_dict(folder, local_files_only=True, **file)[0].get("model_type")
            if kind != family.config.model_type:
                raise ItinfError(
                    f"{where}{'' if gguf else ': config.json'} describes a model of type {kind!r}; "
                    f"expected {family.config.model_type!r}."
                )
            made = family.config.from_pretrained(folder, local_files_only=True, **file)
            require_size(made, family.model, tensors)
            model, report = _opened(family, folder, file, made, tensors.old)
    except ItinfError:
        raise
    except Exception as error:
        raise ItinfError(f"{where} cannot be read as {family.title} ({error}). Expected {expected}.") from error
    faults = _faults(report)
    if faults:
        what = f"{folder}: model.safetensors does not fit config.json" if gguf is None else f"{where} is inconsistent"
        raise ItinfError(f"{what}: {'; '.join(faults)}. Save the model again, or give another file.")
    for name, value in model.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            raise ItinfError(f"{where}: {name} holds NaN or infinite numbers. Give weights of an earlier step.")
    return model, in_words(tensors.dtypes)


def _opened(family: Family, folder: Path, file: dict[str, Any], made: Any, old: dict[str, Any] | None) -> Any:
    """The model, and the loading report of transformers."""
    options: dict[str, Any] = file | {"local_files_only": True, "use_safetensors": True}
    if old is not None:
        options = {"config": made, "state_dict": old}
    # Tensors with wrong shapes are listed in the report; they are refused there.
    return family.model.from_pretrained(
        None if old is not None else folder,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        dtype=torch.float32,
        **options,
    )


def _faults(report: dict[str, Any]) -> list[str]:
    """Phrases about the problems in the loading report of transformers, each with its first tensor."""
    missing, unknown, wrong = (report[f"{key}_keys"] for key in ("missing", "unexpected", "mismatched"))
    unknown = [name for name in unknown if not NO_WEIGHT.search(name)]
    faults = []
    if missing:
        faults.append(f"{len(missing)} tensors are missing, first {min(missing)}")
    if unknown:
        faults.append(f"{len(unknown)} are unknown to the config, first {min(unknown)}")
    if wrong:
        key, file, ours = min(wrong)
        faults.append(f"{len(wrong)} have another shape, first {key}: file {tuple(file)}, config {tuple(ours)}")
    return faults


@contextmanager
def quiet() -> Iterator[None]:
    """Hides loading reports and progress bars of transformers; problems are raised as errors instead."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def step(model: Any, ids: Tensor, memory: Any) -> tuple[Tensor, Any]:
    """``Network.step`` of a causal language model of transformers, whose cache is the memory."""
    out = model(ids, cache=memory, use_cache=True, logits_to_keep=1)
    return out.logits[:, -1], out.cache
