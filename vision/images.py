"""Photographs: folders of class folders, and CIFAR-10; and the assignment of classes to outputs of the head."""

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
from itinf.files import user_path

SPLITS = ("train", "val", "test")


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
        try:
            with Image.open(path) as file:
                picture = file.convert("RGB")
        except OSError as error:
            raise ItinfError(f"{path} cannot be read as an image ({error}). Replace it or remove it.") from error
        return self.prepare(picture), torch.tensor(target)


class Cifar10(Data):
    """torchvision's CIFAR10 with head indices; the name of an item is its position in the published files."""

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

    If FOLDER has only the sub-folders ``train``, ``val`` and ``test``, the folder of the split is read; if there is
    no ``test``, ``val`` is used, and vice versa. Otherwise all of FOLDER is one split, ``all``.

    Args:
        argument: FOLDER.
        network: a network with ``prepare``; its head and class names decide the head indices, see ``head_indices``.
        split: ``"train"``, ``"val"`` or ``"test"``.

    Raises:
        ItinfError: there is no such folder or split, class folders or images are missing, the classes do not fit the
            head, or the network does not read images.
    """
    prepare = image_prepare(network, "images")
    if argument is None:
        raise ItinfError("images was given no folder; expected images:FOLDER with one sub-folder per class.")
    root = user_path(argument)
    folder = _split_folder(root, split)
    classes = _folders(folder)
    if not classes:
        raise ItinfError(
            f"{folder} has no class folders; expected {folder.name}/<class>/*.jpg. Give the folder of the class folders."
        )
    indices = head_indices(classes, network)
    samples = make_dataset(folder, indices, IMG_EXTENSIONS, allow_empty=True)
    empty = sorted(set(indices.values()) - {index for _, index in samples})
    if empty:
        without = [name for name, index in indices.items() if index in empty]
        raise ItinfError(
            f"{folder} has no images in {len(without)} of its {len(classes)} class folders, first {without[0]!r}; "
            f"expected files ending in {', '.join(IMG_EXTENSIONS)}. Fill these folders or remove them."
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
    return Cifar10(source, split, head_indices(source.classes, network), prepare)


def head_indices(classes: Sequence[str], network: Network) -> dict[str, int]:
    """The output of the head for each class of a data set.

    The first rule that applies is used. By name: every class is exactly once in ``network.classes`` (case, space and
    underscore are ignored). By alphabetical order, like torchvision's ImageFolder: the data set has as many classes as
    the head has outputs. By number: all classes are numbers, which are the head indices.

    Args:
        classes: names of the classes of the data set.
        network: the network with the head.

    Returns:
        class -> head index, in alphabetical order of the classes.

    Raises:
        ItinfError: none of the three rules applies, or the order is ambiguous (2 and 10).
    """
    classes = sorted(classes)
    outputs = head_classes(network)
    named: dict[str, list[int]] = {}
    for index, name in enumerate(network.classes or ()):
        named.setdefault(_plain(name), []).append(index)
    outputs_of = [named.get(_plain(name), []) for name in classes]
    if all(len(indices) == 1 for indices in outputs_of) and len({i for (i,) in outputs_of}) == len(classes):
        return {name: indices[0] for name, indices in zip(classes, outputs_of, strict=True)}
    numbers = [int(name) for name in classes if name.isascii() and name.isdigit()]
    numbered = len(set(numbers)) == len(classes) and (outputs is None or max(numbers) < outputs)
    if outputs in (None, len(classes)):
        if numbered and numbers != sorted(numbers):
            raise ItinfError(
                f"Class names {classes[0]} … {classes[-1]} are numbers whose alphabetical order "
                f"({', '.join(classes[:3])} …) differs from their numerical order. Expected names with only one order: "
                "pad them with zeros, such as 02."
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


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "").replace("_", "")


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _split_folder(root: Path, split: str) -> Path:
    if split not in SPLITS:
        raise ItinfError(f"images has no split {split!r}; expected one of {', '.join(SPLITS)}. Give one of these.")
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
