"""The one exception a user's mistake raises, and the nearest valid names for it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ItinfError(ValueError):
    """A mistake the user can mend: says what was given, what was expected, and what to do.

    The command line prints its message without a traceback and exits with code 2.
    """


class UnknownEstimatorError(ItinfError):
    """Results hold an estimator that no imported module defines; they are sound, and must not be made again."""


class NoSplitError(ItinfError):
    """The data have no split of that name, though they may have others."""


class TooFewError(ItinfError):
    """There are too few data for what was asked, which a study may do without."""


def nearest(given: str, valid: Iterable[str]) -> str:
    """The sentence that ends a message about an unknown name.

    Args:
        given: the name as the user wrote it.
        valid: every name that would have been accepted.

    Returns:
        "Did you mean …?" where something is close, else the list of valid names.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(given, names, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(names) or 'none'}."
