"""The code blocks of a Markdown file, their commands, and a stand-in for pip install."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import typer

from itinf.cli import app

ROOT = Path(__file__).parents[1]


class CodeBlock(NamedTuple):
    """A code block; ``file`` is the name in the line above it, "`NAME`:", or "" where there is none."""

    language: str
    file: str
    text: str


def code_blocks(path: Path) -> list[CodeBlock]:
    """The code blocks of a Markdown file that name a language."""
    found = re.findall(r"(?:^`([\w./-]+)`:\n\n)?^```(\w+)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.S | re.M)
    return [CodeBlock(language, file, text) for file, language, text in found]


def commands(blocks: Iterable[CodeBlock]) -> list[list[str]]:
    """The commands of all shell blocks, as words."""
    text = "".join(block.text for block in blocks if block.language == "sh").replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in text.splitlines() if line.strip()]


def parsed(words: list[str]) -> None:
    """Reads a command of itinf, ``["itinf", "check", …]``, without running it; fails if itinf would not understand it."""
    group = typer.main.get_command(app.app)
    known = group.commands  # type: ignore[attr-defined]
    known[words[1]].make_context(words[1], words[2:])


def install(project: Path) -> None:
    """Makes the entry points of a project known beside its code, as ``pip install --editable`` does."""
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = project / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    lines = []
    for group, points in about["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
