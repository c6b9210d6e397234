"""Causal language models of transformers: random by config, or read from disk and checked against the loader's own report."""

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

from .encoder import OTHER_TOKENIZERS, TOKENIZER


@dataclass(frozen=True)
class Family:
    """What sets one kind of model apart from another.

    Attributes:
        title: in messages, e.g. "GPT-2".
        model: the class with the head, such as ``GPT2LMHeadModel``.
    """

    title: str
    model: Any

    @property
    def config(self) -> Any:
        """The class of its configs."""
        return self.model.config_class


def config(family: Family, name: str, usual: dict[str, Any], options: dict[str, Any]) -> Any:
    """A config for random weights.

    Args:
        family, name: of the network.
        usual: fields where the options say nothing.
        options: fields of the config's class.

    Raises:
        ItinfError: an unknown field (with the nearest), or values that make no config.
    """
    known = {field.name for field in dataclasses.fields(family.config)}
    for option in options:
        if option not in known:
            raise ItinfError(f"{name} has no option {option!r}. {nearest(option, known)}")
    try:
        # Configs name tokens as first and last by default; at random no token means anything.
        return family.config(**{"bos_token_id": None, "eos_token_id": None} | usual | options)
    except Exception as error:
        raise ItinfError(f"{name}: options {options} make no {family.config.__name__} ({error}).") from error


def random_model(family: Family, name: str, config: Any, weights: str | None) -> Any:
    """A model at random, see ``itinf.networks.weights.build``."""
    try:
        return build(lambda: family.model(config), weights)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        raise ItinfError(f"{name}: no {family.title} can be built from {config.to_diff_dict()} ({error}).") from error


def require_no_options(name: str, weights: str, options: dict[str, Any]) -> None:
    if options:
        raise ItinfError(
            f"{name}: options {', '.join(options)} given beside weights {weights!r}, whose own config decides. "
            "Leave them out, or use weights random[:SEED]."
        )


def folder(name: str, weights: str, others: str) -> tuple[Path, str]:
    """The folder that holds the weights, and its name for the record.

    Args:
        name: of the network.
        weights: a folder, or a hub id ``OWNER/NAME``, which is fetched.
        others: what else the network takes, for the message.

    Raises:
        ItinfError: no such folder, or a hub out of reach.
    """
    if Path(weights).is_dir():
        return Path(weights), weights
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", weights) or Path(weights).exists():
        raise ItinfError(
            f"{name}: there is no folder {weights!r}. Expected a Hugging Face folder (config.json, model.safetensors), "
            f"a hub id OWNER/NAME, {others}."
        )
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "model*.safetensors", "model.safetensors.index.json", TOKENIZER, *OTHER_TOKENIZERS]
    try:
        found = Path(snapshot_download(weights, allow_patterns=wanted))
    except Exception as error:
        raise ItinfError(
            f"{name}: {weights!r} is no folder here and cannot be fetched as a hub id ({error}). "
            "Give a folder that exists, or try again with a connection."
        ) from error
    return found, f"{weights}@{found.name}"  # snapshot folders are named by their commit


def load(family: Family, folder: Path, gguf: str | None = None) -> Any:
    """The model in a folder, float32, every tensor of it from the file.

    Args:
        family: which model is expected.
        folder: with ``config.json`` and ``model.safetensors``.
        gguf: name of a GGUF file in the folder, which is read instead.

    Raises:
        ItinfError: another model, files that are missing or cut short, or tensors that are missing,
            unknown, or of another shape than the config says.
    """
    where, wanted = folder, "a complete config.json and model.safetensors, as save_pretrained writes them"
    file: dict[str, Any] = {}
    if gguf is not None:
        where, wanted, file = folder / gguf, "a complete GGUF file of quantised or plain weights", {"gguf_file": gguf}
    try:
        with quiet():
            kind = family.config.get_config_dict(folder, local_files_only=True, **file)[0].get("model_type")
            if kind != family.config.model_type:
                raise ItinfError(
                    f"{where}{'' if gguf else ': config.json'} describes a model of type {kind!r}; "
                    f"expected {family.config.model_type!r}."
                )
            # Sizes that disagree are listed and refused below, each with its shapes.
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
        raise ItinfError(f"{where} cannot be read as {family.title} ({error}). Expected {wanted}.") from error
    faults = _faults(report)
    if faults:
        what = f"{folder}: model.safetensors does not fit config.json" if gguf is None else f"{where} is inconsistent"
        raise ItinfError(f"{what}: {'; '.join(faults)}.")
    return model


def _faults(report: dict[str, Any]) -> list[str]:
    """What transformers' loading report complains of, with the first tensor of each kind."""
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
    """Keeps transformers' loading report and bars off the terminal; what they say is raised."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
