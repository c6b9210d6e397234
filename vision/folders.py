"""Folders of class folders: which split, which classes, which files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS

from itinf import ItinfError
from itinf.errors import NoSplitError, nearest

SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""Split -> names that its folder may have."""
ENDINGS = (*IMG_EXTENSIONS, ".gif")
NO_DATA = ("thumbs.db", "desktop.ini", "__macosx")
"""What operating systems leave behind, beside hidden files."""


def class_folders(folder: Path) -> list[str]:
    """Names of the sub-folders, in alphabetical order, without hidden ones."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not _left_behind(path.name))


def split_folder(root: Path, split: str) -> Path:
    """The folder of a split; ``root`` itself if it has no folders for splits.

    Raises:
        ItinfError: there is no such split, or no such folder; or ``root`` has folders for splits beside others.
        NoSplitError: ``root`` has folders for splits, but not for this one.
    """
    if split not in SPLITS:
        raise ItinfError(f"images has no split {split!r}; expected one of {', '.join(SPLITS)}. Give one of these.")
    if not root.is_dir():
        siblings = class_folders(root.parent) if root.parent.is_dir() else []
        raise ItinfError(f"There is no folder {str(root)!r}; images:FOLDER expects one. {nearest(root.name, siblings)}")
    present = class_folders(root)
    of_splits = {of: name for of, names in SPLITS.items() for name in names if name in present}
    others = [name for name in present if name not in of_splits.values()]
    if not of_splits or (others and len(of_splits) == 1):  # a class may be called train
        return root
    if others:
        raise ItinfError(
            f"{root} has folders for splits ({', '.join(of_splits.values())}) beside others ({', '.join(others[:3])}), so it "
            f"is not clear which are classes. Give the folder to read: images:{root / next(iter(of_splits.values()))}."
        )
    for of in ("train",) if split == "train" else (split, "test", "val"):
        if of in of_splits:
            return root / of_splits[of]
    raise NoSplitError(f"{root} has only {', '.join(present)}; expected a folder for the split {split!r}.")


def files_in(folder: Path, classes: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The images in class folders at any depth, and the files that are no images, without hidden ones.

    Args:
        folder: the folder of the class folders.
        classes: names of the class folders.

    Returns:
        (path, class) of every image, in alphabetical order within a class; paths of other files, relative to ``folder``.

    Raises:
        ItinfError: a link leads back to a folder that contains it.
    """
    images: list[tuple[str, str]] = []
    others = [path.name for path in folder.iterdir() if path.is_file() and not _left_behind(path.name)]
    for name in classes:
        for path in _walk(folder / name):
            if path.name.lower().endswith(ENDINGS):
                images.append((str(path), name))
            else:
                others.append(path.relative_to(folder).as_posix())
    strange = next((path for path, _ in images if not _utf8(path)), None)
    if strange is not None:
        raise ItinfError(f"The name of the file {strange!a} is not UTF-8, and items go by their names. Rename it.")
    return images, sorted(others)


def _walk(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """The files of a folder and then of its sub-folders, also behind links, in alphabetical order."""
    here = os.path.realpath(folder)
    if here in above:
        raise ItinfError(f"{folder} is a link to a folder that contains it. Remove the link.")
    entries = sorted(path for path in folder.iterdir() if not _left_behind(path.name))
    inner = [path for path in entries if path.is_dir()]
    yield from (path for path in entries if path not in inner)
    for path in inner:
        yield from _walk(path, (*above, here))


def _utf8(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _left_behind(name: str) -> bool:
    return name.startswith(".") or name.casefold() in NO_DATA
