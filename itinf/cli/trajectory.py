"""The command ``itinf trajectory``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ItinfError
from ..files import require_writable, write_text
from ..networks.devices import to_device
from ..settings import DEFAULTS
from .console import out
from .options import Device, Dtype, Opened, Option, Seed, Weights, opened_data, opened_network


def trajectory(
    network: Opened,
    text: Annotated[str | None, typer.Option(help="Text that a language network reads.")] = None,
    image: Annotated[Path | None, typer.Option(help="File of a picture that an image network reads.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Data set, such as text:FILE or images:FOLDER, of which six examples are shown.")
    ] = None,
    weights: Weights = None,
    lens: Annotated[
        list[Path] | None,
        typer.Option(
            help="Lens file written by itinf fit; give one with a map for every state, a shared one, or both."
        ),
    ] = None,
    out_: Annotated[Path, typer.Option("--out", help="File NAME.html to write.")] = Path("trajectory.html"),
    option: Option = None,
    device: Device = DEFAULTS.device,
    dtype: Dtype = DEFAULTS.dtype,
    seed: Seed = DEFAULTS.seed,
) -> None:
    """Show what a network would predict at every depth, for a text or a picture of your own, or examples: one HTML file."""
    from ..lenses.lens import Lens
    from ..lenses.trajectory.examples import examples
    from ..lenses.trajectory.trajectory import trajectory as read

    given = [name for name, value in (("--text", text), ("--image", image), ("--data", data)) if value is not None]
    if len(given) != 1:
        raise ItinfError(
            f"{' and '.join(given) or 'None'} of --text, --image and --data was given; expected one of them. "
            'Write --text "…" for a language network, --image FILE for an image network, or --data for six examples.'
        )
    if out_.suffix not in (".html", ".htm"):
        raise ItinfError(f"--out {str(out_)!r}: expected a name that ends in .html. Write --out {out_}.html.")
    require_writable(out_)
    if out_.exists():
        raise ItinfError(f"{out_} exists, and itinf trajectory does not overwrite it. Choose another --out.")
    opened = to_device(opened_network(network, weights, option), device, dtype)
    lenses = [Lens.load(path, opened) for path in lens or []]
    if data is not None:
        made = examples(opened, opened_data(data, opened, seed, None), lenses, seed=seed)
    elif (opened.unit == "image") != (image is not None):
        kind, needed = ("pictures", "--image FILE") if opened.unit == "image" else ("texts", '--text "…"')
        raise ItinfError(f"{opened.name} reads {kind}. Give {needed}.")
    else:
        made = read(opened, text if image is None else image, lenses)
    write_text(out_, made.html(command=shlex.join(["itinf", *sys.argv[1:]])))
    out.print(repr(made), markup=False, highlight=False, soft_wrap=True)
    out.print(f"The page is {out_}: open it in a browser", markup=False, highlight=False, soft_wrap=True)
