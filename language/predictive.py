"""A language model that does predictive coding: it predicts, finds its errors, and corrects later predictions by them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from itinf import Block, ItinfError, Network, token
from itinf.networks.weights import random_seed
from itinf.settings import one_of
from itinf.training.specimen import read_card

from .correction import ERRORS, KERNELS, Correction, Layer, PredictiveCoding, Slot
from .encoder import BYTES, Encoder, encoder, require_bytes
from .huggingface import Family, config, folder, load, random_model, require_no_options
from .specimens import FOLDER

RATES = {"exp": 0.1, "linear": 0.001}
"""η before training; the linear kernel is not bounded by 1."""


@strict
class PredictiveConfig(PreTrainedConfig):
    """Sizes and kind of a predictive-coding language model.

    Attributes:
        width: of a prediction, and of the features of the true tokens.
        depth: number of corrections.
        window: number of tokens that the features of a position are made of.
        kernel: ``exp`` or ``linear``; ``heads``: number of kernels of a correction.
        error: ``prediction``; or ``truth`` or ``ascent``, the controls.
        causal: False lets every position take over the errors of all positions, also of later ones: gradient descent
            on the whole sequence, whose predictions have seen their targets.
        context: longest sequence that it is trained on.
    """

    model_type = "itinf-predictive"
    attribute_map = {"hidden_size": "width", "num_hidden_layers": "depth", "n_positions": "context"}  # noqa: RUF012

    vocab_size: int = 2048
    width: int = 128
    depth: int = 4
    window: int = 4
    kernel: str = "exp"
    heads: int = 4
    error: str = "prediction"
    causal: bool = True
    context: int = 256
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    tie_word_embeddings: bool = False


class Predictive(PredictiveCoding, PreTrainedModel):
    """x from the last tokens, a first prediction from x, corrections, one readout; see ``PredictiveCoding``."""

    config_class = PredictiveConfig
    base_model_prefix = ""

    def __init__(self, config: PredictiveConfig) -> None:
        PreTrainedModel.__init__(self, config)
        width = self.tokens = config.width
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.window = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(config.window))
        self.norm = nn.LayerNorm(width)
        self.guess = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.layers = nn.ModuleList(
            Layer(
                Correction(
                    width,
                    nn.Linear(width, width, bias=False),
                    heads=config.heads,
                    kernel=config.kernel,
                    error=config.error,
                    causal=config.causal,
                    rate=RATES[config.kernel],
                )
            )
            for _ in range(config.depth)
        )
        self.head = nn.Linear(width, config.vocab_size)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, Correction):
            nn.init.constant_(module.log_rate, module.start[0])
            if module.log_sharpness is not None:
                nn.init.constant_(module.log_sharpness, module.start[1])

    def first(self, ids: Tensor) -> Tensor:
        embedded = self.embedding(ids)
        length = ids.shape[1]
        # the map number k reads the token that stands k positions before
        read = (one(F.pad(embedded, (0, 0, back, 0))[:, :length]) for back, one in enumerate(self.window))
        x = self.norm(torch.stack(list(read)).sum(0))
        return torch.cat([x, self.guess(x).to(x.dtype)], -1)

    def forward(self, input_ids: Tensor, **_: Any) -> CausalLMOutput:
        return CausalLMOutput(logits=self.read(self.states(input_ids)[-1]))


FAMILY = Family("predictive-coding model", Predictive)


def predictive(weights: str | None = None, **options: Any) -> Network:
    """Specimen: a language model that finds the errors of its predictions and corrects later ones by them.

    A state has two slots, ``model.places``: features of the true tokens, which no layer changes, and the prediction of the
    next token, which one readout reads after every layer. ``model.errors(ids)`` are the errors that each layer subtracts.

    Args:
        weights: ``random[:SEED]`` (None is ``random:0``); a folder that ``itinf train predictive`` has written; or
            ``specimen``, with the option ``error`` for one of the two controls.
        **options: fields of ``PredictiveConfig`` for random weights: width, depth, window, kernel, heads, error, causal,
            vocab_size, context; ``tokenizer=bytes`` for other weights that read bytes.

    Raises:
        ItinfError: an option is unknown or its value is not valid, options are given with a folder, or the folder is
            missing, incomplete, or does not fit its config.
    """
    tokenizer = options.pop("tokenizer", None)
    require_bytes(tokenizer)
    if random_seed(weights) is not None:
        made = config(FAMILY, "predictive", {}, options)
        require_valid("predictive", made)
        return _random(made, weights, Encoder(BYTES, made.vocab_size))
    assert weights is not None
    scores = {}
    if weights == "specimen":
        error = options.pop("error", "prediction")
        require_no_options("predictive", weights, options)
        where, source = _specimen(error), weights
        scores = read_card(where).get("scores", {})
    else:
        require_no_options("predictive", weights, options)
        where, source = folder("predictive", weights, "random[:SEED], or specimen")
    model, dtypes = load(FAMILY, where)
    require_valid(str(where), model.config)
    source += dtypes if weights != "specimen" else ""
    return replace(_network(model, source, encoder(where, model.config.vocab_size, tokenizer)), scores=scores)


def require_valid(name: str, made: Any) -> None:
    """Refuses a config with an unknown kernel or error, or with sizes that do not fit.

    Raises:
        ItinfError: says which.
    """
    one_of(f"{name}: kernel", made.kernel, KERNELS)
    one_of(f"{name}: error", made.error, ERRORS)
    for size in ("width", "depth", "window", "heads", "context", "vocab_size"):
        if getattr(made, size) < 1:
            raise ItinfError(f"{name}: {size} is {getattr(made, size)}; expected at least 1.")
    if made.width % made.heads:
        raise ItinfError(
            f"{name}: a width of {made.width} cannot be split among {made.heads} heads. Change one of them."
        )


def specimen_folder(error: str) -> str:
    """The name of the folder of a specimen with an error of this kind."""
    return "predictive" if error == "prediction" else f"predictive-{error}"


def _specimen(error: str) -> Any:
    where = FOLDER / specimen_folder(one_of("predictive: error", error, ERRORS))
    if not where.is_dir():
        raise ItinfError(
            f"predictive has no specimen with error={error}. Train one: itinf train predictive -O error={error}."
        )
    return where


def _random(made: Any, weights: str | None, prepare: Encoder) -> Network:
    return _network(random_model(FAMILY, "predictive", made, weights), weights or "random:0", prepare)


def _network(model: Any, weights: str, prepare: Encoder) -> Network:
    made = model.config
    return opened(
        model,
        untrained=lambda seed: _random(made, f"random:{seed}", prepare),
        prepare=prepare,
        context=made.context,
        causal=made.causal,
        name="predictive",
        weights=weights,
    )


def opened(model: Any, **entries: Any) -> Network:
    """A network of a model of two slots; its readout reads the prediction after every layer."""
    return Network(
        model.eval(),
        blocks=[Block(f"layers.{i}", parts={"correction": "correction"}) for i in range(len(model.layers))],
        layout="n t c",
        unit=token,
        neck=Slot(model.tokens),
        head=model.head,
        trunk=_trunk,
        **entries,
    )


def _trunk(model: Any, ids: Tensor) -> Any:
    return model.states(ids)[-1]
