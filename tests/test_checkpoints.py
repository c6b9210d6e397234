"""Weight files as people have them: which are loaded, as what they are recorded, and what is said about the others."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import gzip
import io
import json
import pathlib
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

import itinf
from itinf import ItinfError
from itinf.networks.weights import fill, is_random
from vision.cifar_resnet import cifar_resnet


def small(outputs=4):
    """A convolution, a BatchNorm and a head: every kind of entry in a state dict."""
    model = nn.Sequential()
    for name, part in (("conv1", nn.Conv2d(3, 4, 3)), ("bn1", nn.BatchNorm2d(4)), ("fc", nn.Linear(4, outputs))):
        model.add_module(name, part)
    return model


torch.manual_seed(5)
MODEL = small()
STATE = {name: value.clone() for name, value in MODEL.state_dict().items()}
OTHER = {name: value + 1 for name, value in STATE.items()}
ADAM = torch.optim.Adam(MODEL.parameters()).state_dict()


def named(prefix, state=STATE):
    return {prefix + name: value for name, value in state.items()}


def cast(dtype, state=STATE):
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}


class Colour(enum.Enum):
    RED = 1


class Config:
    def __init__(self):
        self.rate = 0.1


class Attributes(dict):
    pass


BESIDE = {
    "numpy scalar": np.float64(0.9),
    "numpy array": np.ones(3),
    "numpy objects": np.array([1, None], dtype=object),
    "namespace": argparse.Namespace(lr=1, path=pathlib.Path("x")),
    "datetime": datetime.datetime(2026, 1, 1),
    "path": pathlib.Path("x"),
    "enum": Colour.RED,
    "own class": Config(),
    "dict of its own": Attributes(lr=1),
    "defaultdict": collections.defaultdict(list, {"a": 1}),
    "deque": collections.deque([1, 2]),
    "frozenset": frozenset([1]),
    "optimizer": ADAM,
    "model": nn.Linear(2, 2),
    "int keys": {0: torch.ones(1)},
    "tensor keys": {torch.tensor(1): torch.ones(2)},
}


# what is saved, and the reading in the record
FORMS = [
    (STATE, ""),
    *[({entry: STATE, "epoch": 3}, f"#{entry}") for entry in ("model", "net", "state_dict", "model_state_dict", "ema")],
    *[({entry: STATE}, f"#{entry}") for entry in ("state_dict_ema", "model_ema", "module", "params", "weights", "generator")],
    *[(named(p), f"#{p}") for p in ("module.", "_orig_mod.", "model.", "backbone.", "net.", "encoder.", "transformer.")],
    *[(named(p), f"#{p}") for p in ("module._orig_mod.", "_orig_mod.module.")],
    ({"model": {"state_dict": named("module.")}}, "#model/state_dict/module."),
    ([STATE], "#0"),
    ((STATE, {"lr": 1}), "#0"),
    ({k: v for k, v in STATE.items() if not k.endswith("num_batches_tracked")}, ""),
    (STATE | {"bn1.num_batches_tracked": torch.tensor([0])}, ""),
    ({k: nn.Parameter(v, requires_grad=v.is_floating_point()) for k, v in STATE.items()}, ""),
    (named("module.") | {"n_averaged": torch.tensor(3)}, "#module."),
    (STATE | {"total_ops": torch.zeros(1), "conv1.total_params": torch.zeros(1)}, ""),
    ({"model": STATE, "optimizer": ADAM}, "#model"),
    ({"model": STATE, "optimizer": {"exp_avg": OTHER}}, "#model"),
    ({"state_dict": STATE, "copy": {k: v.clone() for k, v in STATE.items()}}, "#state_dict"),
    ({"state_dict_ema": OTHER, "state_dict": STATE}, "#state_dict"),
    ({"model": STATE, "ema": OTHER}, "#model"),
    ({"model": STATE, "model_ema": OTHER}, "#model"),
    (named("model.") | named("ema_model.", OTHER), "#model."),
    (cast(torch.float64), " (float64)"),
]  # fmt: skip


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("saved, reading", FORMS, ids=[f"{i}{reading}" for i, (_, reading) in enumerate(FORMS)])
def test_a_usual_form_is_loaded_and_recorded(tmp_path, saved, reading, legacy):
    torch.save(saved, tmp_path / "net.pt", _use_new_zipfile_serialization=not legacy)
    model = small()
    assert fill(model, tmp_path / "net.pt") == f"{tmp_path / 'net.pt'}{reading}"
    assert all(torch.equal(value, STATE[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
def test_what_stands_beside_the_weights_is_left_out(tmp_path, beside):
    torch.save({"state_dict": STATE, "beside": beside}, tmp_path / "net.pt")
    assert fill(small(), tmp_path / "net.pt").endswith("#state_dict")


@pytest.mark.parametrize("name", ["a.th", "a.pth.tar", "a.ckpt", "a.bin", "a.tar", "a", "a#b.pt", "ä b.safetensors"])
@pytest.mark.parametrize("safetensors", [False, True])
def test_the_name_of_the_file_decides_nothing(tmp_path, name, safetensors):
    path = tmp_path / name
    path.write_bytes(save(STATE)) if safetensors else torch.save(STATE, path)
    model = itinf.load(small(), path)
    assert torch.equal(model.conv1.weight, STATE["conv1.weight"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lower_precision_becomes_the_models(tmp_path, dtype):
    torch.save({"model": cast(dtype)}, tmp_path / "net.pt")
    model = small()
    assert fill(model, tmp_path / "net.pt").endswith(f"net.pt#model ({str(dtype)[6:]})")
    assert torch.equal(model.fc.weight, STATE["fc.weight"].to(dtype).float())


def test_one_number_may_have_an_axis(tmp_path):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

    torch.save({"scale": torch.tensor([3.0])}, tmp_path / "net.pt")
    assert float(itinf.load(Scaled(), tmp_path / "net.pt").scale.detach()) == 3


class Tied(nn.Module):
    """A language model's two ends, with the mask that old GPT-2 files hold."""

    def __init__(self, tied=True):
        super().__init__()
        self.wte, self.lm_head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        if tied:
            self.lm_head.weight = self.wte.weight


