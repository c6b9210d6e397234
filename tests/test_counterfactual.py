"""Does carrying explain retention? Surplus and counterfactual states where the answer is known, and by brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

import itinf
from itinf import IGNORED
from itinf.cli.console import print_summaries
from itinf.data.clusters import keyed_order, load_batch
from itinf.data.items import as_data
from itinf.lenses.fit import fit
from itinf.lenses.transfer.cells import cells_of
from itinf.lenses.transfer.counterfactual import CARRIED, CARRIED_SAME, READS, WRITTEN
from itinf.lenses.transfer.matrix import TransferMatrix
from itinf.lenses.transfer.pilot import windows
from itinf.lenses.transfer.scores import TARGETS
from itinf.lenses.transfer.summaries import summaries
from itinf.lenses.transfer.table import transfer_table
from itinf.lenses.translator import Translator
from itinf.networks.trace import trace
from itinf.statistics.nulls import next_cluster, same_target
from lens_oracles import (
    CLASSES,
    COUNT,
    Brute,
    Turn,
    evidence,
    fed,
    gathering,
    judged,
    labelled,
    pixels,
    reads,
)
from oracles import Chain, normal, opened
from test_matching import plain
from test_transfer import OPENED, answered
from tiny import Items, images, tokens

EYE = torch.eye(CLASSES, dtype=torch.float64)
ONWARD = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
"""From the first group of channels to the second one, and nothing else."""
NAMES = ("retention", "carried_at_most", "surplus")


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def known(made, i: int, j: int) -> dict[str, float]:
    """Measure, or form of a retention -> its value for the lens of state i at state j."""
    found = {name: made.row(name, "affine", j, i)["mean"] for name in NAMES}
    return found | {form: made.row("retention", "affine", j, i, form=form)["mean"] for form in READS}


def require(found: dict[str, float], tolerance: float = 0.05, **wanted: float) -> None:
    named = {"same": CARRIED_SAME, "at_most": "carried_at_most"}
    assert {name: found[named.get(name, name)] for name in wanted} == pytest.approx(wanted, abs=tolerance)


def one_hot(seed: int, scale: float, count: int = COUNT) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.randint(CLASSES, (count,), generator=torch.Generator().manual_seed(seed))
    return labels, scale * EYE[labels]


# oracles: in all but the last, every state is read in full, and retention says nothing of why


def test_where_blocks_add_nothing_all_is_carried():
    network = opened(Chain([Turn(EYE), Turn(EYE)], reads(CLASSES, 0)))
    items = [labelled(network, normal(COUNT, CLASSES, seed=seed), seed) for seed in (1, 2)]
    made = judged(network, *items, counterfactual=True)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        found = known(made, i, j)
        require(found, 1e-6, retention=1, at_most=1, surplus=0, carried=1, same=1)
        require(found, 0.02, written=0)


def written_items(seed: int) -> list:
    labels, hot = one_hot(seed, 6.0)
    vectors = torch.cat([normal(COUNT, CLASSES, seed=seed), hot], 1)
    return list(zip(pixels(vectors), labels.tolist(), strict=True))


def test_what_a_block_writes_in_the_code_of_an_earlier_lens():
    """h_0 is noise in the code, D the label's one-hot: the lens of h_0 reads all of it later, and none of it was carried."""
    made = judged(fed(CLASSES, reads(CLASSES, 0)), written_items(1), written_items(2), counterfactual=True)
    found = known(made, 0, 1)
    require(found, retention=1, at_most=0, surplus=1, carried=0, same=1, written=1)


def elsewhere(seed: int) -> list:
    """h_0 tells the label in channels of its own; a block says the same, with other noise, where the head reads."""
    labels, hot = one_hot(seed, 2.0)
    noise, nothing = normal(2, COUNT, CLASSES, seed=seed), torch.zeros(COUNT, CLASSES, dtype=torch.float64)
    vectors = torch.cat([hot + noise[0], nothing, nothing, hot + noise[1]], 1)
    return list(zip(pixels(vectors), labels.tolist(), strict=True))


def test_what_a_block_writes_in_another_code():
    """The lens of h_0 reads its own channels alone. Retention is near 1 here, too; now h_0 is carried, and nothing is written.

    An affine lens that was fitted would not do: of what is added it knows nothing, so it passes on whatever is written in the
    readout's own code.
    """
    network = fed(2 * CLASSES, reads(2 * CLASSES, CLASSES))
    lens = fit(network, elsewhere(1), batch=500)
    lens.translators[0] = Translator.of(torch.kron(ONWARD, EYE), torch.zeros(2 * CLASSES))
    made = judged(network, elsewhere(1), elsewhere(2), counterfactual=True, lens=lens)
    require(known(made, 0, 1), retention=1, at_most=1, surplus=0, carried=1, same=1, written=0)


