"""Image files of any kind, as 8-bit RGB, or refused; and the folders that they lie in."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from itinf import ItinfError
from test_images import COLOURS, image_network, painted
from vision.images import images, picture
from vision.transforms import Prepare

RED = (255, 0, 0)
GREY = np.array([[0, 256, 257], [32768, 51400, 65535]], dtype=np.uint16)  # 0, 1, 1, 127.5, 200, 255 of 255
GREY_8 = [[0, 1, 1], [128, 200, 255]]


def several(path):
    Image.new("RGB", (4, 4), RED).save(path, save_all=True, append_images=[Image.new("RGB", (4, 4), "blue")])


def cut(path):
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:-700])


def enormous(path):
    """The header of a PNG of 900 million pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm", "big endian.tif"])
def test_grey_of_16_bits_is_scaled(tmp_path, name):
    Image.fromarray(GREY.astype(">u2") if name.startswith("big") else GREY).save(tmp_path / name)
    assert np.array_equal(np.asarray(picture(tmp_path / name)), np.stack([GREY_8] * 3, -1))
    eight = Image.fromarray(np.array(GREY_8, dtype=np.uint8))
    assert torch.equal(Prepare(3)(Image.open(tmp_path / name)), Prepare(3)(eight))  # also without the data set


@pytest.mark.parametrize(
    ("name", "mode", "colour", "expected"),
    [
        ("a.png", "RGB", RED, RED),
        ("a.JPEG", "CMYK", (0, 0, 0, 0), (255, 255, 255)),
        ("a.tif", "CMYK", (0, 255, 255, 0), RED),
        ("a.png", "RGBA", (*RED, 0), RED),  # torchvision drops transparency, too
        ("a.png", "LA", (200, 9), (200, 200, 200)),
        ("a.png", "L", 7, (7, 7, 7)),
        ("a.png", "1", 1, (255, 255, 255)),
        ("a.gif", "RGB", RED, RED),
        ("a.webp", "RGB", (255, 255, 255), (255, 255, 255)),
    ],
)
@pytest.mark.parametrize("size", [(4, 4), (1, 1)])
def test_modes(tmp_path, name, mode, colour, expected, size):
    Image.new(mode, size, colour).save(tmp_path / name)
    read = picture(tmp_path / name)
    assert (read.mode, read.size, read.getpixel((0, 0))) == ("RGB", size, expected)


def test_a_palette_with_a_transparent_colour(tmp_path):
    Image.new("RGB", (4, 4), RED).quantize(2).save(tmp_path / "a.png", transparency=0)
    assert picture(tmp_path / "a.png").getpixel((0, 0)) == RED


def test_pixels_are_read_as_stored(tmp_path):
    """torchvision does not look at the EXIF orientation, and published accuracies are without it."""
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (8, 4), RED).save(tmp_path / "a.jpg", exif=turned)
    assert picture(tmp_path / "a.jpg").size == (8, 4)


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("a.gif", several, "holds 2 images"),
        ("a.tif", several, "holds 2 images"),
        ("a.png", several, "holds 2 images"),
        ("a.tif", lambda p: Image.fromarray(GREY.astype(np.int32)).save(p), "whole numbers of 32 bits"),
        ("a.tif", lambda p: Image.fromarray(GREY.astype(np.float32)).save(p), "floats for pixels"),
        ("a.jpg", lambda p: p.write_bytes(b""), "cannot identify"),
        ("a.jpg", lambda p: p.write_text("<html>404</html>"), "cannot identify"),
        ("a.png", cut, "truncated"),
        ("a.jpg", cut, "[Tt]runcated"),
        ("a.png", enormous, "900000000 pixels"),
        ("a.png", lambda p: p.symlink_to(p.parent / "nowhere.png"), "No such file"),
    ],
)
def test_files_that_are_refused(tmp_path, name, write, words):
    write(tmp_path / name)
    with pytest.raises(ItinfError, match=rf"{name} cannot be read as an image \(.*{words}"):
        picture(tmp_path / name)


def test_hidden_and_left_behind_files_at_every_level(tmp_path):
    painted(tmp_path, "a.png")
    for place in (".", "red", "red/deep"):
        for hidden in (".cache", ".ipynb_checkpoints", "__MACOSX"):
            (tmp_path / place / hidden).mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(tmp_path / place / hidden / "b.png")
        (tmp_path / place / "Thumbs.db").write_text("")
        Image.new("RGB", (4, 4)).save(tmp_path / place / "._b.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "red" / "deep" / "c.PNG")
    data = images(str(tmp_path), image_network(3))
    assert [data.key(i) for i in range(len(data))] == ["blue/a.png", "green/a.png", "red/a.png", "red/deep/c.PNG"]
    assert list(data.note["classes"]) == sorted(COLOURS) and len(data.note["doubts"]) == 1


def test_files_that_are_no_images_are_named(tmp_path):
    painted(tmp_path, "a.png")
    for name in ("README.md", "red/notes.txt", "red/b.heic"):
        (tmp_path / name).write_text("")
    doubts = images(str(tmp_path), image_network(3, list(COLOURS))).note["doubts"]
    assert doubts == [f"Left out 3 files of {tmp_path}: README.md, red/b.heic, red/notes.txt."]


def test_links(tmp_path):
    painted(tmp_path / "data", "a.png")
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (4, 4), RED).save(tmp_path / "elsewhere" / "b.png")
    (tmp_path / "data" / "red" / "more").symlink_to(tmp_path / "elsewhere")
    data = images(str(tmp_path / "data"), image_network(3))
    assert data.key(3) == "red/more/b.png"
    (tmp_path / "data" / "red" / "again").symlink_to(tmp_path / "data")
    with pytest.raises(ItinfError, match="is a link to a folder that contains it"):
        images(str(tmp_path / "data"), image_network(3))


@pytest.mark.parametrize("splits", [("train", "val"), ("train", "valid", "test"), ("training", "validation")])
def test_folders_for_splits_beside_others(tmp_path, splits):
    for split in splits:
        painted(tmp_path / split, "a.png")
    if "train" in splits:
        assert images(str(tmp_path), image_network(3), split="val").note["split"] == splits[1]
        (tmp_path / "annotations").mkdir()
        with pytest.raises(ItinfError, match=r"beside others \(annotations\).*Give the folder to read: images:.*train"):
            images(str(tmp_path), image_network(3))
    else:  # classes as they stand, of which no network has ever heard
        with pytest.raises(ItinfError, match="does not know 'training'"):
            images(str(tmp_path), image_network(3, list(COLOURS)))


def test_one_folder_too_high_is_no_class(tmp_path):
    painted(tmp_path / "cars", "a.png")
    with pytest.raises(ItinfError, match="does not know 'cars'"):
        images(str(tmp_path), image_network(3, list(COLOURS)))


def test_a_name_that_is_not_utf8(tmp_path):
    painted(tmp_path, "a.png")
    try:
        (Path(str(tmp_path)) / "red" / "b\udcff.png").write_bytes(b"")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    with pytest.raises(ItinfError, match="is not UTF-8"):
        images(str(tmp_path), image_network(3))
