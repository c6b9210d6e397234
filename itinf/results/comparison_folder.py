"""The folder of a comparison: what its manifest says, and saving a comparison that was made in Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ItinfError
from ..files import folder_name
from .comparison import NETWORKS, TRAINED, TRANSFER, Comparison
from .folder import ResultsFolder
from .report import draw_report, write_tables
from .schema import SCHEMA
from .transfer_result import TransferResult

MADE_BY = "Comparison.save"
"""Entry of the manifest of a comparison that was made in Python: no study file can open its networks again."""


def entries(both: Comparison) -> dict[str, Any]:
    """The entries of a comparison's manifest: the manifests of its networks and transfers, its notes, groups and roles."""
    return {
        "networks": {run.name: run.manifest for run in both.runs},
        "transfers": [moved.manifest for moved in both.transfers],
        "notes": both.notes,
        "groups": both.groups or None,
        "roles": both.roles or None,
        "joined": both.joined or None,
    }


def complete(both: Comparison, folder: ResultsFolder) -> None:
    """Writes the final manifest, which says that the folder is complete."""
    if not folder.manifest["complete"]:
        manifests = [*(run.manifest for run in both.runs), *(moved.manifest for moved in both.transfers)]
        sittings = [manifest["history"] for manifest in manifests]
        done = sum(history[-1]["clusters"][1] for history in sittings if history)
        folder.complete({}, done, **entries(both))


def require_own_folders(names: Sequence[str], what: str) -> None:
    """Refuses networks whose folders would have one name.

    Args:
        names: of the networks; ``what``: what to give them.

    Raises:
        ItinfError: there are such networks.
    """
    if len({folder_name(name) for name in names}) < len(names):
        raise ItinfError(f"Two networks share a name ({', '.join(names)}); give each of them {what}.")


def save(both: Comparison, path: Path, again: bool = False) -> Path:
    """Writes a comparison into a folder, see ``Comparison.save``; ``again`` draws undamaged figures again, too."""
    require_own_folders([run.name for run in both.runs], "another name with network.named(...)")
    transfers = _places(both)
    identity = {
        "schema": SCHEMA,
        "study": {
            "made_by": MADE_BY,
            "names": [run.name for run in both.runs],  # the first entry that is compared: it makes the shortest message
            "networks": {run.name: run.identity for run in both.runs},
            "transfers": {place: moved.identity for place, moved in transfers.items()},
        },
    }
    with ResultsFolder.open(path, identity, what="comparison") as folder:
        folder.begin()
        for run in both.runs:
            run.save(path / NETWORKS / folder_name(run.name))
        for place, moved in transfers.items():
            moved.save(path / TRANSFER / place)
        folder.made_of(entries(both))
        write_tables(both, folder)
        draw_report(both, folder, again=again)
        complete(both, folder)
    return path


def _places(both: Comparison) -> dict[str, TransferResult]:
    """Folder -> transfer, with the rows that it was measured with: those of untrained networks are observed again.

    Raises:
        ItinfError: two transfers would have the same folder.
    """
    places: dict[str, TransferResult] = {}
    for moved in both.transfers:
        plain, seed = moved.as_observed()
        place = f"{folder_name(moved.name)}/{TRAINED if seed is None else f'untrained-{seed}'}"
        if place in places:
            raise ItinfError(
                f"Two transfers of {moved.name} were given; the folder of a comparison keeps one for each network. "
                "Leave one out, or give the networks other names with network.named(...)."
            )
        places[place] = plain
    return places
