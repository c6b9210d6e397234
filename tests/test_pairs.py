"""A transfer without pairs: the same numbers of own and shared lenses, and none of other states' lenses."""

import pandas as pd
import pytest

import itinf
from itinf.errors import NothingToDrawError
from lens_oracles import descending, labelled, starts
from reports.figures.retention import retention
from reports.figures.transfer import transfer

KEY = ["lens", "state_index", "fitted_at", "measure", "form", "target", "null", "null_seed"]


@pytest.fixture(scope="module")
def both():
    network = descending()
    fitted, read = (labelled(network, starts(600, 6, seed), seed) for seed in (1, 2))
    lens = itinf.fit(network, fitted, batch=300)
    return [itinf.transfer(network, lens, read, precision=0.0, replicates=40, pairs=p) for p in (True, False)]


def test_what_remains_is_the_same(both):
    every, few = (result.table for result in both)
    wanted = every[every["fitted_at"].isna() | (every["fitted_at"] == every["state_index"])]
    wanted, found = (rows.set_index(KEY)[["mean", "lo", "hi"]].sort_index() for rows in (wanted, few))
    pd.testing.assert_frame_equal(found, wanted[wanted.index.isin(found.index)], rtol=1e-6)
    assert len(found) == len(wanted) < len(every) / 2
    pd.testing.assert_frame_equal(both[0].replicates, both[1].replicates, rtol=1e-6)


def test_summaries_and_figures(both):
    means = both[1].summaries
    assert set(means["direction"]) == {"one lens", "one lens − rotated"}
    with pytest.raises(NothingToDrawError, match="of no lens at another state"):
        transfer(both[1].table)
    assert retention(both[1].table, summaries=means).axes


def test_it_is_another_study(both, tmp_path):
    assert both[1].manifest["settings"]["pairs"] is False and "pairs" not in both[0].manifest["settings"]
    with pytest.raises(itinf.ItinfError, match="pairs is 'no'; expected True or False"):
        itinf.Settings(pairs="no")
    network = itinf.StudyNetwork("resnet", "glyphs")
    from itinf.studies.study_file import study_toml

    texts = [study_toml(itinf.Study([network]).changed(pairs=p)) for p in (True, False)]
    assert "pairs" not in texts[0] and "pairs = false" in texts[1]
    (tmp_path / "s.toml").write_text(texts[1])
    from itinf.studies.study_file import read_study

    assert read_study(tmp_path / "s.toml").settings.pairs is False
