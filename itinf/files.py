"""Files: atomic writing, checks of what was read, and the difference of two records."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from .errors import ItinfError, shown, system_error

CONTENT = "content"
"""Entry with a hash of what the items hold that were read."""
ADDED = (CONTENT, "input", "classes_by")
"""Entries that records of an older itinf lack; where one of two records lacks such an entry, this is no difference."""
COMMENTS = ("doubts", "from")
"""Entries that define nothing."""
PART = ".part"
"""Ending of the hidden name under which a file is written before it is renamed."""


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically; after an interruption or an error, the old file is still there.

    Raises:
        ItinfError: the file cannot be written: the disk is full, there is no permission …
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # a part of the name is enough: a whole one with this ending may be too long
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=PART)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise system_error(error, str(path)) from error


def write_text(path: Path, content: str) -> None:
    """Writes UTF-8 text, like ``write_bytes``."""
    write_bytes(path, content.encode())


def user_path(text: str) -> Path:
    """The path in a user's words, in which ~ is the home folder.

    Raises:
        ItinfError: there is no such home folder.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ItinfError(f"The home folder in {text!r} is not known here. Write the path without ~.") from None


def require_writable(path: Path, named: Path | None = None) -> None:
    """Checks that a new file can be written, before the work whose result it will hold.

    Args:
        path: of the file; ``named``: what a message names instead, such as its folder.

    Raises:
        ItinfError: it cannot.
    """
    try:
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        path.is_file()  # finds a name that is too long
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise system_error(error, str(named or path)) from error


def sweep(folder: Path) -> None:
    """Deletes unfinished files of a process that was killed while it wrote. The caller must have locked the folder."""
    for path in folder.glob(f".*{PART}"):
        path.unlink(missing_ok=True)


def digest(content: bytes) -> dict[str, Any]:
    """Size in bytes and hash of a file's content."""
    return {"size": len(content), "blake2b": hashlib.blake2b(content, digest_size=16).hexdigest()}


def damage(path: Path, listed: Mapping[str, Any]) -> str:
    """A phrase that says what is wrong with a file whose ``digest`` is ``listed``; "" if nothing is wrong."""
    try:
        read = digest(path.read_bytes())
    except FileNotFoundError:
        return "is not there"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if read["size"] != listed["size"]:
        return f"has {read['size']:,} bytes, and {listed['size']:,} were written"
    return "" if read == listed else "has been changed since it was written"


SEAL = "blake2b"


def sealed(save: Callable[..., bytes], tensors: Mapping[str, Any], key: str, header: Mapping[str, Any]) -> bytes:
    """The content of a safetensors file with a JSON header, and with a hash by which ``read_sealed`` finds damage.

    Args:
        save: ``safetensors.torch.save`` or ``safetensors.numpy.save``.
        tensors: name -> array.
        key: the header's name in the metadata of the file.
        header: JSON-ready.
    """
    plain = save(tensors, metadata={key: json.dumps(header)})
    start = 8 + int.from_bytes(plain[:8], "little")
    seal = _seal(json.loads(plain[8:start]), header)
    seal.update(memoryview(plain)[start:])
    # inside the header: safetensors writes several metadata in random order, and one result makes one file
    return save(tensors, metadata={key: json.dumps({**header, SEAL: seal.hexdigest()})})


