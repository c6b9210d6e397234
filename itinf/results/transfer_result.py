"""The result of a transfer: the table, its summaries, and the manifest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ..registry import draw
from . import notebook
from .folder import ResultsFolder
from .manifest import MANIFEST, folder_of, read_finished, record_of, require_sound
from .schema import DTYPES, REPLICATE_DTYPES, SUMMARY_DTYPES, read_table
from .table import MEASURES

SUMMARIES = "summaries.parquet"
REPLICATES = "replicates.parquet"

IDENTITY = ("schema", "network", "data", "settings", "lens")
SHAPE = {"network": dict, "data": dict, "lens": {"kind": str}, "units": int, "clusters": int, "reached": int | float,
         "stopped": bool}  # fmt: skip
"""Entries that the manifest of a finished transfer has."""


def no_replicates() -> pd.DataFrame:
    """An empty table of replicates."""
    return pd.DataFrame(columns=list(REPLICATE_DTYPES)).astype(REPLICATE_DTYPES)


@dataclass
class TransferResult:
    """The result of a transfer: every lens, read at its own depth and at the other depths.

    Attributes:
        table: one row per number, with the columns of every results table.
        summaries: means over cells, see ``itinf.lenses.transfer.summaries``.
        manifest: network, lens, data, settings, and the number of units measured.
        replicates: see ``itinf.lenses.transfer.replicates``; empty in a folder of an older itinf.
    """

    table: pd.DataFrame
    summaries: pd.DataFrame
    manifest: dict[str, Any]
    replicates: pd.DataFrame = field(default_factory=no_replicates)

    @property
    def name(self) -> str:
        return str(self.manifest["network"]["name"])

    def plot(self, kind: str = "transfer", **options: Any) -> Any:
        """A matplotlib Figure: "transfer", "lenses" or "retention"."""
        return draw(kind, self.table, self.summaries, options)

    def as_null(self, null: str, seed: int) -> TransferResult:
        """The observed rows, relabelled as rows of a null such as "untrained"; rows of other nulls are left out."""

        def of_null(rows: pd.DataFrame) -> pd.DataFrame:
            observed = rows[rows["null"] == "observed"]
            return observed.assign(null=null, null_seed=seed).astype({"null_seed": rows["null_seed"].dtype})

        return replace(self, table=of_null(self.table), summaries=of_null(self.summaries))

    def as_observed(self) -> tuple[TransferResult, int | None]:
        """The inverse of ``as_null``: the rows of an untrained network as observed, and its seed; else itself, and None."""
        if "observed" in set(self.table["null"]) or self.table.empty:
            return self, None

        def observed(rows: pd.DataFrame) -> pd.DataFrame:
            return rows.assign(null="observed", null_seed=pd.NA).astype({"null_seed": rows["null_seed"].dtype})

        seed = int(self.table["null_seed"].iloc[0])
        return replace(self, table=observed(self.table), summaries=observed(self.summaries)), seed

    @property
    def identity(self) -> dict[str, Any]:
        """The entries of the manifest that define the transfer."""
        return {key: self.manifest[key] for key in IDENTITY}

    def files(self) -> dict[str, bytes]:
        """Name -> content of the files in its folder, without the manifest."""
        return {
            MEASURES: self.table.to_parquet(index=False),
            SUMMARIES: self.summaries.to_parquet(index=False),
            REPLICATES: self.replicates.to_parquet(index=False),
        }

    def save(self, folder: str | Path) -> Path:
        """Writes table, summaries and manifest into a folder, each file atomically; the manifest comes last.

        Raises:
            ItinfError: the folder holds something else, or another process is writing to it.
        """
        with ResultsFolder.open(folder_of(folder), self.identity, what="transfer") as kept:
            kept.forget()
            kept.complete(self.files(), 0, **self.manifest)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> TransferResult:
        """Reads a finished folder, also one of schema 1.

        Raises:
            ItinfError: the folder holds no finished transfer, or its tables are damaged.
        """
        expected = f"transfer; expected {MANIFEST}, {MEASURES} and {SUMMARIES}. Give a folder that itinf transfer has finished."
        path = folder_of(folder)
        manifest = read_finished(path, SHAPE, expected)
        require_sound(path, manifest, MEASURES, SUMMARIES)
        table, summaries = read_table(path / MEASURES, DTYPES), read_table(path / SUMMARIES, SUMMARY_DTYPES)
        if REPLICATES not in manifest.get("files", {}):  # of an older itinf
            return cls(table, summaries, record_of(manifest))
        require_sound(path, manifest, REPLICATES)
        return cls(table, summaries, record_of(manifest), read_table(path / REPLICATES, REPLICATE_DTYPES))

    @cached_property
    def _picture(self) -> bytes | None:
        return notebook.picture(self, "transfer")

    def _repr_png_(self) -> bytes | None:
        return self._picture

    def _repr_html_(self) -> str:
        return notebook.html(shown_rows(self), self._picture, [repr(self)])

    def __repr__(self) -> str:
        m, widths = self.manifest, self.table[self.table["measure"] == "retention"]
        return (
            f"Transfer of the {m['lens']['kind']} lens of {self.name} on {m['data']['name']}: {m['units']:,} units in "
            f"{m['clusters']:,} clusters, {len(widths)} retentions, intervals up to ± {m['reached']:.3f} "
            f"({'the precision asked for' if m['stopped'] else 'all the units asked for'})"
        )


def shown_rows(moved: TransferResult) -> list[dict[str, str]]:
    """Mean retentions of a transfer, one in each row of a small table: heading -> cell."""
    rows = moved.summaries
    rows = rows[(rows["measure"] == "retention") & (rows["distance"] == 0) & rows["mean"].notna()]
    return [
        {
            "network": row.model,
            "lens": row.lens,
            "form": row.form,
            "null": "" if row.null == "observed" else row.null,
            "target": row.target,
            "mean retention": notebook.ranged(row.mean, row.lo, row.hi),
            "over": f"{row.cells} {'states' if row.direction == 'one lens' else 'pairs of states'}",
        }
        for row in rows[rows["direction"].isin(["both", "one lens"])].itertuples()
    ]
