"""What the values of the columns of text mean. docs/reference.md is made from it; nulls and kinds of lens describe themselves."""

from __future__ import annotations

STATISTICS = {
    "mean": "Mean over units.",
    "median": "Median over units.",
    "weighted": "Mean over units, each weighted by the residual of its loss: units whose loss is near zero count little.",
    "flattened": "One cosine for each sequence, over all its tokens at once; then the mean over sequences.",
    "ratio": "Ratio of sums over units.",
}
GRADIENTS = {
    "input": "Taken at the state before the block, through this block and all later ones. Predicts nothing exactly (Jastrzębski et al. 2018).",
    "output": "Taken at the state after the block; for a branch or part, at the sum that it is added to. Its dot product predicts the cost of "
    "deleting the block, to first order.",
    "readout": "Taken at the state before the block, through the readout or lens alone. Its dot product predicts the gain of the readout from the "
    "step; these gains telescope.",
}
UPDATES = {
    "update": "The state after the block minus the state before it.",
    "branch": "The vector that is added to the skip, before any ReLU.",
    "part": "One part of the block that is added by itself; the column part names it.",
}
FORMS = {
    "": "The only form of this measure.",
    "raw": "The plain cosine.",
    "centred": "The cosine after the means over units are subtracted.",
    "gauge-fixed": "The cosine in a basis that does not change when the weights are rewritten without changing the function: channel scales of "
    "BatchNorm networks, rotations of transformers.",
    "gauge-free": "From dot products alone, which no change of basis changes. Use it to compare architectures.",
    "gauge-matched": "Channels of the two states are first matched by their correlations, without labels.",
    "carried": "A counterfactual state: that of the earlier lens, and what the blocks between add for another cluster's unit at the same position "
    "(the retention that carrying alone brings, at least; what is added for others is noise, too).",
    "carried, same-target": "The same with what they add for a unit of another cluster with the same target.",
    "written": "The reverse: the state of the other unit, where the earlier lens was fitted, and what the blocks between add for this one.",
    "fitted on DATA": "The lens was fitted on these other data.",
    "finite": "With a nudge of 1 nat that runs through the rest of the network; the other form is exact to first order.",
    "best temperature": "Each state is read at the confidence β under which labels are likeliest, which every replicate chooses anew.",
    "same depth": "With the probability at the same state; the other form takes that of the last one.",
    "lag N": "Of two positions that stand N apart; the other form is of two that hold the same token.",
    "nearest": "The earlier position is the last one with the same token; the other form draws one of all.",
    "merged to N": "Blocks are merged into N steps, so that networks of different depth can be compared; the row is about the last block of a step.",
    "lesion": "The block adds nothing; where the branch alone is not known, it gives its input.",
    "swap": "The block and the next one run in the other order.",
    "repeat K × A": "The block runs K more times, each time with the share A of its update.",
    "repeat best": "The repeat that costs least on the other half of the clusters.",
    "again": "A block runs again in the place of the next one.",
    "loss": "Of the loss.",
    "error": "Of the share of wrong answers.",
    "length N": "Of paths that pass N branches.",
    "all lengths": "Added up over all lengths of paths.",
    "inserted": "Uniformly random tokens are inserted.",
    "detour": "Tokens that the network samples there itself are inserted.",
    "fresh": "Nothing is inserted, and what stands before is left out.",
    "detour − inserted": "Their difference for the same old tokens.",
    "random": "A closed loop in which uniformly random tokens are inserted.",
    "constant": "The same with one random token again and again.",
    "themed": "The same with tokens of one theme.",
    "1/3, 1/2, 2/3": "In rows of the onset: what one lens retains, and what persists, at least. 1/2 decides.",
}
TARGETS = {
    "": "No loss is taken.",
    "label": "The class, or the next token; for persistence, the nudge raises it.",
    "answer": "The network's own top-1.",
    "model": "The network's own final distribution.",
    "wrong": "Persistence: the most probable wrong class at that state.",
    "random": "Persistence: a random wrong class.",
}
SUBSETS = {
    "all": "All units.",
    "same token": "Earlier positions that hold the same token as the later one.",
    "right before": "Units that the readout has right at the state before the update; the state after it would select units by the outcome.",
    "wrong before": "The other units.",
    "borderline at N": "Units that are borderline at state N, see borderline_share; they are followed after it.",
    "k N": "Old tokens that come after so many old ones behind the insertion, such as k 5-8; k 0 is the first one.",
    "inserted tokens": "Those that are inserted.",
    "insertion N": "The N-th insertion of a closed loop.",
    "own tokens": "Tokens that the network wrote after the first insertion of a closed loop.",
    "first own tokens": "Of these, the first ones behind each insertion.",
    "later own tokens": "The others of these.",
    "borderline at the end": "Units that are borderline at the last state, which selects them by the outcome; for comparison.",
}
LENSES = {"shared, left out": "the shared lens, fitted without the state that it reads"}
"""Lenses that are no kind of their own."""
DIRECTIONS = {
    "forward": "A lens reads states after the one it was fitted at.",
    "backward": "States before it.",
    "both": "States on both sides.",
    "forward − backward": "Their difference, over pairs that have both.",
    "farther − nearer": "The same state read by a lens one state farther away, minus by the nearer one.",
    "other data": "A lens fitted on other data reads the states, each at its own depth or shared.",
    "one lens": "The shared lens, left out, over all states.",
    "one lens − rotated": "The same minus that of states rotated at random, over the same states.",
}
UNITS = {
    "image": "An image.",
    "token": "A token.",
    "text": "A whole text with one label.",
    "sequence": "A whole sequence of tokens, for the statistic flattened and for paths.",
}
VALUES = {
    "statistic": STATISTICS, "gradient": GRADIENTS, "update": UPDATES, "form": FORMS, "target": TARGETS, "subset": SUBSETS,
    "direction": DIRECTIONS, "unit": UNITS,
}  # fmt: skip
"""Column -> value -> what it means."""
