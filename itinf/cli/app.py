"""The command line: the app with all commands, and its entry point."""

from __future__ import annotations

import io
import os
import sys
import warnings
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ..statistics.processes import job_size, process_group, speaks
from . import signals
from .console import first_process, out
from .failures import MISTAKE, told
from .lenses import fit, transfer
from .options import (
    Length,
    Opened,
    Option,
    Weights,
    opened_data,
    opened_network,
)
from .recover import loop, recover
from .specimens import evaluate, train
from .studies import compare, controls, demo, merge, probe, report
from .trajectory import trajectory

app = typer.Typer(
    help="Is depth iterative inference? The same probes for ResNets, Inception v1 and GPT-2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command("list")
def list_() -> None:
    """List the names of networks, libraries, data sets, probes and kinds of lens."""
    from ..lenses.kinds import lens_kinds
    from ..registry import describe, names

    listed = {group: {n: describe(value) for n, value in names(group).items()} for group in ("networks", "datasets")}
    listed["libraries"] = {f"{n}:NAME": describe(value) for n, value in names("libraries").items()}
    listed["lenses"] = {kind.name: kind.summary for kind in lens_kinds()}
    for group, descriptions in listed.items():
        table = Table("name", "description", title=group, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for name, description in descriptions.items():
            table.add_row(name, escape(description))
        out.print(table)
        out.print()
    out.print(
        "Families accept any size in the name: cifar-resnet164. "
        "Set options of a network with itinf probe NETWORK --option KEY=VALUE."
    )
    out.print(f"Probes (--measure): {', '.join(names('probes'))}.")
    out.print(
        f"Specimens, trained networks that come with itinf (--weights specimen): {', '.join(names('specimens'))}."
    )


@app.command()
def check(
    network: Opened,
    weights: Weights = None,
    data: Annotated[str | None, typer.Option(help="Data to check on; without it, made-up units are used.")] = None,
    option: Option = None,
    length: Length = None,
) -> None:
    """Check that a network is described correctly: readout, branches, gradients, gauge."""
    from ..data.clusters import load_batch
    from ..networks.check import check as prove

    opened = opened_network(network, weights, option)
    batch = None
    if data is not None:
        source = opened_data(data, opened, 0, length)
        batch = load_batch(source, range(min(4, len(source))))
    proof = prove(opened, batch)
    out.print(repr(proof), markup=False, highlight=False, soft_wrap=True)
    if not proof.ok:
        raise typer.Exit(2)


for command in (
    probe,
    compare,
    demo,
    controls,
    report,
    fit,
    transfer,
    trajectory,
    recover,
    loop,
    train,
    evaluate,
    merge,
):
    app.command()(command)


JOINT = ("probe", "compare", "demo", "controls", "fit", "transfer", "recover", "loop")
"""Commands for which the processes that torchrun starts work together; the others run in the first process alone."""


def main() -> None:
    """Entry point: what the user can correct prints one message and exits with code 2; a fault of itinf exits with 1."""
    # set before torch loads: idle threads that spin make everything else many times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.formatwarning = lambda message, category, *_: f"warning: {message}\n"
    try:
        with signals.heard():
            _run()
    except SystemExit as end:
        _exit(end.code)
    except Exception as error:
        _exit(told(error) if speaks() else MISTAKE)  # of several processes one says it


def _run() -> None:
    """Runs the command, under torchrun in all processes that it concerns; only the first one prints."""
    if job_size() == 1:
        app()
    elif any(word in JOINT for word in sys.argv[1:2]):
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a lost process is said in one sentence
        with process_group(signals.others_ended) as here, ExitStack() as silent:
            if not here.first:
                silent.enter_context(redirect_stdout(io.StringIO()))
                silent.enter_context(redirect_stderr(io.StringIO()))
            try:
                app()
            except SystemExit as end:
                if end.code:  # else wait for the others
                    raise
    elif first_process():
        app()


def _exit(code: Any) -> None:
    """Ends the process; among several without waiting for an exchange that the others do not answer."""
    if code and os.environ.get("WORLD_SIZE", "1") != "1":
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
    sys.exit(code)
