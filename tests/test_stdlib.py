"""stdlib: which modules are documents, and which of them are held out."""

import pytest

from itinf import Data, ItinfError
from language.stdlib import is_test, modules, stdlib
from test_text import decoded, token_network


@pytest.fixture
def library(tmp_path):
    for place in (
        *("one.py", "package/__init__.py", "package/inner.py", "pydoc_data/topics.py"),
        *("test/regrtest.py", "package/tests/case.py", "idlelib/idle_test/case.py"),
        *("site-packages/torch.py", "lib-dynload/x.py", "config-3.11-linux/tool.py", "_data-linux.py"),
        *("package/__pycache__/inner.pyc", "LICENSE.txt"),
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(f"# {place}\n", encoding="utf-8")
    (tmp_path / "latin.py").write_bytes(b"# \xe9\n")
    (tmp_path / "blank.py").write_text("\n", encoding="utf-8")
    return tmp_path


def test_what_is_a_module(library):
    both = modules("train", library) | _held_out(library)
    assert both == {
        "one": "# one.py\n",
        "package": "# package/__init__.py\n",
        "package.inner": "# package/inner.py\n",
        "pydoc_data.topics": "# pydoc_data/topics.py\n",
    }


def _held_out(library):
    try:
        return modules("test", library)
    except ItinfError:  # four modules may well all be for training
        return {}


def test_the_split_is_by_name_and_whole():
    train, test = modules("train"), modules("test")
    assert not train.keys() & test.keys()
    assert {"argparse", "json.decoder", "pydoc_data.topics", "asyncio", "os"} <= train.keys() | test.keys()
    assert all(is_test(name) for name in test) and not any(is_test(name) for name in train)
    assert list(test) == sorted(test)
    assert not any(name.startswith(("test.", "torch")) or ".tests." in name for name in train | test)


def test_fifteen_percent_of_names_are_held_out():
    share = sum(is_test(f"package.module{i}") for i in range(20_000)) / 20_000
    assert abs(share - 0.15) < 0.01  # 4 sd


def test_sequences_begin_at_a_module():
    data = stdlib(None, token_network(), length=64, seed=1)
    assert isinstance(data, Data) and data.name == "stdlib/test"
    name, _, offset = data.key(0).partition("/")
    assert offset == "0" and modules("test")[name].startswith(decoded(data[0][0]))
    assert data.note["modules"] == data.note["documents"] == len(modules("test"))
    assert data.note["bytes"] == data.note["tokens"]
    assert data.note["text"] == stdlib(None, token_network(), length=32).note["text"]


def test_refused(tmp_path):
    with pytest.raises(ItinfError, match=r"'os'.*text:FILE"):
        stdlib("os", token_network())
    with pytest.raises(ItinfError, match="no split 'val'; expected train or test"):
        stdlib(None, token_network(), split="val")
    with pytest.raises(ItinfError, match=f"No Python source of the test split.*{tmp_path.name}"):
        modules("test", tmp_path)
