"""A results folder: whose it is, how far it is, under what circumstances, and whether its files are what was written.

Every kind of result (a probed network, its lenses, their transfer, a comparison) is kept by this one protocol:

1. The folder is locked before anybody looks into it, until the work in it ends.
2. ``manifest.json`` says which study it is. The same study goes on or is read, another one is refused.
3. While a study runs, its sums are saved now and then; the manifest is written first.
4. Each sitting that added clusters has an entry in ``history``, with its circumstances.
5. The manifest of a complete folder is written last, and lists size and hash of every other file.
   Who opens the folder learns which of them are damaged, and makes them again.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ..errors import ItinfError
from ..files import difference, digest, sweep, write_bytes, write_text
from ..lock import LOCK, kept
from .manifest import MANIFEST, damages, read_manifest, record_of

SAVE_SECONDS, SAVE_SHARE = 15.0, 20
"""How much work an interruption can cost: so many seconds, or so many times what a save takes."""
_BEGUN = {"complete": False, "seconds": 0.0}


class ResultsFolder:
    """A folder while this process keeps it; made by ``open``.

    Attributes:
        path: the folder; None keeps nothing.
        state: "new", "resume" (begun, not finished) or "complete".
        manifest: of the study, as it is on record.
        damaged: listed file -> what is wrong with it, in words.
        writes: False where the folder is only read.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any], circumstances: Mapping[str, Any]) -> None:
        self.path = path
        self.state: Literal["new", "resume", "complete"] = "new"
        self.manifest: dict[str, Any] = json.loads(json.dumps(identity)) | _BEGUN
        self.manifest["history"], self.manifest["files"] = [], {}
        self.damaged: dict[str, str] = {}
        self.writes = False
        self._circumstances, self._started = dict(circumstances), _now()
        self._clock = self._saved = time.monotonic()
        self._cost, self._from = 0.0, 0

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path | None,
        identity: Mapping[str, Any] | None,
        circumstances: Mapping[str, Any] | None = None,
        *,
        what: str = "study",
        ignored: Collection[str] = (),
        parts: Collection[str] = (),
    ) -> Iterator[ResultsFolder]:
        """Keeps a folder for a study; under torchrun the first process alone writes.

        Args:
            path: the folder; None keeps nothing.
            identity: what makes the study what it is, JSON-ready; None takes a complete folder as it is.
            circumstances: of this sitting.
            what: the folder is of, in messages.
            ignored: entries of the identity that may differ, written "outer.inner".
            parts: files and folders that an older itinf left without a manifest.

        Raises:
            ItinfError: another process keeps it, it holds something else, or it cannot be written.
        """
        with ExitStack() as stack:
            folder = cls(path, identity or {}, circumstances or {})
            if path is not None:
                _refuse_foreign(path, parts)
                folder.writes = os.environ.get("RANK", "0") == "0" and _keep(path, stack)
                folder._look(identity, what, ignored, parts)
            try:
                yield folder
            finally:
                folder._leave()

    @property
    def record(self) -> dict[str, Any]:
        """The manifest without what is only true of this folder."""
        return record_of(self.manifest)

    def problem(self, name: str) -> str:
        """What is wrong with a file that a complete folder should have, in words; "" where nothing is."""
        if name in self.damaged:
            return self.damaged[name]
        if self.path is None or name in self.manifest["files"]:
            return ""
        unlisted = self.manifest.get("listed", True) or not (self.path / name).is_file()
        return "is not there" if unlisted else ""

    def sound(self, name: str) -> bool:
        """Whether a file is there as it was written; of an older itinf, whether it is there."""
        return not self.problem(name)

    def start_over(self, why: str, *names: str) -> None:
        """Forgets what the folder holds, and those files; somebody is told why."""
        logging.getLogger("itinf").warning("%s. It is measured again.", why)
        self.state = "new"
        self.forget()
        if self.writes and self.path is not None:
            for name in names:
                (self.path / name).unlink(missing_ok=True)
            self._write_manifest()

    def forget(self) -> None:
        """Its files are of other numbers than are about to come, and so is its history."""
        self.manifest |= {"complete": False, "seconds": 0.0, "history": [], "files": {}}
        self.manifest.pop("listed", None)
        self.damaged, self._from = {}, 0

    def made_of(self, entries: Mapping[str, Any]) -> bool:
        """Whether its manifest already has these entries; where it has others, its files are forgotten."""
        there = {key: self.manifest.get(key) for key in entries}
        if same := json.dumps(there, sort_keys=True) == json.dumps(entries, sort_keys=True):  # NaN equals itself here
            return same
        self.forget()
        return False

    def resume_at(self, done: int) -> None:
        """How many clusters its files hold, which decides where a history ends that was written before them."""
        self._from = done
        history = [entry for entry in self.manifest["history"] if entry["clusters"][0] < done]
        if history:
            history[-1]["clusters"][1] = done
        self.manifest["history"] = history

    def begin(self) -> None:
        """Puts on record whose folder it is, before anything else is written into it."""
        if self.writes and self.path is not None and not (self.path / MANIFEST).exists():
            self._write_manifest()

    def save(self, name: str, content: Callable[[], bytes], done: int) -> None:
        """Writes how far the study is, if the last time is long enough ago.

        The manifest comes first: what it says too much of a history, ``resume_at`` takes back.
        """
        if not self.writes or self.path is None or not self.due():
            return
        start = time.monotonic()
        self._enter(done)
        self._write_manifest()
        write_bytes(self.path / name, content())
        self._saved = time.monotonic()
        self._cost = self._saved - start

    def due(self) -> bool:
        """Whether the last save is long enough ago."""
        return time.monotonic() - self._saved >= max(SAVE_SECONDS, SAVE_SHARE * self._cost)

    def add(self, name: str, content: bytes) -> None:
        """Writes a file and lists it; ``complete`` writes the list of a folder that is not complete yet."""
        if not self.writes or self.path is None:
            return
        self.begin()
        write_bytes(self.path / name, content)
        self.manifest["files"][name] = digest(content)
        self.damaged.pop(name, None)
        if self.manifest["complete"]:
            self._write_manifest()

    def complete(self, files: Mapping[str, bytes], done: int, leaves: Collection[str] = (), **entries: Any) -> None:
        """Writes what is left to write, and that all of it is there.

        Args:
            files: name -> content.
            done: clusters in all.
            leaves: files that a running study needs and a complete one does not.
            **entries: of the manifest.
        """
        self._enter(done)
        if self.writes and self.path is not None and not self.manifest["complete"]:
            self._write_manifest()
        for name, content in files.items():
            self.add(name, content)
        self.manifest |= json.loads(json.dumps(entries)) | {"complete": True}
        self.manifest.pop("listed", None)
        self.state = "complete"
        if self.writes and self.path is not None:
            self._write_manifest()
            for name in leaves:
                (self.path / name).unlink(missing_ok=True)

    def _look(
        self, identity: Mapping[str, Any] | None, what: str, ignored: Collection[str], parts: Collection[str]
    ) -> None:
        assert self.path is not None
        there = read_manifest(self.path)
        if there is None and identity is None:
            raise ItinfError(f"{self.path} holds no results. Give a folder that itinf has written.")
        if there is None:
            self.state = "resume" if any((self.path / part).exists() for part in parts) else "new"
            return
        if identity is None and not there.get("complete"):
            raise ItinfError(f"The results in {self.path} are not finished. Run the same command again first.")
        if identity is not None and not identity.keys() & there.keys():  # an older itinf's comparison
            self.state = "resume"
            return
        if identity is not None:
            _refuse_another(self.path, {key: self.manifest[key] for key in identity}, there, what, ignored)
        self.state = "complete" if there.get("complete") else "resume"
        self.manifest = _BEGUN | {"history": [], "files": {}} | there
        if self.state == "complete":
            self.damaged = damages(self.path, there)

    def _enter(self, done: int) -> None:
        """This sitting's entry in the history, once it has added clusters."""
        if done <= self._from:
            return
        entry = {
            "started": self._started,
            "seconds": round(time.monotonic() - self._clock, 1),
            "clusters": [self._from, done],
            "circumstances": self._circumstances,
        }
        history = [e for e in self.manifest["history"] if e["clusters"][0] < self._from] + [entry]
        self.manifest |= {"history": history, "seconds": round(sum(e["seconds"] for e in history), 1)}

    def _write_manifest(self) -> None:
        assert self.path is not None
        write_text(self.path / MANIFEST, json.dumps(self.manifest, indent=2) + "\n")

    def _leave(self) -> None:
        """A manifest of a study that left nothing else goes, too."""
        if not self.writes or self.path is None or self.manifest["complete"] or not self.path.is_dir():
            return
        if {path.name for path in self.path.iterdir()} <= {MANIFEST, LOCK}:
            (self.path / MANIFEST).unlink(missing_ok=True)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _keep(path: Path, stack: ExitStack) -> bool:
    """Locks a folder; False for a complete one that can only be read."""
    try:
        stack.enter_context(kept(path))
    except OSError as error:
        if (read_manifest(path) or {}).get("complete"):
            return False
        raise ItinfError(f"{path} cannot be written ({error.strerror}). Choose another --out.") from error
    sweep(path)
    sweep(path / "figures")
    return True


def _refuse_foreign(path: Path, parts: Collection[str]) -> None:
    if not path.exists():
        return
    known = {MANIFEST, LOCK, *parts}
    names = {item.name for item in path.iterdir()} if path.is_dir() else {path.name}
    if names and not names & known and not all(name.startswith(".") for name in names):
        raise ItinfError(f"{path} exists and holds no itinf results. Choose another --out.")


def _refuse_another(
    path: Path, asked: Mapping[str, Any], there: Mapping[str, Any], what: str, ignored: Collection[str]
) -> None:
    if (given := there.get("schema")) != asked.get("schema"):
        raise ItinfError(
            f"{path} was written by another version of itinf: its results are of schema {given}, this one's of "
            f"{asked.get('schema')}. They can still be loaded; to measure, choose another --out."
        )
    if (why := difference(asked, there, ignored)) is not None:
        raise ItinfError(f"{path} holds another {what}: {why}. Choose another --out.")
