"""Processes of one job: they get the numbers of one process, and none is left behind when another ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

import itinf
from itinf import ItinfError
from itinf.results.sums import load_sums
from itinf.statistics.processes import job_size, joined_bytes, parted_bytes
from tiny import gpt2, tokens

TESTS = Path(__file__).parent
TOGETHER = """
import json, os, sys, time
import numpy as np
import torch
torch.set_num_threads(1)
import itinf
from itinf.errors import TooFewError
from itinf.results import folder
from itinf.statistics.bootstrap import Sums
from itinf.statistics.processes import agreed, from_first, process_group, summed_sums
from tiny import gpt2, tokens

def stop(stage, done, total):
    if done > 16 * 6:  # units; after the first save
        1 / 0

folder.SAVE_SECONDS = folder.SAVE_SHARE = 0
out, rank = sys.argv[1], int(os.environ["RANK"])
with process_group() as here:
    assert (here.rank, here.size) == (rank, 3)
    assert from_first(lambda: b"of " + str(here.rank).encode()) == b"of 0" and agreed(lambda: here.first)
    try:
        from_first(lambda: 1 / 0 if rank else fail())
    except TooFewError as error:
        assert str(error) == "too few"
    part = Sums(0, 2)  # the last process has no cluster, and so no columns
    if rank < 2:
        part.add(np.array([7 - rank], np.uint64), {"a": np.array([1.0 + rank])})
    total = summed_sums(part)
    assert total.names == ["a"] and total.plain.tolist() == [3.0] and total.keys.tolist() == [6, 7]
data, progressed = tokens(40), []
for kind in ("affine", "tuned"):
    network = gpt2().to("cpu", torch.float64 if kind == "affine" else torch.float32)
    lens = itinf.fit(network, data, kind, batch=16, progress=lambda *words: progressed.append(words))
    few = itinf.fit(network, tokens(2), "logit")  # the last process has no cluster
    assert few.statistics.units == sum(int((tokens(2)[n][1] >= 0).sum()) for n in range(2))
    moved = itinf.transfer(network, lens, tokens(23), precision=0.0, replicates=20, out=f"{out}/{kind}", batch=4)
    again = itinf.transfer(network, lens, tokens(23), precision=0.0, replicates=20, out=f"{out}/{kind}")
    assert again.table.equals(moved.table) and again.manifest == moved.manifest
    try:
        itinf.transfer(network, lens, tokens(23), precision=0.0, replicates=20, out=f"{out}/{kind} cut", progress=stop)
    except ZeroDivisionError:
        assert os.path.exists(f"{out}/{kind} cut/sums.safetensors")
    cut = itinf.transfer(network, lens, tokens(23), precision=0.0, replicates=20, out=f"{out}/{kind} cut", batch=4)
    np.testing.assert_allclose(cut.table["mean"], moved.table["mean"], rtol=1e-4, atol=1e-5)
    assert len(cut.manifest["history"]) == 2 and cut.manifest["clusters"] == 23
    moved.table.to_parquet(f"{out}/{kind}-{rank}.parquet")
    lens.save(f"{out}/{kind}-{rank}.safetensors")
assert ("tuning" in [stage for stage, *_ in progressed]) == (rank == 0)  # the others wait for it
"""


RUN = """
import itinf.studies.study as study
study.draw_report = lambda *words: None  # figures take longest, and the first process alone draws them
from itinf.__main__ import main
main()
"""


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    words = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return (
        os.environ | {name: str(value) for name, value in words.items()} | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    )


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def started(size: int, *words: object, folders: list[Path] | None = None, come: int | None = None):
    """Processes started by hand, as on several machines; ``come`` of them, if not all."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, *map(str, words)],
            env=environment(rank, size, port),
            cwd=folders[rank] if folders else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size if come is None else come)
    ]


