"""The exceptions for mistakes of the user, and the sentence that suggests valid names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ItinfError(ValueError):
    """A mistake that the user can correct. The message says what was given, what was expected, and what to do.

    The command line prints its message without a traceback and exits with code 2. Characters that would steer a
    terminal, such as those in the name of a file, are written as escapes.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__("".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in message))


class NoSplitError(ItinfError):
    """The data set has no split with this name."""


class UnknownEstimatorError(ItinfError):
    """Results use an estimator that no imported module defines. The results are not damaged: do not measure again."""


class TooFewError(ItinfError):
    """There are too few data to fit a lens, or to measure its transfer. A study can go on without lenses."""


def nearest(given: str, valid: Iterable[str]) -> str:
    """The sentence that ends a message about an unknown name.

    Args:
        given: the name that the user wrote.
        valid: all valid names.

    Returns:
        "Did you mean …?" if valid names are close to the given name, else the list of valid names.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(given, names, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(names) or 'none'}."
