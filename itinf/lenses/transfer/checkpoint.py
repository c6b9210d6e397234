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


def matrix_file(matrix: TransferMatrix) -> bytes:
    """The content of a safetensors file from which ``resume`` goes on without the difference of a bit."""
    arrays = {name: torch.from_numpy(values.copy()) for name, values in matrix.sums.arrays().items()}
    header = {"columns": matrix.sums.names, "cells": [read.name for read in matrix.cells]}
    state = {"marginals": matrix.marginals, "betas": matrix.betas}
    tensors = {name: value.detach().cpu().contiguous() for name, value in (arrays | state).items()}
    return sealed(save, tensors, HEADER, header)


def load_betas(path: Path, cells: list[str]) -> torch.Tensor:
    """The temperatures of a file that ``matrix_file`` made.

    Raises:
        ItinfError: it cannot be read, or is of other cells: a lens without its moments has fewer.
    """
    header, tensors = _read(path)
    if header["cells"] != cells:
        raise ItinfError(f"{path} was begun with {len(header['cells'])} cells, and there are {len(cells)} now")
    betas: torch.Tensor = tensors["betas"]
    if betas.shape != (len(TARGETS), len(cells)):
        raise ItinfError(f"{path} cannot be read as a transfer (its betas are {tuple(betas.shape)})")
    return betas


def resume(matrix: TransferMatrix, path: Path) -> None:
    """Fills a matrix with what a file holds.

    Raises:
        ItinfError: it cannot be read, or it does not fit the matrix.
    """
    header, tensors = _read(path)
    marginals = tensors.pop("marginals")
    arrays = {name: value.numpy() for name, value in tensors.items() if name != "betas"}
    try:
        if marginals.shape != matrix.marginals.shape or len(arrays["replicates"]) != matrix.sums.count:
            raise ValueError(f"its marginals are {tuple(marginals.shape)}, or its replicates are others")
        matrix.sums = Sums.of(matrix.sums.seed, header["columns"], arrays)
    except (ValueError, TypeError, LookupError) as error:
        raise ItinfError(f"{path} cannot be read as a transfer ({error})") from error
    matrix.marginals = marginals.to(matrix.marginals)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        header, tensors = read_sealed(path, HEADER, "pt")
        if wrong := misfit(header, {"columns": [str], "cells": [str]}):
            raise ValueError(wrong)
        if missing := {"betas", "marginals", *FINISHED, "keys"} - tensors.keys():
            raise ValueError(f"{min(missing)!r} is missing")
    except ValueError as error:
        raise ItinfError(f"{path} cannot be read as a transfer ({error})") from error
    return header, tensors
