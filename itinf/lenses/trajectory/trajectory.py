"""``trajectory``: what a network would predict at every depth, item by item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from ... import registry
from ...data.dataset import IGNORED
from ...errors import ItinfError
from ...files import write_text
from ...networks.network import Network, require_network
from ...networks.states import sites
from ...networks.trace import Trace, trace
from ..kinds import lens_kind
from ..lens import Lens, require_lens, require_readout
from .given import given
from .readings import Reading, readings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWN, SHARED, LOGIT = "own", "shared", "logit"
"""Readers: each state's own lens, one lens for a segment, the network's own readout."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What a network would predict at every depth, for a few items.

    Attributes:
        network: its name; ``weights``: where they came from.
        table: one row for each item, position, state, reader and rank from 1 to 5. ``probability`` is that of ``class``;
            ``truth`` is the label, or the next token; ``entropy`` and ``divergence`` (KL from the final prediction to this
            reading) are in bits.
        names: of the items.
        pictures: PNG of each item; None for a text.
        lenses: reader -> the lens in words.
    """

    network: str
    weights: str
    table: pd.DataFrame
    names: tuple[str, ...]
    pictures: tuple[bytes | None, ...]
    lenses: dict[str, str]

    @property
    def readers(self) -> list[str]:
        """Names of what reads the states, in the order own, shared, logit."""
        return list(self.lenses)

    def plot(self, item: int = 0, reader: str | None = None, start: int = 0, positions: int = 32) -> Figure:
        """The grid of one item: tokens across and depths down, or a picture beside its five likeliest classes by depth.

        Args:
            item: number of the item.
            reader: one of ``readers``; by default the first.
            start: first position of a text that is shown; ``positions``: the most that are shown.

        Raises:
            ItinfError: there is no such item or reader.
        """
        if item not in range(len(self.names)):
            raise ItinfError(f"There is no item {item!r}; expected 0 … {len(self.names) - 1}.")
        options = {"item": item, "reader": reader, "start": start, "positions": positions}
        return registry.figure("trajectory")(self.table, picture=self.pictures[item], **options)

    def html(self, command: str = "") -> str:
        """A page that is complete in itself: one file, without network access; readable without script.

        Args:
            command: that made it, to be written on it.
        """
        return self._page(command=command)

    def save(self, path: str | Path) -> None:
        """Writes the page to a file."""
        write_text(Path(path), self.html())

    def _page(self, **options: Any) -> str:
        return registry.page("trajectory")(
            self.table, self.network, self.weights, self.names, self.pictures, self.lenses, **options
        )

    def _repr_html_(self) -> str:
        return self._page(whole=False)

    def __repr__(self) -> str:
        positions, states = self.table["position"].nunique(), self.table["state"].nunique()
        return (
            f"Trajectory of {self.network} ({self.weights}): {len(self.names)} items, up to {positions} positions, "
            f"{states} states, read by {', '.join(self.readers)}; .table has {len(self.table):,} rows"
        )


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
    table = _table(traced, readings(traced, readers), readers)
    fits = table.loc[table["reader"] == LOGIT, "state"].nunique()
    own = f"the network's own readout, which fits {fits} of {len(sites(traced))} states"
    in_words = {name: own if one is None else repr(one) for name, one in readers.items()}
    return Trajectory(network.name, network.weights, table, tuple(items.names), tuple(items.pictures), in_words)


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


def _table(traced: Trace, found: Sequence[Reading], readers: dict[str, Lens | None]) -> pd.DataFrame:
    """All readings as rows, in order of item, position, state, reader and rank."""
    shape = traced.targets.shape
    positions = torch.cartesian_prod(*(torch.arange(size) for size in shape))  # (R, 2)
    ids = _ids(traced)
    units = pd.DataFrame({"item": positions[:, 0].numpy(), "position": positions[:, 1].numpy(), "input": ids})
    units["input_text"] = _texts(traced.network, ids) if traced.network.unit == "token" else ""
    truth = [None if t == IGNORED else t for t in traced.targets.flatten().tolist()]
    frames = [_rows(units, reading, readers[reading.reader]) for reading in found]
    table = pd.concat(frames, ignore_index=True)
    order = {name: place for place, name in enumerate(readers)}
    keys = [table["item"], table["position"], table["state"], table["reader"].map(order), table["rank"]]
    table = table.iloc[pd.concat(keys, axis=1).sort_values([k.name for k in keys], kind="stable").index]
    row = table["item"] * shape[1] + table["position"]
    table["text"] = _texts(traced.network, table["class"].tolist())
    table["truth"] = pd.array([truth[r] for r in row], dtype="Int64")
    told = ["" if t is None else _texts(traced.network, [t])[0] for t in truth]
    table["truth_text"] = [told[r] for r in row]
    return table[COLUMNS].reset_index(drop=True)


COLUMNS = [
    *("item", "position", "input", "input_text", "state", "state_name", "depth", "reader", "lens", "rank", "class"),
    *("text", "probability", "truth", "truth_text", "truth_rank", "truth_probability", "entropy", "divergence"),
]


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
