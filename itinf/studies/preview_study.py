"""What a study of several networks will measure: each is opened before any is measured, and tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from ..data.clusters import load_batch
from ..errors import ItinfError, TooFewError
from ..lenses.kinds import SHARED
from ..lenses.lens import Lens
from ..networks.trace import trace
from .compare import lens_study_of, opened_for, study_probes
from .forecast import stand_in
from .preview import Preview, preview_probe, preview_transfer
from .study_file import Study, StudyNetwork


def preview_study(study: Study, jobs: int = 1) -> list[Preview]:
    """What ``itinf.run_study`` will measure, network by network.

    Args:
        study: the study; ``jobs``: number of networks that will be measured at a time, sharing the cores.

    Raises:
        ItinfError: a network, its weights or data cannot be opened, or there are too few clusters for intervals.
    """
    with _threads(max(1, torch.get_num_threads() // min(jobs, len(study.networks)))):
        return [_of_network(study, chosen) for chosen in study.networks]


def wall_seconds(totals: Sequence[float], jobs: int) -> float:
    """How long several networks take, each in one of so many processes: the longest, or an equal share of all."""
    return max(max(totals), sum(totals) / min(jobs, len(totals)))


def _of_network(study: Study, chosen: StudyNetwork) -> Preview:
    network, data = opened_for(study, chosen)
    settings, lenses, moved, why = study.settings_of(chosen), list[Lens](), None, list[str]()
    try:
        lens_study = lens_study_of(study, chosen, network, data, Path())
        if lens_study is not None:
            moved = preview_transfer(network, data, lens_study.fitting, lens_study.kind, lens_study.settings)
            lens = stand_in(network, trace(network, load_batch(data, [0]), gradients=False), lens_study.kind)
            lenses = [lens, replace(lens, kind=SHARED.name)]
    except TooFewError as error:
        if study.lens != "auto":
            raise ItinfError(f"{chosen.title}: {error}") from None
        why = [f"{chosen.title} will have no lenses: {error}"]
    try:
        probed = preview_probe(network, data, study_probes(study.targets, lenses, measure=study.measure), settings)
    except TooFewError as error:
        raise TooFewError(f"{chosen.title}: {error}") from None
    whole = probed if moved is None else probed + moved
    return replace(whole, warnings=[*whole.warnings, *why])


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """So many threads of torch meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
