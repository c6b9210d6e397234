"""Pictures in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..errors import ItinfError

if TYPE_CHECKING:
    from PIL import Image

Made = TypeVar("Made")


def read_picture(path: str | Path, convert: Callable[[Image.Image], Made]) -> Made:
    """What ``convert`` makes of the picture in a file.

    Raises:
        ItinfError: the file is no picture, is incomplete, is too large to be read safely, or holds several; or ``convert``
            fails.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            frames = getattr(file, "n_frames", 1) if file.format != "MPO" else 1  # a photograph with its preview
            if frames > 1:
                raise ItinfError(f"it holds {frames} images, and one was expected")
            return convert(file)
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, DecompressionBombError …
        why = str(error).rstrip(".")
        raise ItinfError(f"{path} cannot be read as an image ({why}). Replace it or remove it.") from error
