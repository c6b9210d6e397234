"""How a row's value is made from summed columns: one class per kind of estimate.

A kind of one's own is a frozen dataclass derived from ``Estimator``. Defining it makes it known; a file of sums
holds its name, and is read wherever the module that defines it has been imported.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ItinfError, UnknownEstimatorError
from ..statistics.bootstrap import Array, Sums
from ..statistics.intervals import interval, mean_error

if TYPE_CHECKING:
    from ..statistics.histograms import Histograms

_KNOWN: dict[str, dict[str, type[Estimator]]] = {}
"""Name of a class -> module -> the class."""


@dataclass(frozen=True)
class Estimator:
    """Makes an estimate from columns. Every field is a role and holds the name of the column that plays it.

    Attributes:
        n: the column that counts the units.
        replicated: whether ``estimate`` gives replicates, from which differences get intervals.
        counts_twice: whether ``n`` counts every pair in both of its clusters.
    """

    n: str
    replicated: ClassVar[bool] = True
    counts_twice: ClassVar[bool] = False

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
        return asdict(self)

    def estimate(self, sums: Sums) -> Array:
        """(1 + B,): the plain value, then one per replicate."""
        raise NotImplementedError(f"{type(self).__name__} has no estimate(self, sums).")

    def own_estimate(self, sums: Sums) -> Array | None:
        """Of a null: the observed estimate over just the units that the null has; None where it has all of them."""
        return None

    def error(self, sums: Sums, clusters: int) -> Array | None:
        """Linearised standard errors (1 + B,), from which blocks get a simultaneous band; None for no band."""
        return None

    def counts(self, sums: Sums) -> tuple[int, int]:
        """Units (of pairs: pairs) and clusters that the estimate is from."""
        return self._counted(sums, self.n)

    def value(self, sums: Sums, histograms: Histograms, clusters: int) -> tuple[float, float, float]:
        """The estimate and its interval."""
        with np.errstate(divide="ignore", invalid="ignore"):
            values = self.estimate(sums)
        return float(values[0]), *interval(values, clusters)

    def _counted(self, sums: Sums, column: str) -> tuple[int, int]:
        k = sums.index[column]
        total = float(sums.plain[k])
        return round(total / 2 if self.counts_twice else total), int(sums.clusters[k])


@dataclass(frozen=True)
class Mean(Estimator):
    """Mean over units, with what a simultaneous band needs."""

    sum: str
    sum2: str
    sumn: str
    n2: str

    def estimate(self, sums: Sums) -> Array:
        return _quotient(sums.column(self.sum), sums.column(self.n))

    def error(self, sums: Sums, clusters: int) -> Array | None:
        return mean_error({role: sums.column(name) for role, name in self.columns.items()}, clusters)


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
class PartnerMean(Estimator):
    """Mean over units of what a partner gives, beside the observed mean ``own`` of the units that have one."""

    sum: str
    own: str
    own_n: str

    def estimate(self, sums: Sums) -> Array:
        return _pair_mean(sums, self.sum, self.n)

    def own_estimate(self, sums: Sums) -> Array | None:
        return _quotient(sums.column(self.own), sums.column(self.own_n))

    def counts(self, sums: Sums) -> tuple[int, int]:
        return self._counted(sums, self.own_n)


@dataclass(frozen=True)
class Efficiency(Estimator):
    """ΣG / (|ΣG| + ΣK)."""

    gain: str
    movement: str

    def estimate(self, sums: Sums) -> Array:
        return _efficiency(sums.column(self.gain), sums.column(self.movement))


@dataclass(frozen=True)
class PairEfficiency(Estimator):
    """Efficiency of a partner's steps, beside the observed one of the units that have a partner."""

    gain: str
    movement: str
    pairs: str
    own_gain: str
    own_movement: str

    def estimate(self, sums: Sums) -> Array:
        return _efficiency(*(_pair_mean(sums, column, self.pairs) for column in (self.gain, self.movement)))

    def own_estimate(self, sums: Sums) -> Array | None:
        return _efficiency(sums.column(self.own_gain), sums.column(self.own_movement))


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
"""What estimators were called in files before they were classes; roles were written with spaces."""


def estimator_json(estimator: Estimator) -> dict[str, Any]:
    """An estimator as plain data, for a file."""
    kind = type(estimator)
    return {"estimator": kind.__name__, "module": kind.__module__, "columns": estimator.columns}


def estimator_of(data: dict[str, Any]) -> Estimator:
    """The inverse of ``estimator_json``; nothing is imported, and no name from a file is looked up elsewhere.

    Raises:
        UnknownEstimatorError: an estimator that no imported module defines, or that has other columns there.
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
    if len(known) == 1:  # the same file under another name, such as a script and the module it became
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


def _efficiency(gain: Array, movement: Array) -> Array:
    return _quotient(gain, np.abs(gain) + movement)
