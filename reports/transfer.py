"""Lenses by depth, and how they transfer: heat-maps, retention against distance, one lens for every depth."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itinf.errors import ItinfError

from .conventions import LEFT_OUT, MATCHED, OWN_LENSES, ROTATED, SHARED, UNTRAINED, said
from .matrix import colour_bar, explain, hatching, matrix, scale
from .series import choose, require
from .style import INK, MARKERS, NULLS, PALETTE, grid, key, literal, shorten, title, wrap

ACROSS = 5
"""Networks side by side; more of them go on below."""
SQUARE = 8.7
"""Inches of a figure's width that matrices have; their panels are about square."""
LENSES = {
    "affine": (PALETTE[0], "o", "own affine lens"),
    "tuned": (PALETTE[0], "o", "own tuned lens"),
    SHARED: (PALETTE[2], "D", "one lens, fitted on all depths"),
    LEFT_OUT: (PALETTE[4], "^", "one lens, fitted without this depth"),
    "logit": (PALETTE[1], "s", "logit lens: no translator"),
}
QUALITY = {
    "lens_kl": "KL(final ‖ lens)\nbits per unit",
    "lens_loss": "cross-entropy\nbits per unit",
    "lens_agreement": "agreement with\nthe final top-1",
    "lens_calibration_error": "calibration error",
    "lens_marginal_bias": "marginal bias, KL\nbits",
}
ALONG = "relative depth"
KINDS = {"": "", MATCHED: "channels matched", UNTRAINED: "untrained"}


def lenses(table: pd.DataFrame) -> Figure:
    """How well each state can be read: one row per network, one column per measure.

    Args:
        table: transfers of any number of networks.

    Returns:
        A Figure; bars are 95 % intervals. Own lenses of untrained networks stand beside.

    Raises:
        ItinfError: a column or every measure is not in the table.
    """
    rows = choose(table, tuple(QUALITY))
    wide = {m for m, some in rows.groupby("measure") if "bits" in QUALITY[str(m)] and some["mean"].max() > 10}
    models, measures = list(rows["model"].unique()), [m for m in QUALITY if m in set(rows["measure"])]
    figure, panels = grid(len(models), len(measures), height=1.7)
    for model, across in zip(models, panels, strict=True):
        for measure, axes in zip(measures, across, strict=True):
            here = rows[(rows["model"] == model) & (rows["measure"] == measure)]
            observed = _where_fitted(here[here["null"] == "observed"])
            for lens, (colour, marker, name) in LENSES.items():
                _line(axes, observed[observed["lens"] == lens], colour, name, marker)
            untrained = _where_fitted(here[(here["null"] == UNTRAINED) & here["lens"].isin(OWN_LENSES)])
            for _, one in untrained.groupby("null_seed"):
                _line(axes, one, NULLS[UNTRAINED], "untrained: own lens", ".")
            known = here["mean"].dropna()
            if measure in wide:
                axes.set_yscale("symlog", linthresh=1.0, linscale=0.5)
                axes.yaxis.set_major_formatter("{x:g}")
            axes.set_ylim(bottom=min(0.0, known.min()) if len(known) else 0.0)
            axes.set_ylabel(QUALITY[measure] + (" (log beyond 1)" if measure in wide else ""), fontsize=7)
            _depth(axes, here)
        title(across[0], model)
    key(figure)
    return figure


