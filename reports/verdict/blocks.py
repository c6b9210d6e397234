"""Claims about the steps of a network, block by block: they go down the loss, and gain."""

from __future__ import annotations

from ..labels import SHARED
from ..numbers import number
from .claim import Claim
from .places import Number, mean_of
from .source import Source, by_place
from .words import Evidence, Word

PAIRING, SAME_TARGET, SHUFFLED = "pairing", "same-target", "order-shuffled"


def descent_gradient(source: Source) -> str:
    """The readout's gradient where it says something of every block, else that of the output."""
    read = source.rows("descent_share", gradient="readout", update="update", form="gauge-free")
    return "readout" if len(read) and read["mean"].notna().all() else "output"


def _descent(source: Source, null: str) -> Evidence:
    gradient = descent_gradient(source)
    columns = {"gradient": gradient, "update": "update", "form": "gauge-free"}
    places = source.effects("descent_share", null, ceiling=True, **columns)
    share, beside = (by_place(source.rows("descent_share", **columns | {"null": n})) for n in ("observed", null))
    return Evidence(
        places,
        null=f"{gradient} gradient: share {_mean(share)}, {null} {_mean(beside)}",
        untrained=source.against_untrained("descent_share", **columns) if null == PAIRING else None,
        reason=source.why_not("descent_share"),
    )


def _gain(source: Source) -> Evidence:
    null = by_place(source.rows("prediction_gain", lens=SHARED, null=PAIRING))
    read = len(source.rows("prediction_gain", lens=SHARED))
    return Evidence(
        source.effects("prediction_gain", PAIRING, lens=SHARED),
        unit=" bits",
        null=f"{PAIRING} {_mean(null)} bits" if null else "",
        untrained=source.against_untrained("prediction_gain", lens=SHARED),
        reason="steps were not compared with pairing through one lens" if read else "it was not read through one lens",
    )


def _order(source: Source) -> Evidence:
    null = by_place(source.rows("efficiency", null=SHUFFLED))
    return Evidence(
        source.effects("efficiency", SHUFFLED, ceiling=True),
        null=f"own steps in random order {_mean(null)}" if null else "",
        reason=source.why_not("efficiency"),
    )


def _mean(found: dict[int, Number]) -> str:
    """The mean over blocks with a value."""
    mean = mean_of([one for one in found.values() if one.mean == one.mean]).mean
    return number(mean, 2)


DESCENT = Claim(
    "steps go down the loss",
    "Does a step lower the loss of its own unit more often than that of another unit?",
    lambda source: _descent(source, PAIRING),
    nulls="pairing, untrained",
    anchor="together",
    power=("descent share, readout gradient, beyond pairing",),
    order=20,
    scale=(-0.6, 0.6),
)
GAINS = Claim(
    "gains at every step under one lens",
    "Read by one lens, does every step add to what is known of the label?",
    _gain,
    nulls="pairing, untrained",
    anchor="four-figures",
    order=70,
    scale=(-1.0, 4.0),
)
OWN_OR_CLASS = Claim(
    "the unit's own, or its class's?",
    "Does a step lower the loss of its own unit more often than that of another unit with the same label?",
    lambda source: _descent(source, SAME_TARGET),
    nulls="same-target",
    power=("descent share, readout gradient, beyond same-target",),
    order=110,
    is_question=True,
    says={Word.YES: "the unit's own", Word.NO: "its class's", Word.REVERSE: "others of its class, more than its own"},
    scale=(-0.6, 0.6),
)
ORDER = Claim(
    "does order matter?",
    "Do the steps gain more for what they move in their own order than in a random one?",
    _order,
    nulls="own steps in random order",
    power=("efficiency of steps through the own readout, beyond order-shuffled",),
    order=120,
    is_question=True,
    says={Word.YES: "order matters", Word.NO: "order does not matter", Word.REVERSE: "a random order does better"},
    scale=(-1.0, 1.0),
)
