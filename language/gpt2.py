"""GPT-2 of any size: GPT2LMHeadModel of transformers, opened at its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from itinf import Block, ItinfError, Network, token
from itinf.networks.weights import random_seed
from itinf.settings import truth
from itinf.training.specimen import read_card

from .encoder import BYTES, Encoder, encoder, require_bytes
from .folder_check import CONFIG, json_object
from .huggingface import Family, config, folder, load, random_model, require_no_options, step
from .shared_gpt2 import SharedGPT2, require_one_block, require_shareable
from .specimens import FOLDER, SIZES, SMALL

FAMILY = Family("GPT-2", GPT2LMHeadModel)
SHARED = Family("GPT-2 of one block", SharedGPT2)
PUBLISHED = {
    "gpt2": {"n_layer": 12, "n_embd": 768, "n_head": 12},
    "gpt2-medium": {"n_layer": 24, "n_embd": 1024, "n_head": 16},
    "gpt2-large": {"n_layer": 36, "n_embd": 1280, "n_head": 20},
    "gpt2-xl": {"n_layer": 48, "n_embd": 1600, "n_head": 25},
}
"""Sizes of Radford et al. 2019, table 2, as released; vocabulary 50,257 and context 1,024 are defaults of GPT2Config."""


def gpt2(weights: str | None = None, **options: Any) -> Network:
    """GPT-2, by default 12 blocks of width 768; options change the sizes.

    Args:
        weights: ``random[:SEED]`` (None is ``random:0``); a Hugging Face folder (``config.json``,
            ``model.safetensors`` and ``tokenizer.json``); ``specimen``, the small GPT-2 that comes with
            itinf (8 blocks of width 192); a hub id ``OWNER/NAME``; or ``pretrained``. Only the last two go online.
        **options: fields of ``GPT2Config`` (n_layer, n_embd, n_head, vocab_size, n_positions, …), for random weights, which
            read text as UTF-8 bytes; ``share=True`` for one block applied n_layer times, LayerNorms included;
            ``tokenizer=bytes`` for other weights that read bytes.

    Raises:
        ItinfError: an option is unknown or its value is not valid for GPT-2; options are given with a folder or hub id;
            the folder is missing, incomplete, or does not fit its config.
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


def iterative_gpt2(weights: str | None = None, **options: Any) -> Network:
    """Specimen: one GPT-2 block of width 192 applied 8 times, with the loss at every depth, for Python source code.

    Arguments as for ``gpt2``; nobody has published such weights.
    """
    return _open("iterative-gpt2", weights, {"share": True} | options if random_seed(weights) is not None else options)


def predictive_gpt2(weights: str | None = None, **options: Any) -> Network:
    """Specimen: a GPT-2 of about the size of ``predictive`` and trained as it is, 4 blocks of width 128.

    Arguments as for ``gpt2``; nobody has published such weights.
    """
    return _open("predictive-gpt2", weights, options)


def regauge(model: Any, states: Sequence[int], change: Tensor) -> None:
    """Rewrites a GPT-2 so that every state h becomes ``change`` h and the logits do not change.

    The weight and bias of every LayerNorm are folded into the maps that read it, and the head is untied from the
    embedding. Then the residual stream can be rotated about the all-ones vector (Ashkboos et al. 2024, SliceGPT,
    section 3, do the same for RMSNorm).

    Args:
        model: GPT2LMHeadModel, changed in place.
        states: all of 0 … n_layer; the stream is one segment and is rotated as a whole.
        change: (width, width) rotation that keeps the all-ones vector; any other rotation changes the logits.

    Raises:
        ItinfError: not all states are given.
    """
    trunk, head = model.transformer, model.lm_head
    if sorted(states) != list(range(len(trunk.h) + 1)):
        raise ItinfError(
            f"regauge of states {list(states)}: all states of GPT-2 rotate together. Give all of 0 … {len(trunk.h)}."
        )
    turn = change.to(head.weight)
    with torch.no_grad():
        for block in {id(block.ln_1.weight): block for block in trunk.h}.values():  # blocks may be one
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
    tokenizer = options.pop("tokenizer", None)
    require_bytes(tokenizer)
    published = weights == "pretrained"
    if published and name not in PUBLISHED:
        raise ItinfError(f"{name} has no published weights. Give specimen, a Hugging Face folder, or random[:SEED].")
    if published:
        weights = f"openai-community/{name}"
    if random_seed(weights) is not None:
        share = truth(f"{name}: share", options.pop("share", False))
        made = config(
            SHARED if share else FAMILY,
            name,
            PUBLISHED.get(name, SIZES | SMALL if name == "predictive-gpt2" else SIZES),
            options,
        )
        if share:
            require_shareable(name, made)
        return _random(name, made, weights, Encoder(BYTES, made.vocab_size))
    assert weights is not None
    require_no_options(name, weights, options)
    if weights == "specimen":
        where, source = _specimen(name)
    else:
        where, source = folder(name, weights, "random[:SEED], or pretrained", hub=published)
    family = _family(where)
    model, dtypes = load(family, where)
    if family is SHARED:
        require_one_block(str(where), model)
    source += dtypes if weights != "specimen" else ""
    opened = _network(name, model, source, encoder(where, model.config.vocab_size, tokenizer))
    return replace(opened, scores=read_card(where).get("scores", {})) if weights == "specimen" else opened


def _family(where: Path) -> Family:
    try:
        kind = json_object(where / CONFIG).get("model_type")
    except ValueError:
        return FAMILY  # ``load`` says what is wrong
    return SHARED if kind == SHARED.config.model_type else FAMILY


def _specimen(name: str) -> tuple[Path, str]:
    if not (FOLDER / name).is_dir():
        raise ItinfError(
            f"{name} has no specimen; only the networks gpt2 and iterative-gpt2 have one. Use one of these, or give other "
            "weights."
        )
    return FOLDER / name, "specimen"


def _random(name: str, made: GPT2Config, weights: str | None, prepare: Encoder) -> Network:
    family = SHARED if isinstance(made, SHARED.config) else FAMILY
    return _network(name, random_model(family, name, made, weights), weights or "random:0", prepare)


def _network(name: str, model: Any, weights: str, prepare: Encoder) -> Network:
    made = model.config
    return Network(
        model.eval(),
        blocks=[Block(f"transformer.h.{i}", parts={"attention": "attn", "mlp": "mlp"}) for i in range(made.n_layer)],
        layout="n t c",
        unit=token,
        neck=model.transformer.ln_f,
        head=model.lm_head,
        gauge="orthogonal-layernorm",
        regauge=regauge,
        trunk=_trunk,
        step=step,
        prepare=prepare,
        context=made.n_positions,
        untrained=lambda seed: _random(name, made, f"random:{seed}", prepare),
        name=name,
        weights=weights,
    )


def _trunk(model: Any, ids: Tensor) -> Any:
    return model.transformer(ids, use_cache=False)
