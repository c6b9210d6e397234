"""The circumstances of a sitting: machine, versions and settings that may differ within one study."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import torch

PACKAGES = ("torch", "numpy", "scipy", "transformers", "torchvision")


def circumstances(device: torch.device | str, batch: int) -> dict[str, Any]:
    """Machine, versions, and the settings that change no number."""
    return {
        "batch": batch,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "itinf": version("itinf"),
    }
