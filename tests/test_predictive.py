"""The predictive-coding models as networks: slots, errors, options, the counts, and what is refused."""

import math

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import itinf
from itinf import ItinfError
from language import predictive_tabular as tabular
from language.predictive import predictive
from language.predictive_tabular import log_shares, pair_counts, predictive_tabular
from oracles import generator

SMALL = {"width": 16, "heads": 2, "depth": 2, "vocab_size": 256, "context": 32}


def ids(vocabulary=256, count=2, length=12, seed=0):
    return torch.randint(vocabulary, (count, length), generator=generator(seed))


@pytest.fixture
def counted(monkeypatch):
    """Counts of ten tokens in place of the standard library's."""
    counts = torch.randint(5, (2048, 2048), generator=generator(1))
    monkeypatch.setattr(tabular, "_stdlib_counts", lambda: counts)
    return counts


@pytest.mark.parametrize("kernel", ["exp", "linear"])
@pytest.mark.parametrize("error", ["prediction", "truth", "ascent"])
def test_every_kind_is_described_rightly(kernel, error):
    assert itinf.check(predictive("random:1", kernel=kernel, error=error, **SMALL)).ok


@torch.no_grad()
def test_slots_errors_and_the_one_readout():
    network = predictive("random:2", **SMALL)
    model, tokens = network.model, ids()
    states = model.states(tokens)
    token, guess = model.places["token"], model.places["prediction"]
    assert all(torch.equal(state[..., token], states[0][..., token]) for state in states)
    assert not torch.equal(states[0][..., guess], states[1][..., guess])
    for state, error in zip(states, model.errors(tokens), strict=False):
        with torch.enable_grad():
            at = state[..., guess].clone().requires_grad_()
            loss = F.cross_entropy(model.head(at)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum")
            (gradient,) = torch.autograd.grad(loss, at)
        torch.testing.assert_close(error, -gradient, rtol=1e-4, atol=1e-6)
        assert not error[:, -1].any()
    assert len(model.errors(tokens)) == 2
    torch.testing.assert_close(network.readout(network.per_prediction(states[1])), model.read(states[1]).flatten(0, 1))
    assert torch.equal(model(tokens).logits, model.read(states[-1]))


@torch.no_grad()
def test_a_window_of_one_reads_one_token_and_one_of_three_reads_three():
    for window in (1, 3):
        model = predictive("random:2", window=window, **SMALL).model
        tokens = ids()
        changed = tokens.clone()
        changed[:, 4] = (changed[:, 4] + 1) % 256
        moved = (model.first(tokens) - model.first(changed)).abs().amax((0, 2)) > 0
        assert moved.nonzero().flatten().tolist() == list(range(4, 4 + window))


def test_the_kernel_is_symmetric_and_positive_semidefinite():
    for kernel in ("exp", "linear"):
        model = predictive("random:2", kernel=kernel, **SMALL).model.double()
        found = model.layers[0].correction.kernel(torch.randn(1, 20, 16, dtype=torch.float64, generator=generator(3)))[
            0
        ]
        torch.testing.assert_close(found, found.T)
        assert torch.linalg.eigvalsh(found).min() > -1e-12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"error": "up"}, "predictive: error is 'up'; expected prediction, truth or ascent"),
        ({"kernel": "rbf"}, "predictive: kernel is 'rbf'; expected exp or linear"),
        ({"heads": 3}, "width of 16 cannot be split among 3 heads"),
        ({"window": 0}, "window is 0; expected at least 1"),
        ({"dept": 3}, "predictive has no option 'dept'. Did you mean depth"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ItinfError, match=message):
        predictive(None, **SMALL | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"depth": 3}, "options depth given beside weights 'specimen'"), ({"error": "up"}, "error is 'up'")],
)
def test_wrong_options_beside_the_specimen_are_refused(options, message):
    with pytest.raises(ItinfError, match=message):
        predictive("specimen", **options)


def test_untrained_copies_are_random_networks_of_the_same_kind():
    network = predictive("random:2", error="truth", **SMALL)
    other = network.untrained(5)
    assert other.weights == "random:5" and other.model.config.error == "truth"
    assert not torch.equal(other.model.head.weight, network.model.head.weight)


def test_pairs_are_counted_inside_documents():
    counts = pair_counts([[0, 1, 0, 1], [2], [1, 2]], 3)
    assert counts.tolist() == [[0, 2, 0], [1, 0, 1], [0, 0, 0]]


def test_the_first_prediction_is_the_share_of_the_pairs():
    shares = log_shares(torch.tensor([[0, 6], [2, 0]])).exp()
    prior = torch.tensor([3 / 10, 7 / 10])  # 2 and 6, one more each
    expected = torch.stack([(torch.tensor(row) + 20 * prior) / (sum(row) + 20) for row in ([0.0, 6.0], [2.0, 0.0])])
    torch.testing.assert_close(shares, expected)
    torch.testing.assert_close(shares.sum(1), torch.ones(2))


@torch.no_grad()
def test_the_tabular_model_by_hand(counted):
    network = predictive_tabular(steps=2, rate=0.5)
    tokens = torch.tensor([[3, 7, 3, 9, 3]])
    table = log_shares(counted)
    first = table[tokens[0]]
    error = F.one_hot(torch.tensor([7, 3, 9, 3]), 2048) - first[:4].softmax(-1)
    second = first.clone()
    second[2] += 0.5 * error[0]
    second[4] += 0.5 * (error[0] + error[2])
    torch.testing.assert_close(network.model.read(network.model.states(tokens)[1])[0], second)
    assert itinf.check(network).ok and network.weights == "specimen" and network.untrained(1).weights == "random:1"


@torch.no_grad()
def test_truths_alone_copy_and_ascent_climbs(counted):
    tokens = torch.tensor([[3, 7, 3, 9, 3]])
    logits = {}
    for error in ("prediction", "truth", "ascent"):
        model = predictive_tabular(steps=1, rate=0.5, error=error).model
        logits[error] = model(tokens).logits[0, 4] - model.table.weight[3]
    torch.testing.assert_close(logits["ascent"], -logits["prediction"])
    assert logits["truth"].nonzero().flatten().tolist() == [7, 9]


def test_counts_of_a_file(tmp_path):
    save_file({"counts": torch.eye(256)}, tmp_path / "counts.safetensors")
    network = predictive_tabular(str(tmp_path / "counts.safetensors"), tokenizer="bytes", steps=1)
    assert network.head.out_features == 256 and network.prepare("ab").tolist() == [97, 98]
    assert network.model(torch.tensor([[65]])).logits.argmax() == 65
    save_file({"counts": torch.ones(3, 4)}, tmp_path / "other.safetensors")
    with pytest.raises(ItinfError, match="no square matrix 'counts'"):
        predictive_tabular(str(tmp_path / "other.safetensors"))
    save_file({"counts": -torch.ones(4, 4)}, tmp_path / "other.safetensors")
    with pytest.raises(ItinfError, match="are no counts"):
        predictive_tabular(str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"rate": 0}, "rate is 0"),
        ({"rate": math.nan}, "rate is"),
        ({"error": "x"}, "error is"),
    ],
)
def test_wrong_options_of_the_tabular_model_are_refused(options, message):
    with pytest.raises(ItinfError, match=f"predictive-tabular: {message}"):
        predictive_tabular(**options)
