"""The commands ``itinf probe``, ``compare``, ``demo``, ``merge`` and ``report``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..networks.devices import to_device
from ..results.report import REPORT, draw_report
from ..settings import DEFAULTS, MEASURED_UNITS, Settings
from ..statistics.processes import job_size
from .console import first_process, out, print_answers, print_blocks, progress_bars, progress_board
from .interrupted import saved_is_shown
from .options import (
    RESULTS,
    Batch,
    Counterfactual,
    Device,
    Dtype,
    Group,
    Jobs,
    Length,
    Measured,
    Opened,
    Option,
    Out,
    Replicates,
    Seed,
    Source,
    StudyBatch,
    StudyDevice,
    StudyDtype,
    StudyLens,
    StudyPairs,
    StudyPrecision,
    StudySeed,
    StudyUnits,
    StudyUntrained,
    Target,
    Units,
    Untrained,
    Weights,
    opened_data,
    opened_network,
    parse_shard,
    study_from_words,
)
from .preview import show_preview
from .signals import working

if TYPE_CHECKING:
    from ..results.comparison import Comparison
    from ..results.probe_result import ProbeResult
    from ..studies.study_file import Study


def probe(
    network: Opened,
    data: Source,
    weights: Weights = None,
    units: Units = MEASURED_UNITS,
    batch: Batch = DEFAULTS.batch,
    out_: Out = RESULTS,
    option: Option = None,
    target: Target = None,
    measure: Measured = None,
    length: Length = None,
    device: Device = DEFAULTS.device,
    dtype: Dtype = DEFAULTS.dtype,
    seed: Seed = DEFAULTS.seed,
    group: Group = DEFAULTS.group,
    replicates: Replicates = DEFAULTS.replicates,
    untrained: Untrained = DEFAULTS.untrained,
    lens: Annotated[
        Path | None, typer.Option(help="Lens file written by itinf fit; states are also read through it.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(help="I/N: measure only part I of N; itinf merge joins the parts.")
    ] = None,
) -> None:
    """Measure how each block's update aligns with the negative loss gradient."""
    from ..lenses.lens import Lens
    from ..studies.compare import probe_network, study_probes
    from ..studies.preview import preview_probe

    settings = Settings(
        units=units,
        seed=seed,
        group=group,
        replicates=replicates,
        untrained=untrained,
        shard=parse_shard(shard),
        batch=batch,
        device=device,
        dtype=dtype,
    )
    opened = to_device(opened_network(network, weights, option), device, dtype)
    source = opened_data(data, opened, seed, length)
    through = [] if lens is None else [Lens.load(lens, opened)]
    targets = target or ["label"]
    readout = through[0] if through else None
    probes = study_probes(targets, through, readout, measure or ())
    with working(), saved_is_shown(out_):
        show_preview(lambda: [preview_probe(opened, source, probes, settings)], out_)
        with progress_bars(opened.name) as progress:
            run = probe_network(opened, source, targets, out_, settings, progress, through, readout, measure or ())
    _draw(run, out_)
    if first_process():
        out.print(repr(run), markup=False, highlight=False, soft_wrap=True)
        print_blocks(run)
        out.print(f"Results in {out_}", markup=False, soft_wrap=True)
        print_answers(run.table)


def compare(
    study: Annotated[
        list[str] | None,
        typer.Argument(help="STUDY.toml, or names of networks; without it, the specimens.", show_default=False),
    ] = None,
    data: Annotated[list[str] | None, typer.Option(help="Once for all networks, or once for each in order.")] = None,
    weights: Annotated[list[str] | None, typer.Option(help="Once for all networks, or once for each in order.")] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            help="Group of copies of one network from several trainings; for all networks, or for each in order."
        ),
    ] = None,
    units: StudyUnits = None,
    batch: StudyBatch = None,
    out_: Out = RESULTS,
    device: StudyDevice = None,
    dtype: StudyDtype = None,
    seed: StudySeed = None,
    untrained: StudyUntrained = None,
    lens: StudyLens = None,
    measure: Measured = None,
    precision: StudyPrecision = None,
    pairs: StudyPairs = None,
    counterfactual: Counterfactual = False,
    jobs: Jobs = 1,
) -> None:
    """Measure several networks in the same way and compare them; without arguments, the specimens."""
    changes = {
        "units": units,
        "batch": batch,
        "device": device,
        "dtype": dtype,
        "seed": seed,
        "untrained": untrained,
        "lens": lens,
        "measure": measure or None,
        "precision": precision,
        "pairs": pairs,
        "counterfactual": counterfactual or None,
    }
    chosen = study_from_words(study or [], data or [], weights or [], group or [])
    _compare(chosen.changed(**{name: value for name, value in changes.items() if value is not None}), out_, jobs)


