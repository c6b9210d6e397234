"""The study that ``itinf demo`` runs, and ``itinf compare`` without arguments: every specimen on its own data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..registry import specimen
from ..results.power import NO, YES
from .study_file import Study, StudyNetwork

CONTROLS = {"iterative": YES, "plain-isotropic": NO, "iterative-gpt2": YES}
"""The controls among the specimens: built and trained for iterative inference, or without skips."""
SPECIMENS = ("iterative", "resnet-isotropic", "plain-isotropic", "resnet", "inception", "iterative-gpt2", "gpt2")
"""What is compared where no network is named: images and language, each beside a network that should pass."""
SPECIMENS_UNTRAINED = 1
SMALLER: dict[str, dict[str, Any]] = {
    **{name: {"units": 400} for name in ("iterative", "resnet-isotropic", "plain-isotropic", "resnet")},
    "inception": {"units": 400, "fit_units": 2048},
    "iterative-gpt2": {"units": 4096, "length": 128},
    "gpt2": {"units": 4096, "length": 128},
}
"""What is measured of the specimens, so that all of them take minutes; ``itinf controls`` measures more."""


def specimens_study() -> Study:
    """The embedded default: every specimen on its own data, the controls with their roles."""
    networks = [replace(trained(name), **SMALLER.get(name, {})) for name in SPECIMENS]
    return Study(networks).changed(untrained=SPECIMENS_UNTRAINED)


def trained(name: str) -> StudyNetwork:
    """A specimen on its own data, with its role."""
    found = specimen(name)
    return StudyNetwork(name, found.data, weights="specimen", units=found.units, role=CONTROLS.get(name, ""))
