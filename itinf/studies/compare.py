"""Measures every network of a study into its own folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..data.clusters import Progress, clusters_of, keyed_order
from ..data.dataset import Data
from ..data.progress import StudyProgress
from ..errors import ItinfError, TooFewError
from ..files import folder_name
from ..lenses.kinds import SHARED
from ..lenses.lens import Lens
from ..networks.devices import to_device
from ..networks.network import Network
from ..networks.trace import TARGETS
from ..networks.untrained import fresh
from ..probes import (
    Alignment,
    EstimationError,
    Gain,
    Lesion,
    Performance,
    Persistence,
    Prediction,
    Probe,
    UpdateNorm,
    VarianceShares,
)
from ..registry import dataset
from ..registry import network as open_network
from ..results.comparison import NETWORKS, Comparison, compare
from ..results.folder import ResultsFolder
from ..results.probe_result import ProbeResult
from ..results.transfer_result import TransferResult
from ..settings import CALIBRATION, Settings
from .examples import with_examples
from .fitting_data import fitting_data
from .lens_study import LensStudy
from .probe import opened_probe, probe
from .study_file import Study, StudyNetwork
from .workers import run_in_processes

LENS_NULLS = ("same-target", "order-shuffled")
"""Nulls of predictions through a lens; the shared lens has also the pairing null, beyond which a step has to gain for the
onset (``itinf.results.onset``)."""
LESIONED = 500
"""Images or sequences, at most, in which every block is left out once."""
MOST_UNTRAINED = 1
"""Largest number of untrained networks whose lenses are fitted and transferred."""


class NetworkResults(NamedTuple):
    """The results of one network; ``why`` is a sentence if there were too few data for lenses, else ""."""

    run: ProbeResult
    transfers: list[TransferResult]
    why: str


def measure_networks(study: Study, folder: ResultsFolder, jobs: int, progress: StudyProgress) -> Comparison:
    """Measures every network of a study; results that are already in the folder are read.

    Args:
        study: the study.
        folder: the open folder of the comparison; it gets ``networks/NAME/``, ``lenses/NAME/`` and ``transfer/NAME/``.
        jobs: number of networks measured at a time.
        progress: called with a network's name, stage, clusters done, and all clusters.

    Raises:
        ItinfError: the folder, the weights or the data of a network are refused.
    """
    assert folder.path is not None
    each = {network.title: (study, network, folder.path) for network in study.networks}
    folder.begin()
    if jobs > 1 and len(each) > 1 and folder.state != "complete":
        # start with the last network: usually it is a language model, which takes longest
        returned = run_in_processes(_run_network, dict(reversed(each.items())), jobs, progress)
        results = [returned[name] for name in each]
    else:
        results = [_run_network(*arguments, progress) for arguments in each.values()]
    transfers = [transfer for result in results for transfer in result.transfers]
    notes = [result.why for result in results if result.why]
    return compare([result.run for result in results], transfers, notes, study.groups, study.roles)


def probe_network(
    network: Network,
    data: Data,
    targets: Sequence[Any],
    folder: Path,
    settings: Settings,
    progress: Progress,
    through: Sequence[Lens] = (),
    readout: Lens | None = None,
    measure: Sequence[str] = (),
) -> ProbeResult:
    """Measures one network with every probe.

    Args:
        network, data, folder, settings, progress: as for ``itinf.probe``.
        targets: targets of the losses: "label", "answer", "model".
        through: lenses; predictions are also read through each of them.
        readout: a lens; the ``readout`` gradient is also taken through it.
        measure: names of registered probes beside the usual ones.

    Raises:
        ItinfError: there is no such target or probe, or ``itinf.probe`` refuses its arguments.
    """
    probes = study_probes(targets, through, readout, measure)
    return probe(network, data, probes, out=folder, settings=settings, progress=progress)


def study_probes(
    targets: Sequence[Any], through: Sequence[Lens] = (), readout: Lens | None = None, measure: Sequence[str] = ()
) -> list[Probe]:
    """Every probe, see ``probe_network``.

    Raises:
        ItinfError: there is no such target or probe.
    """
    if wrong := [t for t in targets if t not in TARGETS]:
        raise ItinfError(f"--target {wrong[0]!r}: expected {' or '.join(TARGETS)}. Give one of these.")
    predicted = [t for t in targets if t != "answer"] or ["label"]
    probes: list[Probe] = [
        Performance(),
        Alignment(targets=targets),
        UpdateNorm(),
        Gain(targets=targets),
        Prediction(targets=predicted),
        *(Prediction(targets=predicted, nulls=_nulls_of(lens), lens=lens) for lens in through),
    ]
    if "label" in targets:  # wrong classes are those that are not the label
        needed = [lens for lens in through if lens.kind == SHARED.name and not _own_readout_fits(lens)]
        probes += [Persistence(), *(Persistence(lens=lens) for lens in needed)]
    if readout is not None:
        probes += [kind(targets=targets, gradients=("readout",), lens=readout) for kind in (Alignment, Gain)]
    added = list(map(opened_probe, measure))
    cheap: list[Probe] = [VarianceShares(), EstimationError()]
    if "label" in targets:
        cheap.append(Lesion(nulls=("pairing",), units=LESIONED))
    probes += [probe for probe in cheap if type(probe) not in map(type, added)]
    usual = set(map(type, probes))
    for named in added:
        if type(named) not in usual:
            probes += [named, *(replace(named, lens=lens) for lens in through if named.through_lenses)]
    return probes


def _nulls_of(lens: Lens) -> tuple[str, ...]:
    return ("pairing", *LENS_NULLS) if lens.kind == SHARED.name else LENS_NULLS


def _own_readout_fits(lens: Lens) -> bool:
    """Whether the network's own readout fits every state that a lens reads."""
    return all(site.width == lens.sites[-1].width for site in lens.sites)


