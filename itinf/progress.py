"""How a long measurement tells where it is."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, clusters done, and clusters in all."""


def silent(stage: str, done: int, total: int) -> None:
    """Tells nobody."""
