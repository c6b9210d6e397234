"""Reads what a weight file holds, and runs nothing from it: its kind is known by its content, never by its name."""

from __future__ import annotations

import pickletools
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ..errors import ItinfError
from .stand_ins import harmful, names, stand_ins

PARTS = ("torch._", "collections.", "builtins.", "__builtin__.", "copy_reg.", "copyreg.")
"""Beginnings of names that say nothing about the kind of a file."""
SAVE = "Save the weights alone where the model can be opened: torch.save(model.state_dict(), 'weights.pt')."
"""What to do about a file that holds more than weights."""


def content(path: Path) -> Any:
    """What a weight file holds: tensors in dicts and lists, beside them plain values and stand-ins.

    Raises:
        ItinfError: the file is missing, is no weight file, is damaged, or asks to run something.
    """
    try:
        if not path.is_file():
            raise ItinfError(f"{_absent(path)} Expected a file of weights, random[:SEED], or pretrained.")
        with path.open("rb") as file:
            start = file.read(1024)
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        if isinstance(error, ItinfError):
            raise
        why = getattr(error, "strerror", None) or error
        raise ItinfError(
            f"The weight file {str(path)!r} cannot be read ({why}). Give a file that you can read."
        ) from error
    what = _no_weights(start)
    if what:
        raise ItinfError(f"{label(path)} is {what}")
    try:
        if _is_safetensors(start, size):
            return load_file(path)
        return _read_saved(path, size, start)
    except ItinfError:
        raise
    except Exception as error:
        # the errors of torch advise to switch its protection off, so they are not repeated
        why = f"{error}" if _is_safetensors(start, size) else _reason(error)
        raise ItinfError(f"{label(path)} cannot be read as weights ({why}). Is the file complete?") from error


def label(path: Path) -> str:
    """A path for a message: as it is, or quoted where it has characters that do not print."""
    return str(path) if str(path).isprintable() else repr(str(path))


def _absent(path: Path) -> str:
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.is_file())
        names = f": {', '.join(map(repr, inside[:5]))}{', …' if len(inside) > 5 else ''}" if inside else ""
        return f"{str(path)!r} is a folder, not a weight file. Give a file in it{names}."
    if path.exists():
        return f"{str(path)!r} is no regular file."
    return f"There is no weight file {str(path)!r}."


def _no_weights(start: bytes) -> str:
    """What a file is that cannot hold weights, and what to do; "" for all others."""
    text = start.lstrip().lower()
    known = (
        (not start, "empty (0 bytes). Copy or download it again."),
        (
            text.startswith(b"version https://git-lfs"),
            "a pointer of Git LFS, not the weights. Fetch them: git lfs pull.",
        ),
        (text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")), "a web page. Download the file itself."),
        (start.startswith(b"GGUF"), "a GGUF file. The network llama reads it."),
        (start.startswith(b"\x89HDF"), "an HDF5 file, as Keras writes it. Give weights that PyTorch saved."),
        (start.startswith(b"\x93NUMPY"), "an array of NumPy. Give a state dict that PyTorch saved."),
        (start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")), "compressed. Unpack it first."),
        (start[257:262] == b"ustar", f"a tar archive. Unpack it, or if an old PyTorch wrote it: {SAVE}"),
        (_is_text(start), f"text that begins with {start[:40].decode(errors='replace')!r}. Give a file of weights."),
    )
    return next((what for holds, what in known if holds), "")


def _is_text(start: bytes) -> bool:
    return not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in start)


def _is_safetensors(start: bytes, size: int) -> bool:
    """Whether a JSON header follows a length; the reader checks the length itself."""
    return start[8:9] == b"{" and not start.startswith(b"PK")


def _reason(error: Exception) -> str:
    text = str(error).split("\n")[0]
    advises = any(word in text.lower() for word in ("weights_only", "weights-only", "safe_globals", "unsupported"))
    return type(error).__name__ if advises or not text else text[:200]


def _read_saved(path: Path, size: int, start: bytes) -> Any:
    """Reads a file that ``torch.save`` wrote."""
    archive = start.startswith(b"PK")
    if not archive and not start.startswith(b"\x80"):
        raise ItinfError(f"{label(path)} is no weight file: its first bytes are {start[:8]!r}. Give a file of weights.")
    asked = _zip_names(path, size) if archive else _legacy_names(path)
    if (name := harmful(asked)) is not None:
        raise ItinfError(
            f"{label(path)} asks Python to run {name[:80]!r}, which weights do not need. Nothing was run. "
            "Give weights from a source that you trust."
        )
    try:
        # not its path: torch reads files by another rule if their name ends in .safetensors
        with stand_ins(asked), warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        other = sorted(name for name in asked if not name.startswith(PARTS))
        other = [name for name in other if not name.endswith("Storage")]
        if not other:
            raise
        raise ItinfError(
            f"{label(path)} holds Python objects ({', '.join(map(repr, other[:3]))}{', …' if len(other) > 3 else ''}) that "
            f"itinf does not open, because nothing from a file is run. {SAVE}"
        ) from error


def _zip_names(path: Path, size: int) -> set[str]:
    """The Python names that a saved zip archive asks for."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.namelist()
        pickled = [name for name in entries if name.split("/")[-1] == "data.pkl"]
        if any(name.split("/")[-1] == "constants.pkl" for name in entries):
            raise ItinfError(
                f"{label(path)} is a TorchScript program, not a state dict; itinf runs nothing from a file. {SAVE}"
            )
        if len(pickled) != 1:
            inside = f"; it holds {', '.join(map(repr, entries[:3]))}" if entries else ""
            raise ItinfError(
                f"{label(path)} is a zip archive that PyTorch did not write{inside}. Give a file of weights."
            )
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise ItinfError(
                f"{label(path)} unpacks to more than its size, and PyTorch packs nothing. Give a file of weights."
            )
        damaged = archive.testzip()
        # torch gives no values to an entry that is marked as a folder
        damaged = damaged or next(
            (e.filename for e in archive.infolist() if e.external_attr & 16 and not e.is_dir()), None
        )
        if damaged is not None:
            raise ItinfError(
                f"{label(path)} is damaged: {damaged!r} in it does not have its checksum, or is marked as a folder. Copy or download it again."
            )
        with archive.open(pickled[0]) as file:
            return names(file)


def _legacy_names(path: Path) -> set[str]:
    """The Python names that a file asks for which PyTorch before 1.6 wrote, or any pickle."""
    with path.open("rb") as file:
        # a magic number, a version, the system, and the content
        return set().union(*(names(file) for _ in range(4))) if _is_legacy(path) else names(file)


def _is_legacy(path: Path) -> bool:
    with path.open("rb") as file:
        first = next((arg for code, arg, _ in pickletools.genops(file) if code.name == "LONG1"), None)
    return first == torch.serialization.MAGIC_NUMBER
