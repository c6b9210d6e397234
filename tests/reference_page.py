"""The reference of columns and measures, docs/reference.md: python tests/reference_page.py > docs/reference.md, from the folder above."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from itinf.lenses.kinds import lens_kinds
from itinf.results import columns
from itinf.results.columns import Column
from itinf.results.measures import ANYWHERE, BLOCK, MEASURES, STATE, SUMMARY
from itinf.results.reasons import REASONS
from itinf.results.values import LENSES, VALUES
from itinf.statistics.nulls import NULLS, OBSERVED

TABLES = {
    "measures.parquet": columns.RESULTS,
    "summaries.parquet": columns.SUMMARIES,
    "groups.parquet": columns.GROUPS,
    "power.parquet": columns.POWER,
    "examples.parquet": columns.EXAMPLES,
}
ABOUT = {
    BLOCK: "Measures of blocks",
    STATE: "Measures of states",
    SUMMARY: "Numbers of a whole network (summaries.parquet)",
}
HEAD = """# Reference: every column and measure

`python tests/reference_page.py > docs/reference.md` writes this page from the code, and a test compares the two.
[measures.md](measures.md) explains what the numbers can and cannot tell.

All tables are Parquet files, one row per number. `measures.csv` holds the same rows as `measures.parquet`. From Python they are
`run.table`, `both.table`, `both.summaries`, `both.group_table` and `both.power`. A number that does not exist has an empty `mean`
and a reason; it is never left out silently.
"""


def grid(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a Markdown table."""
    names = list(heads)
    return [line(names), line("---" for _ in names), *map(line, rows), ""]


def line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def code(name: str) -> str:
    """A value as it stands in a table; an empty one is written as two quotes."""
    return f"`{name}`" if name else '`""`'


def of_columns(name: str, described: Mapping[str, Column]) -> list[str]:
    """The columns of one table; those that mean the same as in the first table are only named."""
    known = columns.RESULTS if described is not columns.RESULTS else {}
    same = [column for column, about in described.items() if known.get(column) == about]
    rows = [(code(column), about.kind, about.meaning) for column, about in described.items() if column not in same]
    lines = [f"### {name}", "", *grid(("column", "type", "meaning"), rows)]
    return lines + ([f"As in measures.parquet: {', '.join(map(code, same))}.", ""] if same else [])


def of_measures(about: str) -> list[str]:
    """The measures of blocks, states or networks, and when they are undefined."""
    rows = [
        (code(name), one.meaning, one.unit or "–", one.range, ", ".join(code(why.code) for why in one.undefined) or "–")
        for name, one in MEASURES.items()
        if one.about == about
    ]
    return [f"### {ABOUT[about]}", "", *grid(("measure", "meaning", "unit", "range", "undefined"), rows)]


def of_values(name: str, meanings: Mapping[str, str]) -> list[str]:
    return [f"### {name}", "", *grid((name, "meaning"), ((code(value), said) for value, said in meanings.items()))]


def page() -> str:
    """The text of docs/reference.md."""
    nulls = {OBSERVED: "nothing is replaced"} | {name: null.description for name, null in NULLS.items()}
    effects = "The null is subtracted in rows whose measure ends in `_effect`, for " + ", ".join(
        code(name) for name, null in NULLS.items() if null.effect
    )
    lenses = {"": "the network's own readout"} | {kind.name: kind.summary for kind in lens_kinds()} | LENSES
    lines = [HEAD, "## Columns", ""]
    for name, described in TABLES.items():
        lines += of_columns(name, described)
    lines += [
        "## Measures",
        "",
        f"Every measure may also be undefined for want of data: {', '.join(code(one.code) for one in ANYWHERE)}.",
        "",
    ]
    for about in ABOUT:
        lines += of_measures(about)
    lines += ["## Values of the columns", ""]
    for name, meanings in VALUES.items():
        lines += of_values(name, meanings)
    lines += [*of_values("null", nulls), f"{effects}.", "", *of_values("lens", lenses)]
    lines += ["## Reasons why a number is missing", ""]
    lines += grid(("reason_code", "reason"), ((code(name), why.sentence) for name, why in REASONS.items()))
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
