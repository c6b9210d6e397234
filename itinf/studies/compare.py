"""From a plan to its results: every entrant of a comparison measured into its own folder."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..data.clusters import Progress, clusters_of
from ..data.dataset import Data
from ..errors import ItinfError, TooFewError
from ..files import folder_name
from ..lenses.lens import Lens
from ..networks.devices import to_device
from ..networks.network import Network
from ..probes import Alignment, Gain, Performance, Prediction, Probe, UpdateNorm
from ..registry import dataset, network
from ..results.circumstances import circumstances
from ..results.comparison import NETWORKS, TRANSFER, Comparison, compare
from ..results.folder import ResultsFolder
from ..results.probe_result import ProbeResult
from ..results.report import write_tables
from ..results.table import SCHEMA
from ..results.transfer_result import TransferResult
from .fitting_data import fitting_data
from .lens_study import LENSES, LensStudy
from .probe import probe
from .study_file import Study, StudyNetwork, study_toml
from .workers import run_in_processes

STUDY = "study.toml"
LENS_NULLS = ("same-target", "order-shuffled")
"""Beside predictions through a lens; the pairing null says no more than they do."""
MOST_UNTRAINED = 1
"""Untrained networks whose lenses are fitted and moved."""


class NetworkResults(NamedTuple):
    """One network's results; ``why`` it has no transfers, where data did not allow any."""

    run: ProbeResult
    transfers: list[TransferResult]
    why: str


@contextmanager
def comparison_folder(plan: Study, folder: Path, device: str) -> Iterator[ResultsFolder]:
    """Keeps the folder of a comparison; each network's own folders are kept while it is measured.

    Raises:
        ItinfError: two names that are one folder's, or a folder that holds something else or is in use.
    """
    names = [_name(entrant) for entrant in plan.networks]
    if len({folder_name(name) for name in names}) < len(names):
        raise ItinfError(
            f"Two networks share a name ({', '.join(names)}); give each a label of its own in a study file."
        )
    identity = {"schema": SCHEMA, "study": _identity(plan)}
    under = circumstances(device, plan.batch)
    parts = NETWORKS, LENSES, TRANSFER
    with ResultsFolder.open(folder, identity, under, what="comparison", parts=parts) as kept:
        yield kept


def measure_networks(
    plan: Study, folder: ResultsFolder, device: str, dtype: str, jobs: int, told: Callable[..., None]
) -> Comparison:
    """Measures every network of a plan; what stands in the folder is read.

    Args:
        plan: the study.
        folder: see ``comparison_folder``; gets ``networks/NAME/``, ``lenses/NAME/`` and ``transfer/NAME/`` for each.
        device, dtype: of the models.
        jobs: networks measured at a time.
        told: called with a network's name, stage, clusters done, and clusters in all.

    Raises:
        ItinfError: whatever a network's own folder, weights or data are refused for.
    """
    assert folder.path is not None
    each = [(plan, entrant, folder.path, device, dtype) for entrant in plan.networks]
    folder.begin()
    if jobs > 1 and len(each) > 1 and folder.state != "complete":
        # the last first: language, which takes longest, usually stands there
        run_in_processes(_run_network, each[::-1], jobs, told)
    found = [_run_network(*arguments, told) for arguments in each]
    transfers = [moved for one in found for moved in one.transfers]
    return compare([one.run for one in found], transfers, [one.why for one in found if one.why])


def save(both: Comparison, plan: Study, folder: ResultsFolder) -> None:
    """Writes a comparison's tables and study file, where they are missing, damaged or of other numbers."""
    folder.made_of(_entries(both))
    if not folder.sound(STUDY):
        folder.add(STUDY, study_toml(plan).encode())
    write_tables(both, folder)


def complete(both: Comparison, folder: ResultsFolder) -> None:
    """Writes that everything is there, after everything else."""
    if not folder.manifest["complete"]:
        manifests = [*(run.manifest for run in both.runs), *(moved.manifest for moved in both.transfers)]
        sittings = [manifest["history"] for manifest in manifests]
        done = sum(entries[-1]["clusters"][1] for entries in sittings if entries)
        folder.complete({}, done, **_entries(both))


