"""The support table, docs/networks.md: python tests/support.py > docs/networks.md, from the folder above."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers

import itinf
from architecture_list import ARCHITECTURES
from architectures import CLASSES, TEXTS, WORDS, Architecture
from itinf import Batch, Block, Network
from itinf.lenses.kinds import lens_kinds
from itinf.lenses.lens import Lens
from itinf.networks.states import sites
from itinf.results.probe_result import ProbeResult
from itinf.results.reasons import REASONS
from itinf.results.transfer_result import TransferResult
from refusals import refusals
from tiny import Items

IMAGES, SEQUENCES, LENGTH = 12, 10, 8
"""Measured clusters, enough for intervals, and tokens of a sequence."""
FEW = 3
"""Clusters that are enough to prove a description."""
PER_CHANNEL = 2.5
"""Clusters that a lens is fitted on, for every channel of the widest state."""
SAMPLED = ("no_unit", "no_pair", "not_finite", "few_clusters", "no_spread", "no_best_temperature")
"""Reasons that come from few data, and not from the architecture."""


@dataclass(frozen=True)
class Support:
    """What was made of one architecture.

    Attributes:
        architecture, network: what was opened; ``data``: what it was measured on.
        run, transfer: its results; ``lenses``: the fitted ones.
    """

    architecture: Architecture
    network: Network
    data: Items
    run: ProbeResult
    transfer: TransferResult
    lenses: dict[str, Lens]

    @property
    def cells(self) -> list[str]:
        """Its row of the table."""
        return [*described(self.architecture, self.network, self.data), self.undefined]

    @property
    def undefined(self) -> str:
        """Code of every reason why something is undefined, with the number of blocks."""
        blocks: dict[str, set[int]] = {}
        for row, reason in self.run.stages["observed"].missing.items():
            if row.state is None and reason.code not in SAMPLED:
                blocks.setdefault(reason.code, set()).add(row.block)
        total = len(self.network.blocks)
        return ", ".join(f"{code} {len(blocks[code])}/{total}" for code in REASONS if code in blocks) or "nothing"


def opened(architecture: Architecture, folder: Path) -> tuple[Network, Items]:
    """The network, proven, and data for it."""
    network = architecture.open(folder)
    data = data_for(architecture, network, SEQUENCES if network.unit == "token" else IMAGES)
    report = itinf.check(network, first_of(data))
    assert report.ok, report
    return network, data


def support_of(architecture: Architecture, folder: Path) -> Support:
    """Takes an architecture through every step: opened, proven, probed, lenses of every kind, transferred."""
    network, data = opened(architecture, folder)
    run = itinf.probe(network, data, group=6, calibration=6, replicates=20)
    widest = max(site.width for site in sites(itinf.trace(network, first_of(data), gradients=False)))
    fitting = data_for(architecture, network, max(32, round(PER_CHANNEL * (1 + widest))), seed=1)
    lenses = {kind.name: itinf.fit(network, fitting, kind.name) for kind in lens_kinds()}
    transfer = itinf.transfer(network, lenses["affine"], data, replicates=20)
    return Support(architecture, network, data, run, transfer, lenses)


def first_of(data: Items) -> Batch:
    """Its first clusters."""
    return Batch(data.inputs[:FEW], data.targets[:FEW], np.arange(FEW, dtype=np.uint64))


def data_for(architecture: Architecture, network: Network, count: int, seed: int = 0) -> Items:
    """Made-up images of its size, or token ids."""
    draw = torch.Generator().manual_seed(seed)
    if network.unit == "token":
        ids = torch.randint(WORDS // 3, (count, LENGTH + 1), generator=draw)
        return Items("token", ids[:, :-1], ids[:, 1:])
    shape = (count, 3, architecture.side, architecture.side)
    texts = torch.randint(2, WORDS, (count, LENGTH), generator=draw)  # 0 and 1 may be padding
    inputs = texts if architecture.head == TEXTS else torch.randn(shape, generator=draw)
    return Items(network.unit, inputs, torch.randint(CLASSES, (count,), generator=draw))


def inside(block: Block) -> str:
    """What is named inside a block."""
    if not block.parts:
        return "branch" if block.branch else "none"
    return (" ∥ " if block.parallel else ", ").join(block.parts)


def described(architecture: Architecture, network: Network, data: Items) -> list[str]:
    """The cells of its row that need no measurement."""
    counts = Counter(map(inside, network.blocks))
    parts = "; ".join(name if len(counts) == 1 else f"{name} {count}" for name, count in counts.items())
    states = sites(itinf.trace(network, first_of(data), gradients=False))
    segments = [count for _, count in sorted(Counter(site.segment for site in states).items())]
    return [
        f"`hf:FOLDER` ({architecture.typed})" if architecture.head else f"`{architecture.typed}`",
        "described" if architecture.describe else "found",
        f"{len(network.blocks)}: {parts}",
        network.gauge or "–",
        " + ".join(map(str, segments)),
    ]


HEAD = """# Networks that itinf opens

`python tests/support.py > docs/networks.md` writes this page. The tests make its rows again.

Each architecture was opened by the name in the table: `torchvision:NAME` and `timm:NAME` take any name of their library, `hf:FOLDER` a
folder of transformers with a model of the type in brackets. It was proven (`itinf check`), probed, fitted with a lens of each kind
({kinds}), and its affine lens was transferred; all at reduced size, with weights at random.

* *found*: itinf finds blocks, parts, pool, head and gauge by itself. *described*: it does not; an `itinf.Network(…)` of at most ten
  lines describes them (`tests/architecture_list.py`).
* *blocks*: their number, and what is named inside each: one branch, or parts in the order in which they are added; ∥ stands between
  parts that read the same state. *none*: the output is no sum with the input, so only the whole update is measured.
* *gauge*: the changes of basis that leave the function as it is, proven by trying one; – where none is proven.
* *segments*: numbers of states of one width that follow each other. Lenses are transferred within a segment.
* *undefined*: codes of reasons (below), each with the number of blocks where a number is undefined for this reason.

| network | | blocks | gauge | segments | undefined |
|---|---|---|---|---|---|"""


def page(supported: list[Support], folder: Path) -> str:
    """The text of docs/networks.md; ``folder`` may hold files."""
    lines = [HEAD.format(kinds=", ".join(supported[0].lenses))]
    lines += [f"| {' | '.join(one.cells)} |" for one in supported]
    used = {entry.split()[0] for one in supported for entry in one.undefined.split(", ")}
    lines += ["", *(f"* `{code}`: {reason.sentence}." for code, reason in REASONS.items() if code in used)]
    lines += ["", "## What is refused", "", *(f"* {what}: “{message}”" for what, message in refusals(folder))]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as place:
        made = [support_of(architecture, Path(place)) for architecture in ARCHITECTURES]
        sys.stdout.write(page(made, Path(place)))
