"""The grid of reads by brute force, in pieces, and on networks whose transfer is known."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import itinf
from itinf import IGNORED, ItinfError, tracing
from itinf.data import as_data, keyed_order, load_batch
from itinf.lenses.fit import fit
from itinf.lenses.grid_table import by_distance, grid_table, widest
from itinf.lenses.reading import logits, vectors
from itinf.lenses.reads import Read
from itinf.lenses.transfer import LEFT_OUT, ROTATED, SHARED, Grid, reads_of
from itinf.readouts import state_at
from itinf.statistics import interval
from itinf.tracing import trace
from lens_oracles import COUNT, Brute, carrying, case, judged, labelled
from oracles import Chain, generator, normal, opened
from shipped import settle
from tiny import Items, gpt2, images, resnet, tokens

REPLICATES = 20


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def answered(network, data):
    """The same inputs with targets drawn from the network's own predictions, so that something is readable."""
    z = network.model(data.inputs.to(network.dtype) if network.unit == "image" else data.inputs)
    z = z if network.unit == "image" else z.logits
    p = (3 * z).softmax(-1)
    targets = torch.multinomial(p.flatten(0, -2), 1, generator=generator(1)).reshape(p.shape[:-1])
    if network.unit == "token":
        targets[::3, 0] = IGNORED
    return Items(data.unit, data.inputs, targets)


def preresnet():
    """A neck stands between state and pool: lenses read every position."""
    network = itinf.network("cifar-preresnet", depth=14)
    settle(network.model, normal(6, 3, 8, 8).float())
    return network


OPENED = {"image": resnet, "positions": preresnet, "token": gpt2}


class Case:
    """A tiny network, a lens of it, and clusters to read."""

    def __init__(self, kind):
        self.network = OPENED[kind]().to("cpu", torch.float64)
        make = images if self.network.unit == "image" else tokens
        self.lens = fit(self.network, answered(self.network, make(160, seed=1)), inside=True)
        self.reads = reads_of(self.network, self.lens, rotations=2)
        data = as_data(answered(self.network, make(30, seed=2)), self.network.unit)
        order = keyed_order(data, None, 0)
        self.batch = load_batch(data, order.indices, order.keys)

    def grid(self, *pieces, reads=None):
        grid = Grid(self.network, self.lens, reads or self.reads, 0, REPLICATES)
        for piece in pieces or [slice(0, 30)]:
            grid.add(self.network, self.batch.part(piece.start, piece.stop))
        return grid


@pytest.fixture(scope="module", params=["image", "token"])
def tiny(request):
    with torch.no_grad():
        return Case(request.param)


def numbers(grid):
    return torch.tensor(np.concatenate([[grid.column(n) for n in sorted(grid.sums.names)]]))


# MEASURES.md, sections 6 and 7, from logits that exist whole


