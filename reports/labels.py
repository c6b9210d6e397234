"""Names of measures, conventions, lenses and nulls, and how axes and the page write them."""

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
LOGIT, SHARED, LEFT_OUT = "logit", "shared", "shared, left out"
"""Lenses that are one map for several states."""
OWN_LENSES = ("affine", "tuned")
"""Lenses of which every state has its own, for rows about blocks: these do not say where their lens was fitted."""
MATCHED, ROTATED, UNTRAINED = "gauge-matched", "rotated", "untrained"


def cosine(kind: str, gradient: str) -> str:
    """The cosine of a kind of update with a named gradient.

    The `output` gradient of a branch or part is taken at the sum where it is added, before any ReLU. The other
    gradients are taken at the state it is added to; for a part this need not be the block's.
    """
    formula = GRADIENTS.get(gradient, "−gradient")
    if kind != "update" and gradient == "output":
        formula = "−∂ℓ/∂(the sum)"
    elif kind not in {"update", "branch"}:
        formula = formula.replace("hₗ₋₁", "(before)")
    return f"cos({kind}, {formula})"


def convention(**columns: str) -> str:
    """Columns and their values as "form: raw, target: label".

    Columns that are "" do not apply and are left out; so is subset "all".
    """
    return ", ".join(
        f"{column}: {value}" for column, value in columns.items() if value and (column, value) != ("subset", "all")
    )
