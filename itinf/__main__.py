"""The command line: ``itinf``, ``python -m itinf`` and ``torchrun -m itinf``."""

import sys
from pathlib import Path

# A user's own reports/ or vision.py in the working directory must not be imported in place of ours.
_HERE = Path.cwd()
if __name__ == "__main__" and sys.path[:1] in ([""], [str(_HERE)]) and Path(__file__).resolve().parents[1] != _HERE:
    del sys.path[0]


def main() -> None:
    """Listens to signals before anything slow is loaded, then runs the command."""
    from itinf.cli.signals import listen

    listen()
    from itinf.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
