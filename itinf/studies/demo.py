"""The study that ``itinf demo`` runs, and ``itinf compare`` without arguments: every specimen on its own data."""

from __future__ import annotations

from ..registry import specimen
from .study_file import Study, StudyNetwork

SPECIMENS = ("resnet", "resnet-isotropic", "plain-isotropic", "inception", "gpt2")
"""What is compared where no network is named: three residual networks, two without skips; images and language."""
SPECIMENS_UNTRAINED = 3


def specimens_study() -> Study:
    """The embedded default: every specimen on its own data."""
    chosen = [specimen(name) for name in SPECIMENS]
    networks = [StudyNetwork(s.name, s.data, weights="specimen", units=s.units) for s in chosen]
    return Study(networks).changed(untrained=SPECIMENS_UNTRAINED)
