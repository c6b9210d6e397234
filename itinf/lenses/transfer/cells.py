"""What is read where: every lens at every state it fits, its own or another's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from ..fit import shared_maps
from ..lens import Lens
from ..translator import Translator
from .matching import matched

SHARED, LEFT_OUT, ROTATED, MATCHED = "shared", "shared, left out", "rotated", "gauge-matched"


@dataclass(frozen=True, eq=False)
class Cell:
    """One translator at one state.

    Attributes:
        lens: what it is called in tables: "logit", "affine", "tuned", "shared" or "shared, left out".
        at: number of the place that is read.
        fitted_at: number of the place it was fitted at; −1 for a lens fitted at many.
        translator: the map.
        form: "gauge-matched" where the channels of the state are matched to those of the lens first.
        null, seed: "rotated" and its seed, for the null in which no code is common to two depths.
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
        return f"{self.lens}|{self.form}|{self.null} {self.seed}|{self.fitted_at}|{self.at}"

    @property
    def diagonal(self) -> bool:
        """Whether the state is read by its own translator."""
        return self.fitted_at == self.at

    @property
    def off_diagonal(self) -> bool:
        """Whether the translator is another state's."""
        return self.fitted_at >= 0 and not self.diagonal

    @property
    def scored_in_full(self) -> bool:
        """Whether more is asked of it than losses: a state's own lens, or one for many that is no null."""
        return not self.off_diagonal and self.null == "observed"


def cells_of(lens: Lens, rotations: int = 1) -> list[Cell]:
    """Everything that is read: each translator at every state of its segment, the logit lens, and the shared ones.

    Args:
        lens: an affine or tuned lens; one read from a file has no moments, so nothing shared or
            gauge-matched beside it.
        rotations: how many seeds of the rotated-depth null.
    """
    places, width = lens.sites, lens.sites[-1].width
    reads = [
        Cell(lens.kind, j, i, translator)
        for j, here in enumerate(places)
        for i, (there, translator) in enumerate(zip(places, lens.translators, strict=True))
        if here.segment == there.segment and translator is not None and lens.translators[j] is not None
    ]
    known = [k for k, translator in enumerate(lens.translators) if translator is not None]
    reads += [Cell("logit", j, -1, Translator.identity(width)) for j in known if places[j].width == width]
    if lens.statistics is None:
        return reads
    several = [k for k in known if sum(place.segment == places[k].segment for place in places) > 1]
    for name, leave_out, null, seed in (
        (SHARED, False, "observed", -1),
        (LEFT_OUT, True, "observed", -1),
        *((LEFT_OUT, True, ROTATED, seed) for seed in range(1, rotations + 1)),
    ):
        maps = shared_maps(lens.statistics, leave_out, None if seed < 0 else seed)
        reads += [Cell(name, j, -1, Translator.of(*maps[j]), null=null, seed=seed) for j in several]
    return reads + list(_matched(lens))


def _matched(lens: Lens) -> Iterator[Cell]:
    found = lens.statistics
    assert found is not None
    for first, products in found.products.items():
        width = lens.sites[first].width
        for i, j in permutations(range(first, first + len(products) // width), 2):
            translator = lens.translators[i]
            if translator is not None and lens.translators[j] is not None:
                rows, columns = (slice((k - first) * width, (k - first + 1) * width) for k in (i, j))
                matrix, bias = matched(products[rows, columns], found.fitted[i], found.fitted[j])
                own, offset = translator.matrix.double(), translator.bias.detach().double()
                yield Cell(lens.kind, j, i, Translator.of(own @ matrix, own @ bias + offset), form=MATCHED)
