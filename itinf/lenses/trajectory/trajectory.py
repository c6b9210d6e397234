"""``trajectory``: what a network would predict at every depth, item by item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

from ...data.dataset import IGNORED
from ...errors import ItinfError
from ...networks.network import Network, require_network
from ...networks.states import sites
from ...networks.trace import Trace, trace
from ...results.columns import OPTIONAL_INTEGER
from ...results.schema import TRAJECTORY_DTYPES
from ...results.trajectory import READERS, Trajectory
from ..kinds import lens_kind
from ..lens import Lens, require_lens, require_readout
from .given import given
from .readings import Reading, readings

OWN, SHARED, LOGIT = READERS


def trajectory(network: Network, inputs: Any, lens: Lens | Sequence[Lens] | None = None) -> Trajectory:
    """Reads what a network would predict at every depth.

    Args:
        network: the network.
        inputs: a text, the path of a picture or a PIL image, which ``network.prepare`` makes its input; inputs as a
            tensor ((C, H, W) or (N, C, H, W), or ids (T,) or (N, T)); an item of a data set; or an ``itinf.Batch``. A token's
            truth is the next token, unless a batch or an item has targets.
        lens: a lens of this network, or several: one with a translator for each state ("own"), one shared ("shared").
            The network's own readout ("logit") always reads the states of the last state's width.

    Raises:
        ItinfError: an input that the network cannot read, or a lens that does not fit it.
    """
    require_network(network)
    readers = readers_of(network, lens)
    items = given(network, inputs)
    traced = trace(network, items.batch, gradients=False)
    found = readings(traced, readers)
    return trajectory_of(traced, found, readers, units_of(traced), items.names, items.pictures)


def trajectory_of(
    traced: Trace,
    found: Sequence[Reading],
    readers: dict[str, Lens | None],
    units: pd.DataFrame,
    names: Sequence[str],
    pictures: Sequence[bytes | None],
) -> Trajectory:
    """A trajectory from what was read.

    Args:
        traced: the pass; ``found``: what was read in it; ``readers``: see ``readers_of``.
        units: the R units of the readings, in their order, see ``units_of``.
        names, pictures: of the items.
    """
    network, table = traced.network, _table(traced.network, found, readers, units)
    fits = table.loc[table["reader"] == LOGIT, "state"].nunique()
    own = f"the network's own readout, which fits {fits} of {len(sites(traced))} states"
    in_words = {name: own if one is None else repr(one) for name, one in readers.items()}
    return Trajectory(network.name, network.weights, table, tuple(names), tuple(pictures), in_words)


def readers_of(network: Network, lens: Any) -> dict[str, Lens | None]:
    """Reader -> its lens, in the order own, shared, logit; see ``trajectory``.

    Raises:
        ItinfError: what is no lens, a lens of another network, or two lenses for one reader.
    """
    lenses = [] if lens is None else list(lens) if isinstance(lens, Sequence) and not isinstance(lens, str) else [lens]
    readers: dict[str, Lens | None] = {}
    for one in lenses:
        require_lens(one)
        require_readout(network, one)
        name = _reader(one)
        if name in readers or name == LOGIT:
            other = "the network's own readout" if name == LOGIT else f"the {readers[name].kind} lens"  # type: ignore[union-attr]
            raise ItinfError(
                f"The {one.kind} lens and {other} would both be read as {name!r}. Give one lens with a translator for each "
                "state, one shared lens, or both."
            )
        readers[name] = one
    return {name: readers[name] for name in (OWN, SHARED) if name in readers} | {LOGIT: None}


def _reader(lens: Lens) -> str:
    try:
        kind = lens_kind(lens.kind)
    except ItinfError:  # of a package that is not installed here
        return OWN
    return LOGIT if kind.name == LOGIT else SHARED if kind.shared else OWN


def units_of(traced: Trace) -> pd.DataFrame:
    """One row for each unit of a pass: item, position, the token that is read, and the truth where it is known."""
    positions = torch.cartesian_prod(*(torch.arange(size) for size in traced.targets.shape))
    units = pd.DataFrame({"item": positions[:, 0].numpy(), "position": positions[:, 1].numpy(), "input": _ids(traced)})
    truth = pd.Series(traced.targets.flatten().cpu().numpy(), dtype=OPTIONAL_INTEGER)
    return units.assign(truth=truth.mask(truth == IGNORED))


def _table(
    network: Network, found: Sequence[Reading], readers: dict[str, Lens | None], units: pd.DataFrame
) -> pd.DataFrame:
    """All readings as rows, in order of item, position, state, reader and rank."""
    units = units.assign(
        input_text=_texts(network, units["input"].tolist()), truth_text=_texts(network, units["truth"].tolist())
    )
    frames = [_rows(units, reading, readers[reading.reader]) for reading in found]
    table = pd.concat(frames, ignore_index=True)
    order = {name: place for place, name in enumerate(readers)}
    keys = [table["item"], table["position"], table["state"], table["reader"].map(order), table["rank"]]
    table = table.iloc[pd.concat(keys, axis=1).sort_values([k.name for k in keys], kind="stable").index]
    table["text"] = _texts(network, table["class"].tolist())
    return table[list(TRAJECTORY_DTYPES)].reset_index(drop=True)


def _rows(units: pd.DataFrame, reading: Reading, lens: Lens | None) -> pd.DataFrame:
    """The rows of one reading: every unit, every rank."""
    total, top = reading.classes.shape
    rows = units.loc[units.index.repeat(top)].reset_index(drop=True)
    rows["state"], rows["state_name"], rows["depth"] = reading.number, reading.site.name, reading.site.depth
    rows["reader"], rows["lens"] = reading.reader, "" if lens is None else lens.kind
    rows["rank"] = list(range(1, top + 1)) * total
    rows["class"], rows["probability"] = reading.classes.flatten().numpy(), reading.probabilities.flatten().numpy()
    rank = pd.Series(reading.truth_rank.numpy(), dtype="Int64")
    rows["truth_rank"] = rank.where(rank > 0).repeat(top).array
    for name in ("truth_probability", "entropy", "divergence"):
        rows[name] = getattr(reading, name).repeat_interleave(top).numpy()
    return rows


def _ids(traced: Trace) -> Any:
    """The token that is read at each unit; missing for images and texts."""
    if traced.network.unit != "token" or traced.inputs is None or traced.inputs.is_floating_point():
        return pd.array([None] * traced.targets.numel(), dtype="Int64")
    return pd.array(traced.inputs.flatten().cpu().numpy(), dtype="Int64")


def _texts(network: Network, classes: Sequence[Any]) -> list[str]:
    """The text of each token, or the name of each class, where it is known."""
    distinct = sorted({int(c) for c in classes if not pd.isna(c)})
    if network.unit == "token":
        pieces = getattr(network.prepare, "pieces", None)
        known = dict(zip(distinct, pieces(distinct), strict=True)) if pieces is not None else {}
    else:
        names = network.classes or ()
        known = {c: names[c] for c in distinct if c < len(names)}
    return ["" if pd.isna(c) else known.get(int(c), "") for c in classes]
