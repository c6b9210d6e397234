"""The language specimen: the folder of a small GPT-2 trained on the source code of the standard library."""

from pathlib import Path

FOLDER = Path(__file__).parent
