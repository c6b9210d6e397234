"""Several processes give the sums of one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from itinf.results import sums as accumulator
from itinf.statistics.processes import ProcessGroup, process_group
from itinf.studies.distributed import all_reduce
from tiny import GROUP, gpt2, images, probed, resnet, study, tokens

CASES = {"even": ("image", 32), "odd": ("token", 24), "one": ("token", 7)}
"""Slabs in even number, in odd number, and a single one, of which the second process has none."""
SCRIPT = """
import os, sys, torch
sys.path.insert(0, {tests!r})
torch.set_num_threads(1)
import itinf
from itinf import files
from itinf.results import folder as folders
from tiny import gpt2, images, resnet, tokens

written, rank = [], os.environ["RANK"]
write = files.write_bytes
for name, (kind, count) in {cases!r}.items():
    out = {folder!r} + "/" + name
    folders.write_bytes = lambda path, content: (written.append(path.name), write(path, content))
    network, data = (resnet(), images(count)) if kind == "image" else (gpt2(), tokens(count))
    network.to("cpu", torch.float64)  # float32 kernels may differ in the last bit from process to process
    run = itinf.probe(network, data, group={group}, calibration=12, replicates=60, untrained=1, batch={group}, out=out)
    assert written == ["sums.safetensors", "measures.parquet"] * (rank == "0"), (rank, written)
    written.clear()
    folders.write_bytes, os.environ["RANK"] = write, "0"
    run.save(out + "-" + rank)
    os.environ["RANK"] = rank
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The folder in which two processes, started once, have measured every case."""
    folder = tmp_path_factory.mktemp("measured")
    script = folder / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), cases=CASES, group=GROUP, folder=str(folder)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_sums_of_one(case, measured):
    kind, count = CASES[case]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the processes
    network, data = (resnet(), images(count)) if kind == "image" else (gpt2(), tokens(count))
    one = probed(network.to("cpu", torch.float64), data, untrained=1, batch=GROUP)
    torch.set_num_threads(threads)
    for folder in (case, f"{case}-0", f"{case}-1"):
        stages = accumulator.load_sums(measured / folder / "sums.safetensors")
        assert stages.keys() == one.stages.keys()
        for name, stage in stages.items():
            wanted = one.stages[name]
            assert stage.sums.names == wanted.sums.names
            assert stage.entries == wanted.entries and stage.structure == wanted.structure
            found, given = stage.sums.arrays(), wanted.sums.arrays()
            assert (found["keys"] == given["keys"]).all() and len(given["keys"]) == wanted.clusters > 0
            np.testing.assert_array_equal(found["clusters"], given["clusters"])
            size = np.abs(given["plain"])
            replicated = given["replicates"].shape[1]  # products of columns have no replicates; they come last
            size[:replicated] = np.abs(given["replicates"]).max(0)  # of a column: single sums may cancel
            assert (np.abs(found["plain"] - given["plain"]) <= 1e-10 * size).all()
            assert (np.abs(found["replicates"] - given["replicates"]) <= 1e-10 * size[:replicated]).all()
            for field in stage.histograms.FIELDS:
                np.testing.assert_array_equal(getattr(stage.histograms, field), getattr(wanted.histograms, field))


def test_one_process_is_a_world_of_its_own(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group() as here:
        assert here == ProcessGroup(0, 1) and here.first
    part = study("token", 16).stages["observed"]
    assert all_reduce(part, here) is part
    assert not ProcessGroup(1, 2).first
