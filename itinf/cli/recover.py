"""The commands ``itinf recover`` and ``itinf loop``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..networks.devices import to_device
from ..settings import DEFAULTS, RECOVERED_TOKENS, Settings
from .console import first_process, out, progress_bars
from .interrupted import saved_is_shown
from .options import (
    RESULTS,
    Batch,
    Device,
    Dtype,
    Length,
    Opened,
    Option,
    Out,
    Seed,
    Source,
    Untrained,
    Weights,
    opened_data,
    opened_network,
)
from .signals import working

if TYPE_CHECKING:
    from ..results.probe_result import ProbeResult

Units = Annotated[int, typer.Option(help="Number of tokens to measure, in whole sequences.")]


def recover(
    network: Opened,
    data: Source,
    weights: Weights = None,
    inserted: Annotated[int, typer.Option(help="Number of tokens that are inserted.")] = 4,
    at: Annotated[int, typer.Option(help="Number of tokens before them.")] = 128,
    depths: Annotated[
        bool, typer.Option("--depths", help="Read every state by the network's own readout, too.")
    ] = False,
    lens: Annotated[
        Path | None, typer.Option(help="Lens file written by itinf fit; states are also read through it.")
    ] = None,
    units: Units = RECOVERED_TOKENS,
    batch: Batch = DEFAULTS.batch,
    out_: Out = RESULTS,
    option: Option = None,
    length: Length = None,
    device: Device = DEFAULTS.device,
    dtype: Dtype = DEFAULTS.dtype,
    seed: Seed = DEFAULTS.seed,
    untrained: Untrained = DEFAULTS.untrained,
) -> None:
    """Insert tokens into texts and measure whether a language model uses the old context again."""
    from ..lenses.lens import Lens
    from ..studies.recover import recover as measure

    settings = Settings(units=units, batch=batch, seed=seed, untrained=untrained, device=device, dtype=dtype)
    opened = to_device(opened_network(network, weights, option), device, dtype)
    source = opened_data(data, opened, seed, length)
    read = None if lens is None else Lens.load(lens, opened)
    with working(), saved_is_shown(out_), progress_bars(opened.name) as progress:
        run = measure(
            opened,
            source,
            inserted=inserted,
            at=at,
            depths=depths,
            lens=read,
            out=out_,
            settings=settings,
            progress=progress,
        )
    _print(run, out_)


def loop(
    network: Opened,
    data: Source,
    weights: Weights = None,
    process: Annotated[
        str, typer.Option(help="What is inserted: random, constant, or a text file with a theme on each line.")
    ] = "random",
    prompt: Annotated[int, typer.Option(help="Number of tokens that are given.")] = 64,
    own: Annotated[int, typer.Option(help="Number of tokens that the network writes before each insertion.")] = 15,
    turns: Annotated[int, typer.Option(help="Number of insertions.")] = 11,
    units: Units = RECOVERED_TOKENS,
    batch: Batch = DEFAULTS.batch,
    out_: Out = RESULTS,
    option: Option = None,
    length: Length = None,
    device: Device = DEFAULTS.device,
    dtype: Dtype = DEFAULTS.dtype,
    seed: Seed = DEFAULTS.seed,
    untrained: Untrained = DEFAULTS.untrained,
) -> None:
    """Let a language model write, insert tokens in between, and measure what it carries on of them."""
    from ..studies.recover import loop as measure

    settings = Settings(units=units, batch=batch, seed=seed, untrained=untrained, device=device, dtype=dtype)
    opened = to_device(opened_network(network, weights, option), device, dtype)
    source = opened_data(data, opened, seed, length)
    with working(), saved_is_shown(out_), progress_bars(opened.name) as progress:
        run = measure(
            opened, source, process, prompt=prompt, own=own, turns=turns, out=out_, settings=settings, progress=progress
        )
    _print(run, out_)


def _print(run: ProbeResult, folder: Path) -> None:
    """Prints the numbers at the end of the network, with their intervals."""
    if not first_process():
        return
    last = run.table["state_index"].isna() | (run.table["depth"] == 1)
    rows = run.table[last & (run.table["lens"] == "") & ~run.table["measure"].str.endswith("_effect")]
    table = Table("measure", "form", "of", "null", "", box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.title = f"{run.name}: {run.clusters} sequences, with 95 % intervals"
    for r in rows.itertuples():
        known = f"{r.mean:+.3f} [{r.lo:+.3f}, {r.hi:+.3f}]" if r.mean == r.mean else r.reason
        table.add_row(r.measure, r.form, r.subset, "" if r.null == "observed" else r.null, known)
    out.print(table)
    out.print(f"Results in {folder}", markup=False, soft_wrap=True)
