"""The commands ``itinf fit`` and ``itinf transfer``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ItinfError, system_error
from ..files import folder_name, require_writable
from ..lenses.kinds import BUILT_IN, DEFAULT, either, lens_kind, require_transfers
from ..lock import kept
from ..networks.devices import to_device
from ..results.report import draw_report
from ..settings import DEFAULTS, Settings
from .console import first_process, out, print_answers, print_summaries, progress_bars
from .interrupted import saved_is_shown
from .options import (
    Batch,
    Counterfactual,
    Device,
    Dtype,
    Group,
    Length,
    Opened,
    Option,
    Out,
    Pairs,
    Precision,
    Replicates,
    Seed,
    Source,
    Untrained,
    Weights,
    opened_data,
    opened_network,
)
from .preview import show_preview
from .signals import working

if TYPE_CHECKING:
    from ..data.clusters import Progress
    from ..data.dataset import Data
    from ..lenses.lens import Lens
    from ..networks.network import Network
    from ..results.transfer_result import TransferResult

FORMATS = ("safetensors", "tuned-lens")
FitData = Annotated[str | None, typer.Option(help="Data to fit the lens on; by default the training split of --data.")]
FitUnits = Annotated[
    int | None, typer.Option(help="Number of images or tokens to fit on; by default enough for the widest state.")
]
FittedOn = Annotated[
    str | None,
    typer.Option(help="Other data to fit the same lenses on, too: how much do they retain of what the lenses tell?"),
]
ReadUnits = Annotated[
    int | None,
    typer.Option(
        help="Largest number of images or tokens to read; by default all, or half if the others are needed to fit."
    ),
]
FIT_KINDS = f"Kind of lens: {either(BUILT_IN)}, or a kind that another package adds, see itinf list."
TRANSFER_KINDS = f"Kind of lens to fit: {either(kind for kind in BUILT_IN if kind.transfers)}, or an added kind."


def fit(
    network: Opened,
    data: Source,
    out_: Annotated[
        Path, typer.Option("--out", help="File NAME.safetensors to write, or with --format tuned-lens a folder.")
    ],
    kind: Annotated[str, typer.Option(help=FIT_KINDS)] = DEFAULT,
    weights: Weights = None,
    units: FitUnits = None,
    batch: Batch = DEFAULTS.batch,
    option: Option = None,
    length: Length = None,
    parts: Annotated[
        bool, typer.Option("--parts", help="Also fit lenses for the states inside blocks that parts read.")
    ] = False,
    format_: Annotated[
        str, typer.Option("--format", help="safetensors, or tuned-lens: a folder that the public package can read.")
    ] = "safetensors",
    device: Device = DEFAULTS.device,
    dtype: Dtype = DEFAULTS.dtype,
    seed: Seed = DEFAULTS.seed,
) -> None:
    """Fit a lens for every state and save it. Data with splits are fitted on the training split."""
    from ..data.clusters import clusters_of, units_per_cluster
    from ..lenses.fit import fit as fit_lens
    from ..studies.fitting_data import training_split
    from ..studies.lens_study import default_fit_units
    from ..studies.preview import preview_fit

    if format_ not in FORMATS:
        raise ItinfError(f"--format {format_!r}: expected {' or '.join(FORMATS)}.")
    settings = Settings(fit_units=units, batch=batch, device=device, dtype=dtype, seed=seed)
    require_writable(out_)
    _refuse_existing(out_)
    if format_ == "safetensors" and out_.suffix != ".safetensors":
        raise ItinfError(
            f"--out {str(out_)!r}: expected a name that ends in .safetensors, or --format tuned-lens for a folder. "
            f"Write --out {out_}.safetensors, or add --format tuned-lens."
        )
    lens_kind(kind)
    opened = to_device(opened_network(network, weights, option), device, dtype)
    source = training_split(data, opened, seed, length)
    if settings.fit_units is None:
        clusters = clusters_of(source, default_fit_units(opened, source), at_most=True)
        units = clusters * units_per_cluster(source)
    with working(), _alone(out_):
        show_preview(lambda: [preview_fit(opened, source, kind, units, seed, batch, parts)])
        with progress_bars(opened.name) as progress:
            lens = fit_lens(opened, source, kind, units=units, parts=parts, batch=batch, seed=seed, progress=progress)
        if first_process():
            _refuse_existing(out_)
            _write(lens, out_, opened, format_)
    if first_process():
        out.print(f"{lens!r}\nin {out_}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Refuses another fit into the same file: a hidden folder stands for it while it is made."""
    with ExitStack() as stack:
        if first_process():
            try:
                stack.enter_context(kept(path.with_name(f".{path.name}")))
            except OSError as error:
                raise system_error(error, str(path)) from error
        yield


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise ItinfError(f"{path} exists, and itinf fit does not overwrite it. Choose another --out.")


