"""Lenses judged and transferred on a data set, until the asked precision is reached; a folder that says so."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

import pandas as pd

from ..architecture import Network
from ..data import Batch, Data, Order, as_data, keyed_order, load_batch
from ..errors import ItinfError, TooFewError
from ..files import write_bytes, write_text
from ..progress import Progress, silent
from ..registry import figure
from ..run import difference, read_manifest
from ..table import SCHEMA
from ..weights import fingerprint
from .fit import readout_fingerprint
from .fitting_data import clusters_of
from .grid_table import grid_table, settled, widest
from .lens import Lens
from .reads import reads_of
from .summaries import summaries
from .transfer import Grid, temperatures

MANIFEST, MEASURES, SUMMARIES = "manifest.json", "measures.parquet", "summaries.parquet"
IDENTITY = ("schema", "network", "data", "settings", "lens")
CHECK = {"image": 64, "token": 16}
"""Clusters between two looks at the precision."""
PILOT_UNITS = 512
"""Units on which temperatures are chosen and nothing is scored, at most a quarter of all."""


@dataclass
class Transfer:
    """What lenses read at every depth, their own and others.

    Attributes:
        table: one row per number, in the columns of every results table.
        summaries: means over its cells, see ``itinf.lenses.summaries``.
        manifest: network, lens, data, settings, and how many units it took.
    """

    table: pd.DataFrame
    summaries: pd.DataFrame
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.manifest["network"]["name"])

    def plot(self, kind: str = "transfer", **options: Any) -> Any:
        """A matplotlib Figure: "transfer", "lenses" or "retention"."""
        return draw(kind, self.table, self.summaries, options)

    def as_null(self, null: str, seed: int) -> Transfer:
        """The same as rows of a null, such as "untrained"; its own nulls are left out."""

        def said(rows: pd.DataFrame) -> pd.DataFrame:
            return rows[rows["null"] == "observed"].assign(null=null, null_seed=seed)

        return replace(self, table=said(self.table), summaries=said(self.summaries))

    def save(self, folder: str | Path) -> Path:
        """Writes table, summaries and manifest, each atomically; the manifest comes last."""
        folder = Path(folder)
        write_bytes(folder / MEASURES, self.table.to_parquet(index=False))
        write_bytes(folder / SUMMARIES, self.summaries.to_parquet(index=False))
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
            raise ItinfError(f"{folder} holds no finished transfer; expected {MANIFEST}, {MEASURES} and {SUMMARIES}.")
        return cls(pd.read_parquet(Path(folder) / MEASURES), pd.read_parquet(Path(folder) / SUMMARIES), manifest)

    def __repr__(self) -> str:
        m, widths = self.manifest, self.table[self.table["measure"] == "retention"]
        return (
            f"Transfer of the {m['lens']['kind']} lens of {self.name} on {m['data']['name']}: {m['units']:,} units in "
            f"{m['clusters']:,} clusters, {len(widths)} retentions, intervals up to ± {m['reached']:.3f} "
            f"({'the precision asked for' if m['stopped'] else 'all the units asked for'})"
        )


def draw(kind: str, table: pd.DataFrame, summaries: pd.DataFrame, options: dict[str, Any]) -> Any:
    """A registered figure of a table, and of its summaries where the figure takes them."""
    made = figure(kind)
    if "summaries" in signature(made).parameters:
        options = {"summaries": summaries} | options
    return made(table, **options)


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
    order, pilot = _orders(source, clusters_of(source, units), seed)
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
    reads = reads_of(lens, rotations)
    betas = temperatures(network, lens, reads, _batches(source, pilot, batch))
    grid = Grid(network, lens, reads, betas, seed, replicates)
    stopped = False
    for slab in _slabs(order, CHECK[network.unit]):  # of a fixed size, so that no batch decides where it stops
        for some in _batches(source, slab, batch):
            grid.add(network, some)
        progress("transfer", grid.clusters, len(order.indices))
        stopped = settled(grid, precision)
        if stopped:
            break
    manifest |= {
        "complete": True,
        "units": grid.units,
        "clusters": grid.clusters,
        "reached": widest(grid),
        "stopped": stopped,
        "seconds": round(time.monotonic() - start, 1),
    }
    made = Transfer(grid_table(network, grid), summaries(network, grid), manifest)
    if out is not None:
        made.save(out)
    return made


def _orders(data: Data, clusters: int, seed: int) -> tuple[Order, Order]:
    """The clusters that are scored, and those before them that only choose temperatures."""
    order = keyed_order(data, clusters, seed)
    length = data[0][1].numel()
    pilot = min(-(-PILOT_UNITS // length), clusters // 4)
    if not 0 < pilot < clusters:
        raise TooFewError(
            f"{clusters} clusters of {data.name} cannot be parted into some that set the lenses' confidence and some "
            "that are scored. Give at least 4 clusters, and better 100."
        )
    return order.part(slice(pilot, None)), order.part(slice(pilot))


def _slabs(order: Order, size: int) -> Iterator[Order]:
    for start in range(0, len(order.indices), size):
        yield order.part(slice(start, start + size))


def _batches(data: Data, order: Order, size: int) -> Iterator[Batch]:
    for slab in _slabs(order, size):
        yield load_batch(data, slab.indices, slab.keys)


def _require(network: Network, lens: Lens) -> None:
    if lens.kind not in ("affine", "tuned"):
        raise ItinfError(f"A {lens.kind} lens has one map for many states; transfer takes an affine or tuned lens.")
    if (given := lens.record.get("readout")) != (wanted := readout_fingerprint(network)):
        raise ItinfError(
            f"This lens was fitted on another readout (fingerprint {given}) than that of {network.name} ({wanted}). "
            "Fit one on this network."
        )
