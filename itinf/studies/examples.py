"""The examples of a network: chosen once, kept in its folder, and read from there afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from ..data.clusters import Progress
from ..data.dataset import Data
from ..errors import ItinfError
from ..lenses.lens import Lens
from ..lenses.trajectory.examples import POOL, examples
from ..networks.network import Network
from ..results.folder import ResultsFolder
from ..results.probe_result import ProbeResult
from ..results.trajectory import EXAMPLES, Trajectory
from ..settings import Settings


def with_examples(
    run: ProbeResult,
    network: Network,
    data: Data,
    lenses: Sequence[Lens],
    folder: Path,
    settings: Settings,
    progress: Progress,
) -> ProbeResult:
    """A result with six examples, chosen among the first of the units that were measured.

    Where none can be chosen, as where no unit has a target, the result says why; its numbers stand all the same.

    Args:
        run: the finished result; ``folder``: its folder, which gets ``examples.parquet``, or has it.
        network, data: those of the result.
        lenses: of the network; without any, its own readout reads the states.
        settings: of the result; ``progress``: called as for ``itinf.probe``.

    Raises:
        ItinfError: the folder is in use, or cannot be written.
    """
    most = min(POOL[network.unit], settings.units or POOL[network.unit])

    def content() -> bytes:
        if kept.path is not None and kept.sound(EXAMPLES):
            return (kept.path / EXAMPLES).read_bytes()
        progress("examples", 0, most)
        made = examples(network, data, lenses, units=most, seed=settings.seed, batch=settings.batch).content()
        progress("examples", most, most)
        return made

    with ResultsFolder.open(folder, run.identity) as kept:
        try:
            found = kept.from_first(content)
            chosen = Trajectory.of(BytesIO(found), run.name, network.weights)
        except ItinfError as error:
            return replace(run, without_examples=str(error))
        if not kept.sound(EXAMPLES):
            kept.add(EXAMPLES, found)
    return replace(run, examples=chosen, without_examples="")
