"""A network on a device, in a precision."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import ItinfError
from ..settings import DTYPES, one_of

if TYPE_CHECKING:
    import torch

    from .network import Network


def to_device(network: Network, device: str, dtype: str) -> Network:
    """Moves a network to the device and the precision that the user names."""
    import torch

    one_of("dtype", dtype, DTYPES)
    return network.to(device_named(device), getattr(torch, dtype))


def device_named(device: str) -> str:
    """The device that the user names: "auto" is a CUDA GPU if there is one, and "cuda" the one of this process."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and "LOCAL_RANK" in os.environ and ":" not in device:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    return device


def require_float64(device: str | torch.device) -> None:
    """Requires a device that is there and holds float64, in which itinf adds up.

    Raises:
        ItinfError: it is not there, or it is one such as MPS.
    """
    import torch

    try:
        if torch.zeros(1, dtype=torch.float64, device=torch.device(device)).is_meta:
            raise ItinfError(f"The device {str(device)!r} holds no numbers. Use cpu or cuda.")
    except (TypeError, NotImplementedError) as error:
        raise ItinfError(
            f"The device {str(device)!r} cannot hold float64, in which itinf adds up its numbers. "
            'Measure on the CPU: --device cpu, or network.to("cpu").'
        ) from error
    except (RuntimeError, AssertionError) as error:
        raise ItinfError(f"The device {str(device)!r} cannot be used here ({str(error).splitlines()[0]}).") from error
