"""All dot products of two stacks, against einsum."""

from __future__ import annotations

import pytest
import torch

from itinf.probes.dot_products import SPLIT, products, squares, stack
from oracles import normal
from tolerance import rounding


@pytest.mark.parametrize("length", [7, SPLIT + 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_are_all_dot_products(length, dtype):
    left, right = normal(2, 3, length).to(dtype), normal(2, 4, length, seed=1).to(dtype)
    expected = torch.einsum("pak,pbk->pab", left.double(), right.double())
    found = products(left, right)
    assert found.dtype == torch.float64
    # terms are of size 1 and of either sign, so that the sum of n is about √n on the way and n roundings of it come to n
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding(dtype, length, 4.0))


def test_stack_is_every_unit_then_the_means():
    tensors, mean = [normal(3, 2, 4, 5, seed=s) for s in (0, 1)], normal(4, 5, seed=2)
    rows = stack(tensors, [mean])
    assert rows.shape == (2, 2 * 3 + 1, 20)
    for p in range(2):
        for i in range(6):
            assert torch.equal(rows[p, i], tensors[i // 3][i % 3, p].flatten())
        assert torch.equal(rows[p, 6], mean.flatten())


def test_squares_of_positions_that_are_not_units():
    values = normal(3, 2, 4, 5)
    torch.testing.assert_close(squares(values), values.square().sum(3))
    torch.testing.assert_close(squares(values[..., :1]), values[..., 0].square())
