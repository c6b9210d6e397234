"""Loads weights into models, at random by seed or from a file without unpickling; takes their fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import ItinfError, nearest
from .network import Network


def random_seed(weights: str | None) -> int | None:
    """The seed of ``random[:SEED]`` (None means ``random:0``), or None for any other source."""
    if weights is None or weights == "random":
        return 0
    if not weights.startswith("random:"):
        return None
    seed = weights.removeprefix("random:")
    if not (seed.isascii() and seed.isdigit() and len(seed) < 21 and int(seed) < 2**64):
        raise ItinfError(f"weights {weights!r}: expected random or random:SEED with a whole number below 2**64.")
    return int(seed)


def build(make: Callable[[], nn.Module], weights: str | None) -> nn.Module:
    """Makes a model and gives it weights: random ones by seed, or those of a file.

    The global random state stays as it was.

    Args:
        make: builds the model with its own random initialisation.
        weights: None, ``random[:SEED]``, or a ``.safetensors``, ``.pt`` or ``.pth`` file.
    """
    seed = random_seed(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0 if seed is None else seed)
        model = make()
    if seed is None:
        assert weights is not None
        load(model, weights)
    return model


def load(model: nn.Module, path: str | Path | None) -> nn.Module:
    """Loads a weight file into a model, every tensor or none.

    Args:
        model: changed in place and returned; where ``path`` is None it stays as it is.
        path: a ``.safetensors`` file, or a ``.pt``/``.pth`` state dict (read with
            ``weights_only=True``; a wrapping ``state_dict`` entry and ``module.`` prefixes are
            taken off).

    Raises:
        ItinfError: the file is missing or cut short, or names and shapes disagree with the model.
    """
    if path is None:
        return model
    tensors = read_weights(Path(path))
    expected = model.state_dict()
    missing = [k for k in expected if k not in tensors and not k.endswith("num_batches_tracked")]
    unknown = [k for k in tensors if k not in expected]
    wrong = [k for k in expected if k in tensors and tensors[k].shape != expected[k].shape]
    if missing or unknown or wrong:
        faults = []
        if missing:
            faults.append(f"{len(missing)} tensors are missing, first {missing[0]!r}. {nearest(missing[0], tensors)}")
        if unknown:
            faults.append(f"{len(unknown)} are unknown to the model, first {unknown[0]!r}.")
        if wrong:
            key = wrong[0]
            faults.append(
                f"{len(wrong)} have another shape, first {key!r}: file {tuple(tensors[key].shape)}, model {tuple(expected[key].shape)}."
            )
        raise ItinfError(f"{path} does not fit {type(model).__name__}: {' '.join(faults)}")
    model.load_state_dict(tensors, strict=False)
    return model


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file.

    Raises:
        ItinfError: missing, unknown suffix, cut short, or holding more than tensors.
    """
    if not path.is_file():
        raise ItinfError(
            f"There is no weight file {str(path)!r}. Expected a .safetensors, .pt or .pth file, random[:SEED], or pretrained."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if path.suffix not in {".pt", ".pth"}:
            raise ItinfError(f"{path}: weights are read from .safetensors, .pt or .pth files, not {path.suffix!r}.")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except ItinfError:
        raise
    except Exception as error:
        raise ItinfError(f"{path} cannot be read as weights ({error}). Is the file complete?") from error
    if isinstance(content, dict) and "state_dict" in content:
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ItinfError(f"{path}: expected a state dict of tensors, found {type(content).__name__}.")
    return {key.removeprefix("module."): value for key, value in content.items()}


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
