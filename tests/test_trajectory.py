"""Prediction trajectories: every number beside one computed by hand, and what may be given."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import itinf
from itinf.data.dataset import IGNORED, Batch
from itinf.lenses.trajectory import readings as module
from tiny import gpt2, images, resnet, tokens

TEXT = "depth"


def softmax(z):
    z = np.asarray(z, dtype=np.float64)
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def first(table):
    """One row for each item, position, state and reader."""
    return table[table["rank"] == 1].reset_index(drop=True)


@pytest.fixture(scope="module")
def language():
    """A tiny GPT-2 that reads bytes below 61, its lenses, and two sequences."""
    network = gpt2().to("cpu", torch.float64)
    lenses = [itinf.fit(network, tokens(120, seed=1), kind) for kind in ("affine", "shared")]
    ids = torch.randint(61, (2, 5), generator=torch.Generator().manual_seed(3))
    return network, lenses, ids, itinf.trajectory(network, ids, lenses)


def test_the_last_state_read_by_the_network_itself_is_its_own_softmax(language):
    network, _, ids, made = language
    with torch.no_grad():
        own = softmax(network.model(ids).logits)
    table = made.table[(made.table["reader"] == "logit") & (made.table["state"] == 2)]
    for row in table.itertuples():
        assert row.probability == pytest.approx(own[row.item, row.position, row[11]], abs=1e-6)
    assert first(table)["class"].tolist() == own.argmax(-1).flatten().tolist()
    assert (first(table)["divergence"] == 0).all()


@pytest.mark.parametrize("place", [0, 1])
def test_a_lens_reads_as_it_reads_by_hand(place, language):
    network, lenses, ids, made = language
    batch = Batch(ids, torch.zeros_like(ids), np.arange(2, dtype=np.uint64))
    trace = itinf.trace(network, batch, gradients=False)
    reader = ["own", "shared"][place]
    for state, site in enumerate(lenses[place].sites):
        p = softmax(lenses[place].read(trace, site.name)).reshape(2, 5, -1)
        table = made.table[(made.table["reader"] == reader) & (made.table["state"] == state)]
        assert set(table["state_name"]) == {site.name} and set(table["lens"]) == {lenses[place].kind}
        assert len(table) == 2 * 5 * 5
        for row in table.itertuples():
            order = np.argsort(-p[row.item, row.position], kind="stable")
            assert row[11] == order[row.rank - 1]
            assert row.probability == pytest.approx(p[row.item, row.position, row[11]], abs=1e-9)


def test_rank_entropy_and_divergence_are_those_computed_by_hand(language):
    network, lenses, ids, made = language
    batch = Batch(ids, torch.zeros_like(ids), np.arange(2, dtype=np.uint64))
    trace = itinf.trace(network, batch, gradients=False)
    final = softmax(network.model(ids).logits.detach())
    p = softmax(lenses[0].read(trace, "transformer.h.0")).reshape(2, 5, -1)
    rows = first(made.table[(made.table["reader"] == "own") & (made.table["state"] == 1)])
    for row in rows.itertuples():
        here, last = p[row.item, row.position], final[row.item, row.position]
        assert row.entropy == pytest.approx(-(here * np.log2(here)).sum(), abs=1e-9)
        assert row.divergence == pytest.approx((last * np.log2(last / here)).sum(), abs=1e-9)
        if row.position < 4:
            truth = int(ids[row.item, row.position + 1])
            assert row.truth == truth and row.truth_probability == pytest.approx(here[truth], abs=1e-9)
            assert row.truth_rank == 1 + sum(here > here[truth])
        else:
            assert pd.isna(row.truth) and pd.isna(row.truth_rank) and np.isnan(row.truth_probability)


def test_a_position_predicts_the_next_token(language):
    network, _, ids, made = language
    rows = first(made.table).drop_duplicates(["item", "position"])
    assert rows["input"].tolist() == ids.flatten().tolist()
    assert rows[rows["position"] < 4]["truth"].tolist() == ids[:, 1:].flatten().tolist()
    changed = ids.clone()
    changed[:, 3] = (changed[:, 3] + 1) % 61
    other = itinf.trajectory(network, changed).table  # what is read before position 3 cannot know of it
    mine = made.table[made.table["reader"] == "logit"].reset_index(drop=True)
    same = np.isclose(mine["probability"], other["probability"], atol=1e-12) & (mine["class"] == other["class"])
    assert same[mine["position"] < 3].all() and not same[mine["position"] >= 3].all()


def test_a_batch_keeps_its_own_targets(language):
    network, _, ids, _ = language
    targets = torch.full_like(ids, IGNORED)
    targets[1, 2] = 7
    table = first(itinf.trajectory(network, Batch(ids, targets, np.arange(2, dtype=np.uint64))).table)
    assert table[table["truth"].notna()][["item", "position", "truth"]].drop_duplicates().values.tolist() == [[1, 2, 7]]


def test_equal_classes_are_ordered_by_number():
    log_p = torch.log(torch.tensor([[0.2, 0.3, 0.3, 0.2]], dtype=torch.float64))
    found = module._read(log_p, log_p, torch.tensor([2]))
    assert found["classes"].tolist() == [[1, 2, 0, 3]] and found["truth_rank"].tolist() == [2]
    assert found["entropy"].item() == pytest.approx(-(0.4 * np.log2(0.2) + 0.6 * np.log2(0.3)))
    certain = torch.tensor([[0.0, -torch.inf]], dtype=torch.float64)
    found = module._read(certain, certain, torch.tensor([IGNORED]))
    assert found["entropy"].item() == 0 and found["divergence"].item() == 0 and found["truth_rank"].item() == 0


def test_few_units_are_read_at_a_time(language, monkeypatch):
    network, lenses, ids, made = language
    seen = []
    read = module.translated_logits
    monkeypatch.setattr(module, "chunks", lambda total, classes: [slice(i, i + 3) for i in range(0, total, 3)])
    monkeypatch.setattr(module, "translated_logits", lambda n, rows, t: seen.append(len(rows)) or read(n, rows, t))
    again = itinf.trajectory(network, ids, lenses).table
    assert max(seen) == 3
    pd.testing.assert_frame_equal(again, made.table)


def test_pictures_are_read_at_the_states_that_each_reader_fits():
    network, data = resnet(), images(3)
    lens = itinf.fit(network, images(200, seed=1))
    made = itinf.trajectory(network, Batch(data.inputs, data.targets, np.arange(3, dtype=np.uint64)), lens)
    states = made.table.groupby("reader")["state"].unique().map(list)
    assert states["own"] == [0, 1, 2, 3, 4, 5, 6] and states["logit"] == [5, 6]  # 16, 32 and 64 channels
    with torch.no_grad():
        own = softmax(network.model.eval()(data.inputs))
    last = first(made.table[(made.table["state"] == 6) & (made.table["reader"] == "logit")])
    for row in last.itertuples():
        truth = int(data.targets[row.item])
        assert row.probability == pytest.approx(own[row.item].max(), abs=1e-6)
        assert (row.truth, row.truth_rank) == (truth, 1 + sum(own[row.item] > own[row.item, truth]))
    assert "which fits 2 of 7 states" in made.lenses["logit"]


def test_a_picture_is_prepared_as_a_data_set_prepares_it(tmp_path):
    network = itinf.network("cifar-resnet8")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    tensor = network.prepare(Image.fromarray(pixels))
    of_path, of_image, of_tensor = (
        itinf.trajectory(network, given) for given in (tmp_path / "a.png", Image.fromarray(pixels), tensor)
    )
    pd.testing.assert_frame_equal(of_path.table, of_image.table)
    pd.testing.assert_frame_equal(of_path.table, of_tensor.table)
    assert of_path.names == ("a.png",)
    for made in (of_path, of_tensor):  # standardised pixels get their colours back
        import io

        shown = np.asarray(Image.open(io.BytesIO(made.pictures[0])))
        assert np.abs(shown.astype(int) - pixels.astype(int)).max() <= 1
    assert of_path.table["text"].iloc[0] in network.classes


def test_a_text_is_read_as_its_tokens():
    network = itinf.network("gpt2", n_layer=1, n_embd=8, n_head=2, vocab_size=256, n_positions=16)
    rows = first(itinf.trajectory(network, "a\né").table)
    rows = rows[rows["state"] == 0]
    assert rows["input"].tolist() == [97, 10, 195, 169]
    assert rows["input_text"].tolist() == ["a", "\n", "\\xc3", "\\xa9"]
    assert rows["truth_text"].tolist() == ["\n", "\\xc3", "\\xa9", ""]


def test_pieces_of_a_tokenizer_join_to_the_text():
    network = itinf.network("gpt2", "specimen")
    text = "import os\n    for path in os.listdir('é'):"
    ids = network.prepare(text).tolist()
    pieces = network.prepare.pieces(ids)
    assert "".join(piece for piece in pieces if piece.isascii()) == text.replace("é", "")
    assert network.prepare.pieces([10**6]) == [""]


def test_what_reads_twice_is_refused(language):
    network, lenses, ids, _ = language
    with pytest.raises(itinf.ItinfError, match="would both be read as 'own'"):
        itinf.trajectory(network, ids, [lenses[0], lenses[0]])
    with pytest.raises(itinf.ItinfError, match="own readout would both be read as 'logit'"):
        itinf.trajectory(network, ids, itinf.fit(network, tokens(120, seed=1), "logit"))


def test_the_network_is_as_it_was(language):
    network, lenses, ids, _ = language
    network.model.train()
    itinf.trajectory(network, ids, lenses)
    assert network.model.training and all(p.requires_grad for p in network.model.parameters())
    network.model.eval()


def test_a_network_with_one_readout_for_every_depth_is_read_by_it_without_a_lens():
    sizes = {"depth": 2, "width": 16, "heads": 2, "vocab_size": 61, "context": 16}
    network, ids = itinf.network("predictive", weights="random:1", **sizes), torch.arange(12).reshape(2, 6)
    made = itinf.trajectory(network, ids)
    assert set(made.table["reader"]) == {"logit"} and "fits 3 of 3 states" in made.lenses["logit"]
    for state, h in enumerate(network.model.states(ids)):
        p = softmax(network.model.read(h).detach())
        rows = first(made.table[made.table["state"] == state])
        assert rows["class"].tolist() == p.argmax(-1).flatten().tolist()
        assert rows["probability"].tolist() == pytest.approx(p.max(-1).flatten().tolist(), rel=1e-6)
