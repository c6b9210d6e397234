"""Text: where documents and sequences begin, and what is refused."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from itinf import Block, Data, ItinfError, Network
from itinf.data.clusters import keyed_order, load_batch
from language.text import TokenSequences, split_documents, text

WIKITEXT = Path(__file__).parents[2] / "shared" / "data" / "wikitext2_test.txt"


def token_network(known: int = 256, context: int | None = 1024, prepare=None) -> Network:
    model = nn.Sequential(nn.Embedding(known, 4), nn.Identity(), nn.Linear(4, known))
    return Network(
        model,
        [Block("1")],
        layout="n t c",
        unit="token",
        head=model[2],
        prepare=prepare or (lambda content: torch.tensor(list(content.encode()))),
        context=context,
        name="bytes",
    )


def written(folder: Path, content: str | bytes, name: str = "file.txt") -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def decoded(ids: Tensor) -> str:
    return bytes(ids.tolist()).decode()


def sequences(*documents: str, length: int = 3) -> TokenSequences:
    named = [(str(index), document) for index, document in enumerate(documents)]
    return TokenSequences("mine", named, token_network(), length, {"own": 1})


def test_cut_positions_by_hand():
    data = sequences("abcdefgh", "AB", "0123", length=3)
    assert [(data.key(i), decoded(data[i][0]), decoded(data[i][1])) for i in range(len(data))] == [
        ("0/0", "abc", "bcd"),
        ("0/3", "def", "efg"),
        ("2/0", "012", "123"),
    ]
    # of 7 + 1 + 3 predictable tokens 9 are predicted: h (of the first) and B go
    assert {k: data.note[k] for k in ("own", "documents", "sequences", "tokens_predicted", "tokens_dropped")} == {
        "own": 1,
        "documents": 3,
        "sequences": 3,
        "tokens_predicted": 9,
        "tokens_dropped": 2,
    }


@pytest.mark.parametrize("length", [1, 2, 3, 7, 11])
def test_no_token_is_predicted_twice_and_no_document_crossed(length):
    texts = ["".join(chr(97 + i) for i in range(12)), "".join(chr(65 + i) for i in range(15))]
    data = sequences(*texts, length=length)
    predicted = "".join(decoded(data[i][1]) for i in range(len(data)))
    assert len(set(predicted)) == len(predicted)
    for i in range(len(data)):
        inputs, targets = data[i]
        assert inputs.dtype == targets.dtype == torch.int64
        whole = decoded(torch.cat([inputs[:1], targets]))
        assert len(whole) == length + 1 and any(whole in one for one in texts)


def test_is_data_that_batches(tmp_path):
    data = text(written(tmp_path, "abcdefgh" * 8), token_network(), length=5, seed=3)
    assert isinstance(data, Data)
    batch = load_batch(data, keyed_order(data, None, seed=0).indices)
    assert batch.inputs.shape == batch.targets.shape == (12, 5)  # 63 // 5
    assert data.name == "text:file.txt/all" and data.note["split"] == "all"


def test_one_file_is_one_split_whichever_is_asked_for(tmp_path):
    path = written(tmp_path, "abcdefgh" * 8)
    train, test = (text(path, token_network(), split=split, length=5) for split in ("train", "test"))
    assert train.name == test.name and train.key(1) == test.key(1)


@pytest.mark.parametrize(
    ("content", "rule", "documents"),
    [
        (" \n = One = \n \n a \n = = Part = = \n b \n \n = Two = \n \n c \n", "headings", 2),
        (" \n = One = \n \n where \n = x = \n and \n \n = Two = \n \n c \n", "headings", 2),
        ("preface\n\n = One = \n \n a \n", "whole", 1),
        ("a\fb\f\f c", "separators", 3),
        ("a<|endoftext|>b\n<|endoftext|>\n", "separators", 2),
        ("a\n\nb", "whole", 1),
    ],
)
def test_documents(content, rule, documents):
    found = split_documents(content)
    assert (found[0], len(found[1])) == (rule, documents)


def test_documents_keep_every_character_between_headings():
    content = " = One = \n \n a \n \n = Two = \n \n c \n"
    assert "\n".join(split_documents(content)[1]) == content


def test_a_byte_order_mark_is_no_text(tmp_path):
    data = text(written(tmp_path, b"\xef\xbb\xbfabcd"), token_network(), length=3)
    assert decoded(data[0][0]) == "abc"


def test_line_ends_are_no_difference(tmp_path):
    one, other = (written(tmp_path, f"ab{end}cd{end}" * 4, f"{len(end)}.txt") for end in ("\n", "\r\n"))
    first, second = (text(path, token_network(), length=3) for path in (one, other))
    assert first.note["ids"] == second.note["ids"] and torch.equal(first[1][0], second[1][0])


@pytest.mark.parametrize(("context", "length"), [(64, 64), (1024, 256), (None, 256)])
def test_default_length(tmp_path, context, length):
    assert text(written(tmp_path, "x" * 600), token_network(context=context)).length == length


def test_the_note_names_the_tokeniser(tmp_path):
    class Encoder:
        name = "bytes of mine"

        def __call__(self, content: str) -> Tensor:
            return torch.tensor(list(content.encode()))

    path = written(tmp_path, "abcdefgh")
    noted = text(path, token_network(prepare=Encoder()), length=3).note
    shifted = text(path, token_network(prepare=lambda content: Encoder()(content) + 1), length=3).note
    assert noted["tokeniser"] == "bytes of mine"
    assert noted["text"] == shifted["text"] and noted["ids"] != shifted["ids"]


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("", {}, "file.txt is empty"),
        ("  \n", {}, "file.txt is empty"),
        (b"ab\xff", {}, "file.txt is not UTF-8 (byte 2"),
        ("größe".encode("latin-1"), {}, "it may be latin-1"),
        ("text".encode("utf-16"), {}, "it may be UTF-16"),
        ("text".encode("utf-16-le"), {}, "has the character NUL at 1"),
        ("a\x00b", {}, "has the character NUL at 1"),
        ("\ufeff", {}, "file.txt is empty"),
        ("abcde", {"length": 9}, "5 tokens, and one sequence of length 9 needs 10. Give a length of at most 4."),
        ("abcdef", {"length": 2000}, "length 2000 were asked for; expected 1 … 1024"),
        ("abcdef", {"length": 0}, "length 0 were asked for"),
    ],
)
def test_refused_files(tmp_path, content, options, said):
    with pytest.raises(ItinfError) as caught:
        text(written(tmp_path, content), token_network(), **options)
    assert said in str(caught.value)


def test_refused_paths(tmp_path):
    written(tmp_path, "abc", "wikitext.txt")
    with pytest.raises(ItinfError, match=r"wikitxt\.txt.*Did you mean wikitext\.txt"):
        text(str(tmp_path / "wikitxt.txt"), token_network())
    with pytest.raises(ItinfError, match=f"{tmp_path.name}.* is a folder.*form feed"):
        text(str(tmp_path), token_network())
    with pytest.raises(ItinfError, match="text:FILE"):
        text(None, token_network())


def test_refused_networks(tmp_path):
    path = written(tmp_path, "abcdefgh")
    with pytest.raises(ItinfError, match="token id 104, but the head of bytes knows 0 … 99"):
        text(path, token_network(known=100), length=3)
    with pytest.raises(ItinfError, match=r"ids of shape \(1, 8\)"):
        text(path, token_network(prepare=lambda content: torch.tensor([list(content.encode())])), length=3)
    bare = token_network()
    bare.prepare = None
    with pytest.raises(ItinfError, match="bytes has no prepare"):
        text(path, bare, length=3)
    model = nn.Sequential(nn.Identity(), nn.Linear(3, 2))
    pictures = Network(model, [Block("0")], layout="n c h w", head=model[1], pool=lambda h: h.mean((2, 3)), name="net")
    with pytest.raises(ItinfError, match=r"file\.txt/all holds tokens, but net reads images"):
        text(path, pictures)


@pytest.mark.skipif(not WIKITEXT.is_file(), reason="no WikiText beside the project")
def test_wikitext_articles():
    data = text(str(WIKITEXT), token_network())
    assert (data.note["rule"], data.note["documents"]) == ("headings", 60)  # 62 lines look like headings
    assert decoded(data[0][0]).startswith(" = Robert <unk> = \n")
