"""The manifest of a results folder: reading it, and checking the files that it lists."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..errors import ItinfError
from ..files import damage

MANIFEST = "manifest.json"


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a results folder, or None if the folder has no manifest.

    Folders of schema 1 have no history and no list of files. They are given a history of one sitting, and
    "listed" is False.

    Raises:
        ItinfError: the manifest cannot be read.
    """
    path = folder / MANIFEST
    try:
        manifest = dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError) as error:
        raise ItinfError(f"{path} cannot be read ({error}). Choose another --out, or remove the folder.") from error
    if "history" not in manifest:
        clusters = manifest.get("clusters", manifest.get("settings", {}).get("clusters", 0))
        sitting = {"started": "", "seconds": manifest.get("seconds", 0.0), "clusters": [0, clusters]}
        sitting["circumstances"] = manifest.pop("circumstances", {}) if "seconds" in manifest else {}
        manifest["history"] = [sitting] if "seconds" in manifest else []
        manifest["listed"] = False
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
