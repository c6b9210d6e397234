"""What every probe has: what it needs of a trace, and how it turns a view into columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Protocol

from torch import nn

from ..lenses.lens import Lens
from ..networks.trace import Target
from ..networks.weights import fingerprint
from ..results.recorder import Recorder
from .batch import ProbeBatch
from .block import BlockProducts
from .gradients import GradientName


class Probe(Protocol):
    """Turns a batch into columns of sums. A frozen dataclass: its fields are its settings.

    Attributes:
        gradients: gradients it compares updates with; what any probe asks for is taken once.
        targets: what losses are taken against.
        readouts: True where it needs the readout at every state it fits.
    """

    @property
    def gradients(self) -> Sequence[GradientName]: ...

    @property
    def targets(self) -> Sequence[Target]: ...

    @property
    def readouts(self) -> bool: ...

    def measure_block(self, view: BlockProducts, record: Recorder) -> None:
        """Measures one block."""

    def measure_batch(self, view: ProbeBatch, record: Recorder) -> None:
        """Measures what is not about one block."""


@dataclass(frozen=True, repr=False)
class ThroughLens:
    """The lens of a probe, and what a study records of it.

    Attributes:
        lens: what states are read through; None for the network's own readout.
        name: of the lens in the table; by default its kind.
    """

    lens: Lens | None = field(default=None, repr=False, kw_only=True)
    name: str = field(default="", kw_only=True, metadata={"lens": True})

    @cached_property
    def _described(self) -> str:
        return described(self)

    def __repr__(self) -> str:
        return self._described


def described(probe: Any) -> str:
    """A probe's repr, which enters a study's identity: a lens by its kind and the fingerprint of its tensors.

    Without a lens the settings that concern one are left out.
    """
    lens: Lens | None = probe.lens
    shown = [f for f in fields(probe) if f.repr and (lens is not None or not f.metadata.get("lens"))]
    settings = [f"{f.name}={getattr(probe, f.name)!r}" for f in shown]
    if lens is not None:
        translators = nn.ModuleList([nn.Identity() if t is None else t for t in lens.translators])
        settings.append(f"lens={lens.kind} {fingerprint(translators)}")
    return f"{type(probe).__name__}({', '.join(settings)})"