def test_bounds_where_blocks_add_evidence():
    """Of k pieces of evidence the lens of state i has carried i + 1: what others add is noise to it, so the read is below."""
    made = judged(gathering(), evidence(COUNT, 3, 1), evidence(COUNT, 3, 2), replicates=10, counterfactual=True)
    for i in range(3):
        for j in range(i + 1, 4):
            found = known(made, i, j)
            assert found["retention"] == pytest.approx(1, abs=0.02)
            assert found["carried_at_most"] == pytest.approx(told(i + 1) / told(j + 1), abs=0.1)
            assert 0 < found[CARRIED] < found["carried_at_most"] < found[CARRIED_SAME] + found["written"]
            assert found["surplus"] == pytest.approx(1 - found["carried_at_most"], abs=0.02)
            assert found["surplus"] < found[WRITTEN] + 0.25


def told(pieces: int) -> float:
    """Nats that so many independent pieces of evidence tell, of ``gathering``."""
    labels, hot = one_hot(5, 1.0, 20_000)
    z = pieces * hot + pieces**0.5 * normal(20_000, CLASSES, seed=6)
    return float(np.log(CLASSES) - F.cross_entropy(z, labels))


# brute force: every unit by itself, through logits that exist whole


class Group:
    """A tiny network and one group of clusters."""

    def __init__(self, kind: str) -> None:
        self.network = OPENED[kind]().to("cpu", torch.float64)
        make = images if self.network.unit == "image" else tokens
        self.lens = fit(self.network, answered(self.network, make(160, seed=1)), parts=True)
        self.cells = cells_of(self.lens, rotations=0, counterfactual=True)
        data = as_data(answered(self.network, make(32, seed=2)), self.network.unit)
        order = keyed_order(data, None, 0)
        self.batch = load_batch(data, order.indices, order.keys)
        self.windows = windows(self.network, self.lens, self.cells, [self.batch])
        self.grid = TransferMatrix(self.network, self.lens, self.cells, self.windows, 0, 4)
        self.grid.add(self.network, self.batch, at_once=7)
        self.table = transfer_table(self.network, self.grid)


def partner_of(null: str, targets: np.ndarray, keys: np.ndarray, unit: tuple[int, int]) -> tuple[int, int] | None:
    """Cluster and position of a unit's partner; None where it has none."""
    positions = targets.shape[1]
    found = {"pairing": next_cluster, "same-target": same_target}[null](targets, keys)
    row = int(found[unit[0] * positions + unit[1]])
    place = divmod(row, positions)
    return None if row < 0 or targets[place] == IGNORED else place


