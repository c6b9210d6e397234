"""The language specimen: a small GPT-2 trained on the standard library's source, a Hugging Face folder beside this file."""

from pathlib import Path

FOLDER = Path(__file__).parent
