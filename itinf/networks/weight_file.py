"""Reads what a weight file holds, and runs nothing from it: its kind is known by its content, never by its name."""

from __future__ import annotations

import pickletools
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import load_file

from ..errors import ItinfError

SAVE = "Save the weights alone where the model can be opened: torch.save(model.state_dict(), 'weights.pt')."
"""What to do about a file that holds more than weights."""
PLAIN = frozenset(
    [
        "_codecs",
        "abc",
        "argparse",
        "builtins",
        "collections",
        "copyreg",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
        "fractions",
        "functools",
        "logging",
        "operator",
        "pathlib",
        "re",
        "threading",
        "types",
        "typing",
        "uuid",
        "weakref",
        "zoneinfo",
    ]
)
"""Modules of the standard library that usual checkpoints name; stand-ins take the place of what they name."""
BUILTINS = frozenset(
    [
        "object",
        "dict",
        "list",
        "set",
        "frozenset",
        "tuple",
        "str",
        "bytes",
        "bytearray",
        "int",
        "float",
        "complex",
        "bool",
        "slice",
        "range",
        "getattr",
    ]
)
"""Names of builtins in checkpoints; getattr comes with enums."""
_CLASS = "itinf: class"


class StandIn:
    """Stands for an object of a class that torch does not read from weight files; keeps the name of the class."""

    name = ""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def class_name(value: Any) -> str:
    """The class of something in a weight file, also where a stand-in is in its place."""
    if isinstance(value, StandIn):
        return value.name
    return vars(value).get(_CLASS, type(value).__name__) if isinstance(value, OrderedDict) else type(value).__name__


def content(path: Path) -> Any:
    """What a weight file holds: tensors in dicts and lists, beside them plain values and stand-ins.

    Raises:
        ItinfError: the file is missing, is no weight file, is damaged, or asks to run something.
    """
    try:
        if not path.is_file():
            raise ItinfError(f"{_absent(path)} Expected a file of weights, random[:SEED], or pretrained.")
        with path.open("rb") as file:
            start = file.read(1024)
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        if isinstance(error, ItinfError):
            raise
        why = getattr(error, "strerror", None) or error
        raise ItinfError(
            f"The weight file {str(path)!r} cannot be read ({why}). Give a file that you can read."
        ) from error
    what = _no_weights(start)
    if what:
        raise ItinfError(f"{label(path)} is {what}")
    try:
        if _is_safetensors(start, size):
            return load_file(path)
        return _read_saved(path, size, start)
    except ItinfError:
        raise
    except Exception as error:
        # the errors of torch advise to switch its protection off, so they are not repeated
        why = f"{error}" if _is_safetensors(start, size) else _reason(error)
        raise ItinfError(f"{label(path)} cannot be read as weights ({why}). Is the file complete?") from error


def label(path: Path) -> str:
    """A path for a message: as it is, or quoted where it has characters that do not print."""
    return str(path) if str(path).isprintable() else repr(str(path))


def _absent(path: Path) -> str:
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.is_file())
        names = f": {', '.join(map(repr, inside[:5]))}{', …' if len(inside) > 5 else ''}" if inside else ""
        return f"{str(path)!r} is a folder, not a weight file. Give a file in it{names}."
    if path.exists():
        return f"{str(path)!r} is no regular file."
    return f"There is no weight file {str(path)!r}."