@pytest.mark.parametrize("tiny", OPENED, indirect=True)
def test_every_column_by_brute_force(tiny):
    grid, brute = tiny.grid(slice(0, 7), slice(7, 30)), Brute(tiny.network, tiny.lens, tiny.batch, REPLICATES)
    table = grid_table(tiny.network, grid)
    found = {(r["index"], r.lens, r.fitted_at, r.measure): r for _, r in table.iterrows()}
    own = [brute.log(p.where, t) for p, t in zip(tiny.lens.places, tiny.lens.translators, strict=True)]
    last, bits = brute.readable(own[-1])[0], 1 / math.log(2)
    checked, missing, kept = 0, 0, 0
    for read in tiny.reads:
        log, base = brute.log(tiny.lens.places[read.at].where, read.translator), own[read.at]
        prior = brute.mean(brute.loss(brute.prior.expand_as(log)))
        loss, own_loss = brute.mean(brute.loss(log)), brute.mean(brute.loss(base))
        told, own_told = brute.readable(log), brute.readable(base)
        wanted = {
            "lens_loss": bits * loss,
            "lens_kl": bits * brute.mean(Brute.kl(brute.final, log)),
            "lens_entropy": bits * brute.mean(-(log.exp() * log).sum(-1)),
            "lens_agreement": brute.mean((log.argmax(-1) == brute.final.argmax(-1)).double()),
            "lens_accuracy": brute.mean((log.argmax(-1) == brute.labels).double()),
            "lens_calibration_error": brute.calibration(log),
            "readable": bits * told,
            "transfer_penalty": bits * (loss - own_loss),
            "transfer_kl": bits * brute.mean(Brute.kl(base, log)),
            "retention": told / own_told if own_told[0] >= 0.05 * last else None,
            "raw_retention": (prior - loss) / (prior - own_loss) if (prior - own_loss)[0] >= 0.05 * last else None,
        }
        for measure, estimate in wanted.items():
            row = found.pop((read.at, read.lens, "" if read.fitted_at < 0 else str(read.fitted_at), measure))
            if estimate is None:
                assert math.isnan(row["mean"]) and "less than 5 %" in row.reason
                missing += 1
                continue
            assert row.reason == ""
            scale = max(1.0, abs(estimate[0]))
            expected = (estimate[0], *interval(estimate, 30))
            assert (row["mean"], row.lo, row.hi) == pytest.approx(expected, abs=1e-5 * scale, rel=1e-5), (measure, read)
            checked += 1
            kept += measure == "retention"
    ((key, depth),) = found.items()  # nothing else is in the table
    assert key[-1] == "prediction_depth"
    assert (depth["mean"], depth.lo, depth.hi) == pytest.approx((brute.depth(own)[0], *interval(brute.depth(own), 30)))
    assert kept > 10 and checked > 150  # most cells are there
    assert missing > 0 or tiny.network.unit == "token"


def test_in_chunks_in_halves_and_in_any_order(tiny, monkeypatch):
    whole = tiny.grid()
    halves = tiny.grid(slice(0, 11))
    halves.merge(tiny.grid(slice(20, 30), slice(11, 20)))
    torch.testing.assert_close(numbers(halves), numbers(whole), rtol=1e-9, atol=1e-9)
    assert halves.units == whole.units and halves.clusters == 30
    monkeypatch.setattr(tracing, "CHUNK_BYTES", 4 * 5 * len(tiny.lens.prior))
    assert len(tracing.chunks(30, len(tiny.lens.prior))) == 6
    torch.testing.assert_close(numbers(tiny.grid()), numbers(whole), rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="11 clusters are in both"):
        halves.merge(tiny.grid(slice(0, 11)))


def test_the_diagonal_is_exactly_nothing(tiny):
    table = grid_table(tiny.network, tiny.grid(slice(0, 5), slice(5, 30)))
    own = table[table.fitted_at == table["index"].astype(str)]
    assert (own[own.measure == "transfer_kl"]["mean"] == 0).all()
    assert (own[own.measure == "transfer_penalty"]["mean"] == 0).all()
    assert set(own[own.measure == "retention"]["mean"].dropna()) == {1.0}
    others = table[(table.measure == "transfer_kl") & ~table.index.isin(own.index) & (table.lens == "affine")]
    assert len(others) > 5 and (others["mean"] > 0).all()


def test_permuting_lenses_permutes_rows(tiny):
    key = ["index", "lens", "fitted_at", "measure"]
    tables = [grid_table(tiny.network, tiny.grid(reads=reads)) for reads in (tiny.reads, tiny.reads[::-1])]
    pd.testing.assert_frame_equal(*(t.sort_values(key, ignore_index=True) for t in tables), rtol=1e-9, atol=1e-12)
    # the first two states' translators exchanged: rows 0 and 1 change places, and no other
    exchanged = {0: 1, 1: 0}
    reads = [
        Read(r.lens, r.at, r.fitted_at, tiny.lens.translators[exchanged.get(r.fitted_at, r.fitted_at)])
        for r in tiny.reads
        if r.lens == "affine"
    ]
    here, there = tiny.grid(), tiny.grid(reads=reads)
    assert any(r.fitted_at in exchanged for r in reads)
    for read in reads:
        row = exchanged.get(read.fitted_at, read.fitted_at)
        twin = next(r for r in tiny.reads if (r.lens, r.at, r.fitted_at) == ("affine", read.at, row))
        for what in ("loss", "to_final", "entropy"):
            assert np.array_equal(there.mean(read, what), here.mean(twin, what))
        assert np.array_equal(there.readable(read), here.readable(twin))


