"""A lens: for every state of a network a translator to what its readout reads."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from ..errors import ItinfError, nearest
from ..files import write_bytes
from ..networks.network import Network
from ..networks.readout import logits, vectors
from ..networks.states import Site, SiteId, readable, state_at
from ..networks.trace import Trace
from ..networks.weights import readout_fingerprint
from .fit_statistics import FitStatistics
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
    places: list[Site]
    translators: Sequence[Translator | None]
    prior: Tensor
    final: Tensor
    record: dict[str, Any]
    found: FitStatistics | None = None

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

    def _known(self, name: str) -> tuple[Site, Translator]:
        pairs = list(zip(self.places, self.translators, strict=True))
        known = {p.name: (p, t) for p, t in reversed(pairs) if t is not None}  # the first of one name
        if name not in known:
            raise ItinfError(f"The {self.kind} lens has no translator for {name!r}. {nearest(name, known)}")
        return known[name]

    def content(self) -> bytes:
        """The content of a ``.safetensors`` file, its moments left out."""
        return _content(self)

    def save(self, path: str | Path) -> None:
        """Writes it to a ``.safetensors`` file in one step, its moments left out.

        Raises:
            ItinfError: a name that does not end in ``.safetensors``.
        """
        if Path(path).suffix != ".safetensors":
            raise ItinfError(f"A lens is kept in a .safetensors file; given {str(path)!r}.")
        write_bytes(Path(path), self.content())

    @classmethod
    def load(cls, path: str | Path, network: Network) -> Lens:
        """Reads one from a file; a lens of another readout is refused, see ``itinf.lenses.lens``."""
        return _load(path, network)

    def __repr__(self) -> str:
        known = [p for p, t in zip(self.places, self.translators, strict=True) if t is not None]
        size = sum(p.numel() for t in self.translators if t is not None for p in t.parameters())
        where = f"{known[0].name} … {known[-1].name}" if known else "none"
        return f"Lens ({self.kind}) of {self.record.get('network')}: {len(known)} states, {where}; {size / 1e6:.2f} M parameters"


def readers(network: Network, trace: Trace, lens: Lens | None = None) -> dict[SiteId, Translator | None]:
    """The states that can be read, each with the translator it is read through.

    Args:
        network: the network; ``trace``: any trace of it.
        lens: None for the network's own readout, which has no translators.

    Raises:
        ItinfError: a lens of a network with other states.
    """
    if lens is None:
        return {place: None for place, fit in enumerate(readable(network, trace)) if fit}
    found: dict[SiteId, Translator | None] = {}
    for place, translator in zip(lens.places, lens.translators, strict=True):
        if not _there(trace, place.where):
            raise ItinfError(f"{_foreign(network, lens)} there is no state {place.name!r}. Fit a lens on this network.")
        width = vectors(network, state_at(network, trace, place.where)[:1]).shape[-1]
        if width != place.width:
            what = f"the state {place.name!r} is {width} wide, not {place.width}"
            raise ItinfError(f"{_foreign(network, lens)} {what}. Fit a lens on this network.")
        if translator is not None:
            found[place.where] = _on(translator, network.device)
    return found


def _there(trace: Trace, where: SiteId) -> bool:
    if isinstance(where, int):
        return 0 <= where < len(trace.states)
    block, part = where
    return 0 <= block < len(trace.parts) and part in trace.parts[block]


def _foreign(network: Network, lens: Lens) -> str:
    return f"The {lens.kind} lens of {lens.record.get('network', 'another network')} does not fit {network.name}:"


def _on(translator: Translator, device: torch.device) -> Translator:
    """On that device, the lens's own left where it is."""
    return translator if translator.weight.device == device else copy.deepcopy(translator).to(device)


FORMAT = 1


def _content(lens: Lens) -> bytes:
    tensors = {"prior": lens.prior, "final": lens.final}
    for k, translator in enumerate(lens.translators):
        if translator is not None:
            tensors |= {f"{k}/{key}": value for key, value in translator.state_dict().items()}
    header = {
        "format": FORMAT,
        "kind": lens.kind,
        "places": [asdict(place) for place in lens.places],
        "record": lens.record,
    }
    own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    return to_bytes(own, metadata={"lens": json.dumps(header)})


