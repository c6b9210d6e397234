"""Every kind of file that itinf reads, damaged in every way: one message that names the file, or the file made again."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save as save_numpy
from safetensors.torch import save as save_torch

import itinf
from itinf.lenses.fit import fit
from itinf.lenses.transfer.transfer import transfer
from itinf.lock import LOCK, kept
from itinf.results.folder import ResultsFolder
from itinf.studies.study_file import read_study
from itinf.training.loop import train
from itinf.training.specimen import read_card, write_card
from tiny import SEQUENCE, gpt2, tokens

DEEP = 100_000
TRAINING = {"model": "tiny"}


def _train(folder: Path, steps: int = 4) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    train(model, [optimizer], lambda step: model(torch.ones(1, 3)).square().sum(), steps, folder, TRAINING)


class Files:
    """A folder with one sound file of every kind, and how each is read.

    ``read`` maps a name to the file and its reader. A reader of an unfinished study measures again what it cannot read,
    so that its numbers are always those of a sound folder.
    """

    def __init__(self, root: Path) -> None:
        self.network, self.data, self.other = gpt2(), tokens(32), tokens(160, seed=1)
        self.quick = {"probes": [itinf.Performance(), itinf.UpdateNorm()], "replicates": 20, "group": 8, "batch": 8}
        self.moving = {"replicates": 20, "precision": 0.0, "batch": 16}
        self.lens = fit(self.network, self.other)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ResultsFolder, "due", lambda folder: True)
            self.run = itinf.probe(self.network, self.data, out=root / "probed", **self.quick)
            self.moved = transfer(self.network, self.lens, self.other, out=root / "moved", **self.moving)
            self._stopped(lambda told: self.probe(root / "begun", told), 16)
            self._stopped(lambda told: self.transfer(root / "moving", told), 64 * SEQUENCE)
        self.lens.save(root / "lens.safetensors")
        _train(root / "training")
        (root / "specimen").mkdir()
        write_card(root / "specimen", "resnet", "train", 0, 1.0, [])
        (root / "study.toml").write_text('units = 32\n[[network]]\nname = "gpt2"\ndata = "stdlib"\n')

    def probe(self, out: Path, told: Callable[..., None] = lambda *_: None) -> itinf.ProbeResult:
        return itinf.probe(self.network, self.data, out=out, progress=told, **self.quick)

    def transfer(self, out: Path, told: Callable[..., None] = lambda *_: None) -> itinf.TransferResult:
        return transfer(self.network, self.lens, self.other, out=out, progress=told, **self.moving)

    @staticmethod
    def _stopped(study: Callable[..., object], at: int) -> None:
        """Begins a study, and stops it after it has saved."""

        def told(stage: str, done: int, total: int) -> None:
            if stage in ("observed", "transfer") and done > at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            study(told)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Files, Path]:
    root = tmp_path_factory.mktemp("files")
    return Files(root), root


def _resumed(files: Files, name: str) -> Callable[[Path], None]:
    """A study that goes on from the file, or begins again: its numbers are the same to the last bit."""
    study, whole = {"begun": (files.probe, files.run), "moving": (files.transfer, files.moved)}[name]

    def read(folder: Path) -> None:
        assert study(folder).table.equals(whole.table)

    return read


READERS: dict[str, Callable[[Files], Callable[[Path], object]]] = {
    "probed/manifest.json": lambda files: itinf.ProbeResult.load,
    "probed/sums.safetensors": lambda files: itinf.ProbeResult.load,
    "moved/manifest.json": lambda files: itinf.TransferResult.load,
    "moved/measures.parquet": lambda files: itinf.TransferResult.load,
    "moved/summaries.parquet": lambda files: itinf.TransferResult.load,
    "moved/replicates.parquet": lambda files: itinf.TransferResult.load,
    "begun/manifest.json": lambda files: files.probe,
    "moving/manifest.json": lambda files: files.transfer,
    "lens.safetensors": lambda files: lambda path: itinf.Lens.load(path, files.network),
    "training/checkpoint.safetensors": lambda files: lambda folder: _train(folder),
    "specimen/card.toml": lambda files: read_card,
    "study.toml": lambda files: read_study,
}
RESUMED = ("begun/sums.safetensors", "moving/sums.safetensors")


def flipped(at: float) -> Callable[[bytes], bytes]:
    def flip(content: bytes) -> bytes:
        place = int(at * (len(content) - 1))
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    return flip


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "one byte less": lambda content: content[:-1],
    "first byte flipped": flipped(0),
    "a byte flipped at 5 %": flipped(0.05),
    "a byte flipped in the middle": flipped(0.5),
    "last byte flipped": flipped(1),
    "text": lambda content: b"Dear diary,\n",
    "another encoding": lambda content: '{"schema": 2}'.encode("utf-16"),
    "a list": lambda content: b"[1, 2, 3]",
    "null": lambda content: b"null",
    "nested too deeply": lambda content: b"[" * DEEP + b"]" * DEEP,
    "nested too deeply inside": lambda content: b'{"a": ' * DEEP + b"1" + b"}" * DEEP,
    "a number of 5,000 digits": lambda content: b'{"schema": ' + b"9" * 5000 + b"}",
    "a claim of 2 GB": lambda content: (2 * 10**9).to_bytes(8, "little") + b"{}",
    "another program's": lambda content: save_torch({"weight": torch.zeros(3)}),
}
UNNOTICED = {  # text files have no hash: a byte more or less can leave them sound
    (name, how)
    for name in ("specimen/card.toml", "probed/manifest.json", "moved/manifest.json", "begun/manifest.json", "moving/manifest.json", "study.toml")
    for how in DAMAGES
    if "byte" in how
}  # fmt: skip


def spoiled(files: tuple[Files, Path], name: str, how: str, folder: Path) -> tuple[Path, Path]:
    """A copy of a file, or of its folder, that is damaged: what its reader takes, and the file."""
    top = name.split("/")[0]
    source = files[1] / top
    copy = Path(shutil.copytree(source, folder / top) if source.is_dir() else shutil.copy(source, folder / top))
    path = folder / name
    path.write_bytes(DAMAGES[how](path.read_bytes()))
    return copy, path


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_named(name, how, files, tmp_path):
    copy, path = spoiled(files, name, how, tmp_path)
    try:
        READERS[name](files[0])(copy)
    except itinf.ItinfError as error:
        said = str(error)
        assert path.name in said or str(copy) in said, said
        assert len(said) < 1500 and said[-1] in ".?"
    else:
        assert (name, how) in UNNOTICED


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", RESUMED)
def test_a_damaged_save_is_measured_again(name, how, files, tmp_path, caplog):
    copy, _ = spoiled(files, name, how, tmp_path)
    _resumed(files[0], name.split("/")[0])(copy)
    assert "It is measured again" in caplog.text


# shapes: files that are well formed, and say something else


MANIFESTS = [
    ({"history": "long ago"}, "history is 'long ago', and a list is expected"),
    ({"history": [{}]}, "history[0].clusters is missing"),
    ({"history": [{"clusters": [0], "seconds": 1, "circumstances": {}}]}, "a list of 2 is expected"),
    ({"history": [{"clusters": [0, True], "seconds": 1, "circumstances": {}}]}, "clusters[1] is True"),
    ({"history": [{"clusters": [0, 8], "seconds": "1", "circumstances": {}}]}, "seconds is '1'"),
    ({"files": []}, "files is [], and an object with names is expected"),
    ({"files": {"sums.safetensors": 3}}, "files.sums.safetensors is 3"),
    ({"files": {"sums.safetensors": {"size": "9", "blake2b": ""}}}, "size is '9', and int is expected"),
    ({"network": "gpt2"}, "network is 'gpt2', and an object with names is expected"),
    ({"network": {"name": None}}, "network.name is None, and str is expected"),
    ({"data": None}, "data is None"),
    ({"settings": [3]}, "settings is [3]"),
    ({"settings": {}}, "settings.clusters is missing"),
    ({"probes": "all"}, "probes is 'all', and a list is expected"),
    ({"complete": "yes"}, "complete is 'yes', and bool is expected"),
    ({"seconds": [1]}, "seconds is [1]"),
    ({"networks": [1], "probes": []}, "networks is [1]"),
    ({"schema": float("nan")}, None),
]


@pytest.mark.parametrize(("change", "message"), MANIFESTS, ids=[str(message) for _, message in MANIFESTS])
def test_a_manifest_of_another_shape_is_refused(change, message, files, tmp_path):
    folder = Path(shutil.copytree(files[1] / "probed", tmp_path / "probed"))
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    calls = [lambda: itinf.ProbeResult.load(folder), lambda: itinf.report(folder)]
    if message is None:  # nothing reads it but the study itself
        calls = [lambda: files[0].probe(folder)]
    for call in calls:
        with pytest.raises(itinf.ItinfError) as refused:
            call()
        assert (message or "schema nan") in str(refused.value) and "probed" in str(refused.value)


def _sums(change: Callable[[dict, dict], None], content: bytes) -> bytes:
    """A file of sums without a hash, changed."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["itinf"])
    from safetensors.numpy import load

    tensors = load(content)
    del header["blake2b"]
    change(header, tensors)
    return save_numpy({k: np.ascontiguousarray(v) for k, v in tensors.items()}, {"itinf": json.dumps(header)})