def demo(
    out_: Annotated[Path, typer.Option("--out", help="Results folder.")] = RESULTS / "demo",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of networks measured at a time; by default one per core.")
    ] = None,
) -> None:
    """Compare the specimens, trained networks that come with itinf: ResNets, a plain network, Inception v1, GPT-2."""
    from ..studies.demo import specimens_study

    at_once = (os.cpu_count() or 1) if job_size() == 1 else 1  # under torchrun every network is shared out
    _compare(specimens_study().changed(device="cpu"), out_, jobs or at_once)


def controls(
    out_: Annotated[Path, typer.Option("--out", help="Results folder.")] = RESULTS / "controls",
    units: StudyUnits = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of networks measured at a time; by default one per core.")
    ] = None,
) -> None:
    """Measure networks known to do iterative inference, and others, and say which measures tell them apart."""
    from ..studies.controls import controls_study

    at_once = (os.cpu_count() or 1) if job_size() == 1 else 1
    study = controls_study().changed(device="cpu", **({} if units is None else {"units": units}))
    comparison = _compare(study, out_, jobs or at_once)
    if first_process():
        out.print(comparison.power_words, markup=False, highlight=False, soft_wrap=True)


def merge(
    folders: Annotated[
        list[Path], typer.Argument(help="Results folders of the parts of one study, measured with --shard.")
    ],
    out_: Annotated[Path, typer.Option("--out", help="Folder for the merged results.")],
) -> None:
    """Merge results of one study that were measured on different clusters."""
    from ..results.folder import ResultsFolder
    from ..results.probe_result import ProbeResult, stages_in
    from ..results.probe_result import merge as add

    run = add([ProbeResult.load(folder) for folder in folders])
    with working(), ResultsFolder.open(out_, run.identity) as folder:
        if folder.state != "complete" or stages_in(folder).keys() != run.stages.keys():
            folder.complete(run.files(), 0, **run.manifest)
        draw_report(run, folder, page=False)
    out.print(repr(run), markup=False, highlight=False, soft_wrap=True)


def report(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders that itinf probe, transfer, compare or merge has written.")
    ],
    out_: Annotated[
        Path | None, typer.Option("--out", help="Folder for one page of several folders, which are only read.")
    ] = None,
) -> None:
    """Make figures and page of finished results again, or one page of several folders; without weights or data."""
    from ..results.report import report as make

    with working():
        page = make(*folders, out=out_)
    out.print(f"Report: {page.resolve()}", markup=False, highlight=False, soft_wrap=True)


def _draw(run: ProbeResult, path: Path) -> None:
    from ..results.folder import ResultsFolder

    with working(), ResultsFolder.open(path, run.identity) as folder:
        if folder.writes:
            draw_report(run, folder, page=False)


def _compare(study: Study, path: Path, jobs: int) -> Comparison:
    from ..results.group_words import group_answers
    from ..studies.preview_study import preview_study
    from ..studies.study import require_study, run_study

    require_study(study, path, jobs)
    with working(), saved_is_shown(path):
        show_preview(lambda: preview_study(study, jobs), path, jobs)
        with progress_board() as progress:
            comparison = run_study(study, path, jobs=jobs, progress=progress)
    if first_process():
        out.print(repr(comparison), markup=False, highlight=False, soft_wrap=True)
        page = f"\nReport: {(path / REPORT).resolve()}" if (path / REPORT).is_file() else ""
        out.print(f"Results in {path}{page}", markup=False, highlight=False, soft_wrap=True)
        print_answers(comparison.table, comparison.summaries)
        for sentence in group_answers(comparison.group_table) if comparison.groups else ():
            out.print(sentence, markup=False, highlight=False, soft_wrap=True)
    return comparison
