"""Six examples of each network, chosen by rule: their captions, grids, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import pandas as pd
from markupsafe import Markup

from ..trajectories import READERS, visible
from .template import render
from .trajectory_grid import trajectory_grid

MOST_CELLS = 1320
"""Cells of one network on the page: about 150 kB."""
RULES = ("right early", "right late", "changed its mind", "wrong", "random")


class Examples(Protocol):
    """What the page reads of the examples of a network, see ``itinf.Trajectory``."""

    table: pd.DataFrame
    names: tuple[str, ...]
    pictures: tuple[bytes | None, ...]
    lenses: dict[str, str]
    chosen_from: int


class Shown(NamedTuple):
    """One network: its name, whether it is unfolded, how its examples were chosen, sentences, and the grids."""

    network: str
    first: bool
    chosen: str
    notes: Sequence[str]
    readers: Sequence[tuple[str, str]]
    grids: Markup


def examples_html(
    examples: Mapping[str, Examples | str], manifests: Sequence[Mapping[str, Any]], modality: Mapping[str, str]
) -> Markup | None:
    """The examples of all networks; None where no network has any, and none is said to lack them.

    Args:
        examples: name of a network -> its examples, or a sentence that says why there are none.
        manifests: of the networks; ``modality``: name of a network -> "image" or "language".
    """
    if not examples:
        return None
    data = {manifest["network"]["name"]: manifest["data"] for manifest in manifests}
    shown: list[Shown] = []
    seen: set[str] = set()
    for name, one in examples.items():
        if not isinstance(one, str):
            kind = modality.get(name, "")
            shown.append(_shown(name, one, data.get(name, {}), first=kind not in seen))
            seen.add(kind)
    missing = {name: one for name, one in examples.items() if isinstance(one, str)}
    missing |= {name: "none were recorded." for name in data if name not in examples}
    texts = {all(picture is None for picture in one.pictures) for one in examples.values() if not isinstance(one, str)}
    return render("sections/examples.html", shown=shown, missing=missing, kinds=texts)


def _shown(name: str, one: Examples, data: Mapping[str, Any], first: bool) -> Shown:
    unit, note = data.get("unit", "unit"), data.get("note", {})
    items = [rows for _, rows in one.table.groupby("item", sort=True)]
    rules = [rows["rule"].iloc[0] for rows in items]
    captions = [_caption(rows, source, "targets" in note) for rows, source in zip(items, one.names, strict=True)]
    grids = trajectory_grid(one.table, one.names, one.pictures, captions=captions, of=name, most=MOST_CELLS)
    chosen = f"chosen by rule among {one.chosen_from:,} of the {unit}s that were measured: {_listed(rules)}"
    readers = [(READERS[reader], said) for reader, said in one.lenses.items()]
    return Shown(name, first, chosen, _missing(one, rules, unit, note), readers, grids)


def _listed(rules: Sequence[str]) -> str:
    """The rules of the examples there are, each once."""
    count = {1: "one at random", 2: "two at random"}.get(rules.count("random"))
    return ", ".join([*(rule for rule in rules if rule != "random"), *([count] if count else [])])


def _missing(one: Examples, rules: Sequence[str], unit: str, note: Mapping[str, Any]) -> list[str]:
    """Sentences about the rules that no unit met."""
    found = []
    for rule in (rule for rule in RULES if rule not in rules):
        if rule == "wrong" and "targets" in note:
            why = f"what counts as right here are {note['targets']}, so no prediction is wrong"
        elif rule not in ("wrong", "random") and one.table["state"].nunique() == 1:
            why = "only one state can be read, so nothing is early or late; a lens would read the others"
        else:
            why = f"none of the {one.chosen_from:,} {unit}s meets this rule"
        found.append(f"No example for “{rule}”: {why}.")
    return found


def _caption(rows: pd.DataFrame, source: str, unlabelled: bool) -> Markup:
    """The rule that chose an item, and what the chosen unit shows of it; without labels all is right at the end."""
    rule = rows["rule"].iloc[0]
    rows = rows[rows["position"] == rows["position"].max()]
    reader = next(name for name in READERS if name in set(rows["reader"]))
    read = rows[(rows["reader"] == reader) & (rows["rank"] == 1)].sort_values("state").to_dict("records")
    last = rows[rows["state"] == rows["state"].max()]
    final = last[last["reader"] == ("logit" if "logit" in set(last["reader"]) else reader)].iloc[0]
    right = final["class"] == final["truth"]
    said = f"{_quoted(final['text'], final['class'])} at the end with {_percent(final['probability'])}"
    said += "" if unlabelled else ", which is right" if right else f"; right is {_truth(final)}"
    if rule in ("right early", "right late"):
        said += f", and the likeliest {_since(read, final['truth'], READERS[reader])}"
    if rule == "changed its mind":
        other = max((row for row in read if row["class"] != final["class"]), key=lambda row: row["probability"])
        before = f"{_quoted(other['text'], other['class'])} at h{other['state']} with {_percent(other['probability'])}"
        said = f"{before}, but {said}"
    place = source.removeprefix(f"{rule}: ")
    return Markup("<b>{}</b>: {}. <small>{}</small>").format(rule.capitalize(), said, place)


def _since(read: Sequence[Mapping[Any, Any]], truth: int, reader: str) -> str:
    """From which state on the truth is the likeliest, up to the end."""
    wrong = [row["state"] for row in read if row["class"] != truth]
    states = [row["state"] for row in read if not wrong or row["state"] > wrong[-1]]
    return f"from h{states[0]} on ({reader})" if states else f"at no state before (by the {reader})"


def _quoted(text: str, number: int) -> str:
    return f"“{visible(text, number)}”"


def _truth(row: Mapping[Any, Any]) -> str:
    return f"{_quoted(row['truth_text'], row['truth'])} with {_percent(row['truth_probability'])}"


def _percent(p: float) -> str:
    return f"{100 * p:.0f} %" if p >= 0.0995 else f"{100 * p:.1g} %" if p >= 0.0001 else "< 0.01 %"
