"""GPT-2 of one block applied several times: every block has the same parameters, LayerNorms included."""

from __future__ import annotations

from typing import Any

from transformers import GPT2Config, GPT2LMHeadModel

from itinf import ItinfError


class SharedGPT2Config(GPT2Config):
    """A config of GPT-2 whose blocks are one. Its own model type, so that nobody opens such a folder as a plain GPT-2."""

    model_type = "gpt2-shared"


class SharedGPT2(GPT2LMHeadModel):
    """GPT-2 whose ``transformer.h.0`` … are modules of their own with the parameters of the first.

    ``save_pretrained`` writes each parameter once, and ``from_pretrained`` ties the blocks again. The embedding has to
    be tied to the head, as is usual: transformers ties all or nothing.
    """

    config_class = SharedGPT2Config
    _tied_weights_keys = {  # noqa: RUF012
        "lm_head.weight": "transformer.wte.weight",
        r"transformer\.h\.[1-9]\d*\.": r"transformer\.h\.0\.",
    }

    def _adjust_bias(self, *tied: Any) -> None:
        """Leaves biases as long as they are: transformers takes a tied matrix for (out, in), and Conv1D's is (in, out)."""


def require_shareable(name: str, config: GPT2Config) -> None:
    """Raises ItinfError where blocks cannot be one under this config."""
    if config.n_layer == 1:
        raise ItinfError(
            f"{name}: n_layer is 1, so share=True has nothing to share. Give more blocks, or leave it out."
        )
    if not config.tie_word_embeddings:
        raise ItinfError(f"{name}: share=True needs tie_word_embeddings=True; given False. Leave one of them out.")


def require_one_block(where: str, model: SharedGPT2) -> None:
    """Raises ItinfError where the file held several blocks, which ``from_pretrained`` leaves apart."""
    first, *others = (list(block.parameters()) for block in model.transformer.h)
    if any(p is not q for other in others for p, q in zip(first, other, strict=True)):
        raise ItinfError(
            f"{where}: the blocks differ in the file, and config.json says that they are one. Save the model again, or give "
            "a config.json of model_type gpt2."
        )
