"""The grid of reads by brute force, in pieces, and on networks whose transfer is known."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

import itinf
from itinf import IGNORED, ItinfError
from itinf.data.clusters import keyed_order, load_batch
from itinf.data.items import as_data
from itinf.lenses.fit import fit
from itinf.lenses.transfer import logits as speaking
from itinf.lenses.transfer.cells import LEFT_OUT, MATCHED, ROTATED, SHARED, Cell, cells_of
from itinf.lenses.transfer.logits import cell_logits
from itinf.lenses.transfer.matrix import TransferMatrix
from itinf.lenses.transfer.pilot import windows
from itinf.lenses.transfer.retention import widest_half_width
from itinf.lenses.transfer.scores import GROUPS, TARGETS
from itinf.lenses.transfer.table import transfer_table
from itinf.lenses.transfer.temperature import BEST, BETAS, POWERS, best_betas
from itinf.networks.readout import logits, vectors
from itinf.networks.trace import trace
from itinf.statistics.intervals import interval
from lens_oracles import COUNT, Brute, carrying, case, judged, labelled
from oracles import Chain, generator, normal, opened, part_of
from shipped import settle
from tiny import Items, gpt2, images, resnet, tokens
from tolerance import rounding

CLUSTERS, REPLICATES = 60, 20


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def answered(network, data):
    """The same inputs with targets drawn from the network's own predictions, so that something is readable."""
    z = network.model(data.inputs.to(network.dtype) if network.unit == "image" else data.inputs)
    z = z if network.unit == "image" else z.logits
    p = (10 * z).softmax(-1)
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
        self.lens = fit(self.network, answered(self.network, make(160, seed=1)), parts=True)
        self.cells = cells_of(self.lens, rotations=2)
        data = as_data(answered(self.network, make(CLUSTERS, seed=2)), self.network.unit)
        order = keyed_order(data, None, 0)
        self.batch = load_batch(data, order.indices, order.keys)
        placed = windows(self.network, self.lens, self.cells, [self.batch])
        self.windows = placed * (1 + torch.rand(placed.shape, generator=generator(3), dtype=torch.float64))

    def grid(self, *pieces, order=None):
        order = list(range(len(self.cells))) if order is None else order
        reads = [self.cells[k] for k in order]
        grid = TransferMatrix(self.network, self.lens, reads, self.windows[:, order], 0, REPLICATES)
        for piece in pieces or [slice(0, CLUSTERS)]:
            grid.add(self.network, part_of(self.batch, piece.start, piece.stop))
        return grid


@pytest.fixture(scope="module", params=["image", "token"])
def tiny(request):
    with torch.no_grad():
        return Case(request.param)


def numbers(grid):
    sums = [[half.column(n) for n in sorted(half.names)] for half in grid.halves]
    return torch.cat([torch.tensor(np.concatenate(sums)).flatten(), grid.marginals.flatten()])


# MEASURES.md, sections 6 and 7, from logits that exist whole


def key_of(read, measure, target):
    return read.at, read.lens, read.fitted_at, read.form, read.null, read.seed, measure, target


KEY = ["state_index", "lens", "fitted_at", "form", "null", "null_seed", "measure", "target"]


