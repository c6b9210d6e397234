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
from transformers.utils import logging

from itinf import ItinfError
from itinf.errors import nearest
from itinf.networks.weights import build
from itinf.settings import whole

from .encoder import OTHER_TOKENIZERS, TOKENIZER

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
        return build(lambda: family.model(config), weights)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        raise ItinfError(f"{name}: no {family.title} can be built from {config.to_diff_dict()} ({error}).") from error


def require_no_options(name: str, weights: str, options: dict[str, Any]) -> None:
    if options:
        raise ItinfError(
            f"{name}: options {', '.join(options)} given beside weights {weights!r}, which have their own config. "
            "Leave the options out, or use weights random[:SEED]."
        )


def folder(name: str, weights: str, others: str) -> tuple[Path, str]:
    """The folder with the weights, and its name for the record.

    Args:
        name: name of the network.
        weights: a folder, or a hub id ``OWNER/NAME``, which is downloaded.
        others: other weights that the network accepts, for the message.

    Raises:
        ItinfError: there is no such folder, or the hub cannot be reached.
    """
    if Path(weights).is_dir():
        return Path(weights), weights
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", weights) or Path(weights).exists():
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


def load(family: Family, folder: Path, gguf: str | None = None) -> Any:
    """Reads the model in a folder in float32, and checks that every tensor comes from the file.

    Args:
        family: the expected kind of model.
        folder: a folder with ``config.json`` and ``model.safetensors``.
        gguf: name of a GGUF file in the folder; if given, it is read instead.

    Raises:
        ItinfError: the model is of another kind; files are missing or incomplete; tensors are missing, unknown, or do
            not have the shape that the config says.
    """
    where, expected = folder, "a complete config.json and model.safetensors, as save_pretrained writes them"
    file: dict[str, Any] = {}
    if gguf is not None:
        where, expected, file = folder / gguf, "a complete GGUF file of quantised or plain weights", {"gguf_file": gguf}
    try:
        with quiet():
            kind = family.config.get_config_dict(folder, local_files_only=True, **file)[0].get("model_type")
            if kind != family.config.model_type:
                raise ItinfError(
                    f"{where}{'' if gguf else ': config.json'} describes a model of type {kind!r}; "
                    f"expected {family.config.model_type!r}."
                )
            # Tensors with wrong shapes are listed in the report; they are refused below.
            model, report = family.model.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                attn_implementation="sdpa",
                dtype=torch.float32,
                **file,
            )
    except ItinfError:
        raise
    except Exception as error:
        raise ItinfError(f"{where} cannot be read as {family.title} ({error}). Expected {expected}.") from error
    faults = _faults(report)
    if faults:
        what = f"{folder}: model.safetensors does not fit config.json" if gguf is None else f"{where} is inconsistent"
        raise ItinfError(f"{what}: {'; '.join(faults)}. Save the model again, or give another file.")
    return model


def _faults(report: dict[str, Any]) -> list[str]:
    """Phrases about the problems in the loading report of transformers, each with its first tensor."""
    missing, unknown, wrong = (report[f"{key}_keys"] for key in ("missing", "unexpected", "mismatched"))
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
