"""What later positions predict after an earlier prediction is raised: to first order, and by a rerun; and what a token teaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ..lenses.translator import Translator, translated_logits
from ..networks.measuring import evaluating
from ..networks.readout import chunks
from ..networks.rerun import gradients_everywhere, spread, states_of
from .batch import ProbeBatch
from .nudges import above_mean, dots, fixed, raising
from .token_pairs import Pairs

PIECE = 8
"""Sequences whose graph and gradients are held at once."""


@dataclass(frozen=True)
class Raise:
    """Which tokens are raised where.

    Attributes:
        batch: the batch; ``through``: state -> translator to read it through, in order of depth.
        pairs: one pair of positions in each sequence.
        tokens: (N,) the token of each pair; ``others``: (N,) the token of another sequence.
    """

    batch: ProbeBatch
    through: Mapping[int, Translator | None]
    pairs: Pairs
    tokens: Tensor
    others: Tensor

    @property
    def inputs(self) -> Tensor:
        assert self.batch.trace.inputs is not None
        return self.batch.trace.inputs

    @property
    def last(self) -> int:
        return len(self.batch.trace.states) - 1

    def pieces(self, chosen: Tensor) -> Iterator[Tensor]:
        """The chosen sequences, some at a time."""
        some = chosen.nonzero().flatten().split(max(1, min(PIECE, self.batch.at_once)))
        return (piece for piece in some if len(piece))

    def rows(self, positions: Tensor, piece: Tensor) -> Tensor:
        """(n,) rows of one position in each sequence of a piece, among the rows of the piece."""
        return torch.arange(len(piece), device=piece.device) * self.inputs.shape[1] + positions[piece]


def first_order(raise_: Raise) -> dict[str, Tensor]:
    """Nats at the later position for each nat at an earlier one, to first order, each (S, N) float64.

    At a state h, d = ∂[z_v − mean z]/∂h is the direction that raises v where a position stands, and g the gradient of
    [z_v − mean z] of the network's last logits at the later position. The numbers are ⟨g, d⟩ / |d|², of the token of the pair:
    ``there`` at the earlier position, ``elsewhere``; ``total`` over all earlier positions, and ``total_same`` over those with
    the same token. Of the other token u: ``other`` raises and reads u, ``cross`` and ``cross_total`` raise u and read v.
    """
    names = ("there", "elsewhere", "total", "total_same", "other", "cross", "cross_total")
    shape = (len(raise_.through), len(raise_.tokens))
    found = {name: torch.zeros(shape, dtype=torch.float64, device=raise_.tokens.device) for name in names}
    with evaluating(raise_.batch.network):
        for piece in raise_.pieces(raise_.pairs.known):
            for place, numbers in enumerate(_of_states(raise_, piece)):
                for name, values in numbers.items():
                    found[name][place, piece] = values
    return found


def _of_states(raise_: Raise, piece: Tensor) -> Iterator[dict[str, Tensor]]:
    """The numbers of some sequences, state by state."""
    with torch.enable_grad():
        states = states_of(raise_.batch.network, raise_.inputs[piece])
    own = _read_later(raise_, piece, states, raise_.tokens)
    others = _read_later(raise_, piece, states, raise_.others)
    pairs = raise_.pairs
    earlier, elsewhere = pairs.earlier[piece].unsqueeze(1), pairs.elsewhere[piece].unsqueeze(1)
    before = torch.arange(raise_.inputs.shape[1], device=piece.device) < pairs.later[piece].unsqueeze(1)
    for site, mine, theirs in zip(raise_.through, own, others, strict=True):
        v, u = (_directions(raise_, piece, site, tokens) for tokens in (raise_.tokens, raise_.others))
        whole, cross, other = _nats(mine, v), _nats(mine, u), _nats(theirs, u)
        yield {
            "there": whole.gather(1, earlier).squeeze(1),
            "elsewhere": whole.gather(1, elsewhere).squeeze(1),
            "total": (whole * before).sum(1),
            "total_same": (whole * (before & pairs.same[piece])).sum(1),
            "other": other.gather(1, earlier).squeeze(1),
            "cross": cross.gather(1, earlier).squeeze(1),
            "cross_total": (cross * before).sum(1),
        }


def _read_later(raise_: Raise, piece: Tensor, states: Sequence[Tensor], tokens: Tensor) -> list[Tensor]:
    """For every state, the gradient (n, T, D) of a token's last logit, less the mean, at the later position."""
    network, rows = raise_.batch.network, raise_.rows(raise_.pairs.later, piece)
    last = network.per_prediction(network.batch_first(states[-1].detach()))[rows]
    seed = raising(network, last, None, tokens[piece])
    sites = [site for site in raise_.through if site != raise_.last]
    found = dict(zip(sites, gradients_everywhere(network, states, sites, rows, seed), strict=True))
    found[raise_.last] = network.batch_first(spread(network, states[-1], rows, seed))
    return [found[site] for site in raise_.through]


