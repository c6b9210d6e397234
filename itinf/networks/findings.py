"""What a check of a network's description finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Literal

import pandas as pd
import torch
from torch import Tensor

from .network import Network

Status = Literal["ok", "failed", "not tested"]

TOLERANCE = 1e-4
"""Largest relative difference between two float32 computations of the same number."""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        subject: what was checked; ``status``: the outcome; ``detail``: names, shapes, sizes.
    """

    subject: str
    status: Status
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.status:<10} {self.subject}" + (f": {self.detail}" if self.detail else "")


@dataclass
class Report:
    """The findings of ``check``; its repr is the report.

    Attributes:
        network: name; ``findings``: every check; ``layout``: one line per block.
    """

    network: str
    findings: list[Finding] = field(default_factory=list)
    layout: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(f.status != "failed" for f in self.findings)

    def __repr__(self) -> str:
        verdict = "the description holds" if self.ok else "the description is wrong"
        return "\n".join([f"{self.network}: {verdict}", *map(str, self.findings), *self.layout])

    def _repr_html_(self) -> str:
        """For notebooks: one row per finding."""
        rows = pd.DataFrame([(f.status, f.subject, f.detail) for f in self.findings], columns=["", "checked", "detail"])
        title, *_ = repr(self).splitlines()
        return f"<div><p>{escape(title)}</p>{rows.to_html(index=False, border=0, escape=True)}</div>"


def relative(a: Tensor, b: Tensor) -> float:
    """Largest difference as a share of the largest entry of ``b``."""
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-30))


def tolerance(network: Network) -> float:
    """Largest relative difference between two computations of the same number in the network's dtype."""
    return max(TOLERANCE, 8 * torch.finfo(network.dtype).eps)
