"""A transfer that is not finished, as a file: sums, mean distributions and temperatures, without pickle."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ...errors import ItinfError
from ...statistics.bootstrap import Sums
from .matrix import TransferMatrix

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
    return save(tensors, metadata={"itinf": json.dumps(header)})


def load_windows(path: Path, cells: list[str]) -> torch.Tensor:
    """The windows of a file that ``matrix_file`` made.

    Raises:
        ItinfError: it cannot be read, is of an older format, or of other cells: a lens without its moments has fewer.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["itinf"])
            windows = file.get_tensor("windows") if header.get("format") == FORMAT else None
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError) as error:
        raise ItinfError(f"{path} cannot be read as a transfer ({error})") from error
    if windows is None:
        raise ItinfError(f"{path} was begun by another version of itinf, which chose temperatures in another way")
    if header["cells"] != cells:
        raise ItinfError(f"{path} was begun with {len(header['cells'])} cells, and there are {len(cells)} now")
    return windows


def resume(matrix: TransferMatrix, path: Path) -> None:
    """Fills a matrix with what a file holds."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["itinf"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    matrix.marginals = tensors.pop("marginals").to(matrix.marginals.device)
    for half, sums in enumerate(matrix.halves):
        mine = {name.partition("/")[2]: value.numpy() for name, value in tensors.items() if name.startswith(f"{half}/")}
        matrix.halves[half] = Sums.of(sums.seed, header["columns"], mine)
