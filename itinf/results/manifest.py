"""The manifest of a results folder: what is in it, and which of its files are not what was written."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..errors import ItinfError
from ..files import damage

MANIFEST = "manifest.json"


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a results folder, or None where there is none.

    Folders of schema 1 have no history and no list of files ("listed" is False): what they say of their
    one sitting becomes its entry.

    Raises:
        ItinfError: a manifest that cannot be read.
    """
    path = folder / MANIFEST
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError) as error:
        raise ItinfError(f"{path} cannot be read ({error}). Choose another --out, or remove the folder.") from error
    if "history" not in found:
        clusters = found.get("clusters", found.get("settings", {}).get("clusters", 0))
        sitting = {"started": "", "seconds": found.get("seconds", 0.0), "clusters": [0, clusters]}
        found["history"] = [sitting | {"circumstances": found.pop("circumstances", {})}] if "seconds" in found else []
        found["listed"] = False
    return found


def damages(folder: Path, manifest: Mapping[str, Any], names: Collection[str] | None = None) -> dict[str, str]:
    """Those files a manifest lists that are not what was written, and what is wrong with each, in words."""
    listed = manifest.get("files", {})
    chosen = listed.keys() if names is None else [name for name in names if name in listed]
    return {name: why for name in chosen if (why := damage(folder / name, listed[name]))}


def require_sound(folder: Path, manifest: Mapping[str, Any], *names: str) -> None:
    """For those who read a folder and cannot make its files again.

    Raises:
        ItinfError: one of the files is damaged.
    """
    for name, why in damages(folder, manifest, names).items():
        raise ItinfError(f"{folder / name} {why}. Run the command that made {folder} again: it makes the file anew.")


def record_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest without what is only true of its folder."""
    return {key: value for key, value in manifest.items() if key not in ("files", "listed")}