@pytest.mark.parametrize("left_out", ["lm_head.weight", "wte.weight", None])
def test_one_parameter_under_two_names_is_needed_once(tmp_path, left_out):
    state = {k: v.detach() for k, v in Tied().state_dict().items() if k != left_out}
    mask = {"h.0.attn.bias": torch.ones(1, 1, 4, 4).tril().bool(), "h.0.attn.masked_bias": torch.tensor(-1e4)}
    torch.save(named("transformer.", state | mask), tmp_path / "net.pt")
    model = itinf.load(Tied(), tmp_path / "net.pt")
    assert model.lm_head.weight is model.wte.weight
    assert torch.equal(model.wte.weight, next(iter(state.values())))


def test_old_masks_are_known_by_their_shape(tmp_path):
    torch.save(STATE | {"attn.bias": torch.ones(4)}, tmp_path / "net.pt")
    with pytest.raises(ItinfError, match=r"1 tensor is unknown to the model, first 'attn.bias'"):
        fill(small(), tmp_path / "net.pt")
    torch.save({"wte.weight": torch.ones(5, 3), "lm_head.weight": torch.zeros(5, 3)}, tmp_path / "net.pt")
    with pytest.raises(ItinfError, match=r"'lm_head.weight' and 'wte.weight' differ in the file"):
        fill(Tied(), tmp_path / "net.pt")
    fill(Tied(tied=False), tmp_path / "net.pt")


TWO = {"student": STATE, "teacher": OTHER}
MOCO = named("module.q.") | named("module.k.", OTHER) | {"module.queue": torch.ones(2)}
LIGHTNING = {"state_dict": named("model.") | {"criterion.weight": torch.ones(4)}}
CHOICES = [
    (TWO, "student", "#student"),
    (TWO | {"optimizer": ADAM}, "student", "#student"),
    ({"state_dict": OTHER, "state_dict_ema": STATE}, "state_dict_ema", "#state_dict_ema"),
    (MOCO, "module.q.", "#module.q."),
    (MOCO, "module.q", "#module.q."),
    (LIGHTNING, "state_dict/model.", "#state_dict/model."),
    (LIGHTNING, "state_dict", "#state_dict/model."),
    (STATE | {"deep": OTHER}, "", ""),
]


