"""Loads weights into models, at random by seed or from a file without running it; takes their fingerprint."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ItinfError
from .misfit import shown
from .network import Network
from .readings import Wanted, find, is_plain
from .weight_file import content, label

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def random_seed(weights: Any, word: str = "random") -> int | None:
    """The seed of ``random[:SEED]``, or of another ``word`` in its place (None means seed 0), or None for any other source.

    Raises:
        ItinfError: the seed is no whole number below 2**64, or the source is no text.
    """
    if weights is None or weights == word:
        return 0
    if not isinstance(weights, str):
        raise ItinfError(
            f"weights is a {type(weights).__name__}; expected text: random[:SEED], pretrained, or the path of a file."
        )
    if not weights.startswith(f"{word}:"):
        return None
    seed = weights.removeprefix(f"{word}:")
    if not (seed.isascii() and seed.isdigit() and len(seed) < 21 and int(seed) < 2**64):
        raise ItinfError(f"weights {weights!r}: expected {word} or {word}:SEED with a whole number below 2**64.")
    return int(seed)


def is_random(network: Network) -> bool:
    """Whether a network has random weights by its record: not a file whose name begins with "random"."""
    return re.fullmatch(r"random(:\d+)?", network.weights) is not None


def build(make: Callable[[], nn.Module], weights: str | None, ignored: Sequence[str] = ()) -> tuple[nn.Module, str]:
    """Makes a model and gives it weights: random ones by seed, or those of a file.

    The global random state stays as it was.

    Args:
        make: builds the model with its own random initialisation.
        weights: None, ``random[:SEED]``, or a weight file, see ``load``.
        ignored: beginnings of names in a file that the model does not use.

    Returns:
        The model, and the origin of its weights for the record: ``random:SEED``, or the file, the reading and the dtype.
    """
    seed = random_seed(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0 if seed is None else seed)
        model = make()
    if seed is not None:
        return model, f"random:{seed}"
    return model, fill(model, str(weights), ignored)


def load(model: nn.Module, path: str | Path | None) -> nn.Module:
    """Loads a weight file into a model, every tensor or none. Nothing from the file is run.

    The weights may stand at the top of the file or in its entries (``state_dict``, ``model``, …), and their names may
    have a prefix (``module.``, ``_orig_mod.``, ``model.``, …). The one reading in which all names and shapes are the
    model's is loaded. If several fit and differ, the one that is no average (``ema``, ``swa``) is loaded, or none.

    Args:
        model: changed in place and returned; where ``path`` is None it stays as it is.
        path: a file of safetensors, or of ``torch.save``, whatever its name. ``FILE#ENTRY`` or ``FILE#ENTRY/PREFIX.``
            chooses a reading: ``net.pth#state_dict_ema``.

    Raises:
        ItinfError: the file is missing, damaged or holds more than weights; no reading fits the model, or several do;
            weights are integer, complex, quantised or sparse, or not finite.
    """
    if path is not None:
        fill(model, path)
    return model


def fill(model: nn.Module, source: str | Path, ignored: Sequence[str] = ()) -> str:
    """Loads a weight file as ``load`` does; returns the origin of the weights for the record."""
    path, choice = split_choice(source)
    wanted, own = Wanted.of(model, ignored), model.state_dict()
    if any(value.is_meta for value in own.values()):
        raise ItinfError(f"{wanted.model} is on the device meta and can hold no weights. Make it on the CPU.")
    reading = find(label(path), content(path), wanted, choice)
    tensors = {name: converted(path, name, value, own[name]) for name, value in reading.found.items()}
    for group in wanted.tied:
        given = [tensors[name] for name in sorted(group) if name in tensors]
        if any(not torch.equal(given[0], other) for other in given[1:]):
            raise ItinfError(
                f"{label(path)}: {' and '.join(map(shown, sorted(group)))} differ in the file, and the model has one parameter "
                "for them. Make the model with two."
            )
    model.load_state_dict(tensors, strict=False)
    dtypes = {str(v.dtype).removeprefix("torch.") for n, v in reading.found.items() if own[n].is_floating_point()}
    chosen = f"#{reading.name}" if reading.name else ""
    return f"{label(path)}{chosen}{in_words(dtypes)}"


def in_words(dtypes: Collection[str]) -> str:
    """The dtypes of weights in brackets, for the record; "" if all are float32."""
    return "" if set(dtypes) <= {"float32"} else f" ({', '.join(sorted(dtypes))})"


def split_choice(source: str | Path) -> tuple[Path, str | None]:
    """The path of ``FILE#CHOICE``, and the choice; None where there is none, or where a file has the whole name."""
    text = os.fspath(source)
    file, mark, choice = text.rpartition("#")
    try:
        whole = not mark or Path(text).exists()
    except (OSError, ValueError):  # too long a name, for one; reading says what is wrong
        whole = True
    return (Path(text), None) if whole else (Path(file), choice)


def converted(path: Path, name: str, value: Tensor, own: Tensor) -> Tensor:
    """A tensor of a file, in the dtype and shape of the model's own.

    Raises:
        ItinfError: it is no plain tensor of numbers of the model's kind, or they are not finite.
    """
    if not is_plain(value):
        kind = "quantised" if value.is_quantized else "without values" if value.is_meta else "sparse or nested"
        raise ItinfError(
            f"{label(path)}: {shown(name)} is {kind}. Give plain weights: float32, float16, bfloat16 or float64."
        )
    if (own.is_floating_point() and value.dtype not in FLOATS) or (value.is_complex() and not own.is_complex()):
        raise ItinfError(
            f"{label(path)}: {shown(name)} is {str(value.dtype).removeprefix('torch.')}; weights are expected in float32, "
            "float16, bfloat16 or float64. Give the weights before they were quantised or converted."
        )
    result = value.detach().reshape(own.shape).to(own.dtype)
    if result.is_floating_point() and bool(torch.isfinite(own).all()) and not bool(torch.isfinite(result).all()):
        wrong = int((~torch.isfinite(result)).sum())
        raise ItinfError(
            f"{label(path)}: {wrong:,} of {result.numel():,} numbers of {shown(name)} are NaN or infinite, so the network "
            "would compute none. Give weights of an earlier step."
        )
    return result


def read_weights(path: Path, what: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The float32 tensors of a weight file, which must have just these names and shapes; read as ``load`` does."""
    found = find(label(path), content(path), Wanted(what, shapes)).found
    return {name: converted(path, name, value, torch.zeros(shapes[name])) for name, value in found.items()}


def fingerprint(*modules: nn.Module) -> str:
    """Hash of every parameter and buffer of modules in turn, names and bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in (entry for module in modules for entry in sorted(module.state_dict().items())):
        digest.update(name.encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        if flat.numel():
            digest.update(memoryview(flat.view(torch.uint8).numpy()))
    return digest.hexdigest()


def readout_fingerprint(network: Network) -> str:
    """Hash of every byte of the neck and head, by which a lens knows its readout.

    A head that is no module has its weights somewhere in the model, which is then hashed whole.
    """
    head = network.head if isinstance(network.head, nn.Module) else network.model
    return fingerprint(*(part for part in (network.neck, head) if isinstance(part, nn.Module)))
