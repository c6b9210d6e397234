"""The cells of the transfer matrix: every translator at every state that it can read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations

from .. import kinds
from ..lens import Lens
from ..shared import shared_maps
from ..translator import Translator
from .counterfactual import AMONG, OWN, READS
from .matching import matched

LOGIT, SHARED = kinds.LOGIT.name, kinds.SHARED.name
LEFT_OUT = f"{SHARED}, left out"
"""The shared lens, fitted on all states of the segment but the one it reads."""
ROTATED, MATCHED = "rotated", "gauge-matched"
FITTED_ON = "fitted on "
"""Begins the form of a cell whose lens was fitted on other data; their name follows."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One translator at one state.

    Attributes:
        lens: its name in tables: the name of a kind, or "shared, left out".
        at: index of the state that is read.
        fitted_at: index of the state it was fitted at; −1 for a lens fitted at many.
        translator: the map.
        form: "gauge-matched" where the channels of the state are first matched to those the lens was fitted on;
            "fitted on DATA" for a lens that was fitted on other data; one of ``READS`` where a counterfactual state is read,
            and of ``OWN`` for what such reads are divided by.
        null, seed: "rotated" and its seed, for the null in which no two states share a code.
    """

    lens: str
    at: int
    fitted_at: int
    translator: Translator
    form: str = ""
    null: str = "observed"
    seed: int = -1

    @property
    def name(self) -> str:
        """Prefix of its columns of sums."""
        return f"{self.lens}|{self.form}|{self.null} {self.seed}|{self.fitted_at}|{self.at}"

    @property
    def diagonal(self) -> bool:
        """Whether the state is read by its own translator."""
        return self.fitted_at == self.at and not self.among and not self.of_other_data

    @property
    def of_other_data(self) -> bool:
        """Whether its lens was fitted on other data."""
        return self.form.startswith(FITTED_ON)

    @property
    def off_diagonal(self) -> bool:
        """Whether the translator is another state's."""
        return self.fitted_at >= 0 and self.fitted_at != self.at

    @property
    def among(self) -> str:
        """The null whose partners a unit must have to be counted; "" for a cell that counts all units."""
        return AMONG.get(self.form, "")

    @property
    def onward(self) -> bool:
        """Whether a lens, as it is, reads a state after the one it was fitted at."""
        return 0 <= self.fitted_at < self.at and not self.form

    def of_counted(self, column: str) -> str:
        """Name of a column of the units, such as their number, over those that the cell counts."""
        return f"{column}|{self.among}" if self.among else column

    @property
    def scored_in_full(self) -> bool:
        """Whether it has more scores than losses: a state's own lens, or a lens for many states that is no null."""
        return not (self.off_diagonal or self.null != "observed" or self.among or self.of_other_data)


def cells_of(lens: Lens, rotations: int = 1, pairs: bool = True, counterfactual: bool = False) -> list[Cell]:
    """All cells: each translator at every state of its segment, the logit lens, and the shared lenses.

    Args:
        lens: a lens with a map for each state. One read from a file has no statistics, and so no shared and
            no gauge-matched cells beside it.
        rotations: how many seeds of the rotated null.
        pairs: False leaves out every lens at another state than its own.
        counterfactual: whether lenses also read counterfactual states, see ``counterfactual``; only with pairs.
    """
    sites, width = lens.sites, lens.sites[-1].width
    cells = [
        Cell(lens.kind, j, i, translator)
        for j, at_site in enumerate(sites)
        for i, (own_site, translator) in enumerate(zip(sites, lens.translators, strict=True))
        if (i == j or pairs) and at_site.segment == own_site.segment
        if translator is not None and lens.translators[j] is not None
    ]
    if counterfactual:
        cells += list(_counterfactual(lens, [cell for cell in cells if cell.onward]))
    known = [k for k, translator in enumerate(lens.translators) if translator is not None]
    cells += [Cell(LOGIT, j, -1, Translator.identity(width)) for j in known if sites[j].width == width]
    if lens.statistics is None:
        return cells
    several = [k for k in known if sum(site.segment == sites[k].segment for site in sites) > 1]
    for name, leave_out, null, seed in (
        (SHARED, False, "observed", -1),
        (LEFT_OUT, True, "observed", -1),
        *((LEFT_OUT, True, ROTATED, seed) for seed in range(1, rotations + 1)),
    ):
        maps = shared_maps(lens.statistics, leave_out, None if seed < 0 else seed)
        cells += [Cell(name, j, -1, Translator.of(*maps[j]), null=null, seed=seed) for j in several]
    return cells + (list(_matched(lens)) if pairs else [])


def _counterfactual(lens: Lens, onward: list[Cell]) -> Iterator[Cell]:
    """Every lens at the counterfactual states of later ones, and the own lenses at the units that these count."""
    for cell in onward:
        yield from (replace(cell, form=form) for form in READS)
    for at in dict.fromkeys(cell.at for cell in onward):
        own = lens.translators[at]
        assert own is not None, "a state that is read has a lens"
        yield from (Cell(lens.kind, at, at, own, form) for form in OWN)


def cells_of_other_data(lens: Lens, other: Lens) -> list[Cell]:
    """Each state read by the lens of the same kind that was fitted on other data, and by its shared lenses.

    Args:
        lens: the lens that is transferred; ``other``: the one fitted on other data, whose record names them.
    """
    form = f"{FITTED_ON}{other.record.get('data', 'other data')}"
    here = {(cell.lens, cell.at) for cell in cells_of(lens, rotations=0, pairs=False)}
    return [
        replace(cell, form=form)
        for cell in cells_of(other, rotations=0, pairs=False)
        if cell.lens != LOGIT and (cell.lens, cell.at) in here
    ]


def _matched(lens: Lens) -> Iterator[Cell]:
    """Every off-diagonal cell with its channels matched first, in segments where channels can be matched."""
    statistics = lens.statistics
    assert statistics is not None
    for first, products in statistics.products.items():
        width = lens.sites[first].width
        for i, j in permutations(range(first, first + len(products) // width), 2):
            translator = lens.translators[i]
            if translator is not None and lens.translators[j] is not None:
                rows, columns = (slice((k - first) * width, (k - first + 1) * width) for k in (i, j))
                matrix, bias = matched(products[rows, columns], statistics.fitted[i], statistics.fitted[j])
                linear, offset = translator.matrix.double(), translator.bias.detach().double()
                yield Cell(lens.kind, j, i, Translator.of(linear @ matrix, linear @ bias + offset), form=MATCHED)
