"""Bad inputs over all commands and the library: one message each, exit code 2, nothing written."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import itinf
from bad_world import World, world
from itinf.cli import app
from itinf.studies.study_file import StudyNetwork

NAN = math.nan
IMAGES = "cifar-resnet8 --data images:photos --replicates 20 --group 8"
TINY = "-O n_layer=2 -O n_embd=8 -O n_head=2 -O vocab_size=256 -O n_positions=16"
TEXT = f"gpt2 {TINY} --data text:text.txt"
PROBE, FIT, TRANSFER = f"probe {IMAGES} --units 24 --out out", f"fit {TEXT}", f"transfer {TEXT} --out out"
NETWORK = '[[network]]\nname = "cifar-resnet8"\ndata = "images:photos"\n'


@pytest.fixture(scope="module")
def w(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("world"))


def standing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder, hidden ones too, with size and time of its last change."""
    found = {str(path): path.stat() for path in folder.rglob("*")}
    return {name: (stat.st_size, 0 if Path(name).is_dir() else stat.st_mtime_ns) for name, stat in found.items()}


@pytest.fixture
def refused(w: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs a command in the world; returns its message. It must end with code 2, and leave everything as it was."""

    def run(words: str) -> str:
        monkeypatch.chdir(w.root)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr(sys, "argv", ["itinf", *shlex.split(words)])
        before = standing(w.root)
        with pytest.raises(SystemExit) as end:
            app.main()
            raise SystemExit(0)
        printed = capsys.readouterr()
        said = " ".join((printed.out + printed.err).replace("│", " ").split())
        assert end.value.code == 2, said
        assert "Traceback" not in said and "fault of itinf" not in said
        assert standing(w.root) == before
        return said

    return run


COMMANDS = [
    # no command, and words that no command takes
    ("prob cifar-resnet8", "No such command 'prob'"),
    ("list networks", "unexpected extra argument"),
    # list, check
    ("check", "Missing argument 'NETWORK'"),
    ("check cifar-rsnet8", "no network 'cifar-rsnet8'. Did you mean cifar-resnet"),
    ("check cifar-resnet9", "no cifar-resnet of depth 9; depths are 6n + 2. Nearest: 8 and 14"),
    ("check cifar-resnet0", "depth is 0; expected a whole number of at least 1"),
    ("check cifar-resnet -O depth", "--option 'depth' has no value: expected KEY=VALUE"),
    ("check cifar-resnet -O depth=big", "depth is 'big'; expected a whole number"),
    ("check cifar-resnet -O depth=0", "depth is 0; expected a whole number"),
    ("check cifar-resnet -O depth=true", "depth is True; expected a whole number"),
    ("check cifar-resnet -O depth=20.0", "depth is 20.0; expected a whole number"),
    ("check cifar-resnet -O classes=-1", "classes is -1; expected a whole number"),
    ("check cifar-resnet -O classes=NaN", "classes is nan; expected a whole number"),
    ("check cifar-isotropic -O width=0", "width is 0; expected a whole number"),
    ("check cifar-isotropic -O blocks=2 -O depth=20", "depth=20 and blocks=2 were given"),
    ("check cifar-resnet -O widht=3", "no option 'widht'"),
    ("check cifar-resnet -O activation=gelu", "activation is 'gelu'; expected post or pre"),
    ("check cifar-plain -O shortcut=projection", "cifar-plain has no option 'shortcut'"),
    ("check cifar-resnet -O shortcut=[1]", "shortcut is [1]; expected A or projection"),
    ("check cifar-resnet -O residual=maybe", "residual is 'maybe'; expected True or False"),
    ("check resnet18 -O in_size=-4", "in_size is -4; expected a whole number"),
    ("check resnet18 -O deep=3", "resnet18 has no option 'deep'. Known: classes, in_size"),
    ("check resnet -O depth=20", "The options of resnet are: none"),
    ("check googlenet -O transform_input=maybe", "transform_input is 'maybe'"),
    ("check gpt2 -O n_layer=0", "n_layer is 0; expected a whole number"),
    ("check gpt2 -O n_layer=-1", "n_layer is -1; expected a whole number"),
    ("check gpt2 -O n_layer=big", "n_layer"),
    ("check gpt2 -O n_embd=10 -O n_head=3", "n_embd"),
    ("check gpt2 -O n_layers=2", "n_layers"),
    ("check llama -O num_hidden_layers=0", "num_hidden_layers is 0; expected a whole number"),
    ("check cifar-resnet8 --weights random:x", "expected random or random:SEED with a whole number below 2**64"),
    ("check cifar-resnet8 --weights random:99999999999999999999999", "random:99999999999999999999999"),
    ("check cifar-resnet8 --weights none.safetensors", "There is no weight file 'none.safetensors'"),
    ("check cifar-resnet8 --weights cut.safetensors", "cut.safetensors"),
    ("check cifar-resnet8 --weights other.safetensors", "other.safetensors"),
    ("check cifar-resnet8 --weights lens.safetensors", "lens.safetensors"),
    ("check cifar-resnet8 --weights pickle.pt", "pickle.pt"),
    ("check cifar-resnet8 --weights text.txt", "text.txt"),
    ("check cifar-resnet8 --weights photos", "photos"),
    ("check cifar-resnet8 --weights pretrained", "no published weights"),
    ("check gpt2 --weights empty", "empty"),
    ("check gpt2 --weights none/where/at/all", "none/where/at/all"),
    ("check gpt2-medium --weights specimen", "no specimen; only the networks gpt2 and iterative-gpt2 have one"),
    ("check cifar-resnet8 --data text:text.txt", "holds tokens, but cifar-resnet8 reads images"),
    (f"check gpt2 {TINY} --data images:photos", "holds images, but gpt2 reads tokens"),
    (f"check gpt2 {TINY} --data text:text.txt --length 0", "length is 0; expected a whole number of at least 1"),
    (f"check gpt2 {TINY} --data text:text.txt --length 17", "length 17 were asked for; expected 1 … 16"),
    ("check cifar-resnet8 --data images:photos --length 4", "has no sequences of tokens. Leave the length out"),
    # probe: data
    ("probe cifar-resnet8 --out out", "Missing option '--data'"),
    ("probe cifar-resnet8 --data images --out out", "images was given no folder"),
    ("probe cifar-resnet8 --data imags:photos --out out", "no data set 'imags' (given 'imags:photos'). Did you mean images"),
    ("probe cifar-resnet8 --data images:fotos --out out", "no folder 'fotos'; images:FOLDER expects one. Did you mean photos"),
    ("probe cifar-resnet8 --data images:file --out out", "no folder 'file'"),
    ("probe cifar-resnet8 --data images:empty --out out", "empty has no class folders"),
    ("probe cifar-resnet8 --data images:~nobody-here/x --out out", "~nobody-here"),
    (f"probe cifar-resnet8 --data images:{'x' * 300} --out out", "File name too long"),
    ("probe cifar-resnet8 --data cifar10:empty --out out", "CIFAR-10 is not in 'empty'"),
    ("probe cifar-resnet8 --data glyphs:x --out out", "glyphs"),
    ("probe cifar-resnet8 --data glyphs:-3 --out out", "glyphs"),
    (f"probe gpt2 {TINY} --data text --out out", "text was given no file"),
    (f"probe gpt2 {TINY} --data text:txt.txt --out out", "no file 'txt.txt'; text:FILE expects one. Did you mean text.txt"),
    (f"probe gpt2 {TINY} --data text:photos --out out", "is a folder; text:FILE expects"),
    (f"probe gpt2 {TINY} --data text:latin.txt --out out", "latin.txt is not UTF-8"),
    (f"probe gpt2 {TINY} --data text:{'x' * 300} --out out", "File name too long"),
    # probe: settings
    (f"{PROBE} --units 0", "units is 0; expected a whole number of at least 1"),
    (f"{PROBE} --units -3", "units is -3; expected a whole number of at least 1"),
    (f"{PROBE} --units 25", "25 images asked for, but"),
    (f"{PROBE} --units nan", "Invalid value for '--units'"),
    (f"{PROBE} --units 1.5", "Invalid value for '--units'"),
    (f"{PROBE} --batch 0", "batch is 0; expected a whole number of at least 1"),
    (f"{PROBE} --group 1", "group is 1; expected a whole number of at least 2"),
    (f"{PROBE} --replicates 1", "replicates is 1; expected a whole number from 2 to 100,000"),
    (f"{PROBE} --replicates 1000000000000", "replicates is 1000000000000; expected a whole number from 2 to 100,000"),
    (f"{PROBE} --seed -1", "seed is -1; expected a whole number from 0 to 2**64 - 1"),
    (f"{PROBE} --untrained -1", "untrained is -1; expected a whole number of at least 0"),
    (f"{PROBE} --device gpu", "The device 'gpu' cannot be used here"),
    (f"{PROBE} --device cuda:99", "The device 'cuda:99' cannot be used here"),
    (f"{PROBE} --device meta", "The device 'meta' holds no numbers"),
    (f"{PROBE} --device 3", "device is '3'; expected auto, cpu"),
    (f"{PROBE} --dtype float99", "dtype is 'float99'; expected float32, float64, bfloat16 or float16"),
    (f"{PROBE} --target truth", "'truth'"),
    (f"{PROBE} --shard 3/2", "--shard '3/2': expected I/N with 1 ≤ I ≤ N"),
    (f"{PROBE} --shard 0/2", "--shard '0/2': expected I/N"),
    (f"{PROBE} --shard ²/3", "--shard '²/3': expected I/N"),
    (f"{PROBE} --shard 9/9", "24 clusters make 3 groups of 8. Use fewer shards"),
    (f"{PROBE} --length 5", "has no sequences of tokens. Leave the length out"),
    (f"{PROBE} --lens none.safetensors", "There is no lens file 'none.safetensors'"),
    (f"{PROBE} --lens other.safetensors", "other.safetensors cannot be read as a lens"),
    (f"{PROBE} --lens cut.safetensors", "cut.safetensors cannot be read as a lens"),
    (f"{PROBE} --lens text.txt", "text.txt cannot be read as a lens"),
    (f"{PROBE} --lens photos", "There is no lens file 'photos'"),
    (f"{PROBE} --lens lens.safetensors", "A lens needs the readout it was fitted with"),
    # probe: where to
    (f"{PROBE} --out file", "file exists and holds no itinf results. Choose another --out"),
    (f"{PROBE} --out file/below", "file/below cannot be written (Not a directory)"),
    (f"{PROBE} --out thesis", "thesis exists and holds no itinf results"),
    (f"{PROBE} --out probed", "probed holds another study: network.fingerprint is"),
    (f"{PROBE} --out moved", "moved holds the transfer of one lens (itinf transfer), and not a study of one network"),
    (f"{PROBE} --out {'x' * 300}", "File name too long"),
    (f"{PROBE} --out /dev/null", "/dev/null exists and holds no itinf results"),
    (f"{PROBE} --out /proc/nowhere", "/proc/nowhere cannot be written"),
    # compare and study files
    ("compare cifar-resnet8 cifar-resnet8 --data images:photos --out out", "Two networks share a name"),
    ("compare cifar-resnet8 cifar-plain8 --out out", "--data is missing: cifar-resnet8 needs data"),
    ("compare cifar-resnet8 --data images:photos --data images:photos --out out", "--data was given 2 times for 1 networks"),
    ("compare --data images:photos --out out", "the study of the specimens already has them"),
    ("compare study.toml --weights random --out out", "study.toml already has them"),
    ("compare none.toml --out out", "There is no study file 'none.toml'"),
    ("compare cifar-resnet8 --data images:photos --jobs 0 --out out", "Input should be greater than or equal to 1"),
    ("compare cifar-resnet8 --data images:photos --precision nan --out out", "precision is nan; expected a finite number"),
    ("compare cifar-resnet8 --data images:photos --precision -1 --out out", "precision is -1.0; expected a finite number of at least 0"),
    ("compare cifar-resnet8 --data images:photos --lens afine --out out", "no lens of kind 'afine'. Did you mean affine"),
    ("compare cifar-resnet8 --data images:photos --lens shared --out out", "lens is 'shared'; expected affine or tuned, or none in a comparison without lenses"),
    ("compare cifar-resnet8 --data images:photos --units 24 --lens affine --out out", "left to fit a lens on"),
    ("compare cifar-resnet8 --data images:photos --units 24 --out probed", "probed holds a study of one network (itinf probe), and not a comparison"),
    ("compare cifar-resnet8 --data images:photos --units 24 --out thesis", "thesis exists and holds no itinf results"),
    ("compare cifar-resnet8 nonet --data images:photos --units 24 --out out", "There is no network 'nonet'"),
    ("demo --out thesis", "thesis exists and holds no itinf results"),
    ("demo --out file", "file exists and holds no itinf results"),
    ("demo --jobs -1 --out out", "Input should be greater than or equal to 1"),
    # fit
    (f"{FIT} --out lens.pt", "a name that ends in .safetensors"),
    (f"{FIT} --out lens.safetensors", "lens.safetensors exists, and itinf fit does not overwrite it"),
    (f"{FIT} --out new.safetensors --kind tunned", "no lens of kind 'tunned'. Did you mean tuned"),
    (f"{FIT} --out new.safetensors --units 16", "it takes at least"),
    (f"{FIT} --out new.safetensors --units 0", "fit_units is 0; expected a whole number of at least 1"),
    (f"{FIT} --out new.safetensors --units 99999999", "99,999,999 tokens asked for"),
    (f"{FIT} --out new.safetensors --batch -1", "batch is -1; expected a whole number of at least 1"),
    (f"{FIT} --out new.safetensors --seed -1", "seed is -1; expected a whole number from 0"),
    (f"{FIT} --out new.safetensors --format onnx", "--format 'onnx': expected safetensors or tuned-lens"),
    (f"{FIT} --out file/new.safetensors", "file/new.safetensors cannot be written (Not a directory)"),
    (f"{FIT} --out {'x' * 300}.safetensors", "File name too long"),
    ("fit cifar-resnet8 --data images:photos --format tuned-lens --out new --units 24", "it takes at least"),
    # transfer
    (f"{TRANSFER} --kind shared", "expected affine or tuned"),
    (f"{TRANSFER} --kind afine", "no lens of kind 'afine'. Did you mean affine"),
    (f"{TRANSFER} --lens none.safetensors", "There is no lens file 'none.safetensors'"),
    (f"{TRANSFER} --lens lens.safetensors", "A lens needs the readout it was fitted with"),
    (f"{TRANSFER} --units 999999999", "left to fit a lens on"),
    (f"{TRANSFER} --units 0", "units is 0; expected a whole number of at least 1"),
    (f"{TRANSFER} --fit-units -1", "fit_units is -1; expected a whole number of at least 1"),
    (f"{TRANSFER} --precision -0.1", "precision is -0.1; expected a finite number of at least 0"),
    (f"{TRANSFER} --precision inf", "precision is inf; expected a finite number"),
    (f"{TRANSFER} --fit-data imags:x", "no data set 'imags'"),
    (f"{TRANSFER} --out probed", "probed holds a study of one network (itinf probe), and not lenses and their transfer"),
    (f"{TRANSFER} --out thesis", "thesis exists and holds no itinf results"),
    # trajectory
    ("trajectory cifar-resnet8", "None of --text, --image and --data was given; expected one of them"),
    ("trajectory cifar-resnet8 --text x --image photos/0/0.png", "--text and --image of --text, --image and --data was given; expected one"),
    ("trajectory cifar-resnet8 --data text:text.txt", "holds tokens, but cifar-resnet8 reads images"),
    ("trajectory cifar-resnet8 --text x", "cifar-resnet8 reads pictures. Give --image FILE"),
    (f"trajectory gpt2 {TINY} --image photos/0/0.png", "gpt2 reads texts. Give --text"),
    (f"trajectory gpt2 {TINY} --text ''", "has no token. Give a text of one token or more"),
    (f"trajectory gpt2 {TINY} --text '{'x' * 17}'", "sequences of 17 tokens, and its context has 16"),
    ("trajectory gpt2 --weights mute --text x", "mute has no tokenizer.json, so text cannot become ids"),
    ("trajectory cifar-resnet8 --image photos/0/00.png", "There is no picture 'photos/0/00.png'. Did you mean 0.png"),
    ("trajectory cifar-resnet8 --image photos", "There is no picture 'photos'"),
    ("trajectory cifar-resnet8 --image text.txt", "text.txt cannot be read as an image"),
    (f"trajectory cifar-resnet8 --image {'x' * 300}", "File name too long"),
    ("trajectory cifar-resnet8 --image photos/0/0.png --lens none.safetensors", "There is no lens file 'none.safetensors'"),
    ("trajectory cifar-resnet8 --image photos/0/0.png --lens lens.safetensors", "A lens needs the readout it was fitted with"),
    ("trajectory cifar-resnet8 --image photos/0/0.png --out out", "--out 'out': expected a name that ends in .html"),
    ("trajectory cifar-resnet8 --image photos/0/0.png --out file/out.html", "cannot be written (Not a directory)"),
    ("trajectory cifar-resnet8 --image photos/0/0.png --out page.html", "page.html exists, and itinf trajectory does not overwrite it"),
    ("trajectory cifar-rsnet8 --image photos/0/0.png", "no network 'cifar-rsnet8'"),
    ("trajectory cifar-resnet8 --image photos/0/0.png --device cuda:99", "The device 'cuda:99' cannot be used here"),
    # train, evaluate
    ("train resnet56 --out out", "There is no specimen 'resnet56'. Did you mean resnet"),
    ("train resnet --split middle --out out", "given 'middle'"),
    ("train gpt2 --split test --out out", "gpt2 is trained on the split train; given 'test'"),
    ("train resnet --seed -1 --out out", "seed is -1; expected a whole number from 0"),
    ("train resnet --seed 99999999999999999999 --out out", "seed is 99999999999999999999; expected a whole number from 0"),
    ("train resnet --out thesis", "thesis exists and holds no training of itinf"),
    ("train resnet --out file", "file"),
    ("evaluate nonet", "There is no specimen 'nonet'"),
    ("evaluate resnet --weights empty", "empty has no card.toml"),
    ("evaluate resnet --weights none", "none has no card.toml"),
    ("evaluate resnet --weights file", "file has no card.toml"),
    # report, merge
    ("report none", "none holds no results"),
    ("report file", "file"),
    ("report empty", "empty holds no results. Give a folder that itinf has written"),
    ("report thesis", "thesis exists and holds no itinf results"),
    (f"report {'x' * 300}", "File name too long"),
    ("merge --out out", "Missing argument 'folders'"),
    ("merge half1 half2", "Missing option '--out'"),
    ("merge none --out out", "none holds no finished results"),
    ("merge thesis --out out", "thesis holds no finished results"),
    ("merge half1 --out out", "1 of 2 shards are missing: 2/2. Measure them with --shard 2/2"),
    ("merge third1 --out out", "2 of 3 shards are missing: 2/3, 3/3"),
    ("merge half1 half1 half2 --out out", "1/2 is there twice"),
    ("merge half2 third1 --out out", "the study was divided in different ways (2/2, 1/3)"),
    ("merge half1 seed1 --out out", "not of one study: settings.seed is 0 here and 1 there"),
    ("merge half1 probed --out out", "the study was divided in different ways"),
    ("merge half1 moved --out out", "moved holds the transfer of one lens (itinf transfer), and no finished results"),
    ("merge half1 half2 --out thesis", "thesis exists and holds no itinf results"),
    ("merge half1 half2 --out half1", "half1 holds another study"),
    ("merge half1 half2 --out file/below", "file/below cannot be written (Not a directory)"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), COMMANDS, ids=[words[:60] for words, _ in COMMANDS])
def test_a_command_says_what_is_wrong(words, message, refused):
    assert message in (said := refused(words)), said


STUDIES = [
    ("", "names no network; expected at least one [[network]]"),
    ("network = 3\n", "names no network"),
    ("network = [3]\n", "network 1 is 3; expected a [[network]] table"),
    ('[network]\nname = "x"\n', "names no network"),
    ("[[network\n", "is not TOML"),
    ("\x00", "is not TOML"),
    ("a = " + "[" * 5000 + "]" * 5000, "is nested too deeply"),
    (f"units = {'9' * 5000}\n{NETWORK}", "Correct the file"),
    ("units = 1\nunits = 2\n", "is not TOML"),
    (f"unts = 3\n{NETWORK}", "unknown key 'unts'. Did you mean units"),
    (f"shard = [0, 2]\n{NETWORK}", "unknown key 'shard'"),
    (f"units = true\n{NETWORK}", "units is True; expected a whole number"),
    (f'units = "64"\n{NETWORK}', "units is '64'; expected a whole number"),
    (f"units = 1.5\n{NETWORK}", "units is 1.5; expected a whole number"),
    (f"units = 0\n{NETWORK}", "units is 0; expected a whole number of at least 1"),
    (f"units = 2024-01-01\n{NETWORK}", "units is datetime.date(2024, 1, 1); expected a whole number"),
    (f"precision = nan\n{NETWORK}", "precision is nan; expected a finite number"),
    (f"precision = inf\n{NETWORK}", "precision is inf; expected a finite number"),
    (f"replicates = -inf\n{NETWORK}", "replicates is -inf; expected a whole number"),
    (f'dtype = "float99"\n{NETWORK}', "dtype is 'float99'; expected float32"),
    (f'targets = "label"\n{NETWORK}', "targets is 'label'; expected a list of label or answer or model"),
    (f'targets = ["truth"]\n{NETWORK}', "target is 'truth'; expected label, answer or model"),
    (f"targets = []\n{NETWORK}", "targets is []; expected a list"),
    (f"lens = 3\n{NETWORK}", "lens is 3; expected a text"),
    (f'measure = "gain"\n{NETWORK}', "measure is 'gain'; expected a list of probes, such as [\"lesion\"]"),
    (f'measure = ["gian"]\n{NETWORK}', "There is no probe 'gian'. Did you mean gain"),
    (f"measure = [3]\n{NETWORK}", "There is no probe 3"),
    (f'lens = "afine"\n{NETWORK}', "no lens of kind 'afine'. Did you mean affine"),
    (f"{NETWORK}depth = 3\n", "network 1: unknown key 'depth'"),
    ('[[network]]\nname = "cifar-resnet8"\n', "network 1: 'data' is missing"),
    ('[[network]]\nname = 3\ndata = "x"\n', "network 1: name is 3; expected a text"),
    ('[[network]]\nname = ""\ndata = "x"\n', "network 1: name is ''; expected a text that is not empty"),
    (f"{NETWORK}units = -1\n", "network 1: units is -1; expected a whole number of at least 1"),
    (f"{NETWORK}options = 3\n", "network 1: options is 3; expected names with values"),
    (f"{NETWORK}length = 0\n", "network 1: length is 0; expected a whole number of at least 1"),
    (f'{NETWORK}label = "a/b"\n\n{NETWORK}label = "a:b"\n', "Two networks share a name"),
    (f"{NETWORK}options = {{ depht = 20 }}\n", "depht"),
    (f'{NETWORK}weights = "none.safetensors"\n', "There is no weight file 'none.safetensors'"),
    (f"{NETWORK}length = 5\n", "has no sequences of tokens"),
]


@pytest.mark.parametrize(("content", "message"), STUDIES, ids=range(len(STUDIES)))
def test_a_study_file_says_what_is_wrong(content, message, refused, w):
    (w.root / "study.toml").write_text(content)
    assert message in (said := refused("compare study.toml --out out")), said


def test_a_study_file_may_begin_with_a_byte_order_mark(refused, w):
    (w.root / "study.toml").write_bytes(b"\xef\xbb\xbf" + f"units = 0\n{NETWORK}".encode())
    assert "units is 0" in refused("compare study.toml --out out")
    (w.root / "study.toml").write_bytes(f"units = 0\n{NETWORK}".encode("utf-16"))
    assert "is not TOML" in refused("compare study.toml --out out")


CALLS = [
    # networks
    (lambda w: itinf.network("cifar-rsnet8"), "no network 'cifar-rsnet8'. Did you mean"),
    (lambda w: itinf.network(None), "The network is None; expected text"),
    (lambda w: itinf.network("cifar-resnet8", 3), "The weights is 3; expected text"),
    (lambda w: itinf.network("cifar-resnet", depth="big"), "depth is 'big'; expected a whole number"),
    (lambda w: itinf.network("cifar-resnet", depth=NAN), "depth is nan; expected a whole number"),
    (lambda w: itinf.network("cifar-resnet8", classes=True), "classes is True; expected a whole number"),
    (lambda w: itinf.network("cifar-resnet8", seed=1), "no option 'seed'"),
    (lambda w: itinf.network("gpt2", n_layer=None), "n_layer"),
    (lambda w: itinf.Network("resnet", [], "n c h w", None), "The model is 'resnet'; expected a torch.nn.Module"),
    (lambda w: itinf.Network(w.image.model, [], "n c h w", w.image.head, pool=w.image.pool), "no blocks given"),
    (lambda w: itinf.Network(w.image.model, ["layer1.0"], "n c h w", w.image.head), "blocks is ['layer1.0']; expected a list"),
    (lambda w: itinf.Network(w.image.model, None, "n c h w", w.image.head), "blocks is None; expected a list"),
    (lambda w: itinf.Network(w.image.model, [itinf.Block("layer9")], "n c h w", w.image.head, pool=w.image.pool), "no module 'layer9'"),
    (lambda w: itinf.modules(w.image.model, torch.nn.LSTM), "no module of class LSTM"),
    (lambda w: itinf.check(None), "None is no network; expected an itinf.Network"),
    (lambda w: itinf.check("gpt2"), "'gpt2' is no network; expected an itinf.Network. Write itinf.network('gpt2')"),
    (lambda w: itinf.check(w.image, 3), "The batch is 3; expected an itinf.Batch"),
    (lambda w: itinf.trace("gpt2", None), "'gpt2' is no network"),
    (lambda w: itinf.trace(w.image, torch.zeros(2, 3, 8, 8)), "expected an itinf.Batch(inputs, targets, keys)"),
    (lambda w: itinf.dataset("imags:x", w.image), "no data set 'imags'"),
    (lambda w: itinf.dataset(None, w.image), "The data set is None; expected NAME[:ARGUMENT]"),
    (lambda w: itinf.dataset("stdlib", w.image), "holds tokens, but cifar-resnet8 reads images"),
    (lambda w: itinf.dataset("stdlib", None), "None is no network"),
    (lambda w: itinf.dataset("stdlib", w.token, length="5"), "length is '5'; expected a whole number"),
    (lambda w: itinf.dataset("stdlib", w.token, length=True), "length is True; expected a whole number"),
    (lambda w: itinf.load(w.image.model, "none.pt"), "There is no weight file 'none.pt'"),
    # probe: objects of another kind
    (lambda w: itinf.probe(None, w.data), "None is no network"),
    (lambda w: itinf.probe("gpt2", w.data), "Write itinf.network('gpt2')"),
    (lambda w: itinf.probe(w.token.model, w.data), "is no network"),
    (lambda w: itinf.probe(w.token, None), "NoneType"),
    (lambda w: itinf.probe(w.token, 3), "int"),
    (lambda w: itinf.probe(w.token, "stdlib"), "'stdlib' was given as data. Open it first: itinf.dataset"),
    (lambda w: itinf.probe(w.token, []), "0"),
    (lambda w: itinf.probe(w.token, {}), "dict"),
    (lambda w: itinf.probe(w.token, [3, 4]), "Item 0 of list"),
    (lambda w: itinf.probe(w.image, w.data), "has tokens, but cifar-resnet8 reads images"),
    (lambda w: itinf.probe(w.token, w.data, "alignment"), "probes is 'alignment'; expected a list"),
    (lambda w: itinf.probe(w.token, w.data, itinf.Alignment()), "expected a list of probes"),
    (lambda w: itinf.probe(w.token, w.data, [itinf.Alignment]), "Alignment was given as a class; expected an object"),
    (lambda w: itinf.probe(w.token, w.data, [None]), "None is no probe"),
    (lambda w: itinf.probe(w.token, w.data, ["algnment"]), "no probe 'algnment'. Did you mean alignment"),
    (lambda w: itinf.probe(w.token, w.data, []), "The list of probes is empty"),
    (lambda w: itinf.probe(w.token, w.data, 3), "probes is 3; expected a list"),
    (lambda w: itinf.probe(w.token, w.data, out=3), "The folder is 3; expected a path"),
    (lambda w: itinf.probe(w.token, w.data, settings={"units": 3}), "settings is {'units': 3}; expected itinf.Settings"),
    # probe: settings
    (lambda w: itinf.probe(w.token, w.data, units="many"), "units is 'many'; expected a whole number"),
    (lambda w: itinf.probe(w.token, w.data, units=0), "units is 0; expected a whole number of at least 1"),
    (lambda w: itinf.probe(w.token, w.data, units=10**9), "1,000,000,000 tokens asked for"),
    (lambda w: itinf.probe(w.token, w.data, units=[64]), "units is [64]; expected a whole number"),
    (lambda w: itinf.probe(w.token, w.data, batch=1.5), "batch is 1.5; expected a whole number"),
    (lambda w: itinf.probe(w.token, w.data, batch=None), "batch is None; expected a whole number"),
    (lambda w: itinf.probe(w.token, w.data, seed=True), "seed is True; expected a whole number"),
    (lambda w: itinf.probe(w.token, w.data, seed=2**64), "expected a whole number from 0 to 2**64 - 1"),
    (lambda w: itinf.probe(w.token, w.data, group=np.bool_(True)), "group is"),
    (lambda w: itinf.probe(w.token, w.data, calibration=0), "calibration is 0; expected a whole number of at least 1"),
    (lambda w: itinf.probe(w.token, w.data, untrained=NAN), "untrained is nan; expected a whole number"),
    (lambda w: itinf.probe(w.token, w.data, replicates=torch.tensor(2.5)), "replicates is tensor(2.5000); expected"),
    (lambda w: itinf.probe(w.token, w.data, shard="1/2"), "shard is '1/2'; expected (i, n)"),
    (lambda w: itinf.probe(w.token, w.data, shard=(2, 2)), "shard is (2, 2); expected (i, n)"),
    (lambda w: itinf.probe(w.token, w.data, shard=3), "shard is 3; expected (i, n)"),
    (lambda w: itinf.probe(w.token, w.data, unit=8), "no setting 'unit'. Did you mean units"),
    (lambda w: itinf.probe(w.token, w.data, device="cpu"), "no setting 'device'"),
    (lambda w: itinf.Settings(device=3), "device is 3; expected auto, cpu"),
    (lambda w: itinf.Settings(dtype="float99"), "dtype is 'float99'; expected float32"),
    (lambda w: itinf.Settings(dtype=torch.float32), "dtype is torch.float32; expected float32"),
    (lambda w: itinf.Settings(precision=-math.inf), "precision is -inf; expected a finite number"),
    (lambda w: itinf.Settings(precision="0.1"), "precision is '0.1'; expected a finite number"),
    # parameters of probes
    (lambda w: itinf.Alignment(targets="label"), "targets is 'label'; expected a sequence of names, such as ('label',)"),
    (lambda w: itinf.Alignment(targets=["lable"]), "no 'lable' among the targets. Did you mean label"),
    (lambda w: itinf.Alignment(targets=3), "targets is 3; expected a sequence"),
    (lambda w: itinf.Alignment(targets=[3]), "no 3 among the targets"),
    (lambda w: itinf.Alignment(gradients=["outputs"]), "no 'outputs' among the gradients"),
    (lambda w: itinf.Alignment(forms=["row"]), "no 'row' among the forms. Did you mean raw"),
    (lambda w: itinf.Alignment(nulls=["pairng"]), "'pairng'"),
    (lambda w: itinf.Alignment(nulls="pairing"), "nulls is 'pairing'; expected a sequence"),
    (lambda w: itinf.Alignment(nulls=3), "nulls is 3; expected a sequence"),
    (lambda w: itinf.Prediction(lens="affine"), "'affine' is no lens; expected an itinf.Lens"),
    (lambda w: itinf.Prediction(merge=0), "merge is 0; expected a whole number of at least 1"),
    (lambda w: itinf.Prediction(merge=1.5), "merge is 1.5; expected a whole number"),
    (lambda w: itinf.Gain(name=3), "name is 3; expected a text"),
    (lambda w: itinf.probe(w.image, w.data, [itinf.Prediction(lens=w.lens)]), "reads images"),
    # lenses and transfer
    (lambda w: itinf.fit(None, w.data), "None is no network"),
    (lambda w: itinf.fit(w.token, w.data, "afine"), "no lens of kind 'afine'. Did you mean affine"),
    (lambda w: itinf.fit(w.token, w.data, None), "no lens of kind"),
    (lambda w: itinf.fit(w.token, w.data, ["affine"]), "no lens of kind"),
    (lambda w: itinf.fit(w.token, w.data, units=0), "units is 0; expected a whole number of at least 1"),
    (lambda w: itinf.fit(w.token, w.data, batch="64"), "batch is '64'; expected a whole number"),
    (lambda w: itinf.fit(w.token, w.data, recipe=3), "A recipe was given for a lens of kind 'affine'"),
    (lambda w: itinf.fit(w.token, w.data, "tuned", recipe={"passes": 3}), "recipe is {'passes': 3}; expected"),
    (lambda w: itinf.fit(w.token, None), "NoneType"),
    (lambda w: itinf.transfer(w.token, "affine", w.data), "'affine' is no lens; expected an itinf.Lens"),
    (lambda w: itinf.transfer(None, w.lens, w.data), "None is no network"),
    (lambda w: itinf.transfer(w.token, w.lens, w.data, rotations=-1), "rotations is -1; expected a whole number of at least 0"),
    (lambda w: itinf.transfer(w.token, w.lens, w.data, precision=NAN), "precision is nan; expected a finite number"),
    (lambda w: itinf.transfer(w.token, w.lens, w.data, grup=8), "no setting 'grup'"),
    (lambda w: itinf.transfer(w.image, w.lens, w.data), "was fitted on another readout"),
    (lambda w: itinf.transfer(w.token, w.lens, w.data, units=6), "too few"),
    (lambda w: itinf.Lens.load(None, w.token), "The lens file is None; expected a path"),
    (lambda w: itinf.Lens.load("lens.safetensors", "gpt2"), "'gpt2' is no network"),
    (lambda w: itinf.Lens.load("lens.safetensor", w.token), "no lens file 'lens.safetensor'. Did you mean lens.safetensors"),
    (lambda w: itinf.Lens.load("lens.safetensors", w.image), "A lens needs the readout it was fitted with"),
    (lambda w: w.lens.save("lens.pt"), "A lens is kept in a .safetensors file"),
    (lambda w: w.lens.save("file/new.safetensors"), "cannot be written"),
    (lambda w: w.lens["transformer.h.9"], "no translator for 'transformer.h.9'"),
    # trajectories
    (lambda w: itinf.trajectory("gpt2", "x"), "'gpt2' is no network"),
    (lambda w: itinf.trajectory(w.token, None), "What was given is a NoneType; expected a text, a tensor"),
    (lambda w: itinf.trajectory(w.token, 3), "What was given is a int; expected a text, a tensor"),
    (lambda w: itinf.trajectory(w.token, Path("text.txt")), "gpt2 reads tokens, and PosixPath('text.txt') was given; expected a text"),
    (lambda w: itinf.trajectory(w.token, torch.zeros(2, 3)), "Token ids of shape (2, 3) and torch.float32 were given; expected whole"),
    (lambda w: itinf.trajectory(w.token, torch.zeros(2, 0, dtype=torch.int64)), "Token ids of shape (2, 0)"),
    (lambda w: itinf.trajectory(w.token, torch.full((1, 3), 99)), "gpt2 cannot read inputs"),
    (lambda w: itinf.trajectory(w.image, "none.png"), "There is no picture 'none.png'"),
    (lambda w: itinf.trajectory(w.image, torch.zeros(1, 8, 8)), "cifar-resnet8 cannot read inputs of shape (1, 1, 8, 8)"),
    (lambda w: itinf.trajectory(w.image, torch.zeros(0, 3, 8, 8)), "The batch is empty; expected at least one item"),
    (lambda w: itinf.trajectory(replace(w.image, prepare=None), "photos/0/0.png"), "has no prepare, so a picture cannot become its input"),
    (lambda w: itinf.trajectory(replace(w.token, prepare=None), "x"), "has no prepare, so a text cannot become its input"),
    (lambda w: itinf.trajectory(w.image, torch.zeros(1, 3, 8, 8), "affine"), "'affine' is no lens; expected an itinf.Lens"),
    (lambda w: itinf.trajectory(w.image, torch.zeros(1, 3, 8, 8), w.lens), "This lens was fitted on another readout"),
    (lambda w: itinf.trajectory(w.token, torch.zeros(1, 3, dtype=torch.int64)).plot(item=1), "There is no item 1; expected 0 … 0"),
    (lambda w: itinf.trajectory(w.token, torch.zeros(1, 3, dtype=torch.int64)).plot(reader="own"), "Nothing was read by 'own'; expected logit"),
    (lambda w: w.run.plot("trajectory"), "The figure trajectory shows itinf.trajectory(…).table"),
    (lambda w: itinf.examples(w.image, w.data), "has tokens, but cifar-resnet8 reads images"),
    # results
    (lambda w: itinf.merge([]), "No run was given"),
    (lambda w: itinf.merge(["half1", "half2"]), "is no list of runs"),
    (lambda w: itinf.merge(w.run), "is no list of runs"),
    (lambda w: itinf.merge(w.halves[:1]), "1 of 2 shards are missing: 2/2"),
    (lambda w: itinf.compare([]), "No run was given"),
    (lambda w: itinf.compare(None), "None is no list of runs"),
    (lambda w: itinf.compare([w.run, w.run]), "Two runs share a name"),
    (lambda w: itinf.compare([w.run]).difference("gpt2", "resnet"), "There is no run 'resnet'"),
    (lambda w: itinf.compare([w.run]).difference("gpt2", "gpt2", measure="aligment"), "picks no row"),
    (lambda w: w.run.plot("alignmnt"), "There is no figure 'alignmnt'. Did you mean alignment"),
    (lambda w: w.run.plot(None), "There is no figure None"),
    (lambda w: w.run.plot("alignment", target="truth"), "The table has no rows of alignment"),
    (lambda w: w.run.plot("alignment", colour="red"), "colour"),
    (lambda w: w.run.save("thesis"), "thesis exists and holds no itinf results"),
    (lambda w: itinf.ProbeResult.load("none"), "none holds no finished results"),
    (lambda w: itinf.ProbeResult.load("moved"), "moved holds the transfer of one lens (itinf transfer), and no finished results"),
    (lambda w: itinf.ProbeResult.load(None), "The folder is None; expected a path"),
    (lambda w: itinf.TransferResult.load("probed"), "probed holds a study of one network (itinf probe), and no finished transfer"),
    (lambda w: itinf.Comparison.load("probed"), "probed holds a study of one network (itinf probe), and no finished comparison"),
    (lambda w: itinf.report(None), "The folder is None; expected a path"),
    (lambda w: itinf.report("empty"), "empty holds no results"),
    # studies
    (lambda w: itinf.run_study(None, "out"), "The study is None; expected an itinf.Study"),
    (lambda w: itinf.run_study("none.toml", "out"), "There is no study file 'none.toml'"),
    (lambda w: itinf.run_study("photos", "out"), "photos cannot be read (Is a directory)"),
    (lambda w: itinf.Study([]), "networks is []; expected a list of itinf.StudyNetwork"),
    (lambda w: itinf.Study(["gpt2"]), "networks is ['gpt2']; expected a list of itinf.StudyNetwork"),
    (lambda w: itinf.Study([StudyNetwork("gpt2", "stdlib")], settings={}), "settings is {}; expected itinf.Settings"),
    (lambda w: itinf.Study([StudyNetwork("gpt2", "stdlib")], lens=None), "lens is None; expected a text"),
    (lambda w: itinf.StudyNetwork("gpt2", "stdlib", units=True), "units is True; expected a whole number"),
    (lambda w: itinf.StudyNetwork("gpt2", None), "data is None; expected a text"),
    (lambda w: itinf.run_study(itinf.Study([StudyNetwork("gpt2", "stdlib")]), None), "The folder is None; expected a path"),
    (lambda w: itinf.run_study(itinf.Study([StudyNetwork("gpt2", "stdlib")]), "out", jobs=0), "jobs is 0; expected a whole number of at least 1"),
    (lambda w: itinf.run_study(itinf.Study([StudyNetwork("gpt2", "stdlib")]), "out", jobs=1.5), "jobs is 1.5; expected a whole number"),
    (lambda w: itinf.run_study(itinf.Study([StudyNetwork("gpt2", "stdlib")]), "out", unit=1), "no setting 'unit'"),
    (lambda w: itinf.register(3), "has no name"),
    (lambda w: itinf.register(len, group="network"), "no group 'network' to register in. Did you mean networks"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), CALLS, ids=[message[:50] for _, message in CALLS])
def test_the_library_says_what_is_wrong(call, message, w, monkeypatch):
    monkeypatch.chdir(w.root)
    before = standing(w.root)
    with pytest.raises(itinf.ItinfError) as error:
        call(w)
    assert message in str(error.value)
    assert standing(w.root) == before


def _other_comparison(w: World, folder: Path) -> None:
    """A comparison of another network, as an older itinf left it: its manifest does not say which study it is of."""
    shutil.copytree(w.root / "probed", folder / "networks/gpt2")
    (folder / "manifest.json").write_text(json.dumps({"complete": False, "networks": {}}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (NETWORK, "it has networks/gpt2, and the networks of this study are cifar-resnet8"),
        ('seed = 3\n[[network]]\nname = "gpt2"\ndata = "stdlib"\n', "for gpt2, units is 2000 here and None there"),
    ],
)
def test_another_comparison_is_refused_before_anything_is_measured(content, message, refused, w, tmp_path):
    _other_comparison(w, w.root / "compared")
    (w.root / "study.toml").write_text(content)
    said = refused("compare study.toml --out compared")
    shutil.rmtree(w.root / "compared")
    assert "compared holds another comparison" in said and message in said


def test_numpy_numbers_are_numbers(w):
    given = {
        "units": np.int64(96),
        "batch": np.int32(8),
        "group": np.uint8(8),
        "seed": np.uint64(0),
        "shard": np.array([0, 1]),
    }
    settings = itinf.Settings(**given, precision=np.float32(0.25))
    assert settings == itinf.Settings(units=96, batch=8, group=8, seed=0, shard=(0, 1), precision=0.25)
    assert {type(value) for value in (settings.units, settings.batch, settings.seed, *settings.shard)} == {int}