def _load(path: str | Path, network: Network) -> Lens:
    """Reads a lens for a network.

    Args:
        path: a file that ``save`` wrote.
        network: the one it was fitted on, or another with the same states and the same readout.

    Raises:
        ItinfError: a file that is missing, cut short or no lens; a lens of another readout (both
            fingerprints are named), or of states that the network does not have.
    """
    path = Path(path)
    header, tensors = _read(path)
    try:
        if header["format"] != FORMAT:
            raise ItinfError(f"{path} is of format {header['format']}; this itinf reads {FORMAT}. Fit the lens again.")
        kind, record = header["kind"], dict(header["record"])
        places = [_place(item) for item in header["places"]]
        made = [_translator(tensors, k, place, places[-1]) for k, place in enumerate(places)]
        lens = Lens(kind, places, made, *_priors(tensors), record)
        there = str(record["readout"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ItinfError):
            raise
        raise _strange(path, f"{type(error).__name__}: {error}") from error
    if kind not in get_args(Kind):
        raise _strange(path, f"its kind is {kind!r}")
    here = readout_fingerprint(network)
    if there != here:
        raise ItinfError(
            f"{path} is a lens of {record.get('network')} ({record.get('weights')}), whose readout has fingerprint "
            f"{there}; the readout of {network.name} ({network.weights}) has {here}. "
            "A lens reads by the readout it was fitted with: give that network, or fit a lens for this one."
        )
    _require_places(path, lens, network)
    return lens


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        siblings = [p.name for p in path.parent.glob("*.safetensors")] if path.parent.is_dir() else []
        raise ItinfError(f"There is no lens file {str(path)!r}. {nearest(path.name, siblings)}")
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {})["lens"]), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except KeyError:
        raise _strange(path, "its header describes no lens") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise _strange(path, str(error)) from error


def _strange(path: Path, why: str) -> ItinfError:
    return ItinfError(f"{path} cannot be read as a lens ({why}). Is the file complete? Lens.save writes one.")


def _place(item: dict[str, Any]) -> Site:
    where = item["where"]
    if not isinstance(where, int):
        block, part = where
        where = (int(block), str(part))
    return Site(str(item["name"]), where, int(item["width"]), int(item["segment"]), float(item["depth"]))


def _translator(tensors: dict[str, Tensor], k: int, place: Site, last: Site) -> Translator | None:
    if f"{k}/weight" not in tensors:
        return None
    weight, bias = tensors[f"{k}/weight"], tensors[f"{k}/bias"]
    if weight.shape != (last.width, place.width) or bias.shape != (last.width,):
        raise ValueError(f"the translator of {place.name!r} is {tuple(weight.shape)}, not {(last.width, place.width)}")
    return Translator(weight, bias)


def _priors(tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    prior, final = tensors["prior"], tensors["final"]
    if prior.dtype != torch.float64 or prior.ndim != 1 or prior.shape != final.shape:
        raise ValueError(f"the prior is {tuple(prior.shape)} {prior.dtype}")
    return prior, final


def _require_places(path: Path, lens: Lens, network: Network) -> None:
    known = {name for b in network.blocks for name in (b.name, f"before {b.name}", *(f"{b.name}.{p}" for p in b.parts))}
    for place in lens.places:
        if place.name not in known:
            raise ItinfError(
                f"{path} reads the state {place.name!r}, which {network.name} does not have. {nearest(place.name, known)}"
            )
    after = {(place.name, place.depth) for place in lens.places}
    for number, block in enumerate(network.blocks):
        if (block.name, (number + 1) / len(network.blocks)) not in after:
            raise ItinfError(
                f"{path} was fitted with other blocks than the {len(network.blocks)} that {network.name} is opened at; "
                f"block {block.name!r} stands elsewhere in it or nowhere. Open the same blocks, or fit a lens for these."
            )