def transfer(table: pd.DataFrame, *, measure: str = "retention", target: str = "label") -> Figure:
    """Matrices of what a lens fitted at one state keeps at another, side by side.

    First as it is moved; then with the channels of the state matched to those it was fitted on, without
    labels; then in untrained networks, which know nothing of labels: there always of their own answers.

    Args:
        table: transfers of any number of networks.
        measure: "retention", "raw_retention", "readable", "transfer_penalty" or "transfer_kl".
        target: of what is kept: "label", or "model", what the state tells of the network's own final
            distribution. Penalties have one target.

    Returns:
        A Figure; rows are where the lens was fitted, columns where it reads. Missing cells are hatched by
        their reason; pairs between which nothing can be moved are grey.

    Raises:
        ItinfError: a column, the measure or the target is not in the table.
    """
    rows = choose(table, (measure,))
    rows = rows[rows["fitted_at"] != ""]
    several = rows["target"].nunique() > 1
    if several:
        require(rows, "target", target)
    aims = {kind: "model" if kind == UNTRAINED else target for kind in KINDS}
    found = {(model, kind): cells for kind in KINDS for model, cells in _matrices(rows, kind, aims[kind], several)}
    if not found:
        raise ItinfError(f"The table has {measure} of single lenses, but none of one state moved to another.")
    models = [model for model in rows["model"].unique() if any(name == model for name, _ in found)]
    shown = pd.concat(found.values())
    colours, hatches, empty = scale(measure, shown["mean"]), hatching(shown), False
    kinds = [kind for kind in KINDS if any(of == kind for _, of in found)]
    lines = [models[start : start + ACROSS] for start in range(0, len(models), ACROSS)]
    if len(models) == 1:  # one network: its kinds side by side
        places = {(0, column): (models[0], kind) for column, kind in enumerate(kinds)}
        figure, panels = grid(1, max(len(kinds), 3), height=SQUARE / 3 + 0.5)
    else:
        places = {
            (number * len(kinds) + row, column): (model, kind)
            for number, line in enumerate(lines)
            for column, model in enumerate(line)
            for row, kind in enumerate(kinds)
        }
        across = max(min(len(models), ACROSS), 3)
        figure, panels = grid(len(lines) * len(kinds), across, height=SQUARE / across + 0.5)
    for (row, column), axes in (
        (place, panels[place]) for place in pd.MultiIndex.from_product(map(range, panels.shape))
    ):
        which = places.get((row, column))
        if which not in found:
            axes.set_axis_off()
            if which is not None:
                why = f"{shorten(which[0], 26)}\n{KINDS[which[1]] or 'as it is'}:\nnot measured"
                axes.text(0.5, 0.5, literal(why), ha="center", va="center", fontsize=7, transform=axes.transAxes)
            continue
        cells, (model, kind) = found[which], which
        empty |= matrix(axes, cells, colours, hatches)
        axes.set_xlabel(f"state that is read\n{int(cells['n_units'].max()):,} {cells['unit'].iloc[0]}s", fontsize=7)
        if not column:
            axes.set_ylabel("state the lens is of", fontsize=7)
        said_of = ", ".join(filter(None, (KINDS[kind], said(target=aims[kind]) if several else "")))
        axes.set_title(literal(f"{shorten(model, 26)}\n{said_of}"), loc="left", fontsize=7, color=INK)
    explain(figure, hatches, empty)
    colour_bar(figure, colours)
    return figure


def retention(table: pd.DataFrame, *, summaries: pd.DataFrame | None = None, target: str = "label") -> Figure:
    """What transfers, all networks on one axis: own lenses against distance, one lens for all by depth.

    Args:
        table: transfers of any number of networks.
        summaries: of the same transfers, for the intervals of means; without them there are none.
        target: "label", or "model", the network's own final distribution; of untrained ones always that.

    Returns:
        A Figure. Above, own lenses moved: as they are, with channels matched, in untrained networks. Below,
        one lens fitted without the depth it reads: as it is, with every depth rotated, in untrained networks.

    Raises:
        ItinfError: a column, the measure or the target is not in the table.
    """
    rows = choose(table, ("retention",))
    require(rows, "target", target)
    means = _means(rows) if summaries is None or summaries.empty else _distances(summaries)
    figure, panels = grid(2, 3, height=2.6)
    looks = {
        model: (PALETTE[place % len(PALETTE)], literal(shorten(str(model))), MARKERS[place % len(MARKERS)])
        for place, model in enumerate(rows["model"].unique())
    }
    above = (
        ("own lenses, moved as they are", "", "observed", target),
        ("own lenses, channels matched", MATCHED, "observed", target),
        ("untrained: own lenses moved", "", UNTRAINED, "model"),
    )
    for axes, (name, form, null, aim) in zip(panels[0], above, strict=True):
        some = means[(means["form"] == form) & (means["null"] == null) & (means["target"] == aim)]
        _each(axes, some, looks, lambda one: one.sort_values("share").assign(depth=one["share"], segment=0))
        axes.set_ylabel(f"retention, mean over pairs\n{said(target=aim)}")
        _unit(axes, "distance, share of depth")
        title(axes, name)
    below = (
        ("one lens, that depth left out", "observed", target),
        ("null: the same, depths rotated", ROTATED, target),
        ("untrained: one lens, left out", UNTRAINED, "model"),
    )
    for axes, (name, null, aim) in zip(panels[1], below, strict=True):
        some = rows[(rows["lens"] == LEFT_OUT) & (rows["null"] == null) & (rows["target"] == aim)]
        _each(axes, some, looks, lambda one: one.sort_values("index"))
        axes.set_ylabel(f"retention\n{said(target=aim)}")
        _unit(axes, ALONG)
        title(axes, name)
    key(figure, columns=5)
    return figure


