"""A network's lenses and their transfer, and those of untrained networks like it, kept in its results folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .architecture import Network
from .data import Data, keyed_order
from .lenses.fitting_data import clusters_of
from .lenses.keep import lenses
from .lenses.lens import Lens
from .lenses.study import Transfer, transfer
from .progress import Progress
from .run import read_manifest
from .settings import CALIBRATION
from .untrained import fresh

LENSES, TRANSFER, TRAINED = "lenses", "transfer", "trained"


@dataclass(frozen=True)
class Lensing:
    """How lenses are fitted, judged and moved.

    Attributes:
        network: the network; ``data``: what its lenses are judged on; ``fitting``: what they are fitted on.
        folder: of the comparison; gets ``lenses/NAME/`` and ``transfer/NAME/``, both with a folder for the network
            and one for each untrained one in them.
        name: of the network's folders.
        kind: of each depth's own lens, "affine" or "tuned".
        fit_units: None for the usual number; ``units``: judged on, at most.
        seed, group, replicates: as of a study.
        untrained: how many networks at random initialisation are read in the same way.
        precision: at which transfer stops.
        batch: clusters per forward pass.
    """

    network: Network
    data: Data
    fitting: Data
    folder: Path
    name: str
    kind: Any = "affine"
    fit_units: int | None = None
    units: int | None = None
    seed: int = 0
    group: int = 32
    replicates: int = 400
    untrained: int = 0
    precision: float = 0.05
    batch: int = 64
    _fitted: dict[str, tuple[Lens, Lens]] = field(default_factory=dict, init=False, repr=False)

    def fitted(self, progress: Progress) -> tuple[Lens, Lens]:
        """Each depth's own lens and the shared one, fitted or read."""
        return self._lenses(self.network, TRAINED, False, progress)

    def transfers(self, progress: Progress) -> list[Transfer]:
        """Of the network, then of each untrained one, whose rows are a null's; what stands is read."""
        found = [self._moved(self.network, TRAINED, progress)]
        clusters = clusters_of(self.data, self.units)
        order = keyed_order(self.data, clusters, self.seed, CALIBRATION[self.network.unit])
        for seed in range(self.untrained):
            other = fresh(self.network, seed, self.data, order, self.group)
            found.append(self._moved(other, f"untrained-{seed}", progress).as_null("untrained", seed))
        return found

    def _moved(self, network: Network, name: str, progress: Progress) -> Transfer:
        def shown(stage: str, done: int, total: int) -> None:
            progress(stage if name == TRAINED else f"{name}, {stage}", done, total)

        where = self.folder / TRANSFER / self.name / name
        stands = (read_manifest(where) or {}).get("complete", False)
        own, _ = self._lenses(network, name, not stands, shown)
        return transfer(
            network,
            own,
            self.data,
            units=self.units,
            precision=self.precision,
            batch=self.batch,
            seed=self.seed,
            replicates=self.replicates,
            out=where,
            progress=shown,
        )

    def _lenses(self, network: Network, name: str, moments: bool, progress: Progress) -> tuple[Lens, Lens]:
        if name not in self._fitted or (moments and self._fitted[name][0].found is None):
            folder = self.folder / LENSES / self.name / name
            self._fitted[name] = lenses(
                network, self.fitting, self.kind, self.fit_units, self.seed, folder, moments, progress
            )
        return self._fitted[name]