@pytest.mark.parametrize("saved, choice, reading", CHOICES)
def test_a_reading_is_chosen_after_the_name(tmp_path, saved, choice, reading):
    torch.save(saved, tmp_path / "net.pt")
    model = small()
    assert fill(model, f"{tmp_path / 'net.pt'}#{choice}") == f"{tmp_path / 'net.pt'}{reading}"
    assert torch.equal(model.fc.weight, STATE["fc.weight"])


UNFIT = {
    "two readings": (TWO, r"holds 2 sets of weights that fit Sequential and differ. Choose one: \S+#student, \S+#teacher\."),
    "best": ({"state_dict": STATE, "best_state_dict": OTHER}, r"Choose one: \S+#state_dict, \S+#best_state_dict\."),
    "more under the prefix": (MOCO, r"prefix 'module.q.'; in it 1 tensor is unknown to the model, first 'module.queue'. .* add #module.q. to"),
    "more beside the prefix": (LIGHTNING, r"entry 'state_dict' and prefix 'model.'.* add #state_dict/model. to the name"),
    "classes": (small(7).state_dict(), r"'fc.weight': file \(7, 4\), model \(4, 4\).* 'fc' has 7 outputs in the file and 4 .*classes=7"),
    "classes, nested": ({"net": named("module.", small(7).state_dict()), "acc": 1}, r"entry 'net' and prefix 'module.'.*holds 'net', 'acc'. .*classes=7"),
    "shape": (STATE | {"bn1.weight": torch.ones(5)}, r"1 tensor has another shape, first 'bn1.weight': file \(5,\), model \(4,\)"),
    "missing": ({k: v for k, v in STATE.items() if "running" not in k}, r"2 tensors are missing, first 'bn1.running_mean', 'bn1.running_var'"),
    "unknown": (STATE | {"x.y": torch.ones(1), "z": torch.ones(1)}, r"2 tensors are unknown to the model, first 'x.y', 'z'"),
    "same count, other names": ({f"layer{i}.w": v for i, v in enumerate(STATE.values())}, r"no tensor in the file has a name of the model.*'layer0.w'.*\(9 entries\).*The model has 'conv1.weight'"),
    "too deep": ({"a": {"b": {"c": {"d": STATE}}}}, r"no tensor in the file has a name of the model"),
    "adapter": ({"base.lora_A.weight": torch.ones(2)}, r"adapter \(LoRA\) without the weights it adapts"),
    "optimizer": (ADAM, r"the state of an optimizer, no weights"),
    "moments": ({"optimizer": {"exp_avg": STATE}}, r"no tensor in the file has a name of the model"),
    "empty": ({}, r"the file is empty: it holds no tensors"),
    "tensor": (torch.ones(3), r"one tensor of shape \(3,\)"),
    "number": (3, r"an object of class 'int', not a state dict"),
    "int keys": ({0: torch.ones(1), 1: torch.ones(2)}, r"no tensor in the file has a name of the model"),
    "tensor keys": ({torch.tensor(1): torch.ones(2)}, r"no tensor in the file has a name of the model"),
    "numpy": ({k: v.numpy() for k, v in STATE.items()}, r"'conv1.weight': file an array of NumPy.*torch.from_numpy"),
    "whole model": (MODEL, r"an object of class 'torch.nn.modules.container.Sequential', not a state dict. .*torch.save\(model.state_dict\(\)"),
    "whole model, nested": ({"model": MODEL}, r"objects of class 'torch.nn.modules.container.Sequential'. .*torch.save\(model.state_dict\(\)"),
    "int64": ({k: v.long() for k, v in STATE.items()}, r"'conv1.weight' is int64; weights are expected in float32"),
    "bool": (STATE | {"fc.bias": torch.ones(4, dtype=torch.bool)}, r"'fc.bias' is bool"),
    "complex": (cast(torch.complex64), r"'conv1.weight' is complex64"),
    "float8": (cast(torch.float8_e5m2), r"'conv1.weight' is float8_e5m2"),
    "sparse": (STATE | {"fc.weight": STATE["fc.weight"].to_sparse()}, r"'fc.weight' is sparse or nested"),
    "meta": ({k: v.to("meta") for k, v in STATE.items()}, r"'conv1.weight' is without values"),
    "nan": (STATE | {"fc.bias": torch.tensor([0, float("nan"), 0, 0])}, r"1 of 4 numbers of 'fc.bias' are NaN or infinite"),
    "inf": (STATE | {"bn1.running_var": torch.full((4,), float("inf"))}, r"4 of 4 numbers of 'bn1.running_var'"),
    "too large for float32": (STATE | {"fc.bias": torch.full((4,), 1e300, dtype=torch.float64)}, r"4 of 4 numbers of 'fc.bias'"),
}  # fmt: skip


