"""Reads a Llama from a GGUF file: weights, dequantised to float32, and the tokenizer."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from itinf import ItinfError
from itinf.errors import nearest

from .encoder import Encoder
from .gguf_header import MAGIC
from .huggingface import Family, load, quiet

EXTRA = ("gguf", "accelerate")
KNOWN = re.compile(
    r"(blk\.\d+\.(attn_(norm|q|k|v|output)|ffn_(norm|gate|up|down))|token_embd|output_norm|output)\.weight"
)


def is_gguf(path: Path) -> bool:
    """Whether a file is a GGUF file by its content; a path without a file is meant as one if it ends in .gguf."""
    try:
        with path.open("rb") as file:
            return file.read(4) == MAGIC
    except (OSError, ValueError):
        return path.suffix == ".gguf" and not path.is_dir()


def read(family: Family, path: Path) -> tuple[Any, str, Encoder]:
    """Reads the model, the dtypes of its file for the record, and its encoder.

    transformers rebuilds the tokenizer from the vocabulary and the merges in the file, and splits words by the rule of
    GPT-2. If the tokenizer was trained with another rule (Llama 3), some words are split differently.

    Args:
        family: the expected kind of model, with the Llama architecture.
        path: path of the file.

    Raises:
        ItinfError: the extra ``gguf`` is not installed; the file is missing, incomplete or of another architecture; or it
            has tensors or rotary positions that transformers would silently ignore.
    """
    absent = [package for package in EXTRA if find_spec(package) is None]
    if absent:
        raise ItinfError(
            f"{path}: reading a GGUF file takes {' and '.join(absent)}. Install them: pip install itinf[gguf]."
        )
    if not path.is_file():
        siblings = [p.name for p in path.parent.glob("*.gguf")] if path.parent.is_dir() else []
        raise ItinfError(f"There is no file {str(path)!r}. {nearest(path.name, siblings)}")
    # no setting turns off the progress bar of this reader
    with redirect_stderr(io.StringIO()):
        model, dtypes = load(family, path.parent, path.name)
        _require_all_read(path)
    try:
        with quiet():
            wrapped: Any = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
        tokenizer = wrapped.backend_tokenizer
    except Exception as error:
        raise ItinfError(f"{path}: its tokenizer cannot be read ({error}). Give a Hugging Face folder.") from error
    return model, dtypes, Encoder.of(tokenizer, tokenizer.to_str().encode(), model.config.vocab_size)


def _require_all_read(path: Path) -> None:
    from gguf import GGUFReader

    file = GGUFReader(path)
    strange = [tensor.name for tensor in file.tensors if not KNOWN.fullmatch(tensor.name)]
    stretched = file.fields.get("llama.rope.scaling.type")
    if stretched is not None and stretched.contents() != "none":
        strange.append(f"rotary positions scaled by the rule {stretched.contents()!r}")
    if strange:
        raise ItinfError(
            f"{path} holds entries that transformers ignores when it reads a GGUF file, so the model would be another: "
            f"{', '.join(strange[:3])}{', …' if len(strange) > 3 else ''}. Give a Hugging Face folder of this model."
        )
