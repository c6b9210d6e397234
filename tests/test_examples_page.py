"""The examples of a comparison on its page: what is said of each, what is missing, and how many stand side by side."""

import re
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest

from itinf.results.schema import TRAJECTORY_DTYPES
from reports.html.examples import MOST_CELLS, examples_html
from reports.html.trajectory_grid import trajectory_grid, trajectory_script, trajectory_style
from reports.sections.examples import EXAMPLES
from reports.sections.results import Results
from test_trajectory_page import Read

EVIL = "</script><script>alert(1)</script>\u202e\"'&"
CLASSES = ["cat", "dog", "car"]


@dataclass
class Made:
    """Examples as a page reads them."""

    table: pd.DataFrame
    names: tuple = ()
    pictures: tuple = ()
    lenses: dict = field(default_factory=lambda: {"own": "a lens", "logit": "own readout"})
    chosen_from: int = 256


def rows(item, rule, by_state, truth, readers=("own", "logit"), position=0):
    """Rows of one item; ``by_state`` has for each state probabilities of the three classes, for the last one also by logit."""
    found = []
    for state, chances in enumerate(by_state):
        order = np.argsort(-np.array(chances), kind="stable")
        for reader in readers if state == len(by_state) - 1 else readers[:1]:
            for rank, number in enumerate(order, 1):
                found.append(
                    {"item": item, "position": position, "input": pd.NA, "input_text": "", "state": state, "lens": "affine",
                     "state_name": f"block {state}", "depth": state / 2, "reader": reader, "rank": rank, "class": number,
                     "text": CLASSES[number], "probability": chances[number], "truth": truth, "truth_text": CLASSES[truth],
                     "truth_rank": order.tolist().index(truth) + 1, "truth_probability": chances[truth], "entropy": 1.0,
                     "divergence": 0.5, "rule": rule}
                )  # fmt: skip
    return pd.DataFrame(found)[[*TRAJECTORY_DTYPES, "rule"]]


EARLY = rows(0, "right early", [[0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.9, 0.05, 0.05]], 0)
LATE = rows(1, "right late", [[0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.05, 0.85, 0.1]], 1)
CHANGED = rows(2, "changed its mind", [[0.2, 0.2, 0.6], [0.92, 0.05, 0.03], [0.05, 0.85, 0.1]], 1)
WRONG = rows(3, "wrong", [[0.2, 0.2, 0.6], [0.92, 0.05, 0.03], [0.005, 0.988, 0.007]], 0)
ANY = rows(4, "random", [[0.2, 0.2, 0.6]] * 3, 2)
NAMES = ("right early: a", "right late: b", "changed its mind: c", "wrong: d", "random: e")
SIX = Made(pd.concat([EARLY, LATE, CHANGED, WRONG, ANY], ignore_index=True), NAMES, (None,) * 5)


def manifest(name, **note):
    return {"network": {"name": name}, "data": {"name": "data", "unit": "image", "note": note}}


def words(html):
    return " ".join(re.sub("<[^>]*>", " ", str(html)).split())


def shown(examples, *manifests):
    found = examples_html(
        examples, manifests or [manifest(name) for name in examples], dict.fromkeys(examples, "image")
    )
    return words(found).replace("“", '"').replace("”", '"')


def test_captions_say_what_the_rule_saw():
    said = shown({"net": SIX})
    assert (
        'Right early : "cat" at the end with 90 %, which is right, and the likeliest from h0 on (own lens). a' in said
    )
    assert 'Right late : "dog" at the end with 85 %, which is right, and the likeliest from h2 on (own lens). b' in said
    assert 'Changed its mind : "cat" at h1 with 92 %, but "dog" at the end with 85 %, which is right. c' in said
    assert 'Wrong : "dog" at the end with 99 %; right is "cat" with 0.5 %. d' in said
    assert 'Random : "car" at the end with 60 %, which is right. e' in said
    assert (
        "among 256 of the images that were measured: right early, right late, changed its mind, wrong, one at random"
        in said
    )
    assert "No example for" not in said


def test_what_only_the_final_reading_has_is_said():
    table = LATE.copy()
    last = (table["reader"] == "own") & (table["state"] == 2)
    table.loc[last, "class"] = [0, 1, 2]  # the lens of the last state reads another class than the network says
    assert "at no state before (by the own lens)" in shown({"net": Made(table.assign(item=0), NAMES[1:2], (None,))})