def _no_weights(start: bytes) -> str:
    """What a file is that cannot hold weights, and what to do; "" for all others."""
    text = start.lstrip().lower()
    known = (
        (not start, "empty (0 bytes). Copy or download it again."),
        (
            text.startswith(b"version https://git-lfs"),
            "a pointer of Git LFS, not the weights. Fetch them: git lfs pull.",
        ),
        (text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")), "a web page. Download the file itself."),
        (start.startswith(b"GGUF"), "a GGUF file. The network llama reads it."),
        (start.startswith(b"\x89HDF"), "an HDF5 file, as Keras writes it. Give weights that PyTorch saved."),
        (start.startswith(b"\x93NUMPY"), "an array of NumPy. Give a state dict that PyTorch saved."),
        (start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")), "compressed. Unpack it first."),
        (start[257:262] == b"ustar", f"a tar archive. Unpack it, or if an old PyTorch wrote it: {SAVE}"),
        (_is_text(start), f"text that begins with {start[:40].decode(errors='replace')!r}. Give a file of weights."),
    )
    return next((what for holds, what in known if holds), "")


def _is_text(start: bytes) -> bool:
    return not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in start)


def _is_safetensors(start: bytes, size: int) -> bool:
    """Whether a JSON header follows a length; the reader checks the length itself."""
    return start[8:9] == b"{" and not start.startswith(b"PK")


def _reason(error: Exception) -> str:
    text = str(error).split("\n")[0]
    advises = any(word in text.lower() for word in ("weights_only", "weights-only", "safe_globals", "unsupported"))
    return type(error).__name__ if advises or not text else text[:200]


def _read_saved(path: Path, size: int, start: bytes) -> Any:
    """Reads a file that ``torch.save`` wrote."""
    archive = start.startswith(b"PK")
    if not archive and not start.startswith(b"\x80"):
        raise ItinfError(f"{label(path)} is no weight file: its first bytes are {start[:8]!r}. Give a file of weights.")
    asked = _zip_names(path, size) if archive else _legacy_names(path)
    _refuse_harmful(path, asked)
    try:
        with _stand_ins(asked), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        other = sorted(name for name in asked if not name.startswith(("torch._", "collections.", "builtins.")))
        other = [name for name in other if not name.endswith("Storage")]
        if not other:
            raise
        raise ItinfError(
            f"{label(path)} holds Python objects ({', '.join(map(repr, other[:3]))}{', …' if len(other) > 3 else ''}) that "
            f"itinf does not open, because nothing from a file is run. {SAVE}"
        ) from error


def _zip_names(path: Path, size: int) -> set[str]:
    """The Python names that a saved zip archive asks for."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickled = [name for name in names if name.split("/")[-1] == "data.pkl"]
        if any(name.split("/")[-1] == "constants.pkl" for name in names):
            raise ItinfError(
                f"{label(path)} is a TorchScript program, not a state dict; itinf runs nothing from a file. {SAVE}"
            )
        if len(pickled) != 1:
            inside = f"; it holds {', '.join(map(repr, names[:3]))}" if names else ""
            raise ItinfError(
                f"{label(path)} is a zip archive that PyTorch did not write{inside}. Give a file of weights."
            )
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise ItinfError(
                f"{label(path)} unpacks to more than its size, and PyTorch packs nothing. Give a file of weights."
            )
        if (damaged := archive.testzip()) is not None:
            raise ItinfError(
                f"{label(path)} is damaged: {damaged!r} in it has another checksum. Copy or download it again."
            )
        with archive.open(pickled[0]) as file:
            return _names(file)


def _legacy_names(path: Path) -> set[str]:
    """The Python names that a file asks for which PyTorch before 1.6 wrote, or any pickle."""
    with path.open("rb") as file:
        # a magic number, a version, the system, and the content
        return set().union(*(_names(file) for _ in range(4))) if _is_legacy(path) else _names(file)


def _is_legacy(path: Path) -> bool:
    with path.open("rb") as file:
        first = next((arg for code, arg, _ in pickletools.genops(file) if code.name == "LONG1"), None)
    return first == torch.serialization.MAGIC_NUMBER


def _names(file: BinaryIO | Any) -> set[str]:
    """The names of functions and classes in one pickle, which is taken apart and not run."""
    asked: set[str] = set()
    strings: list[str] = []
    for code, arg, _ in pickletools.genops(file):
        if code.name in ("GLOBAL", "INST"):
            asked.add(str(arg).replace(" ", "."))
        elif code.name == "STACK_GLOBAL":
            asked.add(".".join(strings[-2:]))
        elif isinstance(arg, str):
            strings.append(arg)
    # these two have other names in the pickles of torch.save, which Python 2 can read
    return {name.replace("__builtin__.", "builtins.", 1).replace("copy_reg.", "copyreg.", 1) for name in asked}


def _refuse_harmful(path: Path, asked: set[str]) -> None:
    """Refuses a file that asks for what weights do not need; torch would not run it either."""
    for name in sorted(asked):
        module, _, attribute = name.rpartition(".")
        root = module.split(".")[0]
        harmful = root in sys.stdlib_module_names and root not in PLAIN
        if harmful or (root == "builtins" and attribute not in BUILTINS):
            raise ItinfError(
                f"{label(path)} asks Python to run {name!r}, which weights do not need. Nothing was run. "
                "Give weights from a source that you trust."
            )


@contextmanager
def _stand_ins(asked: set[str]) -> Iterator[None]:
    """While a file is read, every class that torch does not know is a stand-in, whatever the process allows."""
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        torch.serialization.add_safe_globals([(_stand_in(name), name) for name in sorted(asked)])
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed)


class _Called(type):
    """A stand-in that is called makes a ``StandIn``; one made without arguments is a dict, for items or a state."""

    def __call__(cls, *_: Any, **__: Any) -> Any:
        return object.__new__(cls)  # type: ignore[arg-type]


def _stand_in(name: str) -> Any:
    if name == "collections.defaultdict":
        return lambda *_: OrderedDict()
    if name == "collections.deque":
        return lambda *_: []

    def made(cls: Any, *args: Any) -> Any:
        if args:
            return object.__new__(cls)
        items: OrderedDict[Any, Any] = OrderedDict()
        vars(items)[_CLASS] = name
        return items

    return _Called("StandIn", (StandIn,), {"name": name, "__new__": made})
