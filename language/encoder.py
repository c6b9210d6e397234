"""The encoder of a language model: it turns text into token ids."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from itinf import ItinfError

TOKENIZER = "tokenizer.json"
OTHER_TOKENIZERS = ("vocab.json", "tokenizer.model")
"""Tokenizer files of older formats, which are not read."""
BYTES = "UTF-8 bytes"


@dataclass(frozen=True)
class Encoder:
    """Text -> token ids, with the special tokens that the tokenizer itself adds to a text.

    Attributes:
        name: for the record: UTF-8 bytes; or the size of the tokenizer, the hash of its file and the special tokens that
            it adds.
        vocabulary: number of ids of the model; valid ids are smaller.
        tokenizer: the tokenizer; None encodes text as UTF-8 bytes.
        absent: why there is no tokenizer, a sentence; "" if there is one, or if the model reads bytes.
    """

    name: str
    vocabulary: int
    tokenizer: Tokenizer | None = None
    absent: str = ""

    @classmethod
    def of(cls, tokenizer: Tokenizer, content: bytes, vocabulary: int) -> Encoder:
        """An encoder with a tokenizer that neither truncates nor pads; its name has the hash of ``content``."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        digest = hashlib.blake2b(content, digest_size=8).hexdigest()
        name = f"tokenizer of {tokenizer.get_vocab_size():,} #{digest}"
        return cls(name + _added(tokenizer), vocabulary, tokenizer)

    def __call__(self, text: str) -> Tensor:
        """Encodes a text as (T,) int64 ids.

        Raises:
            ItinfError: there is no tokenizer, or an id is outside the vocabulary of the model.
        """
        if self.absent:
            raise ItinfError(self.absent)
        ids = list(text.encode()) if self.tokenizer is None else self.tokenizer.encode(text).ids
        if ids and max(ids) >= self.vocabulary:
            raise ItinfError(
                f"{self.name} gives id {max(ids)}, but the model's vocabulary ends at {self.vocabulary - 1}. "
                "Give the model the tokenizer it was trained with, or a vocabulary of at least 256 for bytes."
            )
        return torch.tensor(ids, dtype=torch.int64)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text of each id by itself; "" for an id that has none. A byte that is no character is written \\x…"""
        if self.absent:
            return [""] * len(ids)
        return [_byte(one) if self.tokenizer is None else _piece(self.tokenizer, one) for one in ids]


def _byte(number: int) -> str:
    return chr(number) if number < 128 else f"\\x{number:02x}" if number < 256 else ""


def _piece(tokenizer: Tokenizer, number: int) -> str:
    token = tokenizer.id_to_token(number)
    if token is None:
        return ""
    if "▁" in token:  # SentencePiece writes a space so, and its decoder drops the first one
        return token.replace("▁", " ")
    text = tokenizer.decode([number], skip_special_tokens=False)
    return token if not text or "\ufffd" in text else text  # a part of a character is shown as the tokenizer writes it


def encoder(folder: Path, vocabulary: int, option: str | None = None) -> Encoder:
    """The encoder with the tokenizer in a folder.

    Special tokens are added as ``tokenizer.json`` says, which is what transformers goes by, too. A folder without a
    tokenizer gives an encoder that refuses text; ids of the user's own can still be measured.

    Args:
        folder: the folder of the model.
        vocabulary: number of ids of the model.
        option: "bytes" for a model that reads UTF-8 bytes; None for the tokenizer in the folder.

    Raises:
        ItinfError: the folder has only a tokenizer of an older format, or the tokenizer cannot be read.
    """
    if option is not None:
        require_bytes(option)
        return Encoder(BYTES, vocabulary)
    path = folder / TOKENIZER
    if not path.is_file():
        other = next((name for name in OTHER_TOKENIZERS if (folder / name).is_file()), None)
        if other is not None:
            raise ItinfError(
                f"{folder} has a {other} but no {TOKENIZER}. "
                "Write one: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
            )
        absent = (
            f"{folder} has no {TOKENIZER}, so text cannot become ids. Put the model's own into the folder; for a model that "
            "reads UTF-8 bytes, give the option tokenizer=bytes."
        )
        return Encoder("no tokenizer", vocabulary, absent=absent)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise ItinfError(f"{path} cannot be read as a tokenizer ({error}). Is the file complete?") from error
    return Encoder.of(tokenizer, path.read_bytes(), vocabulary)


def require_bytes(option: str | None) -> None:
    """Refuses other values of the option ``tokenizer`` than bytes."""
    if option not in (None, "bytes"):
        raise ItinfError(
            f"tokenizer is {option!r}; expected bytes. Without the option, the {TOKENIZER} of the model is used."
        )


def _added(tokenizer: Tokenizer) -> str:
    """A phrase about the special tokens that a tokenizer adds; "" for none."""
    encoding = tokenizer.encode("a")
    place = next((place for place, special in enumerate(encoding.special_tokens_mask) if not special), 0)
    added = [token for token, special in zip(encoding.tokens, encoding.special_tokens_mask, strict=True) if special]
    parts = {"before": added[:place], "after": added[place:]}
    said = [f"{' '.join(tokens)} {where} a text" for where, tokens in parts.items() if tokens]
    return f", adds {' and '.join(said)}" if said else ""
