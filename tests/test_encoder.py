"""Text becomes ids as by the model's own tokenizer, special tokens included, or not at all."""

import json

import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from itinf import ItinfError
from language import bpe
from language.encoder import TOKENIZER, encoder
from language.gpt2 import gpt2

CONFIG = "tokenizer_config.json"
TEXT = "for a in range(3): print(a)"


def tokenizer(template: str | None = None) -> Tokenizer:
    learned = bpe.learn([TEXT * 20], 270)
    learned.add_special_tokens(["<s>", "</s>"])
    if template is not None:
        tokens = [(token, learned.token_to_id(token)) for token in ("<s>", "</s>")]
        learned.post_processor = TemplateProcessing(single=template, special_tokens=tokens)
    return learned


@pytest.mark.parametrize("flag", [None, False, True])  # transformers does not look at it beside a tokenizer.json
@pytest.mark.parametrize(
    ("template", "first", "last", "said"),
    [
        (None, "", "", ""),
        ("<s> $A", "<s>", "", ", adds <s> before a text"),
        ("$A </s>", "", "</s>", ", adds </s> after a text"),
        ("<s> $A </s>", "<s>", "</s>", ", adds <s> before a text and </s> after a text"),
    ],
)
def test_special_tokens_are_those_of_transformers(template, first, last, said, flag, tmp_path):
    own = tokenizer(template)
    PreTrainedTokenizerFast(tokenizer_object=own, bos_token="<s>", eos_token="</s>").save_pretrained(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text()) | ({} if flag is None else {"add_bos_token": flag})
    (tmp_path / CONFIG).write_text(json.dumps(config))
    expected = own.encode(TEXT, add_special_tokens=False).ids
    expected = [own.token_to_id(first)] * bool(first) + expected + [own.token_to_id(last)] * bool(last)
    ours = encoder(tmp_path, 300)
    assert ours(TEXT).tolist() == expected
    assert ours(TEXT).tolist() == AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)(TEXT).input_ids
    assert ours.name.split("#")[1][16:] == said


def test_a_missing_tokenizer_is_refused_when_text_is_read(tmp_path):
    with pytest.raises(ItinfError, match=rf"no {TOKENIZER}.*tokenizer=bytes"):
        encoder(tmp_path, 300)(TEXT)
    assert bytes(encoder(tmp_path, 300, "bytes")(TEXT).tolist()).decode() == TEXT
    with pytest.raises(ItinfError, match="tokenizer is 'utf'; expected bytes"):
        gpt2(tokenizer="utf")


def test_a_tokenizer_with_more_ids_than_the_model(tmp_path):
    """A padding token beyond the vocabulary is harmless; ids beyond it are not."""
    own = tokenizer()
    own.save(str(tmp_path / TOKENIZER))
    size = own.get_vocab_size()
    assert encoder(tmp_path, size - 2)(TEXT).max() < size - 2
    with pytest.raises(ItinfError, match=f"gives id {size - 1}, but the model's vocabulary ends at {size - 2}"):
        encoder(tmp_path, size - 1)("</s>")


@pytest.mark.parametrize("content", ["", "[", "{}", '"text"', '{"version": "1.0"}'])
def test_a_damaged_tokenizer_is_refused(content, tmp_path):
    (tmp_path / TOKENIZER).write_text(content)
    with pytest.raises(ItinfError, match="cannot be read as a tokenizer"):
        encoder(tmp_path, 300)
