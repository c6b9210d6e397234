"""Lenses of one network and of untrained networks like it: fitting, transfer, and their results folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..data.clusters import Progress, clusters_of, identity_of, keyed_order, load_batch, silent, units_per_cluster
from ..data.dataset import Data
from ..errors import ItinfError
from ..files import difference, folder_name
from ..lenses.confidence import at_best_confidence
from ..lenses.fit import closed_form_lens, fit
from ..lenses.kinds import DEFAULT, SHARED, require_transfers
from ..lenses.lens import Lens
from ..lenses.transfer.cells import FITTED_ON
from ..lenses.transfer.transfer import transfer
from ..networks.network import Network
from ..networks.states import sites
from ..networks.trace import trace
from ..networks.untrained import fresh
from ..networks.weights import fingerprint
from ..results.circumstances import circumstances
from ..results.comparison import TRAINED, TRANSFER, Comparison
from ..results.folder import ResultsFolder
from ..results.manifest import MANIFEST, damages, read_manifest
from ..results.report import draw_report
from ..results.schema import SCHEMA
from ..results.table import MEASURES
from ..results.transfer_result import SUMMARIES, TransferResult
from ..settings import CALIBRATION, DEFAULTS, Settings
from ..statistics.processes import agreed, here, joined_bytes, parted_bytes, process_group

LENSES = "lenses"


@dataclass(frozen=True)
class LensStudy:
    """Fits the lenses of a network, and measures how they transfer.

    Attributes:
        network: the network; ``data``: data to score its lenses on; ``fitting``: data to fit them on.
        folder: the folder of the comparison. It gets ``lenses/NAME/`` and ``transfer/NAME/``; each contains a folder
            for the network and one for every untrained network.
        name: the NAME of these folders.
        kind: the kind of the lens of each state, such as "affine" or "tuned".
        other: other data to fit the lenses on, too: how much do they retain? None for none.
        settings: the settings of the study; ``units`` is the largest number of units to score on, ``untrained`` the
            number of untrained networks whose lenses are fitted and transferred in the same way.
    """

    network: Network
    data: Data
    fitting: Data
    folder: Path
    name: str
    kind: str = DEFAULT
    settings: Settings = DEFAULTS
    other: Data | None = None
    _fitted: dict[str, tuple[Lens, Lens]] = field(default_factory=dict, init=False, repr=False)

    def fitted(self, progress: Progress) -> tuple[Lens, Lens]:
        """The lens of each depth and the shared lens, fitted, or read from the folder."""
        return self._lenses(self.network, TRAINED, False, progress)

    def transfers(self, progress: Progress) -> list[TransferResult]:
        """The transfer of the network, and of every untrained network as a null; finished ones are read."""
        results = [self._moved(self.network, TRAINED, progress)]
        clusters = clusters_of(self.data, self.settings.units, at_most=True)
        order = keyed_order(self.data, clusters, self.settings.seed, CALIBRATION[self.network.unit])
        for seed in range(self.settings.untrained):
            other = fresh(self.network, seed, self.data, order, self.settings.group)
            results.append(self._moved(other, f"untrained-{seed}", progress).as_null("untrained", seed))
        return results

    def run(self, progress: Progress) -> list[TransferResult]:
        """Like ``transfers``, and also draws figures; the folder must hold nothing else.

        Raises:
            ItinfError: the folder holds something else, or another process is writing to it.
        """
        with process_group(), self._kept() as folder:
            results = self.transfers(progress)
            entries: dict[str, Any] = {"networks": {}, "transfers": [result.manifest for result in results]}
            folder.made_of(entries)
            if folder.writes:
                draw_report(Comparison([], results), folder, page=False)
            if not folder.manifest["complete"]:
                folder.complete({}, sum(result.manifest["clusters"] for result in results), **entries)
        return results

    @contextmanager
    def _kept(self) -> Iterator[ResultsFolder]:
        identity = {
            "schema": SCHEMA,
            "network": {"name": self.network.name, "fingerprint": fingerprint(self.network.model)},
            "data": {"name": self.data.name, "note": self.data.note, "unit": self.data.unit},
            "fitting": {"name": self.fitting.name, "note": self.fitting.note},
            "settings": {
                "lens": self.kind,
                "fit_units": self.settings.fit_units,
                "units": self.settings.units,
                "seed": self.settings.seed,
                "replicates": self.settings.replicates,
                "untrained": self.settings.untrained,
                "precision": self.settings.precision,
                **({} if self.settings.pairs else {"pairs": False}),
                **({"counterfactual": True, "group": self.settings.group} if self.settings.counterfactual else {}),
            },
            **({} if self.other is None else {"other": {"name": self.other.name, "note": self.other.note}}),
        }
        under = circumstances(self.network.device, self.settings.batch)
        with ResultsFolder.open(self.folder, identity, under, what="transfer", parts=(LENSES, TRANSFER)) as folder:
            yield folder

    def _moved(self, network: Network, name: str, progress: Progress) -> TransferResult:
        def shown(stage: str, done: int, total: int) -> None:
            progress(stage if name == TRAINED else f"{name}, {stage}", done, total)

        where = self.folder / TRANSFER / self.name / name
        needed = not agreed(lambda: _stands(where))
        own, _ = self._lenses(network, name, needed, shown)
        other = None if name != TRAINED else self.other
        return transfer(
            network,
            own,
            self.data,
            also=() if other is None else [self._of_other(other, needed, shown)],
            out=where,
            settings=self.settings,
            progress=shown,
        )

    def _of_other(self, other: Data, moments: bool, progress: Progress) -> Lens:
        """The lens of each depth, fitted on other data."""
        folder = self.folder / LENSES / self.name / folder_name(f"{FITTED_ON}{other.name}")
        units, seed, batch = self.settings.fit_units, self.settings.seed, min(BATCH, self.settings.batch)
        return fit_or_load(self.network, other, self.kind, units, seed, folder, moments, progress, batch)[0]

    def _lenses(self, network: Network, name: str, moments: bool, progress: Progress) -> tuple[Lens, Lens]:
        if name not in self._fitted or (moments and self._fitted[name][0].statistics is None):
            folder = self.folder / LENSES / self.name / name
            units, seed, batch = self.settings.fit_units, self.settings.seed, min(BATCH, self.settings.batch)
            self._fitted[name] = fit_or_load(
                network, self.fitting, self.kind, units, seed, folder, moments, progress, batch
            )
        return self._fitted[name]


def _stands(folder: Path) -> bool:
    """Whether a folder holds a finished, undamaged transfer; then no moments are needed."""
    manifest, tables = read_manifest(folder) or {}, (MEASURES, SUMMARIES)
    sound = bool(manifest.get("complete")) and not damages(folder, manifest)
    return sound and all((folder / name).is_file() for name in tables)


def _shared(folder: ResultsFolder, read: Callable[[], tuple[Lens, Lens] | None]) -> tuple[Lens, Lens] | None:
    """The lenses that the first process reads from a folder, for all."""
    found: list[tuple[Lens, Lens] | None] = []

    def content() -> bytes:
        found.append(read())
        several = here().size > 1 and found[0] is not None
        return joined_bytes([lens.content() for lens in found[0] or ()]) if several else b""

    sent = parted_bytes(folder.from_first(content))
    if found:
        return found[0]
    return (Lens.of(sent[0]), Lens.of(sent[1])) if sent else None


BATCH = 64
"""Clusters per forward pass of a fit, at most: a study fits in smaller batches only if there is too little memory."""

FIT_UNITS = {"image": 2048, "token": 16384, "text": 2048}
"""Default number of units to fit a lens on, ..."""


PER_CHANNEL = 3
"""... or this many units for every channel of the widest state, if that is more."""


def fit_or_load(
    network: Network,
    data: Data,
    kind: str,
    units: int | None,
    seed: int,
    folder: Path,
    moments: bool = False,
    progress: Progress = silent,
    batch: int = BATCH,
) -> tuple[Lens, Lens]:
    """The lens of each depth and the shared lens, fitted, or read from a folder.

    Args:
        network: the network; ``data``: data to fit the lenses on.
        kind: the kind of the lens of each depth, such as "affine" or "tuned".
        units: images or tokens to fit on; None for the default number, at most all.
        seed: seed of the choice of clusters.
        folder: gets ``KIND.safetensors`` and ``shared.safetensors``; if both are there and undamaged, they are read.
        moments: True if the lenses also need their moments. No file holds moments, so they are measured again.
        progress, batch: as for ``fit``.

    Raises:
        ItinfError: the folder holds lenses of another network or other settings, or ``fit`` refuses its arguments.
    """
    require_transfers(kind)
    names = [f"{name}.safetensors" for name in (kind, SHARED.name)]
    asked = clusters_of(data, units or default_fit_units(network, data), at_most=True) * units_per_cluster(data)
    identity = {
        "schema": SCHEMA,
        "network": {"name": network.name, "fingerprint": fingerprint(network.model)},
        "data": identity_of(data, keyed_order(data, clusters_of(data, asked), seed).indices),
        "settings": {"kind": kind, "units": asked, "seed": seed},
    }
    with ResultsFolder.open(
        folder, identity, circumstances(network.device, batch), what="study's lenses", parts=names
    ) as results:
        saved = _shared(results, lambda: _lenses_in(results, network, data, names, asked, seed))
        if saved is not None and moments:
            statistics = fit(network, data, "logit", units=asked, batch=batch, seed=seed, progress=progress).statistics
            return replace(saved[0], statistics=statistics), replace(saved[1], statistics=statistics)
        if saved is not None:
            return saved
        lens = fit(network, data, kind, units=asked, batch=batch, seed=seed, progress=progress)
        lens.record["asked"] = asked
        assert lens.statistics is not None
        kept = ("data", "note", "units", "seed", "asked", "content")
        about = {key: lens.record[key] for key in kept if key in lens.record}
        shared = closed_form_lens(network, lens.statistics, SHARED.name, about)
        order = keyed_order(data, clusters_of(data, asked), seed)
        shared = at_best_confidence(network, shared, data, order, batch)
        contents = dict(zip(names, (lens.content(), shared.content()), strict=True))
        results.complete(contents, clusters_of(data, asked))
    return lens, shared


def _lenses_in(
    folder: ResultsFolder, network: Network, data: Data, names: list[str], asked: int, seed: int
) -> tuple[Lens, Lens] | None:
    """The undamaged lenses in a folder; None if they have to be fitted.

    An older itinf wrote lenses without a manifest; only the files themselves say how they were fitted.

    Raises:
        ItinfError: such lenses were fitted on other data, units, seed or another readout.
    """
    assert folder.path is not None
    paths = [folder.path / name for name in names]
    if folder.state == "complete":
        for path, name in zip(paths, names, strict=True):
            if why := folder.problem(name):
                folder.start_over(f"{path} {why}", *names)
                return None
    elif (folder.path / MANIFEST).exists() or not all(path.is_file() for path in paths):
        return None
    first, shared = (Lens.load(path, network) for path in paths)
    asked_for = {"data": data.name, "asked": asked, "seed": seed}
    for lens, path in zip((first, shared), paths, strict=True):
        if (mismatch := difference(asked_for, lens.record)) is not None:
            raise ItinfError(f"{path} is a lens of another study: {mismatch}. Choose another --out.")
    return first, shared


def default_fit_units(network: Network, data: Data) -> int:
    """The default number of units to fit a lens on."""
    read = sites(trace(network, load_batch(data, [0]), gradients=False))
    return max(FIT_UNITS[network.unit], PER_CHANNEL * max(site.width for site in read))