def ended(jobs: list[subprocess.Popen[str]], limit: float = 200) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each process."""
    try:
        return [(job.returncode, *printed) for job in jobs for printed in [job.communicate(timeout=limit)]]
    finally:
        for job in jobs:
            job.kill()
            job.communicate()


def close(found: np.ndarray, given: np.ndarray, limit: float = 1e-10) -> bool:
    return bool((np.abs(found - given) <= limit * np.abs(given).max(initial=0)).all())


@pytest.mark.slow
def test_three_processes_fit_and_transfer_as_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from itinf.errors import TooFewError\ndef fail():\n    raise TooFewError('too few')\n" + TOGETHER
    )
    for code, _, printed in ended(started(3, script, tmp_path)):
        assert code == 0, printed
    data = tokens(40)
    for kind, limit in (("affine", 1e-6), ("tuned", 1e-4)):  # translators are float32
        network = gpt2().to("cpu", torch.float64 if kind == "affine" else torch.float32)
        lens = itinf.fit(network, data, kind, batch=16)
        lens.save(tmp_path / "one.safetensors")
        one = load_file(tmp_path / "one.safetensors")
        for rank in range(3):
            three = load_file(tmp_path / f"{kind}-{rank}.safetensors")
            assert all(close(three[name], value, limit) for name, value in one.items())
        moved = itinf.transfer(network, lens, tokens(23), precision=0.0, replicates=20, batch=4).table
        tables = [pd.read_parquet(tmp_path / f"{kind}-{rank}.parquet") for rank in range(3)]
        for table in tables:
            pd.testing.assert_frame_equal(table, tables[0], check_exact=True)
        pd.testing.assert_frame_equal(tables[0], moved, rtol=limit, atol=limit)


@pytest.fixture
def study(tmp_path):
    """Two small networks on a text, as a study file."""
    (tmp_path / "text.txt").write_text("".join(f"{n} times {n} is {n * n}. " for n in range(3000)))
    options = "{n_layer = 2, n_embd = 8, n_head = 2, vocab_size = 256, n_positions = 16}"
    networks = [
        f'[[network]]\nname = "gpt2"\nlabel = "net{n}"\nweights = "random:{n}"\ndata = "text:text.txt"\noptions = {options}'
        for n in (1, 2)
    ]
    head = 'units = 640\nreplicates = 20\nuntrained = 0\ngroup = 8\ncalibration = 12\ndtype = "float64"\nfit_units = 512\nprecision = 0.0'
    (tmp_path / "study.toml").write_text("\n".join([head, *networks]))
    (tmp_path / "run.py").write_text(RUN)
    return tmp_path


def same(one: Path, other: Path) -> None:
    """The sums of every network agree to 1e-10, and so do the lenses and the tables, each as far as it keeps digits."""
    sums = sorted(path.relative_to(one) for path in one.rglob("sums.safetensors"))
    assert len(sums) == 2
    for path in sums:
        a, b = (load_sums(folder / path)["observed"] for folder in (one, other))
        assert a.sums.names == b.sums.names and (a.sums.keys == b.sums.keys).all()
        size, plain = np.abs(a.sums.replicates).max(0), np.abs(a.sums.plain)  # columns of products have no replicates
        assert (np.abs(a.sums.replicates - b.sums.replicates) <= 1e-10 * size).all()
        assert (np.abs(a.sums.plain - b.sums.plain) <= 1e-10 * np.r_[size, plain[len(size) :]]).all()
    for path in sorted(path.name for path in one.glob("*.parquet")):
        pd.testing.assert_frame_equal(pd.read_parquet(one / path), pd.read_parquet(other / path), rtol=1e-6, atol=1e-8)


def run_alone(study: Path, out: str, **changes: object) -> None:
    """The study in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(study)
        patch.setattr("itinf.studies.study.draw_report", lambda *_: None)
        itinf.run_study("study.toml", out, **changes)


