"""The manifest of a results folder, and when two are of one study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ItinfError

MANIFEST, SUMS, MEASURES = "manifest.json", "sums.safetensors", "measures.parquet"


IDENTITY = ("schema", "network", "data", "settings", "probes")
"""Entries of a manifest that make a study what it is; the rest is circumstance."""


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a results folder, or None where there is none.

    Raises:
        ItinfError: a manifest that cannot be read.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ItinfError(f"{path} cannot be read ({error}). Choose another --out, or remove the folder.") from error


def difference(given: dict[str, Any], there: dict[str, Any], keys: Sequence[str] = IDENTITY) -> str | None:
    """The first of these entries in which two manifests are not of one study, in words; None where they are."""
    for key in keys:
        a, b = given.get(key), there.get(key)
        if a != b and isinstance(a, dict) and isinstance(b, dict):
            for inner in sorted(a.keys() | b.keys()):
                if a.get(inner) != b.get(inner):
                    return f"{key}.{inner} is {a.get(inner)!r} here and {b.get(inner)!r} there"
        elif a != b:
            return f"{key} is {a!r} here and {b!r} there"
    return None
