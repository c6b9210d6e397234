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
from .options import Device, Dtype, Opened, Option, Weights, opened_network


def trajectory(
    network: Opened,
    text: Annotated[str | None, typer.Option(help="Text that a language network reads.")] = None,
    image: Annotated[Path | None, typer.Option(help="File of a picture that an image network reads.")] = None,
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
) -> None:
    """Show what a network would predict at every depth, for a text or a picture of your own: one HTML file."""
    from ..lenses.lens import Lens
    from ..lenses.trajectory.trajectory import trajectory as read

    if (text is None) == (image is None):
        raise ItinfError(
            f"{'Neither' if text is None else 'Both'} --text {'nor' if text is None else 'and'} --image "
            'was given; expected one of them. Write --text "…" for a language network, --image FILE for an image network.'
        )
    if out_.suffix not in (".html", ".htm"):
        raise ItinfError(f"--out {str(out_)!r}: expected a name that ends in .html. Write --out {out_}.html.")
    require_writable(out_)
    if out_.exists():
        raise ItinfError(f"{out_} exists, and itinf trajectory does not overwrite it. Choose another --out.")
    opened = to_device(opened_network(network, weights, option), device, dtype)
    if (opened.unit == "image") != (image is not None):
        kind, needed = ("pictures", "--image FILE") if opened.unit == "image" else ("texts", '--text "…"')
        raise ItinfError(f"{opened.name} reads {kind}. Give {needed}.")
    made = read(opened, text if image is None else image, [Lens.load(path, opened) for path in lens or []])
    write_text(out_, made.html(command=shlex.join(["itinf", *sys.argv[1:]])))
    out.print(repr(made), markup=False, highlight=False, soft_wrap=True)
    out.print(f"The page is {out_}: open it in a browser", markup=False, highlight=False, soft_wrap=True)
