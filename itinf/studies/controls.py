"""The study that ``itinf controls`` runs: networks that should pass a test of iterative inference, and others that should not."""

from __future__ import annotations

from dataclasses import replace

from ..results.power import NO
from .demo import trained
from .study_file import Study

TRAINED = ("iterative", "resnet-isotropic", "plain-isotropic", "iterative-gpt2", "gpt2")
"""The controls, and beside them ordinary networks of their size: with blocks of their own, trained at the end."""
UNTRAINED = ("iterative", "iterative-gpt2")
"""Specimens of which a copy with random weights is measured, too: it has the architecture alone."""

MEASURED = ("swap", "convergence")
"""Probes beside the usual ones."""


def controls_study() -> Study:
    """The trained controls, the ordinary networks of their size, and untrained copies."""
    networks = []
    for name in TRAINED:
        networks.append(trained(name))
        if name in UNTRAINED:
            networks.append(replace(trained(name), label=f"{name}, untrained", weights="untrained", role=NO))
    return Study(networks, measure=list(MEASURED))
