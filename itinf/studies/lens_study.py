"""A network's lenses and their transfer, and those of untrained networks like it, kept in its results folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..data.clusters import Progress, clusters_of, keyed_order, load_batch, silent, units_per_cluster
from ..data.dataset import Data
from ..errors import ItinfError
from ..files import difference
from ..lenses.fit import closed_form_lens, fit
from ..lenses.kinds import DEFAULT, SHARED, either, lens_kind, lens_kinds
from ..lenses.lens import Lens
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

LENSES = "lenses"


@dataclass(frozen=True)
class LensStudy:
    """How lenses are fitted, judged and moved.

    Attributes:
        network: the network; ``data``: what its lenses are judged on; ``fitting``: what they are fitted on.
        folder: of the comparison; gets ``lenses/NAME/`` and ``transfer/NAME/``, both with a folder for the network
            and one for each untrained one in them.
        name: of the network's folders.
        kind: of each state's own lens, such as "affine" or "tuned".
        settings: of the study; ``units`` says how many are judged on at most, and ``untrained`` how many networks
            at random initialisation are read in the same way.
    """

    network: Network
    data: Data
    fitting: Data
    folder: Path
    name: str
    kind: str = DEFAULT
    settings: Settings = DEFAULTS
    _fitted: dict[str, tuple[Lens, Lens]] = field(default_factory=dict, init=False, repr=False)

    def fitted(self, progress: Progress) -> tuple[Lens, Lens]:
        """Each depth's own lens and the shared one, fitted or read."""
        return self._lenses(self.network, TRAINED, False, progress)

    def transfers(self, progress: Progress) -> list[TransferResult]:
        """Of the network, then of each untrained one, whose rows are a null's; what stands is read."""
        found = [self._moved(self.network, TRAINED, progress)]
        clusters = clusters_of(self.data, self.settings.units, at_most=True)
        order = keyed_order(self.data, clusters, self.settings.seed, CALIBRATION[self.network.unit])
        for seed in range(self.settings.untrained):
            other = fresh(self.network, seed, self.data, order, self.settings.group)
            found.append(self._moved(other, f"untrained-{seed}", progress).as_null("untrained", seed))
        return found

    def run(self, progress: Progress) -> list[TransferResult]:
        """The transfers and their figures, in a folder that holds nothing else; otherwise as ``transfers``.

        Raises:
            ItinfError: the folder holds something else, or another process is writing to it.
        """
        with self._kept() as folder:
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
            },
        }
        under = circumstances(self.network.device, self.settings.batch)
        with ResultsFolder.open(self.folder, identity, under, what="transfer", parts=(LENSES, TRANSFER)) as folder:
            yield folder

    def _moved(self, network: Network, name: str, progress: Progress) -> TransferResult:
        def shown(stage: str, done: int, total: int) -> None:
            progress(stage if name == TRAINED else f"{name}, {stage}", done, total)

        where = self.folder / TRANSFER / self.name / name
        own, _ = self._lenses(network, name, not _stands(where), shown)
        return transfer(
            network,
            own,
            self.data,
            out=where,
            settings=self.settings,
            progress=shown,
        )

    def _lenses(self, network: Network, name: str, moments: bool, progress: Progress) -> tuple[Lens, Lens]:
        if name not in self._fitted or (moments and self._fitted[name][0].statistics is None):
            folder = self.folder / LENSES / self.name / name
            self._fitted[name] = fit_or_load(
                network, self.fitting, self.kind, self.settings.fit_units, self.settings.seed, folder, moments, progress
            )
        return self._fitted[name]


def _stands(folder: Path) -> bool:
    """Whether a folder holds a whole transfer, for which no moments are needed."""
    there = read_manifest(folder) or {}
    names = MEASURES, SUMMARIES
    return bool(there.get("complete")) and not damages(folder, there) and all((folder / n).is_file() for n in names)


BATCH = 64
"""Clusters per forward pass of a fit; a study's own decides nothing of a lens."""

FIT_UNITS = {"image": 2048, "token": 16384}
"""Units a lens is fitted on unless told otherwise, ..."""


PER_CHANNEL = 3
"""... or so many for every channel of the widest state, where that is more."""


def fit_or_load(
    network: Network,
    data: Data,
    kind: str,
    units: int | None,
    seed: int,
    folder: Path,
    moments: bool = False,
    progress: Progress = silent,
) -> tuple[Lens, Lens]:
    """Each depth's own lens and the shared one.

    Args:
        network: the network; ``data``: what they are fitted on.
        kind: of each depth's own lens, such as "affine" or "tuned".
        units: images or tokens; None for the usual number, at most all.
        seed: of the choice of clusters.
        folder: gets ``KIND.safetensors`` and ``shared.safetensors``; where both stand as written, they are read.
        moments: they are needed, too; no file has them, so they are taken again.
        progress: as for ``fit``.

    Raises:
        ItinfError: lenses of another network or other settings stand there; what ``fit`` refuses.
    """
    if not lens_kind(kind).transfers:
        expected = either(known for known in lens_kinds() if known.transfers)
        raise ItinfError(f"lens is {kind!r}; expected {expected}, or none to leave lenses out.")
    names = [f"{name}.safetensors" for name in (kind, SHARED.name)]
    asked = clusters_of(data, units or default_fit_units(network, data), at_most=True) * units_per_cluster(data)
    identity = {
        "schema": SCHEMA,
        "network": {"name": network.name, "fingerprint": fingerprint(network.model)},
        "data": {"name": data.name, "note": data.note, "unit": data.unit},
        "settings": {"kind": kind, "units": asked, "seed": seed},
    }
    with ResultsFolder.open(
        folder, identity, circumstances(network.device, BATCH), what="study's lenses", parts=names
    ) as kept:
        there = _lenses_in(kept, network, data, names, asked, seed)
        if there is not None and moments:
            statistics = fit(network, data, "logit", units=asked, batch=BATCH, seed=seed, progress=progress).statistics
            return replace(there[0], statistics=statistics), replace(there[1], statistics=statistics)
        if there is not None:
            return there
        own = fit(network, data, kind, units=asked, batch=BATCH, seed=seed, progress=progress)
        own.record["asked"] = asked
        assert own.statistics is not None
        about = {key: own.record[key] for key in ("data", "note", "units", "seed", "asked")}
        one = closed_form_lens(network, own.statistics, SHARED.name, about)
        contents = dict(zip(names, (own.content(), one.content()), strict=True))
        kept.complete(contents, clusters_of(data, asked))
    return own, one


def _lenses_in(
    folder: ResultsFolder, network: Network, data: Data, names: list[str], asked: int, seed: int
) -> tuple[Lens, Lens] | None:
    """The lenses that a folder holds as they were written; None where they have to be fitted.

    An older itinf wrote lenses without a manifest, and what they are of stands in each file alone.

    Raises:
        ItinfError: such lenses of other data, units or seed; or of another readout.
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
    own, one = (Lens.load(path, network) for path in paths)
    wanted = {"data": data.name, "asked": asked, "seed": seed}
    for lens, path in zip((own, one), paths, strict=True):
        if (other := difference(wanted, lens.record)) is not None:
            raise ItinfError(f"{path} is a lens of another study: {other}. Choose another --out.")
    return own, one


def default_fit_units(network: Network, data: Data) -> int:
    """Units to fit on unless told otherwise."""
    found = sites(trace(network, load_batch(data, [0]), gradients=False))
    return max(FIT_UNITS[network.unit], PER_CHANNEL * max(place.width for place in found))
