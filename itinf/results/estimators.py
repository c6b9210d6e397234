"""Estimators: each class computes the value of a row from summed columns.

You can write your own estimator: a frozen dataclass derived from ``Estimator``. Its definition also registers it.
A file of sums holds the name of the estimator. To read the file, import the module that defines the estimator first.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ItinfError, UnknownEstimatorError
from ..statistics.bootstrap import Array, Sums
from ..statistics.intervals import Estimated, interval, mean_error, share_interval
from ..statistics.twice import counted_twice, dyadic
from .reasons import Reason

if TYPE_CHECKING:
    from ..statistics.histograms import Histograms

_KNOWN: dict[str, dict[str, type[Estimator]]] = {}
"""Name of a class -> module -> the class."""


@dataclass(frozen=True)
class Estimator:
    """Computes an estimate from columns. Every field is a role and holds the name of the column in that role.

    Attributes:
        n: the column that counts the units.
        replicated: whether ``estimate`` returns replicates; intervals of differences need them.
        counts_twice: whether ``n`` counts every pair twice, once in each of its two clusters.
        share: whether the estimate is a share, from 0 to 1; then its interval is inside them.
        missing: why there may be no estimate although there are units; None where that is no finite number.
    """

    n: str
    replicated: ClassVar[bool] = True
    counts_twice: ClassVar[bool] = False
    share: ClassVar[bool] = False
    missing: ClassVar[Reason | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        known = _KNOWN.setdefault(cls.__name__, {})
        if __name__ in known and cls.__module__ != __name__:
            raise ItinfError(
                f"{cls.__module__} defines an estimator {cls.__name__}, as itinf does. Give it another name."
            )
        known[cls.__module__] = cls

    @property
    def columns(self) -> dict[str, str]:
        """Role -> name of the column."""
        return {role.name: getattr(self, role.name) for role in fields(self)}

    def estimate(self, sums: Sums) -> Array:
        """(1 + B,): the plain value, then the value of every replicate."""
        raise NotImplementedError(f"{type(self).__name__} has no estimate(self, sums).")

    def own_estimate(self, sums: Sums) -> Array | None:
        """For a null that has only some units: the observed estimate of the same units. None if it has all units."""
        return None

    def error(self, sums: Sums, clusters: int) -> Array | None:
        """Linearised standard errors (1 + B,) for the simultaneous band over blocks; None for no band."""
        return None

    def counts(self, sums: Sums) -> tuple[int, int]:
        """How many units (or pairs) and how many clusters the estimate uses."""
        return self._counted(sums, self.n)

    def value(self, sums: Sums, histograms: Histograms, clusters: int) -> tuple[float, float, float]:
        """The estimate and its interval."""
        with np.errstate(divide="ignore", invalid="ignore"):
            values = self.estimate(sums)
        return float(values[0]), *self.limits(values, sums, clusters)

    def limits(self, values: Array, sums: Sums, clusters: int) -> tuple[float, float]:
        """The interval of an estimate (1 + B,)."""
        twice = self.twice(sums)
        if not self.share:
            return interval(values, clusters, twice=twice)
        units, of = self.counts(sums)
        one_each = units == of and not any(self.dyadic(sums))
        return share_interval(values, clusters, units, twice=twice, one_each=one_each)

    def estimated(self, values: Array, sums: Sums, clusters: int) -> Estimated:
        """An estimate (1 + B,) with its interval."""
        return Estimated(values, *self.limits(values, sums, clusters), self.twice(sums))

    def twice(self, sums: Sums) -> float:
        """The variance that the replicates count twice, see ``itinf.statistics.twice``; 0 without pairs of clusters."""
        return counted_twice(self.estimate, self.columns.values(), sums)

    def dyadic(self, sums: Sums) -> list[str]:
        """The columns over pairs of clusters."""
        return dyadic(self.columns.values(), sums)

    def _counted(self, sums: Sums, column: str) -> tuple[int, int]:
        k = sums.index[column]
        total = float(sums.plain[k])
        return round(total / 2 if self.counts_twice else total), int(sums.clusters[k])


@dataclass(frozen=True)
class Mean(Estimator):
    """Mean over units, with the columns that a simultaneous band needs."""

    sum: str
    sum2: str
    sumn: str
    n2: str

    def estimate(self, sums: Sums) -> Array:
        return _quotient(sums.column(self.sum), sums.column(self.n))

    def error(self, sums: Sums, clusters: int) -> Array | None:
        return mean_error({role: sums.column(name) for role, name in self.columns.items()}, clusters)


@dataclass(frozen=True)
class Share(Mean):
    """Share of units for which something happens: the mean of 0 and 1."""

    share = True


@dataclass(frozen=True)
class Median(Estimator):
    """Median over units, from a histogram."""

    histogram: str
    replicated = False

    def value(self, sums: Sums, histograms: Histograms, clusters: int) -> tuple[float, float, float]:
        return histograms.median(self.histogram)


@dataclass(frozen=True)
class Ratio(Estimator):
    """Ratio of sums over units."""

    above: str
    below: str

    def estimate(self, sums: Sums) -> Array:
        return _quotient(sums.column(self.above), sums.column(self.below))


@dataclass(frozen=True)
class PairMean(Estimator):
    """Mean over all pairs of a group; ``sum`` and ``n`` hold row sum plus column sum."""

    sum: str
    counts_twice = True

    def estimate(self, sums: Sums) -> Array:
        return _pair_mean(sums, self.sum, self.n)


@dataclass(frozen=True)
class PairShare(PairMean):
    """Share of all pairs of a group for which something happens."""

    share = True


@dataclass(frozen=True)
class PartnerMean(Estimator):
    """Mean over units of the values with the partner's vector; ``own`` is the observed mean of the same units.

    A unit with several partners counts once, with the mean over them. The observed values are summed over the same
    dyads: what a unit and its partner have in common, such as their class, then cancels in every dyad of observed − null.
    """

    sum: str
    own: str
    own_n: str

    def estimate(self, sums: Sums) -> Array:
        return _pair_mean(sums, self.sum, self.n)

    def own_estimate(self, sums: Sums) -> Array | None:
        return _own(sums, self.own, self.n, self.own_n)

    def counts(self, sums: Sums) -> tuple[int, int]:
        return self._counted(sums, self.own_n)


@dataclass(frozen=True)
class PartnerShare(PartnerMean):
    """Share of units for which something happens with the partner's vector."""

    share = True


