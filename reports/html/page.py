"""The page of a comparison, one HTML file without scripts: figures, tables of numbers, and undefined measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader

from ..figures.lenses import lenses
from ..figures.onset import onset
from ..figures.overview import comparison, overview
from ..figures.prediction import prediction
from ..figures.retention import retention
from ..figures.transfer import transfer
from ..rows import about_states, through_lenses
from ..verdict.claim import Claim
from ..verdict.table import verdict_table
from .answers import answers
from .blocks_table import Cell, Headline, blocks, headlines, undefined
from .conditions import conditions, facts
from .findings import Finding, findings
from .groups_table import group_table
from .onset_table import OnsetRow, onset_rows
from .picture import Picture, Pictures
from .power_table import power_tables
from .retention_table import HEADINGS, RetentionRow, retention_rows

TOGETHER = "descent share and efficiency of all networks against relative depth"


@dataclass(frozen=True)
class Section:
    """The part of the page about one network."""

    name: str
    facts: Sequence[tuple[str, str]]
    pictures: Sequence[Picture]
    headings: Sequence[str]
    blocks: Sequence[tuple[str, Sequence[Cell]]]
    undefined: Sequence[str]
    notes: Sequence[str]


@dataclass(frozen=True)
class LensSection:
    """The part of the page about lenses and their transfer, of all networks; any of it may be empty."""

    remarks: Sequence[str]
    steps: Sequence[Picture]
    findings: Sequence[Finding]
    headings: Sequence[str]
    retention_rows: Sequence[RetentionRow]
    transfer: Sequence[Picture]


def page(
    table: pd.DataFrame,
    manifests: Sequence[dict[str, Any]],
    notes: Sequence[Sequence[str]],
    target: str = "label",
    *,
    summaries: pd.DataFrame | None = None,
    transfers: Sequence[dict[str, Any]] = (),
    remarks: Sequence[str] = (),
    groups: pd.DataFrame | None = None,
    group_notes: Sequence[str] = (),
    power: pd.DataFrame | None = None,
    pictures: Mapping[str, tuple[bytes, Sequence[str]]] | None = None,
    added: Sequence[str] = (),
    failed: Sequence[str] = (),
    joined: Sequence[str] = (),
    paired: Sequence[Sequence[str]] = (),
    claims: Mapping[str, Callable[[], Claim]] | None = None,
) -> str:
    """The page of one or several results, or of transfers alone: HTML, complete in itself; every name in it is escaped.

    Args:
        table: their joint table, with the rows of transfers of their lenses where there are some.
        manifests: of each network, in the table's order.
        notes: for each, what a reader needs to know before its numbers.
        target: what the losses shown are taken against.
        summaries: of the transfers; ``transfers``: the manifests of those of trained networks.
        remarks: why a network has no lenses.
        groups: the table of groups of networks, None where there are none; ``group_notes``: what to know before it.
        power: the table of power; None where there are no controls.
        pictures: figures drawn before, by name: PNG at 300 dpi, and paths of their files beside the page.
        added: names of those that do not come with itinf; ``failed``: why such a figure could not be drawn.
        joined: what became of results that come from several folders.
        paired: names of networks that were measured on the same clusters, for each such set of clusters.
        claims: rows of the verdict table: name -> what opens the claim.
    """
    environment = Environment(loader=PackageLoader("reports"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    known = Pictures(pictures or {})
    sections = [_section(table, *about, target, known) for about in zip(manifests, notes, strict=True)]
    lines = headlines(table, target) if sections else []
    onsets = onset_rows(table, summaries, _roles(power))
    return environment.get_template("report.html").render(
        names=[manifest["network"]["name"] for manifest in manifests or transfers],
        verdict=verdict_table(table, summaries, manifests, claims or {}, power, target),
        headlines=lines,
        together=_together(table, target, lines, known),
        onsets=onsets,
        onset_picture=known.of("onset", "iterative depth", _depths(onsets), lambda: onset(table, summaries=summaries)),
        power_tables=power_tables(power),
        group_table=None if groups is None else group_table(groups),
        group_notes=group_notes,
        lens_section=_lens_section(table, summaries, transfers, remarks, target, known),
        sections=sections,
        added={name: picture for name in added if (picture := known.of(name, name))},
        failed=failed,
        joined=joined,
        paired=paired,
        conditions=conditions(manifests, transfers),
        version=_version([*manifests, *transfers]),
    )


page.answers = answers  # type: ignore[attr-defined]  # one entry point leads to the page and to the sentences on top of it


def _roles(power: pd.DataFrame | None) -> dict[str, str]:
    """Name of a control -> its role."""
    return {} if power is None else dict(zip(power["model"], power["role"], strict=True))


def _version(manifests: Sequence[dict[str, Any]]) -> str:
    """The itinf that measured the first of the results."""
    sittings = [sitting for manifest in manifests for sitting in manifest.get("history", [])]
    return str(sittings[0]["circumstances"].get("itinf", "")) if sittings else ""


def _together(table: pd.DataFrame, target: str, lines: Sequence[Headline], known: Pictures) -> Picture | None:
    """All networks side by side; None where none was probed."""
    draw = partial(comparison, table, target=target)
    return known.of("comparison", TOGETHER, _beyond(lines), draw) if lines else None


def _depths(onsets: Sequence[OnsetRow]) -> str:
    return ", ".join(f"{row.network} {row.depth}" for row in onsets)


def _beyond(lines: Sequence[Headline]) -> str:
    """How many blocks of each network descend more often than another unit's step would."""
    return "; ".join(f"{line.network} {line.counts[0]} (null: pairing)" for line in lines)


