"""The closed-loop probe: does what a network writes carry what its environment inserted?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data.clusters import groups
from ..networks.readout import classes_of
from ..networks.writing import Writer
from ..results.reasons import NO_NEXT_TOKEN, TOO_SHORT
from ..results.recorder import Recorder
from ..settings import whole
from .batch import ProbeBatch
from .probe import NullChoice, Probe
from .processes import RANDOM, Process, Themes, form_of, insertions, process_of
from .sample import uniform
from .surprisal import bits_of

INFORMATION, SURPRISE, ECHO, YOKED = "information", "surprise", "echo", "yoked"
OWN, FIRST, LATER = "own tokens", "first own tokens", "later own tokens"
"""Subsets of the own tokens after the first insertion; those right behind an insertion, and the others."""
WRITES, COUPLED, OTHER = 6, 7, 8
"""Streams of random numbers, see ``itinf.probes.sample.uniform``."""


@dataclass(frozen=True, repr=False)
class ClosedLoop(Probe):
    """A network writes, and its environment writes in between.

    The first ``prompt`` tokens of a sequence are given. The network samples ``own`` tokens, the environment inserts one, and
    so on. In the run as it happened, ``coupled``, ℓ is the loss of the network's own tokens; ``yoked``, the same own tokens
    are read with what another run inserted in the places of the insertions. In rows about the last block, in bits:

    * ``information``: mean of ℓ_yoked − ℓ_coupled over the own tokens after the first insertion: what they carry of what the
      environment did. Any network that reads its context has some: **it measures that the loop is closed, and not that
      anything is corrected**. A network that sees one token has 0 beyond the first own token behind an insertion.
    * ``surprise``: the loss of the r-th insertion (subset "insertion r"), which falls for a process that the network comes to
      predict; and of its own tokens, coupled and yoked.
    * ``echo``: share of own tokens that are among the tokens inserted before them; with the null ``yoked`` among what another
      run inserted. Above it, the network moves to what its environment says.

    Attributes:
        process: what is inserted: "random", uniformly random tokens; "constant", one random token again and again; a file
            with a theme on each line, for tokens of one theme. None of them answers the network.
        prompt: tokens that are given; ``own``: tokens that the network writes before each insertion; ``turns``: insertions.

    Raises:
        ItinfError: a number is too small, or the process is none.
    """

    process: Process = RANDOM
    prompt: int = 64
    own: int = 15
    turns: int = 11
    nulls: Sequence[NullChoice] = (YOKED,)

    own_nulls = (YOKED,)
    measure = INFORMATION

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "process", process_of(self.process))
        for name, least in (("prompt", 1), ("own", 2), ("turns", 2)):
            object.__setattr__(self, name, whole(name, getattr(self, name), least))

    @property
    def length(self) -> int:
        """Tokens of a whole run."""
        return self.prompt + self.turns * (self.own + 1)

    def without_nulls(self) -> ClosedLoop:
        """The same probe: information is the difference to the yoked run, also in an untrained network."""
        return self

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        network = batch.network
        block, form = len(network.blocks) - 1, form_of(self.process)
        writes = network.unit == "token" and network.causal
        short = batch.trace.targets.shape[1] < self.prompt or self.length > (network.context or self.length)
        if short or not writes:
            row = batch.row(INFORMATION, block, form=form, subset=OWN)
            record.absent(row, TOO_SHORT if writes else NO_NEXT_TOKEN)
            return
        pieces = [self._run(batch, piece) for piece in groups(len(batch.trace), batch.at_once)]
        found = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
        turn = torch.arange(self.turns * (self.own + 1), device=found["coupled"].device) % (self.own + 1)
        inserted = turn == self.own
        later = ~inserted & (
            torch.arange(len(turn), device=turn.device) > self.own
        )  # nothing was inserted before the others
        subsets = {OWN: later, FIRST: later & (turn == 0), LATER: later & (turn > 0)}
        for subset, chosen in subsets.items():
            values = found["yoked"][:, chosen] - found["coupled"][:, chosen]
            record.mean(batch.row(INFORMATION, block, form=form, subset=subset), values, _all(values))
        for null, name in (("observed", "coupled"), (YOKED, "yoked")):
            values = found[name][:, later]
            record.mean(batch.row(SURPRISE, block, form=form, subset=OWN, null=null), values, _all(values))
            values = found[f"{name} echo"][:, later]
            record.share(batch.row(ECHO, block, form=form, subset=OWN, null=null), values > 0, _all(values))
        for number, place in enumerate(inserted.nonzero().flatten().tolist(), 1):
            values = found["coupled"][:, place : place + 1]
            record.mean(batch.row(SURPRISE, block, form=form, subset=f"insertion {number}"), values, _all(values))

    def _run(self, batch: ProbeBatch, piece: slice) -> dict[str, Tensor]:
        """Coupled and yoked: (N, turns · (own + 1)) bits after the prompt; and where they echo an insertion, 1."""
        trace, network = batch.trace, batch.network
        assert trace.inputs is not None
        ids, keys = trace.inputs[piece, : self.prompt], trace.keys[piece]
        draws = _stacked([uniform(batch.seed, int(key), WRITES, self.turns * self.own) for key in keys]).to(ids.device)
        inserted, writer = self._inserted(batch, keys), Writer(network, ids)
        for turn in range(self.turns):
            writer.write(draws[:, turn * self.own : (turn + 1) * self.own])
            writer.insert(inserted["coupled"][:, turn : turn + 1])
        last = len(trace.states) - 1
        found = {}
        for name, new in inserted.items():
            read = writer.ids.clone()
            read[:, self.prompt + self.own :: self.own + 1] = new
            run = read[:, self.prompt :]
            found[name] = bits_of(network, read[:, :-1], self.prompt - 1, run, {last: None})[last]
            found[f"{name} echo"] = self._echoes(run, new)
        return found

    def _inserted(self, batch: ProbeBatch, keys: np.ndarray) -> dict[str, Tensor]:
        """Coupled and yoked: (N, turns) inserted ids."""
        network = batch.network
        classes = classes_of(network, network.per_prediction(batch.trace.states[-1][:1]))
        themes = self.process.ids(network) if isinstance(self.process, Themes) else []
        pairs = []
        for key in map(int, keys):
            draws = (uniform(batch.seed, key, stream, 1 + self.turns) for stream in (COUPLED, OTHER))
            pairs.append(insertions(self.process, themes, classes, *draws))
        device = batch.trace.targets.device
        return {
            name: torch.stack([pair[i] for pair in pairs]).to(device) for i, name in enumerate(("coupled", "yoked"))
        }

    def _echoes(self, run: Tensor, inserted: Tensor) -> Tensor:
        """1 at every token of a run (N, turns · (own + 1)) that is among the tokens inserted before it."""
        before = torch.arange(run.shape[1], device=run.device) // (self.own + 1)  # insertions before each token
        earlier = torch.arange(self.turns, device=run.device) < before.unsqueeze(1)
        return ((run.unsqueeze(2) == inserted.unsqueeze(1)) & earlier).any(2).double()


def _stacked(draws: Sequence[np.ndarray]) -> Tensor:
    return torch.as_tensor(np.stack(draws))


def _all(values: Tensor) -> Tensor:
    return torch.ones_like(values, dtype=torch.bool)
