"""What is read where: every lens at every state it fits, its own or another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..architecture import Network
from ..data import IGNORED
from ..readouts import state_at
from ..tracing import Trace, chunks
from .collect import Place
from .reading import logits, require_finite, vectors
from .temper import BETAS, tempered_losses
from .translator import Translator

BINS = 15
"""Of confidence, for the calibration error."""


@dataclass(frozen=True, eq=False)
class Read:
    """One translator at one state.

    Attributes:
        lens: what it is called in tables: "logit", "affine", "tuned", "shared", "shared, left out" …
        at: number of the place that is read.
        fitted_at: number of the place it was fitted at; −1 for a lens fitted at many.
        translator: the map.
    """

    lens: str
    at: int
    fitted_at: int
    translator: Translator

    @property
    def name(self) -> str:
        return f"{self.lens}|{self.fitted_at}|{self.at}"

    @property
    def own(self) -> bool:
        """Whether the state is read by its own translator."""
        return self.fitted_at == self.at


@dataclass
class Reading:
    """What one read says of a batch's units; all (R,) float64 but ``losses``.

    Attributes:
        losses: (len(BETAS), R) nats at every temperature; ``BETAS[ONE]`` is the reading as it is.
        to_final: KL(final ‖ reading), nats.
        from_own: KL(reading at this state's own lens ‖ this reading), nats; 0 for the own one.
        entropy: nats.
        agrees: 1 where its top-1 is the network's final one.
        confidence: of its top-1; ``right``: 1 where that is the label.
        answer: (R,) int64 top-1.
    """

    losses: Tensor
    to_final: Tensor
    from_own: Tensor
    entropy: Tensor
    agrees: Tensor
    confidence: Tensor
    right: Tensor
    answer: Tensor


def read_all(
    network: Network, seen: Trace, places: Sequence[Place], reads: Sequence[Read], prior: Tensor
) -> list[Reading]:
    """Every read of a batch; units × classes exists for a few units and two reads at a time.

    Args:
        network, seen: the network and a trace of the batch.
        places: of the lens.
        reads: grouped by nothing in particular.
        prior: (classes,) log π.

    Returns:
        one for each read; entries of units without a target are meaningless.

    Raises:
        ItinfError: a state with numbers that are not finite (named).
    """
    labels = seen.targets.flatten()
    safe = labels.masked_fill(labels == IGNORED, 0)
    last = vectors(network, seen.states[-1])
    states = {k: vectors(network, state_at(network, seen, places[k].where)) for k in {r.at for r in reads}}
    for k, state in states.items():
        require_finite(network, places[k].name, state)
    count = len(labels)
    found = [_nothing(count, last) for _ in reads]
    order = sorted(range(len(reads)), key=lambda k: (reads[k].at, not reads[k].own))
    with torch.no_grad():
        for part in chunks(count, len(prior)):
            final = logits(network, last[part]).log_softmax(1)
            top = final.argmax(1)
            base: tuple[int, Tensor] | None = None
            for k in order:
                read = reads[k]
                z = logits(network, read.translator(states[read.at][part]))
                log = z.log_softmax(1)
                if read.own:
                    base = (read.at, log)
                said, p = found[k], log.exp()
                said.losses[:, part] = tempered_losses(z, prior, safe[part])
                said.to_final[part] = _kl(final, log)
                if base is not None and base[0] == read.at and base[1] is not log:
                    said.from_own[part] = _kl(base[1], log)
                said.entropy[part] = -(p * log).sum(1).double()
                confidence, answer = p.max(1)
                said.answer[part], said.confidence[part] = answer, confidence.double()
                said.agrees[part], said.right[part] = (answer == top).double(), (answer == safe[part]).double()
    return found


def _kl(first: Tensor, second: Tensor) -> Tensor:
    """KL between rows of log-probabilities, (R,) float64 ≥ 0."""
    return (first.exp() * (first - second)).sum(1).double().clamp_min(0)


def _nothing(count: int, like: Tensor) -> Reading:
    def zeros(*shape: int) -> Tensor:
        return torch.zeros(*shape, dtype=torch.float64, device=like.device)

    return Reading(
        losses=zeros(len(BETAS), count),
        to_final=zeros(count),
        from_own=zeros(count),
        entropy=zeros(count),
        agrees=zeros(count),
        confidence=zeros(count),
        right=zeros(count),
        answer=torch.zeros(count, dtype=torch.int64, device=like.device),
    )
