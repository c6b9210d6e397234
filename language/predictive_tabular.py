"""The predictive-coding language model that needs no training: counts of token pairs, and gradient steps on its logits."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutput

from itinf import ItinfError, Network
from itinf.networks.weight_file import content
from itinf.networks.weights import random_seed
from itinf.settings import number, one_of, truth, whole

from .correction import ERRORS, Correction, Layer, PredictiveCoding
from .encoder import Encoder, encoder, require_bytes
from .pair_counts import log_shares, pair_counts
from .predictive import opened
from .specimens import FOLDER, SIZES
from .stdlib import modules

COUNTS = "counts"


class Tabular(PredictiveCoding):
    """x is the one-hot token, U the identity, the first prediction a row of a table, and the kernel is [t_i = t_j].

    Args:
        table: logits (V, V): a row for each token, the logits of the token after it.
        steps: number of layers; ``rate``: η of each; ``error`` and ``causal`` as for ``Correction``.
    """

    def __init__(self, table: Tensor, steps: int, rate: float, error: str = "prediction", causal: bool = True) -> None:
        super().__init__()
        self.tokens = len(table)
        self.table = nn.Embedding.from_pretrained(table)
        self.layers = nn.ModuleList(
            Layer(Correction(self.tokens, nn.Identity(), rate=rate, error=error, causal=causal)) for _ in range(steps)
        )
        self.head = SameLogits(self.tokens)
        self.to(table.dtype)

    def first(self, ids: Tensor) -> Tensor:
        logits = self.table(ids)
        return torch.cat([F.one_hot(ids, self.tokens).to(logits), logits], -1)

    def forward(self, input_ids: Tensor) -> CausalLMOutput:
        return CausalLMOutput(logits=self.read(self.states(input_ids)[-1]))


class SameLogits(nn.Identity):
    """The readout whose matrix is the identity: a prediction is its own logits."""

    weight = bias = None

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.out_features = classes


def predictive_tabular(
    weights: str | None = None,
    *,
    steps: int = 6,
    rate: float = 0.3,
    error: str = "prediction",
    causal: bool = True,
    context: int = 256,
    tokenizer: str | None = None,
) -> Network:
    """The predictive-coding language model whose first prediction is the counts of token pairs; it needs no training.

    Args:
        weights: ``specimen`` (or None) counts the pairs in the training split of ``stdlib``, in the tokens of the gpt2
            specimen; a safetensors file with a matrix ``counts`` (V, V), beside the ``tokenizer.json`` of its tokens;
            or ``random[:SEED]``, which predicts at random.
        steps: number of layers; ``rate``: size of the step of each.
        error: ``prediction``; or ``truth`` or ``ascent``, the controls.
        causal: False takes over the errors of all positions, also of later ones.
        context: longest sequence.
        tokenizer: ``bytes`` for counts of UTF-8 bytes.

    Raises:
        ItinfError: a value is not valid, the file is missing or has no square matrix ``counts``, or this machine has no
            source code of the standard library.
    """
    require_bytes(tokenizer)
    steps = whole("predictive-tabular: steps", steps, 1)
    rate = number("predictive-tabular: rate", rate)
    if rate == 0:
        raise ItinfError("predictive-tabular: rate is 0; expected more, as steps of size 0 change nothing.")
    error, causal = one_of("predictive-tabular: error", error, ERRORS), truth("predictive-tabular: causal", causal)
    context = whole("predictive-tabular: context", context, 1)
    seed = None if weights is None else random_seed(weights)
    if weights in (None, "specimen") or seed is not None:
        prepare, source = _specimen_encoder(), "specimen" if seed is None else f"random:{seed}"
        table = log_shares(_stdlib_counts()) if seed is None else _random(seed, prepare.vocabulary)
    else:
        path = Path(str(weights))
        table, source = log_shares(_read(path)), str(weights)
        prepare = encoder(path.parent, len(table), tokenizer)

    def made(table: Tensor, source: str) -> Network:
        return opened(
            Tabular(table, steps, rate, error, causal),
            prepare=prepare,
            context=context,
            causal=causal,
            untrained=lambda seed: made(_random(seed, len(table)), f"random:{seed}"),
            name="predictive-tabular",
            weights=source,
        )

    return made(table, source)


@cache
def _stdlib_counts() -> Tensor:
    prepare = _specimen_encoder()
    assert prepare.tokenizer is not None
    encoded = prepare.tokenizer.encode_batch_fast(list(modules("train").values()))
    return pair_counts((one.ids for one in encoded), prepare.vocabulary)


def _read(path: Path) -> Tensor:
    found = content(path)
    counts = found.get(COUNTS) if isinstance(found, dict) else None
    if not isinstance(counts, Tensor) or counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ItinfError(
            f"{path} has no square matrix {COUNTS!r}. Expected how often token b comes after a, at [a, b]."
        )
    if not bool(torch.isfinite(counts.double()).all()) or bool((counts < 0).any()):
        raise ItinfError(f"{path}: {COUNTS} holds numbers that are no counts: negative, NaN or infinite.")
    return counts


def _specimen_encoder() -> Encoder:
    return encoder(FOLDER / "gpt2", SIZES["vocab_size"])


def _random(seed: int, vocabulary: int) -> Tensor:
    return torch.randn(vocabulary, vocabulary, generator=torch.Generator().manual_seed(seed % 2**63)) / 10
