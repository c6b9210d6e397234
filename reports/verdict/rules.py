"""When each word of the verdict table is said, in the order in which they are tried; thresholds are those that decide."""

from __future__ import annotations

from .places import CEILING, MARGIN
from .words import CLEARLY, MEANINGS, Word

TIMES = {2: "twice"}.get(CLEARLY, f"{CLEARLY} times")
_CEILING = f"{CEILING:.2f}".removeprefix("0")
RULES = {
    Word.UNDEFINED: "no block or state has a value; the most frequent reason is named",
    Word.FEW: "there are values, and none has an interval",
    Word.NO_ROOM: f"in more than half of the blocks or states the null is {_CEILING} or more; below that, only they are left out",
    Word.NO: f"both the mean with its interval and the mean of the sizes are within ± {MARGIN}, and not all say yes",
    Word.REVERSE: f"the whole interval of the mean is below 0, and at least {TIMES} as many bands lie below 0 as say yes",
    Word.SAME: "what is beyond the first null is nowhere beyond the further ones, or its mean not beyond the highest untrained copy’s",
    Word.YES: "every block or state is beyond every null: the band of its difference lies above 0, or above the half it needs",
    Word.MIXED: f"fewer than {TIMES} as many say yes as the reverse, or both are there and the yeses are neither first nor last",
    Word.PART: "some say yes; first, last, or how many of them, is said",
    Word.LITTLE: "more than half of the bands lie above 0 and below the half that is needed",
    Word.OPEN: "none of these",
}


def rules() -> list[tuple[str, str, str, str]]:
    """For each word its shape, the word, what it means, and when it is said."""
    return [(word.shape, word.value[1], MEANINGS[word], rule) for word, rule in RULES.items()]
