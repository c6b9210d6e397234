"""The columns of every table: their types, and what they mean. docs/reference.md is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TEXT, INTEGER, OPTIONAL_INTEGER, NUMBER, OPTIONAL_TRUTH = "str", "int64", "Int64", "float64", "boolean"
BYTES = "object"
"""Types of columns. An ``OPTIONAL_INTEGER`` or ``OPTIONAL_TRUTH`` may be missing; a ``TEXT`` is "" in rows where it does not apply."""


@dataclass(frozen=True)
class Column:
    """One column: ``kind`` is its type, ``meaning`` a sentence."""

    kind: str
    meaning: str


def kinds(columns: Mapping[str, Column]) -> dict[str, str]:
    """Name -> type."""
    return {name: column.kind for name, column in columns.items()}


RESULTS = {
    "schema": Column(INTEGER, "Version of these columns."),
    "model": Column(TEXT, "Name of the network in this study."),
    "modality": Column(TEXT, "image or language."),
    "skips": Column(OPTIONAL_TRUTH, "Whether blocks pass their input on; missing where this was not found out."),
    "block": Column(TEXT, 'Name of the block that the row is about; "" in a row about a state.'),
    "block_index": Column(OPTIONAL_INTEGER, "Number of the block, 1 … L; missing in a row about a state."),
    "state": Column(TEXT, 'Name of the state that the row is about; "" in a row about a block.'),
    "state_index": Column(OPTIONAL_INTEGER, "Number of the state, from 0, before the first block; missing in a row about a block."),
    "depth": Column(NUMBER, "Relative depth: 0 before the first block, 1 after the last one."),
    "part": Column(TEXT, "Part of the block that is added by itself, such as attention or mlp."),
    "segment": Column(INTEGER, "Number of the segment, a run of states of one width."),
    "lens": Column(TEXT, "What reads the state: a lens, or \"\" for the network's own readout."),
    "fitted_at": Column(OPTIONAL_INTEGER, "state_index at which the lens was fitted; missing without a lens, and for a lens of many states."),
    "measure": Column(TEXT, "What was measured, see below; with _effect behind it, observed − null."),
    "statistic": Column(TEXT, "What mean is, see below."),
    "gradient": Column(TEXT, "Which gradient the update is compared with."),
    "update": Column(TEXT, "Which update."),
    "form": Column(TEXT, "Which form of the measure."),
    "target": Column(TEXT, "What the loss is taken against, or which class is nudged."),
    "subset": Column(TEXT, "Which units."),
    "null": Column(TEXT, "What replaces the observation; observed where nothing does."),
    "null_seed": Column(OPTIONAL_INTEGER, "Seed of an untrained network; missing for other nulls."),
    "unit": Column(TEXT, "What is counted: image, token, text, or a whole sequence."),
    "mean": Column(NUMBER, "The estimate; the column statistic says of what kind."),
    "lo": Column(NUMBER, "Lower end of its 95 % interval over clusters."),
    "hi": Column(NUMBER, "Upper end."),
    "band_lo": Column(NUMBER, "Lower end of a 95 % band that holds for all blocks, or states, at once."),
    "band_hi": Column(NUMBER, "Upper end."),
    "n_units": Column(INTEGER, "Units, or pairs of units, that the estimate uses."),
    "n_missing": Column(OPTIONAL_INTEGER, "Units that have no value; missing for pairs, for subsets, and for rows about states, which may measure a "
        "share of the clusters."),
    "n_clusters": Column(INTEGER, "Clusters (images or whole sequences) that the estimate uses."),
    "reason": Column(TEXT, "Why there is no value, or no interval, in a sentence."),
    "reason_code": Column(TEXT, "The same as a code, see below."),
}  # fmt: skip
"""Of measures.parquet. A row is about a block or about a state."""


def _same(*names: str) -> dict[str, Column]:
    return {name: RESULTS[name] for name in names}


_REASON = _same("reason", "reason_code")
_CELLS = Column(INTEGER, "Cells that the mean is over; states, in rows of the onset.")
_MODEL_NUMBER = _same("model", "measure", "lens", "form", "target", "null", "null_seed")

SUMMARIES = {
    **_MODEL_NUMBER,
    "direction": Column(TEXT, "Which lens reads which state, see below."),
    "distance": Column(INTEGER, "States between the fitted and the read one; 0 for every distance."),
    "share": Column(NUMBER, "The same in relative depth, mean over the cells; in rows of the onset, the threshold."),
    **_same("mean", "lo", "hi"),
    "cells": _CELLS,
    "median": Column(NUMBER, "Median over the cells."),
    "least": Column(NUMBER, "Least of the cells."),
    "most": Column(NUMBER, "Most of the cells."),
    "limit": Column(TEXT, "In rows of the onset: what fails before it. State k is the one after k blocks."),
    **_REASON,
}
"""Of summaries.parquet: numbers of a whole network, of transfers and of the onset. Bits are per unit."""

REPLICATES = {
    **_same("measure", "lens"),
    "state_index": Column(INTEGER, RESULTS["state_index"].meaning),
    "replicate": Column(INTEGER, "Number of the bootstrap replicate; 0 is the plain value."),
    "value": Column(NUMBER, "Its value."),
}
"""Of the replicates of a transfer."""

GROUPS = {
    "group": Column(TEXT, "Group of networks, whose unit is the trained network."),
    "minus": Column(TEXT, 'Group that is subtracted; "" for a mean.'),
    "networks": Column(INTEGER, "Networks in the group."),
    "networks_minus": Column(INTEGER, "Networks in the subtracted group."),
    **_same("measure", "statistic", "gradient", "update", "part", "form", "target", "subset", "null", "lens", "unit"),
    "direction": SUMMARIES["direction"],
    "distance": Column(OPTIONAL_INTEGER, SUMMARIES["distance"].meaning),
    **_same("block_index", "state_index", "fitted_at"),
    "cells": Column(OPTIONAL_INTEGER, _CELLS.meaning),
    "mean": Column(NUMBER, "Mean over the networks, or the difference of two means."),
    "lo": Column(NUMBER, "Lower end of its 95 % interval over networks: where another training would lie."),
    "hi": Column(NUMBER, "Upper end."),
    "p": Column(NUMBER, "p of a permutation test over networks, for a difference."),
    "least_p": Column(NUMBER, "Least p that so many networks can reach."),
    "headline": Column(TEXT, 'Words of a number that answers first whether groups differ; "" for others.'),
    **_REASON,
}
"""Of groups.parquet."""

POWER = {
    "measure": Column(TEXT, "The measure, in words."),
    **_same("model", "modality"),
    "role": Column(TEXT, "yes for a control that should pass, no for one that should fail, \"\" for others."),
    "mean": Column(NUMBER, "Its value for this network, larger for more iterative inference."),
    **_same("lo", "hi"),
    "verdict": Column(TEXT, "Whether the measure tells the controls apart: tells, cannot tell, points the other way; \"\" where not tested."),
}  # fmt: skip
"""Of power.parquet."""

TRAJECTORIES = {
    "item": Column(INTEGER, "Number of the text or picture, from 0."),
    "position": Column(INTEGER, "Number of the token whose next token is predicted, from 0; 0 for a picture."),
    "input": Column(OPTIONAL_INTEGER, "Number of that token; missing for a picture."),
    "input_text": Column(TEXT, "That token."),
    "state": Column(INTEGER, "Number of the state, from 0, before the first block."),
    "state_name": Column(TEXT, "Name of the state."),
    "depth": Column(NUMBER, "Relative depth: 0 before the first block, 1 after the last one."),
    "reader": Column(TEXT, "What reads the state: own, shared or logit."),
    "lens": Column(TEXT, "Kind of the lens that reads it."),
    "rank": Column(INTEGER, "Rank of the class in the reading, from 1."),
    "class": Column(INTEGER, "Number of the class or token."),
    "text": Column(TEXT, "Its name."),
    "probability": Column(NUMBER, "Its probability in the reading."),
    "truth": Column(OPTIONAL_INTEGER, "Number of the right class; missing where it is not known."),
    "truth_text": Column(TEXT, "Its name."),
    "truth_rank": Column(OPTIONAL_INTEGER, "Its rank in the reading."),
    "truth_probability": Column(NUMBER, "Its probability in the reading."),
    "entropy": Column(NUMBER, "Entropy of the reading, in bits."),
    "divergence": Column(NUMBER, "Bits lost if the final prediction is right and the reading is used in its place."),
}
"""Of ``itinf.trajectory``: one row for each of the likeliest classes of a reading."""

EXAMPLES = TRAJECTORIES | {
    "rule": Column(TEXT, "The rule that chose the item."),
    "name": Column(TEXT, "Name of the item."),
    "chosen_from": Column(INTEGER, "Number of units it was chosen from."),
    "read_by": Column(TEXT, "The lens in words."),
    "picture": Column(BYTES, "The picture as PNG; missing for a text."),
}
"""Of ``examples.parquet``."""
