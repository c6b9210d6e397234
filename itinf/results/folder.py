"""A results folder: it belongs to one study, can be resumed, and is checked for damaged files.

Every result (a probed network, its lenses, their transfer, a comparison) is stored by the same rules:

1. A process locks the folder before it reads anything, and keeps the lock until its work ends.
2. ``manifest.json`` describes the study. The same study resumes or reads the folder; another study is refused.
3. A running study saves its sums from time to time. It writes the manifest before the sums.
4. Every sitting that added clusters has an entry in ``history``, with its circumstances.
5. The manifest of a complete folder is written last. It lists the size and hash of every other file.
   A process that opens the folder finds the damaged files, and makes them again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ..errors import ItinfError, system_error
from ..files import difference, digest, sweep, write_bytes, write_text
from ..lock import LOCK, kept
from ..statistics.processes import from_first, here
from .manifest import MANIFEST, damages, kind_of, read_manifest, record_of

SAVE_SECONDS, SAVE_SHARE = 15.0, 20
"""Time between two saves: at least this many seconds, and at least this many times the duration of a save."""
_BEGUN = {"complete": False, "seconds": 0.0}


class ResultsFolder:
    """A results folder that this process has opened with ``open``.

    Attributes:
        path: the folder; None stores nothing.
        state: "new", "resume" (begun, not finished) or "complete".
        manifest: the recorded manifest of the study.
        damaged: name of a damaged file -> a phrase that says what is wrong with it.
        writes: False if the folder is only read.
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
        """Opens and locks a folder for a study; under torchrun only the first process writes.

        Args:
            path: the folder; None stores nothing.
            identity: the entries that define the study, JSON-ready; None accepts any complete folder.
            circumstances: circumstances of this sitting.
            what: word for the kind of result, used in messages.
            ignored: entries of the identity that may differ, written "outer.inner".
            parts: files and folders that an older itinf wrote without a manifest.

        Raises:
            ItinfError: another process has locked the folder, it holds something else, or it cannot be written.
        """
        with ExitStack() as stack:
            folder = cls(path, identity or {}, circumstances or {})
            if path is not None:
                folder.from_first(lambda: folder._begin(path, stack, identity, what, ignored, parts))
            try:
                yield folder
            finally:
                folder._leave()

    def _begin(
        self,
        path: Path,
        stack: ExitStack,
        identity: Mapping[str, Any] | None,
        what: str,
        ignored: Collection[str],
        parts: Collection[str],
    ) -> bytes:
        refuse_foreign(path, parts)
        self.writes = here().first and _keep(path, stack)
        self._look(identity, what, ignored, parts)
        return b""

    def from_first(self, read: Callable[[], bytes]) -> bytes:
        """What the first process reads from the folder; all get it, and see the folder as the first one does.

        Another process may run on a machine without the folder, or look when the first one has already changed it.
        """
        if here().size == 1:
            return read()

        def seen() -> bytes:
            content = read()
            return json.dumps([self.state, self.manifest, self.damaged, self._from]).encode() + b"\n" + content

        line, _, content = from_first(seen).partition(b"\n")
        if not here().first:
            self.state, self.manifest, self.damaged, self._from = json.loads(line)
        return content

    @property
    def record(self) -> dict[str, Any]:
        """The manifest without the entries that describe only this folder."""
        return record_of(self.manifest)

    def problem(self, name: str) -> str:
        """A phrase that says what is wrong with a file that a complete folder should have; "" if nothing is wrong."""
        if name in self.damaged:
            return self.damaged[name]
        if self.path is None or name in self.manifest["files"]:
            return ""
        unlisted = self.manifest.get("listed", True) or not (self.path / name).is_file()
        return "is not there" if unlisted else ""

    def sound(self, name: str) -> bool:
        """Whether a file is there and undamaged. A file of an older itinf has no hash: it only has to be there."""
        return not self.problem(name)

    def start_over(self, why: str, *names: str) -> None:
        """Forgets the recorded results and deletes the named files; a warning says why."""
        logging.getLogger("itinf").warning("%s. It is measured again.", why)
        self.state = "new"
        self.forget()
        if self.writes and self.path is not None:
            for name in names:
                (self.path / name).unlink(missing_ok=True)
            self._write_manifest()

    def forget(self) -> None:
        """Forgets files and history, because they belong to other numbers than the coming ones."""
        self.manifest |= {"complete": False, "seconds": 0.0, "history": [], "files": {}}
        self.manifest.pop("listed", None)
        self.damaged, self._from = {}, 0

    def made_of(self, entries: Mapping[str, Any]) -> bool:
        """Whether the manifest already has these entries. If it has others, the folder forgets its files."""
        recorded = {key: self.manifest.get(key) for key in entries}
        if same := json.dumps(recorded, sort_keys=True) == json.dumps(
            entries, sort_keys=True
        ):  # as text NaN equals NaN
            return same
        self.forget()
        return False

    def resume_at(self, done: int) -> None:
        """Ends the history at the clusters that the saved sums hold: the manifest may be one save ahead of them."""
        self._from = done
        history = [entry for entry in self.manifest["history"] if entry["clusters"][0] < done]
        if history:
            history[-1]["clusters"][1] = done
        self.manifest["history"] = history

    def begin(self) -> None:
        """Writes the manifest of a new folder, before any other file."""
        if self.writes and self.path is not None and not (self.path / MANIFEST).exists():
            self._write_manifest()

    def save(self, name: str, content: Callable[[], bytes], done: int) -> None:
        """Saves the sums of a running study, if the last save is long enough ago.

        Written before the sums: sums without a manifest cannot be assigned to a study. If the process dies between
        the two, the history is too long; ``resume_at`` cuts it.
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
        """Writes a file and lists it. The list of an unfinished folder is written later, by ``complete``."""
        if not self.writes or self.path is None:
            return
        self.begin()
        write_bytes(self.path / name, content)
        self.manifest["files"][name] = digest(content)
        self.damaged.pop(name, None)
        if self.manifest["complete"]:
            self._write_manifest()

    def complete(self, files: Mapping[str, bytes], done: int, leaves: Collection[str] = (), **entries: Any) -> None:
        """Writes the last files, and then a manifest that says the folder is complete.

        Args:
            files: name -> content.
            done: all clusters measured.
            leaves: names of files to delete: a running study needs them, a complete one does not.
            **entries: entries of the manifest.
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
        recorded = read_manifest(self.path)
        if recorded is None and identity is None:
            raise ItinfError(f"{self.path} holds no results. Give a folder that itinf has written.")
        if recorded is None:
            self.state = "resume" if any((self.path / part).exists() for part in parts) else "new"
            return
        if identity is None and not recorded.get("complete"):
            raise ItinfError(f"The results in {self.path} are not finished. Run the command that began them again.")
        if identity is not None and (held := kind_of(recorded)) != kind_of(identity):
            raise ItinfError(f"{self.path} holds {held}, and not {kind_of(identity)}. Choose another --out.")
        if identity is not None and not identity.keys() & recorded.keys():  # a comparison of an older itinf
            self.state = "resume"
            return
        if identity is not None:
            refuse_another(self.path, {key: self.manifest[key] for key in identity}, recorded, what, ignored)
        self.state = "complete" if recorded.get("complete") else "resume"
        self.manifest = _BEGUN | {"history": [], "files": {}} | recorded
        if self.state == "complete":
            self.damaged = damages(self.path, recorded)

    def _enter(self, done: int) -> None:
        """Updates the entry of this sitting in the history; a sitting that added no clusters has no entry."""
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
        """Deletes the manifest again if the study wrote no other file."""
        if not self.writes or self.path is None or self.manifest["complete"] or not self.path.is_dir():
            return
        if {path.name for path in self.path.iterdir()} <= {MANIFEST, LOCK}:
            (self.path / MANIFEST).unlink(missing_ok=True)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _keep(path: Path, stack: ExitStack) -> bool:
    """Locks a folder; returns False for a complete folder that cannot be written."""
    try:
        stack.enter_context(kept(path))
    except OSError as error:
        if (read_manifest(path) or {}).get("complete"):
            return False
        why = error.strerror or str(error)
        raise ItinfError(f"{path} cannot be written ({why}). Choose another --out.") from error
    sweep(path)
    sweep(path / "figures")
    return True


