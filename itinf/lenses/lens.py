"""A lens: for every state of a network a translator to what its readout reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..architecture import Network
from ..errors import ItinfError, nearest
from ..readouts import state_at
from ..tracing import Trace
from .collect import Collected, Place
from .reading import logits, vectors
from .translator import Translator

Kind = Literal["logit", "affine", "tuned", "shared"]


@dataclass
class Lens:
    """Translators for the states of one network; holds no model.

    Attributes:
        kind: how they were made.
        places: the states, in order of depth.
        translators: one for each place; None where there can be none (the logit lens at another width).
        prior: (classes,) float64 log-probabilities of the targets, never −∞.
        final: (classes,) float64 log-probabilities, the mean of the network's final distributions.
        record: network, fingerprint of its readout, data, units, seed, versions.
        found: the moments it was made from; None for a lens read from a file.
    """

    kind: Kind
    places: list[Place]
    translators: Sequence[Translator | None]
    prior: Tensor
    final: Tensor
    record: dict[str, Any]
    found: Collected | None = None

    def __getitem__(self, name: str) -> Translator:
        """The translator of the state of that name.

        Raises:
            ItinfError: there is no such state, or no translator for it.
        """
        return self._known(name)[1]

    def read(self, network: Network, seen: Trace, name: str, fitted_at: str | None = None) -> Tensor:
        """Logits (R, classes) of all units of a trace, read at the state of that name.

        For few units at a time: units × classes exists whole.

        Args:
            network, seen: the network and a trace of it.
            name: of the state that is read.
            fitted_at: the state whose translator reads it; its own by default.

        Raises:
            ItinfError: there is no such state or translator, or it is of another width.
        """
        place, own = self._known(name)
        translator = own if fitted_at is None else self[fitted_at]
        with torch.no_grad():
            return logits(network, translator(vectors(network, state_at(network, seen, place.where))))

    def _known(self, name: str) -> tuple[Place, Translator]:
        pairs = list(zip(self.places, self.translators, strict=True))
        known = {p.name: (p, t) for p, t in reversed(pairs) if t is not None}  # the first of one name
        if name not in known:
            raise ItinfError(f"The {self.kind} lens has no translator for {name!r}. {nearest(name, known)}")
        return known[name]

    def save(self, path: str | Path) -> None:
        """Writes it to a ``.safetensors`` file, its moments left out; see ``itinf.lenses.files``."""
        from .files import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path, network: Network) -> Lens:
        """Reads one from a file; a lens of another readout is refused, see ``itinf.lenses.files``."""
        from .files import load

        return load(path, network)

    def __repr__(self) -> str:
        known = [p for p, t in zip(self.places, self.translators, strict=True) if t is not None]
        size = sum(p.numel() for t in self.translators if t is not None for p in t.parameters())
        where = f"{known[0].name} … {known[-1].name}" if known else "none"
        return f"Lens ({self.kind}) of {self.record.get('network')}: {len(known)} states, {where}; {size / 1e6:.2f} M parameters"


MIXES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)


def prior(collected: Collected) -> Tensor:
    """Log-frequencies of the targets mixed with the uniform distribution, so that none is impossible.

    The weight is the one under which held-out targets are likeliest.

    Returns:
        (classes,) float64.
    """
    fitted, held_out = collected.targets
    share = fitted / fitted.sum().clamp_min(1)
    mixed = [(w * share + (1 - w) / len(share)).log() for w in MIXES]
    return max(mixed, key=lambda log: float((held_out * log).sum()))


def final(collected: Collected) -> Tensor:
    """Log of the mean final distribution over fitted units, (classes,) float64."""
    mean = collected.final / collected.final.sum()
    return mean.clamp_min(torch.finfo(torch.float32).tiny).log()