@pytest.mark.slow
def test_a_comparison_under_torchrun_is_that_of_one_process(study):
    words = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "run.py", "compare", "study.toml"]
    env = os.environ | {"PYTHONPATH": str(TESTS.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *words, "--out", "two"]
    done = subprocess.run(command, cwd=study, env=env, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Run of net1") == 1 and done.stdout.count("Results in two") == 1
    run_alone(study, "one")
    same(study / "one", study / "two")
    refused = ended(started(2, *words[-3:], "--jobs", 2, "--out", "jobs", folders=[study] * 2))
    assert [code for code, *_ in refused] == [2, 2] and not (study / "jobs").exists()
    assert "".join(errors for *_, errors in refused).count("--jobs 2 was given under torchrun") == 1


@pytest.mark.slow
def test_two_of_three_processes_are_killed(study):
    """The first one keeps the store through which all watch each other; the last one learns of it all the same."""
    words = ["run.py", "compare", "study.toml", "--lens", "none", "--out", "out"]
    jobs = started(3, *words, folders=[study] * 3)
    while not (study / "out" / "networks" / "net1").exists():
        assert all(job.poll() is None for job in jobs), ended(jobs)
        time.sleep(0.05)
    for job in jobs[:2]:
        job.send_signal(signal.SIGKILL)
    start = time.monotonic()
    code, _, printed = ended(jobs, 60)[2]
    assert time.monotonic() - start < 60 and code == 2
    assert "of this job has ended" in printed and "to resume at the last save" in printed and "Traceback" not in printed
    run_alone(study, "out", lens="none")
    run_alone(study, "whole", lens="none")
    same(study / "whole", study / "out")


@pytest.mark.slow
def test_a_mistake_in_one_process_ends_all_with_one_message(study, tmp_path):
    """The text is missing on the second of two machines."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "study.toml").write_text((study / "study.toml").read_text())
    (elsewhere / "run.py").write_text(RUN)
    words = ["run.py", "compare", "study.toml", "--lens", "none", "--out", "out"]
    done = ended(started(2, *words, folders=[study, elsewhere]), 100)
    assert [code for code, *_ in done] == [2, 2]
    printed = "".join(errors for *_, errors in done)
    assert (
        printed.count("There is no file 'text.txt'") == 1
        and printed.count("itinf:") == 1
        and "Traceback" not in printed
    )
    assert not list(elsewhere.glob("out"))


@pytest.mark.slow
def test_too_few_processes_come(study):
    code = "import sys, itinf.statistics.job as job; job.JOIN_SECONDS = 4.0\nsys.argv = ['itinf', 'compare', 'study.toml']\n"
    code += "from itinf.__main__ import main; main()"
    ((code, _, printed),) = ended(started(2, "-c", code, folders=[study] * 2, come=1), 100)
    assert code == 2 and "Process 1 of 2 has not met the others at 127.0.0.1:" in printed and "Traceback" not in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'; expected a number"),
        ({"WORLD_SIZE": "-1"}, "WORLD_SIZE is '-1'; expected a number"),
        ({"WORLD_SIZE": "0"}, "expected RANK below WORLD_SIZE"),
        ({"RANK": None}, "WORLD_SIZE is 2, but RANK is not set"),
        ({"RANK": "2"}, "RANK=2.*expected RANK below WORLD_SIZE"),
        ({"MASTER_ADDR": None, "MASTER_PORT": ""}, "MASTER_ADDR and MASTER_PORT is not set"),
        ({"MASTER_PORT": "99999"}, "MASTER_PORT=99999: .*a port between 1 and 65535"),
    ],
)
def test_an_environment_that_contradicts_itself_is_refused(words, message, monkeypatch):
    for name, value in (
        {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29"} | words
    ).items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(ItinfError, match=message):
        job_size()


def test_contents_are_joined_and_parted():
    parts = [b"", b"abc", b"\x00" * 300]
    assert parted_bytes(joined_bytes(parts)) == parts and parted_bytes(b"") == []


def test_commands_for_one_process_run_in_the_first(monkeypatch, capsys):
    from itinf.cli import app

    printed = []
    monkeypatch.setattr(sys, "argv", ["itinf", "list"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        try:
            app.main()
        except SystemExit as end:
            assert not end.code
        printed.append("resnet50" in capsys.readouterr().out)
    assert printed == [True, False]
