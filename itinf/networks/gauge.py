"""Changes of basis that leave a network's function as it is."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Gauge = Literal["channel-scale", "orthogonal", "orthogonal-layernorm"]
GAUGES: tuple[Gauge, ...] = ("orthogonal", "orthogonal-layernorm", "channel-scale")


def random_change(gauge: str, width: int, seed: int = 0) -> Tensor:
    """A random member of a gauge: (width,) scales between ½ and 2, or a (width, width) rotation, float64.

    For ``"orthogonal-layernorm"`` the rotation fixes the all-ones vector.
    """
    generator = torch.Generator().manual_seed(seed)
    if gauge == "channel-scale":
        return torch.exp2(2 * torch.rand(width, generator=generator, dtype=torch.float64) - 1)
    if gauge == "orthogonal":
        return random_rotation(width, seed)
    noise = torch.randn(width, width, generator=generator, dtype=torch.float64)
    noise[:, 0] = 1
    basis = torch.linalg.qr(noise).Q  # its first column lies along the all-ones vector
    inner = torch.block_diag(torch.ones(1, 1, dtype=torch.float64), random_rotation(width - 1, seed + 1))
    return basis @ inner @ basis.T


def random_rotation(width: int, seed: int) -> Tensor:
    """A random (D, D) rotation or reflection, uniform over the orthogonal group, float64."""
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64, generator=generator))
    return q * r.diagonal().sign()