def _resized(name: str, shape: tuple[int, ...]) -> Callable[[dict, dict], None]:
    return lambda header, tensors: tensors.update({f"observed/{name}": np.zeros(shape)})


SUMS = [
    (lambda header, tensors: header.update(observed=[1]), "observed is [1]"),
    (lambda header, tensors: header["observed"].pop("structure"), "observed.structure is missing"),
    (lambda header, tensors: header["observed"].update(structure={}), "observed.structure.blocks is missing"),
    (lambda header, tensors: header["observed"].update(entries={}), "observed.entries is {}"),
    (lambda header, tensors: header["observed"].update(entries=[{"row": {}, "columns": {}}]), "KeyError"),
    (lambda header, tensors: header["observed"]["entries"][0]["row"].update(colour="red"), "TypeError"),
    (lambda header, tensors: header["observed"]["entries"][0]["columns"].update(n="none"), "the column 'none' is missing"),
    (lambda header, tensors: header["observed"].update(columns=["a", "b"]), "plain has 38 rows instead of 2"),
    (lambda header, tensors: header["observed"].update(seed="0"), "observed.seed is '0'"),
    (lambda header, tensors: header["observed"].update(missing=[[{}]]), "cannot be read as itinf sums"),
    (lambda header, tensors: header["observed"].update(nulls=[{"colour": 3}]), "cannot be read as itinf sums"),
    (lambda header, tensors: tensors.pop("observed/plain"), "KeyError: 'plain'"),
    (_resized("plain", (1,)), "plain has 1 rows instead of"),
    (_resized("replicates", (20, 1)), "replicates is float64 (20, 1)"),
    (_resized("histogram/below", (0, 3)), "below"),
    (lambda header, tensors: tensors.update({"observed/plain": np.zeros(1, np.int32)}), "plain is int32"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), SUMS, ids=[message for _, message in SUMS])
