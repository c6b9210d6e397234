"""Small files, folders and results on which every bad input is tried; made once, and never changed by a bad input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

import itinf
from tiny import gpt2, tokens

GPT2 = {"n_layer": 2, "n_embd": 8, "n_head": 2, "vocab_size": 256, "n_positions": 16}
CLASSES = 10


@dataclass
class World:
    """What stands in a folder, and the same as objects.

    Attributes:
        root: the folder; ``words``: name -> path in it, for commands.
        image, token: networks; ``lens``: of ``token``; ``data``: token sequences; ``run``: a study of ``token``;
            ``halves``: its two shards.
    """

    root: Path
    words: dict[str, str]
    image: itinf.Network
    token: itinf.Network
    lens: itinf.Lens
    data: object
    run: itinf.ProbeResult
    halves: list[itinf.ProbeResult]


def world(root: Path) -> World:
    """Makes everything in a new folder; seconds on one core."""
    photos = root / "photos"
    for n in range(24):
        (photos / str(n % CLASSES)).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(n).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / str(n % CLASSES) / f"{n}.png")
    (root / "text.txt").write_text("".join(f"{n} times {n} is {n * n}. " for n in range(200)))
    (root / "latin.txt").write_bytes("naïve ".encode("latin-1") * 40)
    (root / "file").write_text("a file")
    (root / "page.html").write_text("mine")
    (root / "empty").mkdir()
    (root / "thesis").mkdir()
    (root / "thesis/thesis.tex").write_text("mine")
    save_file({"x": torch.zeros(3)}, root / "other.safetensors")
    (root / "cut.safetensors").write_bytes((root / "other.safetensors").read_bytes()[:20])
    (root / "pickle.pt").write_bytes(b"\x80\x04K\x01.")
    image, token, data = itinf.network("cifar-resnet8"), gpt2(), tokens(48)
    GPT2LMHeadModel(GPT2Config(**GPT2)).save_pretrained(root / "mute")  # without a tokenizer
    lens = itinf.fit(token, tokens(120, seed=1))
    lens.save(root / "lens.safetensors")
    quick = {"probes": [itinf.Performance()], "replicates": 20, "group": 8}
    run = itinf.probe(token, data, out=root / "probed", **quick)
    halves = [itinf.probe(token, data, out=root / f"half{i + 1}", shard=(i, 2), **quick) for i in range(2)]
    itinf.probe(token, data, out=root / "third1", shard=(0, 3), **quick)
    itinf.probe(token, data, out=root / "seed1", shard=(1, 2), **quick, seed=1)
    itinf.transfer(token, lens, tokens(96, seed=2), out=root / "moved", replicates=20, precision=10)
    itinf.compare([run])
    return World(
        root, {path.name.replace(".", "_"): str(path) for path in root.iterdir()}, image, token, lens, data, run, halves
    )
