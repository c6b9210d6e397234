"""The folder format of the public tuned-lens package (AlignmentResearch/tuned-lens): config.json and params.pt.

Its layer i is an ``nn.Linear`` with weight A and bias b under ``i.weight`` and ``i.bias``. It translates h, the
input of block i (``hidden_states[i]`` of transformers, so layer 0 reads the embeddings), to h + A h + b,
which the final norm and the unembedding then turn into logits. The last state has no layer.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ItinfError
from ..files import write_bytes, write_text
from ..networks.network import Network
from ..networks.weights import read_weights, readout_fingerprint
from .kinds import TUNED
from .lens import Lens
from .translator import Translator

CONFIG, PARAMS = "config.json", "params.pt"
LINEAR = "linear_tuned_lens"


def read_tuned_lens_folder(folder: str | Path, network: Network, like: Lens) -> Lens:
    """Reads a lens that the package wrote, such as a published one.

    Args:
        folder: holds ``config.json`` and ``params.pt``, from which nothing is run.
        network: a token network of one width.
        like: any lens of this network, such as a logit lens. The folder has neither token frequencies nor the
            states' names, so prior, final distribution and sites come from this lens.

    Returns:
        a lens of kind "tuned". The last state has the identity as its translator; states inside a block, for
        which the package has no layer, have none.

    Raises:
        ItinfError: a file that is missing or cut short; another number of layers, width or
            unembedding than the network's; ``like`` is of another network.
    """
    folder = Path(folder)
    config = _config(folder / CONFIG)
    layers, width = len(network.blocks), like.sites[-1].width
    _require(like.record.get("readout") == readout_fingerprint(network), folder, f"{like!r} is of another network")
    _require_network(network, like)
    kind = config.get("lens_type", LINEAR)
    _require(kind == LINEAR, folder, f"its lens_type is {kind!r}; expected {LINEAR!r}")
    for key, size in (("num_hidden_layers", layers), ("d_model", width)):
        _require(config.get(key) == size, folder, f"its {key} is {config.get(key)}, and {network.name} has {size}")
    theirs, ours = config.get("unembed_hash"), unembed_hash(network)
    _require(
        theirs in (None, ours),
        folder,
        f"its unembed_hash is {theirs}, and the unembedding of {network.name} has {ours}",
    )
    bias = config.get("bias", True)
    _require(isinstance(bias, bool), folder, f"its bias is {bias!r}; expected true or false")
    shapes: dict[str, tuple[int, ...]] = {f"{i}.weight": (width, width) for i in range(layers)}
    shapes |= {f"{i}.bias": (width,) for i in range(layers) if bias}
    tensors = read_weights(folder / PARAMS, f"a tuned lens of {layers} layers, {width} wide", shapes)
    translators: list[Translator | None] = [None] * len(like.sites)
    translators[-1] = Translator.identity(width)
    for i, k in enumerate(_inputs(network, like)):
        translators[k] = Translator(tensors[f"{i}.weight"], tensors.get(f"{i}.bias", torch.zeros(width)))
    record = {"network": network.name, "weights": network.weights, "readout": like.record["readout"], "package": config}
    return replace(like, kind=TUNED.name, translators=translators, record=record, statistics=None)


def write_tuned_lens_folder(lens: Lens, folder: str | Path, network: Network) -> None:
    """Writes a lens so that the package can read it: ``TunedLens.from_model_and_pretrained(model, folder)``.

    States for which the package has no layer are left out: the last one, and those inside a block.

    Raises:
        ItinfError: the network is no token network of one width with a linear unembedding, or the lens is of
            another network or lacks a translator for the input of some block.
    """
    _require_network(network, lens)
    folder = Path(folder)
    _require(lens.record.get("readout") == readout_fingerprint(network), folder, f"{lens!r} is of another network")
    tensors: dict[str, Tensor] = {}
    for i, k in enumerate(_inputs(network, lens)):
        translator = lens.translators[k]
        if translator is None:
            raise ItinfError(f"The lens has no translator for {lens.sites[k].name!r}, which the package needs.")
        tensors |= {f"{i}.{key}": value.detach().cpu().clone() for key, value in translator.state_dict().items()}
    named = getattr(getattr(network.model, "config", None), "name_or_path", "")
    config = {
        "base_model_name_or_path": named or network.name,
        "d_model": lens.sites[-1].width,
        "num_hidden_layers": len(network.blocks),
        "bias": True,
        "base_model_revision": None,
        "unembed_hash": unembed_hash(network),
        "lens_type": LINEAR,
    }
    content = io.BytesIO()
    torch.save(tensors, content)
    write_bytes(folder / PARAMS, content.getvalue())
    write_text(folder / CONFIG, json.dumps(config))


def unembed_hash(network: Network) -> str | None:
    """The hash by which the package knows an unembedding: of the matrix as NumPy prints it, to one digit.

    None where the head is no ``nn.Linear``.
    """
    if not isinstance(network.head, nn.Linear):
        return None
    with np.printoptions(threshold=1000, edgeitems=3, linewidth=75, suppress=False, floatmode="maxprec", sign="-"):
        printed = np.array_str(network.head.weight.detach().cpu().numpy(), precision=1)
    return hashlib.sha256(printed.encode()).hexdigest()


def _inputs(network: Network, lens: Lens) -> list[int]:
    """For each block the index of the site that it reads."""
    index = {site.name: k for k, site in enumerate(lens.sites)}
    previous = [index[block.name] for block in network.blocks]
    return [index.get(f"before {block.name}", previous[i - 1]) for i, block in enumerate(network.blocks)]


def _require_network(network: Network, lens: Lens) -> None:
    widths = {site.width for site in lens.sites}
    if network.unit != "token" or len(widths) > 1 or not isinstance(network.head, nn.Linear):
        raise ItinfError(
            f"The tuned-lens package reads transformers of one width with a linear unembedding; {network.name} has "
            f"unit {network.unit}, widths {sorted(widths)} and a head of class {type(network.head).__name__}. "
            "Lens.save keeps lenses of any network."
        )


def _require(holds: bool, folder: Path, what: str) -> None:
    if not holds:
        raise ItinfError(f"{folder} does not fit: {what}. Give a lens of this network.")


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ItinfError(
            f"There is no {path}; a folder of the tuned-lens package holds {CONFIG} and {PARAMS}."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ItinfError(f"{path} cannot be read ({error}). Is the file complete?") from error
    if not isinstance(config, dict):
        raise ItinfError(
            f"{path} holds a {type(config).__name__}; expected an object with d_model and num_hidden_layers."
        )
    return config
