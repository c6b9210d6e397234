"""The page of a prediction trajectory: one file, complete in itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd

from ..trajectories import READERS
from .template import render
from .trajectory_grid import trajectory_grid, trajectory_script, trajectory_style


def trajectory_page(
    table: pd.DataFrame,
    network: str,
    weights: str,
    names: Sequence[str],
    pictures: Sequence[bytes | None],
    lenses: Mapping[str, str],
    *,
    command: str = "",
    whole: bool = True,
) -> str:
    """The page of one network's trajectories.

    Args:
        table: that of ``itinf.trajectory``.
        network: its name; ``weights``: where they came from.
        names: of the items; ``pictures``: PNG of each, None for a text.
        lenses: reader -> the lens in words.
        command: that made it.
        whole: False gives the grids with their style alone, as a notebook shows them.

    Returns:
        HTML; every name in it is escaped. It asks for nothing outside itself, and its policy forbids it.
    """
    grids, style, script = trajectory_grid(table, names, pictures), trajectory_style(), trajectory_script()
    if not whole:
        return f"<style>{style}</style>{grids}"
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return render(
        "trajectory.html",
        network=network,
        weights=weights,
        names=names,
        text=any(picture is None for picture in pictures),
        picture=any(picture is not None for picture in pictures),
        readers=[(READERS[reader], said) for reader, said in lenses.items()],
        rules="rule" in table,
        grids=grids,
        style=style,
        script=script,
        allowed=allowed,
        command=command,
        today=date.today().isoformat(),
    )
