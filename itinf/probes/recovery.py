"""The recovery probe: after inserted tokens, is the old context used again?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data.clusters import groups
from ..data.dataset import IGNORED
from ..lenses.lens import translators_at
from ..networks.network import Network
from ..networks.readout import classes_of
from ..networks.trace import Trace
from ..networks.writing import Writer
from ..results.ratios import ClearRatio
from ..results.reasons import NO_NEXT_TOKEN, NO_READOUT, NO_TRANSLATOR, TOO_SHORT
from ..results.recorder import Recorder
from ..results.row import Row
from ..settings import truth, whole
from .batch import ProbeBatch
from .probe import Probe
from .sample import uniform
from .surprisal import Readers, bits_at, bits_of

KEPT, EXCESS, SURPRISE = "context_kept", "excess", "surprise"
INSERTED, DETOUR, FRESH, MORE = "inserted", "detour", "fresh", "detour − inserted"
"""Forms: random tokens, tokens that the network writes, without the old context; and the difference of the first two."""
PLACES = {
    "k 0": range(0, 1),
    "k 1": range(1, 2),
    "k 2": range(2, 3),
    "k 3-4": range(3, 5),
    "k 5-8": range(5, 9),
    "k 9-16": range(9, 17),
    "k 17-32": range(17, 33),
    "k 33-64": range(33, 65),
}
"""Subset -> its places k: the token that is predicted after k old tokens behind the insertion."""
NEW = "inserted tokens"
RANDOM, SAMPLED = 4, 5
"""Streams of random numbers, see ``itinf.probes.sample.uniform``."""


@dataclass(frozen=True, repr=False)
class Recovery(Probe):
    """What tokens inserted into a sequence cost, and whether what stands before them is used again.

    After ``at`` tokens some new ones are inserted; the old tokens that follow are shifted. ℓ is the loss of the old token
    that comes after k old ones behind the insertion, in bits: ``clean``, without insertion; ``inserted``, with uniformly random
    tokens; ``detour``, with tokens that the network itself samples there; ``fresh``, with the k old tokens alone.

    * ``excess``: ℓ − ℓ_clean of each form, in rows about the last block, and of "detour − inserted", paired. k = 0 is the
      first old token, right behind the insertion. A network that forgets has no excess soon, so **that it falls to 0 says
      nothing of recovery**.
    * ``context_kept``: Σ(ℓ_fresh − ℓ) / Σ(ℓ_fresh − ℓ_clean), in rows about the last state: 1, all that the old context was
      worth is back; 0, as if it were lost; negative, worse. Missing where it was not clearly worth anything.
    * ``surprise``: the mean loss of the inserted tokens themselves.

    By depth there is ``context_kept`` alone, through a lens, or with ``depths`` through the network's own readout: a shallow
    depth that hardly uses context has a small excess at once.

    Attributes:
        inserted: number of tokens that are inserted; ``at``: how many stand before them.
        depths: whether every state that the network's own readout fits is read, too.
        lens: a lens; then every state is read through it, and there is ``context_kept`` alone.

    Raises:
        ItinfError: a number is less than 1, or ``depths`` is neither True nor False.
    """

    inserted: int = 4
    at: int = 128
    depths: bool = False

    measure = KEPT
    statistic = "ratio"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "inserted", whole("inserted", self.inserted, 1, "something is to be inserted"))
        object.__setattr__(self, "at", whole("at", self.at, 1, "tokens stand before those that are inserted"))
        truth("depths", self.depths)

    def places(self, length: int) -> dict[str, range]:
        """The places that sequences of some length have room for."""
        return {name: ks for name, ks in PLACES.items() if self.at + self.inserted + ks[-1] <= length}

    def missing_rows(self, network: Network) -> list[Row]:
        assert self.lens is not None
        states = [site.id for site in self.lens.sites if isinstance(site.id, int)]
        return [self._kept_row(network, state, INSERTED, "k 5-8") for state in states]

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        trace, network = batch.trace, batch.network
        places = self.places(trace.targets.shape[1])
        writes = network.unit == "token" and network.causal
        if len(places) < 2 or not writes:
            why = TOO_SHORT if writes else NO_NEXT_TOKEN
            record.absent(self._kept_row(network, len(trace.states) - 1, INSERTED, "k 5-8"), why)
            if self.lens is None:
                record.absent(batch.row(EXCESS, len(network.blocks) - 1, form=INSERTED, subset="k 5-8"), why)
            return
        readers = self._readers(trace)
        pieces = [self._losses(batch, piece, readers) for piece in groups(len(trace), batch.at_once)]
        losses = {name: _joined([piece[name] for piece in pieces]) for name in pieces[0]}
        known = trace.targets[:, self.at - 1 :] != IGNORED
        if self.lens is None:
            self._excess(batch, record, {form: found[len(trace.states) - 1] for form, found in losses.items()}, known)
        for state in readers:
            self._kept(batch, record, state, {form: found[state] for form, found in losses.items()}, known)
        self._unread(trace, readers, record)

    def _readers(self, trace: Trace) -> Readers:
        last = len(trace.states) - 1
        if self.lens is None and not self.depths:
            return {last: None}
        return {n: how for n, how in translators_at(trace, self.lens).items() if isinstance(n, int)}

    def _unread(self, trace: Trace, readers: Readers, record: Recorder) -> None:
        if self.lens is None and not self.depths:
            return
        why = NO_READOUT if self.lens is None else NO_TRANSLATOR
        for state in sorted(set(range(len(trace.states))) - set(readers)):
            record.absent(self._kept_row(trace.network, state, INSERTED, "k 5-8"), why)

    def _losses(self, batch: ProbeBatch, piece: slice, readers: Readers) -> dict[str, dict[int, Tensor]]:
        """Form -> state -> (N, K + 1) bits at places 0 … K; those of ``fresh`` begin with a 0. And those of the new tokens."""
        trace, network, at = batch.trace, batch.network, self.at
        assert trace.inputs is not None
        most = max(ks[-1] for ks in self.places(trace.targets.shape[1]).values())
        ids, targets = trace.inputs[piece], trace.targets[piece, at - 1 : at + most]
        before, after = ids[:, :at], ids[:, at : at + most]
        keys, device = trace.keys[piece], ids.device
        classes = classes_of(network, network.per_prediction(trace.states[-1][:1]))
        random = torch.as_tensor(_draws(batch.seed, keys, RANDOM, self.inserted) * classes, device=device).long()
        writer = Writer(network, before)
        writer.write(torch.as_tensor(_draws(batch.seed, keys, SAMPLED, self.inserted), device=device))
        losses = {"clean": bits_at(network, [state[piece] for state in trace.states], at - 1, targets, readers)}
        for form, new in ((INSERTED, random), (DETOUR, writer.ids[:, at:])):
            ids = torch.cat([before, new, after], 1)
            found = bits_of(network, ids, at - 1, torch.cat([new, targets], 1), readers)
            losses[f"{form} {NEW}"] = {state: bits[:, : self.inserted] for state, bits in found.items()}
            losses[form] = {state: bits[:, self.inserted :] for state, bits in found.items()}
        fresh = bits_of(network, after, 0, targets[:, 1:], readers)
        losses[FRESH] = {state: torch.nn.functional.pad(bits, (1, 0)) for state, bits in fresh.items()}
        return losses

    def _excess(self, batch: ProbeBatch, record: Recorder, losses: dict[str, Tensor], known: Tensor) -> None:
        block = len(batch.network.blocks) - 1
        change = {form: losses[form] - losses["clean"] for form in (INSERTED, DETOUR, FRESH)}
        change[MORE] = losses[DETOUR] - losses[INSERTED]
        for subset, ks in self.places(batch.trace.targets.shape[1]).items():
            here = slice(ks.start, ks.stop)
            for form, values in change.items():
                if form != FRESH or ks[0]:
                    row = batch.row(EXCESS, block, form=form, subset=subset)
                    record.mean(row, values[:, here], known[:, here], f"recovery|{subset}|n")
        for form in (INSERTED, DETOUR):
            bits = losses[f"{form} {NEW}"]
            row = batch.row(SURPRISE, block, form=form, subset=NEW)
            record.mean(row, bits, torch.ones_like(bits, dtype=torch.bool), f"recovery|{NEW}|n")

    def _kept(self, batch: ProbeBatch, record: Recorder, state: int, losses: dict[str, Tensor], known: Tensor) -> None:
        for subset, ks in self.places(batch.trace.targets.shape[1]).items():
            if not ks[0]:
                continue  # without the old context the first old token has nothing to be predicted from
            here = slice(ks.start, ks.stop)
            count = record.count(f"recovery|{subset}|n", known[:, here])
            tag = f"recovery|{self.lens_name}|{state}|{subset}"
            worth = record.total(f"{tag}|worth", (losses[FRESH] - losses["clean"])[:, here], known[:, here])
            for form in (INSERTED, DETOUR):
                back = record.total(f"{tag}|{form}", (losses[FRESH] - losses[form])[:, here], known[:, here])
                row = self._kept_row(batch.network, state, form, subset)
                record.add(row, ClearRatio, {}, above=back, below=worth, n=count)

    def _kept_row(self, network: Network, state: int, form: str, subset: str) -> Row:
        return Row(KEPT, 0, network.unit, "ratio", form=form, subset=subset, lens=self.lens_name, state=state)


def _draws(seed: int, keys: np.ndarray, stream: int, count: int) -> Tensor:
    """(N, count) numbers from 0 to below 1."""
    return torch.as_tensor(np.stack([uniform(seed, int(key), stream, count) for key in keys]))


def _joined(pieces: Sequence[dict[int, Tensor]]) -> dict[int, Tensor]:
    return {state: torch.cat([piece[state] for piece in pieces]) for state in pieces[0]}
