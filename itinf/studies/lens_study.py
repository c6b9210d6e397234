"""A network's lenses and their transfer, and those of untrained networks like it, kept in its results folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.clusters import Progress, clusters_of, keyed_order, load_batch, silent
from ..data.dataset import Data
from ..errors import ItinfError
from ..lenses.fit import closed_form_lens, fit
from ..lenses.lens import Kind, Lens
from ..lenses.transfer.transfer import transfer
from ..networks.network import Network
from ..networks.states import sites
from ..networks.trace import trace
from ..networks.untrained import fresh
from ..results.manifest import read_manifest
from ..results.transfer_result import TransferResult
from ..settings import CALIBRATION, DEFAULTS, Settings

LENSES, TRANSFER, TRAINED = "lenses", "transfer", "trained"


@dataclass(frozen=True)
class LensStudy:
    """How lenses are fitted, judged and moved.

    Attributes:
        network: the network; ``data``: what its lenses are judged on; ``fitting``: what they are fitted on.
        folder: of the comparison; gets ``lenses/NAME/`` and ``transfer/NAME/``, both with a folder for the network
            and one for each untrained one in them.
        name: of the network's folders.
        kind: of each depth's own lens, "affine" or "tuned".
        settings: of the study; ``units`` says how many are judged on at most, and ``untrained`` how many networks
            at random initialisation are read in the same way.
    """

    network: Network
    data: Data
    fitting: Data
    folder: Path
    name: str
    kind: Any = "affine"
    settings: Settings = DEFAULTS
    _fitted: dict[str, tuple[Lens, Lens]] = field(default_factory=dict, init=False, repr=False)

    def fitted(self, progress: Progress) -> tuple[Lens, Lens]:
        """Each depth's own lens and the shared one, fitted or read."""
        return self._lenses(self.network, TRAINED, False, progress)

    def transfers(self, progress: Progress) -> list[TransferResult]:
        """Of the network, then of each untrained one, whose rows are a null's; what stands is read."""
        found = [self._moved(self.network, TRAINED, progress)]
        clusters = clusters_of(self.data, self.settings.units)
        order = keyed_order(self.data, clusters, self.settings.seed, CALIBRATION[self.network.unit])
        for seed in range(self.settings.untrained):
            other = fresh(self.network, seed, self.data, order, self.settings.group)
            found.append(self._moved(other, f"untrained-{seed}", progress).as_null("untrained", seed))
        return found

    def _moved(self, network: Network, name: str, progress: Progress) -> TransferResult:
        def shown(stage: str, done: int, total: int) -> None:
            progress(stage if name == TRAINED else f"{name}, {stage}", done, total)

        where = self.folder / TRANSFER / self.name / name
        stands = (read_manifest(where) or {}).get("complete", False)
        own, _ = self._lenses(network, name, not stands, shown)
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


FIT_UNITS = {"image": 2048, "token": 16384}
"""Units a lens is fitted on unless told otherwise, ..."""


PER_CHANNEL = 3
"""... or so many for every channel of the widest state, where that is more."""


def fit_or_load(
    network: Network,
    data: Data,
    kind: Kind,
    units: int | None,
    seed: int,
    folder: Path,
    moments: bool = False,
    progress: Progress = silent,
) -> tuple[Lens, Lens]:
    """Each depth's own lens and the shared one.

    Args:
        network: the network; ``data``: what they are fitted on.
        kind: "affine" or "tuned", of each depth's own.
        units: images or tokens; None for the usual number, at most all.
        seed: of the choice of clusters.
        folder: gets ``KIND.safetensors`` and ``shared.safetensors``; where both stand, they are read.
        moments: they are needed, too; no file has them, so the lenses are fitted again.
        progress: as for ``fit``.

    Raises:
        ItinfError: lenses of another network or other settings stand there; what ``fit`` refuses.
    """
    if kind not in ("affine", "tuned"):
        raise ItinfError(f"lens is {kind!r}; expected affine or tuned, or none to leave lenses out.")
    paths = [folder / f"{name}.safetensors" for name in (kind, "shared")]
    there = [Lens.load(path, network) for path in paths if path.is_file()]
    asked = clusters_of(data, units or default_fit_units(network, data)) * data[0][1].numel()
    for found, path in zip(there, paths, strict=False):
        for what, wanted in (("data", data.name), ("asked", asked), ("seed", seed)):
            if (given := found.record.get(what)) != wanted:
                raise ItinfError(
                    f"{path} is a lens of another study: {what} is {given!r} there and {wanted!r} here. Choose another --out."
                )
    if len(there) == len(paths) and not moments:
        return there[0], there[1]
    own = fit(network, data, kind, units=asked, seed=seed, progress=progress)
    own.record["asked"] = asked
    assert own.statistics is not None
    about = {key: own.record[key] for key in ("data", "note", "units", "seed", "asked")}
    one = closed_form_lens(network, own.statistics, "shared", about)
    if not there:
        for made, path in zip((own, one), paths, strict=True):
            made.save(path)
    return own, one


def default_fit_units(network: Network, data: Data) -> int:
    """Units to fit on unless told otherwise."""
    found = sites(trace(network, load_batch(data, [0]), gradients=False))
    return max(FIT_UNITS[network.unit], PER_CHANNEL * max(place.width for place in found))
