"""What an environment inserts into the text that a network writes: random tokens, one token again and again, or a theme."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ItinfError, shown
from ..files import user_path
from ..networks.network import Network

RANDOM, CONSTANT, THEMED = "random", "constant", "themed"


@dataclass(frozen=True)
class Themes:
    """A process that inserts tokens of one theme: each token is drawn from one line of a text.

    Attributes:
        name: for the record; ``lines``: a theme each, such as the names in one module.
    """

    name: str
    lines: tuple[str, ...]

    def ids(self, network: Network) -> list[Tensor]:
        """The distinct tokens of every theme, sorted.

        Raises:
            ItinfError: the network has no ``prepare``, or a line has no token.
        """
        if network.prepare is None:
            raise ItinfError(f"{network.name} has no prepare, so the themes of {self.name} cannot become its tokens.")
        found = [network.prepare(line).unique() for line in self.lines]
        if empty := [line for line, ids in zip(self.lines, found, strict=True) if not len(ids)]:
            raise ItinfError(f"{self.name}: the line {shown(empty[0])} has no token. Write words on every line.")
        return found

    def __repr__(self) -> str:
        digest = hashlib.blake2b("\n".join(self.lines).encode(), digest_size=8).hexdigest()
        return f"Themes({self.name!r}, {len(self.lines)} lines, {digest})"


Process = str | Themes
"""``"random"``, ``"constant"``, or themes."""


def process_of(given: Any) -> Process:
    """The process with a name, or the themes in a UTF-8 file: a theme on each line, two lines at least.

    Raises:
        ItinfError: it is no name and no file, or the file has fewer than two themes.
    """
    if isinstance(given, Themes) or given in (RANDOM, CONSTANT):
        return given
    if not isinstance(given, str | Path):
        raise ItinfError(f"process is {shown(given)}; expected {RANDOM!r}, {CONSTANT!r}, or a file of themes.")
    path = user_path(str(given))
    if not path.is_file():
        raise ItinfError(
            f"process is {str(given)!r}: no such file. Expected {RANDOM}, {CONSTANT}, or a text file of themes."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise ItinfError(f"{path} cannot be read ({error}). Expected UTF-8 text, one theme on each line.") from error
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(lines) < 2:
        raise ItinfError(
            f"{path} has {len(lines)} theme{'' if len(lines) == 1 else 's'}; expected two at least, one on each line, as one run is "
            "compared with another theme's."
        )
    return Themes(path.name, lines)


def form_of(process: Process) -> str:
    """Its word in the column ``form``."""
    return process if isinstance(process, str) else THEMED


def insertions(
    process: Process, themes: list[Tensor], classes: int, draws: np.ndarray, other: np.ndarray
) -> tuple[Tensor, Tensor]:
    """What a run inserts, and what another run of the process would have inserted in the same places.

    No process here answers the network, so another run is another draw; of themes it is never the same one.

    Args:
        process: the process; ``themes``: the tokens of each theme, if it has some.
        classes: number of tokens of the network.
        draws, other: (1 + n,) numbers from 0 to below 1, of the two runs.

    Returns:
        ids (n,), ids (n,).
    """
    if process == RANDOM:
        return _whole(draws[1:] * classes), _whole(other[1:] * classes)
    if process == CONSTANT:
        return tuple(_whole(np.repeat(u[:1], len(u) - 1) * classes) for u in (draws, other))  # type: ignore[return-value]
    own = int(draws[0] * len(themes))
    chosen = themes[own], themes[(own + 1 + int(other[0] * (len(themes) - 1))) % len(themes)]
    return chosen[0][_whole(draws[1:] * len(chosen[0]))], chosen[1][_whole(other[1:] * len(chosen[1]))]


def _whole(values: np.ndarray) -> Tensor:
    return torch.as_tensor(values.astype(np.int64))
