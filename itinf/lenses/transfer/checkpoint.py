"""A transfer that is not finished, as a file: sums, mean distributions and temperatures, without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ...errors import ItinfError
from ...files import misfit, read_sealed, sealed
from ...statistics.bootstrap import FINISHED, Sums
from .matrix import TransferMatrix
from .scores import TARGETS

HEADER = "itinf"

FORMAT = 2
"""In format 1, which has no number, temperatures were chosen on clusters that were not scored."""


def matrix_file(matrix: TransferMatrix) -> bytes:
    """The content of a safetensors file from which ``resume`` goes on without the difference of a bit."""
    arrays = {
        f"{half}/{name}": torch.from_numpy(values.copy())
        for half, sums in enumerate(matrix.halves)
        for name, values in sums.arrays().items()
    }
    header = {"format": FORMAT, "columns": matrix.halves[0].names, "cells": [cell.name for cell in matrix.cells]}
    state = {"marginals": matrix.marginals, "windows": matrix.windows}
    tensors = {name: value.detach().cpu().contiguous() for name, value in (arrays | state).items()}
    return sealed(save, tensors, HEADER, header)


def load_windows(path: Path, cells: list[str]) -> torch.Tensor:
    """The windows of a file that ``matrix_file`` made.

    Raises:
        ItinfError: it cannot be read, is of an older format, or of other cells: a lens without its moments has fewer.
    """
    header, tensors = _read(path)
    if header["cells"] != cells:
        raise ItinfError(f"{path} was begun with {len(header['cells'])} cells, and there are {len(cells)} now")
    windows: torch.Tensor = tensors["windows"]
    if windows.shape != (len(TARGETS), len(cells)):
        raise ItinfError(f"{path} cannot be read as a transfer (its windows are {tuple(windows.shape)})")
    return windows


def resume(matrix: TransferMatrix, path: Path) -> None:
    """Fills a matrix with what a file holds.

    Raises:
        ItinfError: it cannot be read, or it does not fit the matrix.
    """
    header, tensors = _read(path)
    marginals = tensors["marginals"]
    try:
        if marginals.shape != matrix.marginals.shape:
            raise ValueError(f"its marginals are {tuple(marginals.shape)}")
        for half, sums in enumerate(matrix.halves):
            mine = {name.partition("/")[2]: value for name, value in tensors.items() if name.startswith(f"{half}/")}
            arrays = {name: value.numpy() for name, value in mine.items()}
            if len(arrays["replicates"]) != sums.count:
                raise ValueError(f"it has {len(arrays['replicates'])} replicates")
            matrix.halves[half] = Sums.of(sums.seed, header["columns"], arrays)
    except (ValueError, TypeError, LookupError) as error:
        raise ItinfError(f"{path} cannot be read as a transfer ({error})") from error
    matrix.marginals = marginals.to(matrix.marginals)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        header, tensors = read_sealed(path, HEADER, "pt")
        if header.get("format") != FORMAT:
            raise ItinfError(f"{path} was begun by another version of itinf, which chose temperatures in another way")
        if wrong := misfit(header, {"format": int, "columns": [str], "cells": [str]}):
            raise ValueError(wrong)
        wanted = {f"{half}/{name}" for half in range(2) for name in (*FINISHED, "keys")} | {"windows", "marginals"}
        if missing := wanted - tensors.keys():
            raise ValueError(f"{min(missing)!r} is missing")
    except ItinfError:
        raise
    except ValueError as error:
        raise ItinfError(f"{path} cannot be read as a transfer ({error})") from error
    return header, tensors
