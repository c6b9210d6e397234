"""Proofs by perturbation: what a description claims about a block is changed, and what moves is compared.

Every block is called again by itself, with the inputs that it had and with something inside it replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from .block_call import BlockCall
from .hooks import modules_inside

SHIFT = 0.1
"""Size of a small perturbation, as a share of the root mean square of what it is added to."""
LARGE = 1.0
"""Size of one that must be seen further on."""
ROUNDING = 256
"""A difference is rounding if it is smaller than this many units of the last place of the largest number added up."""
MOVED = 1e-3
"""What differs by less than this share of the perturbation has moved as it should."""


def faults(call: BlockCall) -> Iterator[str]:
    """What is wrong with the description of a block, as the ends of sentences; nothing if all that it claims holds."""
    wrong = list(_summand_faults(call))
    yield from wrong
    if not wrong:
        yield from _skip_faults(call)
        yield from _order_faults(call)
        yield from _name_faults(call)


def _summand_faults(call: BlockCall) -> Iterator[str]:
    """Branch and parts are added: when one of them is shifted and the others stay, the output shifts by as much."""
    paths = [path for path, _ in modules_inside(call.block)]
    for path in paths:
        value = call.inside[path]
        if value.shape != call.after.shape:
            yield f"{path!r} puts out {tuple(value.shape)}, and the state after it is {tuple(call.after.shape)}"
            continue
        shift = _noise(value, SHIFT)
        moved, _ = call.again({**{p: call.inside[p] for p in paths}, path: value + shift})
        open_ = (call.after > 0) & (moved > 0) if ends_in_relu(call) else torch.ones_like(moved, dtype=torch.bool)
        gap = float(((moved - call.after - shift) * open_).abs().max())
        if gap > MOVED * float(shift.abs().max()) + _rounding(call.after):
            yield (
                f"its output does not move by as much as the output of {path!r}: this is not what is added, or a part that "
                "reads it is missing in the description"
            )


def _skip_faults(call: BlockCall) -> Iterator[str]:
    """With branch and parts at zero, the output is the input."""
    if not call.added:
        return
    rest, _ = call.again({path: torch.zeros_like(call.inside[path]) for path in call.added})
    expected = call.before.relu() if ends_in_relu(call) else call.before
    if float((rest - expected).abs().max()) > _rounding(call.before):
        what = "its branch" if call.block.branch is not None else "its parts"
        if float(rest.abs().max()) <= _rounding(call.after):
            yield f"with {what} at zero its output is zero, so it has no skip that something is added to"
        else:
            yield f"with {what} at zero its output is not its input, so something else is added, too"


def _order_faults(call: BlockCall) -> Iterator[str]:
    """Sequential parts read what those before them have added; parallel ones do not."""
    noise = _noise(call.before, LARGE)  # as large as the state, for a part may be small beside it
    for earlier, later in pairwise(call.block.parts.values()):
        _, seen = call.again({earlier: call.inside[earlier] + noise})
        moves = _moves(call.inside[later], seen[later])
        if moves and call.block.parallel:
            yield f"{later!r} reads what {earlier!r} adds, and the block is described as parallel: use parallel=False"
        if moves or call.block.parallel:
            continue
        _, seen = call.again({later: call.inside[later] + noise})
        if _moves(call.inside[earlier], seen[earlier]):
            yield f"{earlier!r} reads what {later!r} adds: name the parts in the order in which they are added"
        elif _moves(call.inside[later], call.again({}, call.before + noise)[1][later]):
            yield f"{later!r} does not read what {earlier!r} adds: use parallel=True"


def _name_faults(call: BlockCall) -> Iterator[str]:
    """A part called attention mixes the positions of a unit; one called mlp does not."""
    axes = {"n t c": (1,), "t n c": (0,), "n h w c": (1, 2)}.get(call.network.layout, ())
    if not axes or min(call.before.shape[axis] for axis in axes) < 2:
        return
    first = tuple(0 if axis in axes else slice(None) for axis in range(call.before.ndim))
    before = call.before.clone()
    before[first] += _noise(before[first], LARGE)
    for part, path in call.block.parts.items():
        if part not in ("attention", "mlp") or call.inside[path].shape != before.shape:
            continue
        others = {p: call.inside[p] for p in call.block.parts.values() if p != path}
        _, seen = call.again(others, before)
        elsewhere = torch.ones_like(before, dtype=torch.bool)
        elsewhere[first] = False
        mixes = _moves(call.inside[path][elsewhere], seen[path][elsewhere])
        if mixes and part == "mlp":
            yield f"its part 'mlp', {path!r}, mixes positions, as attention does: are the names swapped?"
        moves = _moves(call.inside[path], seen[path])  # a part with weights of zero says nothing
        if moves and not mixes and part == "attention":
            yield f"its part 'attention', {path!r}, does not mix positions: are the names swapped?"


def _noise(value: Tensor, share: float) -> Tensor:
    """A random perturbation in proportion to a value; of size ``share`` where that is zero."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(value.shape, generator=generator).to(value)
    size = value.double().square().mean().sqrt().to(value)
    return share * torch.where(size > 0, size, torch.ones_like(size)) * noise


def _rounding(value: Tensor) -> float:
    """In float64, too, some blocks keep their sum in float32."""
    return ROUNDING * torch.finfo(torch.float32).eps * float(value.abs().max())


def _moves(old: Tensor, new: Tensor) -> bool:
    return float((new - old).abs().max()) > _rounding(old)


def ends_in_relu(call: BlockCall) -> bool:
    """Whether the sum goes through a ReLU: no entry of the output is negative, and some are exactly zero."""
    return bool((call.after >= 0).all()) and bool((call.after == 0).any())
