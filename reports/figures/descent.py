"""Steps down the loss: how much more often a step lowers the loss of its own unit than that of another unit, by depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..charts.marks import Reading, reading
from ..labels import UNTRAINED
from ..numbers import signed
from ..verdict.blocks import PAIRING, SAME_TARGET, descent_gradient
from ..verdict.source import Source
from .by_depth import Record
from .identity import controls_first, identities
from .sheet import RIGHT, Row, Sheet, Values
from .style import SOFT, shows

HEIGHT = 36.0
BESIDE = 80.0
"""Width of the words about the gradient."""
SCALES = (0.6, 1.0)
"""Half the height of the scale: the first that all values are within."""
SHOWN = ("block_index", "block", "depth", "segment", "mean", "lo", "hi", "n_units", "unit", "null_seed", "reason")
ByBlock = dict[int, list[Record]]
MEASURE, EFFECT = "descent_share", "descent_share_effect"


class Steps(NamedTuple):
    """The blocks of one network: shares as observed, what is beyond pairing, and the shares that stand beside it.

    Attributes:
        gradient: of which the shares are: "readout" where it says something of every block, else "output".
    """

    gradient: str
    observed: pd.DataFrame
    beyond: pd.DataFrame
    pairing: pd.DataFrame
    untrained: pd.DataFrame
    same_target: pd.DataFrame

    @property
    def tables(self) -> Sequence[pd.DataFrame]:
        return self[1:]


def descent(table: pd.DataFrame, *, target: str = "label", roles: Mapping[str, str] | None = None) -> Figure:
    """Descent share of steps beyond pairing by depth, one row for each network, beside untrained copies and same-target.

    Args:
        table: probes of any number of networks.
        target: what the loss is taken against.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure with one scale for all networks. All heights are differences from the share of pairing at that block: the line
        is the paired effect, the band is the share of untrained copies, the dotted line that of same-target, which is a
        question. Where the readout's gradient says something of every block it is that one, else the output's.

    Raises:
        NothingToDrawError: no step was compared with pairing.
    """
    rows = table[table["measure"].isin([MEASURE, EFFECT])]
    networks = {str(name): _steps(of, target) for name, of in rows.groupby("model", sort=False)}
    shown = [steps.beyond for steps in networks.values()]
    if not any(beyond["mean"].notna().any() for beyond in shown):
        raise NothingToDrawError(
            "No step was compared with pairing; it takes the probe alignment and the null pairing."
        )
    most = max(float(beyond["mean"].abs().max()) for beyond in shown if len(beyond))
    half = next((one for one in SCALES if most <= one), SCALES[-1])
    key = [("band", "untrained")] if any(len(steps.untrained) for steps in networks.values()) else []
    key += [("dots", "same-target, a question")] * any(len(steps.same_target) for steps in networks.values())
    drawn = {name: one for name, one in controls_first(identities(table), roles).items() if name in networks}
    title, words = "Steps down the loss, beyond pairing", "0: as often as pairing"
    sheet = Sheet(title, [*key, ("", words)], drawn, HEIGHT, (-half, half), "relative depth", beside=BESIDE)
    for name, row in sheet.rows.items():
        _row(row, networks[name])
    return shows(sheet.figure, *(rows for name in sheet.rows for rows in networks[name].tables))


def _steps(rows: pd.DataFrame, target: str) -> Steps:
    source = Source(rows, pd.DataFrame(), target)
    gradient = descent_gradient(source)
    of = {"gradient": gradient, "update": "update", "form": "gauge-free"}
    return Steps(
        gradient,
        source.rows(MEASURE, **of),
        source.rows(EFFECT, null=PAIRING, **of),
        *(source.rows(MEASURE, null=null, **of) for null in (PAIRING, UNTRAINED, SAME_TARGET)),
    )


def _row(row: Row, steps: Steps) -> None:
    row.levels(signed(row.scale[0], 1).replace("0.", "."), f"{row.scale[1]:.1f}".replace("0.", "."), zero=True)
    row.write(RIGHT + 25, row.name_at, f"{steps.gradient} gradient", SOFT, "right")
    level, untrained, same_target = map(_by_block, (steps.pairing, steps.untrained, steps.same_target))
    for line in _above_pairing(untrained, level):
        row.band(line[:, 0], line[:, 2], line[:, 3])
    for line in _above_pairing(same_target, level):
        row.dashes(line[:, 0], line[:, 1], "dots")
    beyond = steps.beyond[steps.beyond["mean"].notna()]
    if beyond.empty:
        why = steps.observed["reason"][steps.observed["reason"] != ""]
        row.note(str(why.iloc[0]).removeprefix("undefined: ") if len(why) else "not compared with pairing")
    else:
        for _, segment in beyond.groupby("segment"):
            row.line(*(segment[column].to_numpy(float) for column in ("depth", "mean", "lo", "hi")))
        last = float(beyond["mean"].iloc[-1])
        row.end(last, signed(last, 2).replace("0.", ".") if abs(last) < 0.995 else signed(last, 1))
        lacking = steps.observed[~steps.observed["block_index"].isin(beyond["block_index"])]
        row.missing(lacking["depth"].to_numpy(float))
    beside = (("pairing", level), ("untrained", untrained), ("same-target, a question", same_target))
    effects = _by_block(steps.beyond)
    for block, (one, *_) in _by_block(steps.observed).items():
        effect = effects.get(block, [None])[0]
        first = reading("beyond pairing", effect, str(one["reason"]).removeprefix("undefined: ") or "not compared")
        readings = [first, reading("share of steps down the loss", one)]
        for words, found in beside:
            readings += _readings(words, found.get(block, []))
        label = f"block {block}, {one['block']}, {steps.gradient} gradient"
        row.mark(float(one["depth"]), first.mean, "blocks", label, readings)


def _above_pairing(found: ByBlock, level: ByBlock) -> list[Values]:
    """Shares less that of pairing at the same block, all seeds together.

    Returns:
        For each segment (blocks, 4): depth, mean, least lower end and highest upper end.
    """
    lines: dict[int, list[tuple[float, float, float, float]]] = {}
    for block, rows in found.items():
        seeds = np.array([[one[name] for name in ("mean", "lo", "hi")] for one in rows], float)
        seeds = np.where(np.isnan(seeds), seeds[:, :1], seeds)  # a copy without an interval
        if block in level and not np.isnan(seeds).any():
            seeds -= float(level[block][0]["mean"])
            heights = (float(seeds[:, 0].mean()), float(seeds.min()), float(seeds.max()))
            lines.setdefault(int(rows[0]["segment"]), []).append((float(rows[0]["depth"]), *heights))
    return [np.array(line) for line in lines.values()]


def _by_block(rows: pd.DataFrame) -> ByBlock:
    """Block -> its rows, one for each seed."""
    found: ByBlock = {}
    for one in rows[list(SHOWN)].to_dict("records"):
        found.setdefault(int(one["block_index"]), []).append(one)
    return found


def _readings(words: str, rows: Sequence[Record]) -> list[Reading]:
    return [reading(words + (f", seed {int(one['null_seed'])}" if len(rows) > 1 else ""), one) for one in rows]
