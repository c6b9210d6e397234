"""Files that want to run something, to lead elsewhere, or to take all memory: nothing runs, and one message says why."""

from __future__ import annotations

import builtins
import functools
import json
import operator
import os
import pickle
import runpy
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import itinf
from itinf import ItinfError
from itinf.networks.weights import fill
from language.gguf_header import require_gguf

MARK = "mark"
STATE = nn.Linear(3, 2).state_dict()


class Call:
    """Unpickled by a reader that runs what it reads, this calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Built(Call):
    """The same with a state, which is set after the call."""

    def __reduce__(self):
        return (*self.call, {"state": Call(os.mkdir, MARK)})


class Tensor(torch.Tensor):
    def __reduce_ex__(self, protocol):
        return os.mkdir, (MARK,)


def objects():
    array = np.empty(1, dtype=object)
    array[0] = Call(os.mkdir, MARK)
    return array


PAYLOADS = {
    "os.mkdir": Call(os.mkdir, MARK),
    "os.system": Call(os.system, f"touch {MARK}"),
    "subprocess": Call(subprocess.check_call, ["touch", MARK]),
    "eval": Call(eval, f"__import__('os').mkdir('{MARK}')"),
    "exec": Call(exec, f"open('{MARK}', 'w')"),
    "open": Call(open, MARK, "w"),
    "getattr": Call(getattr, Call(__import__, "os"), "mkdir"),
    "partial": Call(functools.partial, os.mkdir, MARK),
    "methodcaller": Call(operator.methodcaller("mkdir", MARK), Path()),
    "path": Call(Path.touch, Path(MARK)),
    "runpy": Call(runpy.run_path, "mark.py"),
    "torch": Call(torch.save, torch.ones(1), MARK),
    "torch.load": Call(torch.load, "mark.pt"),
    "torch rebuild": Call(torch._tensor._rebuild_from_type_v2, os.mkdir, torch.Tensor, (MARK,), {}),
    "numpy": Call(np.save, MARK, np.ones(1)),
    "numpy objects": objects(),
    "subclass": Tensor([1.0]),
    "state": Built(nn.Linear, 2, 2),
    "builtins": Call(builtins.compile, "1", MARK, "eval"),
}


def written(path, payload, form):
    content = {"state_dict": STATE, "beside": payload}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    elif form == "protocol 5":
        torch.save(content, path, pickle_protocol=5)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")


@pytest.mark.parametrize("form", ["zip", "legacy", "protocol 5", "pickle"])
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_no_payload_runs(tmp_path, monkeypatch, payload, form):
    monkeypatch.chdir(tmp_path)
    Path("mark.py").write_text(f"open('{MARK}', 'w')")
    torch.save(Call(os.mkdir, MARK), "mark.pt")
    written(Path("net.pt"), payload, form)
    model = nn.Linear(3, 2)
    before = {path.name for path in tmp_path.iterdir()}
    try:
        fill(model, "net.pt")
    except ItinfError as refused:
        assert not any(word in str(refused) for word in ("weights_only", "safe_globals", "allowlist"))
    else:
        assert torch.equal(model.weight, STATE["weight"])
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["os.mkdir", "os.system", "subprocess", "eval", "exec", "open", "runpy", "getattr"])
def test_what_could_do_harm_is_refused_by_name(tmp_path, name):
    for form in ("zip", "legacy", "pickle"):
        written(tmp_path / "net.pt", PAYLOADS[name], form)
        with pytest.raises(
            ItinfError, match=r"asks Python to run '\w+\.\w+', which weights do not need. Nothing was run"
        ):
            fill(nn.Linear(3, 2), tmp_path / "net.pt")


def test_what_a_process_allows_does_not_run_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(Path("net.pt"), Call(shutil.copy, "net.pt", MARK), "zip")
    written(Path("own.pt"), Made(), "zip")
    with torch.serialization.safe_globals([shutil.copy, Made]):
        with pytest.raises(ItinfError, match=r"asks Python to run 'shutil\.copy'"):
            fill(nn.Linear(3, 2), "net.pt")
        fill(nn.Linear(3, 2), "own.pt")
        assert set(torch.serialization.get_safe_globals()) >= {shutil.copy, Made}
    assert not Path(MARK).exists()


class Made:
    def __setstate__(self, state):
        Path(MARK).touch()

    def __getstate__(self):
        return {"a": 1}


def test_torchscript_is_refused(tmp_path):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.Linear(3, 2)).save(tmp_path / "net.pt")
    with pytest.raises(ItinfError, match=r"is a TorchScript program.* torch\.save\(model\.state_dict\(\)"):
        fill(nn.Linear(3, 2), tmp_path / "net.pt")


def test_no_file_takes_all_memory(tmp_path):
    path = tmp_path / "net.pt"
    torch.save(STATE, path)
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in whole.namelist():
            bomb.writestr(name, bytes(50_000_000) if "/data/" in name else whole.read(name))
    with pytest.raises(ItinfError, match="unpacks to more than its size"):
        fill(nn.Linear(3, 2), tmp_path / "bomb.pt")
    laughs = {"weight": torch.ones(1)}
    for _ in range(100):
        laughs = {"a": laughs, "b": laughs}
    round_ = {"state_dict": STATE}
    round_["again"] = round_
    for content, fits in ((laughs, False), (round_, True), ({"x" * 10**6: torch.ones(1)}, False)):
        torch.save(content, path)
        if fits:
            assert fill(nn.Linear(3, 2), path).endswith("#state_dict")
        else:
            with pytest.raises(ItinfError) as refused:
                fill(nn.Linear(3, 2), path)
            assert len(str(refused.value)) < 1000
    torch.save(STATE | {"weight": torch.ones(1).expand(10**6, 10**6)}, path)
    with pytest.raises(ItinfError, match=r"file \(1000000, 1000000\), model \(2, 3\)"):
        fill(nn.Linear(3, 2), path)


def test_names_cannot_steer_a_terminal(tmp_path):
    key, place = "\x1b[31mred\n[bold]", tmp_path / "\x1b[2J\nnet.pt"
    torch.save({key: torch.ones(1)} | STATE, place)
    with pytest.raises(ItinfError) as refused:
        fill(nn.Linear(3, 2), place)
    assert r"\x1b[31mred\n[bold]" in str(refused.value) and r"\x1b[2J\nnet.pt" in str(refused.value)
    assert str(refused.value).isprintable()
    torch.save(STATE, place)
    assert fill(nn.Linear(3, 2), place).isprintable()
    assert str(ItinfError("a\x1b[31m\u202eb\nc")) == "a\\x1b[31m\\u202eb\nc"


# Hugging Face folders


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "gpt2"
    tiny = {"n_layer": 2, "n_embd": 8, "n_head": 2, "vocab_size": 300, "n_positions": 16}
    itinf.network("gpt2", "random:1", **tiny).model.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(good, tmp_path):
    return Path(shutil.copytree(good, tmp_path / "gpt2"))


def config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def tensors(folder, change):
    path = folder / "model.safetensors"
    state = change({name: value.clone() for name, value in load_file(path).items()})
    save_file({name: value.contiguous() for name, value in state.items()}, path, {"format": "pt"})


def index(folder, shard):
    names = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    listed = {"metadata": {}, "weight_map": dict.fromkeys(names, shard)} if isinstance(shard, str) else shard
    (folder / "model.safetensors.index.json").write_text(json.dumps(listed))


def outside(folder):
    shutil.copy(folder / "model.safetensors", folder.parent / "part.safetensors")
    index(folder, "../part.safetensors")


def old(folder, content):
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")


SPOILT = {
    "no config": (lambda f: (f / "config.json").unlink(), r"there is no config\.json"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), r"config\.json holds a list"),
    "config is a number": (lambda f: (f / "config.json").write_text("3"), r"config\.json holds a int"),
    "config is deep": (lambda f: (f / "config.json").write_text("[" * 200_000), r"config\.json is nested too deeply"),
    "config is binary": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), r"config\.json: "),
    "text for a number": (lambda f: config(f, n_layer="two"), r"n_layer"),
    "no heads": (lambda f: config(f, n_head=0), "cannot be read as GPT-2"),
    "too many blocks": (lambda f: config(f, n_layer=10**9), "says 1000000000 blocks, and the file has 28 tensors"),
    "too wide": (lambda f: config(f, n_embd=100_000), r"describes \d+,\d+,\d+,\d+ numbers, and the file has"),
    "too many words": (lambda f: config(f, vocab_size=10**13), r"numbers, and the file has"),
    "no shard": (lambda f: index(f, "model-1.safetensors"), r"there is no model-1\.safetensors"),
    "shard outside": (outside, r"names '\.\./part\.safetensors', which is no \.safetensors file in this folder"),
    "shard elsewhere": (lambda f: index(f, str(f / "part.safetensors")), r"which is no \.safetensors file in this folder"),
    "pickle as shard": (lambda f: index(f, "part.bin"), r"which is no \.safetensors file in this folder"),
    "index is a list": (lambda f: index(f, []), r"index\.json holds a list"),
    "index without map": (lambda f: index(f, {"weight_map": 3}), "has no weight_map"),
    "adapter": (lambda f: (f / "adapter_config.json").write_text('{"base_model_name_or_path": "a/b"}'), "an adapter"),
    "code of the hub": (lambda f: config(f, _attn_implementation="some/kernel"), "asks for code from elsewhere"),
    "quantised": (lambda f: config(f, quantization_config={"quant_method": "gptq"}), "the weights are quantised"),
    "activation": (lambda f: config(f, activation_function="os.system"), "cannot be read as GPT-2"),
    "integers": (lambda f: tensors(f, lambda s: {k: v.to(torch.int8) for k, v in s.items()}), "is I8; weights are expected"),
    "complex": (lambda f: tensors(f, lambda s: {k: v.to(torch.complex64) for k, v in s.items()}), "is C64"),
    "no numbers": (lambda f: tensors(f, lambda s: s | {"transformer.ln_f.bias": torch.full((8,), float("nan"))}), r"ln_f\.bias holds NaN or infinite numbers"),
    "no tensors": (lambda f: tensors(f, lambda s: {}), "and the file has 0 tensors"),
    "header of 8 GB": (lambda f: (f / "model.safetensors").write_bytes((8 * 10**9).to_bytes(8, "little") + b"{}"), "header too large"),
    "old file that runs": (lambda f: old(f, {"a": Call(os.mkdir, MARK)}), r"asks Python to run '\w+\.mkdir'"),
    "old file of a model": (lambda f: old(f, {"model": STATE}), "holds more than tensors"),
}  # fmt: skip


@pytest.mark.parametrize("spoil, message", SPOILT.values(), ids=SPOILT)
def test_a_spoilt_folder_is_one_message(folder, monkeypatch, spoil, message):
    monkeypatch.chdir(folder.parent)
    spoil(folder)
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(ItinfError, match=message):
        itinf.network("gpt2", str(folder))
    assert sorted(folder.parent.rglob("*")) == before


def test_code_beside_a_config_does_not_run(folder):
    classes = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model", "AutoTokenizer": ["own.Words", None]}
    config(folder, auto_map=classes, trust_remote_code=True)
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": classes, "tokenizer_class": "Words"}))
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(folder / MARK)!r})\n")
    itinf.network("gpt2", str(folder))
    assert not (folder / MARK).exists()


def test_old_folders_and_heads_are_read_as_they_are(folder, good):
    state = load_file(good / "model.safetensors")
    old(folder, {name.removeprefix("transformer."): value.double() for name, value in state.items()})
    network = itinf.network("gpt2", str(folder))
    assert network.weights == f"{folder} (float64)"
    assert torch.equal(network.model.lm_head.weight, state["transformer.wte.weight"])
    masks = {f"transformer.h.{i}.attn.bias": torch.ones(1, 1, 16, 16).tril().bool() for i in range(2)}
    masks |= {f"transformer.h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(2)}
    shutil.copy(good / "model.safetensors", folder)
    head = {"lm_head.weight": state["transformer.wte.weight"] + 1}
    tensors(folder, lambda s: s | masks | head)
    model = itinf.network("gpt2", str(folder)).model
    assert torch.equal(model.lm_head.weight, head["lm_head.weight"])
    assert torch.equal(model.transformer.wte.weight, state["transformer.wte.weight"])


def test_what_is_no_folder_does_not_go_online(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: pytest.fail("went to the hub"))
    monkeypatch.chdir(tmp_path)
    torch.save(STATE, "net.pt")
    for weights, message in (
        ("net.pt", r"'net\.pt' is a file\. Expected a Hugging Face folder"),
        ("some/net.pt", r"there is no folder 'some/net\.pt'"),
        ("a" * 300, "cannot be opened .*name too long"),
    ):
        with pytest.raises(ItinfError, match=message):
            itinf.network("gpt2", weights)


def test_a_folder_is_not_taken_for_the_published_weights(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    shutil.copytree(folder, "openai-community/gpt2")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: (_ for _ in ()).throw(OSError("offline")))
    with pytest.raises(ItinfError, match="offline"):
        itinf.network("gpt2", "pretrained")


# GGUF headers: version, number of tensors, number of values, and what follows


def gguf(version=3, count=0, values=0, rest=b""):
    return b"GGUF" + struct.pack("<IQQ", version, count, values) + rest


def text(content, length=None):
    return struct.pack("<Q", len(content) if length is None else length) + content


HEADERS = {
    "no magic": (b"GGML" + bytes(40), "does not begin with GGUF"),
    "cut": (b"GGUF\3\0", "ends within its header"),
    "version": (gguf(version=50_331_648), "its version is 50331648"),
    "too many tensors": (gguf(count=2**60), "claims"),
    "too many values": (gguf(values=2**60), "claims"),
    "long key": (gguf(values=1, rest=text(b"a", 2**60) + bytes(20)), "claims"),
    "long array": (gguf(values=1, rest=text(b"a") + struct.pack("<IIQ", 9, 0, 2**60)), "claims"),
    "long array of text": (gguf(values=1, rest=text(b"a") + struct.pack("<IIQ", 9, 8, 2**60)), "claims"),
    "array of arrays": (gguf(values=1, rest=text(b"a") + struct.pack("<IIQ", 9, 9, 1) + bytes(20)), "unknown type 9"),
    "unknown type": (gguf(values=1, rest=text(b"a") + struct.pack("<I", 77) + bytes(9)), "unknown type 77"),
    "many axes": (gguf(count=1, rest=text(b"a") + struct.pack("<I", 2**31)), "claims"),
    "cut in a tensor": (gguf(count=1, rest=text(b"a") + struct.pack("<IQ", 1, 4)), "ends within its header"),
}


@pytest.mark.parametrize("content, message", HEADERS.values(), ids=HEADERS)
def test_a_gguf_header_claims_no_more_than_its_file(tmp_path, content, message):
    (tmp_path / "net.gguf").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        require_gguf(tmp_path / "net.gguf")
