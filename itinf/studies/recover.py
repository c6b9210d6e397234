"""Studies of one causal language model that writes or is disturbed: recovery, and the closed loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..data.dataset import Data
from ..data.items import as_data
from ..data.progress import Progress
from ..errors import ItinfError
from ..lenses.lens import Lens
from ..networks.network import Network, require_network
from ..networks.writing import require_writer
from ..probes.closed_loop import ClosedLoop
from ..probes.recovery import Recovery
from ..results.probe_result import ProbeResult
from ..settings import DEFAULTS, Settings
from .probe import probe


def recover(
    network: Network,
    data: Any,
    *,
    inserted: int = 4,
    at: int = 128,
    depths: bool = False,
    lens: Lens | None = None,
    out: str | Path | None = None,
    settings: Settings = DEFAULTS,
    progress: Progress | None = None,
    **changes: Any,
) -> ProbeResult:
    """Measures whether a causal language model uses its old context again after inserted tokens, see ``Recovery``.

    Args:
        network: any network of tokens whose positions see no later ones.
        data: as for ``itinf.probe``; sequences of more than ``at + inserted`` tokens.
        inserted: number of tokens that are inserted; ``at``: how many stand before them.
        depths: also reads every state that the network's own readout fits.
        lens: also reads every state through this lens.
        out, settings, progress, **changes: as for ``itinf.probe``.

    Raises:
        ItinfError: the network predicts no next tokens, the sequences are too short, or an argument is wrong.
    """
    probes = [Recovery(inserted, at, depths)]
    probes += [] if lens is None else [Recovery(inserted, at, lens=lens)]
    source = _data(network, data, "recovery")
    length = _length(source)
    if len(probes[0].places(length)) < 2:
        raise ItinfError(
            f"{source.name} has sequences of {length} tokens; {inserted} inserted after {at} need {at + inserted + 1} at least. "
            "Give longer sequences (length=), or a smaller at."
        )
    return probe(network, source, probes, out=out, settings=settings, progress=progress, **changes)


def loop(
    network: Network,
    data: Any,
    process: Any = "random",
    *,
    prompt: int = 64,
    own: int = 15,
    turns: int = 11,
    out: str | Path | None = None,
    settings: Settings = DEFAULTS,
    progress: Progress | None = None,
    **changes: Any,
) -> ProbeResult:
    """Measures what a causal language model writes where an environment writes in between, see ``ClosedLoop``.

    Args:
        network: any network of tokens whose positions see no later ones.
        data: as for ``itinf.probe``; the first ``prompt`` tokens of each sequence are read.
        process: "random", "constant", or a file with a theme on each line.
        prompt, own, turns: tokens that are given, tokens that the network writes before each insertion, and insertions.
        out, settings, progress, **changes: as for ``itinf.probe``.

    Raises:
        ItinfError: the network predicts no next tokens, its context is too short, or an argument is wrong.
    """
    chosen = ClosedLoop(process, prompt, own, turns)
    source = _data(network, data, "the closed loop")
    if network.context is not None and chosen.length > network.context:
        raise ItinfError(
            f"A run has {chosen.length} tokens, and the context of {network.name} has {network.context}. "
            "Give a smaller prompt, own or turns."
        )
    if (length := _length(source)) < prompt:
        raise ItinfError(
            f"{source.name} has sequences of {length} tokens, fewer than prompt = {prompt}. Give a smaller prompt."
        )
    return probe(network, source, [chosen], out=out, settings=settings, progress=progress, **changes)


def _data(network: Network, data: Any, what: str) -> Data:
    require_network(network)
    require_writer(network, what)
    return as_data(data, network.unit, network.classes, network.name)


def _length(data: Data) -> int:
    """Tokens of the first sequence."""
    return len(data[0][0]) if len(data) else 0
