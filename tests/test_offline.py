"""With the network switched off: caches of Hugging Face, torch and timm, checkpoint files, sharded safetensors."""

from __future__ import annotations

import hashlib
import shutil
import socket
from pathlib import Path

import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file
from torchvision import models

import itinf
from itinf import ItinfError
from test_libraries import SMALL

WORDS = {**SMALL, "num_key_value_heads": 2, "bos_token_id": None, "eos_token_id": None}


@pytest.fixture(autouse=True)
def switched_off(monkeypatch, tmp_path):
    """Whoever opens a connection fails; the caches are empty folders."""

    def refused(*_, **__):
        raise OSError("the network is switched off")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))


def cached(cache: Path, repository: str, files: Path) -> None:
    """Puts files into a cache as huggingface_hub lays it out."""
    root = cache / f"models--{repository.replace('/', '--')}"
    shutil.copytree(files, root / "snapshots" / "0a1b2c")
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("0a1b2c")


def saved(folder: Path, **options: object) -> torch.nn.Module:
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model("mistral", **WORDS))
    model.save_pretrained(folder, **options)
    return model


def test_a_hugging_face_cache(tmp_path):
    model = saved(tmp_path / "saved")
    cached(tmp_path / "hub", "someone/small", tmp_path / "saved")
    network = itinf.network("hf:someone/small", tokenizer="bytes")
    assert torch.equal(network.head.weight, model.lm_head.weight) and itinf.check(network).ok
    with pytest.raises(ItinfError, match="someone/other"):
        itinf.network("hf:someone/other", tokenizer="bytes")


def test_sharded_safetensors(tmp_path):
    model = saved(tmp_path / "saved", max_shard_size="20KB")
    assert len(list((tmp_path / "saved").glob("*.safetensors"))) > 2
    network = itinf.network(f"hf:{tmp_path / 'saved'}", tokenizer="bytes")
    ours, own = network.model.state_dict(), model.state_dict()
    assert all(torch.equal(ours[name], own[name]) for name in own) and itinf.check(network).ok


def test_a_checkpoint_of_torchvision_in_the_cache_of_torch(tmp_path, monkeypatch):
    release = models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    file = tmp_path / "torch" / "checkpoints" / Path(release.url).name
    with pytest.raises(ItinfError, match=r"could not be downloaded.*put it into"):
        itinf.network("torchvision:squeezenet1_1", "pretrained")
    model = models.squeezenet1_1()
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), file)
    with pytest.raises(ItinfError, match="is not the file that"):
        itinf.network("torchvision:squeezenet1_1", "pretrained")
    content = hashlib.sha256(file.read_bytes()).hexdigest()[:8]  # as if it were the released one
    monkeypatch.setattr("vision.published_weights._hash", lambda _: content)
    network = itinf.network("torchvision:squeezenet1_1", "pretrained")
    assert all(torch.equal(a, b) for a, b in zip(network.model.parameters(), model.parameters(), strict=True))
    assert network.classes[0] == "tench" and network.weights == str(release)


def test_checkpoints_of_timm_in_the_cache_and_as_files(tmp_path):
    name = "timm:test_resnet.r160_in1k"
    with pytest.raises(ItinfError, match=r"could not be loaded.*give a file as weights"):
        itinf.network(name, "pretrained")
    torch.manual_seed(5)
    model = timm.create_model(name.removeprefix("timm:"))
    (tmp_path / "saved").mkdir()
    save_file(model.state_dict(), tmp_path / "saved" / "model.safetensors")
    cached(tmp_path / "hub", "timm/test_resnet.r160_in1k", tmp_path / "saved")
    torch.save({"state_dict_ema": model.state_dict(), "epoch": 3}, tmp_path / "mine.pth.tar")
    for weights in ("pretrained", str(tmp_path / "mine.pth.tar"), str(tmp_path / "saved" / "model.safetensors")):
        network = itinf.network(name, weights)
        assert all(torch.equal(a, b) for a, b in zip(network.model.parameters(), model.parameters(), strict=True))
    assert network.prepare.note["side"] == 160
