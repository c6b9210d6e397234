"""The reasons why a row has no value: a code for programs and a sentence for readers."""

from __future__ import annotations

from dataclasses import dataclass


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
NO_SKIPS = Reason("no_skips", "every layer has a gauge of its own: update cosines are not properties of the function")
LAST_UNRELIABLE = Reason("last_unreliable", "undefined: the last state predicts nothing reliably")
OWN_LENS_TELLS_LITTLE = Reason("own_lens_tells_little", "own lens tells under 5 % of what the last state's tells")
OWN_LENS_UNCERTAIN = Reason("own_lens_uncertain", "own lens too uncertain")
ONE_HALF_EMPTY = Reason("one_half_empty", "too few clusters: lenses' temperatures take two halves of them")
BEYOND_WINDOW = Reason("beyond_window", "the best temperature is not among those at which the lens was read")
NO_UNITS = Reason("no_units", "no unit has a target")
OVERFLOW = Reason("overflow", "the numbers are too large to compute with")
NO_INTERVAL = Reason("no_interval", "no interval: too few clusters or replicates")

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
        NO_SKIPS,
        LAST_UNRELIABLE,
        OWN_LENS_TELLS_LITTLE,
        OWN_LENS_UNCERTAIN,
        ONE_HALF_EMPTY,
        BEYOND_WINDOW,
        NO_UNITS,
        OVERFLOW,
        NO_INTERVAL,
    )
}
"""Code -> reason, for the probes and lenses of itinf."""
OTHER = "other"
"""Code of a reason that has only a sentence."""


def reason_of(sentence: str) -> Reason:
    """The known reason with this sentence, or a new reason with the code "other"."""
    by_sentence = {reason.sentence: reason for reason in REASONS.values()}
    return by_sentence.get(sentence, Reason(OTHER, sentence))
