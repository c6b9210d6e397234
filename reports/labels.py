"""How measures and their conventions are written on an axis."""

from __future__ import annotations

GRADIENTS = {"input": "−∂ℓ/∂hₗ₋₁", "output": "−∂ℓ/∂hₗ", "readout": "−∂ℓ(readout)/∂hₗ₋₁"}
STATISTICS = {
    "mean": "mean",
    "median": "median",
    "weighted": "residual-weighted mean",
    "flattened": "per sequence (flattened)",
    "ratio": "ratio",
}
GAUGE_FREE = {
    "descent_share": ("mean", "descent share", "share with ⟨{kind}, −g⟩ > 0"),
    "alignment": ("ratio", "normalised alignment", "m·⟨{kind}, −g⟩ / (a·b)"),
}
GAINS = {
    "first_order_gain": "first-order gain",
    "realised_gain": "realised gain",
    "unexplained_gain": "unexplained gain (realised − first-order)",
}
PREDICTION = {
    "prediction_gain": ("gain", "G, bits per unit"),
    "prediction_movement": ("movement", "K, bits per unit"),
    "efficiency": ("efficiency", "ΣG / (|ΣG| + ΣK)"),
}
OWN_LENSES = ("affine", "tuned")
"""Kinds of lens of which every state has its own."""
SHARED, LEFT_OUT = "shared", "shared, left out"
MATCHED, ROTATED, UNTRAINED = "gauge-matched", "rotated", "untrained"
OF_STATES = (
    "lens_loss",
    "lens_kl",
    "lens_entropy",
    "lens_agreement",
    "lens_accuracy",
    "lens_calibration_error",
    "lens_marginal_bias",
    "prediction_depth",
    "readable",
    "transfer_penalty",
    "transfer_kl",
    "retention",
    "raw_retention",
)
"""Measures whose ``index`` numbers states, 0 before the first block, not blocks."""
NO_SKIPS = "no_skips"
"""Code of the reason for which a network without skips has no gauge-fixed form."""


def cosine(kind: str, gradient: str) -> str:
    """The cosine of a kind of update with a named gradient.

    A branch or part meets its `output` gradient at the sum where it is added, before any ReLU, and the
    others at the state it is added to, which for a part need not be the block's.
    """
    formula = GRADIENTS.get(gradient, "−gradient")
    if kind != "update" and gradient == "output":
        formula = "−∂ℓ/∂(the sum)"
    elif kind not in {"update", "branch"}:
        formula = formula.replace("hₗ₋₁", "(before)")
    return f"cos({kind}, {formula})"


def said(**convention: str) -> str:
    """Columns and their values as "form: raw, target: label"; what is "" does not apply, subset "all" is understood."""
    return ", ".join(
        f"{column}: {value}" for column, value in convention.items() if value and (column, value) != ("subset", "all")
    )
