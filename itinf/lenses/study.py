"""Lenses judged and transferred on a data set, until the asked precision is reached; a folder that says so."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..architecture import Network
from ..data import as_data
from ..errors import ItinfError
from ..files import write_bytes, write_text
from ..progress import Progress, silent
from ..registry import figure
from ..run import difference, read_manifest
from ..statistics import FEW_CLUSTERS
from ..table import SCHEMA
from ..weights import fingerprint
from .fit import batches, readout_fingerprint
from .fitting_data import clusters_of
from .grid_table import by_distance, grid_table, widest
from .lens import Lens
from .transfer import Grid, reads_of

MANIFEST, MEASURES, DISTANCES = "manifest.json", "measures.parquet", "distances.parquet"
IDENTITY = ("schema", "network", "data", "settings", "lens")
CHECK = 64
"""Clusters between two looks at the precision."""


@dataclass
class Transfer:
    """What lenses read at every depth, their own and others.

    Attributes:
        table: one row per number, in the columns of every results table.
        distances: retention by distance, see ``itinf.lenses.grid_table.by_distance``.
        manifest: network, lens, data, settings, and how many units it took.
    """

    table: pd.DataFrame
    distances: pd.DataFrame
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.manifest["network"]["name"])

    def plot(self, kind: str = "transfer", **options: Any) -> Any:
        """A matplotlib Figure: "transfer" or "lenses"."""
        return figure(kind)(self.table, **options)

    def save(self, folder: str | Path) -> Path:
        """Writes table, distances and manifest, each atomically; the manifest comes last."""
        folder = Path(folder)
        write_bytes(folder / MEASURES, self.table.to_parquet(index=False))
        write_bytes(folder / DISTANCES, self.distances.to_parquet(index=False))
        write_text(folder / MANIFEST, json.dumps(self.manifest, indent=2) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Transfer:
        """Reads a finished folder.

        Raises:
            ItinfError: it holds no finished transfer.
        """
        manifest = read_manifest(Path(folder))
        if manifest is None or not manifest.get("complete") or "lens" not in manifest:
            raise ItinfError(f"{folder} holds no finished transfer; expected {MANIFEST}, {MEASURES} and {DISTANCES}.")
        return cls(pd.read_parquet(Path(folder) / MEASURES), pd.read_parquet(Path(folder) / DISTANCES), manifest)

    def __repr__(self) -> str:
        m, widths = self.manifest, self.table[self.table["measure"] == "retention"]
        return (
            f"Transfer of the {m['lens']['kind']} lens of {self.name} on {m['data']['name']}: {m['units']:,} units in "
            f"{m['clusters']:,} clusters, {len(widths)} retentions, intervals up to ± {m['reached']:.3f} "
            f"({'the precision asked for' if m['stopped'] else 'all the units asked for'})"
        )


def transfer(
    network: Network,
    lens: Lens,
    data: Any,
    *,
    units: int | None = None,
    precision: float = 0.02,
    rotations: int = 1,
    batch: int = 64,
    seed: int = 0,
    replicates: int = 400,
    out: str | Path | None = None,
    progress: Progress = silent,
) -> Transfer:
    """Reads every state of a segment by every translator of it, and judges what is read.

    The cost is depth² unembeddings per unit; so it stops by itself once no retention's 95 % interval
    is wider than ± ``precision``.

    Args:
        network: the network.
        lens: an affine or tuned lens of it.
        data: anything ``itinf.probe`` takes; other data than the lens was fitted on.
        units: images or tokens at most; None for all.
        precision: half-width of the interval of every retention.
        rotations: seeds of the rotated-depth null.
        batch: clusters per forward pass; results do not depend on it.
        seed: of the choice of clusters and the bootstrap.
        replicates: of the bootstrap.
        out: results folder; the same transfer there is read, another one refused.
        progress: called with ("transfer", clusters done, clusters in all).

    Raises:
        ItinfError: a shared or logit lens, a lens of another readout, or a folder that holds something else.
    """
    source = as_data(data, network.unit)
    _require(network, lens)
    clusters = clusters_of(source, units)
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "network": {"name": network.name, "weights": network.weights, "fingerprint": fingerprint(network.model)},
        "data": {"name": source.name, "note": source.note, "unit": source.unit},
        "settings": {
            "units": units,
            "precision": precision,
            "rotations": rotations,
            "seed": seed,
            "replicates": replicates,
        },
        "lens": {"kind": lens.kind, **lens.record},
    }
    if out is not None and (there := read_manifest(Path(out))) is not None:
        why = difference(manifest, there, IDENTITY)
        if why is not None:
            raise ItinfError(f"{out} holds another transfer: {why}. Choose another --out.")
        return Transfer.load(out)
    start = time.monotonic()
    grid = Grid(network, lens, reads_of(network, lens, rotations), seed, replicates)
    stopped = False
    for some in batches(source, clusters, seed, CHECK, progress, "transfer"):
        for at in range(0, len(some), batch):
            grid.add(network, some.part(at, at + batch))
        if grid.clusters >= FEW_CLUSTERS and widest(grid) <= precision:
            stopped = True
            break
    manifest |= {
        "complete": True,
        "units": grid.units,
        "clusters": grid.clusters,
        "reached": widest(grid),
        "stopped": stopped,
        "seconds": round(time.monotonic() - start, 1),
    }
    made = Transfer(grid_table(network, grid), by_distance(network, grid), manifest)
    if out is not None:
        made.save(out)
    return made


def _require(network: Network, lens: Lens) -> None:
    if lens.kind not in ("affine", "tuned"):
        raise ItinfError(f"A {lens.kind} lens has one map for many states; transfer takes an affine or tuned lens.")
    if (given := lens.record.get("readout")) != (wanted := readout_fingerprint(network)):
        raise ItinfError(
            f"This lens was fitted on another readout (fingerprint {given}) than that of {network.name} ({wanted}). "
            "Fit one on this network."
        )
