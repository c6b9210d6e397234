"""Photographs without labels: the target of each is the network's own final answer."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from itinf import Data, ItinfError, Network
from itinf.files import user_path
from itinf.networks.containers import only_tensor
from itinf.networks.measuring import evaluating

from .folders import ENDINGS, files_in
from .images import image_prepare, input_note, picture


class Unlabelled(Data):
    """Image files, each with the class that the network gives it.

    Args:
        root: folder; the names of items are paths relative to it.
        paths: of the images.
        network: gives the answers, one image at a time, so that they do not depend on a batch.
    """

    unit = "image"

    def __init__(self, root: Path, paths: list[str], network: Network) -> None:
        self.root, self.paths, self.network = root, paths, network
        self.prepare = image_prepare(network, "unlabelled")
        self.name = f"unlabelled:{root.resolve().name}"
        names = "\n".join(Path(path).relative_to(root).as_posix() for path in paths)
        self.note: dict[str, Any] = {
            "items": len(paths),
            "paths": hashlib.blake2b(names.encode(), digest_size=16).hexdigest(),
            "targets": f"the final answers of {network.name}",
            **input_note(self.prepare, {}),
        }

    def __len__(self) -> int:
        return len(self.paths)

    def key(self, index: int) -> str:
        return Path(self.paths[index]).relative_to(self.root).as_posix()

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Input (C, H, W) and the class that the network gives it ().

        Raises:
            ItinfError: the file is not an image, or is incomplete.
        """
        image = self.prepare(picture(self.paths[index]))
        return image, self._answer(image)

    def _answer(self, image: Tensor) -> Tensor:
        with evaluating(self.network), torch.no_grad():
            output = self.network.model(self.network.ready(image[None]))
        return only_tensor(output, self.network.name)[0].argmax().cpu()

    def content(self, index: int) -> bytes:
        """The bytes of the file; the answer follows from the network."""
        try:
            return Path(self.paths[index]).read_bytes()
        except OSError as error:
            raise ItinfError(
                f"{self.paths[index]} cannot be read ({error.strerror}). Replace it or remove it."
            ) from error


def unlabelled(argument: str | None, network: Network, **_: object) -> Unlabelled:
    """All image files in a folder and its sub-folders: unlabelled:FOLDER. Their targets are the network's own answers.

    The loss is then that against the final answer, as in the tuned lens. Untrained networks are measured against the
    answers of the trained one.

    Args:
        argument: FOLDER.
        network: a network with ``prepare``.

    Raises:
        ItinfError: there is no such folder, it holds no images, or the network does not read images.
    """
    root = user_path(argument) if argument else None
    if root is None or not root.is_dir():
        raise ItinfError(f"There is no folder {argument!r}; expected unlabelled:FOLDER with image files.")
    found, _others = files_in(root, ["."])
    if not found:
        raise ItinfError(f"{root} has no images; expected files ending in {', '.join(ENDINGS)}.")
    return Unlabelled(root, [path for path, _ in found], network)
