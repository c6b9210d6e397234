"""Photographs: a folder of class folders, and CIFAR-10; and which of the head's outputs is which class."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from itinf import Data, ItinfError, Network
from itinf.errors import NoSplitError, nearest

SPLITS = ("train", "val", "test")


class Images(Data):
    """Image files with head indices, opened when asked for.

    Args:
        name: the data set with its split, as recorded.
        root: folder that the items' names are relative to.
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
            ItinfError: the file is not an image or is cut short.
        """
        path, target = self.samples[index]
        try:
            with Image.open(path) as file:
                picture = file.convert("RGB")
        except OSError as error:
            raise ItinfError(f"{path} cannot be read as an image ({error}). Replace it or take it out.") from error
        return self.prepare(picture), torch.tensor(target)


class Cifar10(Data):
    """torchvision's CIFAR10 with head indices; an item's name is its place in the published files."""

    unit = "image"

    def __init__(
        self, source: Any, split: str, targets: dict[str, int], prepare: Callable[[Image.Image], Tensor]
    ) -> None:
        self.source, self.split, self.prepare = source, split, prepare
        self.targets = [targets[name] for name in source.classes]
        self.name = f"cifar10/{split}"
        self.note = {"split": split, "items": len(source), "classes": targets}

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

    Where FOLDER holds nothing but ``train``, ``val`` and ``test``, the split's folder is read
    (``test`` and ``val`` stand in for each other); otherwise all of FOLDER is one split, ``all``.

    Args:
        argument: FOLDER.
        network: brings ``prepare`` and the head's classes, see ``head_indices``.
        split: ``"train"``, ``"val"`` or ``"test"``.

    Raises:
        ItinfError: no such folder or split, no class folders or images, classes that do not fit
            the head, or a network that reads no images.
    """
    prepare = image_prepare(network, "images")
    if argument is None:
        raise ItinfError("images was given no folder; expected images:FOLDER with one sub-folder per class.")
    root = Path(argument).expanduser()
    folder = _split_folder(root, split)
    classes = _folders(folder)
    if not classes:
        raise ItinfError(f"{folder} has no class folders; expected {folder.name}/<class>/*.jpg.")
    indices = head_indices(classes, network)
    samples = make_dataset(folder, indices, IMG_EXTENSIONS, allow_empty=True)
    empty = sorted(set(indices.values()) - {index for _, index in samples})
    if empty:
        without = [name for name, index in indices.items() if index in empty]
        raise ItinfError(
            f"{folder} has no images in {len(without)} of its {len(classes)} class folders, first {without[0]!r}; "
            f"expected files ending in {', '.join(IMG_EXTENSIONS)}. Fill these folders or take them out."
        )
    names = "\n".join(Path(path).relative_to(folder).as_posix() for path, _ in samples)
    used = "all" if folder == root else folder.name
    note = {
        "split": used,
        "items": len(samples),
        "classes": indices,
        "paths": hashlib.blake2b(names.encode(), digest_size=16).hexdigest(),
    }
    return Images(f"images:{root.resolve().name}/{used}", folder, samples, prepare, note)


def cifar10(argument: str | None, network: Network, *, split: str = "test", **_: object) -> Cifar10:
    """CIFAR-10 as published (lossless): cifar10 downloads it once, cifar10:ROOT reads it from a folder.

    Args:
        argument: ROOT, holding ``cifar-10-batches-py``; None for ``~/.cache/itinf/cifar10``,
            which is filled on first use.
        network: brings ``prepare`` and a head of 10 classes.
        split: ``"train"`` or ``"test"``.

    Raises:
        ItinfError: the files are missing, damaged or cannot be fetched, the split is unknown, or
            the network does not fit.
    """
    prepare = image_prepare(network, "cifar10")
    if split not in ("train", "test"):
        raise ItinfError(f"cifar10 has no split {split!r}; expected train or test.")
    root = Path(argument or "~/.cache/itinf/cifar10").expanduser()
    try:
        # torchvision unpickles the published files, and only after their md5 agreed with the published one.
        source = torchvision.datasets.CIFAR10(root, train=split == "train", download=argument is None)
    except (RuntimeError, OSError) as error:
        raise ItinfError(
            f"CIFAR-10 is not in {str(root)!r} ({error}). Expected a folder that holds cifar-10-batches-py, unchanged; "
            "without an argument, cifar10 downloads it."
        ) from error
    return Cifar10(source, split, head_indices(source.classes, network), prepare)


