"""A byte-level BPE tokenizer that is learned from text, like the tokenizer of GPT-2."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"


def learn(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Learns merges (Sennrich et al. 2016, arXiv 1508.07909; bytes as in Radford et al. 2019).

    Args:
        texts: texts to learn from; the same texts in the same order give the same tokenizer.
        vocabulary: total number of tokens: ``END_OF_TEXT``, the 256 bytes, and merges.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def wrapped(tokenizer: Tokenizer, context: int) -> PreTrainedTokenizerFast:
    """The tokenizer as a transformers object; its ``save_pretrained`` writes a standard Hugging Face folder."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        model_max_length=context,
    )
