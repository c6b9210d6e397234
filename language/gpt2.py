"""GPT-2 of any size: transformers' GPT2LMHeadModel, opened at its blocks."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

from itinf import Block, ItinfError, Network, token
from itinf.errors import nearest
from itinf.weights import build, random_seed

from . import specimens

PUBLISHED = {
    "gpt2": {"n_layer": 12, "n_embd": 768, "n_head": 12},
    "gpt2-medium": {"n_layer": 24, "n_embd": 1024, "n_head": 16},
    "gpt2-large": {"n_layer": 36, "n_embd": 1280, "n_head": 20},
    "gpt2-xl": {"n_layer": 48, "n_embd": 1600, "n_head": 25},
}
"""Radford et al. 2019, table 2, as released; vocabulary 50,257 and context 1,024 are GPT2Config's own."""


def gpt2(weights: str | None = None, **options: Any) -> Network:
    """GPT-2, 12 blocks of width 768 unless the options say otherwise.

    Args:
        weights: ``random[:SEED]`` (None is ``random:0``); a Hugging Face folder (``config.json``,
            ``model.safetensors`` and, where there is one, ``tokenizer.json``); ``specimen``, the
            small one shipped (8 blocks of width 192); a hub id ``OWNER/NAME``; or ``pretrained``.
            Only the last two reach for the network.
        **options: fields of ``GPT2Config`` (n_layer, n_embd, n_head, vocab_size, n_positions, …),
            for random weights.

    Raises:
        ItinfError: unknown option or a value GPT-2 cannot have; options beside a folder or hub id;
            a folder that is missing, incomplete, cut short, or does not fit its own config.
    """
    return _open("gpt2", weights, options)


def gpt2_medium(weights: str | None = None, **options: Any) -> Network:
    """GPT-2 medium, 24 blocks of width 1024; arguments as for ``gpt2``."""
    return _open("gpt2-medium", weights, options)


def gpt2_large(weights: str | None = None, **options: Any) -> Network:
    """GPT-2 large, 36 blocks of width 1280; arguments as for ``gpt2``."""
    return _open("gpt2-large", weights, options)


def gpt2_xl(weights: str | None = None, **options: Any) -> Network:
    """GPT-2 XL, 48 blocks of width 1600; arguments as for ``gpt2``."""
    return _open("gpt2-xl", weights, options)


@dataclasses.dataclass(frozen=True)
class Encoder:
    """Text -> token ids, without special tokens of its own.

    Attributes:
        name: what encodes, for the record: UTF-8 bytes, or a tokenizer and the hash of its file.
        vocabulary: ids run from 0 to below this.
        tokenizer: None encodes as UTF-8 bytes.
    """

    name: str
    vocabulary: int
    tokenizer: Tokenizer | None = None

    def __call__(self, text: str) -> Tensor:
        """Text as (T,) int64 ids.

        Raises:
            ItinfError: an id beyond the model's vocabulary.
        """
        if self.tokenizer is None:
            ids = list(text.encode())
        else:
            ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        if ids and max(ids) >= self.vocabulary:
            raise ItinfError(
                f"{self.name} gives id {max(ids)}, but the model's vocabulary ends at {self.vocabulary - 1}. "
                "Give the model the tokenizer it was trained with, or a vocabulary of at least 256 for bytes."
            )
        return torch.tensor(ids, dtype=torch.int64)


def regauge(model: Any, states: Sequence[int], change: Tensor) -> None:
    """Rewrites a GPT-2 so that every state h becomes ``change`` h and the logits stay.

    Every LayerNorm's weight and bias are folded into the maps that read it, and the head is untied
    from the embedding, which leaves the residual stream free to turn about the all-ones vector
    (Ashkboos et al. 2024, SliceGPT, section 3, do the same for RMSNorm).

    Args:
        model: GPT2LMHeadModel, changed in place.
        states: all of 0 … n_layer; the stream is one segment and turns as a whole.
        change: (width, width) rotation that fixes the all-ones vector; with another the logits change.

    Raises:
        ItinfError: for a part of the states.
    """
    trunk, head = model.transformer, model.lm_head
    if sorted(states) != list(range(len(trunk.h) + 1)):
        raise ItinfError(
            f"regauge of states {list(states)}: GPT-2's states turn together. Give all of 0 … {len(trunk.h)}."
        )
    turn = change.to(head.weight)
    with torch.no_grad():
        for block in trunk.h:
            for norm, reader in ((block.ln_1, block.attn.c_attn), (block.ln_2, block.mlp.c_fc)):
                reader.bias.add_(norm.bias @ reader.weight)  # Conv1D's weight is (in, out)
                reader.weight.copy_(turn @ (norm.weight[:, None] * reader.weight))
                _clear(norm)
            for writer in (block.attn.c_proj, block.mlp.c_proj):
                writer.weight.copy_(writer.weight @ turn.T)
                writer.bias.copy_(turn @ writer.bias)
        shift = head.weight @ trunk.ln_f.bias
        head.bias = nn.Parameter(shift if head.bias is None else shift + head.bias)
        head.weight = nn.Parameter(head.weight * trunk.ln_f.weight @ turn.T)
        _clear(trunk.ln_f)
        for embedding in (trunk.wte, trunk.wpe):
            embedding.weight.copy_(embedding.weight @ turn.T)
    model.config.tie_word_embeddings = False


def _clear(norm: nn.LayerNorm) -> None:
    nn.init.ones_(norm.weight)
    nn.init.zeros_(norm.bias)


