"""Training the language specimens on the source code of the standard library: ``itinf train gpt2``."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import GPT2Config

from itinf import ItinfError, Network
from itinf.data.clusters import Progress
from itinf.files import write_bytes, write_text
from itinf.training.loop import finish, train
from itinf.training.specimen import Score, write_card
from itinf.training.states import states

from .bpe import END_OF_TEXT, learn, wrapped
from .compression import bits_per_byte, xz_bits_per_byte
from .encoder import Encoder
from .gpt2 import FAMILY as GPT2_FAMILY
from .gpt2 import SHARED, gpt2
from .huggingface import Family, quiet
from .pair_counts import pair_bits_per_byte
from .shared_gpt2 import SharedGPT2Config
from .specimens import FOLDER, SIZES
from .stdlib import modules

SCORED = 40
"""Number of held-out modules that are scored: the first ones in order of name."""
CURVE = "curve.csv"
"""The loss of every step of a training."""
XZ, PAIRS = "xz -9e", "counts of token pairs"
"""What a specimen may have to compress better than."""
READ = 4
"""With deep supervision, each state is read at one position in so many."""


@dataclass(frozen=True)
class Recipe:
    """The training of a language specimen: Muon for the matrices of blocks, AdamW for other parameters.

    Attributes:
        tokens: total number of tokens; windows are drawn at random, so some tokens are seen more than once.
        batch: windows per step; a window is as long as the context.
        learning_rate: peak learning rate of matrices, on the scale of AdamW (Liu et al. 2025, arXiv 2502.16982).
        other_learning_rate: peak learning rate of embeddings, norms and biases.
        weight_decay: weight decay of matrices.
        precision: dtype of matrix products; weights and their updates stay float32.
        deep_supervision: the loss is the mean over h_1 … h_L of the loss of the network's own readout of the state, in
            place of the loss at h_L alone. h_0 is left out: its embedding is the head's own, so it can only name the
            token that it embeds. As heads cost as much as blocks, each state is read at every fourth position, from one
            that is drawn anew for every state and step: the expectation is the loss at all positions.
        muon: False trains the matrices of blocks as everything else: AdamW at ``other_learning_rate``.
        depth_power: with deep supervision, the weight of state l is in proportion to l to this power. With equal weights a
            shared block does in its first step what it can do in one, and nothing later.
    """

    tokens: int
    batch: int = 16
    learning_rate: float = 5e-3
    other_learning_rate: float = 3e-3
    weight_decay: float = 0.1
    precision: str = "bfloat16"
    muon: bool = True
    deep_supervision: bool = False
    depth_power: float = 0.0


@dataclass(frozen=True)
class LanguageSpecimen:
    """A GPT-2, its tokenizer, its recipe, and the compression that it has to reach.

    Attributes:
        name: name of the specimen and of its network.
        sizes: fields of ``GPT2Config``; the tokenizer learns ``vocab_size`` tokens.
        recipe: its training.
        share: its blocks are one, see ``SharedGPT2``.
        gate: what it has to compress better than, ``XZ`` or ``PAIRS``; empty for nothing.
        data: data to measure it on; ``units``: number of tokens that the default comparison measures.
    """

    name: str
    sizes: tuple[tuple[str, int], ...]
    recipe: Recipe
    share: bool = False
    gate: str = XZ
    data: str = "stdlib"
    units: int = 8192

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def command(self) -> str:
        """The command that trains it."""
        return f"itinf train {self.name}"

    @property
    def _family(self) -> Family:
        return SHARED if self.share else GPT2_FAMILY

    def _config(self) -> Any:
        return _config(self.sizes, self.share)

    def _opened(self, folder: Path) -> Network:
        return gpt2(str(folder))

    def train(self, out: Path, *, seed: int, split: str, device: str = "cpu", progress: Progress) -> list[Score]:
        """Trains into a standard Hugging Face folder, see ``itinf.training.specimen.Specimen``."""
        self._require_train(split)
        recipe, config = self.recipe, self._config()
        texts = modules(split)
        tokenizer = learn(texts.values(), config.vocab_size)
        ids = _stream(tokenizer, list(texts.values()))
        data = {
            "name": f"stdlib/{split}",
            "modules": len(texts),
            "tokens": len(ids),
            "ids": hashlib.blake2b(ids.numpy().tobytes(), digest_size=16).hexdigest(),
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: nn.Module = self._family.model(config)
        model = model.to(device)
        length = config.n_positions
        steps = recipe.tokens // (recipe.batch * length)

        def loss_at(step: int) -> Tensor:
            # the generator takes seeds of at most 32 bits
            places = torch.Generator().manual_seed(seed * steps + step)
            starts = torch.randint(len(ids) - length, (recipe.batch,), generator=places)
            windows = torch.stack([ids[s : s + length + 1] for s in starts]).to(device)  # (N, T + 1)
            precision = getattr(torch, recipe.precision)
            with torch.autocast(torch.device(device).type, precision, enabled=precision is not torch.float32):
                if recipe.deep_supervision:
                    return _loss_at_every_state(model, windows, recipe.depth_power)
                logits = model(windows[:, :-1]).logits
            return _loss(logits, windows[:, 1:])

        study = {"specimen": self.name, "seed": seed, "data": data, "recipe": asdict(recipe), "sizes": dict(self.sizes)}
        losses: list[float] = []
        seconds = train(model, _optimizers(model, recipe), loss_at, steps, out, study, progress=progress, losses=losses)
        _save(model, tokenizer, out)
        write_text(out / CURVE, "step,loss\n" + "".join(f"{step},{loss:.5f}\n" for step, loss in enumerate(losses)))
        scores = self.evaluate(out, split=split, progress=progress)
        how = {"command": f"{self.command} --seed {seed}", "steps": steps, **asdict(recipe)}
        write_card(out, self.name, split, seed, seconds, scores, device, data=data, recipe=how)
        finish(out)
        return scores

    def evaluate(self, folder: Path, *, split: str, progress: Progress) -> list[Score]:
        """Bits per byte of held-out modules, with its gate as the bound, see ``itinf.training.specimen.Specimen``."""
        what, text = self._held_out(split)
        network = self._opened(folder)
        ours, tokens = bits_per_byte(network, text, progress=progress)
        if self.gate == PAIRS:
            return [Score(what, ours, tokens, self._pairs(network, split, text), "lower", PAIRS)]
        if self.gate == XZ:
            return [Score(f"{what} (bound: {XZ})", ours, tokens, xz_bits_per_byte(text), "lower")]
        return [Score(what, ours, tokens, None, "lower")]

    def _pairs(self, network: Network, split: str, text: str) -> float:
        """Bits per byte of a text by counts of pairs of the network's tokens in its training split."""
        assert isinstance(network.prepare, Encoder)
        return pair_bits_per_byte(network.prepare, modules(split).values(), text)

    def _held_out(self, split: str) -> tuple[str, str]:
        """What is scored, in words, and the text."""
        self._require_train(split)
        names = list(modules("test").items())[:SCORED]
        what = f"bits per byte of {len(names)} held-out modules, {names[0][0]} … {names[-1][0]}"
        return what, "".join(source for _, source in names)

    def _require_train(self, split: str) -> None:
        if split != "train":
            raise ItinfError(f"{self.name} is trained on the split train; given {split!r}.")


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def _loss_at_every_state(model: Any, windows: Tensor, power: float = 0.0) -> Tensor:
    """An estimate of the weighted mean loss over h_1 … h_L, see ``Recipe``; torch's random numbers choose the positions."""
    with states(model, [f"transformer.h.{i}" for i in range(model.config.n_layer)]) as found:
        model.transformer(windows[:, :-1], use_cache=False)
    losses = []
    for state in found[1:]:
        read = slice(int(torch.randint(READ, ())), None, READ)
        losses.append(_loss(model.lm_head(model.transformer.ln_f(state[:, read])), windows[:, 1:][:, read]))
    weights = torch.arange(1.0, len(losses) + 1, device=losses[0].device) ** power
    return (torch.stack(losses) * weights).sum() / weights.sum()


