"""What differs, and what is damaged, in words."""

from __future__ import annotations

import pytest

from itinf.files import PART, damage, difference, digest, sweep, write_bytes


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 2}}, None),
        ({"a": 1}, {"a": 1, "seconds": 3}, None),
        ({"a": 1}, {"a": "1"}, "a is 1 here and '1' there"),
        ({"a": 1}, {}, "a is 1 here and None there"),
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": 1, "d": 3}}}, "a.b.d is 2 here and 3 there"),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, "a.c is None here and 2 there"),
        ({"a": {"b": 1}}, {"a": 7}, "a is {'b': 1} here and 7 there"),
        ({"lens": {"torch": 1, "kind": "x"}}, {"lens": {"torch": 2, "kind": "x"}}, None),
        (
            {"lens": {"torch": 1, "kind": "x"}},
            {"lens": {"torch": 2, "kind": "y"}},
            "lens.kind is 'x' here and 'y' there",
        ),
    ],
)
def test_the_first_difference_is_named(here, there, words):
    assert difference(here, there, ignored=["lens.torch"]) == words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"whole", ""),
        (None, "is not there"),
        (b"who", "has 3 bytes, and 5 were written"),
        (b"whale", "has been changed"),
    ],
)
def test_damage_is_named(content, words, tmp_path):
    path, listed = tmp_path / "file", digest(b"whole")
    if content is not None:
        path.write_bytes(content)
    assert damage(path, listed).startswith(words) and bool(damage(path, listed)) == bool(words)
    assert "cannot be read" in damage(tmp_path, listed)


def test_what_a_killed_write_left_is_swept_and_nothing_else(tmp_path):
    write_bytes(tmp_path / "file", b"whole")
    for name in (f".file.abc{PART}", ".hidden", f"mine{PART}"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"file", ".hidden", f"mine{PART}"}
