"""From words on the command line to networks, places and settings."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from .errors import ItinfError

if TYPE_CHECKING:
    from .architecture import Network
    from .studyfile import Entrant


def options(given: list[str] | None) -> dict[str, Any]:
    """``KEY=VALUE`` words as keyword arguments; values are JSON where they parse, else text."""
    options: dict[str, Any] = {}
    for item in given or []:
        key, equals, value = item.partition("=")
        if not equals:
            raise ItinfError(f"--option {item!r}: expected KEY=VALUE, e.g. depth=110.")
        try:
            options[key.replace("-", "_")] = json.loads(value.lower() if value.lower() in ("true", "false") else value)
        except json.JSONDecodeError:
            options[key.replace("-", "_")] = value
    return options


def parse_shard(given: str | None) -> tuple[int, int] | None:
    """``I/N`` as (i − 1, n)."""
    if given is None:
        return None
    first, _, total = given.partition("/")
    if not (first.isdigit() and total.isdigit() and 1 <= int(first) <= int(total)):
        raise ItinfError(f"--shard {given!r}: expected I/N with 1 ≤ I ≤ N, e.g. 1/2.")
    return int(first) - 1, int(total)


def place(network: Network, device: str, dtype: str) -> Network:
    """Moves a network to a device and precision named by the user."""
    import torch

    kinds = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
    if dtype not in kinds:
        raise ItinfError(f"--dtype {dtype!r}: expected one of {', '.join(kinds)}.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and "LOCAL_RANK" in os.environ and ":" not in device:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        return network.to(torch.device(device), kinds[dtype])
    except (RuntimeError, AssertionError) as error:
        raise ItinfError(f"--device {device!r} cannot be used here ({str(error).splitlines()[0]}).") from error


def parse_entrants(names: list[str], data: list[str], weights: list[str]) -> list[Entrant]:
    """Networks named in a row, each with its data and weights: one given for all, or one for each."""
    from .studyfile import Entrant

    def one(given: list[str], place: int, what: str) -> str | None:
        if len(given) not in (0, 1, len(names)):
            raise ItinfError(f"{len(given)} times {what} for {len(names)} networks: give one for all, or one for each.")
        return None if not given else given[0] if len(given) == 1 else given[place]

    entrants = []
    for place, name in enumerate(names):
        source = one(data, place, "--data")
        if source is None:
            raise ItinfError(f"--data is missing: what should {name} be measured on? E.g. --data images:FOLDER.")
        entrants.append(Entrant(name, source, weights=one(weights, place, "--weights") or "random"))
    return entrants


def safe(name: str) -> str:
    """A network's name as the name of a folder."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "network"
