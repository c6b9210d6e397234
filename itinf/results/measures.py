"""What every measure of itinf means: its unit, its range, and the reasons why it may be undefined. docs/reference.md is made from it."""

from __future__ import annotations

from dataclasses import dataclass

from . import reasons as why
from .reasons import Reason

BLOCK, STATE, SUMMARY = "block", "state", "network"
"""What a number is about; numbers of a whole network stand in the summaries."""


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        about: ``BLOCK``, ``STATE`` or ``SUMMARY``.
        meaning: one or two sentences.
        unit: of its numbers; "" for a pure number.
        range: what values it can have.
        undefined: why a row can have no value, beside ``ANYWHERE``.
    """

    about: str
    meaning: str
    unit: str = ""
    range: str = "any number"
    undefined: tuple[Reason, ...] = ()


ANYWHERE = (why.NO_UNIT, why.NO_PAIR, why.NOT_FINITE, why.TOO_FEW_CLUSTERS, why.NO_SPREAD)
"""Reasons that come from the data, and may be met with any measure."""
_UPDATE = (why.SHAPE_CHANGES, why.NO_BRANCH)
_READ = (why.NO_READOUT, why.NO_TRANSLATOR, why.OTHER_READOUT)
_READ_BOTH = (why.NO_READOUT_OF_BOTH, why.NO_TRANSLATOR_OF_BOTH, why.NO_TRANSLATOR, why.OTHER_READOUT)
_AT_BEST = (why.NO_BEST_TEMPERATURE,)
_GRADIENT = (*_UPDATE, *_READ, why.IDENTICALLY_ZERO)
_CHANGED = (why.SHAPE_CHANGES, why.NO_NEIGHBOUR)
_RETAINED = (
    why.LAST_UNRELIABLE,
    why.OWN_LENS_TELLS_LITTLE,
    why.OWN_LENS_UNCERTAIN,
    why.ONE_HALF_EMPTY,
    why.BEYOND_WINDOW,
)
_LATER = (why.NO_LATER_TOKENS, *_READ)
_CARRIED = (why.NO_SKIP_CARRIES, why.ALONE, why.NO_GAUGE)
_WRITES = (why.NO_NEXT_TOKEN, why.TOO_SHORT)
_ONSET = (why.NEVER, why.NOT_FINITE, why.TOO_FEW_CLUSTERS)

MEASURES: dict[str, Measure] = {
    # blocks
    "alignment": Measure(BLOCK, "Cosine of the update and the negative gradient of the unit's loss: positive points down the loss. "
        "With the statistic ratio, a scaled mean dot product that needs no basis.", "", "−1 … 1; any number with the statistic ratio",
        (*_GRADIENT, why.NO_MEAN, why.NO_GAUGE, why.NO_SKIPS)),
    "descent_share": Measure(BLOCK, "Share of units whose update points down the loss: ⟨update, −gradient⟩ > 0.", "", "0 … 1", _GRADIENT),
    "update_norm": Measure(BLOCK, "Length of the update divided by the length of the state that it is added to.", "", "≥ 0", _UPDATE),
    "first_order_gain": Measure(BLOCK, "⟨update, −gradient⟩: what the update lowers the loss by, to first order.", "nats", "any number", _GRADIENT),
    "realised_gain": Measure(BLOCK, "What the readout's loss falls by over the block.", "nats", "any number", (*_READ_BOTH, why.OTHER_WIDTH_AFTER)),
    "unexplained_gain": Measure(BLOCK, "Realised gain minus first-order gain of the gradient readout: the effect of the curvature.", "nats",
        "any number", (*_READ_BOTH, why.OTHER_WIDTH_AFTER)),
    "prediction_gain": Measure(BLOCK, "G: what the loss of the prediction falls by over the block; each state is read by its own readout or "
        "translator.", "bits", "any number", _READ_BOTH),
    "prediction_movement": Measure(BLOCK, "K: how far the prediction moves over the block, KL(before ‖ after).", "bits",
        "≥ 0", _READ_BOTH),
    "efficiency": Measure(BLOCK, "ΣG / (|ΣG| + ΣK): 0 is movement without gain, about ½ calibrated new evidence, near 1 descent that knows the "
        "target, negative harm.", "", "−1 … 1", _READ_BOTH),
    "block_gain": Measure(BLOCK, "The part of prediction_gain under the translator of the block's end alone.", "bits", "any number",
        (*_READ_BOTH, why.OTHER_WIDTH_BEFORE)),
    "lens_change_gain": Measure(BLOCK, "The rest of prediction_gain: what comes from the change of translator.", "bits", "any number",
        (*_READ_BOTH, why.OTHER_WIDTH_BEFORE)),
    "excess_movement": Measure(BLOCK, "E|p − p'|² − E[|p|² − |p'|²] of the predictions p' before and p after the block: 0 for beliefs that gather "
        "evidence, above 0 over-reaction, below 0 too small steps in one direction, or sharpening without evidence.", "", "−½ … 2", (*_READ_BOTH, *_AT_BEST)),
    "squared_movement": Measure(BLOCK, "E|p − p'|² of these predictions, beside which excess_movement is large or small.", "", "0 … 2", (*_READ_BOTH, *_AT_BEST)),
    "accuracy": Measure(BLOCK, "Top-1 accuracy of the network, in a row about the last block.", "", "0 … 1"),
    "loss": Measure(BLOCK, "Cross-entropy of the network, in a row about the last block.", "nats", "≥ 0"),
    # blocks, with an intervention
    "cost": Measure(BLOCK, "Loss of the network with an intervention at the block minus its loss without.", "bits", "any number", _CHANGED),
    "accuracy_cost": Measure(BLOCK, "Accuracy of the network without an intervention at the block minus its accuracy with it.", "", "−1 … 1", _CHANGED),
    "intervention_kl": Measure(BLOCK, "KL(output ‖ output with the intervention).", "bits", "≥ 0", _CHANGED),
    "agreement": Measure(BLOCK, "Share of units whose top-1 is the same with the intervention.", "", "0 … 1", _CHANGED),
    "predicted_cost": Measure(BLOCK, "The cost of a lesion to first order: first_order_gain with the gradient output.", "bits", "any number",
        (why.SHAPE_CHANGES,)),
    "direct_cost": Measure(BLOCK, "The cost of a lesion if later blocks did not answer: what it changes is added to the last state.", "bits",
        "any number", (why.SHAPE_CHANGES, why.OTHER_SHAPE)),
    "self_repair": Measure(BLOCK, "direct_cost − cost of a lesion: positive where later blocks make good for it; 0 at the last block.", "bits",
        "any number", (why.SHAPE_CHANGES, why.OTHER_SHAPE)),
    "repeated_norm": Measure(BLOCK, "Length of the state after the repeats of the block divided by its length before them.", "", "≥ 0",
        (why.SHAPE_CHANGES,)),
    # a token network with inserted tokens, in a row about the last block
    "excess": Measure(BLOCK, "Loss of old tokens k places behind inserted tokens (form inserted: random ones; detour: the network's own), or without "
        "what stands before them (fresh), minus their loss without insertion. That it falls to 0 is no recovery: see context_kept.", "bits",
        "any number", _WRITES),
    "surprise": Measure(BLOCK, "Loss of inserted tokens, or of the network's own tokens in a closed loop.", "bits", "≥ 0", _WRITES),
    "information": Measure(BLOCK, "Closed loop: what the network's own tokens cost more if what another run inserted is read in the places of the "
        "insertions. Positive in any network that reads its context.", "bits", "any number", _WRITES),
    "echo": Measure(BLOCK, "Closed loop: share of the network's own tokens that are among those inserted before them.", "", "0 … 1", _WRITES),
    # states, nudged
    "persistence": Measure(STATE, "What a small nudge of what is read at the state does at the end, for each nat of the nudge: 1 carried along, "
        "below 1 corrected, above 1 amplified, 0 not read later, negative undone.", "", "any number; 1 at the last state", _READ),
    "carried_alone": Measure(STATE, "The same nudge added to the last state unchanged: what persists if later blocks do nothing.", "",
        "any number; 1 without a last norm", (*_READ, why.OTHER_SHAPE)),
    "kept": Measure(STATE, "persistence / carried_alone: what the later blocks leave of the nudge.", "", "any number", (*_READ, why.OTHER_SHAPE)),
    "selectivity": Measure(STATE, "kept of another unit's most probable wrong class minus kept of the unit's own: positive where the own error "
        "is taken back more.", "", "any number", (*_READ, why.OTHER_SHAPE)),
    "finite_same_sign": Measure(STATE, "Share of units in which a nudge of 1 nat ends on the side that the first order says.", "", "0 … 1", _READ),
    # states, read as distributions
    "honesty": Measure(STATE, "E[p(label)] − E[Σ p²] of what is read at the state: 0 if it is calibrated, negative if overconfident, positive if it "
        "knows more than it says.", "", "−1 … ¼", (*_READ, *_AT_BEST)),
    "best_confidence": Measure(STATE, "β of π^{1−β} q^β under which labels are likeliest, of the reading q and the target frequencies π of its lens (equal "
        "ones without a lens): below 1 the reading is overconfident.", "", "≥ 0", (*_READ, *_AT_BEST)),
    # states of a token network with inserted tokens
    "context_kept": Measure(STATE, "Σ(loss without the old context − loss behind inserted tokens) / Σ(loss without the old context − loss without "
        "insertion): 1, all that the old context was worth is back; 0, as if it were lost; negative, worse.", "", "any number; at most about 1",
        (*_READ, *_WRITES, why.NOT_ABOVE_ZERO)),
    # states of a language model, with an earlier prediction raised
    "later_response": Measure(STATE, "χ: nats that the network's last logits give at a later position for each nat by which the state at an earlier one "
        "is raised, of the most probable wrong token there. Negative: what was predicted earlier is subtracted later. 0 at the last state.",
        "nats for each nat", "any number", _LATER),
    "later_response_total": Measure(STATE, "Σχ: the same raised at every earlier position, added up.", "nats for each nat", "any number", _LATER),
    "taught": Measure(STATE, "κ: what the later position gives the token more if it takes the place of the one that follows the earlier position: what its "
        "being true teaches. In a row about the last state.", "nats", "any number", (why.NO_LATER_TOKENS,)),
    "subtracted_share": Measure(STATE, "ρ = −Σχ / Σκ p(1 − p), p the probability of the token at the earlier position: 1 where predictions are subtracted "
        "as truths are added, 0 for copying, negative where earlier predictions are passed on.", "", "any number", (*_LATER, why.NOT_TAUGHT)),
    # states, as they are
    "variance_share": Measure(STATE, "tr Cov(D, h_K) / tr Var(h_K) of the step D to the state, in its segment with the last state h_K; of the first "
        "state itself there. Shares of a segment add up to 1.", "", "any number; mostly 0 … 1", _CARRIED),
    "carried_share": Measure(STATE, "1 − tr Var(h_K − h) / tr Var(h_K): what the state, as it is, predicts of the last one of its segment.", "",
        "at most 1", _CARRIED),
    "carried_share_scaled": Measure(STATE, "The same for the state times the one number that fits best.", "", "0 … 1", _CARRIED),
    "similarity": Measure(STATE, "Linear CKA of the state and the last one, without bias: 1 where they differ by a rotation, one scale and a shift, "
        "0 where they are independent.", "", "at most about 1", (why.NO_GAUGE,)),
    "concentration": Measure(STATE, "Σλ² / (Σλ)² over the eigenvalues λ of the covariance of the state: the share of the variance that a direction "
        "has, weighed by that share.", "", "1 / width … about 1", (why.NO_GAUGE,)),
    "estimation_error": Measure(STATE, "E|h − h_K|² / tr Var(h_K): the mean square distance from the last state of the segment.", "", "≥ 0", _CARRIED),
    "estimation_bias": Measure(STATE, "|E e| / √tr Var(e) of the error e = h − h_K: what all units share, beside what they do not.", "",
        "≥ 0, and less by chance", _CARRIED),
    "error_over_walk": Measure(STATE, "E|h − h_K|² over the sum of E|D|² of the steps that follow: 1 for uncorrelated steps, more where they keep "
        "their direction.", "", "0 … number of steps that follow", _CARRIED),
    "error_over_order": Measure(STATE, "E|h − h_K|² over its mean over all orders of the unit's own steps: below 1 where the large steps come first.",
        "", "≥ 0", _CARRIED),
    "straightness": Measure(STATE, "Σ|h_K − h_0| / ΣΣ|D| over the steps of a segment, in a row about its last state.", "", "0 … 1", _CARRIED),
    # states, read by the network itself, of chosen units
    "borderline_share": Measure(STATE, "Share of units that are borderline at the state: |p of the label − p of the best other class| / 2 < 0.1.", "",
        "0 … 1", (why.ALONE,)),
    "borderline_accuracy": Measure(STATE, "Share of the units of the subset that the network's own readout has right at the state.", "", "0 … 1",
        (why.ALONE,)),
    "borderline_loss": Measure(STATE, "Cross-entropy of the own readout of these units.", "bits", "≥ 0", (why.ALONE,)),
    "borderline_entropy": Measure(STATE, "Entropy of the own readout of these units.", "bits", "≥ 0", (why.ALONE,)),
    # the last run of blocks of one shape, in a row about the last state
    "convergence_index": Measure(STATE, "1 − 2 × the area under loss, or error, by depth, from 1 at the first state of the last run of blocks to 0 at the "
        "last: 1 gained at once, 0 evenly, −1 at the last step. No value where nothing is gained.", "", "any number; mostly −1 … 1", (why.NO_NEIGHBOUR, why.NOT_ABOVE_ZERO)),
    "recurrence_index": Measure(STATE, "1 − KL of neighbours in the other order, or of a block again in the place of the next, over KL without a block: 1 "
        "for equal steps, 0 where the other block does no better than none.", "", "at most 1", (why.NO_NEIGHBOUR, why.NOT_ABOVE_ZERO)),
    "divergence_index": Measure(STATE, "What further runs of the last block, as many as the last run has, lose of what this run gained: at most 0 stays or "
        "descends further, 1 all is lost.", "", "any number", (why.NO_NEIGHBOUR, why.NOT_ABOVE_ZERO)),
    # first states of segments, by the length of paths
    "path_share": Measure(STATE, "The part of the gradient that passes exactly so many branches on its way back: ⟨G_k, g⟩ / |g|². "
        "Over all lengths the shares add up to 1.", "", "any number; 1 in all", (why.NO_SKIP_PATH,)),
    "path_norm": Measure(STATE, "|G_k| / |g|, the norm of that part. Added up over all lengths it is 1 where they all point the same way, and more "
        "where they cancel.", "", "≥ 0",
        (why.NO_SKIP_PATH,)),
    "effective_path_length": Measure(STATE, "Σ k · path_share: how many branches the gradient passes on average. Half the number of blocks "
        "where branches are as strong as skips.", "branches", "any number", (why.NO_SKIP_PATH,)),
    "sampled_path_norm": Measure(STATE, "Norm of what one random path of this length brings, times the number of such paths, over |g| (Veit et "
        "al. 2016). It counts paths that cancel each other.", "", "≥ 0"),
    # states, read by a lens
    "lens_loss": Measure(STATE, "Cross-entropy of what the lens reads.", "bits", "≥ 0"),
    "lens_kl": Measure(STATE, "KL(final distribution ‖ what the lens reads).", "bits", "≥ 0"),
    "lens_entropy": Measure(STATE, "Entropy of what the lens reads.", "bits", "0 … log₂ of the number of classes"),
    "lens_agreement": Measure(STATE, "Share of units where the lens reads the network's final answer first.", "", "0 … 1"),
    "lens_accuracy": Measure(STATE, "Share of units where the lens reads the label first.", "", "0 … 1"),
    "lens_calibration_error": Measure(STATE, "Expected calibration error of what the lens reads, in 15 bins of confidence.", "", "0 … 1"),
    "lens_marginal_bias": Measure(STATE, "KL(mean final distribution ‖ mean of what the lens reads).", "bits",
        "≥ 0"),
    "prediction_depth": Measure(STATE, "Relative depth from which on the lens of each state gives the network's final answer, in a row about the "
        "last state.", "", "0 … 1"),
    "readable": Measure(STATE, "Information: what the loss of the lens falls by below that of the target frequencies, at its best temperature.",
        "bits", "any number", (why.ONE_HALF_EMPTY, why.BEYOND_WINDOW)),
    "transfer_penalty": Measure(STATE, "Loss of the lens at this state minus that of the state's own lens.", "bits"),
    "transfer_kl": Measure(STATE, "KL(what the state's own lens reads ‖ what this lens reads).", "bits", "≥ 0"),
    "retention": Measure(STATE, "readable of the lens divided by readable of the state's own lens, both at their best temperature.", "",
        "at most about 1", _RETAINED),
    "fitting_retention": Measure(STATE, "readable of the lens fitted on other data, which its form names, divided by readable of the same lens as it "
        "is transferred, both at this state.", "", "at most about 1", _RETAINED),
    "raw_retention": Measure(STATE, "Retention without the temperatures, so that a wrong scale counts.", "", "at most about 1", _RETAINED),
    "carried_at_most": Measure(STATE, "readable of an earlier state's lens where it was fitted, divided by readable of the state's own lens: what the "
        "earlier lens would retain if the blocks between left its code alone. A state that is still a summand cannot bring more.", "", "any number",
        _RETAINED),
    "surplus": Measure(STATE, "retention − carried_at_most: above 0 if the blocks between write in the code of the earlier lens, below 0 if they "
        "overwrite or rescale it.", "", "any number", _RETAINED),
    # summaries
    "iterative_depth": Measure(SUMMARY, "1 − onset / number of blocks; 0 without an onset.", "", "0 … 1", _ONSET),
    "onset": Measure(SUMMARY, "First state whose step gains and from which on, to the end, all states are in the code and used and no step harms.",
        "blocks before it", "0 … L − 1", _ONSET),
    "bits_at_onset": Measure(SUMMARY, "readable of the own lens at the onset.", "bits", "any number", _ONSET),
    "bits_after_onset": Measure(SUMMARY, "readable of the own lens at the last state minus that at the onset.", "bits", "any number", _ONSET),
}  # fmt: skip
"""Name -> measure, of all that come with itinf. With ``_effect`` behind its name, a measure is observed − null."""
STATE_MEASURES = tuple(name for name, measure in MEASURES.items() if measure.about == STATE)
"""Measures of states. In schema 1, ``index`` is a state for these measures, and a block for all others."""
