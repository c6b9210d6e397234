"""The verdicts of one claim on all networks, for captions of figures."""

from __future__ import annotations

from ..figures.identity import controls_first, identities
from ..verdict.claim import Claim
from ..verdict.source import Source
from ..verdict.words import Verdict, Word
from .results import Results


def judged(results: Results, claim: Claim) -> dict[str, Verdict]:
    """Name -> verdict, that of the verdict table where there is one; of networks where it is not defined nothing."""
    rows = [row for row in results.verdict.rows if row.claim is claim] if results.verdict else []
    if results.verdict and rows:
        cells = zip(results.verdict.networks, rows[0].cells, strict=True)
        found = {network.name: cell.verdict for network, cell in cells}
    else:
        found = {name: claim.decide(claim.find(_source(results, name))) for name in networks_in_order(results)}
    return {name: verdict for name, verdict in found.items() if verdict.word is not Word.UNDEFINED}


def networks_in_order(results: Results) -> list[str]:
    """Names in the order of the figures."""
    return list(controls_first(identities(results.table), results.roles))


def _source(results: Results, name: str) -> Source:
    summaries = results.summaries
    return Source(results.rows(name), summaries if summaries.empty else summaries[summaries["model"] == name])
