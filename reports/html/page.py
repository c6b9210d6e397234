"""The page of a comparison, one HTML file without scripts: figures, tables of numbers, and undefined measures."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure
from PIL import Image

from itinf.errors import NothingToDrawError

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
from .blocks_table import Cell, blocks, headlines, undefined
from .findings import Finding, findings
from .groups_table import group_table
from .onset_table import onset_rows
from .power_table import power_tables
from .retention_table import HEADINGS, RetentionRow, retention_rows


@dataclass(frozen=True)
class Picture:
    """A figure inside a page: its image as a data URL, and a text for those who cannot see it."""

    source: str
    alt: str


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
    added: Mapping[str, Figure] | None = None,
    failed: Sequence[str] = (),
    claims: Mapping[str, Callable[[], Claim]] | None = None,
) -> str:
    """The page of one or several results, or of transfers alone: HTML, complete in itself; every name in it is escaped.

    Args:
        table: their joint table, with the rows of transfers of their lenses where there are some.
        manifests: of each network, in the table's order.
        notes: for each, what a reader needs to know before its numbers.
        target: what the losses shown are taken against.
        summaries: of the transfers.
        transfers: the manifests of the transfers of trained networks.
        remarks: why a network has no lenses.
        groups: the table of groups of networks; None where there are none.
        group_notes: what a reader needs to know before the numbers of groups.
        power: the table of power; None where there are no controls.
        added: figures that do not come with itinf, by name.
        failed: why such a figure could not be drawn.
        claims: rows of the verdict table: name -> what opens the claim.
    """
    environment = Environment(loader=PackageLoader("reports"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    sections = [
        _section(table[table["model"] == m["network"]["name"]], m, note, target)
        for m, note in zip(manifests, notes, strict=True)
    ]
    alt = "descent share and efficiency of all networks against relative depth"
    together = _picture(lambda: comparison(table, target=target), alt) if sections else None
    return environment.get_template("report.html").render(
        names=[manifest["network"]["name"] for manifest in manifests or transfers],
        verdict=verdict_table(table, summaries, manifests, claims or {}, power, target),
        headlines=headlines(table, target) if sections else [],
        together=together,
        onsets=onset_rows(table, summaries, _roles(power)),
        onset_picture=_picture(lambda: onset(table, summaries=summaries), "iterative depth of every network"),
        power_tables=power_tables(power),
        group_table=None if groups is None else group_table(groups),
        group_notes=group_notes,
        lens_section=_lens_section(
            table, pd.DataFrame() if summaries is None else summaries, transfers, remarks, target
        ),
        sections=sections,
        added={name: _embedded(figure, name) for name, figure in (added or {}).items()},
        failed=failed,
        version=[*manifests, *transfers][0]["history"][-1]["circumstances"]["itinf"],
    )


page.answers = answers  # type: ignore[attr-defined]  # one entry point leads to the page and to the sentences on top of it


def _roles(power: pd.DataFrame | None) -> dict[str, str]:
    """Name of a control -> its role."""
    return {} if power is None else dict(zip(power["model"], power["role"], strict=True))


def _lens_section(
    table: pd.DataFrame,
    summaries: pd.DataFrame,
    transfers: Sequence[dict[str, Any]],
    remarks: Sequence[str],
    target: str,
) -> LensSection | None:
    """None where no network was read through a lens, and there is no remark why."""
    lens_target = "model" if target == "model" else "label"
    steps: list[Picture | None] = []
    transferred: list[Picture | None] = []
    if through_lenses(table)["form"].str.startswith("merged to ").any():
        alt = "efficiency, gain and movement through one lens and through each depth's own, step by step"
        steps.append(_picture(lambda: prediction(table, target=lens_target), alt))
    if (table["measure"] == "retention").any():
        alt = "retention of each state's lens at every other state, one matrix per network"
        transferred.append(_picture(lambda: transfer(table, target=lens_target), alt))
        alt = "retention against distance, and of one lens by depth, all networks"
        transferred.append(_picture(lambda: retention(table, summaries=summaries, target=lens_target), alt))
    if not (steps or transferred or remarks):
        return None
    means = retention_rows(table, summaries, transfers)
    return LensSection(remarks, _known(steps), findings(table, summaries), HEADINGS, means, _known(transferred))


def _section(rows: pd.DataFrame, manifest: dict[str, Any], notes: Sequence[str], target: str) -> Section:
    network, data, settings = manifest["network"], manifest["data"], manifest["settings"]
    observed = rows[(rows["null"] == "observed") & (rows["subset"] == "all")]
    units, clusters = (int(observed[column].max()) for column in ("n_units", "n_clusters"))
    facts = [
        ("weights", f"{network['weights']} ({network['dtype']}, fingerprint {network['fingerprint'][:12]})"),
        (
            "data",
            f"{data['name']}: {units:,} {data['unit']}s in {clusters:,} clusters, seed {settings['seed']}",
        ),
        ("nulls", f"pairs inside groups of {settings['group']} clusters; {settings['untrained']} untrained networks"),
        ("intervals", f"95 %, over clusters; {settings['replicates']} bootstrap replicates"),
        ("measured in", f"{manifest['seconds']:.0f} s"),
    ]
    headings, block_rows = blocks(rows, target)
    name = network["name"]
    pictures = [
        _picture(
            lambda: overview(rows, target=target), f"{name}: descent share, efficiency, l2 ratio and gain against depth"
        )
    ]
    if len(about_states(rows)):
        pictures.append(_picture(lambda: lenses(rows), f"{name}: how well lenses read each state"))
    return Section(name, facts, _known(pictures), headings, block_rows, undefined(rows), notes)


def _picture(draw: Callable[[], Figure], alt: str) -> Picture | None:
    """None where the results lack what the figure shows."""
    try:
        return _embedded(draw(), alt)
    except NothingToDrawError:
        return None


def _embedded(figure: Figure, alt: str) -> Picture:
    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png", dpi=170)
    Image.open(full).convert("RGB").quantize(256).save(small, format="png", optimize=True)
    return Picture("data:image/png;base64," + base64.b64encode(small.getvalue()).decode(), alt)


def _known(pictures: Sequence[Picture | None]) -> list[Picture]:
    return [picture for picture in pictures if picture is not None]
