"""What the operating system refuses, memory that is used up, and faults: one message each, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import itinf
from itinf.networks.network import Network
from itinf.training import specimen
from tiny import gpt2, save_always, tokens

TINY = ["-O", "n_layer=2", "-O", "n_embd=8", "-O", "n_head=2", "-O", "vocab_size=256", "-O", "n_positions=16"]
SMALL = ["--replicates", "20", "--group", "8"]
ROOT = Path(__file__).parents[1]
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def text(tmp_path: Path) -> list[str]:
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{n} times {n} is {n * n}. " for n in range(400)))
    return ["gpt2", *TINY, "--data", f"text:{path}"]


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow over a size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small file system with these options."""
    folder = tmp_path / "mounted"
    folder.mkdir()

    def mount(options: str) -> Path:
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
        ).returncode:
            pytest.skip("only root can mount a file system")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True)


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# full disks, and folders that cannot be written


@pytest.mark.parametrize("limit", [0, 300, 3000])
def test_a_full_disk_leaves_nothing_of_a_new_study(limit, command, text, tmp_path):
    with largest_file(limit):
        code, printed = command("probe", *text, *SMALL, "--units", 256, "--out", tmp_path / "out")
    assert code == 2 and "cannot be written (File too large)" in printed and "Traceback" not in printed
    assert listing(tmp_path) == {"text.txt"}


def test_a_full_disk_keeps_the_last_save(tmp_path, monkeypatch):
    """The study is stopped at its second save; with room again it ends with the bits of one that was never stopped."""
    save_always(monkeypatch)
    given = {"replicates": 20, "group": 8, "batch": 8, "probes": [itinf.Performance(), itinf.UpdateNorm()]}
    network, data, out = gpt2(), tokens(32), tmp_path / "out"
    with contextlib.ExitStack() as stack, pytest.raises(itinf.ItinfError, match="cannot be written") as refused:

        def fill(stage: str, done: int, total: int) -> None:
            if done == 16:
                stack.enter_context(largest_file(300))

        itinf.probe(network, data, out=out, progress=fill, **given)
    assert "resumes at its last save" in str(refused.value)
    assert {path.name for path in out.iterdir()} == {"manifest.json", "sums.safetensors"}
    seen: list[int] = []
    resumed = itinf.probe(network, data, out=out, progress=lambda stage, done, total: seen.append(done), **given)
    assert 8 in seen and resumed.table.equals(itinf.probe(network, data, **given).table)


def test_a_small_file_system_is_filled(mounted, command, text):
    folder = mounted("size=64k")
    code, printed = command("probe", *text, *SMALL, "--units", 256, "--out", folder / "out")
    assert code == 2 and "cannot be written (No space left on device). Free space there" in printed
    assert listing(folder) == set()
    with contextlib.suppress(OSError), (folder / "rest").open("wb") as file:
        while True:
            file.write(b"0" * 4096)
    code, printed = command("probe", *text, *SMALL, "--units", 256, "--out", folder / "out")
    assert code == 2 and "No space left on device" in printed and listing(folder) == {"rest"}
    code, printed = command("fit", *text, "--units", 1024, "--out", folder / "lens.safetensors")
    assert code == 2 and "lens.safetensors cannot be written (No space left on device)" in printed
    assert listing(folder) == {"rest"}


