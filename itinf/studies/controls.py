"""The study that ``itinf controls`` runs: networks that should pass a test of iterative inference, and others that should not."""

from __future__ import annotations

from dataclasses import replace

from ..registry import specimen
from ..results.power import NO, YES
from .study_file import Study, StudyNetwork

TRAINED = {
    "iterative": YES,  # one block, applied again and again, trained to be read at every state
    "resnet-isotropic": "",  # as large, with blocks of their own, trained at the end
    "plain-isotropic": NO,  # its layers without skips
    "iterative-gpt2": YES,
    "gpt2": "",
}
"""Specimens and their roles."""
UNTRAINED = ("iterative", "iterative-gpt2")
"""Specimens of which a copy with random weights is measured, too: they have the architecture alone."""
UNITS = {"iterative-gpt2": 8192, "gpt2": 8192}
IMAGES = 1000


def controls_study() -> Study:
    """The trained controls, the ordinary networks of their size, and untrained copies."""
    networks = []
    for name, role in TRAINED.items():
        units = UNITS.get(name, IMAGES)
        trained = StudyNetwork(specimen(name).name, specimen(name).data, weights="specimen", units=units, role=role)
        networks.append(trained)
        if name in UNTRAINED:
            networks.append(replace(trained, label=f"{name}, untrained", weights="random:0", role=NO))
    return Study(networks)