def head_indices(classes: Sequence[str], network: Network) -> dict[str, int]:
    """Which output of the head answers for which class of a data set.

    By name where every class is found once in ``network.classes`` (case, space and underscore
    ignored); else in alphabetical order where the numbers of classes are equal (torchvision's
    ImageFolder); else by number where all classes are numbers.

    Args:
        classes: names of the data set's classes.
        network: the network whose head is meant.

    Returns:
        class -> head index, in alphabetical order of class.

    Raises:
        ItinfError: none of the three rules applies, or the order is in doubt (2 and 10).
    """
    classes = sorted(classes)
    outputs = head_classes(network)
    named: dict[str, list[int]] = {}
    for index, name in enumerate(network.classes or ()):
        named.setdefault(_plain(name), []).append(index)
    found = [named.get(_plain(name), []) for name in classes]
    if all(len(places) == 1 for places in found) and len({places[0] for places in found}) == len(classes):
        return {name: places[0] for name, places in zip(classes, found, strict=True)}
    numbers = [int(name) for name in classes if name.isascii() and name.isdigit()]
    numbered = len(set(numbers)) == len(classes) and (outputs is None or max(numbers) < outputs)
    if outputs in (None, len(classes)):
        if numbered and numbers != sorted(numbers):
            raise ItinfError(
                f"Class names {classes[0]} … {classes[-1]} are numbers whose alphabetical order ({', '.join(classes[:3])} …) is another "
                "than their numerical one. Expected names that leave no doubt: pad them with zeros, such as 02."
            )
        return {name: index for index, name in enumerate(classes)}
    if numbered:
        return dict(zip(classes, numbers, strict=True))
    known = "knows the names of its classes" if network.classes else "knows no class names"
    raise ItinfError(
        f"{len(classes)} classes were given ({', '.join(classes[:3])} …), but the head of {network.name} has {outputs} and "
        f"{known}. Expected as many classes as outputs (taken in alphabetical order), or classes named by "
        f"head index (0 … {outputs - 1}), or by the network's own class names. Rename the class folders, or open "
        f"a network of {len(classes)} classes."
    )


def head_classes(network: Network) -> int | None:
    """Number of the head's outputs, None where neither head nor class names tell."""
    return getattr(network.head, "out_features", None) or (len(network.classes) if network.classes else None)


def image_prepare(network: Network, data: str) -> Callable[[Image.Image], Tensor]:
    """The network's way of reading a picture.

    Args:
        network: the network that will read the data.
        data: name of the data set, for the message.

    Raises:
        ItinfError: it reads tokens, or brings no ``prepare``.
    """
    if network.unit != "image":
        raise ItinfError(f"{data} holds images, but {network.name} reads {network.unit}s. Use text or stdlib with it.")
    if network.prepare is None:
        raise ItinfError(
            f"{network.name} has no prepare, so {data} cannot become its input. "
            "Expected Network(…, prepare=function): PIL image -> (C, H, W) float tensor."
        )
    return network.prepare


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "").replace("_", "")


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _split_folder(root: Path, split: str) -> Path:
    if split not in SPLITS:
        raise ItinfError(f"images has no split {split!r}; expected one of {', '.join(SPLITS)}.")
    if not root.is_dir():
        siblings = _folders(root.parent) if root.parent.is_dir() else []
        raise ItinfError(f"There is no folder {str(root)!r}; images:FOLDER expects one. {nearest(root.name, siblings)}")
    present = _folders(root)
    if not present or not set(present) <= set(SPLITS):
        return root
    candidates = ("train",) if split == "train" else (split, "test", "val")
    for name in candidates:
        if name in present:
            return root / name
    raise NoSplitError(f"{root} has only {', '.join(present)}; expected a folder for the split {split!r}.")