def _open(name: str, weights: str | None, options: dict[str, Any]) -> Network:
    if weights == "pretrained":
        weights = f"openai-community/{name}"
    if random_seed(weights) is not None:
        config = _config(name, options)
        return _random(name, config, weights, Encoder("UTF-8 bytes", config.vocab_size))
    assert weights is not None
    if options:
        raise ItinfError(
            f"{name}: options {', '.join(options)} given beside weights {weights!r}, whose own config decides. "
            "Leave them out, or use weights random[:SEED]."
        )
    folder, source = _folder(name, weights)
    model = _load(folder)
    return _network(name, model, source, _encoder(folder, model.config.vocab_size))


def _config(name: str, options: dict[str, Any]) -> GPT2Config:
    known = {field.name for field in dataclasses.fields(GPT2Config)}
    for option in options:
        if option not in known:
            raise ItinfError(f"{name} has no option {option!r}. {nearest(option, known)}")
    try:
        # GPT2Config names token 50256 as first and last; at random no token means anything.
        return GPT2Config(**{"bos_token_id": None, "eos_token_id": None} | PUBLISHED[name] | options)
    except Exception as error:
        raise ItinfError(f"{name}: options {options} make no GPT2Config ({error}).") from error


def _random(name: str, config: GPT2Config, weights: str | None, prepare: Encoder) -> Network:
    try:
        model = build(lambda: GPT2LMHeadModel(config), weights)
    except (ValueError, RuntimeError) as error:
        raise ItinfError(f"{name}: no GPT-2 can be built from {config.to_diff_dict()} ({error}).") from error
    return _network(name, model, weights or "random:0", prepare)


def _network(name: str, model: Any, weights: str, prepare: Encoder) -> Network:
    config = model.config
    return Network(
        model,
        blocks=[Block(f"transformer.h.{i}", parts={"attention": "attn", "mlp": "mlp"}) for i in range(config.n_layer)],
        layout="n t c",
        unit=token,
        neck=model.transformer.ln_f,
        head=model.lm_head,
        gauge="orthogonal-layernorm",
        regauge=regauge,
        run=_run,
        prepare=prepare,
        context=config.n_positions,
        untrained=lambda seed: _random(name, config, f"random:{seed}", prepare),
        name=name,
        weights=weights,
    )


def _run(model: Any, ids: Tensor) -> Any:
    return model.transformer(ids, use_cache=False)


def _folder(name: str, weights: str) -> tuple[Path, str]:
    """The folder that holds the weights, and its name for the record."""
    if weights == "specimen":
        if not (specimens.FOLDER / name).is_dir():
            raise ItinfError(f"{name} has no specimen; the network gpt2 has one.")
        return specimens.FOLDER / name, weights
    if Path(weights).is_dir():
        return Path(weights), weights
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", weights) or Path(weights).exists():
        raise ItinfError(
            f"{name}: there is no folder {weights!r}. Expected a Hugging Face folder (config.json, model.safetensors), "
            "a hub id OWNER/NAME, random[:SEED], or pretrained."
        )
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "model*.safetensors", "model.safetensors.index.json", "tokenizer.json", "vocab.json"]
    try:
        folder = Path(snapshot_download(weights, allow_patterns=wanted))
    except Exception as error:
        raise ItinfError(
            f"{name}: {weights!r} is no folder here and cannot be fetched as a hub id ({error}). "
            "Give a folder that exists, or try again with a connection."
        ) from error
    return folder, f"{weights}@{folder.name}"  # snapshot folders are named by their commit


def _load(folder: Path) -> GPT2LMHeadModel:
    try:
        kind = GPT2Config.get_config_dict(folder, local_files_only=True)[0].get("model_type")
        if kind != "gpt2":
            raise ItinfError(f"{folder}: config.json describes a model of type {kind!r}; expected 'gpt2'.")
        with quiet():
            # Sizes that disagree are listed and refused below, each with its shapes.
            loaded: Any = GPT2LMHeadModel.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                attn_implementation="sdpa",
                dtype=torch.float32,
            )
        model, report = loaded
    except ItinfError:
        raise
    except Exception as error:
        raise ItinfError(
            f"{folder} cannot be read as GPT-2 ({error}). "
            "Expected a complete config.json and model.safetensors, as save_pretrained writes them."
        ) from error
    missing, unknown, wrong = (report[f"{key}_keys"] for key in ("missing", "unexpected", "mismatched"))
    faults = []
    if missing:
        faults.append(f"{len(missing)} tensors are missing, first {min(missing)}")
    if unknown:
        faults.append(f"{len(unknown)} are unknown to the config, first {min(unknown)}")
    if wrong:
        key, file, ours = min(wrong)
        faults.append(f"{len(wrong)} have another shape, first {key}: file {tuple(file)}, config {tuple(ours)}")
    if faults:
        raise ItinfError(f"{folder}: model.safetensors does not fit config.json: {'; '.join(faults)}.")
    return model


def _encoder(folder: Path, vocabulary: int) -> Encoder:
    path = folder / "tokenizer.json"
    if not path.is_file():
        if (folder / "vocab.json").is_file():
            raise ItinfError(
                f"{folder} has a vocab.json but no tokenizer.json. "
                "Write one: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
            )
        return Encoder("UTF-8 bytes", vocabulary)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise ItinfError(f"{path} cannot be read as a tokenizer ({error}). Is the file complete?") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    digest = hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
    return Encoder(f"tokenizer of {tokenizer.get_vocab_size():,} #{digest}", vocabulary, tokenizer)


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
