"""What is written as TOML reads back as it was, type for type."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from itinf.files import toml_document, toml_entry

# every control character of ASCII, beside what hypothesis thinks of
texts = (
    st.text() | st.text(st.characters(max_codepoint=0x80)) | st.sampled_from(["", "a b", "a.b", '"', "'", "\\", "é"])
)
scalars = texts | st.booleans() | st.integers() | st.floats() | st.dates()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
tables = st.dictionaries(texts, values, max_size=4)


@given(st.dictionaries(texts, values | tables, max_size=5))
def test_documents_read_back(entries):
    plain = {key: value for key, value in entries.items() if not isinstance(value, dict)}
    # repr tells True from 1, 1.0 from 1 and -0.0 from 0.0, and nan is itself
    assert repr(tomllib.loads(toml_document(entries))) == repr(plain | entries)


@given(texts, values)
def test_entries_are_one_line_and_read_back(key, value):
    line = toml_entry(key, value)
    assert "\n" not in line and "\r" not in line
    assert repr(tomllib.loads(line)) == repr({key: value})


def test_tuples_are_lists():
    assert tomllib.loads(toml_entry("a", (1, (2.5, "b"), ()))) == {"a": [1, [2.5, "b"], []]}


def test_plain_entries_come_before_tables():
    written = toml_document({"one": {"a b": 1, "c": {"d": [True]}}, "two": {}, "plain": 'x "y"'})
    assert written == 'plain = "x \\"y\\""\n\n[one]\n"a b" = 1\nc = {d = [true]}\n\n[two]\n'
