"""The language specimens: folders of small GPT-2s trained on the source code of the standard library."""

from pathlib import Path

FOLDER = Path(__file__).parent
SIZES = {"n_layer": 8, "n_embd": 192, "n_head": 6, "vocab_size": 2048, "n_positions": 256}
"""Fields of ``GPT2Config`` of both specimens; in ``iterative-gpt2`` the blocks are one."""
SMALL = {"n_layer": 4, "n_embd": 128, "n_head": 4}
"""Those of ``predictive-gpt2`` that differ."""
