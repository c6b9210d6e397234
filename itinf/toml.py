"""Values as TOML text, such that ``tomllib`` reads them back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def document(entries: Mapping[str, Any]) -> str:
    """A TOML document: plain entries first, then one table for every mapping."""
    tables = {key: value for key, value in entries.items() if isinstance(value, Mapping)}
    lines = [entry(key, value) for key, value in entries.items() if key not in tables]
    for key, table in tables.items():
        lines += ["", f"[{_key(key)}]", *(entry(k, v) for k, v in table.items())]
    return "\n".join(lines) + "\n"


def entry(key: str, value: Any) -> str:
    """``key = value``."""
    return f"{_key(key)} = {_value(value)}"


def _key(key: str) -> str:
    bare = key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if bare else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(entry(k, v) for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return _string(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _string(text: str) -> str:
    # a JSON string is a TOML one, except that TOML wants this control character escaped too
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
