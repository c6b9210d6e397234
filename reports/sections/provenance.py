"""Where the numbers come from, how to make them and the page again, and how to cite itinf."""

from __future__ import annotations

from markupsafe import Markup

from ..html.picture import Pictures
from ..html.provenance import citation, provenance
from ..html.template import render, text_of
from .results import Results
from .section import Section


def _html(results: Results, pictures: Pictures) -> Markup | None:
    headings, rows = provenance(results.manifests, results.transfers)
    if not rows:
        return None
    return render(
        "sections/provenance.html",
        headings=headings,
        rows=rows,
        study=results.study,
        joined=results.joined,
        probes=_probes(results),
        citation=citation(results.version),
    )


def _probes(results: Results) -> list[tuple[str, str]]:
    """Networks, and what was measured of them."""
    same: dict[str, list[str]] = {}
    for manifest in results.manifests:
        if probes := manifest.get("probes"):
            same.setdefault("\n".join(map(str, probes)), []).append(str(manifest["network"]["name"]))
    return [(" · ".join(names), probes) for probes, names in same.items()]


PROVENANCE = Section(
    name="provenance",
    title="Provenance",
    question="Where do the numbers come from, and how are they made again?",
    html=_html,
    place=70,
    style=text_of("sections/provenance.css"),
)
