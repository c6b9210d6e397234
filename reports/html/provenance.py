"""Where numbers come from: for each network weights, data, seeds, versions, machine and time; and how to cite itinf."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .conditions import NOT_RECORDED, Manifest, of_entry

CITATION = """@software{{itinf,
  author  = {{{{The itinf authors}}}},
  title   = {{itinf: a study toolkit for iterative inference in residual networks}},
  version = {{{version}}},
  license = {{MIT}}
}}"""
"""As in CITATION.cff."""


def citation(version: str) -> str:
    """A BibTeX entry; without the version where it was not recorded."""
    text = CITATION.format(version=version)
    return text if version else "\n".join(line for line in text.splitlines() if "version" not in line)


def provenance(
    manifests: Sequence[Manifest], transfers: Sequence[Manifest]
) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Headings, and one row of cells for every network; what is not recorded is called so.

    Args:
        manifests: of the probes of networks; ``transfers``: of the transfers of trained networks. A network may be in one
            of them alone.
    """
    probed, moved = ({str(m["network"]["name"]): m for m in of} for of in (manifests, transfers))
    return [heading for heading, _ in (*COLUMNS, *LENSES)], [
        (
            name,
            [value(probed.get(name) or moved.get(name, {})) for _, value in COLUMNS]
            + [value(moved.get(name, {})) for _, value in LENSES],
        )
        for name in dict.fromkeys([*probed, *moved])
    ]


def _in(*path: str) -> Callable[[Manifest], str]:
    """An entry of a manifest in words, by its path."""

    def value(manifest: Manifest) -> str:
        found: Any = manifest
        for name in path[:-1]:
            found = found.get(name) if isinstance(found, Mapping) else None
        return of_entry(found, path[-1]) if isinstance(found, Mapping) else NOT_RECORDED

    return value


def _sittings(*path: str) -> Callable[[Manifest], str]:
    """What every sitting recorded of its circumstances; several values where they differ."""

    def value(manifest: Manifest) -> str:
        found = [_in("circumstances", *path)(sitting) for sitting in manifest.get("history") or []]
        return "; ".join(dict.fromkeys(found)) or NOT_RECORDED

    return value


def _measured(manifest: Manifest) -> str:
    """The days on which it was measured."""
    started = [str(sitting.get("started") or "") for sitting in manifest.get("history") or []]
    days = [f"{day[:10]} {day[11:16]}".strip() for day in started if day]
    return "; ".join(days) or NOT_RECORDED


def _units(manifest: Manifest) -> str:
    """As "400 images in 400 clusters"; what was asked for where it is a probe, what was needed where it is a transfer."""
    settings = manifest.get("settings") or {}
    units, clusters = (manifest.get(name, settings.get(name)) for name in ("units", "clusters"))
    unit = (manifest.get("data") or {}).get("unit", "unit")
    return NOT_RECORDED if units is None else f"{units:,} {unit}s" + (f" in {clusters:,} clusters" if clusters else "")


def _wall(manifest: Manifest) -> str:
    seconds = manifest.get("seconds")
    return NOT_RECORDED if seconds is None else f"{seconds:,.0f} s"


COLUMNS: Sequence[tuple[str, Callable[[Manifest], str]]] = (
    ("weights", _in("network", "weights")),
    ("fingerprint of the weights", _in("network", "fingerprint")),
    ("dtype", _in("network", "dtype")),
    ("data", _in("data", "name")),
    ("units", _units),
    ("seed", _in("settings", "seed")),
    ("replicates", _in("settings", "replicates")),
    ("group", _in("settings", "group")),
    ("calibration clusters", _in("settings", "calibration")),
    ("untrained copies", _in("settings", "untrained")),
    ("measured, UTC", _measured),
    ("wall time", _wall),
    ("device", _sittings("device")),
    ("machine", _sittings("platform")),
    ("threads", _sittings("threads")),
    ("itinf", _sittings("itinf")),
    ("Python", _sittings("python")),
    *((name, _sittings("versions", name)) for name in ("torch", "numpy", "scipy", "transformers", "torchvision")),
)
LENSES: Sequence[tuple[str, Callable[[Manifest], str]]] = (
    ("lens", _in("lens", "kind")),
    ("lens fitted on", _in("lens", "data")),
    ("units to fit", _in("lens", "units")),
    ("seed of the lens", _in("lens", "seed")),
    ("wall time of the transfer", _wall),
)
"""Of the transfer of the network's lenses."""