def test_the_identity_translator_is_the_logit_lens_bit_for_bit(tiny):
    seen = trace(tiny.network, tiny.batch, gradients=False)
    logit = fit(
        tiny.network, answered(tiny.network, (images if tiny.network.unit == "image" else tokens)(160)), "logit"
    )
    fits = 0
    for place, translator in zip(logit.places, logit.translators, strict=True):
        if place.width != logit.places[-1].width:
            assert translator is None
            continue
        state = state_at(tiny.network, seen, place.where)
        assert torch.equal(logit.read(tiny.network, seen, place.name), tiny.network.readout(tiny.network.rows(state)))
        fits += 1
    assert fits >= 2


def test_distances_are_means_of_cells(tiny):
    grid = tiny.grid()
    table, distances = grid_table(tiny.network, grid), by_distance(tiny.network, grid)
    cells = table[(table.measure == "retention") & (table.fitted_at != "") & table["mean"].notna()]
    apart = cells["index"].astype(int) - cells.fitted_at.astype(int)
    assert apart.nunique() >= 3
    for _, row in distances.iterrows():
        chosen = {"both": apart.abs(), "forward": apart, "backward": -apart}[row.direction] == row.distance
        assert row["mean"] == pytest.approx(cells[chosen]["mean"].mean()) and row.cells == chosen.sum()
        assert row.lo <= row["mean"] <= row.hi
    assert set(distances.distance) == set(apart.abs())
    kept = table[(table.measure == "retention") & table["mean"].notna()]
    kept = kept[kept.fitted_at != kept["index"].astype(str)]
    assert widest(grid) == pytest.approx(((kept.hi - kept.lo) / 2).max())


# what has no number says so


def test_nothing_readable_has_no_retention():
    network = carrying()
    items = [(x, (y + 1) % 4) for x, y in labelled(network, normal(400, 12), 1)]  # always the wrong answer
    wrong = judged(network, items, items, replicates=20)
    assert (wrong.matrix("readable") == 0).all()
    assert torch.isnan(wrong.matrix("retention")).all() and wrong.row("retention", "affine", 0, 1).reason
    assert widest(wrong.grid) == 0 and by_distance(network, wrong.grid).empty


def test_clusters_in_one_half_only_are_too_few(tiny):
    grid = tiny.grid(slice(0, 1))
    with pytest.raises(ItinfError, match=r"The 1 clusters read fall into halves of .* Read more clusters"):
        grid_table(tiny.network, grid)


def test_few_clusters_have_numbers_without_intervals(tiny):
    table = grid_table(tiny.network, tiny.grid(slice(0, 5)))  # some replicates hold no cluster of a half
    assert table["mean"].notna().mean() > 0.5 and table.lo.isna().all()


def test_a_state_that_is_not_finite_is_named():
    network = carrying()
    lens = fit(network, labelled(network, normal(400, 12), 1))
    network.model.blocks[1].register_forward_hook(
        lambda module, inputs, state: torch.where(state > 2, torch.inf, state)
    )
    network.model.blocks[2].register_forward_pre_hook(lambda module, inputs: (inputs[0].nan_to_num(0, 0, 0),))
    batch = load_batch(as_data(labelled(network, normal(50, 12, seed=1), 1), "image"), range(50))
    with pytest.raises(ItinfError, match=r"'blocks\.1' holds numbers that are not finite"):
        Grid(network, lens, reads_of(network, lens), 0, 0).add(network, batch)


def test_losses_are_not_taken_in_16_bits():
    network = gpt2().to("cpu", torch.bfloat16)
    seen = trace(network, load_batch(tokens(2), [0, 1]), gradients=False)
    assert seen.states[0].dtype == torch.bfloat16
    assert logits(network, vectors(network, seen.states[-1])).dtype == torch.float32


# networks whose answers are known (MEASURES.md, identities 9 and 13)


