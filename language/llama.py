"""Llama and models of the same architecture (SmolLM2, TinyLlama, …): LlamaForCausalLM, opened at its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from itinf import Block, ItinfError, Network, token
from itinf.networks.weights import random_seed

from .encoder import BYTES, Encoder, encoder, require_bytes
from .gguf_file import is_gguf, read
from .huggingface import Family, config, folder, load, random_model, require_no_options, step

FAMILY = Family("Llama", LlamaForCausalLM)

SMOLLM2_135M = {
    "vocab_size": 49_152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100_000.0},
    "tie_word_embeddings": True,
}
"""Sizes for random weights, from Allal et al. 2025, arXiv 2502.02737; the defaults of LlamaConfig would need 27 GB."""


def llama(weights: str | None = None, **options: Any) -> Network:
    """A Llama of any size, by default 30 blocks of width 576 (SmolLM2-135M); options change the sizes.

    Args:
        weights: ``random[:SEED]`` (None is ``random:0``); a Hugging Face folder (``config.json``,
            ``model.safetensors`` and ``tokenizer.json``); a ``.gguf`` file, which contains its tokenizer
            and needs ``pip install itinf[gguf]``; or a hub id ``OWNER/NAME``. Only a hub id goes online.
        **options: fields of ``LlamaConfig`` (num_hidden_layers, hidden_size, num_attention_heads,
            vocab_size, …), for random weights, which read text as UTF-8 bytes; ``tokenizer=bytes`` for other weights that
            do so.

    Raises:
        ItinfError: an option is unknown or its value is not valid for a Llama; options are given with weights that are
            not random; the folder or file is missing, incomplete, or of another architecture.
    """
    tokenizer = options.pop("tokenizer", None)
    require_bytes(tokenizer)
    if random_seed(weights) is not None:
        made = config(FAMILY, "llama", SMOLLM2_135M, options)
        return _random(made, weights, Encoder(BYTES, made.vocab_size))
    assert weights is not None
    require_no_options("llama", weights, options)
    if is_gguf(Path(weights)):
        model, dtypes, prepare = read(FAMILY, Path(weights))
        return _network(model, weights + dtypes, prepare)
    where, source = folder("llama", weights, "a .gguf file, or random[:SEED]")
    model, dtypes = load(FAMILY, where)
    return _network(model, source + dtypes, encoder(where, model.config.vocab_size, tokenizer))


def regauge(model: Any, states: Sequence[int], change: Tensor) -> None:
    """Rewrites a Llama so that every state h becomes ``change`` h and the logits do not change.

    The weight of every RMSNorm is folded into the maps that read it, and the head is untied from the
    embedding (Ashkboos et al. 2024, SliceGPT, section 3).

    Args:
        model: LlamaForCausalLM, changed in place.
        states: all of 0 … num_hidden_layers; the stream is one segment and is rotated as a whole.
        change: (width, width) rotation.

    Raises:
        ItinfError: not all states are given.
    """
    trunk, head = model.model, model.lm_head
    if sorted(states) != list(range(len(trunk.layers) + 1)):
        raise ItinfError(
            f"regauge of states {list(states)}: all states of a Llama rotate together. "
            f"Give all of 0 … {len(trunk.layers)}."
        )
    turn = change.to(head.weight)
    with torch.no_grad():
        for block in trunk.layers:
            attention, mlp = block.self_attn, block.mlp
            for norm, readers in (
                (block.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj)),
                (block.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj)),
            ):
                for reader in readers:
                    reader.weight.copy_((reader.weight * norm.weight) @ turn.T)
                norm.weight.fill_(1)
            for writer in (attention.o_proj, mlp.down_proj):
                writer.weight.copy_(turn @ writer.weight)
                if writer.bias is not None:
                    writer.bias.copy_(turn @ writer.bias)
        head.weight = nn.Parameter((head.weight * trunk.norm.weight) @ turn.T)
        trunk.norm.weight.fill_(1)
        trunk.embed_tokens.weight.copy_(trunk.embed_tokens.weight @ turn.T)
    model.config.tie_word_embeddings = False


def _random(made: LlamaConfig, weights: str | None, prepare: Encoder) -> Network:
    return _network(random_model(FAMILY, "llama", made, weights), weights or "random:0", prepare)


def _network(model: Any, weights: str, prepare: Encoder) -> Network:
    made = model.config
    if made.num_attention_heads % made.num_key_value_heads:
        raise ItinfError(
            f"llama {weights}: num_attention_heads is {made.num_attention_heads}; expected a multiple of "
            f"num_key_value_heads, which is {made.num_key_value_heads}."
        )
    parts = {"attention": "self_attn", "mlp": "mlp"}
    return Network(
        model.eval(),
        blocks=[Block(f"model.layers.{i}", parts=parts) for i in range(made.num_hidden_layers)],
        layout="n t c",
        unit=token,
        neck=model.model.norm,
        head=model.lm_head,
        gauge="orthogonal",
        regauge=regauge,
        trunk=_trunk,
        step=step,
        prepare=prepare,
        context=made.max_position_embeddings,
        untrained=lambda seed: _random(made, f"random:{seed}", prepare),
        name="llama",
        weights=weights,
    )


def _trunk(model: Any, ids: Tensor) -> Any:
    return model.model(ids, use_cache=False)
