"""The base class of probes: their settings, and the methods that turn a batch into columns."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import product
from typing import Any, ClassVar, Self

from torch import nn

from ..errors import ItinfError, nearest, shown
from ..lenses.lens import Lens, require_lens
from ..networks.network import Network
from ..networks.trace import TARGETS, Target, Trace
from ..networks.weights import fingerprint
from ..results.reasons import Reason
from ..results.recorder import Recorder
from ..results.row import Row
from ..settings import words
from ..statistics.nulls import Null, Partners, null_of
from .batch import Combination, ProbeBatch
from .block import BlockProducts, requested
from .calibration import Calibration
from .gradients import GRADIENTS, GradientName

NullChoice = str | Null | Partners
"""The name of a null, a null of your own, or a function that finds partners."""


@dataclass(frozen=True, repr=False)
class Probe:
    """Measures every block.

    To write your own probe, derive from this class and define ``measure_block`` or ``measure_batch``.
    A probe is a frozen dataclass whose fields are its settings. Each of the following can be a field or a plain
    attribute of the class:

    * ``gradients``: the gradients that the probe compares updates with. Each gradient is computed once for all probes.
    * ``targets``: the targets of the losses, any of "label", "answer", "model".
    * ``nulls``: names, or nulls of your own (``itinf.statistics.nulls``). ``partner_nulls`` are the names of those
      with partners; ``batch.partners`` holds the partners.
    * ``readouts``: True if the probe needs the readout at every state, through its lens if it has one. By default
      this is true for a probe with the gradient "readout".
    * ``apart``: True if the probe needs the means of updates without each part of the calibration clusters.
    * ``scales``: True if the probe needs the scales of channels; by default they come with gradients only.
    * ``looks``: True if the probe takes something of its own from the calibration clusters, in ``look``.
    * ``through_lenses``: True if a study that asks for the probe by name also runs it through each of its lenses.

    Attributes:
        lens: a lens that reads the states; None for the network's own readout.
        name: name of the lens in the table; by default its kind.
        measure, statistic: columns of the row that says why a lens reads nothing; by default the name of the class
            and "mean".
        own_nulls: names of nulls without partners that the probe computes itself.
    """

    lens: Lens | None = field(default=None, repr=False, kw_only=True)
    name: str = field(default="", kw_only=True, metadata={"lens": True})

    measure: ClassVar[str] = ""
    statistic: ClassVar[str] = "mean"
    own_nulls: ClassVar[Sequence[str]] = ()
    scales: ClassVar[bool] = False
    looks: ClassVar[bool] = False
    through_lenses: ClassVar[bool] = False

    @property
    def gradients(self) -> Sequence[GradientName]:
        return ()

    @property
    def targets(self) -> Sequence[Target]:
        return ()

    @property
    def nulls(self) -> Sequence[NullChoice]:
        return ()

    @property
    def apart(self) -> bool:
        return False

    @property
    def readouts(self) -> bool:
        return "readout" in self.gradients

    def look(self, trace: Trace, calibration: Calibration) -> None:
        """Takes from some calibration clusters what the probe needs before it measures; by default nothing."""

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        """Measures things that are not about a single block; by default nothing."""

    def measure_block(self, block: BlockProducts, record: Recorder) -> None:
        """Measures one block; by default nothing."""

    def requested(self, block: BlockProducts) -> tuple[list[Combination], dict[Combination, Reason]]:
        """The combinations of a block that the probe asks for: those that exist, and the others with the reason."""
        return requested(block, self.gradients, self.targets, self.lens_name)

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if self.lens is not None:
            require_lens(self.lens)
        words("name", self.name)
        require_names(kind, "gradients", self.gradients, GRADIENTS)
        require_names(kind, "targets", self.targets, TARGETS)
        if isinstance(self.nulls, str) or not isinstance(self.nulls, Iterable):
            raise ItinfError(f"{kind}: nulls is {shown(self.nulls)}; expected a sequence, such as ('pairing',).")
        for null in map(null_of, self.nulls):
            if null.partners is None and null.name not in self.own_nulls:
                known = ", ".join(("pairing", "same-target", *self.own_nulls))
                raise ItinfError(
                    f"{kind} does not measure the null {null.name!r}. Expected {known}, "
                    "or a null of your own that finds partners."
                )

    @property
    def null_names(self) -> list[str]:
        """The names of its nulls in the table."""
        return [null_of(null).name for null in self.nulls]

    @property
    def partner_nulls(self) -> list[str]:
        """The names of its nulls that replace the vector of a unit by that of a partner."""
        return [null.name for null in map(null_of, self.nulls) if null.partners is not None]

    @property
    def lens_name(self) -> str:
        """The name of its lens in the table: by default its kind; "" without a lens."""
        return "" if self.lens is None else self.name or self.lens.kind

    def without_nulls(self) -> Self:
        """The same probe without nulls, for an untrained network, which is a null itself."""
        return self._with(nulls=()) if self.nulls else self

    def without_lens(self) -> Self | None:
        """The part of the probe that needs no lens, for a network that the lens was not fitted on; None if empty."""
        gradients = [g for g in self.gradients if g != "readout"]
        return self._with(lens=None, gradients=gradients) if gradients else None

    def missing_rows(self, network: Network) -> list[Row]:
        """Rows without a value, one for each block and target, for a lens that was fitted on another readout."""
        measure = self.measure or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()
        gradient = "readout" if self.gradients else ""
        return [
            Row(measure, block + 1, network.unit, self.statistic, gradient, target=target, lens=self.lens_name)
            for block, target in product(range(len(network.blocks)), self.targets or ("",))
        ]

    def _with(self, **settings: Any) -> Self:
        """A copy with other settings: fields or attributes of the class."""
        other = copy.copy(self)
        other.__dict__.pop("description", None)
        for name, value in settings.items():
            object.__setattr__(other, name, value)
        return other

    @cached_property
    def description(self) -> str:
        """Its settings in one line, for the identity of a study; a lens appears as its kind and fingerprint.

        Without a lens, the settings that only concern a lens are left out.
        """
        shown = [f for f in fields(self) if f.repr and (self.lens is not None or not f.metadata.get("lens"))]
        settings = [f"{f.name}={_in_words(getattr(self, f.name))}" for f in shown]
        if self.lens is not None:
            translators = nn.ModuleList([nn.Identity() if t is None else t for t in self.lens.translators])
            confidence = "" if self.lens.beta == 1.0 else f" at β = {self.lens.beta:.6g}"
            settings.append(f"lens={self.lens.kind} {fingerprint(translators)}{confidence}")
        return f"{type(self).__name__}({', '.join(settings)})"

    def __repr__(self) -> str:
        return self.description


def require_names(kind: str, what: str, given: Sequence[str], known: Sequence[str]) -> None:
    if isinstance(given, str) or not isinstance(given, Iterable):
        example = given if isinstance(given, str) else known[0]
        raise ItinfError(f"{kind}: {what} is {shown(given)}; expected a sequence of names, such as ({example!r},).")
    for name in given:
        if name not in known:
            raise ItinfError(f"{kind}: there is no {shown(name)} among the {what}. {nearest(str(name), known)}")


def _in_words(value: Any) -> str:
    """The repr of a setting; the name of a function or null, because the repr of a function changes between runs."""
    if isinstance(value, tuple | list):
        words = ", ".join(map(_in_words, value))
        brackets = ("[", "]") if isinstance(value, list) else ("(", ",)" if len(value) == 1 else ")")
        return brackets[0] + words + brackets[1]
    if isinstance(value, Null):
        return repr(value.name)
    return repr(value.__name__) if callable(value) and hasattr(value, "__name__") else repr(value)
