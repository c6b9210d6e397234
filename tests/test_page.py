"""The page is one file that stands alone, is well formed, and writes a user's words as they are."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from itinf import registry
from lens_tables import moved
from pages import page
from pictures import RENDERS, blank
from test_overview import made
from test_prediction_figure import walked

NAME, QUOTED = "<script>alert(1)</script>", """a "quoted" & 'single' <img src=x onerror=y> name"""
OWN = {section.script for name in registry.names("sections") if (section := registry.opened("sections", name)).script}
"""Scripts that come with itinf."""
VOID = {"meta", "img", "br", "hr", "link", "input"}


def manifest(name: str, data: str = "glyphs", weights: str = "random:0") -> dict[str, Any]:
    return {
        "network": {"name": name, "weights": weights, "fingerprint": "0123456789abcdef", "dtype": "float32"},
        "data": {"name": data, "unit": "image", "note": {}},
        "settings": {"clusters": 7, "seed": 3, "group": 32, "replicates": 400, "untrained": 2},
        "seconds": 12.3,
        "history": [{"circumstances": {"itinf": "1.2.3"}}],
    }


class Read(HTMLParser):
    """Tags must balance; keeps their attributes and the words between them; JSON is inside "data", and no script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside == "script" and self.of("script")[-1].get("type") == "application/json":
            inside = "data"
        self.words.append((inside, data))
        if "tr" in self.open and data.strip():
            self.rows[-1].append(data.strip())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.tags if found == tag]

    @property
    def scripts(self) -> set[str]:
        """Texts of scripts that are no data."""
        return {text for text in self.inside("script") if not isinstance(_json(text), dict)}

    def inside(self, tag: str) -> list[str]:
        return [data for parent, data in self.words if parent == tag]


def _json(text: str) -> Any:
    """Data in JSON; None for anything else."""
    try:
        return json.loads(text)
    except ValueError:
        return None


FIRST, SECOND = made(NAME), made(QUOTED, depth=3, changes=(), readout_from=1, seed=5)


@pytest.fixture(scope="module")
def text() -> str:
    """With pictures as they are: it is made before a test's own fixtures, which replace them."""
    manifests = [manifest(NAME, data=QUOTED), manifest(QUOTED, weights="dir/<b>&\"'.safetensors")]
    return page(pd.concat([FIRST, SECOND]), manifests, [[], ["7 clusters: <i>rough</i> & few"]])


@pytest.fixture(scope="module")
def read(text: str) -> Read:
    return Read(text)


def test_what_a_user_named_is_written_as_it_is_and_never_as_markup(text: str, read: Read) -> None:
    assert not {"i", "b"} & {tag for tag, _ in read.tags}
    assert read.scripts <= OWN
    assert NAME not in text and "<img src=x" not in text and "<i>rough" not in text
    assert {NAME, QUOTED} <= set(read.inside("bdi"))
    assert "7 clusters: <i>rough</i> & few" in read.inside("strong")
    facts = read.inside("dd")
    assert f"{QUOTED}: 500 images in 500 clusters, seed 3" in facts
    assert "dir/<b>&\"'.safetensors (float32, fingerprint 0123456789ab)" in facts
    assert NAME in "".join(read.inside("title"))
    assert all(not name.startswith("on") for _, attributes in read.tags for name in attributes)


