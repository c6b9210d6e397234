"""Pictures of figures in the page: a small copy of each, a text that says what came out, and links to its files."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote


class Drawn(Protocol):
    """A figure that was drawn: a small PNG, SVG, paths of its files beside the page, and where its marks are."""

    png: bytes
    svg: bytes
    files: Mapping[str, bytes]
    marks: Any


@dataclass(frozen=True)
class Picture:
    """A figure inside a page.

    Attributes:
        source: its image as a data URL.
        alt: what it shows and what came out, for those who cannot see it.
        title: a few words.
        files: (kind, address) of the files beside the page.
    """

    source: str
    alt: str
    title: str
    files: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Pictures:
    """The figures of a page, by name; those that show nothing are left out."""

    drawn: Mapping[str, Drawn] = field(default_factory=dict)

    def of(self, name: str, title: str, result: str = "") -> Picture | None:
        """A picture; None where the results lack what the figure shows.

        Args:
            name: of the figure.
            title: a few words.
            result: what came out, in a sentence.
        """
        if name not in self.drawn:
            return None
        alt = f"{title}: {result}" if result else title
        return Picture(_address(self.drawn[name].png), alt, title, self.files(name))

    def files(self, name: str) -> list[tuple[str, str]]:
        """(kind, address) of the files of a figure beside the page."""
        return [(path.rpartition(".")[2].upper(), quote(path)) for path in self.drawn[name].files]


def known(*pictures: Picture | None) -> list[Picture]:
    """Those that are there."""
    return [picture for picture in pictures if picture is not None]


def _address(png: bytes) -> str:
    """A PNG as a data URL."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
