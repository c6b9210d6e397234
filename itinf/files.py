"""Writing files so that a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file in one step; an interruption leaves what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
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


def write_text(path: Path, content: str) -> None:
    """``write_bytes`` for UTF-8 text."""
    write_bytes(path, content.encode())


def folder_name(name: str) -> str:
    """A network's name as the name of a folder."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "network"


def toml_document(entries: Mapping[str, Any]) -> str:
    """A TOML document: plain entries first, then one table for every mapping."""
    tables = {key: value for key, value in entries.items() if isinstance(value, Mapping)}
    lines = [toml_entry(key, value) for key, value in entries.items() if key not in tables]
    for key, table in tables.items():
        lines += ["", f"[{_toml_key(key)}]", *(toml_entry(k, v) for k, v in table.items())]
    return "\n".join(lines) + "\n"


def toml_entry(key: str, value: Any) -> str:
    """``key = value``."""
    return f"{_toml_key(key)} = {_toml_value(value)}"


def _toml_key(key: str) -> str:
    bare = key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if bare else _toml_string(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(toml_entry(k, v) for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, str):
        return _toml_string(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _toml_string(text: str) -> str:
    # a JSON string is a TOML one, except that TOML wants this control character escaped too
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
