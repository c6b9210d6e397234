"""Text data sets: documents are cut into token sequences; no sequence crosses a document."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from itinf import Data, ItinfError, Network
from itinf.errors import nearest
from itinf.files import user_path

HEADING = re.compile(r" = (?!= ).+ = ?")
SEPARATOR = re.compile(r"\f|<\|endoftext\|>")
LONGEST_BY_DEFAULT = 256


class TokenSequences(Data):
    """Sequences of T inputs and T next-token targets, cut from documents.

    A document of n tokens gives (n − 1) // T sequences. Each sequence starts at the last target of the previous one, so
    every token is a target at most once. The rest of the document is dropped.

    Args:
        name: name of the data set with its split, for records and messages.
        documents: (name, text) of each document; all names differ.
        network: a network with ``prepare`` (text -> (n,) int64 ids), ``context`` and a head.
        length: T; by default the context of the network, at most 256.
        note: entries that the data set adds to the note.

    Raises:
        ItinfError: the network does not fit, the length is out of range, all documents are too short for a sequence, or
            an id is outside the head.
    """

    unit = "token"

    def __init__(
        self,
        name: str,
        documents: Sequence[tuple[str, str]],
        network: Network,
        length: int | None,
        note: dict[str, Any],
    ) -> None:
        prepare = _prepare(name, network)
        self.name = name
        self.length = _length(name, network, length)
        self.documents = [document for document, _ in documents]
        tokens = [prepare(text) for _, text in documents]
        strange = next((ids for ids in tokens if ids.ndim != 1), None)
        if strange is not None:
            raise ItinfError(
                f"{name}: prepare of {network.name} gave ids of shape {tuple(strange.shape)}; expected (tokens,)."
            )
        sizes = [len(ids) for ids in tokens]
        if max(sizes, default=0) <= self.length:
            longest = max(sizes, default=0)
            raise ItinfError(
                f"{name} is too short: its longest document has {longest:,} tokens, and one sequence of length "
                f"{self.length:,} needs {self.length + 1:,}. "
                + (f"Give a length of at most {longest - 1:,}." if longest > 1 else "Give more text.")
            )
        self.ids = torch.cat(tokens).to(torch.int32)
        _require_known(self.ids, network, name)
        self.starts: list[tuple[int, int]] = []  # (number of the document, offset in the document)
        self.bases: list[int] = []  # where each document begins in ids
        base = 0
        for document, size in enumerate(sizes):
            self.bases.append(base)
            self.starts += [(document, offset) for offset in range(0, size - self.length, self.length)]
            base += size
        predicted = len(self.starts) * self.length
        self.note = {
            **note,
            "documents": len(documents),
            "length": self.length,
            "sequences": len(self.starts),
            "tokens": base,
            "tokens_predicted": predicted,
            "tokens_dropped": sum(max(size - 1, 0) for size in sizes) - predicted,
            "tokeniser": getattr(prepare, "name", getattr(prepare, "__qualname__", type(prepare).__name__)),
            "ids": hashlib.blake2b(self.ids.numpy().tobytes(), digest_size=16).hexdigest(),
        }

    def __len__(self) -> int:
        return len(self.starts)

    def key(self, index: int) -> str:
        document, offset = self.starts[index]
        return f"{self.documents[document]}/{offset}"

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Ids (T,) and next-token targets (T,), int64."""
        document, offset = self.starts[index]
        start = self.bases[document] + offset
        ids = self.ids[start : start + self.length + 1].long()
        return ids[:-1], ids[1:]


def text(
    argument: str | None, network: Network, *, split: str = "test", length: int | None = None, **_: object
) -> TokenSequences:
    """A UTF-8 text file, cut into documents and token sequences: text:FILE.

    If the file begins with an article heading of WikiText, documents begin at such headings. If not, form feeds or
    ``<|endoftext|>`` separate documents. Without these, the file is one document. The whole file is one split, ``all``,
    whatever split is asked for. To use another split, give another file.

    Args:
        argument: FILE.
        network: a network with ``prepare``, ``context`` and a head.
        split: recorded in the note.
        length: tokens per sequence; by default the context of the network, at most 256.

    Raises:
        ItinfError: the file is missing, empty, too short or not UTF-8, or the network does not fit.
    """
    if argument is None:
        raise ItinfError("text was given no file; expected text:FILE with UTF-8 text.")
    path = user_path(argument)
    content = _read(path)
    rule, documents = split_documents(content)
    note = {
        "split": "all",
        "asked": split,
        "rule": rule,
        "bytes": path.stat().st_size,
        "text": hashlib.blake2b(content.encode(), digest_size=16).hexdigest(),
    }
    named = [(str(index), document) for index, document in enumerate(documents)]
    return TokenSequences(f"text:{path.name}/all", named, network, length, note)