def wanted(brute, read, units, own, last):
    """(measure, target) -> estimate (1 + B,) in the table's units, or None where there is none."""
    bits = 1 / math.log(2)
    log, base = brute.log(brute.sites[read.at].id, read.translator), own[read.at]
    found = {}
    if read.fitted_at in (-1, read.at) and read.null == "observed":
        found |= {
            ("lens_loss", "label"): bits * brute.mean(brute.loss(log)),
            ("lens_kl", "model"): bits * brute.mean(Brute.kl(brute.final, log)),
            ("lens_entropy", "model"): bits * brute.mean(-(log.exp() * log).sum(-1)),
            ("lens_agreement", "answer"): brute.mean((log.argmax(-1) == brute.final.argmax(-1)).double()),
            ("lens_accuracy", "label"): brute.mean((log.argmax(-1) == brute.labels).double()),
            ("lens_calibration_error", "label"): brute.calibration(log),
        }
    found["transfer_penalty", "label"] = bits * brute.mean(brute.loss(log) - brute.loss(base))
    found["transfer_kl", "model"] = bits * brute.mean(Brute.kl(base, log))
    for target, unit in zip(TARGETS, units[read], strict=True):
        told = brute.crosswise(log, target, unit)
        found["readable", target] = bits * told
        own_unit = units[own_read(units, read.at)][TARGETS.index(target)]
        for measure, mine, below in (
            ("retention", told, brute.crosswise(base, target, own_unit)),
            ("raw_retention", brute.readable(log, target, 1.0), brute.readable(base, target, 1.0)),
        ):
            sure = (below[0] >= 0.05 * last[target][0]) and all(
                x[0] > 0 and not interval(x, CLUSTERS)[0] <= x[0] / 2 for x in (below, last[target])
            )
            found[measure, target] = mine / below if sure else None
        if 0 <= read.fitted_at < read.at and not read.form:
            place = own_read(units, read.fitted_at)
            where_fitted = brute.crosswise(own[read.fitted_at], target, units[place][TARGETS.index(target)])
            kept = found["retention", target]
            below = brute.crosswise(base, target, own_unit)
            found["carried_at_most", target] = None if kept is None else where_fitted / below
            found["surplus", target] = None if kept is None else (told - where_fitted) / below
    return found


def own_read(reads, at):
    return next(read for read in reads if read.at == read.fitted_at == at)


@pytest.mark.parametrize("tiny", OPENED, indirect=True)
def test_every_number_by_brute_force(tiny):
    grid, brute = tiny.grid(slice(0, 7), slice(7, CLUSTERS)), Brute(tiny.network, tiny.lens, tiny.batch, REPLICATES)
    found = {
        tuple(-1 if pd.isna(r[k]) else r[k] for k in KEY): r for _, r in transfer_table(tiny.network, grid).iterrows()
    }
    own = [brute.log(p.id, t) for p, t in zip(tiny.lens.sites, tiny.lens.translators, strict=True)]
    units = {read: tiny.windows[:, k].tolist() for k, read in enumerate(tiny.cells)}
    end = units[own_read(units, len(own) - 1)]
    last = {target: brute.crosswise(own[-1], target, unit) for target, unit in zip(TARGETS, end, strict=True)}
    counts = dict.fromkeys(("number", "missing", "retention"), 0)
    for read in tiny.cells:
        for (measure, target), estimate in wanted(brute, read, units, own, last).items():
            row = found.pop(key_of(read, measure, target))
            if estimate is None:
                assert math.isnan(row["mean"]) and row.reason
                counts["missing"] += 1
                continue
            assert row.reason == ""
            scale = max(1.0, abs(estimate[0]))
            expected = (estimate[0], *interval(estimate, CLUSTERS))
            assert (row["mean"], row.lo, row.hi) == pytest.approx(expected, abs=1e-5 * scale, rel=1e-5), (measure, read)
            counts["number"] += 1
            counts["retention"] += measure == "retention"
    rest = {key for key in found if key[-2] != "lens_marginal_bias"}
    assert [key[-2] for key in rest] == ["prediction_depth"]  # nothing else is in the table
    depth, expected = found[rest.pop()], brute.depth(own)
    assert (depth["mean"], depth.lo, depth.hi) == pytest.approx((expected[0], *interval(expected, CLUSTERS)))
    assert counts["number"] > 150 and counts["retention"] > 10 and counts["missing"] > 0


