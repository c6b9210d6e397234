"""What is read at every state of a few items: top classes, the truth, entropy and distance to the final prediction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.dataset import IGNORED
from ...networks.measuring import evaluating
from ...networks.readout import chunks, classes_of, require_finite
from ...networks.states import Site, sites
from ...networks.trace import Trace
from ..lens import Lens, translators_at
from ..translator import translated_logits

TOP = 5
"""How many of the likeliest classes are kept."""


@dataclass(frozen=True)
class Reading:
    """What one reader reads at one state, of R units.

    Attributes:
        site: of the state.
        number: of the state, in order of depth.
        reader: name of what reads it.
        classes: (R, k) the likeliest classes, likeliest first; of equal ones the lower number first.
        probabilities: (R, k) float64.
        truth_rank: (R,) 1 for the likeliest class; 0 where the truth is not known.
        truth_probability: (R,) float64; NaN where the truth is not known.
        entropy: (R,) float64, bits.
        divergence: (R,) float64, bits: KL(final ‖ this reading).
    """

    site: Site
    number: int
    reader: str
    classes: Tensor
    probabilities: Tensor
    truth_rank: Tensor
    truth_probability: Tensor
    entropy: Tensor
    divergence: Tensor


VALUES = ("classes", "probabilities", "truth_rank", "truth_probability", "entropy", "divergence")


def readings(trace: Trace, readers: Mapping[str, Lens | None]) -> list[Reading]:
    """Reads all states of a trace through every reader that fits them.

    The logits of one state exist at a time, and of as many units as ``chunks`` gives.

    Args:
        trace: of a batch.
        readers: name -> lens; None is the network's own readout.

    Raises:
        ItinfError: a lens of a network with other states, or numbers that are not finite.
    """
    network = trace.network
    through = {name: translators_at(trace, lens) for name, lens in readers.items()}
    known = [(n, site, name) for n, site in enumerate(sites(trace)) for name in readers if site.id in through[name]]
    found: dict[tuple[int, str], list[dict[str, Tensor]]] = {(n, name): [] for n, _, name in known}
    targets = trace.targets.flatten()
    last = trace.per_prediction(len(trace.states) - 1)
    with torch.no_grad(), evaluating(network):
        for part in chunks(len(last), classes_of(network, last)):
            final = _log_probabilities(network.readout(last[part]))
            for number, site, name in known:
                rows = trace.per_prediction(site.id)[part]
                logits = translated_logits(network, rows, through[name][site.id])
                require_finite(network, site.name, logits)
                found[number, name].append(_read(_log_probabilities(logits), final, targets[part]))
    return list(_joined(known, found))


def _log_probabilities(logits: Tensor) -> Tensor:
    return logits.double().log_softmax(1)


def _read(log_p: Tensor, final: Tensor, target: Tensor) -> dict[str, Tensor]:
    """The values of a reading: ``log_p`` and ``final`` (R, classes) in nats, ``target`` (R,)."""
    p, q = log_p.exp(), final.exp()
    top = log_p.topk(min(TOP, log_p.shape[1]), dim=1).indices.sort(1).values
    order = log_p.gather(1, top).sort(dim=1, descending=True, stable=True).indices
    classes = top.gather(1, order)
    known, index = target != IGNORED, target.clamp_min(0).unsqueeze(1)
    own = log_p.gather(1, index)
    before = torch.arange(log_p.shape[1], device=log_p.device) < index
    rank = 1 + ((log_p > own) | ((log_p == own) & before)).sum(1)
    apart = torch.where(q > 0, q * (final - log_p), 0.0).sum(1)
    return {
        "classes": classes,
        "probabilities": p.gather(1, classes),
        "truth_rank": rank * known,
        "truth_probability": own.exp().squeeze(1).where(known, torch.nan),
        "entropy": torch.special.entr(p).sum(1) / math.log(2),
        "divergence": apart.clamp_min(0) / math.log(2),  # rounding may leave less than 0
    }


def _joined(
    known: list[tuple[int, Site, str]], found: dict[tuple[int, str], list[dict[str, Tensor]]]
) -> Iterator[Reading]:
    for number, site, name in known:
        parts = found[number, name]
        yield Reading(site, number, name, **{key: torch.cat([p[key] for p in parts]).cpu() for key in VALUES})
