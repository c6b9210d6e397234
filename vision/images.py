"""Photographs: folders of class folders, and CIFAR-10; and the assignment of classes to outputs of the head."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from torch import Tensor

from itinf import Data, ItinfError, Network
from itinf.data.classes import BY_NAME, BY_ORDER, class_outputs, plain
from itinf.data.pictures import read_picture
from itinf.files import user_path

from .folders import ENDINGS, class_folders, files_in, split_folder
from .transforms import rgb


class Images(Data):
    """Image files with head indices; a file is opened when its item is read.

    Args:
        name: name of the data set with its split.
        root: folder; the names of items are paths relative to it.
        samples: (path, head index) of every image.
        prepare: PIL image -> (C, H, W) float tensor.
        note: as in ``Data``.
    """

    unit = "image"

    def __init__(
        self,
        name: str,
        root: Path,
        samples: Sequence[tuple[str, int]],
        prepare: Callable[[Image.Image], Tensor],
        note: dict[str, Any],
    ) -> None:
        self.name, self.root, self.samples, self.prepare, self.note = name, root, samples, prepare, note

    def __len__(self) -> int:
        return len(self.samples)

    def key(self, index: int) -> str:
        return Path(self.samples[index][0]).relative_to(self.root).as_posix()

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Input (C, H, W) and its head index ().

        Raises:
            ItinfError: the file is not an image, or is incomplete.
        """
        path, target = self.samples[index]
        return self.prepare(picture(path)), torch.tensor(target)

    def content(self, index: int) -> bytes:
        """The bytes of the file."""
        path, target = self.samples[index]
        try:
            return Path(path).read_bytes() + str(target).encode()
        except OSError as error:
            raise ItinfError(f"{path} cannot be read ({error.strerror}). Replace it or remove it.") from error