@pytest.mark.parametrize(
    "words",
    [
        ["probe", "--out", "out"],
        ["transfer", "--out", "out"],
        ["fit", "--out", "lens.safetensors"],
        ["fit", "--format", "tuned-lens", "--out", "lens"],
    ],
    ids=lambda words: "-".join(words[:2]),
)
def test_a_folder_that_cannot_be_written_is_named_before_the_work(words, mounted, command, text, monkeypatch):
    folder = mounted("size=1m,ro")
    monkeypatch.setattr(Network, "forward", lambda *_: pytest.fail("work was done before the folder was tried"))
    code, printed = command(words[0], *text, *words[1:-1], folder / words[-1])
    assert code == 2 and f"{words[-1]} cannot be written (Read-only file system)" in printed, printed


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """As another user, whom root's folders refuse."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


CLOSED = [
    ["report", "closed"],
    ["evaluate", "resnet", "--weights", "closed"],
    ["train", "resnet", "--out", "closed/out"],
    ["fit", "gpt2", *TINY, "--data", "text:text.txt", "--out", "closed/lens.safetensors"],
    ["probe", "gpt2", *TINY, "--data", "text:text.txt", "--units", "256", "--out", "closed/out"],
    ["probe", "gpt2", *TINY, "--data", "text:closed/text.txt", "--out", "out"],
    ["probe", "cifar-resnet8", "--data", "images:closed/photos", "--out", "out"],
    ["check", "cifar-resnet8", "--weights", "closed/weights.safetensors"],
    ["compare", "closed/study.toml", "--out", "out"],
    ["merge", "closed", "--out", "out"],
]


def test_without_permission(command, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "closed").mkdir(mode=0o700)
    for path in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        path.chmod(0o755)
    # both import what is needed, while files can be read
    command("probe", "gpt2", *TINY, "--data", "text:text.txt", "--units", "256", *SMALL, "--out", "warm")
    command("evaluate", "resnet", "--weights", "none")
    before = listing(tmp_path)
    for words in CLOSED:
        with as_nobody():
            code, printed = command(*words)
        assert code == 2 and "Permission denied" in printed and "Traceback" not in printed, printed
        assert listing(tmp_path) == before


# the command's own output


def itinf_(*words: str, **options) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("env", {})
    return subprocess.run([sys.executable, "-m", "itinf", *words], text=True, env=environment, **options)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_is_full():
    with Path("/dev/full").open("w") as full:
        done = itinf_("list", stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 2 and done.stderr.startswith("itinf: The output cannot be written (No space left")
        assert itinf_("list", stdout=full, stderr=full).returncode == 2


def test_an_output_that_is_closed():
    """As ``itinf list | head -1``: no message, and the code that says so."""
    read, write = os.pipe()
    os.close(read)
    done = itinf_("list", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode == 1 and done.stderr == ""


@pytest.mark.slow
def test_without_a_home_and_without_caches(tmp_path):
    probes = [itinf.Performance(), itinf.UpdateNorm()]  # one figure is enough
    run = itinf.probe(gpt2(), tokens(24), probes, out=tmp_path / "out", replicates=20, group=8)
    none = {"HOME": "/nonexistent", "MPLCONFIGDIR": "/proc/none", "XDG_CACHE_HOME": "/proc/none"}
    done = itinf_("report", str(tmp_path / "out"), env=none, capture_output=True)
    assert done.returncode == 0 and (tmp_path / "out/report.html").is_file() and run.name == "gpt2", done.stderr


# memory

NO_MEMORY = {
    "cpu": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "mps": RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "python": MemoryError(),
    "numpy": MemoryError("Unable to allocate 9. TiB for an array"),
}


def fails_with(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("kind", NO_MEMORY)
def test_every_lack_of_memory_is_known(kind, monkeypatch):
    monkeypatch.setattr(Network, "forward", fails_with(NO_MEMORY[kind]))
    with pytest.raises(itinf.ItinfError, match=r"Out of memory with --batch 6 .*Try --batch 3\."):
        itinf.probe(gpt2(), tokens(24), batch=6, replicates=20, group=8)
    with pytest.raises(itinf.ItinfError, match=r"Out of memory with --batch 1 .*This is the smallest"):
        itinf.fit(gpt2(), tokens(24), batch=1)


def test_another_error_is_no_lack_of_memory(monkeypatch):
    monkeypatch.setattr(Network, "forward", fails_with(RuntimeError("CUDA error: an illegal memory access")))
    with pytest.raises(itinf.ItinfError, match=r"cannot read inputs .* an illegal memory access"):
        itinf.probe(gpt2(), tokens(24), replicates=20, group=8)


@pytest.mark.parametrize("batch", [20, 90])
@pytest.mark.parametrize("name", ["probe", "fit", "transfer", "compare"])
def test_every_command_says_which_batch_to_try(name, batch, command, text, tmp_path, monkeypatch):
    calls = []

    def full(network: Network, inputs: torch.Tensor) -> None:
        calls.append(len(inputs))
        if len(inputs) == 1:  # the number of channels is found with one sequence
            return whole(network, inputs)
        raise NO_MEMORY["cpu"]

    whole = Network.forward
    out = tmp_path / ("lens.safetensors" if name == "fit" else "out")
    words = [name, *text, "--batch", batch, "--out", out]
    if name == "compare":
        study = tmp_path / "study.toml"
        options = "options = {n_layer = 2, n_embd = 8, n_head = 2, vocab_size = 256, n_positions = 16}"
        study.write_text(f'units = 512\n[[network]]\nname = "gpt2"\ndata = "{text[-1]}"\n{options}\n')
        words = [name, study, "--batch", batch, "--out", out]
    monkeypatch.setattr(Network, "forward", full)
    code, printed = command(*words)
    assert code == 2 and f"Out of memory with --batch {batch}" in printed and f"Try --batch {batch // 2}." in printed
    assert not out.exists() and max(calls) <= batch


@pytest.mark.parametrize("words", [["check", "cifar-resnet8"], ["evaluate", "resnet"], ["train", "resnet"]])
def test_commands_without_a_batch_say_that_memory_is_used_up(words, command, tmp_path, monkeypatch):
    monkeypatch.setattr(Network, "forward", fails_with(NO_MEMORY["cpu"]))
    monkeypatch.setattr(specimen, "finished", fails_with(NO_MEMORY["cpu"]))
    monkeypatch.setattr(torch.nn.Linear, "forward", fails_with(NO_MEMORY["cpu"]))
    code, printed = command(*words, *(["--out", tmp_path / "out"] if words[0] == "train" else []))
    assert code == 2 and printed.count("itinf: Out of memory (") == 1 and "Traceback" not in printed
    assert not (tmp_path / "out").exists()


# faults of itinf


def test_a_fault_says_how_to_report_it(command, text, tmp_path, monkeypatch):
    monkeypatch.setattr(Network, "forward", fails_with(ZeroDivisionError("division by zero")))
    code, printed = command("probe", *text, *SMALL, "--units", 256, "--out", tmp_path / "out put")
    assert code == 1 and "Traceback (most recent call last)" in printed
    told = printed.partition("itinf: This is a fault of itinf")[2]
    assert "ZeroDivisionError: division by zero" in told and f"--out '{tmp_path}/out put'" in told
    assert f"torch {torch.__version__.partition('+')[0]}" in told and f"Python {sys.version.split()[0]}" in told
    assert listing(tmp_path) == {"text.txt"}


def test_warnings_do_not_bury_the_message(tmp_path):
    """A warning is one line, and the message stands after it."""
    code = (
        "import sys, warnings; from itinf.cli import app, options\n"
        "def opened(*_):\n    warnings.warn('lazy modules are new', UserWarning)\n    raise app.ItinfError('no such thing')\n"
        "app.ItinfError = __import__('itinf').ItinfError; app.opened_network = opened\n"
        "sys.argv = ['itinf', 'check', 'cifar-resnet8']; app.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 2 and done.stderr == "warning: lazy modules are new\nitinf: no such thing\n"
