"""The words of the page, each defined once. A word elsewhere is a button that opens its definition in place."""

from __future__ import annotations

import re
from typing import NamedTuple

from markupsafe import Markup


class Term(NamedTuple):
    """A word, what it means in HTML, and the formula of a measure, in HTML."""

    word: str
    means: Markup
    formula: Markup = Markup("")

    @property
    def id(self) -> str:
        """Its place on the page."""
        return "term-" + re.sub(r"\W+", "-", self.word)


def _term(word: str, means: str, formula: str = "") -> Term:
    return Term(word, Markup(means), Markup(formula))


MEASURES = (
    _term(
        "descent share",
        "The share of units whose update has a positive product with −gradient: down the loss. No change of basis moves it.",
        "share of units with ⟨u, −g⟩ &gt; 0",
    ),
    _term(
        "alignment",
        "How far the update points down the loss: its cosine with −gradient. Positive is down. Papers often print the cosine "
        "with +gradient, which has the other sign.",
        "⟨u, −g⟩ / (|u|·|g|)",
    ),
    _term(
        "normalised alignment",
        "The same from dot products alone, so that no change of basis moves it: a step's product with its own gradient, "
        "beside the products of other pairs of units.",
        "m·⟨u<sub>i</sub>, −g<sub>i</sub>⟩ / (a<sub>i</sub>·b<sub>i</sub>), where a<sub>i</sub>², b<sub>i</sub>² and m² are the "
        "mean squares of ⟨u<sub>k</sub>, g<sub>i</sub>⟩, of ⟨u<sub>i</sub>, g<sub>k</sub>⟩ and of all pairs",
    ),
    _term(
        "gain",
        "Loss taken away, per unit. <em>First-order</em>, in nats: what the update’s product with −gradient predicts. "
        "<em>Realised</em>, in nats: how far the readout’s loss falls across the block. Through a lens, in bits: the same, read "
        "by the lens before and after.",
        "G = ℓ(z<sub>l−1</sub>) − ℓ(z<sub>l</sub>); first-order: ⟨u, −g⟩",
    ),
    _term(
        "efficiency",
        "Gain beside movement of the prediction that is read before and after a block, between −1 and 1. 0 is movement "
        "without gain, about ½ is calibrated new evidence, towards 1 is descent that knows the target, negative is harm.",
        "ΣG / (|ΣG| + ΣK), with movement K = KL(p<sub>l−1</sub> ‖ p<sub>l</sub>)",
    ),
    _term(
        "l2 ratio",
        "The length of the update beside that of the state before it, mean over units.",
        "|u| / |h<sub>l−1</sub>|",
    ),
    _term(
        "retention",
        "What a moved lens still tells, beyond how frequent the targets are, as a share of what the state’s own lens "
        "tells; each at its best confidence β, which halves of the units choose for each other. <em>Raw</em>: as confident as "
        "it is (β = 1).",
        "readable(i on j) / readable(j on j), with readable(i on j) = CE(π) − min<sub>β</sub> CE(π<sup>1−β</sup> · "
        "lens<sub>i</sub>(h<sub>j</sub>)<sup>β</sup>) and π the frequencies of targets",
    ),
    _term(
        "penalty",
        "Bits by which a lens moved to another state does worse than that state’s own.",
        "CE(lens<sub>i</sub> on h<sub>j</sub>) − CE(lens<sub>j</sub> on h<sub>j</sub>)",
    ),
    _term(
        "persistence",
        "What arrives at the end of a small nudge of what is read at a state: 1 is carried along, between 0 and 1 "
        "corrected, above 1 amplified, 0 not read by later blocks, negative undone.",
        "⟨∂ẑ<sub>v</sub>(h<sub>L</sub>)/∂h<sub>l</sub>, d⟩ / |d|², with d = ∂ẑ<sub>v</sub>(h<sub>l</sub>)/∂h<sub>l</sub>, and "
        "ẑ<sub>v</sub> the logit of class v less the mean of all",
    ),
    _term(
        "selectivity",
        "Whether later blocks take a unit’s own error back more than they take back what others believe wrongly. Each is "
        "persistence over carried alone.",
        "kept(another unit’s most probable wrong class) − kept(the unit’s own)",
    ),
    _term(
        "onset",
        "The first state whose step gains and from which on, to the end, every state is in the code and used, and no step "
        "harms. It counts the blocks before it.",
        "least l whose step gains more than pairing, with retention<sub>k</sub> ≥ ½, persistence<sub>k</sub> ≥ ½ and gain not "
        "below pairing at all k ≥ l",
    ),
    _term(
        "iterative depth",
        "The share of the blocks that come after the onset; 0 without an onset.",
        "1 − onset / L",
    ),
)
"""Measures, in the order in which they are explained."""

