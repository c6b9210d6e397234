"""The reasons why a row has no value: a code for programs and a sentence for readers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..statistics.intervals import MIN_CLUSTERS
from ..statistics.nulls import OBSERVED


@dataclass(frozen=True)
class Reason:
    """The reason why a row has no value; a probe can define its own.

    Attributes:
        code: for programs.
        sentence: for readers.
    """

    code: str
    sentence: str


SHAPE_CHANGES = Reason("shape_changes", "the block changes the state's shape")
NO_BRANCH = Reason("no_branch", "no module puts out the branch alone")
NO_READOUT = Reason("no_readout", "the readout does not fit the state's width; it takes a lens")
NO_READOUT_OF_BOTH = Reason("no_readout_of_both", "the readout does not fit both states; it takes a lens")
NO_TRANSLATOR = Reason("no_translator", "the lens has no translator for the state")
NO_TRANSLATOR_OF_BOTH = Reason("no_translator_of_both", "the lens has no translator for both states")
OTHER_WIDTH_AFTER = Reason("other_width_after", "the lens of the block's start does not fit the width of its end")
OTHER_WIDTH_BEFORE = Reason("other_width_before", "the lens of the step's end does not fit the width of its start")
OTHER_READOUT = Reason("other_readout", "the lens was fitted on another readout")
IDENTICALLY_ZERO = Reason("identically_zero", "identically zero: the loss is least at the network's own distribution")
NO_MEAN = Reason("no_mean", "no mean was calibrated")
NO_GAUGE = Reason(
    "no_gauge", "no change of basis is known to leave the function as it is, so no cosine is fixed by one"
)
NO_SKIPS = Reason("no_skips", "every layer has a gauge of its own: update cosines are not properties of the function")
NO_SKIP_CARRIES = Reason("no_skip_carries", "every layer has a basis of its own: no skips")
ALONE = Reason("alone", "no state before or after it has its width")
LAST_UNRELIABLE = Reason("last_unreliable", "undefined: the last state predicts nothing reliably")
OWN_LENS_TELLS_LITTLE = Reason("own_lens_tells_little", "own lens tells under 5 % of what the last state's tells")
OTHER_SHAPE = Reason("other_shape", "what is added at this state does not fit the last state's shape and segment")
NO_NEIGHBOUR = Reason("no_neighbour", "no block of the same shape follows directly, to change places with")
NO_SKIP_PATH = Reason("no_skip_path", "a block from here to the end has no skip that can be told from its branch")
NO_LATER_TOKENS = Reason("no_later_tokens", "it needs a causal language model that reads ids of tokens")
NOT_TAUGHT = Reason(
    "not_taught",
    "not clearly above zero: what a true token teaches later, or how far the state holds it for more probable than chance",
)
NO_UNIT = Reason("no_unit", "no unit has a value: none is in the subset, or the vectors of all are zero")
NO_PAIR = Reason("no_pair", "no unit has a partner with which the null has a value")
NOT_FINITE = Reason(
    "not_finite", "the quotient is not a finite number: what it is divided by is zero, or a value is infinite"
)
NOT_ABOVE_ZERO = Reason("not_above_zero", "undefined: what it is divided by is not clearly above 0")
NO_NEXT_TOKEN = Reason("no_next_token", "the network predicts no next token: it reads no tokens, or sees later ones")
TOO_SHORT = Reason("too_short", "the sequences are too short for it")
TOO_FEW_CLUSTERS = Reason("few_clusters", f"no interval: fewer than {MIN_CLUSTERS} clusters")
NO_SPREAD = Reason("no_spread", "no interval: too few replicates have a value")
OWN_LENS_UNCERTAIN = Reason("own_lens_uncertain", "own lens too uncertain")
ONE_HALF_EMPTY = Reason("one_half_empty", "too few clusters: lenses' temperatures take two halves of them")
ONE_NETWORK = Reason("one_network", "no interval: one network says nothing about other trainings")
NETWORKS_AGREE = Reason("networks_agree", "no interval: the networks do not differ")
NOT_IN_ALL = Reason("not_in_all", "not every network of the group has this number")
NEVER = Reason("never", "no onset: no step gains from which on all states are in the code and used, and no step harms")
BEYOND_WINDOW = Reason("beyond_window", "the best temperature is not among those at which the lens was read")
NO_BEST_TEMPERATURE = Reason(
    "no_best_temperature", "no best temperature: the loss still falls at the last one that was tried, or is not finite"
)

REASONS: dict[str, Reason] = {
    reason.code: reason
    for reason in (
        SHAPE_CHANGES,
        NO_BRANCH,
        NO_READOUT,
        NO_READOUT_OF_BOTH,
        NO_TRANSLATOR,
        NO_TRANSLATOR_OF_BOTH,
        OTHER_WIDTH_AFTER,
        OTHER_WIDTH_BEFORE,
        OTHER_READOUT,
        IDENTICALLY_ZERO,
        NO_MEAN,
        NO_GAUGE,
        NO_SKIPS,
        NO_SKIP_CARRIES,
        ALONE,
        LAST_UNRELIABLE,
        OWN_LENS_TELLS_LITTLE,
        OWN_LENS_UNCERTAIN,
        OTHER_SHAPE,
        NO_NEIGHBOUR,
        NO_SKIP_PATH,
        NO_LATER_TOKENS,
        NOT_TAUGHT,
        NO_UNIT,
        NO_PAIR,
        NOT_FINITE,
        NOT_ABOVE_ZERO,
        NO_NEXT_TOKEN,
        TOO_SHORT,
        TOO_FEW_CLUSTERS,
        NO_SPREAD,
        ONE_HALF_EMPTY,
        BEYOND_WINDOW,
        NO_BEST_TEMPERATURE,
        ONE_NETWORK,
        NETWORKS_AGREE,
        NOT_IN_ALL,
        NEVER,
    )
}
"""Code -> reason, for the probes and lenses of itinf."""
OTHER = "other"
"""Code of a reason that has only a sentence."""


def reason_of(sentence: str) -> Reason:
    """The known reason with this sentence, or a new reason with the code "other"."""
    by_sentence = {reason.sentence: reason for reason in REASONS.values()}
    return by_sentence.get(sentence, Reason(OTHER, sentence))


def why_nothing(mean: float, lo: float, units: int, clusters: int, null: str = OBSERVED) -> Reason | None:
    """Why an estimate or its interval is missing; None if both are there.

    Args:
        mean, lo: the estimate and the lower end of its interval; missing if not finite.
        units, clusters: how many of them the estimate uses.
        null: the null of the row.
    """
    if not math.isfinite(mean):
        return NOT_FINITE if units else NO_UNIT if null == OBSERVED else NO_PAIR
    if not math.isfinite(lo):
        return TOO_FEW_CLUSTERS if clusters < MIN_CLUSTERS else NO_SPREAD
    return None