def read_sealed(
    path: Path, key: str, framework: str, *, checked: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the tensors of a file that ``sealed`` made; a file of an older itinf has no hash.

    Args:
        path: the file.
        key: the header's name in the metadata of the file.
        framework: "pt" or "numpy".
        checked: whether the file has just been compared with a hash of its whole content; then its own is not read.

    Raises:
        ValueError: a phrase that says what is wrong with the file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            size, whole = int.from_bytes(file.read(8), "little"), path.stat().st_size
            if not 0 < size <= whole - 8:
                raise ValueError(f"it has {whole:,} bytes, too few for its header")
            listed = json_object(file.read(size))
            metadata = listed.get("__metadata__")
            if not isinstance(metadata, dict) or key not in metadata:
                raise ValueError(f"its header has no {key!r}")
            header = json_object(metadata[key])
            written = header.pop(SEAL, None)
            if not checked and written is not None:
                seal = _seal(listed, header)
                while piece := file.read(2**20):
                    seal.update(piece)
                if written != seal.hexdigest():
                    raise ValueError("it has been changed since it was written")
        with safe_open(path, framework=framework) as file:
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def header_of(content: bytes, key: str) -> dict[str, Any]:
    """The header in a content that ``sealed`` has just made; ``safetensors`` reads headers from files only."""
    listed = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    header = json.loads(listed["__metadata__"][key])
    del header[SEAL]
    return dict(header)


def _seal(listed: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
    """A hash of what the beginning of a safetensors file says, to be updated with the rest of the file."""
    text = json.dumps([{**listed, "__metadata__": None}, header], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16)


def json_object(text: str | bytes) -> dict[str, Any]:
    """The object that a JSON text holds.

    Raises:
        ValueError: a phrase that says what is wrong with the text.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"it holds {shown(value)}, and an object with names is expected")
    return value


def misfit(value: Any, shape: Any, name: str = "it") -> str:
    """A phrase about the first place where parsed data do not have a shape; "" if they have it.

    Args:
        value: the data.
        shape: a type; a list of one shape, for a list of any length; a tuple of shapes, for a list of that length; a
            dict name -> shape, where a name that ends in "?" may be missing and others may be added; or {str: shape}.
        name: what the phrase calls the data.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{name} is {shown(value)}, and an object with names is expected"
        entries = [(key, shape[str]) for key in value] if str in shape else list(shape.items())
        for key, inner in entries:
            if (entry := key.removesuffix("?")) in value:
                if phrase := misfit(value[entry], inner, f"{name}.{entry}".removeprefix("it.")):
                    return phrase
            elif entry == key:
                return f"{name}.{entry} is missing".removeprefix("it.")
        return ""
    if isinstance(shape, list | tuple):
        if not isinstance(value, list) or (isinstance(shape, tuple) and len(value) != len(shape)):
            return f"{name} is {shown(value)}, and a list {f'of {len(shape)} ' if isinstance(shape, tuple) else ''}is expected"
        shapes = shape if isinstance(shape, tuple) else shape * len(value)
        phrases = (
            misfit(item, inner, f"{name}[{k}]") for k, (item, inner) in enumerate(zip(value, shapes, strict=True))
        )
        return next(filter(None, phrases), "")
    if isinstance(value, shape) and (not isinstance(value, bool) or shape in (bool, object)):
        return ""
    return f"{name} is {shown(value)}, and {getattr(shape, '__name__', str(shape))} is expected"


def difference(here: Mapping[str, Any], there: Mapping[str, Any], ignored: Collection[str] = ()) -> str | None:
    """A phrase about the first entry of ``here`` that differs in ``there``; None if all entries agree.

    Args:
        here: the entries asked for, JSON-ready; mappings in it are compared entry by entry.
        there: the recorded entries; further entries at the top level are no difference.
        ignored: entries that may differ, written "outer.inner".
    """
    return _difference(here, there, ignored, False) or _difference(here, there, ignored, True)


def _difference(
    here: Mapping[str, Any], there: Mapping[str, Any], ignored: Collection[str], content: bool
) -> str | None:
    """Like ``difference``, of ``CONTENT`` alone or of everything else: what was read depends on the settings."""
    for key, asked in here.items():
        recorded = there.get(key)
        if isinstance(asked, Mapping) and isinstance(recorded, Mapping):
            inner = [name.removeprefix(f"{key}.") for name in ignored if name.startswith(f"{key}.")]
            whole = {name: asked.get(name) for name in sorted(asked.keys() | recorded.keys())}
            if (why := _difference(whole, recorded, inner, content)) is not None:
                return f"{key}.{why}"
        elif key in ignored or key in COMMENTS or (key == CONTENT) != content or asked == recorded:
            continue
        elif key not in ADDED or None not in (asked, recorded):
            changed = "has changed: items have the names that they had then, but hold something else"
            return f"{key} {changed}" if content else f"{key} is {asked!r} here and {recorded!r} there"
    return None


def folder_name(name: str) -> str:
    """The name of a network, changed so that it can be the name of a folder."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "network"
