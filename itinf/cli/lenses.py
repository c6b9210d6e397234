"""``itinf fit`` and ``itinf transfer``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ItinfError
from ..files import folder_name
from ..networks.devices import to_device
from ..results.report import draw_report
from ..settings import DEFAULTS, Settings
from .console import first_process, interruptible, out, print_summaries, progress_bars
from .options import (
    Batch,
    Device,
    Dtype,
    Group,
    Length,
    Option,
    Out,
    Precision,
    Replicates,
    Seed,
    Source,
    Untrained,
    Weights,
    opened_network,
)

if TYPE_CHECKING:
    from ..results.folder import ResultsFolder
    from ..results.transfer_result import TransferResult

FitUnits = Annotated[
    int | None, typer.Option(help="Images or tokens to fit on; by default enough for the widest state.")
]


def fit(
    network: str,
    data: Source,
    out_: Annotated[Path, typer.Option("--out", help="NAME.safetensors, or a folder for --package.")],
    kind: Annotated[str, typer.Option(help="affine, tuned, shared or logit.")] = "affine",
    weights: Weights = "random",
    units: FitUnits = None,
    batch: Batch = DEFAULTS.batch,
    option: Option = None,
    length: Length = None,
    inside: Annotated[bool, typer.Option("--inside", help="Also the states that parts of blocks read.")] = False,
    package: Annotated[bool, typer.Option("--package", help="Write the public tuned-lens package's folder.")] = False,
    device: Device = DEFAULTS.device,
    dtype: Dtype = DEFAULTS.dtype,
    seed: Seed = DEFAULTS.seed,
) -> None:
    """Fit a lens for every state and keep it in a file; data with splits are taken from their training split."""
    from ..data.clusters import clusters_of
    from ..lenses.fit import fit as fitted
    from ..lenses.tuned_lens_format import write_tuned_lens_folder
    from ..studies.fitting_data import training_split
    from ..studies.lens_study import default_fit_units

    if out_.exists():
        raise ItinfError(f"{out_} exists. Choose another --out.")
    if not package and out_.suffix != ".safetensors":
        raise ItinfError(f"--out {str(out_)!r}: a lens is kept in a .safetensors file, or with --package in a folder.")
    opened = to_device(opened_network(network, weights, option), device, dtype)
    source = training_split(data, opened, seed, length)
    wanted = min(units or default_fit_units(opened, source), clusters_of(source, None) * source[0][1].numel())
    with interruptible(), progress_bars(opened.name) as progress:
        lens = fitted(
            opened,
            source,
            kind,  # type: ignore[arg-type]
            units=wanted,
            inside=inside,
            batch=batch,
            seed=seed,
            progress=progress,
        )
    if package:
        write_tuned_lens_folder(lens, out_, opened)
    else:
        lens.save(out_)
    out.print(f"{lens!r}\nin {out_}", markup=False, highlight=False, soft_wrap=True)


def transfer(
    network: str,
    data: Source,
    weights: Weights = "random",
    lens: Annotated[Path | None, typer.Option(help="A file of itinf fit; by default one is fitted.")] = None,
    kind: Annotated[str, typer.Option(help="Of the lens that is fitted: affine or tuned.")] = "affine",
    fit_data: Annotated[
        str | None, typer.Option(help="What it is fitted on, if not on --data's training split.")
    ] = None,
    fit_units: FitUnits = None,
    units: Annotated[
        int | None,
        typer.Option(
            help="Images or tokens to read at most; by default all, or half where the rest is needed to fit on."
        ),
    ] = None,
    precision: Precision = DEFAULTS.precision,
    batch: Batch = DEFAULTS.batch,
    out_: Out = Path("results"),
    option: Option = None,
    length: Length = None,
    device: Device = DEFAULTS.device,
    dtype: Dtype = DEFAULTS.dtype,
    seed: Seed = DEFAULTS.seed,
    group: Group = DEFAULTS.group,
    replicates: Replicates = DEFAULTS.replicates,
    untrained: Untrained = DEFAULTS.untrained,
) -> None:
    """Read every depth by every depth's lens, and by one lens for all: what transfers?"""
    from ..data.clusters import clusters_of
    from ..lenses.lens import Lens
    from ..lenses.transfer.transfer import transfer as transfer_lens
    from ..registry import dataset
    from ..results.folder import ResultsFolder
    from ..studies.fitting_data import fitting_data, training_split
    from ..studies.lens_study import LensStudy

    opened = to_device(opened_network(network, weights, option), device, dtype)
    source = dataset(data, opened, seed=seed, length=length)
    settings = Settings(
        units=units,
        seed=seed,
        group=group,
        replicates=replicates,
        untrained=untrained,
        fit_units=fit_units,
        precision=precision,
        batch=batch,
        device=device,
        dtype=dtype,
    )
    with interruptible(), progress_bars(opened.name) as progress:
        if lens is not None:
            one = transfer_lens(opened, Lens.load(lens, opened), source, out=out_, settings=settings, progress=progress)
            results = [one]
            with ResultsFolder.open(out_, None) as folder:
                _draw(results, folder)
        else:
            if units is None and training_split(fit_data or data, opened, seed, length).name == source.name:
                half = len(source) // 2 * source[0][1].numel()  # the other half is left to fit on
                settings = settings.changed({"units": half})
            clusters = clusters_of(source, settings.units)
            fitting = fitting_data(fit_data or data, opened, source, clusters, seed, length)
            study = LensStudy(opened, source, fitting, out_, folder_name(opened.name), kind, settings)
            with study.kept() as folder:
                results = study.transfers(progress)
                made_of: dict[str, Any] = {"networks": {}, "transfers": [one.manifest for one in results]}
                folder.made_of(made_of)
                _draw(results, folder)
                if not folder.manifest["complete"]:
                    folder.complete({}, sum(one.manifest["clusters"] for one in results), **made_of)
    if first_process():
        _say(results, out_)


def _draw(found: list[TransferResult], folder: ResultsFolder) -> None:
    from ..results.comparison import Comparison

    if first_process():
        draw_report(Comparison([], found), folder)


def _say(found: list[TransferResult], folder: Path) -> None:
    from ..results.comparison import Comparison

    both = Comparison([], found)
    for one in found:
        out.print(repr(one), markup=False, highlight=False, soft_wrap=True)
    print_summaries(both.summaries)
    out.print(f"Results in {folder}", markup=False, soft_wrap=True)