def test_a_rule_without_example_says_why():
    few = Made(EARLY, NAMES[:1], (None,))
    assert 'No example for "wrong": none of the 256 images meets this rule.' in shown({"net": few})
    own = shown({"net": few}, manifest("net", targets="the final answers of net"))
    assert 'No example for "wrong": what counts as right here are the final answers of net, so no' in own
    assert 'Right early : "cat" at the end with 90 %, and the likeliest from h0 on' in own
    one = Made(ANY[ANY["state"] == 2].assign(item=0), NAMES[4:], (None,), {"logit": "own readout"})
    assert 'No example for "right late": only one state can be read' in shown({"net": one})


def test_networks_without_examples_are_named():
    said = shown({"net": SIX, "hurt": "examples.parquet has been changed."}, *map(manifest, ["net", "hurt", "old"]))
    assert "hurt: examples.parquet has been changed." in said and "old: none were recorded." in said
    assert shown({"net": "They are gone."}) == "net: They are gone."
    assert examples_html({}, [manifest("net")], {}) is None
    alone = Results(pd.DataFrame({"model": [], "modality": []}), [manifest("net")], [[]], examples={"net": SIX})
    assert "Right early" in str(EXAMPLES.html(alone, None))
    assert EXAMPLES.html(replace(alone, examples={}), None) is None
    assert EXAMPLES.script == trajectory_script() and EXAMPLES.style == trajectory_style()


def test_the_first_network_of_each_kind_is_unfolded_and_no_two_share_a_switch():
    kinds = {"a": "image", "b": "image", "c": "language", "d": "language"}
    html = str(examples_html(dict.fromkeys(kinds, SIX), [manifest(name) for name in kinds], kinds))
    unfolded = re.findall(r'<details class="watched"( open)?>', html)
    assert unfolded == [" open", "", " open", ""]
    names = re.findall(r'type="radio" name="(\w+)" value="(\w+)"( checked)?', html)
    assert len({name for name, _, _ in names}) == 4 and len(names) == 4 * 2
    assert all(bool(checked) == (reader == "own") for _, reader, checked in names)
    labels = re.findall(r'role="region" aria-label="([^"]*)"', html)
    assert len(set(labels)) == len(labels) == 4 * 5 * 2


def test_names_and_texts_break_out_of_nothing():
    made = Made(EARLY.assign(text=EVIL, truth_text=EVIL), (f"right early: {EVIL}",), (None,))
    html = str(examples_html({EVIL: made, "hurt": EVIL}, [manifest(EVIL)], {}))
    assert "<script>alert" not in html
    for table in re.findall("<table>(.*?)</table>", html, re.DOTALL):
        assert "&lt;/script&gt;" in table and "\u202e" not in table and "\\u202e" in table


@pytest.mark.parametrize(("states", "positions", "pictures"), [(13, 8, None), (101, 8, None), (19, 1, 1), (111, 1, 1)])
def test_a_network_takes_at_most_150_kilobytes(states, positions, pictures):
    draw = np.random.default_rng(0)
    keys = [(i, p, s, r, k) for i in range(6) for p in range(positions) for s in range(states) for r in ("own", "shared", "logit") for k in range(1, 6)]  # fmt: skip
    table = pd.DataFrame(keys, columns=["item", "position", "state", "reader", "rank"])
    table["class"] = draw.integers(0, 1000, len(table))
    table["text"] = [f"tok{number}" for number in table["class"]]
    chance = draw.uniform(0.01, 1, (2, len(table)))
    table = table.assign(input=1, input_text="token", state_name="transformer.h.10", depth=0.5, lens="affine", rule="random",
                         probability=chance[0], truth=4, truth_text="truth", truth_rank=30_000, truth_probability=chance[1],
                         entropy=10.1, divergence=10.1)  # fmt: skip
    names = tuple(f"random: {n}" for n in range(6))
    html = str(trajectory_grid(table, names, (picture(),) * 6 if pictures else (None,) * 6, of="net", most=MOST_CELLS))
    assert len(html) < 150_000
    cells = Read(html).cells["own"]
    assert len(cells) * 3 <= MOST_CELLS
    rows_shown = re.findall(r'scope="row">h(\d+) ', html)
    assert str(states - 1) in rows_shown, "the last state is always shown"
    assert ("One state in" in html) == (len(set(rows_shown)) < states)


def picture():
    import io

    from PIL import Image

    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((128, 128)).save(content, format="png")
    return content.getvalue()
