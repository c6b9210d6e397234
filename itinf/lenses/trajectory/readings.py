"""What is read at every state of a few items: top classes, the truth, entropy and distance to the final prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.dataset import IGNORED
from ...networks.measuring import evaluating
from ...networks.readout import chunks, classes_of, require_finite
from ...networks.states import Site, sites
from ...networks.trace import Trace
from ..lens import Lens, translators_at
from ..translator import Translator, translated_logits

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


def readings(trace: Trace, readers: Mapping[str, Lens | None], rows: Tensor | None = None) -> list[Reading]:
    """Reads all states of a trace through every reader that fits them.

    The logits of one state exist at a time, and of as many units as ``chunks`` gives.

    Args:
        trace: of a batch.
        readers: name -> lens; None is the network's own readout.
        rows: (R,) units to read, in the order of ``Trace.per_prediction``; all by default.

    Raises:
        ItinfError: a lens of a network with other states, or numbers that are not finite.
    """
    network, last = trace.network, len(trace.states) - 1
    known = _readable(trace, readers)
    found: dict[tuple[int, str], list[dict[str, Tensor]]] = {(n, name): [] for n, _, name, _ in known}
    chosen = torch.arange(trace.targets.numel()) if rows is None else rows
    for part in _parts(trace, chosen):
        target = trace.targets.flatten()[part]
        with torch.no_grad(), evaluating(network):
            final = _log_probabilities(network.readout(trace.per_prediction(last)[part]))
            for number, site, name, translator in known:
                logits = _logits(trace, site, translator, part)
                found[number, name].append(_read(_log_probabilities(logits), final, target))
    return [
        Reading(site, number, name, **{key: torch.cat([p[key] for p in found[number, name]]).cpu() for key in VALUES})
        for number, site, name, _ in known
    ]


def likeliest(trace: Trace, lens: Lens | None) -> tuple[Tensor, Tensor]:
    """The likeliest class of every unit at each of the S states that a reader fits, and its probability: (S, R) each.

    Of equal classes the one with the lower number.

    Raises:
        ItinfError: as for ``readings``.
    """
    found: list[list[tuple[Tensor, Tensor]]] = []
    known = _readable(trace, {"": lens})
    for part in _parts(trace, torch.arange(trace.targets.numel())):
        with torch.no_grad(), evaluating(trace.network):
            logits = (_logits(trace, site, translator, part) for _, site, _, translator in known)
            found.append([(one.argmax(1), one.float().softmax(1).amax(1)) for one in logits])
    classes, sure = (torch.cat([torch.stack([of[k] for of in part]) for part in found], 1).cpu() for k in (0, 1))
    return classes, sure


def _readable(trace: Trace, readers: Mapping[str, Lens | None]) -> list[tuple[int, Site, str, Translator | None]]:
    """Number of a state, its site, name of a reader, and its translator there, for all readers that fit."""
    through = {name: translators_at(trace, lens) for name, lens in readers.items()}
    return [
        (number, site, name, through[name][site.id])
        for number, site in enumerate(sites(trace))
        for name in readers
        if site.id in through[name]
    ]


def _parts(trace: Trace, rows: Tensor) -> list[Tensor]:
    """The units to read, as many at a time as ``chunks`` gives."""
    last = trace.per_prediction(len(trace.states) - 1)
    return [rows[part].to(last.device) for part in chunks(len(rows), classes_of(trace.network, last))]


def _logits(trace: Trace, site: Site, translator: Translator | None, rows: Tensor) -> Tensor:
    logits = translated_logits(trace.network, trace.per_prediction(site.id)[rows], translator)
    require_finite(trace.network, site.name, logits)
    return logits


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
