"""The byte-level BPE tokenizer: what is in it, and that no text is lost."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from language.bpe import END_OF_TEXT, learn, wrapped

TEXTS = [f"def plus{i}(value, other={i}):\n    return value + other * {i * i}\n" for i in range(60)]
LEARNED = learn(TEXTS, 400)
WRAPPED = wrapped(LEARNED, 64)


def test_the_vocabulary_is_end_of_text_256_bytes_and_merges():
    vocabulary = LEARNED.get_vocab()
    assert sorted(vocabulary.values()) == list(range(400))
    assert vocabulary[END_OF_TEXT] == 0
    assert {vocabulary[byte] for byte in pre_tokenizers.ByteLevel.alphabet()} == set(range(1, 257))


def test_no_merges_is_one_token_a_byte():
    bytewise = learn(TEXTS, 257)
    assert bytewise.get_vocab_size() == 257
    assert len(bytewise.encode("naïve 日本\n").ids) == len("naïve 日本\n".encode())


def test_the_first_merge_is_of_the_most_frequent_pair():
    assert learn(["xyxyxy xyxy", "xyab"], 258).id_to_token(257) == "xy"


def test_merges_shorten_what_they_were_learned_from():
    assert len(LEARNED.encode("".join(TEXTS)).ids) < len("".join(TEXTS)) / 2


@settings(deadline=None)
@given(st.text())
@example(" leading, trailing \t\n\n")
@example("can 't , stop .  'm")  # what a tokenizer that tidies up would change
@example(f"a{END_OF_TEXT}b")
@example("\0\x7f\ufeff\U0010ffff")
def test_every_text_comes_back(text):
    ids = LEARNED.encode(text).ids
    assert LEARNED.decode(ids, skip_special_tokens=False) == text
    assert WRAPPED.encode(text) == ids
    assert WRAPPED.decode(ids) == text


def test_the_same_texts_give_the_same_tokenizer():
    assert learn(iter(TEXTS), 400).to_str() == LEARNED.to_str()
    assert learn([text.upper() for text in TEXTS], 400).to_str() != LEARNED.to_str()


def test_the_wrapped_form_knows_the_context_and_the_end():
    assert WRAPPED.model_max_length == 64 and len(WRAPPED) == 400
    assert WRAPPED.bos_token_id == WRAPPED.eos_token_id == 0