def _identity(plan: Study) -> dict[str, Any]:
    """The plan, less what no number depends on."""
    found = tomllib.loads(study_toml(plan))
    entrants = [{k: v for k, v in entrant.items() if k != "batch"} for entrant in found.pop("network")]
    found.pop("batch", None)
    return {**found, "networks": {_name(e): given for e, given in zip(plan.networks, entrants, strict=True)}}


def _entries(both: Comparison) -> dict[str, Any]:
    """What a comparison's manifest says of what it is made of."""
    return {
        "networks": {run.name: run.manifest for run in both.runs},
        "transfers": [moved.manifest for moved in both.transfers],
        "notes": both.notes,
    }


def probe_network(
    opened: Network,
    data: Data,
    targets: Sequence[Any],
    batch: int,
    folder: Path,
    settings: dict[str, Any],
    progress: Progress,
    through: Sequence[Lens] = (),
    readout: Lens | None = None,
) -> ProbeResult:
    """Every probe on one network.

    Args:
        opened, data, batch, folder, settings, progress: as for ``itinf.probe``.
        targets: what losses are taken against.
        through: lenses that predictions are read through, too.
        readout: a lens that the ``readout`` gradient is taken through, too.

    Raises:
        ItinfError: an unknown target, or what ``itinf.probe`` refuses.
    """
    if wrong := [t for t in targets if t not in ("label", "answer", "model")]:
        raise ItinfError(f"--target {wrong[0]!r}: expected label, answer or model.")
    seen = [t for t in targets if t != "answer"] or ["label"]
    probes: list[Probe] = [
        Performance(),
        Alignment(targets=targets),
        UpdateNorm(),
        Gain(targets=targets),
        Prediction(targets=seen),
        *(Prediction(targets=seen, nulls=LENS_NULLS, lens=lens) for lens in through),
    ]
    if readout is not None:
        probes += [kind(targets=targets, gradients=("readout",), lens=readout) for kind in (Alignment, Gain)]
    return probe(opened, data, probes, batch=batch, out=folder, progress=progress, **settings)


def _run_network(
    plan: Study, entrant: StudyNetwork, folder: Path, device: str, dtype: str, told: Callable[..., None]
) -> NetworkResults:
    name = _name(entrant)
    progress = partial(told, name)
    opened = to_device(network(entrant.name, entrant.weights, **entrant.options).named(name), device, dtype)
    data = dataset(entrant.data, opened, seed=plan.seed, length=entrant.length)
    units, batch, where = (
        entrant.units or plan.units,
        entrant.batch or plan.batch,
        folder / NETWORKS / folder_name(name),
    )
    settings = {
        "units": units,
        "seed": plan.seed,
        "group": plan.group,
        "replicates": plan.replicates,
        "untrained": plan.untrained,
    }
    lensing, why = None, ""
    through: tuple[Lens, ...] = ()
    if plan.lens != "none":
        try:
            source, clusters = entrant.fit_data or entrant.data, clusters_of(data, units)
            fitting = fitting_data(source, opened, data, clusters, plan.seed, entrant.length)
            lensing = LensStudy(
                opened,
                data,
                fitting,
                folder,
                folder_name(name),
                kind="affine" if plan.lens == "auto" else plan.lens,
                fit_units=entrant.fit_units or plan.fit_units,
                units=units,
                seed=plan.seed,
                group=plan.group,
                replicates=plan.replicates,
                untrained=min(plan.untrained, MOST_UNTRAINED),
                precision=plan.precision,
                batch=batch,
            )
            through = lensing.fitted(progress)
        except TooFewError as error:
            if plan.lens != "auto":
                raise
            lensing, why = None, f"{name} has no lenses: {error}"
    run = probe_network(opened, data, plan.targets, batch, where, settings, progress, through)
    return NetworkResults(run, [] if lensing is None else lensing.transfers(progress), why)


def _name(entrant: StudyNetwork) -> str:
    return entrant.label or entrant.name
