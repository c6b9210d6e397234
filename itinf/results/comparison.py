"""A comparison of several runs: one table, and differences paired over the clusters that two runs share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import ItinfError, nearest, shown
from ..files import folder_name
from ..registry import draw
from ..statistics.bootstrap import Array
from ..statistics.intervals import Estimated, interval, share_difference, share_interval
from . import notebook
from .estimators import Estimator
from .group_words import group_lines, group_notes, shown_groups
from .groups import GROUPS, checked_groups, group_table
from .manifest import MANIFEST, folder_of, read_finished
from .onset import curves_of, onset_rows
from .power import POWER, POWER_WORDS, checked_roles, power_table
from .power_words import power_markdown
from .probe_result import ProbeResult, shown_row
from .row import Row
from .schema import summaries_table
from .table import MEASURES
from .trajectory import Trajectory
from .transfer_result import SUMMARIES, TransferResult, shown_rows

NETWORKS, TRANSFER, TRAINED = "networks", "transfer", "trained"
"""Folders of a comparison: ``networks/NAME/``, ``transfer/NAME/trained/`` and ``transfer/NAME/untrained-SEED/``."""


@dataclass
class Comparison:
    """Runs side by side.

    Attributes:
        runs: the runs; no two have the same name.
        transfers: transfers of the lenses of the same networks.
        notes: sentences about what could not be measured, and why.
        groups: group -> names of its networks, such as copies of one network from several trainings.
        roles: name of a control -> "yes" or "no", see ``itinf.results.power``.
        joined: sentences about results that come from several folders, see ``itinf.results.joint``.
    """

    runs: list[ProbeResult]
    transfers: list[TransferResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    joined: list[str] = field(default_factory=list)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The rows of all runs, then the rows of all transfers; ``depth`` is their common axis."""
        tables = [run.table for run in self.runs] + [one.table for one in self.transfers]
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def summaries(self) -> pd.DataFrame:
        """The summaries of all transfers, see ``itinf.lenses.transfer.summaries``, and the onset of every network.

        Empty without transfers.
        """
        transfers = (one.summaries for one in self.transfers)
        return pd.concat([summaries_table([]), *transfers, summaries_table(self._onsets())], ignore_index=True)

    def _onsets(self) -> Iterator[dict[str, Any]]:
        stages = {run.name: run.stages for run in self.runs}
        for moved in self.transfers:
            _, seed = moved.as_observed()
            null = "observed" if seed is None else "untrained"
            stage = stages.get(moved.name, {}).get(null if seed is None else f"{null}:{seed}")
            if stage is None or moved.table.empty:
                continue
            curves = curves_of(stage, moved.table, moved.replicates, int(moved.manifest["clusters"]))
            if curves is not None:
                yield from onset_rows(moved.name, curves, moved.replicates, stage.structure["path"], null, seed)

    @cached_property
    def group_table(self) -> pd.DataFrame:
        """Means of the groups over their networks, and their differences, see ``itinf.results.groups.group_table``."""
        return group_table(self.table, self.summaries, self.groups)

    @cached_property
    def power(self) -> pd.DataFrame:
        """Which measures tell the controls apart, see ``itinf.results.power.power_table``."""
        return power_table(self, self.roles)

    @property
    def power_words(self) -> str:
        """The same as Markdown."""
        return power_markdown(self.power, self.runs)

    @property
    def paired(self) -> list[list[str]]:
        """Names of runs that measured the same clusters with one seed, for each such choice of clusters."""
        sets: dict[tuple[int, bytes], list[str]] = {}
        for run in self.runs:
            sums = run.stages["observed"].sums
            sets.setdefault((sums.seed, sums.keys.tobytes()), []).append(run.name)
        return [names for names in sets.values() if len(names) > 1]

    @property
    def examples(self) -> dict[str, Trajectory | str]:
        """Name of a run -> its examples, or a sentence that says why they are missing; nothing for runs without examples."""
        known = {run.name: run.examples or run.without_examples for run in self.runs}
        return {name: found for name, found in known.items() if found}

    @property
    def group_notes(self) -> list[str]:
        """What a reader needs to know about the groups before their numbers."""
        data = {run.name: str(run.manifest["data"]["name"]) for run in self.runs}
        return group_notes(self.table, self.groups, data)

    @property
    def tables(self) -> list[str]:
        """Names of the files of its tables."""
        names = [MEASURES, *([SUMMARIES] if self.transfers else []), *([GROUPS] if self.groups else [])]
        return names + ([POWER, POWER_WORDS] if self.roles else [])

    def files(self) -> dict[str, bytes]:
        """The tables of the comparison, as files for its folder."""
        makes: dict[str, Callable[[], bytes]] = {
            MEASURES: lambda: self.table.to_parquet(index=False),
            SUMMARIES: lambda: self.summaries.to_parquet(index=False),
            GROUPS: lambda: self.group_table.to_parquet(index=False),
            POWER: lambda: self.power.to_parquet(index=False),
            POWER_WORDS: lambda: self.power_words.encode(),
        }
        return {name: makes[name]() for name in self.tables}

    def save(self, folder: str | Path) -> Path:
        """Writes all that ``itinf compare`` writes into a folder: results, tables, figures and page; no study file.

        Raises:
            ItinfError: the folder holds something else, another process is writing to it, or two networks or transfers
                would have the same folder.
        """
        from .comparison_folder import save

        return save(self, folder_of(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Comparison:
        """Reads a finished comparison from the folders of its networks.

        Raises:
            ItinfError: the folder holds no finished comparison, or a file of a network is damaged.
        """
        folder = folder_of(folder)
        expected = f"comparison; expected {MANIFEST} and {NETWORKS}/. Give a folder that itinf compare has finished."
        manifest = read_finished(folder, {"networks": dict}, expected)
        places = [folder / NETWORKS / folder_name(name) for name in manifest["networks"]]
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # files are read and hashed without Python's lock
            runs = list(pool.map(ProbeResult.load, places))
        names = [str(moved["network"]["name"]) for moved in manifest.get("transfers", [])]
        transfers = []
        for place, name in enumerate(names):
            seed = names[:place].count(name) - 1  # the trained network comes first
            where = folder / TRANSFER / folder_name(name) / (TRAINED if seed < 0 else f"untrained-{seed}")
            transfer = TransferResult.load(where)
            transfers.append(transfer if seed < 0 else transfer.as_null("untrained", seed))
        notes, said = (list(manifest.get(name) or []) for name in ("notes", "joined"))
        groups, roles = (dict(manifest.get(name) or {}) for name in ("groups", "roles"))
        return cls(runs, transfers, notes, groups, roles, said)

    def plot(self, kind: str = "alignment", **options: Any) -> Any:
        """A matplotlib Figure over relative depth."""
        return draw(kind, self.table, self.summaries, options)

    def difference(self, first: str, second: str, measure: str = "descent_share", **fields: str) -> pd.DataFrame:
        """The first run minus the second along relative depth, at the depths of the run with fewer blocks.

        Curves are interpolated linearly between blocks, replicate by replicate. If both runs measured the same
        clusters, the difference is paired: the noise that the runs share cancels.

        Args:
            first, second: names of runs.
            measure: a measure of the table.
            **fields: further columns that select the curve, e.g. gradient="output", update="update".

        Returns:
            depth, mean, lo, hi, paired.

        Raises:
            ItinfError: there is no such run, or the choice does not select exactly one curve.
        """
        chosen = [self._run(name) for name in (first, second)]
        curves = [_curve(run, measure, fields) for run in chosen]
        shares = all(share for _, _, share in curves)
        depths = min((depth for depth, _, _ in curves), key=len)
        low, high = (max(d[0] for d, _, _ in curves), min(d[-1] for d, _, _ in curves))
        depths = depths[(depths >= low - 1e-12) & (depths <= high + 1e-12)]
        a, b = (_interpolate(depths, d, values) for d, values, _ in curves)
        observed = [run.stages["observed"] for run in chosen]
        paired = _same_clusters(observed[0].sums.keys, observed[1].sums.keys) and (
            observed[0].sums.seed == observed[1].sums.seed
        )
        clusters = min(run.clusters for run in chosen)
        rows = []
        for depth, x, y in zip(depths, a, b, strict=True):
            gap = x - y
            if not paired:  # the runs are independent: shift the replicates of one, so that none is paired
                gap = np.concatenate([gap[:1], x[1:] - np.roll(y[1:], len(y) // 2)])
            lo, hi = interval(gap, clusters)
            if shares and not x[0] * (1 - x[0]) * y[0] * (1 - y[0]) > 0:  # at 0 or 1 replicates do not differ
                each = [Estimated(v, *share_interval(v, clusters, clusters)) for v in (x, y)]
                lo, hi = share_difference(each[0], each[1], gap, clusters)
            rows.append({"depth": depth, "mean": gap[0], "lo": lo, "hi": hi, "paired": paired})
        return pd.DataFrame(rows)

    @cached_property
    def _picture(self) -> bytes | None:
        return notebook.picture(self, "comparison" if self.runs else "transfer")

    def _repr_png_(self) -> bytes | None:
        return self._picture

    def _repr_html_(self) -> str:
        moved = [row for one in self.transfers for row in shown_rows(one)]
        tables = notebook.html([shown_row(run) for run in self.runs], None, self.notes) + notebook.html(moved, None)
        groups = notebook.html(shown_groups(self.group_table), None, self.group_notes) if self.groups else ""
        return tables + groups + notebook.html([], self._picture)

    def _run(self, name: str) -> ProbeResult:
        for run in self.runs:
            if run.name == name:
                return run
        raise ItinfError(f"There is no run {name!r}. {nearest(name, [run.name for run in self.runs])}")

    def __repr__(self) -> str:
        groups = group_lines(self.group_table, self.group_notes) if self.groups else []
        return "\n".join(map(str, [*self.runs, *self.transfers, *self.notes, *groups]))


def compare(
    runs: Sequence[ProbeResult],
    transfers: Sequence[TransferResult] = (),
    notes: Sequence[str] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
    roles: Mapping[str, str] | None = None,
) -> Comparison:
    """A comparison of runs and of transfers of lenses.

    Args:
        runs, transfers, notes: see ``Comparison``.
        groups: group -> names of its runs, such as ``{"skips": ["a", "b", "c"], "plain": ["d", "e", "f"]}``: copies of
            one network from several trainings. ``.group_table`` has their means with intervals over networks, and the
            differences of groups.
        roles: controls, such as ``{"a": "yes", "d": "no"}``: networks known to do iterative inference, or none. ``.power``
            says which measures tell them apart.

    Raises:
        ItinfError: there is no run, two runs have the same name, or a group or role names a run that is not there.
    """
    if not isinstance(runs, list | tuple) or not all(isinstance(run, ProbeResult) for run in runs):
        raise ItinfError(
            f"{shown(runs)} is no list of runs. Give a list of results of itinf.probe, such as [one, other]."
        )
    names = [run.name for run in runs]
    if not runs:
        raise ItinfError("No run was given; compare needs at least one run. Measure one with itinf.probe(...).")
    if len(set(names)) < len(names):
        raise ItinfError(f"Two runs share a name ({', '.join(names)}); give networks names with network.named(...).")
    return Comparison(
        list(runs), list(transfers), list(notes), checked_groups(groups, names), checked_roles(roles, names)
    )


def _curve(run: ProbeResult, measure: str, fields: dict[str, str]) -> tuple[Array, Array, bool]:
    """Depths (L,) and estimates (L, 1 + B) of the curve that the fields select, and whether they are shares."""
    stage = run.stages["observed"]
    columns = {"measure": measure, "null": "observed", "subset": "all", **fields}
    rows: dict[Row, Estimator] = {
        row: estimator
        for row, estimator in sorted(stage.entries.items(), key=lambda item: _depth(item[0], stage.structure))
        if estimator.replicated and all(getattr(row, k, None) == v for k, v in columns.items())
    }
    depths = [_depth(row, stage.structure) for row in rows]
    if not rows or len(set(depths)) < len(depths):
        differing = sorted({(r.statistic, r.gradient, r.update, r.part, r.form, r.target, r.unit) for r in rows})
        raise ItinfError(
            f"{run.name}: {columns} picks {'no row' if not rows else 'several curves'}; "
            f"choose by statistic, gradient, update, part, form, target, unit. Found: {differing[:4]}"
        )
    with np.errstate(divide="ignore", invalid="ignore"):  # a replicate without clusters has no value
        estimates = np.stack([estimator.estimate(stage.sums) for estimator in rows.values()])
    return np.array(depths), estimates, all(e.share for e in rows.values())


def _depth(row: Row, structure: Mapping[str, Any]) -> float:
    """The share of the blocks up to the block or state of a row."""
    return row.block / len(structure["blocks"]) if row.state is None else float(structure["states"][row.state][2])


def _interpolate(at: Array, depths: Array, values: Array) -> Array:
    place = np.clip(np.searchsorted(depths, at, side="right") - 1, 0, max(len(depths) - 2, 0))
    if len(depths) == 1:
        return np.repeat(values, len(at), axis=0)
    share = ((at - depths[place]) / (depths[place + 1] - depths[place]))[:, None]
    return (1 - share) * values[place] + share * values[place + 1]


def _same_clusters(a: np.ndarray, b: np.ndarray) -> bool:
    return len(a) == len(b) and bool((a == b).all())
