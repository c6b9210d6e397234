"""Lens files: safetensors, with a header that says which network's states the lens reads and by which readout."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from ..architecture import Network
from ..errors import ItinfError, nearest
from ..files import write_bytes
from .collect import Place
from .fit import readout_fingerprint
from .lens import Kind, Lens
from .translator import Translator

FORMAT = 1


def save(lens: Lens, path: str | Path) -> None:
    """Writes a lens to a safetensors file in one step; its moments are left out.

    Raises:
        ItinfError: a name that does not end in ``.safetensors``.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ItinfError(f"A lens is kept in a .safetensors file; given {str(path)!r}.")
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
    write_bytes(path, to_bytes(own, metadata={"lens": json.dumps(header)}))


def load(path: str | Path, network: Network) -> Lens:
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


def _place(item: dict[str, Any]) -> Place:
    where = item["where"]
    if not isinstance(where, int):
        block, part = where
        where = (int(block), str(part))
    return Place(str(item["name"]), where, int(item["width"]), int(item["segment"]), float(item["depth"]))


def _translator(tensors: dict[str, Tensor], k: int, place: Place, last: Place) -> Translator | None:
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
