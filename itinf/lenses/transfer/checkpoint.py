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


def matrix_file(matrix: TransferMatrix) -> bytes:
    """The content of a safetensors file from which ``resume`` goes on without the difference of a bit."""
    arrays = {name: torch.from_numpy(values.copy()) for name, values in matrix.sums.arrays().items()}
    header = {"columns": matrix.sums.names, "cells": [read.name for read in matrix.cells]}
    state = {"marginals": matrix.marginals, "betas": matrix.betas}
    tensors = {name: value.detach().cpu().contiguous() for name, value in (arrays | state).items()}
    return save(tensors, metadata={"itinf": json.dumps(header)})


def load_betas(path: Path, cells: list[str]) -> torch.Tensor:
    """The temperatures of a file that ``matrix_file`` made.

    Raises:
        ItinfError: it cannot be read, or is of other cells: a lens without its moments has fewer.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["itinf"])
            betas = file.get_tensor("betas")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ItinfError(f"{path} cannot be read as a transfer ({error})") from error
    if header["cells"] != cells:
        raise ItinfError(f"{path} was begun with {len(header['cells'])} cells, and there are {len(cells)} now")
    return betas


def resume(matrix: TransferMatrix, path: Path) -> None:
    """Fills a matrix with what a file holds."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["itinf"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    matrix.marginals = tensors.pop("marginals").to(matrix.marginals.device)
    arrays = {name: value.numpy() for name, value in tensors.items() if name != "betas"}
    matrix.sums = Sums.of(matrix.sums.seed, header["columns"], arrays)