NULLS = (
    _term(
        "pairing",
        "The update of one unit with the gradient of another, over all pairs of a group: what agreement there is without "
        "anything that is the unit’s own.",
    ),
    _term(
        "untrained",
        "The same architecture with fresh weights: what the wiring alone gives. Of several copies, the highest judges.",
    ),
    _term(
        "rotated",
        "The null of one lens: the states of every depth are turned at random, which leaves own lenses as good as they were "
        "and no code in common.",
    ),
    _term(
        "carried alone",
        "The null of persistence: the same nudge added to the last state, unchanged. Norms grow with depth, so what is only "
        "carried fades, too.",
    ),
    _term(
        "same-target",
        "A question, and no verdict: the update of one unit with the gradient of another unit that has the same label or "
        "next token. Is the step the unit’s own or its class’s?",
    ),
    _term(
        "order-shuffled",
        "A question, and no verdict: the network’s own steps, added up in random order. Does their order matter?",
    ),
)
"""Nulls that judge, then the two that are questions."""

WORDS = (
    _term("unit", "An image, or a token whose next token is predicted. Accuracy and loss are means over units."),
    _term(
        "state",
        "What the network holds between two blocks: h<sub>0</sub> before the first, h<sub>L</sub> after the last.",
    ),
    _term(
        "update",
        "The state after a block minus the state before it, u = h<sub>l</sub> − h<sub>l−1</sub>; where a block changes the "
        "state’s shape there is none. The <em>branch</em> is what a block adds to its skip; its parts are attention and MLP.",
    ),
    _term(
        "segment", "A run of states of one width. Lenses move only inside it. Dotted lines in figures part segments."
    ),
    _term(
        "gradient",
        "Of the loss, always named. <em>Output</em>: at the state after the block. <em>Input</em>: at the state before it. "
        "<em>Readout</em>: at the state before it, if the network’s own readout (final norm, pool, head) were applied there.",
    ),
    _term(
        "form",
        "The metric of a cosine, which a network’s function does not fix. <em>Gauge-free</em>: from dot products alone; these "
        "may be compared across architectures. <em>Raw</em>: as it stands. <em>Centred</em>: means over units are taken off. "
        "<em>Gauge-fixed</em>: by a metric that the network’s own symmetries leave alone.",
    ),
    _term(
        "lens",
        "A readout fitted to an inner state: <em>own</em>, for each state; <em>one lens</em> (shared), one map for all states "
        "of a segment; <em>logit lens</em>, the network’s own readout on the state as it is.",
    ),
    _term("left out", "One lens, fitted on all states of its segment but the one that it reads."),
    _term(
        "channels matched",
        "(Gauge-matched.) The channels of the state that is read are paired, without labels, with those of the state the lens "
        "is of. States that may be turned as a whole, as GPT-2’s, have no channels to pair.",
    ),
    _term(
        "beyond a null",
        "Observed − null, with an interval of the difference over the same units; positive is more than the null. Bold and "
        "<span class='up'>blue</span> where the interval lies above zero, <span class='down'>orange</span> where below.",
    ),
    _term(
        "interval",
        "± is half a 95 % interval over clusters (images, whole sequences) of the one network measured. A band holds all blocks "
        "or states at once.",
    ),
    _term(
        "control",
        "A network whose answer is known: trained <em>yes</em>, built and trained to infer iteratively; trained <em>no</em>, "
        "without skips or untrained. A row that cannot tell them apart says so.",
    ),
    _term("undefined", "– is undefined or not measured. Each network says what is undefined for it, and why."),
)

TERMS = {term.word: term for term in (*WORDS, *MEASURES, *NULLS)}
"""Word -> term."""


def term(word: str, text: str = "") -> Markup:
    """The button that opens the definition of a word where it stands, without a script.

    Args:
        word: one of ``TERMS``.
        text: what the button says, by default the word.
    """
    return Markup('<button type="button" class="term" popovertarget="{}">{}</button>').format(
        TERMS[word].id, text or word
    )