def cross_entropy(network, h, matrix, labels):
    return float(F.cross_entropy(network.head(h @ matrix.T), labels)) / math.log(2)


def test_rotations_have_known_lenses_and_a_known_transfer():
    found = case("turning")
    network, blocks = found.network, list(found.network.model.blocks)
    onward = [torch.eye(64, dtype=torch.float64)]
    for block in reversed(blocks):  # from h_j to h_L
        onward.insert(0, onward[0] @ block.matrix)
    vectors = normal(COUNT, 64, seed=2)
    labels = torch.tensor([y for _, y in labelled(network, vectors, 2)])
    losses = found.matrix("lens_loss")
    h = vectors
    for j in range(4):
        torch.testing.assert_close(found.lens.translators[j].matrix.double(), onward[j], rtol=0, atol=1e-5)
        assert found.lens.translators[j].bias.abs().max() < 1e-5
        for i in range(4):
            assert losses[i, j] == pytest.approx(cross_entropy(network, h, onward[i], labels), abs=1e-4)
        h = h @ blocks[j].matrix.T if j < 3 else h


def off_diagonal(matrix):
    return matrix[~torch.eye(len(matrix), dtype=torch.bool)]


@pytest.mark.parametrize(("name", "most"), [("shifting", 0.01), ("turning", 0.1)])
def test_depths_turned_afresh_transfer_nothing(name, most):
    found = case(name)  # random turns of 64 dimensions overlap by chance, shifted groups do not
    assert off_diagonal(found.matrix("retention")).abs().max() < most
    assert off_diagonal(found.matrix("retention")).median().abs() < 0.02
    # what one would say without setting confidence right: worse than nothing, by more than there is to tell
    assert off_diagonal(found.matrix("raw_retention")).max() < -1
    assert off_diagonal(found.matrix("transfer_penalty")).min() > 2.5 * found.row("readable", "affine", 3, 3)["mean"]


def test_depths_in_subspaces_of_their_own_transfer_nothing():
    kept = case("subspaces").matrix("retention")
    assert off_diagonal(kept[:3, :3]).abs().max() < 0.02 and (kept[3, :3].abs() < 0.02).all()
    # no lens saw the last state's subspace; each leaves it as it is, and there that is right
    assert (kept[:3, 3] > 0.99).all()


def test_descent_towards_its_own_posterior_transfers_once_confidence_is_set_right():
    found = case("descending")
    kept, raw = found.matrix("retention"), found.matrix("raw_retention")
    assert torch.isnan(kept[:, 0]).all() and found.row("retention", "affine", 0, 2).reason
    assert (kept[1:, 1:] > 0.9).all()
    # an affine lens extrapolates the steps that remain: early lenses overshoot on late states
    assert raw[1, 5] < 0.9 and raw[5, 1] < 0.9
    assert found.row("transfer_penalty", "affine", 5, 1)["mean"] > 0.05


def test_a_carried_answer_transfers_whole():
    found = case("carrying")
    for measure in ("retention", "raw_retention"):
        assert (found.matrix(measure) - 1).abs().max() < 1e-4
    assert (found.matrix("transfer_penalty")).abs().max() < 1e-4


def test_lenses_are_read_within_their_segment():
    widths = [4, 6, 6, 4]  # the last has the first one's width, and is no neighbour of it
    layers = [nn.Conv2d(a, b, 1) for a, b in itertools.pairwise(widths)]
    network = opened(Chain(layers, nn.Linear(4, 3)))
    lens = fit(network, labelled(network, normal(60, 4), 1))
    assert [(p.width, p.segment) for p in lens.places] == [(4, 0), (6, 1), (6, 1), (4, 2)]
    found = {}
    for read in reads_of(network, lens):
        found.setdefault(read.lens, set()).add((read.fitted_at, read.at))
    assert found.pop("affine") == {(0, 0), (1, 1), (1, 2), (2, 1), (2, 2), (3, 3)}
    assert found.pop("logit") == {(-1, 0), (-1, 3)}
    assert found == {lens: {(-1, 1), (-1, 2)} for lens in (SHARED, LEFT_OUT, f"{ROTATED} 1")}
