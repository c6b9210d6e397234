"""A network on a device, in a precision."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import ItinfError

if TYPE_CHECKING:
    from .network import Network


def to_device(network: Network, device: str, dtype: str) -> Network:
    """Moves a network to the device and the precision that the user names."""
    import torch

    dtypes = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
    if dtype not in dtypes:
        raise ItinfError(f"--dtype {dtype!r}: expected one of {', '.join(dtypes)}.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and "LOCAL_RANK" in os.environ and ":" not in device:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    if device == "meta":
        raise ItinfError("--device 'meta' cannot be used here (it holds no numbers). Use cpu, cuda or mps.")
    try:
        return network.to(torch.device(device), dtypes[dtype])
    except (RuntimeError, AssertionError) as error:
        raise ItinfError(f"--device {device!r} cannot be used here ({str(error).splitlines()[0]}).") from error