class Cifar10(Data):
    """torchvision's CIFAR10 with head indices; the name of an item is its position in the published files."""

    unit = "image"

    def __init__(self, source: Any, split: str, network: Network, prepare: Callable[[Image.Image], Tensor]) -> None:
        self.source, self.split, self.prepare = source, split, prepare
        targets, note = head_indices(source.classes, network)
        self.targets = [targets[name] for name in source.classes]
        self.name = f"cifar10/{split}"
        self.note = {"split": split, "items": len(source), **note} | input_note(prepare, note)

    def __len__(self) -> int:
        return len(self.source)

    def key(self, index: int) -> str:
        return f"{self.split}/{index:05d}"

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Input (C, H, W) and its head index ()."""
        picture, label = self.source[index]
        return self.prepare(picture), torch.tensor(self.targets[label])


def images(argument: str | None, network: Network, *, split: str = "test", **_: object) -> Images:
    """Image files in class folders, FOLDER/<class>/*.jpg (or png, webp …): images:FOLDER.

    If FOLDER has only the sub-folders ``train``, ``val`` (or ``valid``, ``validation``) and ``test``, the folder of the
    split is read; if there is no ``test``, ``val`` is used, and vice versa. Otherwise all of FOLDER is one split, ``all``.

    Hidden files and folders are left out at every level. Pixels are read as torchvision reads them: as stored, whatever
    the EXIF orientation says, and without transparency. Grey images of 16 bits are scaled.

    Args:
        argument: FOLDER.
        network: a network with ``prepare``; its head and class names decide the head indices, see ``head_indices``.
        split: ``"train"``, ``"val"`` or ``"test"``.

    Raises:
        ItinfError: there is no such folder or split, class folders or images are missing, the classes do not fit the
            head, or the network does not read images. An image that cannot be read is refused when it is read.
    """
    prepare = image_prepare(network, "images")
    if argument is None:
        raise ItinfError("images was given no folder; expected images:FOLDER with one sub-folder per class.")
    root = user_path(argument)
    folder = split_folder(root, split)
    classes = class_folders(folder)
    if not classes:
        raise ItinfError(
            f"{folder} has no class folders; expected {folder.name}/<class>/*.jpg. Give the folder of the class folders."
        )
    indices, note = head_indices(classes, network)
    found, others = files_in(folder, classes)
    without = sorted(set(classes) - {name for _, name in found})
    if without:
        raise ItinfError(
            f"{folder} has no images in {len(without)} of its {len(classes)} class folders, first {without[0]!r}; "
            f"expected files ending in {', '.join(ENDINGS)}. Fill these folders or remove them."
        )
    if others:
        some = f"{', '.join(others[:3])}{' …' if len(others) > 3 else ''}"
        note["doubts"] = [*note.get("doubts", []), f"Left out {len(others)} files of {folder}: {some}."]
    names = "\n".join(Path(path).relative_to(folder).as_posix() for path, _ in found)
    used = "all" if folder == root else folder.name
    note = {
        "split": used,
        "items": len(found),
        **note,
        "paths": hashlib.blake2b(names.encode(), digest_size=16).hexdigest(),
    } | input_note(prepare, note)
    samples = [(path, indices[name]) for path, name in found]
    return Images(f"images:{root.resolve().name}/{used}", folder, samples, prepare, note)


def picture(path: str | Path) -> Image.Image:
    """The image in a file, as 8-bit RGB, see ``rgb``.

    Raises:
        ItinfError: the file is no image, is incomplete, is too large to be read safely, or holds several images.
    """
    return read_picture(path, rgb)


def input_note(prepare: Any, note: dict[str, Any]) -> dict[str, Any]:
    """Entries for the note of a data set: how a network's ``prepare`` makes inputs, and doubts about it."""
    described = getattr(prepare, "note", None)
    if not isinstance(described, dict):
        return {}
    doubt = getattr(getattr(prepare, "look", None), "doubt", "")
    return {"input": described} | ({"doubts": [*note.get("doubts", []), doubt]} if doubt else {})


def cifar10(argument: str | None, network: Network, *, split: str = "test", **_: object) -> Cifar10:
    """CIFAR-10 as published (lossless): cifar10 downloads it once, cifar10:ROOT reads it from a folder.

    Args:
        argument: ROOT, a folder with ``cifar-10-batches-py``; None for ``~/.cache/itinf/cifar10``, into which the
            first use downloads the data.
        network: a network with ``prepare`` and a head of 10 classes.
        split: ``"train"`` or ``"test"``.

    Raises:
        ItinfError: the files are missing, damaged or cannot be downloaded, there is no such split, or the network does
            not fit.
    """
    prepare = image_prepare(network, "cifar10")
    if split not in ("train", "test"):
        raise ItinfError(f"cifar10 has no split {split!r}; expected train or test.")
    root = user_path(argument or "~/.cache/itinf/cifar10")
    try:
        # torchvision unpickles the published files only if their md5 equals the published one.
        source = torchvision.datasets.CIFAR10(root, train=split == "train", download=argument is None)
    except (RuntimeError, OSError) as error:
        raise ItinfError(
            f"CIFAR-10 is not in {str(root)!r} ({error}). Expected a folder that holds cifar-10-batches-py, unchanged; "
            "without an argument, cifar10 downloads it."
        ) from error
    return Cifar10(source, split, network, prepare)


def head_indices(classes: Sequence[str], network: Network) -> tuple[dict[str, int], dict[str, Any]]:
    """The output of the head for each class of a data set, see ``itinf.data.classes.class_outputs``.

    Where the head has ImageNet's 1,000 outputs, classes may also be named by their WordNet ids, such as n01440764, or by
    WordNet's synonyms; where it has those of CIFAR-10, also plane and car.

    Args:
        classes: names of the classes of the data set.
        network: the network with the head.

    Returns:
        class -> head index, in alphabetical order of the classes; and entries for the note of the data set.

    Raises:
        ItinfError: no rule applies, or two readings are possible.
    """
    outputs = head_classes(network)
    found, rule = class_outputs(classes, network.classes, outputs, network.name, _other_names(network.classes, outputs))
    note: dict[str, Any] = {"classes": found}
    if rule != BY_NAME:
        note["classes_by"] = rule
    if rule == BY_ORDER:
        note["doubts"] = [
            f"{network.name} knows no class names: its outputs are the classes in alphabetical order, {classes[0]} … "
            f"{classes[-1]}."
        ]
    return found, note


def _other_names(classes: Sequence[str] | None, outputs: int | None) -> dict[str, int]:
    """Further usual names of the outputs of networks for CIFAR-10 and ImageNet, and ImageNet's WordNet ids."""
    if classes is not None and "automobile" in classes and len(classes) == 10:
        return {"plane": classes.index("airplane"), "car": classes.index("automobile")}  # as in PyTorch's tutorial
    if outputs != 1000 or (classes is not None and not (len(classes) == 1000 and plain(classes[0]) == "tench")):
        return {}
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    ids = info.label_names()  # the outputs of networks for ImageNet are in the order of the ids
    synonyms = [(name, place) for place in range(1000) for name in info.index_to_description(place).split(", ")]
    count = Counter(plain(name) for name, _ in synonyms)
    known = {name: place for name, place in synonyms if count[plain(name)] == 1} if classes is not None else {}
    return known | {name: place for place, name in enumerate(ids)}


def head_classes(network: Network) -> int | None:
    """Number of outputs of the head; None if neither the head nor the class names tell it."""
    return getattr(network.head, "out_features", None) or (len(network.classes) if network.classes else None)


def image_prepare(network: Network, data: str) -> Callable[[Image.Image], Tensor]:
    """The function of a network that turns a picture into its input.

    Args:
        network: the network that will read the data.
        data: name of the data set, for the message.

    Raises:
        ItinfError: the network reads tokens, or has no ``prepare``.
    """
    if network.unit != "image":
        raise ItinfError(f"{data} holds images, but {network.name} reads {network.unit}s. Use text or stdlib with it.")
    if network.prepare is None:
        raise ItinfError(
            f"{network.name} has no prepare, so {data} cannot become its input. "
            "Expected Network(…, prepare=function): PIL image -> (C, H, W) float tensor."
        )
    return network.prepare