def _write(lens: Lens, path: Path, network: Network, format_: str) -> None:
    from ..lenses.tuned_lens_format import write_tuned_lens_folder

    if format_ == "tuned-lens":
        write_tuned_lens_folder(lens, path, network)
    else:
        lens.save(path)


def transfer(
    network: Opened,
    data: Source,
    weights: Weights = None,
    lens: Annotated[
        Path | None, typer.Option(help="Lens file written by itinf fit; without it, a lens is fitted.")
    ] = None,
    kind: Annotated[str, typer.Option(help=TRANSFER_KINDS)] = DEFAULT,
    fit_data: FitData = None,
    fitted_on: FittedOn = None,
    fit_units: FitUnits = None,
    units: ReadUnits = None,
    precision: Precision = DEFAULTS.precision,
    pairs: Pairs = DEFAULTS.pairs,
    counterfactual: Counterfactual = DEFAULTS.counterfactual,
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
    """Measure how lenses transfer: read every state with the lens of every other state, and with one shared lens."""
    from ..lenses.lens import Lens
    from ..studies.preview import preview_transfer

    settings = Settings(
        units=units,
        seed=seed,
        group=group,
        replicates=replicates,
        untrained=untrained,
        fit_units=fit_units,
        precision=precision,
        pairs=pairs,
        counterfactual=counterfactual,
        batch=batch,
        device=device,
        dtype=dtype,
    )
    require_transfers(kind)
    if lens is not None and fitted_on is not None:
        raise ItinfError("--fitted-on fits lenses as --fit-data does, and --lens gives one. Leave one of the two out.")
    opened = to_device(opened_network(network, weights, option), device, dtype)
    source = opened_data(data, opened, seed, length)
    given: Lens | Data | None = None if lens is None else Lens.load(lens, opened)
    if given is None:
        settings, given = _data_to_fit(opened, fit_data or data, source, settings, length)
    other = None if fitted_on is None else _data_to_fit(opened, fitted_on, source, settings, length)[1]
    with working(), saved_is_shown(out_):
        show_preview(lambda: [preview_transfer(opened, source, given, kind, settings)], out_)
        with progress_bars(opened.name) as progress:
            results = _transferred(opened, given, source, kind, out_, progress, settings, other)
    if first_process():
        _print_results(results, out_)


def _transferred(
    network: Network,
    given: Lens | Data,
    data: Data,
    kind: str,
    path: Path,
    progress: Progress,
    settings: Settings,
    other: Data | None,
) -> list[TransferResult]:
    """The transfer of a lens that was saved in a file, or of lenses that are fitted on the given data, and on other ones."""
    from ..lenses.lens import Lens
    from ..lenses.transfer.transfer import transfer
    from ..results.comparison import Comparison
    from ..results.folder import ResultsFolder
    from ..studies.lens_study import LensStudy

    if not isinstance(given, Lens):
        return LensStudy(network, data, given, path, folder_name(network.name), kind, settings, other).run(progress)
    result = transfer(network, given, data, out=path, settings=settings, progress=progress)
    with ResultsFolder.open(path, None) as folder:
        if folder.writes:
            draw_report(Comparison([], [result]), folder, page=False)
    return [result]


def _data_to_fit(
    network: Network, source: str, measured: Data, settings: Settings, length: int | None
) -> tuple[Settings, Data]:
    """Settings with the units to read, and the data to fit on. Without a training split, both get half of the data."""
    from ..data.clusters import clusters_of, units_per_cluster
    from ..studies.fitting_data import fitting_data, training_split

    if settings.units is None and training_split(source, network, settings.seed, length).name == measured.name:
        settings = settings.changed({"units": len(measured) // 2 * units_per_cluster(measured)})
    clusters = clusters_of(measured, settings.units, at_most=True)
    return settings, fitting_data(source, network, measured, clusters, settings.seed, length)


def _print_results(results: list[TransferResult], folder: Path) -> None:
    from ..results.comparison import Comparison

    comparison = Comparison([], results)
    for result in results:
        out.print(repr(result), markup=False, highlight=False, soft_wrap=True)
    print_summaries(comparison.summaries)
    out.print(f"Results in {folder}; itinf report {folder} makes a page of them", markup=False, soft_wrap=True)
    print_answers(comparison.table, comparison.summaries)