@dataclass(frozen=True)
class Efficiency(Estimator):
    """ΣG / (|ΣG| + ΣK)."""

    gain: str
    movement: str

    def estimate(self, sums: Sums) -> Array:
        return _efficiency(sums.column(self.gain), sums.column(self.movement))


@dataclass(frozen=True)
class PairEfficiency(Estimator):
    """Efficiency of the partners' steps, and the observed efficiency of the units that have a partner."""

    gain: str
    movement: str
    pairs: str
    own_gain: str
    own_movement: str

    def estimate(self, sums: Sums) -> Array:
        return _efficiency(*(_pair_mean(sums, column, self.pairs) for column in (self.gain, self.movement)))

    def own_estimate(self, sums: Sums) -> Array | None:
        return _efficiency(*(_own(sums, column, self.pairs, self.n) for column in (self.own_gain, self.own_movement)))


@dataclass(frozen=True)
class GaugeFree(Estimator):
    """m · mean of ⟨D_i, −g_i⟩ / (a_i b_i), see ``itinf.probes.alignment``; m² is the mean square over all pairs."""

    sum: str
    squares: str
    pairs: str

    def estimate(self, sums: Sums) -> Array:
        return _quotient(self._size(sums) * sums.column(self.sum), sums.column(self.n))

    def _size(self, sums: Sums) -> Array:
        with np.errstate(invalid="ignore"):
            return np.sqrt(_pair_mean(sums, self.squares, self.pairs))


@dataclass(frozen=True)
class GaugeFreePairs(GaugeFree):
    """The same over pairs: m · mean of ⟨D_i, −g_k⟩ / (a_k b_i)."""

    counts_twice = True

    def estimate(self, sums: Sums) -> Array:
        return self._size(sums) * _pair_mean(sums, self.sum, self.n)


_KINDS: dict[str, type[Estimator]] = {
    "mean": Mean,
    "median": Median,
    "ratio": Ratio,
    "pairs": PairMean,
    "partners": PartnerMean,
    "efficiency": Efficiency,
    "pair efficiency": PairEfficiency,
    "gauge-free": GaugeFree,
    "gauge-free pairs": GaugeFreePairs,
}
"""Old names of the estimators, for files of older versions. Their roles are written with spaces."""


def estimator_json(estimator: Estimator) -> dict[str, Any]:
    """An estimator as plain data, for a file."""
    kind = type(estimator)
    return {"estimator": kind.__name__, "module": kind.__module__, "columns": estimator.columns}


def estimator_of(data: dict[str, Any]) -> Estimator:
    """The inverse of ``estimator_json``. It finds known estimators only: no name in a file can import a module.

    Raises:
        UnknownEstimatorError: no imported module defines the estimator, or the definition has other columns.
    """
    kind = _KINDS[data["kind"]] if "kind" in data else _known(data["estimator"], data["module"])
    columns = {role.replace(" ", "_"): column for role, column in data["columns"].items()}
    try:
        return kind(**columns)
    except TypeError as error:
        raise UnknownEstimatorError(
            f"The results were estimated by a {kind.__name__} with the columns {', '.join(columns)}, but "
            f"{kind.__module__} defines another one ({error}). Read them with the module they were measured with."
        ) from None


def _known(name: str, module: str) -> type[Estimator]:
    known = _KNOWN.get(name, {})
    if module in known:
        return known[module]
    if len(known) == 1:  # the same file under another module name: it was run as a script, and is now imported
        return next(iter(known.values()))
    where = "the program or notebook that measured them" if module == "__main__" else f"the module {module!r}"
    advice = "Run its definition first" if module == "__main__" else f"Import it first (import {module})"
    raise UnknownEstimatorError(
        f"The results have rows of an estimator {name!r}, which {where} defines. {advice}, then read again."
    )


def _quotient(above: Array, below: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):  # a replicate without clusters has no value
        return above / below


def _pair_mean(sums: Sums, above: str, below: str) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums.pair_mean(above, below)


def _own(sums: Sums, own: str, pairs: str, n: str) -> Array:
    """The observed mean of units with a partner: over dyads, or over units in the files of an older itinf."""
    return _pair_mean(sums, own, pairs) if dyadic([own], sums) else _quotient(sums.column(own), sums.column(n))


def _efficiency(gain: Array, movement: Array) -> Array:
    return _quotient(gain, np.abs(gain) + movement)