def _directions(raise_: Raise, piece: Tensor, site: int, tokens: Tensor) -> Tensor:
    """(n, T, D): the directions that raise one token per sequence at all its positions."""
    network, state = raise_.batch.network, raise_.batch.trace.states[site][piece]
    chosen = tokens[piece].repeat_interleave(state.shape[1])
    d = raising(network, network.per_prediction(state), raise_.through[site], chosen)
    return fixed(network, d, None).view(state.shape)


def _nats(gradient: Tensor, direction: Tensor) -> Tensor:
    """(n, T): ⟨g, d⟩ / |d|²; 0 where nothing raises the token."""
    g, d = gradient.double(), direction.double()
    square = d.square().sum(2)
    return torch.where(square > 0, (g * d).sum(2) / square, 0.0)


def finite(raise_: Raise) -> Tensor:
    """The change at the later position after d / |d|² is added at the earlier one, which raises the token there by 1 nat.

    Returns:
        (S, N) float64; 0 for sequences that are not measured again, and at the last state, which nothing follows.
    """
    batch, pairs = raise_.batch, raise_.pairs
    found = torch.zeros(len(raise_.through), len(raise_.tokens), dtype=torch.float64, device=raise_.tokens.device)
    chosen = pairs.again.nonzero().flatten()
    sites = [(place, site) for place, site in enumerate(raise_.through) if site != raise_.last]
    with torch.no_grad(), evaluating(batch.network):
        copies = list(product(sites, chosen.tolist()))
        for start in range(0, len(copies), max(1, batch.at_once)):
            some = copies[start : start + batch.at_once]
            at = torch.tensor([site for (_, site), _ in some], device=found.device)
            piece = torch.tensor([cluster for _, cluster in some], device=found.device)
            places = torch.tensor([place for (place, _), _ in some], device=found.device)
            found[places, piece] = _rerun(raise_, at, piece)
    return found


def _rerun(raise_: Raise, at: Tensor, piece: Tensor) -> Tensor:
    """The change in copies of some sequences, each raised at the state ``at``."""
    network, trace, pairs = raise_.batch.network, raise_.batch.trace, raise_.pairs
    rows = raise_.rows(pairs.earlier, piece)

    def nudge(number: int, state: Tensor) -> Tensor:
        mine = (at == number).nonzero().flatten()
        if not len(mine):
            return state
        before = network.per_prediction(network.batch_first(state))[rows[mine]]
        d = fixed(network, raising(network, before, raise_.through[number], raise_.tokens[piece[mine]]), None)
        return state + spread(network, state, rows[mine], d / dots(d, d).clamp_min(1e-300).unsqueeze(1).to(d))

    last = states_of(network, raise_.inputs[piece], nudge)[-1]
    after = network.per_prediction(network.batch_first(last))[raise_.rows(pairs.later, piece)]
    before = trace.per_prediction(raise_.last)[pairs.rows(pairs.later)[piece]]
    after, before = (above_mean(network.readout(state), raise_.tokens[piece]) for state in (after, before))
    return after - before


def taught(raise_: Raise) -> Tensor:
    """(N,) float64: the change of the last logit of the token, less the mean, at the later position, if it is put in for
    the one that follows the earlier position: what its being true teaches."""
    network, trace, pairs = raise_.batch.network, raise_.batch.trace, raise_.pairs
    found = torch.zeros(len(raise_.tokens), dtype=torch.float64, device=raise_.tokens.device)
    replaced = raise_.inputs.scatter(1, pairs.earlier.unsqueeze(1) + 1, raise_.tokens.unsqueeze(1))
    before = trace.per_prediction(raise_.last)[pairs.rows(pairs.later)]
    with torch.no_grad(), evaluating(network):
        for piece in raise_.pieces(pairs.known):
            last = network.batch_first(states_of(network, replaced[piece])[-1])
            after = network.per_prediction(last)[raise_.rows(pairs.later, piece)]
            then, now = (above_mean(network.readout(x), raise_.tokens[piece]) for x in (after, before[piece]))
            found[piece] = then - now
    return found


def probabilities(raise_: Raise, through: Mapping[int, Translator | None], number: int) -> Tensor:
    """(S, N) float64: how probable each pair's token is at the earlier position.

    Args:
        raise_: the pairs; ``through``: state -> translator to read it through; ``number`` of classes.
    """
    network, trace = raise_.batch.network, raise_.batch.trace
    rows, tokens = raise_.pairs.rows(raise_.pairs.earlier), raise_.tokens
    found = torch.zeros(len(through), len(tokens), dtype=torch.float64, device=tokens.device)
    with torch.no_grad(), evaluating(network):
        for place, (site, translator) in enumerate(through.items()):
            state = trace.per_prediction(site)[rows]
            for part in chunks(len(rows), number):
                p = translated_logits(network, state[part], translator).double().softmax(1)
                found[place, part] = p.gather(1, tokens[part].unsqueeze(1)).squeeze(1)
    return found