def _lens_section(
    table: pd.DataFrame,
    summaries: pd.DataFrame | None,
    transfers: Sequence[dict[str, Any]],
    remarks: Sequence[str],
    target: str,
    known: Pictures,
) -> LensSection | None:
    """None where no network was read through a lens, and there is no remark why."""
    summaries = pd.DataFrame() if summaries is None else summaries
    lens_target = "model" if target == "model" else "label"
    means = retention_rows(table, summaries, transfers)
    kept = "; ".join(f"{row.network} {row.cells[3]}" for row in means)
    steps: list[Picture | None] = []
    transferred: list[Picture | None] = []
    if through_lenses(table)["form"].str.startswith("merged to ").any():
        title = "efficiency, gain and movement through one lens and through each depth's own, step by step"
        steps.append(known.of("prediction", title, "", lambda: prediction(table, target=lens_target)))
    if (table["measure"] == "retention").any():
        title = "retention of each state's lens at every other state, one matrix per network"
        pairs = "; ".join(f"{row.network} {row.cells[1]} over all pairs" for row in means)
        transferred.append(known.of("transfer", title, pairs, lambda: transfer(table, target=lens_target)))
        title = "retention against distance, and of one lens by depth, all networks"
        of_one = f"one lens, that depth left out, retains in {kept}" if kept else ""
        draw = partial(retention, table, summaries=summaries, target=lens_target)
        transferred.append(known.of("retention", title, of_one, draw))
    if not (steps or transferred or remarks):
        return None
    return LensSection(remarks, _known(steps), findings(table, summaries), HEADINGS, means, _known(transferred))


def _section(
    table: pd.DataFrame, manifest: dict[str, Any], notes: Sequence[str], target: str, known: Pictures
) -> Section:
    name = manifest["network"]["name"]
    rows = table[table["model"] == name]
    lines = headlines(rows, target)
    headings, block_rows = blocks(rows, target)
    result = f"efficiency {lines[0].efficiency}; {_beyond(lines)}" if lines else ""
    title = f"{name}, descent share, efficiency, l2 ratio and gain against depth"
    pictures = [known.of(f"overview {name}", title, result, lambda: overview(rows, target=target))]
    if len(about_states(rows)):
        pictures.append(
            known.of(f"lenses {name}", f"{name}, how well lenses read each state", "", lambda: lenses(rows))
        )
    return Section(name, facts(rows, manifest), _known(pictures), headings, block_rows, undefined(rows), notes)


def _known(pictures: Sequence[Picture | None]) -> list[Picture]:
    return [picture for picture in pictures if picture is not None]