def refuse_foreign(path: Path, parts: Collection[str] = ()) -> None:
    """Refuses a folder that holds other files than results.

    Args:
        path: the folder; it may be missing.
        parts: files and folders that an older itinf wrote without a manifest.

    Raises:
        ItinfError: it holds such files, or it cannot be read.
    """
    known = {MANIFEST, LOCK, *parts}
    try:
        if not path.exists():
            return
        names = {item.name for item in path.iterdir()} if path.is_dir() else {path.name}
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise system_error(error, str(path), "be read") from error
    if names and not names & known and not all(name.startswith(".") for name in names):
        raise ItinfError(f"{path} exists and holds no itinf results. Choose another --out.")


def refuse_another(
    path: Path, asked: Mapping[str, Any], there: Mapping[str, Any], what: str, ignored: Collection[str] = ()
) -> None:
    """Refuses a folder that holds another study.

    Args:
        path: the folder; ``asked``: the identity of the study; ``there``: the folder's manifest.
        what: kind of study; ``ignored``: entries that may differ.

    Raises:
        ItinfError: it does; names the first entry that differs.
    """
    if (schema := there.get("schema")) != asked.get("schema"):
        raise ItinfError(
            f"{path} was written by another version of itinf: its results have schema {schema}, and this version "
            f"writes schema {asked.get('schema')}. You can still load them; to measure, choose another --out."
        )
    if (why := difference(asked, there, ignored)) is not None:
        raise ItinfError(f"{path} holds another {what}: {why}. Choose another --out.")
