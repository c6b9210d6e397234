"""The kinds of lens: what each is, how it is fitted, and whether it can be transferred.

Another kind joins by an entry point of the group ``itinf.lens_kinds`` that names a ``LensKind``, or for one session by
``itinf.register(kind, group="lens_kinds")``. Nothing here loads torch before a lens is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ItinfError, nearest, shown
from ..registry import names, opened

if TYPE_CHECKING:
    from ..networks.network import Network
    from .fit_statistics import FitStatistics
    from .lens import Lens
    from .translator import Translator

Translators = Callable[["Network", "FitStatistics"], Sequence["Translator | None"]]
"""(network, statistics) -> one translator for each site; None where there can be none."""
Tuning = Callable[..., "Lens"]
"""Called like ``itinf.lenses.tuned.tune``: (network, data, start, recipe, clusters=, batch=, seed=, progress=) -> lens."""

GROUP = "lens_kinds"
"""What other packages and sessions register their kinds in."""
DEFAULT = "affine"


@dataclass(frozen=True)
class LensKind:
    """One kind of lens.

    Attributes:
        name: what ``fit``, files, tables and the command line call it.
        summary: what it is, in one line.
        translators: makes the translators from the network and the statistics of one pass over the data.
        tune: improves these translators with more passes; None where they are the lens already.
        shared: whether one map serves many states; otherwise each state has a map of its own.
        calibrated: whether it is read at its best confidence, see ``itinf.lenses.confidence``.
    """

    name: str
    summary: str
    translators: Translators
    tune: Tuning | None = None
    shared: bool = False
    calibrated: bool = False

    @property
    def closed_form(self) -> bool:
        """Whether ``FitStatistics`` are all that the lens is made from."""
        return self.tune is None

    @property
    def transfers(self) -> bool:
        """Whether ``itinf.transfer`` takes it: there must be a map of each state's own to read other states with."""
        return not self.shared


def _logit(network: Network, statistics: FitStatistics) -> list[Translator | None]:
    from .translator import Translator

    width = statistics.sites[-1].width
    return [Translator.identity(width) if site.width == width else None for site in statistics.sites]


def _affine(network: Network, statistics: FitStatistics) -> list[Translator]:
    from .affine import affine_maps
    from .translator import Translator

    return [Translator.of(*affine_map) for affine_map in affine_maps(network, statistics)]


def _shared(network: Network, statistics: FitStatistics) -> list[Translator]:
    from .shared import shared_maps
    from .translator import Translator

    return [Translator.of(*affine_map) for affine_map in shared_maps(statistics, leave_out=False)]


def _tune(*args: Any, **options: Any) -> Lens:
    from .tuned import tune

    return tune(*args, **options)


AFFINE = LensKind("affine", "least squares from each state to the last one", _affine)
TUNED = LensKind("tuned", "the affine lens, trained further towards the network's final distribution", _affine, _tune)
SHARED = LensKind("shared", "one map for all states of a segment", _shared, shared=True, calibrated=True)
LOGIT = LensKind("logit", "the network's own readout, without a translator", _logit, shared=True)
BUILT_IN = (AFFINE, TUNED, SHARED, LOGIT)


def lens_kind_names() -> list[str]:
    """Names of all kinds: built-in, of this session, of installed packages (which are not imported for it)."""
    return list(dict.fromkeys([*(kind.name for kind in BUILT_IN), *names(GROUP)]))


def lens_kind(name: str) -> LensKind:
    """The kind of that name.

    Raises:
        ItinfError: there is none (says which are near), or something is registered under it that is no such kind.
    """
    if not isinstance(name, str):
        raise ItinfError(
            f"There is no lens of kind {shown(name)}; expected the name of a kind. {nearest('', lens_kind_names())}"
        )
    built_in, added = {kind.name: kind for kind in BUILT_IN}, names(GROUP)
    if name in built_in and name in added:
        raise ItinfError(
            f"{added[name]} is registered as the lens kind {name!r}, a built-in one. Give yours another name."
        )
    if name in built_in:
        return built_in[name]
    if name not in added:
        raise ItinfError(f"There is no lens of kind {name!r}. {nearest(str(name), lens_kind_names())}")
    kind: Any = opened(GROUP, name)
    if not isinstance(kind, LensKind) or kind.name != name:
        raise ItinfError(
            f"What is registered as the lens kind {name!r} is {kind!r}; expected an itinf.LensKind of that name."
        )
    return kind


def require_transfers(name: str) -> None:
    """Requires a kind of lens that can be transferred.

    Raises:
        ItinfError: there is no such kind, or one map of it serves many states.
    """
    if not lens_kind(name).transfers:
        known = either(kind for kind in lens_kinds() if kind.transfers)
        raise ItinfError(
            f"lens is {name!r}; expected {known}, or none in a comparison without lenses. A shared lens is always read "
            "beside them."
        )


def lens_kinds() -> list[LensKind]:
    """All kinds; imports the packages that add some."""
    return [lens_kind(name) for name in lens_kind_names()]


def either(kinds: Iterable[LensKind]) -> str:
    """The names of some kinds, as in "affine, tuned or shared"."""
    names = [kind.name for kind in kinds]
    return " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
