"""A study's folder while it runs: in step with its sums, whatever interrupts it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ..errors import ItinfError
from ..files import write_text
from ..results.manifest import MANIFEST, SUMS, difference, read_manifest
from ..results.probe_result import ProbeResult
from ..results.sums import StudySums, load_sums, save_sums

SAVE_SECONDS = 15.0
"""How much work an interruption can cost."""


class Checkpoint:
    """Keeps a study's files in step with its sums.

    Attributes:
        stages: what has been added up so far.
        finished: the run, where the folder already holds all of it.
    """

    def __init__(self, manifest: dict[str, Any], out: Path | None) -> None:
        self.stages: dict[str, StudySums] = {}
        self.finished: ProbeResult | None = None
        self.manifest, self.out = manifest, out
        self.before, self.start = 0.0, time.monotonic()
        self.saved = self.start

    @classmethod
    def open(cls, manifest: dict[str, Any], out: Path | None, writes: bool) -> Checkpoint:
        """A new study, or the one that the folder holds part or all of.

        Args:
            manifest: of the study to run.
            out: its folder; None keeps nothing.
            writes: False for processes that only read.

        Raises:
            ItinfError: the folder holds something else.
        """
        keeper = cls(manifest, out if writes else None)
        if out is None or not out.exists():
            return keeper
        there = read_manifest(out) if out.is_dir() else None
        if there is None:
            if not out.is_dir() or any(out.iterdir()):
                raise ItinfError(f"{out} exists and holds no itinf results. Choose another --out.")
        elif (why := difference(manifest, there)) is not None:
            raise ItinfError(f"{out} holds another study: {why}. Choose another --out.")
        elif there["complete"]:
            keeper.finished = ProbeResult.load(out)
        elif (out / SUMS).exists():
            keeper.stages, keeper.before = load_sums(out / SUMS), there["seconds"]
        return keeper

    def save(self) -> None:
        """Writes what there is, if the last time is long enough ago."""
        if self.out is None or time.monotonic() - self.saved < SAVE_SECONDS:
            return
        self._write_manifest()
        save_sums(self.out / SUMS, self.stages)
        self.saved = time.monotonic()

    def finish(self) -> ProbeResult:
        """The finished run, written."""
        if self.out is None:
            return ProbeResult(self.stages, self.manifest | {"complete": True})
        self._write_manifest()
        run = ProbeResult(self.stages, self.manifest | {"complete": True})
        run.save(self.out)
        return run

    def _write_manifest(self) -> None:
        """Before any sums: sums without a manifest are no study's."""
        assert self.out is not None
        self.manifest["seconds"] = round(self.before + time.monotonic() - self.start, 1)
        write_text(self.out / MANIFEST, json.dumps(self.manifest, indent=2) + "\n")
