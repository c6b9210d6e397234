"""The lenses of a results folder: fitted once, each depth's own and one for all, and read again afterwards."""

from __future__ import annotations

from pathlib import Path

from ..architecture import Network
from ..data import Data, load_batch
from ..errors import ItinfError
from ..progress import Progress, silent
from ..tracing import trace
from .collect import places
from .fit import fit, lens
from .fitting_data import clusters_of
from .lens import Kind, Lens

FIT_UNITS = {"image": 2048, "token": 16384}
"""Units a lens is fitted on unless told otherwise, ..."""
PER_CHANNEL = 3
"""... or so many for every channel of the widest state, where that is more."""


def lenses(
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
    asked = clusters_of(data, units or enough(network, data)) * data[0][1].numel()
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
    assert own.found is not None
    about = {key: own.record[key] for key in ("data", "note", "units", "seed", "asked")}
    one = lens(network, own.found, "shared", about)
    if not there:
        for made, path in zip((own, one), paths, strict=True):
            made.save(path)
    return own, one


def enough(network: Network, data: Data) -> int:
    """Units to fit on unless told otherwise."""
    found = places(network, trace(network, load_batch(data, [0]), gradients=False))
    return max(FIT_UNITS[network.unit], PER_CHANNEL * max(place.width for place in found))