def test_sums_of_another_shape_are_refused(change, message, files, tmp_path):
    from itinf.results.sums import load_sums

    path = tmp_path / "sums.safetensors"
    path.write_bytes(_sums(change, (files[1] / "probed/sums.safetensors").read_bytes()))
    with pytest.raises(itinf.ItinfError) as refused:
        load_sums(path)
    assert message in str(refused.value) and str(path) in str(refused.value)


def test_sums_of_an_older_itinf_have_no_hash(files, tmp_path):
    from itinf.results.sums import load_sums

    path = tmp_path / "sums.safetensors"
    path.write_bytes(_sums(lambda header, tensors: None, (files[1] / "probed/sums.safetensors").read_bytes()))
    assert load_sums(path)["observed"].clusters == 32


TABLES: list[tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = [
    (lambda table: table.drop(columns="mean"), "'mean'"),
    (lambda table: table.assign(mean="high"), "high"),
    (lambda table: table.assign(n_units=1.5), "n_units"),
    (lambda table: table[[]], "cannot be read as a table of itinf"),
    (lambda table: pd.DataFrame({"date": ["2024"], "price": [3.0]}), "cannot be read as a table of itinf"),
]


@pytest.mark.parametrize(("change", "message"), TABLES, ids=[message for _, message in TABLES])
def test_a_table_of_another_shape_is_refused(change, message, files, tmp_path):
    """In a folder without hashes, as an older itinf wrote it."""
    folder = Path(shutil.copytree(files[1] / "moved", tmp_path / "moved"))
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"], manifest["history"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert itinf.TransferResult.load(folder).table.equals(files[0].moved.table)
    path = folder / "measures.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    with pytest.raises(itinf.ItinfError) as refused:
        itinf.TransferResult.load(folder)
    assert message in str(refused.value) and "measures.parquet cannot be read as a table" in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"[1]", b"null", b"\xff", b"[" * DEEP + b"]" * DEEP])
def test_a_lock_that_names_nobody_still_locks(content, tmp_path):
    with kept(tmp_path):
        (tmp_path / LOCK).write_bytes(content)
        with pytest.raises(itinf.ItinfError, match="is in use: another process is writing to it"), kept(tmp_path):
            pass


@pytest.mark.parametrize("wrong", ["NaN", "whole numbers"])
def test_a_lens_of_wrong_numbers_is_refused(wrong, files, tmp_path):
    lens = copy.deepcopy(files[0].lens)
    weight = lens.translators[1].weight
    with torch.no_grad():
        if wrong == "NaN":
            weight[0, 0] = float("nan")
        else:
            weight.requires_grad_(False)
            weight.data = weight.data.long()
    lens.save(tmp_path / "lens.safetensors")
    with pytest.raises(itinf.ItinfError, match=r"is torch.*, or not finite"):
        itinf.Lens.load(tmp_path / "lens.safetensors", files[0].network)
