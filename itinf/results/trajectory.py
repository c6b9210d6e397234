"""A prediction trajectory: its table, its figure and page, and the file in which a study keeps its examples."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .. import registry
from ..errors import ItinfError
from ..files import write_text
from .schema import EXAMPLE_DTYPES, read_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READERS = ("own", "shared", "logit")
"""What reads states: each state's own lens, one lens for a segment, the network's own readout."""
RULES = ("right early", "right late", "changed its mind", "wrong", "random", "random")
"""The rules by which examples are chosen, see ``itinf.examples``."""
EXAMPLES = "examples.parquet"
"""File of the examples in the folder of a network."""


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
        chosen_from: number of units that examples were chosen from; 0 for items that a user gave.
    """

    network: str
    weights: str
    table: pd.DataFrame
    names: tuple[str, ...]
    pictures: tuple[bytes | None, ...]
    lenses: dict[str, str]
    chosen_from: int = 0

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
        positions = self.table.groupby("item")["position"].nunique().max()
        states = self.table["state"].nunique()
        return (
            f"Trajectory of {self.network} ({self.weights}): {len(self.names)} items, up to {positions} positions, "
            f"{states} states, read by {', '.join(self.readers)}; .table has {len(self.table):,} rows"
        )

    def content(self) -> bytes:
        """Examples as a Parquet file, with the columns ``EXAMPLE_DTYPES``."""
        item = self.table["item"]
        more = {
            "name": item.map(dict(enumerate(self.names))),
            "chosen_from": self.chosen_from,
            "read_by": self.table["reader"].map(self.lenses),
            "picture": item.map(dict(enumerate(self.pictures))).astype(object),
        }
        return self.table.assign(**more)[list(EXAMPLE_DTYPES)].to_parquet(index=False)

    @classmethod
    def of(cls, file: Path | BytesIO, network: str, weights: str) -> Trajectory:
        """The examples in a file whose content ``content`` made.

        Args:
            file: its path, or the content itself; ``network``, ``weights``: whose examples they are.

        Raises:
            ItinfError: the file is no such table, or it is incomplete.
        """
        table = read_table(file, EXAMPLE_DTYPES)
        items = table.drop_duplicates("item").sort_values("item")
        pictures = tuple(one if isinstance(one, bytes) else None for one in items["picture"])
        lenses = dict(zip(table["reader"], table["read_by"], strict=True))
        order = {name: lenses[name] for name in READERS if name in lenses}
        chosen_from = int(table["chosen_from"].max())
        rows = table.drop(columns=["name", "chosen_from", "read_by", "picture"])
        return cls(network, weights, rows, tuple(items["name"]), pictures, order, chosen_from)