def _config(sizes: tuple[tuple[str, int], ...], share: bool = False) -> GPT2Config:
    # With less than three passes over the data the model does not overfit, so it needs no dropout.
    no_dropout: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    kind = SharedGPT2Config if share else GPT2Config
    return kind(**dict(sizes) | no_dropout, bos_token_id=0, eos_token_id=0)


def _stream(tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    """All texts as one stream of int64 ids; an end-of-text token comes before each text."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    return torch.tensor([i for encoded in tokenizer.encode_batch(texts) for i in (end, *encoded.ids)])


def _optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    named = dict(model.named_parameters())
    if not recipe.muon:
        return [torch.optim.AdamW(named.values(), lr=recipe.other_learning_rate, betas=(0.9, 0.95), weight_decay=0.0)]
    matrices = [p for name, p in named.items() if ".h." in name and p.ndim == 2]
    others = [p for name, p in named.items() if not (".h." in name and p.ndim == 2)]
    return [
        torch.optim.Muon(
            matrices, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=recipe.other_learning_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def _save(model: Any, tokenizer: Tokenizer, out: Path) -> None:
    """Writes the folder that ``save_pretrained`` of transformers writes, in float16, each file atomically."""
    with TemporaryDirectory() as scratch, quiet():
        model.half().save_pretrained(scratch)
        model.float()
        wrapped(tokenizer, model.config.n_positions).save_pretrained(scratch)
        for path in sorted(Path(scratch).iterdir()):
            write_bytes(out / path.name, path.read_bytes())


GPT2 = LanguageSpecimen("gpt2", tuple(SIZES.items()), Recipe(tokens=6_144_000))
ITERATIVE_GPT2 = LanguageSpecimen(
    "iterative-gpt2",
    tuple(SIZES.items()),
    Recipe(tokens=5_632_000, deep_supervision=True, depth_power=6.0),
    share=True,
    gate="",
)