@pytest.mark.parametrize("kind", OPENED)
def test_counterfactual_states_by_brute_force(kind, monkeypatch):
    made = Group(kind)
    seen, brute = trace(made.network, made.batch, gradients=False), Brute(made.network, made.lens, made.batch, 4)
    targets, chosen = seen.targets.numpy(), [cell for cell in made.cells if cell.form in READS]
    assert len(chosen) >= 9
    compared = 0
    for cell in (chosen[0], chosen[4], chosen[-1], chosen[-2]):
        start, end = (seen.state(made.lens.sites[at].id) for at in (cell.fitted_at, cell.at))
        null = READS[cell.form].name
        mixed, has = end.clone(), np.zeros(targets.shape, bool)
        for n, p in np.ndindex(*targets.shape):
            partner = partner_of(null, targets, made.batch.keys, (n, p))
            if targets[n, p] == IGNORED or partner is None:
                continue
            own, other = ((n, p), partner) if made.network.unit == "token" else ((n,), partner[:1])
            kept, added = (other, own) if cell.form == WRITTEN else (own, other)
            mixed[own], has[n, p] = start[kept] + end[added] - start[added], True
        brute.known = torch.from_numpy(has).double()
        where = made.lens.sites[cell.at].id
        own_log = brute.log(where, made.lens.translators[cell.at])
        with monkeypatch.context() as changed:
            changed.setattr(brute.seen, "state", lambda site, mixed=mixed: mixed)
            log = brute.log(where, cell.translator)
        (own,) = (c for c in made.cells if c.form == f"own, {null}" and c.at == cell.at)
        for target, row in zip(TARGETS, range(2), strict=True):
            unit, own_unit = (float(made.windows[row, made.cells.index(c)]) for c in (cell, own))
            wanted = brute.crosswise(log, target, unit)
            np.testing.assert_allclose(made.grid.readable(cell, target), wanted, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(
                made.grid.readable(own, target), brute.crosswise(own_log, target, own_unit), rtol=1e-5, atol=1e-6
            )
            t = made.table
            of = (t.measure == "retention") & (t.form == cell.form) & (t.target == target)
            (found,) = t[of & (t.state_index == cell.at) & (t.fitted_at == cell.fitted_at)].itertuples()
            if not found.reason:
                expected = wanted[0] / brute.crosswise(own_log, target, own_unit)[0]
                assert found.mean == pytest.approx(expected, rel=1e-4, abs=1e-6)
                compared += 1
            assert found.n_units == has.sum()
    assert compared


# the whole transfer


class Named(Items):
    """Items whose names stay theirs in another order."""

    def __init__(self, inputs, targets, names):
        super().__init__("image", inputs, targets)
        self.names = names

    def key(self, index):
        return str(self.names[index])


KEY = ["lens", "state_index", "fitted_at", "measure", "form", "target", "null", "null_seed"]


@pytest.fixture(scope="module")
def moved():
    with torch.no_grad():
        network = gathering()
        read = evidence(100, 3, 2)
        inputs, targets = torch.stack([x for x, _ in read]), torch.tensor([y for _, y in read])
        lens = itinf.fit(network, evidence(400, 3, 1), batch=400)
        shuffled = torch.randperm(100, generator=torch.Generator().manual_seed(0))
        data = [Named(inputs[order], targets[order], order) for order in (torch.arange(100), shuffled)]
        options = {"precision": 0.0, "replicates": 8}
        return [
            itinf.transfer(network, lens, data[0], counterfactual=True, **options),
            itinf.transfer(network, lens, data[1], counterfactual=True, batch=5, **options),
            itinf.transfer(network, lens, data[0], **options),
        ]


def test_the_order_of_the_data_and_the_batch_change_nothing(moved):
    one, other = (result.table.set_index(KEY)[["mean", "lo", "hi", "n_units"]].sort_index() for result in moved[:2])
    pd.testing.assert_frame_equal(one, other, rtol=1e-9, atol=1e-9)


def test_counterfactual_states_change_no_other_number(moved):
    with_, without = (result.table.set_index(KEY)[["mean", "lo", "hi"]].sort_index() for result in moved[::2])
    pd.testing.assert_frame_equal(with_[with_.index.isin(without.index)], without, rtol=1e-9, atol=1e-9)
    more = with_[~with_.index.isin(without.index)].reset_index()
    assert set(more["form"]) == set(READS) and set(more["measure"]) == {"readable", "retention"}
    assert len(more) == 6 * len(READS) * 2 * 2  # pairs, reads, measures and targets


def test_it_is_another_study_that_asks_for_it_by_name(moved, tmp_path):
    from itinf.studies.study_file import read_study, study_toml

    settings = [result.manifest["settings"] for result in moved[::2]]
    assert settings[0]["counterfactual"] is True and settings[0]["group"] == 32 and "counterfactual" not in settings[1]
    study = itinf.Study([itinf.StudyNetwork("resnet", "glyphs")])
    (tmp_path / "s.toml").write_text(study_toml(study.changed(counterfactual=True)))
    assert "counterfactual" not in study_toml(study)
    assert read_study(tmp_path / "s.toml").settings.counterfactual is True


def test_parts_add_up_in_every_mean(moved):
    rows = moved[0].summaries
    rows = rows[(rows["direction"] == "forward") & (rows["form"] == "") & (rows["lens"] == "affine")]
    means = rows.pivot_table(index=["target", "distance"], columns="measure", values="mean")
    assert len(means) == 8
    assert (means["carried_at_most"] + means["surplus"]).to_numpy() == pytest.approx(means["retention"].to_numpy())
    about = moved[0].summaries[moved[0].summaries["form"].isin([*READS])]
    assert set(about["direction"]) == {"forward"} and set(about["measure"]) == {"retention"}
    assert set(moved[0].summaries.query("measure == 'surplus'")["direction"]) == {"forward"}


def test_a_network_without_skips_has_no_counterfactual_states():
    network = plain(True)
    items = [labelled(network, normal(count, 12, seed=count).exp(), count) for count in (200, 40)]
    lens = itinf.fit(network, items[0], batch=200)
    result = itinf.transfer(network, lens, items[1], counterfactual=True, replicates=4, rotations=0)
    assert not set(result.table["form"]) & set(READS)
    assert result.table["measure"].eq("surplus").any()


def test_a_cluster_alone_in_its_group_has_no_partner():
    made = [evidence(200, 3, 1), evidence(33, 3, 2)]
    network = gathering()
    result = itinf.transfer(
        network, itinf.fit(network, made[0], batch=200), made[1], counterfactual=True, replicates=10
    )
    rows = result.table[result.table["form"] == CARRIED]
    assert set(rows["n_units"]) == {32} and set(result.table[result.table["form"] == ""]["n_units"]) == {33}


def test_summaries_hold_intervals_of_their_means():
    made = judged(fed(CLASSES, reads(CLASSES, 0)), written_items(1), written_items(2), counterfactual=True)
    rows = summaries(made.network, made.grid)
    (row,) = rows[(rows["measure"] == "surplus") & (rows["target"] == "label") & (rows["distance"] == 1)].itertuples()
    one = made.row("surplus", "affine", 1, 0)
    assert (row.mean, row.lo, row.hi) == pytest.approx((one["mean"], one["lo"], one["hi"]))


def test_the_command_prints_their_means(moved, capsys):
    print_summaries(moved[0].summaries)
    said = " ".join(capsys.readouterr().out.split())
    assert all(f" {name} label " in said for name in ("surplus", *READS))
