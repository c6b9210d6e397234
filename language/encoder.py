"""The encoder of a language model: it turns text into token ids."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from itinf import ItinfError

TOKENIZER = "tokenizer.json"
OTHER_TOKENIZERS = ("vocab.json", "tokenizer.model")
"""Tokenizer files of older formats. They are refused, because encoding as bytes instead would go unnoticed."""


@dataclass(frozen=True)
class Encoder:
    """Text -> token ids, without special tokens.

    Attributes:
        name: for the record: UTF-8 bytes, or the size of the tokenizer and the hash of its file.
        vocabulary: number of ids of the model; valid ids are smaller.
        tokenizer: the tokenizer; None encodes text as UTF-8 bytes.
    """

    name: str
    vocabulary: int
    tokenizer: Tokenizer | None = None

    @classmethod
    def of(cls, tokenizer: Tokenizer, content: bytes, vocabulary: int) -> Encoder:
        """An encoder with a tokenizer that neither truncates nor pads; its name has the hash of ``content``."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        digest = hashlib.blake2b(content, digest_size=8).hexdigest()
        return cls(f"tokenizer of {tokenizer.get_vocab_size():,} #{digest}", vocabulary, tokenizer)

    def __call__(self, text: str) -> Tensor:
        """Encodes a text as (T,) int64 ids.

        Raises:
            ItinfError: an id is outside the vocabulary of the model.
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


def encoder(folder: Path, vocabulary: int) -> Encoder:
    """The encoder with the tokenizer in a folder; UTF-8 bytes if the folder has no tokenizer.

    Raises:
        ItinfError: the folder has only a tokenizer of an older format, or the tokenizer cannot be read.
    """
    path = folder / TOKENIZER
    if not path.is_file():
        other = next((name for name in OTHER_TOKENIZERS if (folder / name).is_file()), None)
        if other is not None:
            raise ItinfError(
                f"{folder} has a {other} but no {TOKENIZER}. "
                "Write one: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
            )
        return Encoder("UTF-8 bytes", vocabulary)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise ItinfError(f"{path} cannot be read as a tokenizer ({error}). Is the file complete?") from error
    return Encoder.of(tokenizer, path.read_bytes(), vocabulary)
