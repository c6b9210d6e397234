"""Some of the data of a network for its card: three pictures, or the longest text, of its recorded examples."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import pandas as pd

PICTURES, LETTERS = 3, 120
"""The most that is shown."""


class Examples(Protocol):
    """Examples with a picture each, or with the rows of each position of a text."""

    @property
    def table(self) -> pd.DataFrame: ...
    @property
    def pictures(self) -> Sequence[bytes | None]: ...


class Sample(NamedTuple):
    """Some of the data of a network: pictures as data URLs, or a line of text; both are empty where none was recorded."""

    pictures: Sequence[str] = ()
    text: str = ""


def sample(examples: Examples | str | None) -> Sample:
    """What the card shows of the examples of a network; nothing where there is a sentence that says why there are none."""
    if examples is None or isinstance(examples, str):
        return Sample()
    if known := [picture for picture in examples.pictures if picture]:
        return Sample(["data:image/png;base64," + base64.b64encode(one).decode() for one in known[:PICTURES]])
    pieces = examples.table.drop_duplicates(["item", "position"]).sort_values(["item", "position"])
    pieces = pieces[pieces["input_text"].notna()]
    texts = [" ".join("".join(map(str, of)).split()) for _, of in pieces.groupby("item")["input_text"]]
    text = max(texts, key=len, default="")
    return Sample((), text if len(text) <= LETTERS else text[:LETTERS] + " …")
