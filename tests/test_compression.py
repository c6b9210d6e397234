"""Bits per byte: models of known cost, and every token counted once in the window it is promised."""

import math
import shutil
import subprocess
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itinf import ItinfError
from language.compression import bits_per_byte, xz_bits_per_byte
from language.gpt2 import gpt2
from tolerance import rounding

VOCABULARY = 50


def coder(logits, context):
    """What ``bits_per_byte`` needs of a network; one token a character. ``logits``: ids (T,) -> (T, VOCABULARY)."""

    def model(ids):
        assert ids.shape[0] == 1 and 0 < ids.shape[1] <= context
        return SimpleNamespace(logits=logits(ids[0])[None])

    return SimpleNamespace(
        model=model,
        context=context,
        head=torch.nn.Linear(1, VOCABULARY),
        prepare=lambda text: torch.tensor([ord(c) % VOCABULARY for c in text]),
    )


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 12))
def test_uniform_logits_cost_log2_of_the_vocabulary_a_token(length, context):
    text = "é" * length  # two bytes each
    bits, tokens = bits_per_byte(coder(lambda ids: torch.full((len(ids), VOCABULARY), 3.0), context), text)
    assert tokens == length
    assert bits == pytest.approx(math.log2(VOCABULARY) / 2, rel=rounding(torch.float32, VOCABULARY + context))


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.sampled_from([0.01, 0.5, 0.9]))
def test_a_model_that_knows_the_next_token_with_probability_q(length, context, q):
    def logits(ids):
        """Probability q of the successor."""
        others = torch.full((len(ids), VOCABULARY), math.log((1 - q) / (VOCABULARY - 1)))
        return others.scatter(1, (ids[:, None] + 1) % VOCABULARY, math.log(q))

    text = "".join(chr(VOCABULARY + i % VOCABULARY) for i in range(length))
    bits, _ = bits_per_byte(coder(logits, context), text)
    expected = math.log2(VOCABULARY) - (length - 1) * math.log2(q)
    assert bits * len(text.encode()) == pytest.approx(expected, rel=rounding(torch.float32, VOCABULARY + context))


@pytest.fixture(scope="module", params=[8, 7, 2, 1])
def network(request):
    """A GPT-2 of that context, its weights large enough that every place in it matters."""
    made = gpt2("random:1", n_layer=2, n_embd=16, n_head=2, vocab_size=256, n_positions=request.param)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for values in made.model.parameters():
            values.add_(torch.randn(values.shape, generator=draw), alpha=0.3)
    return made


def test_against_every_token_by_itself(network):
    context, half = network.context, max(network.context // 2, 1)
    text = "".join(chr(32 + i * i * 7 % 90) for i in range(6 * context + 1))
    for length in (*range(1, 2 * context + 3), 2 * context + half, *range(5 * context - 1, 5 * context + 3)):
        ids = network.prepare(text[:length])
        bits = math.log2(256)
        for t in range(1, length):
            start = max(0, math.ceil((t - context) / half) * half)  # of the first window that predicts token t
            assert start == 0 or half <= t - start <= context
            with torch.no_grad():
                logits = network.model(ids[None, start:t]).logits[0, -1]
            bits -= float(logits.double().log_softmax(0)[ids[t]]) / math.log(2)
        ours, tokens = bits_per_byte(network, text[:length])
        assert tokens == length
        assert ours * length == pytest.approx(bits, rel=1e-5), length


def test_progress_ends_at_the_last_token():
    calls = []
    uniform = coder(lambda ids: torch.zeros(len(ids), VOCABULARY), 8)
    bits_per_byte(uniform, "a" * 30, progress=lambda *call: calls.append(call))
    # 9 tokens in the first window, then 4 more in each
    assert calls == [("compressing", done, 30) for done in (9, 13, 17, 21, 25, 29, 30)]


def test_an_empty_text_is_refused():
    with pytest.raises(ItinfError, match=r"given an empty text.*one character or more"):
        bits_per_byte(coder(torch.zeros_like, 8), "")


@pytest.mark.skipif(not shutil.which("xz"), reason="xz is not installed")
@pytest.mark.parametrize("text", ["a", "naïve façade, 日本\n" * 40, "".join(map(str, range(20_000)))])
def test_xz_is_as_long_as_the_command_says(text):
    # one thread: with more, xz writes the sizes of its blocks as well
    packed = subprocess.run(["xz", "-9e", "-T1", "-c"], input=text.encode(), capture_output=True, check=True).stdout
    assert xz_bits_per_byte(text) == 8 * len(packed) / len(text.encode())