@pytest.mark.parametrize("saved, message", UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit_is_explained_and_nothing_is_loaded(tmp_path, saved, message):
    torch.save(saved, tmp_path / "net.pt")
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ItinfError, match=message) as refused:
        fill(model, tmp_path / "net.pt")
    assert "weights_only" not in str(refused.value) and len(str(refused.value)) < 1000
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_quantised_and_transposed_weights_are_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is giving this kind up, and files of it remain
        quantised = torch.quantize_per_tensor(STATE["fc.bias"], 0.1, 0, torch.qint8)
        torch.save(STATE | {"fc.bias": quantised}, tmp_path / "q.pt")
    with pytest.raises(ItinfError, match=r"'fc\.bias' is quantised"):
        fill(small(), tmp_path / "q.pt")
    state = small(7).state_dict()
    torch.save(state | {"fc.weight": state["fc.weight"].T.contiguous()}, tmp_path / "t.pt")
    with pytest.raises(ItinfError, match="These are transposed"):
        fill(small(7), tmp_path / "t.pt")
    with pytest.raises(ItinfError, match="on the device meta"):
        fill(small().to("meta"), tmp_path / "t.pt")


def test_an_unknown_choice_lists_the_entries(tmp_path):
    torch.save(TWO, tmp_path / "net.pt")
    with pytest.raises(
        ItinfError, match=r"no entry 'pupil' with names of Sequential. Entries with such: 'student', 'teacher'"
    ):
        fill(small(), f"{tmp_path / 'net.pt'}#pupil")


def zipped(**entries):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in entries.items():
            archive.writestr(name, text)
    return content.getvalue()


def tarred():
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return content.getvalue()


def header(text):
    return len(text).to_bytes(8, "little") + text.encode()


NO_WEIGHTS = {
    "zero bytes": (b"", "is empty"),
    "text": (b"hello\nworld", r"text that begins with 'hello\\nworld'"),
    "json": (b'{"a": 1}', "text that begins with"),
    "web page": (b"\n<!DOCTYPE html><html>", "a web page. Download the file itself"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 1\n", "git lfs pull"),
    "gguf": (b"GGUF" + bytes(40), "a GGUF file"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5"),
    "npy": (b"\x93NUMPY" + bytes(40), "an array of NumPy"),
    "gzip": (gzip.compress(b"abc"), "compressed. Unpack it first"),
    "tar": (tarred(), "a tar archive"),
    "zip": (zipped(a="b"), "a zip archive that PyTorch did not write; it holds 'a'"),
    "empty zip": (zipped(), "a zip archive that PyTorch did not write"),
    "npz": (zipped(**{"w.npy": "x"}), "it holds 'w.npy'"),
    "bytes": (bytes(range(1, 200)), "its first bytes are"),
    "header of 8 GB": ((8 * 10**9).to_bytes(8, "little") + b"{}", "header too large"),
    "header too long": ((100).to_bytes(8, "little") + b"{}", "invalid header length"),
    "header too short": (b"\x05" + save(STATE)[1:], "cannot be read as weights"),
    "deep header": (header('{"a":' * 50_000), "recursion limit"),
    "huge shape": (header(json.dumps({"a": {"dtype": "F32", "shape": [2**60], "data_offsets": [0, 4]}})), "cannot be read as weights"),
    "negative shape": (header(json.dumps({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}})), "cannot be read as weights"),
    "outside offsets": (header(json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**62]}})), "cannot be read as weights"),
    "one key twice": (header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}') + bytes(8), "cannot be read as weights"),
}  # fmt: skip