def split_documents(content: str) -> tuple[str, list[str]]:
    """The documents of a text, without blank ones.

    Returns:
        the rule that was used, ``"headings"``, ``"separators"`` or ``"whole"``, and the documents in order. A heading
        is part of its document; a separator is part of no document.
    """
    lines = content.split("\n")
    starts = _headings(lines)
    if starts and not "".join(lines[: starts[0]]).strip():
        ends = [*starts[1:], len(lines)]
        return "headings", ["\n".join(lines[start:end]) for start, end in zip(starts, ends, strict=True)]
    documents = [document for document in SEPARATOR.split(content) if document.strip()]
    return ("separators" if SEPARATOR.search(content) else "whole"), documents


def _headings(lines: Sequence[str]) -> list[int]:
    """Numbers of the lines `` = Title = `` between blank lines; a displayed equation has no blank lines around it."""
    blank = [not line.strip() for line in lines]
    return [
        index
        for index, line in enumerate(lines)
        if HEADING.fullmatch(line) and all(blank[max(index - 1, 0) : index]) and all(blank[index + 1 : index + 2])
    ]


def _prepare(name: str, network: Network) -> Callable[[str], Tensor]:
    if network.unit != "token":
        raise ItinfError(
            f"{name} holds tokens, but {network.name} reads {network.unit}s. "
            + (
                "Use images, cifar10 or glyphs with it."
                if network.unit == "image"
                else "Give it (ids, class number) in Python."
            )
        )
    if network.prepare is None:
        raise ItinfError(
            f"{network.name} has no prepare, so {name} cannot become its input. "
            "Expected Network(…, prepare=function): text -> 1-D int64 ids."
        )
    return network.prepare


def _length(name: str, network: Network, length: int | None) -> int:
    longest = network.context
    if length is None:
        return min(longest or LONGEST_BY_DEFAULT, LONGEST_BY_DEFAULT)
    if length < 1 or (longest is not None and length > longest):
        raise ItinfError(
            f"{name}: sequences of length {length} were asked for; expected 1 … {longest or 'any'}, "
            f"the context of {network.name}."
        )
    return length


def _require_known(ids: Tensor, network: Network, name: str) -> None:
    known = getattr(network.head, "out_features", None)
    low, high = int(ids.min()), int(ids.max())
    if known is not None and (low < 0 or high >= known):
        raise ItinfError(
            f"{name} has token id {low if low < 0 else high}, but the head of {network.name} knows 0 … {known - 1}. "
            "The tokeniser belongs to another network: give this network its own tokeniser as prepare."
        )


def _read(path: Path) -> str:
    if path.is_dir():
        raise ItinfError(
            f"{str(path)!r} is a folder; text:FILE expects a UTF-8 text file. Join the texts into one file, with a form feed "
            "between two documents."
        )
    if not path.is_file():
        siblings = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
        raise ItinfError(f"There is no file {str(path)!r}; text:FILE expects one. {nearest(path.name, siblings)}")
    try:
        content = path.read_text(encoding="utf-8-sig")  # skips a byte order mark, and reads every line end as a newline
    except UnicodeDecodeError as error:
        with path.open("rb") as file:
            kind = "UTF-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "latin-1, or another encoding"
        raise ItinfError(
            f"{path} is not UTF-8 (byte {error.start:,}: {error.reason}); it may be {kind}. Convert it first, with the "
            "encoding that it has: iconv -f … -t UTF-8."
        ) from error
    except OSError as error:
        raise ItinfError(f"{path} cannot be read ({error.strerror}). Give another file.") from error
    if "\x00" in content:
        raise ItinfError(
            f"{path} has the character NUL at {content.index(chr(0)):,}, which no text has: it is binary, or UTF-16 without a "
            "mark. Convert it to UTF-8 first."
        )
    if not content.strip():
        raise ItinfError(f"{path} is empty; expected UTF-8 text. Give another file.")
    return content
