"""The command line, for ``python -m itinf`` and ``torchrun -m itinf``."""

import sys
from pathlib import Path

# A user's own reports/ or vision.py in the working directory must not be imported in place of ours.
if sys.path and sys.path[0] in ("", str(Path.cwd())) and Path.cwd() != Path(__file__).resolve().parents[1]:
    del sys.path[0]

from .cli.app import main

main()
