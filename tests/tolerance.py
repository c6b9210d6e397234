"""Bounds that hold on every processor: from the dtype and the number of terms, not from what one processor gave."""

import numpy as np
import torch


def rounding(dtype: torch.dtype | type[np.floating], terms: int, scale: float | torch.Tensor = 1.0) -> float:
    """How far apart two ways of adding up the same terms can come out.

    A sum Σ a_i·b_i of n terms is off by at most n · eps/2 · Σ|a_i·b_i|, in whatever order and blocks a processor takes
    it and whether or not it fuses multiplications with additions (Higham 2002, "Accuracy and Stability of Numerical
    Algorithms", section 3.1). Two sums differ by at most twice that. This is twice that again, for the few roundings
    before and after.

    Args:
        dtype: what is added up in, torch's or numpy's.
        terms: of the sum, or of all sums where one goes into the next.
        scale: Σ|a_i·b_i|, or what it is at most.
    """
    eps = torch.finfo(dtype).eps if isinstance(dtype, torch.dtype) else float(np.finfo(dtype).eps)
    return 2 * eps * terms * float(torch.as_tensor(scale).detach())