def _matrices(rows: pd.DataFrame, kind: str, target: str, several: bool) -> list[tuple[str, pd.DataFrame]]:
    """Of each network the cells of one kind; of untrained networks the first."""
    form, null = (MATCHED, "observed") if kind == MATCHED else ("", kind or "observed")
    own = rows["fitted_at"] == rows["index"].astype(int).astype(str)
    some = rows[((rows["form"] == form) | (own & (form != ""))) & (rows["null"] == null)]
    if kind == MATCHED:  # a state matched to itself stays as it is
        some = some[some["model"].isin(rows.loc[rows["form"] == MATCHED, "model"])]
    if several:
        some = some[some["target"] == target]
    some = some[some["null_seed"] == some.groupby("model")["null_seed"].transform("min")]
    return [(str(model), cells) for model, cells in some.groupby("model", sort=False)]


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """By distance, as the summaries have them, but without intervals."""
    moved = rows[(rows["fitted_at"] != "") & (rows["fitted_at"] != rows["index"].astype(int).astype(str))]
    depths = rows.drop_duplicates(["model", "index"]).set_index(["model", "index"])["depth"]
    fitted = moved["fitted_at"].astype(int)
    there = depths.reindex(pd.MultiIndex.from_arrays([moved["model"], fitted])).to_numpy()
    moved = moved.assign(distance=(moved["index"] - fitted).abs(), share=(moved["depth"] - there).abs())
    by = ["model", "form", "target", "null", "null_seed", "distance"]
    found = moved[moved["mean"].notna()].groupby(by, sort=False)[["share", "mean"]].mean().reset_index()
    return found.assign(lo=float("nan"), hi=float("nan"))


def _distances(summaries: pd.DataFrame) -> pd.DataFrame:
    both = summaries[(summaries["measure"] == "retention") & (summaries["direction"] == "both")]
    return both[both["distance"] > 0]


def _each(
    axes: Axes,
    rows: pd.DataFrame,
    looks: dict[str, tuple[str, str, str]],
    ordered: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    """A line for each network, and for each seed of a null."""
    for (model, _), one in rows.groupby(["model", "null_seed"], sort=False):
        _line(axes, ordered(one), *looks[str(model)])
    if not rows["mean"].notna().any():
        axes.text(0.5, 0.5, wrap("nothing to show: not measured, or no network has enough to retain"), fontsize=7,
                  ha="center", va="center", transform=axes.transAxes)  # fmt: skip


def _where_fitted(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per state: lenses of one state where they were fitted, others wherever they read."""
    at_home = (rows["fitted_at"] == "") | (rows["fitted_at"] == rows["index"].astype(int).astype(str))
    return rows[at_home & (rows["form"] == "")].sort_values("index")


def _line(axes: Axes, rows: pd.DataFrame, colour: str, label: str, marker: str = "o") -> None:
    if not rows["mean"].notna().any():
        return
    # segments do not share a lens, so no line runs from one to the next
    for number, (_, some) in enumerate(rows.groupby("segment")):
        named = label if not number else None
        axes.plot(some["depth"], some["mean"], color=colour, marker=marker, ms=3, lw=1.2, label=named)
        axes.vlines(some["depth"], some["lo"], some["hi"], color=colour, lw=1.2, alpha=0.7)


def _depth(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set_xlim(-0.02, 1.04)
    axes.set_xticks([0, 0.5, 1])
    axes.tick_params(labelsize=7)
    counted = rows[rows["null"] == "observed"] if (rows["null"] == "observed").any() else rows
    axes.set_xlabel(f"{ALONG}, {int(counted['n_units'].max()):,} {counted['unit'].iloc[0]}s", fontsize=7)


def _unit(axes: Axes, along: str) -> None:
    """Retention runs from nothing to all."""
    axes.axhline(0, color=INK, lw=0.7, zorder=1)
    axes.axhline(1, color=INK, lw=0.7, ls=":", zorder=1)
    axes.set_ylim(-0.1, 1.1)
    axes.set_xlim(0, 1.04)
    axes.set_xlabel(along)
