"""The embedded default: every specimen on its own data, what ``itinf compare`` studies without arguments."""

from __future__ import annotations

from .registry import specimen
from .studyfile import Entrant, StudyFile

SPECIMENS = ("resnet", "resnet-isotropic", "plain-isotropic", "inception", "gpt2")
UNTRAINED = 3


def study() -> StudyFile:
    """Three residual networks, two without skips; images and language."""
    chosen = [specimen(name) for name in SPECIMENS]
    return StudyFile([Entrant(s.name, s.data, weights="specimen", units=s.units) for s in chosen], untrained=UNTRAINED)
