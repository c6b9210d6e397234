"""Under which conditions each network was measured, and where they differ between networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

NOT_RECORDED = "not recorded"
Manifest = Mapping[str, Any]


class Condition(NamedTuple):
    """A condition that differs: each value with the networks that have it, and what this means for their numbers."""

    name: str
    values: Sequence[tuple[str, str]]
    means: str


def conditions(manifests: Sequence[Manifest], transfers: Sequence[Manifest]) -> list[Condition]:
    """The conditions that are not the same for all networks; empty where all agree.

    Args:
        manifests: of the probes; ``transfers``: of the transfers of trained networks. Entries may be missing.
    """
    found = []
    for given, listed in ((manifests, PROBE), (transfers, TRANSFER)):
        for name, means, value in listed:
            networks: dict[str, list[str]] = {}
            shown: dict[str, str] = {}
            for manifest in given:
                exact = value(manifest)
                key = json.dumps(exact, sort_keys=True, default=str)
                networks.setdefault(key, []).append(str(manifest["network"]["name"]))
                if key not in shown:
                    shown[key] = _words(exact, list(shown.values()))
            if len(networks) > 1:
                found.append(Condition(name, [(shown[key], " · ".join(of)) for key, of in networks.items()], means))
    return found


def facts(rows: pd.DataFrame, manifest: Manifest) -> list[tuple[str, str]]:
    """What the page says of the measurement of one network; what its manifest lacks is called not recorded.

    Args:
        rows: its table; ``manifest``: of its probe.
    """
    network, data, settings = (manifest.get(entry) or {} for entry in ("network", "data", "settings"))
    observed = rows[(rows["null"] == "observed") & (rows["subset"] == "all")]
    units, clusters = (int(observed[column].max()) if len(observed) else 0 for column in ("n_units", "n_clusters"))
    skips = rows["skips"].dropna()
    seconds = manifest.get("seconds")
    return [
        (
            "weights",
            f"{of_entry(network, 'weights')} ({of_entry(network, 'dtype')}, fingerprint {of_entry(network, 'fingerprint')[:12]})",
        ),
        ("skips", NOT_RECORDED if skips.empty else "yes" if skips.iloc[0] else "no"),
        (
            "data",
            f"{of_entry(data, 'name')}: {units:,} {data.get('unit', 'unit')}s in {clusters:,} clusters, "
            f"seed {of_entry(settings, 'seed')}",
        ),
        (
            "nulls",
            f"pairs inside groups of {of_entry(settings, 'group')} clusters; untrained copies: {of_entry(settings, 'untrained')}",
        ),
        ("intervals", f"95 %, over clusters; {of_entry(settings, 'replicates')} bootstrap replicates"),
        ("measured in", NOT_RECORDED if seconds is None else f"{seconds:.0f} s"),
    ]


def of_entry(entries: Manifest, name: str) -> str:
    """An entry in words."""
    found = entries.get(name)
    return NOT_RECORDED if found is None else str(found)


def _words(value: Any, taken: Sequence[str]) -> str:
    """A value in words; of data the name alone, numbered where two of one name differ in what they hold."""
    if isinstance(value, dict):
        value = value.get("name")
    text = NOT_RECORDED if value is None else str(value)
    if text not in taken:
        return text
    return next(numbered for n in range(2, len(taken) + 3) if (numbered := f"{text}, other content ({n})") not in taken)


def _data(manifest: Manifest) -> dict[str, Any]:
    data = manifest.get("data") or {}
    return {"name": data.get("name"), "note": data.get("note")}


def _setting(name: str) -> Callable[[Manifest], Any]:
    return lambda manifest: (manifest.get("settings") or {}).get(name)


def _itinf(manifest: Manifest) -> Any:
    history = manifest.get("history") or [{}]
    return (history[-1].get("circumstances") or {}).get("itinf")


NOT_PAIRED = "other units: no difference is paired"
OTHER_TASK = "other task and other units: compare signs and shapes over depth, not sizes"
OTHER_NULL = "nulls of another width: compare effects with their intervals"
OTHER_LENS = "lenses of another kind or fit: retentions and bits cannot be compared"
OTHER_ITINF = "measures of one name may be defined otherwise: measure again with one itinf"
Rule = tuple[str, str, Callable[[Manifest], Any]]
PROBE: Sequence[Rule] = (
    ("data", OTHER_TASK, _data),
    ("seed", NOT_PAIRED, _setting("seed")),
    ("clusters measured", NOT_PAIRED + ", and intervals have other widths", _setting("clusters")),
    ("part of the clusters", NOT_PAIRED, _setting("shard")),
    ("group", OTHER_NULL, _setting("group")),
    ("calibration clusters", "other means and scales: centred and gauge-fixed forms differ", _setting("calibration")),
    ("bootstrap replicates", "intervals are known to another precision", _setting("replicates")),
    ("untrained copies", "some networks have no untrained null", _setting("untrained")),
    ("dtype", "numbers differ by rounding", lambda m: (m.get("network") or {}).get("dtype")),
    ("itinf", OTHER_ITINF, _itinf),
)
TRANSFER: Sequence[Rule] = (
    ("kind of lens", OTHER_LENS, lambda m: (m.get("lens") or {}).get("kind")),
    ("units a lens is fitted on", OTHER_LENS, lambda m: (m.get("lens") or {}).get("units")),
    ("seed of the lens", "lenses were fitted on other units", lambda m: (m.get("lens") or {}).get("seed")),
    ("precision asked of the transfer", "intervals have other widths", _setting("precision")),
    ("seed of the transfer", "other units", _setting("seed")),
    ("itinf of the transfer", OTHER_ITINF, _itinf),
)
