"""What every probe has: what it needs of a trace, and how it turns a view into columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..recorder import Recorder
from ..tracing import Target
from ..vectors import GradientName
from ..view import BatchView, BlockView


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

    def block(self, view: BlockView, record: Recorder) -> None:
        """Measures one block."""

    def whole(self, view: BatchView, record: Recorder) -> None:
        """Measures what is not about one block."""