def test_nothing_is_fetched_from_elsewhere(text: str, read: Read) -> None:
    assert not {"link", "iframe", "object"} & {tag for tag, _ in read.tags}
    assert not re.findall(r"url\((?!#)", text) and "@import" not in text
    for _, attributes in read.tags:
        assert (attributes.get("href") or "#").startswith(("#", "measures.", "manifest.json", "figures/")), (
            "files beside the page"
        )
        for name in ("src", "srcset", "action"):
            assert (attributes.get(name) or "data:image/png;base64,").startswith("data:image/png;base64,")
    (policy,) = [m["content"] for m in read.of("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert set((policy or "").split("; ")) >= {"default-src 'none'", "img-src data:"}


def test_every_network_has_its_section_in_order_and_a_link_to_it(read: Read) -> None:
    ids = [str(attributes["id"]) for attributes in read.of("section")]
    assert [name for name in ids if name.startswith("network-")] == ["network-1", "network-2"]
    sections = [name for name in ids if not name.startswith("network-")]
    inside = [a["href"] for a in read.of("a") if str(a["href"]).startswith("#")]
    assert inside[: len(sections)] == [f"#{name}" for name in sections], "the contents"
    assert inside[len(sections) :] == ["#network-1", "#network-2"], "the table of networks"
    assert [text for text in read.inside("a") if text in (NAME, QUOTED)] == [NAME, QUOTED]
    headings = [a["id"] for a in read.of("h3") if str(a.get("id")).startswith("network-")]
    assert headings == ["network-1-title", "network-2-title"]


def test_every_picture_is_one_and_is_described(read: Read) -> None:
    pictures = read.of("img")
    assert len(pictures) == 2
    for picture, word in zip(pictures, (NAME, QUOTED), strict=True):
        assert word in (picture["alt"] or "")
        _, _, data = (picture["src"] or "").partition(",")
        image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
        image.verify()
        assert image.width == 1500


def test_the_tables_numbers_are_in_the_cells(read: Read) -> None:
    for name, table in ((NAME, FIRST), (QUOTED, SECOND)):
        shown = table[table["measure"].eq("update_norm") & table["statistic"].eq("mean") & table["update"].eq("update")]
        depth = shown["block_index"].max()
        starts = [i for i, cells in enumerate(read.rows) if cells[:2] == ["block", "l2 ratio, update"]]
        own = read.rows[starts[0 if name == NAME else 1] + 1 :][:depth]
        assert [cells[0] for cells in own] == [f"{i} layer.{i}" for i in range(1, depth + 1)]
        for cells, number in zip(own, shown.sort_values("block_index")["mean"], strict=True):
            if pd.isna(number):
                assert cells[1] == "–"
            else:
                assert abs(float(cells[1].split(" ±")[0]) - number) < 0.005
        (headline,) = [cells for cells in read.rows if cells[0] == name and len(cells) > 5]
        assert headline[1:5] == ["image", "75.0%", "1.250", str(depth)]


def test_what_is_undefined_is_listed_for_each_network(read: Read) -> None:
    said = [line.split(" (")[0] for line in read.inside("li") if line.strip()]
    assert said == [
        "1 of 6 blocks: the block changes the state's shape",
        "3 of 6 blocks: the readout does not fit the state's width; it takes a lens",
        "Nothing.",
    ]


def test_a_page_is_small(text: str) -> None:
    assert len(text) < 1_500_000


def test_one_network_alone_has_a_page() -> None:
    table = made(depth=2, changes=(), readout_from=3)
    read = Read(page(table, [manifest("net")], [[]]))
    assert [s["id"] for s in read.of("section")] == [
        "cards", "together", "networks", "network-1", "methods", "provenance", "data",
    ]  # fmt: skip
    assert len(read.of("img")) == 1


def test_a_network_without_accuracy_has_a_page_that_says_so() -> None:
    table = made(depth=2)
    read = Read(page(table[table["measure"] != "accuracy"], [manifest("net")], [[]]))
    assert (
        "accuracy not recorded" in read.inside("span")
        and read.rows[1][2:3] == ["–"]
        and any("500 images in 500 clusters" in text for text in read.inside("dd"))
    )


WORDS = made("words", depth=4, changes=(), readout_from=1)
LENSES = [
    moved(NAME, (0, 0, 0, 1, 1, 1, 1)),
    moved("words", (0,) * 5, modality="language", unit="token", matched=False),
]
REMARK = "<b>third</b> has no lenses: 12 units & fewer"


def lensed(**changed: Any) -> Read:
    """The page of three networks; the first two have lenses, the third, whose name is quoted, has none."""
    table = pd.concat(
        [FIRST, WORDS, SECOND, walked(NAME, depth=6), walked("words", depth=4, steps=4), *(t for t, _ in LENSES)]
    )
    cost = {"units": 1472, "reached": 0.049, "stopped": True, "settings": {"precision": 0.05}}
    given = {
        "summaries": pd.concat([s for _, s in LENSES]), "remarks": [REMARK],
        "transfers": [manifest(name) | cost for name in (NAME, "words")],
    } | changed  # fmt: skip
    return Read(page(table, [manifest(name) for name in (NAME, "words", QUOTED)], [[], [], []], **given))


@pytest.fixture(scope="module")
def lensing() -> Read:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RENDERS, blank)
        return lensed()


def test_lenses_have_a_section_after_the_steps(lensing: Read) -> None:
    ids = [a["id"] for a in lensing.of("section")]
    parts = ["networks", "network-1", "network-2", "network-3", "methods", "provenance", "data"]
    assert ids == ["cards", "four-figures", "together", "lenses", *parts]
    # two of three networks have lenses of their own
    alts = [picture["alt"] or "" for picture in lensing.of("img")]
    assert len(alts) == 3 + 2 and sum("how well lenses read" in alt for alt in alts) == 2


def test_guesses_stand_with_their_numbers(lensing: Read) -> None:
    assert len([guess for guess in lensing.inside("h4") if guess.startswith("“")]) == 6
    terms, said = lensing.inside("dt"), lensing.inside("dd")
    assert f"{NAME} (image)" in terms and "images and language" in terms
    near = (5 * 0.7 + 4 * 0.65) / 9  # forward and backward, but for the pair whose state tells too little
    assert f"{near:.3f} ± 0.020 one state away (0.17 of depth), " in "".join(said)
    (row,) = [cells for cells in lensing.rows if cells[0] == NAME and "±" in cells[1]]
    assert row[1] == f"{near:.3f} ± 0.020" and row[-1] == "1,472 images, ± 0.049" and len(row) == 9


def test_names_and_remarks_beside_lenses_are_never_markup(lensing: Read) -> None:
    assert not {"i", "b"} & {tag for tag, _ in lensing.tags} and lensing.scripts <= OWN
    assert REMARK in lensing.inside("strong")
    assert all(not name.startswith("on") for _, attributes in lensing.tags for name in attributes)


def test_blocks_are_as_they_are_without_lenses(lensing: Read, read: Read) -> None:
    def own(page: Read) -> list[list[str]]:
        start = next(i for i, cells in enumerate(page.rows) if cells[:2] == ["block", "l2 ratio, update"])
        return page.rows[start : start + 7]

    assert own(lensing) == own(read)
    missing = [line for line in lensing.inside("li") if "blocks: own lens tells" in line]
    assert not missing  # a state that tells too little is no block without a value


def test_a_remark_alone_is_shown() -> None:
    alone = Read(page(FIRST, [manifest(NAME)], [[]], summaries=pd.DataFrame(), remarks=[REMARK]))
    assert "Lenses and transfer" in alone.inside("h2") and REMARK in alone.inside("strong")
    assert not [guess for guess in alone.inside("h4") if guess.startswith("“")] and len(alone.of("img")) == 1


def test_lenses_can_be_shown_without_summaries_or_manifests() -> None:
    bare = lensed(summaries=pd.DataFrame(), transfers=())
    assert len(bare.of("img")) == 5
    (row,) = [cells for cells in bare.rows if cells[0] == "words" and len(cells) == 9 and cells[1] == "–"]
    assert set(row[1:]) == {"–"}
