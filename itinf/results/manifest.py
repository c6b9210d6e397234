"""The manifest of a results folder: reading it, and checking the files that it lists."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..errors import ItinfError, shown, system_error
from ..files import damage, json_object, misfit

MANIFEST = "manifest.json"
SHAPE: dict[str, Any] = {
    "complete?": bool,
    "listed?": bool,
    "seconds?": int | float,
    "clusters?": int,
    "units?": int,
    "network?": {"name": str},
    "about?": dict,
    "data?": {"name": str},
    "settings?": dict,
    "probes?": [str],
    "lens?": {"kind": str},
    "study?": dict,
    "networks?": {str: dict},
    "transfers?": [{"network": {"name": str}}],
    "notes?": [str],
    "groups?": dict | None,
    "roles?": dict | None,
    "joined?": list | None,
    "files?": {str: {"size": int, "blake2b": str}},
    "circumstances?": dict,
}
"""The entries of a manifest that are read, see ``itinf.files.misfit``."""
HISTORY = [{"clusters": (int, int), "seconds": int | float, "circumstances": dict}]


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a results folder, or None if the folder has no manifest.

    Folders of schema 1 have no history and no list of files. They are given a history of one sitting, and
    "listed" is False.

    Raises:
        ItinfError: the manifest cannot be read.
    """
    path = folder / MANIFEST
    try:
        manifest = json_object(path.read_bytes())
        if wrong := misfit(manifest, SHAPE) or misfit(manifest.get("history", []), HISTORY, "history"):
            raise ValueError(wrong)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise system_error(error, str(path), "be read") from error
    except ValueError as error:
        raise ItinfError(f"{path} cannot be read ({error}). Choose another --out, or remove the folder.") from error
    if "history" not in manifest:
        clusters = manifest.get("clusters", manifest.get("settings", {}).get("clusters", 0))
        sitting = {"started": "", "seconds": manifest.get("seconds", 0.0), "clusters": [0, clusters]}
        sitting["circumstances"] = manifest.pop("circumstances", {}) if "seconds" in manifest else {}
        manifest["history"] = [sitting] if "seconds" in manifest else []
        manifest["listed"] = False
    return manifest


def folder_of(given: Any) -> Path:
    """The path that a user gave as a folder.

    Raises:
        ItinfError: it is not a path.
    """
    if not isinstance(given, str | os.PathLike):
        raise ItinfError(f"The folder is {shown(given)}; expected a path. Give the path of a results folder.")
    return Path(given)


def kind_of(manifest: Mapping[str, Any]) -> str:
    """What the folder of a manifest holds, in words."""
    if "probes" in manifest:
        return "a study of one network (itinf probe)"
    if "lens" in manifest:
        return "the transfer of one lens (itinf transfer)"
    if "fitting" in manifest:
        return "lenses and their transfer (itinf transfer)"
    if "networks" in manifest or "study" in manifest:
        return "a comparison (itinf compare)"
    return "lenses" if "network" in manifest else "something else"


def read_finished(folder: Path, shape: Mapping[str, Any], expected: str) -> dict[str, Any]:
    """The manifest of a finished folder of one kind.

    Args:
        folder: the folder.
        shape: the entries that this kind must have, see ``itinf.files.misfit``.
        expected: the end of the message: what the folder should hold, and what to do.

    Raises:
        ItinfError: the folder holds no finished results of this kind.
    """
    manifest = read_manifest(folder)
    if manifest is None or not manifest.get("complete"):
        raise ItinfError(f"{folder} holds no finished {expected}")
    if wrong := misfit(manifest, dict(shape)):
        raise ItinfError(f"{folder} holds {kind_of(manifest)}, and no finished {expected} In its manifest {wrong}.")
    return manifest


def damages(folder: Path, manifest: Mapping[str, Any], names: Collection[str] | None = None) -> dict[str, str]:
    """Name of every damaged file that a manifest lists -> a phrase that says what is wrong with it."""
    listed = manifest.get("files", {})
    chosen = listed.keys() if names is None else [name for name in names if name in listed]
    return {name: why for name in chosen if (why := damage(folder / name, listed[name]))}


def require_sound(folder: Path, manifest: Mapping[str, Any], *names: str) -> None:
    """Checks files that cannot be made again from the folder alone.

    Raises:
        ItinfError: one of the files is damaged.
    """
    for name, why in damages(folder, manifest, names).items():
        raise ItinfError(f"{folder / name} {why}. Run the command that made {folder} again: it writes the file again.")


def record_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest without the entries that describe only its folder."""
    return {key: value for key, value in manifest.items() if key not in ("files", "listed")}
