"""What probes have in common that may read through a lens."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from torch import nn

from ..lenses.lens import Lens
from ..weights import fingerprint


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