@pytest.mark.parametrize("content, message", NO_WEIGHTS.values(), ids=NO_WEIGHTS)
def test_what_is_no_weight_file_is_named(tmp_path, content, message):
    (tmp_path / "net.pt").write_bytes(content)
    with pytest.raises(ItinfError, match=message):
        fill(small(), tmp_path / "net.pt")


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_cut_file_is_refused_and_a_changed_archive_too(tmp_path, form):
    path = tmp_path / "net.pt"
    torch.save(STATE, path, _use_new_zipfile_serialization=form == "zip")
    whole = save(STATE) if form == "safetensors" else path.read_bytes()
    for size in range(1, len(whole), len(whole) // 40):
        path.write_bytes(whole[:size])
        with pytest.raises(ItinfError):
            fill(small(), path)
    for place in range(0, len(whole), 37) if form == "zip" else ():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x11]) + whole[place + 1 :])
        model = small()
        try:
            fill(model, path)
        except ItinfError:
            continue
        assert all(torch.equal(value, STATE[name]) for name, value in model.state_dict().items()), place


def test_places_that_are_no_files_are_named(tmp_path, monkeypatch):
    (tmp_path / "net.pt").touch()
    for path, message in (
        (tmp_path, r"is a folder, not a weight file. Give a file in it: 'net.pt'"),
        (tmp_path / "no.pt", "There is no weight file"),
        (tmp_path / ("a" * 300), "cannot be read .*name too long"),
        (tmp_path / "a\0b", "There is no weight file"),
        ("/dev/zero", "is no regular file"),
    ):
        with pytest.raises(ItinfError, match=message):
            fill(small(), path)
    monkeypatch.setattr(pathlib.Path, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "denied")))
    with pytest.raises(ItinfError, match=r"cannot be read \(denied\)"):
        fill(small(), tmp_path / "net.pt")


@pytest.mark.parametrize("weights", ["random:²", f"random:{2**64}", "random:-1", "random:1.5", 5, {"conv1.weight": 1}])
def test_sources_that_are_no_seed_and_no_file(weights):
    with pytest.raises(ItinfError, match=r"random:SEED with a whole number|expected text: random"):
        cifar_resnet(weights, 8)


def test_the_record_of_a_network_names_the_reading(tmp_path):
    state = itinf.network("cifar-resnet8", "random:7").model.state_dict()
    torch.save({"net": named("module.", cast(torch.float16, state)), "acc": 95.2}, tmp_path / "ckpt.pth")
    network = itinf.network("cifar-resnet8", str(tmp_path / "ckpt.pth"))
    assert network.weights == f"{tmp_path / 'ckpt.pth'}#net/module. (float16)"
    again = itinf.network("cifar-resnet8", f"{tmp_path / 'ckpt.pth'}#net/module.")
    assert again.weights == network.weights
    assert torch.equal(again.model.conv1.weight, state["conv1.weight"].half().float())


def test_a_file_called_random_is_no_random_network(tmp_path):
    """A lens of another network is left out for an untrained one, and refused for a trained one, whatever its file is called."""
    network = itinf.network("cifar-resnet8", "random:7")
    torch.save(network.model.state_dict(), tmp_path / "randomised.pt")
    assert is_random(network) and is_random(network.untrained(3))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert not is_random(itinf.network("cifar-resnet8", "randomised.pt"))
