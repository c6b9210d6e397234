"""Watch it think: what every network would predict at every depth, for six examples."""

from __future__ import annotations

from markupsafe import Markup

from ..html.examples import examples_html
from ..html.picture import Pictures
from ..html.trajectory_grid import trajectory_script, trajectory_style
from .results import Results
from .section import Section


def _html(results: Results, pictures: Pictures) -> Markup | None:
    modality = dict(zip(results.table["model"], results.table["modality"], strict=True))
    return examples_html(results.examples, results.manifests, modality)


EXAMPLES = Section(
    name="examples",
    title="Watch it think",
    question="What would each network predict at every depth, of the same unit?",
    html=_html,
    place=30,
    script=trajectory_script(),
    style=trajectory_style(),
)