@pytest.mark.parametrize("tiny", OPENED, indirect=True)
def test_marginal_bias_and_its_jackknife_by_brute_force(tiny):
    grid, brute = tiny.grid(slice(0, 7), slice(7, CLUSTERS)), Brute(tiny.network, tiny.lens, tiny.batch, 0)
    table = transfer_table(tiny.network, grid)
    rows = table[table.measure == "lens_marginal_bias"].set_index(["lens", "state_index"])
    group = (tiny.batch.keys % np.uint64(GROUPS)).astype(int)
    present = np.unique(group)
    assert len(present) > 3 and len(rows) == len(grid.scored_in_full) > 6
    for read in grid.scored_in_full:
        log = brute.log(brute.sites[read.at].id, read.translator)
        left = np.array([brute.marginal(log, group != g) for g in present])
        error = math.sqrt((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum())
        half = stats.t.ppf(0.975, len(left) - 1) * error
        mean = brute.marginal(log, np.ones(CLUSTERS, dtype=bool))
        row = rows.loc[(read.lens, read.at)]
        expected = [x / math.log(2) for x in (mean, mean - half, mean + half)]
        assert [row["mean"], row.lo, row.hi] == pytest.approx(expected, abs=1e-6, rel=1e-5)


def test_in_chunks_in_halves_and_in_any_order(tiny, monkeypatch):
    whole = tiny.grid(slice(0, 30))
    halves = tiny.grid(slice(0, 11))
    halves.merge(tiny.grid(slice(20, 30), slice(11, 20)))
    torch.testing.assert_close(numbers(halves), numbers(whole), rtol=1e-9, atol=1e-9)
    assert halves.units == whole.units and halves.clusters == 30
    classes, few = len(tiny.lens.log_prior), slice(0, 7)
    expected = numbers(tiny.grid(few))
    for rows, logits_, least, piece in (
        (640, (1, 2**25), 64, 3 * classes),
        (40, (1, 2**25), 1, 2**18),
        (1, (1, 1), 7, 5 * classes),
    ):
        for name, value in (("HEAD_ROWS", rows), ("LOGITS", logits_), ("TRANSLATOR_ROWS", least), ("PIECE", piece)):
            monkeypatch.setattr(speaking, name, value)
        torch.testing.assert_close(numbers(tiny.grid(few)), expected, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match=r"\d clusters are in both"):
        halves.merge(tiny.grid(slice(0, 11)))


def test_clusters_without_a_target_add_nothing(tiny):
    grid, rest = tiny.grid(slice(0, 20)), part_of(tiny.batch, 20, CLUSTERS)
    before = numbers(grid)
    grid.add(tiny.network, replace(rest, targets=torch.full_like(rest.targets, IGNORED)))
    assert torch.equal(numbers(grid), before) and grid.clusters == CLUSTERS


def test_grids_of_other_temperatures_do_not_merge(tiny):
    other = TransferMatrix(tiny.network, tiny.lens, tiny.cells, tiny.windows + 0.1, 0, REPLICATES)
    with pytest.raises(ItinfError, match="read at different temperatures"):
        tiny.grid(slice(0, 5)).merge(other)


@pytest.mark.parametrize("tiny", OPENED, indirect=True)
def test_windows_are_placed_by_the_losses_of_the_pilot(tiny):
    brute, pieces = Brute(tiny.network, tiny.lens, tiny.batch, 0), [slice(0, 13), slice(13, CLUSTERS)]
    reads = tiny.cells[:: 1 + len(tiny.cells) // 20]
    found = windows(tiny.network, tiny.lens, reads, (part_of(tiny.batch, p.start, p.stop) for p in pieces))
    assert found.shape == (2, len(reads)) and found.unique().numel() > 8
    whole = windows(tiny.network, tiny.lens, reads, [tiny.batch])
    torch.testing.assert_close(found, whole, rtol=1e-9, atol=0)
    narrow = 0
    for row, target in zip(found, TARGETS, strict=True):
        logs = [brute.log(brute.sites[read.at].id, read.translator) for read in reads]
        losses = [[-brute.readable(log, target, beta)[0] for log in logs] for beta in BETAS]
        best = best_betas(torch.tensor(losses))
        assert (row * POWERS[-1] >= (best * POWERS[-1] / BEST).clamp_max(BETAS[-1]) * (1 - 1e-9)).all()
        narrow += int(((row * BEST / best - 1).abs() < 1e-6).sum())
    assert narrow > 0  # where the best β is known well, it is in the middle of the window


def test_the_diagonal_is_exactly_nothing(tiny):
    table = transfer_table(tiny.network, tiny.grid(slice(0, 5), slice(5, CLUSTERS)))
    own = table[(table.fitted_at == table.state_index).fillna(False)]
    assert (own[own.measure == "transfer_kl"]["mean"] == 0).all()
    assert (own[own.measure == "transfer_penalty"]["mean"] == 0).all()
    assert set(own[own.measure == "retention"]["mean"].dropna()) == {1.0}
    others = table[(table.measure == "transfer_kl") & ~table.index.isin(own.index) & (table.lens == "affine")]
    assert len(others) > 5 and (others["mean"] > 0).all()


def test_permuting_lenses_permutes_rows(tiny):
    orders = [list(range(len(tiny.cells))), list(range(len(tiny.cells)))[::-1]]
    tables = [transfer_table(tiny.network, tiny.grid(order=order)) for order in orders]
    pd.testing.assert_frame_equal(*(t.sort_values(KEY, ignore_index=True) for t in tables), rtol=1e-9, atol=1e-12)
    # the first two states' translators exchanged: rows 0 and 1 change places, and no other
    exchanged = {0: 1, 1: 0}
    plain = [k for k, r in enumerate(tiny.cells) if r.lens == "affine" and r.form == ""]
    twins, reads = [], []
    for read in (tiny.cells[k] for k in plain):
        row = exchanged.get(read.fitted_at, read.fitted_at)
        twin = next(k for k in plain if (tiny.cells[k].at, tiny.cells[k].fitted_at) == (read.at, row))
        twins.append(twin)
        reads.append(Cell("affine", read.at, read.fitted_at, tiny.cells[twin].translator))
    there = TransferMatrix(tiny.network, tiny.lens, reads, tiny.windows[:, twins], 0, REPLICATES)
    there.add(tiny.network, tiny.batch)
    here = tiny.grid()
    assert any(r.fitted_at in exchanged for r in reads)
    for read, twin in zip(reads, (tiny.cells[k] for k in twins), strict=True):
        for what in ("loss", "to_final"):
            np.testing.assert_allclose(there.mean(read, what), here.mean(twin, what), rtol=1e-9, atol=1e-12)
        for target in TARGETS:
            np.testing.assert_allclose(there.readable(read, target), here.readable(twin, target), rtol=1e-9, atol=1e-12)


def test_the_identity_translator_is_the_logit_lens_bit_for_bit(tiny):
    seen = trace(tiny.network, tiny.batch, gradients=False)
    logit = fit(
        tiny.network, answered(tiny.network, (images if tiny.network.unit == "image" else tokens)(160)), "logit"
    )
    fits = 0
    for place, translator in zip(logit.sites, logit.translators, strict=True):
        if place.width != logit.sites[-1].width:
            assert translator is None
            continue
        state = seen.state(place.id)
        assert torch.equal(logit.read(seen, place.name), tiny.network.readout(tiny.network.per_prediction(state)))
        fits += 1
    assert fits >= 2


def test_the_widest_interval_is_that_of_a_retention_which_more_units_make_narrower(tiny):
    grid = tiny.grid()
    table = transfer_table(tiny.network, grid)
    kept = table[(table.measure == "retention") & table["mean"].notna()]
    kept = kept[(kept.fitted_at != kept.state_index).fillna(True)]
    assert len(kept) and widest_half_width(grid) == pytest.approx(((kept.hi - kept.lo) / 2).max())


def test_a_linear_head_says_the_same_in_the_same_memory(tiny):
    seen = trace(tiny.network, tiny.batch, gradients=False)
    units = torch.arange(3, 25)
    heads = (tiny.network.head, lambda x: tiny.network.head(x))
    kept = [[], []]
    for found, head in zip(kept, heads, strict=True):
        for said in cell_logits(
            replace(seen, network=replace(tiny.network, head=head)), tiny.lens.sites, tiny.cells, units
        ):
            found.append((said.cells, said.logits.clone()))
    for (reads, here), (others, there) in zip(*kept, strict=True):
        assert reads == others
        # the bias is added before the product or after it; terms of either sign add up to about √width times the sum
        width = tiny.network.head.in_features
        bound = rounding(here.dtype, width, width**0.5 * here.abs().max())
        torch.testing.assert_close(here, there, rtol=0, atol=bound)
        state = tiny.lens.sites[tiny.cells[reads[0]].at]
        wanted = tiny.cells[reads[-1]].translator(vectors(tiny.network, seen.state(state.id))[units])
        torch.testing.assert_close(here[-1], logits(tiny.network, wanted))


# what has no number says so


def test_nothing_readable_has_no_retention_of_labels_but_one_of_the_network():
    """As in an untrained network: its lenses read its own end, which says nothing of the labels."""
    network = carrying()
    fitted, read = (
        [
            (x, int(y))
            for (x, _), y in zip(items, torch.randint(4, (len(items),), generator=generator(seed)), strict=True)
        ]
        for seed in (1, 2)
        for items in [labelled(network, normal(600, 12, seed=seed), seed)]
    )
    found = judged(network, fitted, read, replicates=50)
    assert torch.isnan(found.matrix("retention")).all() and torch.isnan(found.along("retention", LEFT_OUT)).all()
    assert "nothing" in found.row("retention", "affine", 0, 1).reason
    assert (found.matrix("retention", target="model") - 1).abs().max() < 1e-3
    assert (found.along("retention", LEFT_OUT, target="model") > 0.99).all()
    assert 0 < widest_half_width(found.grid) < 0.01


def test_few_clusters_have_numbers_without_intervals(tiny):
    table = transfer_table(tiny.network, tiny.grid(slice(0, 5)))
    assert table["mean"].notna().mean() > 0.5 and table.lo.isna().all()


def test_a_state_without_a_translator_is_not_read(tiny):
    lens = replace(tiny.lens, translators=[None if k == 1 else t for k, t in enumerate(tiny.lens.translators)])
    for given in (lens, replace(lens, statistics=None)):
        reads = cells_of(given)
        assert {r.at for r in reads} == {r.at for r in tiny.cells} - {1} and 1 not in {r.fitted_at for r in reads}
        grid = TransferMatrix(tiny.network, given, reads, torch.ones(2, len(reads)), 0, REPLICATES)
        grid.add(tiny.network, tiny.batch)
        assert set(transfer_table(tiny.network, grid)["state_index"]) == {r.at for r in reads}
    assert {r.lens for r in reads} == {"affine", "logit"}  # a lens from a file has nothing shared


def test_a_state_that_is_not_finite_is_named():
    network = carrying()
    lens = fit(network, labelled(network, normal(400, 12), 1))
    network.model.blocks[1].register_forward_hook(
        lambda module, inputs, state: torch.where(state > 2, torch.inf, state)
    )
    network.model.blocks[2].register_forward_pre_hook(lambda module, inputs: (inputs[0].nan_to_num(0, 0, 0),))
    batch = load_batch(as_data(labelled(network, normal(50, 12, seed=1), 1), "image"), range(50))
    reads = cells_of(lens)
    with pytest.raises(ItinfError, match=r"'blocks\.1' holds numbers that are not finite"):
        TransferMatrix(network, lens, reads, torch.ones(2, len(reads)), 0, 0).add(network, batch)


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
    losses = found.matrix("transfer_penalty") + torch.tensor(
        [found.row("lens_loss", "affine", j, j)["mean"] for j in range(4)]
    )
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
    assert [(p.width, p.segment) for p in lens.sites] == [(4, 0), (6, 1), (6, 1), (4, 2)]
    found = {}
    for read in cells_of(lens):
        found.setdefault((read.lens, read.form, read.null), set()).add((read.fitted_at, read.at))
    assert found.pop(("affine", "", "observed")) == {(0, 0), (1, 1), (1, 2), (2, 1), (2, 2), (3, 3)}
    assert found.pop(("affine", MATCHED, "observed")) == {(1, 2), (2, 1)}
    assert found.pop(("logit", "", "observed")) == {(-1, 0), (-1, 3)}
    one = [(SHARED, "", "observed"), (LEFT_OUT, "", "observed"), (LEFT_OUT, "", ROTATED)]
    assert found == {name: {(-1, 1), (-1, 2)} for name in one}
