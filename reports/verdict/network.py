"""A column of the verdict table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

YES, NO = "yes", "no"


@dataclass(frozen=True)
class Network:
    """A network, its modality, its role as a control ("" for none), and whether it is untrained."""

    name: str
    modality: str = ""
    role: str = ""
    untrained: bool = False

    @property
    def heading(self) -> str:
        """What it is here for."""
        return {YES: "control, should pass", NO: "control, should fail"}.get(self.role, "")


def networks_of(
    table: pd.DataFrame, manifests: Sequence[Mapping[str, Any]], power: pd.DataFrame | None
) -> list[Network]:
    """Controls that should pass, trained controls that should fail, untrained ones, then the others.

    Args:
        table: of results; ``manifests``: of each network.
        power: the table of power; None without controls.
    """
    roles = {} if power is None else dict(zip(power["model"], power["role"], strict=True))
    modality = table.drop_duplicates("model").set_index("model")["modality"]
    networks = []
    for manifest in manifests:
        name, weights = manifest["network"]["name"], str(manifest["network"].get("weights", ""))  # edited by hand
        untrained = re.fullmatch(r"random(:\d+)?", weights) is not None  # and not a file whose name begins so
        networks.append(Network(name, str(modality.get(name, "")), roles.get(name, ""), untrained))
    return sorted(networks, key=lambda n: ((YES, NO, "").index(n.role), n.untrained))