def opened_for(study: Study, chosen: StudyNetwork) -> tuple[Network, Data]:
    """A network of a study, and its data."""
    settings, seed = study.settings_of(chosen), chosen.untrained_seed
    weights = chosen.weights if seed is None else f"random:{seed}"
    opened = open_network(chosen.name, weights or None, **chosen.options).named(chosen.title)
    opened = to_device(opened, settings.device, settings.dtype)
    data = dataset(chosen.data, opened, seed=settings.seed, length=chosen.length)
    if seed is None:
        return opened, data
    clusters = clusters_of(data, settings.units, at_most=True)
    order = keyed_order(data, clusters, settings.seed, settings.calibration or CALIBRATION[opened.unit])
    return fresh(opened, seed, data, order, settings.group), data


def _run_network(study: Study, chosen: StudyNetwork, folder: Path, progress: StudyProgress) -> NetworkResults:
    """Fits the lenses, runs the probes (which read predictions through them), chooses examples, and transfers the lenses."""
    settings, shown = study.settings_of(chosen), partial(progress, chosen.title)
    opened, data = opened_for(study, chosen)
    lens_study, why = None, ""
    through: tuple[Lens, ...] = ()
    try:
        lens_study = lens_study_of(study, chosen, opened, data, folder)
        through = () if lens_study is None else lens_study.fitted(shown)
    except TooFewError as error:
        if study.lens != "auto":
            raise
        lens_study, why = None, f"{chosen.title} has no lenses: {error}"
    where = folder / NETWORKS / folder_name(chosen.title)
    run = probe_network(opened, data, study.targets, where, settings, shown, through, measure=study.measure)
    run = with_examples(run, opened, data, through, where, settings, shown)
    return NetworkResults(run, [] if lens_study is None else lens_study.transfers(shown), why)


def lens_study_of(study: Study, chosen: StudyNetwork, opened: Network, data: Data, folder: Path) -> LensStudy | None:
    """How the lenses of a network are fitted and transferred; None without lenses.

    Raises:
        TooFewError: too few data are left to fit on.
    """
    if study.lens == "none":
        return None
    settings = study.settings_of(chosen)
    source, clusters = chosen.fit_data or chosen.data, clusters_of(data, settings.units)
    fitting = fitting_data(source, opened, data, clusters, settings.seed, chosen.length)
    kind = "affine" if study.lens == "auto" else study.lens
    settings = replace(settings, untrained=min(settings.untrained, MOST_UNTRAINED))
    other = None
    if chosen.fitted_on:
        other = fitting_data(chosen.fitted_on, opened, data, clusters, settings.seed, chosen.length)
    return LensStudy(opened, data, fitting, folder, folder_name(chosen.title), kind, settings, other)
