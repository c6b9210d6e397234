"""The sums of a probe study in several processes: shared at the start, and added up."""

from __future__ import annotations

import json

import numpy as np

from ..results.folder import ResultsFolder
from ..results.probe_result import stages_in
from ..results.sums import StudySums, empty_sums, meaning_of, sums_file, sums_of
from ..statistics.histograms import Histograms
from ..statistics.processes import ProcessGroup, from_first, gathered, here, summed_array, summed_sums


def all_reduce(part: StudySums, group: ProcessGroup) -> StudySums:
    """Adds up the sums of all processes; every process gets the total, with the meaning that the first one has.

    Args:
        part: the sums of this process. They may have no clusters, except in the first process.
        group: the processes.
    """
    if group.size == 1:
        return part
    if summed_array(np.array([not part.entries], dtype=np.int64))[0]:  # some process has none
        meaning = json.loads(from_first(lambda: json.dumps(meaning_of(part)).encode()))
        part = part if part.entries else empty_sums(meaning, part.sums.count)
    part.sums = summed_sums(part.sums)
    for field in Histograms.SUMS:
        setattr(part.histograms, field, summed_array(getattr(part.histograms, field)))
    fine, counts = (gathered(array.astype(np.int64)) for array in (part.histograms.fine, part.histograms.counts))
    part.histograms.recount(fine, counts)
    return part


def shared_stages(folder: ResultsFolder) -> dict[str, StudySums]:
    """The sums saved in a folder, see ``stages_in``; every process gets those that the first one reads."""
    if here().size == 1:
        return stages_in(folder)
    read: dict[str, StudySums] = {}

    def content() -> bytes:
        read.update(stages_in(folder))
        return sums_file(read)

    whole = folder.from_first(content)
    return read or sums_of(whole)
