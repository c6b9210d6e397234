"""What a predictive-coding layer computes: gradient steps, linear attention, fast weights; and what only looks like it."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from language.correction import Correction, carried, errors, following
from language.predictive import predictive
from language.predictive_tabular import Tabular
from oracles import generator, normal

V, D, T = 30, 7, 11


@pytest.fixture(autouse=True)
def double():
    """Identities hold to the rounding of float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def ids(count=1, length=T, seed=0, vocabulary=V):
    return torch.randint(vocabulary, (count, length), generator=generator(seed))


def head(seed=1):
    made = nn.Linear(D, V)
    with torch.no_grad():
        made.weight.copy_(normal(V, D, seed=seed))
        made.bias.copy_(normal(V, seed=seed + 1))
    return made


def linear(steps, causal, rate, readout, tokens):
    """Predictions ŷ_0 … ŷ_K of steps of one linear kernel whose features are x itself, from ŷ = W0 x."""
    x, start = normal(1, T, D, seed=3), normal(D, D, seed=4)
    predictions = [x @ start.T]
    step = Correction(D, nn.Identity(), rate=rate, causal=causal).double()
    for _ in range(steps):
        state = torch.cat([x, predictions[-1]], -1)
        predictions.append(predictions[-1] + step(state, following(tokens), readout)[..., D:])
    return x, start, predictions


def near(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_linear_steps_with_squared_error_are_gradient_descent_on_the_whole_sequence():
    """Identity 1, for all positions; the loss falls in each step below twice the inverse of the largest eigenvalue."""
    x, y = normal(1, T, D, seed=3), normal(1, T, D, seed=5)
    weights = normal(D, D, seed=4).requires_grad_()
    rate = 1.9 / float(torch.linalg.eigvalsh(x[0].T @ x[0])[-1])
    kernel = Correction(D, nn.Identity(), rate=rate).double().kernel(x)
    prediction, losses = (x @ weights.T).detach(), []
    for _ in range(15):
        prediction = prediction + carried(kernel, y - prediction, causal=False)
        loss = ((y - x @ weights.T) ** 2).sum() / 2
        losses.append(loss.item())
        (gradient,) = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            weights -= rate * gradient
        near(prediction, (x @ weights.T).detach())
    assert all(after < before for before, after in pairwise(losses))


def descended(x, start, tokens, readout, rate, steps, upto=None):
    """Matrices W_0 … W_K of gradient descent on the cross-entropy at positions < ``upto``, all but the last by default."""
    weights, found = start.clone().requires_grad_(), [start]
    upto = T - 1 if upto is None else upto
    for _ in range(steps):
        logits = F.linear(x[0, :upto] @ weights.T, readout.weight, readout.bias)
        loss = F.cross_entropy(logits, tokens[0, 1 : upto + 1], reduction="sum")
        (gradient,) = torch.autograd.grad(loss, weights)
        weights = (weights - rate * gradient).detach().requires_grad_()
        found.append(weights.detach())
    return found


@torch.no_grad()
def test_linear_steps_with_cross_entropy_are_gradient_descent_on_the_whole_sequence():
    """Identity 2, for the model's own error."""
    tokens, readout = ids(), head()
    x, start, predictions = linear(8, False, 0.01, readout, tokens)
    with torch.enable_grad():
        weights = descended(x, start, tokens, readout, 0.01, 8)
    for prediction, matrix in zip(predictions, weights, strict=True):
        near(prediction, x @ matrix.T)


@torch.no_grad()
def test_the_causal_model_is_gradient_descent_on_the_prefix_for_one_step_only():
    """Identity 5: later steps read errors that each position made with weights of its own."""
    tokens, readout, rate = ids(), head(), 0.02
    x, start, predictions = linear(4, True, rate, readout, tokens)

    def prefix(steps):
        with torch.enable_grad():
            rows = [x[0, j] @ descended(x, start, tokens, readout, rate, steps, j)[steps].T for j in range(T)]
        return torch.stack(rows)[None]

    near(predictions[1], prefix(1))
    gaps = [float((predictions[k] - prefix(k)).norm() / (predictions[k] - predictions[0]).norm()) for k in (1, 2, 4)]
    assert gaps[0] < 1e-12 and gaps[1] > 0.01 and gaps[2] > gaps[1]


@torch.no_grad()
def test_one_step_is_one_linear_attention():
    """Identity 3: matrices written by hand on [x, ŷ, y·known, known], for a squared error."""
    x, prediction, y = (normal(1, T, D, seed=seed) for seed in (3, 4, 5))
    known = torch.ones(1, T, 1)
    known[:, -1] = 0
    state = torch.cat([x, prediction, y * known, known], -1)
    select = torch.eye(3 * D + 1)
    x_of, guess_of, y_of = select[:D], select[D : 2 * D], select[2 * D : 3 * D]
    keys, values = state @ x_of.T, (state @ (y_of - guess_of).T) * state[..., -1:]
    written = ((state @ x_of.T @ keys.mT).tril(-1) @ values) @ (0.3 * guess_of)
    step = carried(Correction(D, nn.Identity(), rate=0.3).double().kernel(x), (y - prediction) * known)
    near(written[..., D : 2 * D], step)
    assert not written[..., :D].any() and not written[..., 2 * D :].any()


@torch.no_grad()
def test_steps_of_the_exponential_kernel_are_functional_gradient_descent():
    """Identity 4: ŷ = f_0 + Σ α_i k(x_i, ·), where α takes η e_i in every step."""
    tokens, readout, x = ids(), head(), normal(1, T, D, seed=3)
    step = Correction(D, nn.Identity(), kernel="exp", rate=0.2, sharpness=3.0, causal=False).double()
    unit = F.normalize(x[0], dim=-1)
    near(step.kernel(x)[0], 0.2 * torch.stack([torch.exp(3 * (unit @ one - 1)) for one in unit]))
    kernel = torch.exp(3 * (unit @ unit.T - 1))
    first = prediction = normal(1, T, D, seed=6)
    alpha = torch.zeros(T, D)
    for _ in range(6):
        state = torch.cat([x, prediction], -1)
        prediction = prediction + step(state, following(tokens), readout)[..., D:]
        function = (first[0] + kernel @ alpha).requires_grad_()
        with torch.enable_grad():
            loss = F.cross_entropy(readout(function)[:-1], tokens[0, 1:], reduction="sum")
            (gradient,) = torch.autograd.grad(loss, function)
        alpha = alpha - 0.2 * gradient
        near(prediction[0], first[0] + kernel @ alpha)


@torch.no_grad()
def test_one_fast_matrix_per_layer_and_one_token_at_a_time_give_the_same():
    """Identity 6: the linear kernel is recurrent."""
    network = predictive("random:3", width=8, heads=2, depth=3, kernel="linear", vocab_size=V, window=2, context=T).to(
        "cpu", torch.float64
    )
    model, tokens = network.model, ids(1, seed=8)
    for layer in model.layers:
        layer.correction.log_rate.copy_(torch.tensor([-2.0, -1.0]))
    parallel = model.states(tokens)
    first = parallel[0][0]
    matrices = [torch.zeros(2, 4, 8) for _ in model.layers]
    for j in range(T):
        x, prediction = first[j, :8], first[j, 8:]
        for k, layer in enumerate(model.layers):
            near(prediction, parallel[k][0, j, 8:])
            features = layer.correction.features(x).view(2, 4)
            before = prediction
            prediction = before + torch.einsum("hk,hkd->d", features, matrices[k])
            if j + 1 < T:  # now the next token comes, and with it the error
                error = errors(before[None, None], tokens[:, j + 1 : j + 2], model.head)[0, 0]
                rates = layer.correction.log_rate.exp()
                matrices[k] += torch.einsum("h,hk,d->hkd", rates, features, error)
        near(prediction, parallel[-1][0, j, 8:])


def test_the_delta_rule_is_one_gradient_step_per_token():
    """Identity 7: S ← S + β(y − Sx)xᵀ, as in DeltaNet and TTT, is online descent on a squared error."""
    x, y = normal(T, D, seed=3), normal(T, D, seed=5)
    ours, theirs = torch.zeros(D, D), torch.zeros(D, D, requires_grad=True)
    for one, target in zip(x, y, strict=True):
        ours = ours + 0.1 * torch.outer(target - ours @ one, one)
        (gradient,) = torch.autograd.grad(((target - theirs @ one) ** 2).sum() / 2, theirs)
        theirs = (theirs - 0.1 * gradient).detach().requires_grad_()
    near(ours, theirs.detach())


@pytest.mark.parametrize(("error", "sign"), [("prediction", -1), ("ascent", 1), ("truth", 0)])
def test_what_an_earlier_prediction_does_to_a_later_one_is_known_for_counts(error, sign):
    """Identity 8: χ is −η[t_i = t_j] p_v(1 − p_v)/(1 − 1/V) for one step."""
    tokens, rate, wanted = ids(1, T, seed=2), 0.3, 4
    tokens[0, [1, 5, 8]] = 9
    model = Tabular(normal(V, V, seed=6), 1, rate, error)
    state = model.first(tokens).requires_grad_()
    logits = model.read(model.layers[0](state, following(tokens), model.head))[0]
    shares = model.read(state)[0].detach().softmax(-1)[:, wanted]
    direction = torch.full((V,), -1 / V)
    direction[wanted] += 1  # raises the logit of v over the mean
    for j in (5, 8):
        (gradient,) = torch.autograd.grad(logits[j, wanted] - logits[j].mean(), state, retain_graph=True)
        found = gradient[0, :, V:] @ direction / direction.square().sum()
        same = (tokens[0] == tokens[0, j]) & (torch.arange(T) < j)
        assert same.sum() == (1 if j == 5 else 2)
        expected = sign * rate * same * shares * (1 - shares) / (1 - 1 / V)
        near(found[:j], expected[:j])
        assert found[j] == pytest.approx(1) and not found[j + 1 :].any()
        # what the truth teaches: token i + 1 is v in place of what it is
        other = tokens.clone()
        i = 1
        other[0, i + 1] = wanted
        changed = model.read(model.states(other)[-1])[0, j] - logits[j].detach()
        taught = (changed[wanted] - changed.mean()).item()
        assert taught == pytest.approx(rate * (-1 if error == "ascent" else 1), abs=1e-12)
        if error == "prediction":
            share = float(-found[i] / (taught * shares[i] * (1 - shares[i])))
            assert share == pytest.approx(1 / (1 - 1 / V)) and round(share, 5) == 1.03448


def networks():
    made = predictive("random:1", width=8, heads=2, depth=3, vocab_size=V, context=T).to("cpu", torch.float64).model
    for layer in made.layers:
        nn.init.constant_(layer.correction.log_rate, 0.0)
    return {"learned": made, "tabular": Tabular(normal(V, V, seed=6), 3, 0.5)}


@pytest.mark.parametrize("name", ["learned", "tabular"])
@torch.no_grad()
def test_no_later_token_moves_an_earlier_logit(name, monkeypatch):
    """Identity 9; where the mask lets i = j in, the target leaks."""
    model, tokens = networks()[name], ids(2, seed=1)
    changed = tokens.clone()
    changed[:, 6:] = (changed[:, 6:] + 1) % V
    assert torch.equal(model(tokens).logits[:, :6], model(changed).logits[:, :6])
    assert not torch.equal(model(tokens).logits[:, 6:], model(changed).logits[:, 6:])
    monkeypatch.setattr("language.correction.carried", lambda kernel, errors, causal: kernel.tril() @ errors)
    gap = (model(tokens).logits[:, :6] - model(changed).logits[:, :6]).abs().max()
    assert gap > 0.1, "position 5 has seen its target"


def test_excess_movement_is_zero_for_a_belief_that_gathers_evidence():
    """Identity 10: E|p_l − p_(l−1)|² − E[|p_l|² − |p_(l−1)|²] = −2E⟨p_(l−1), p_l − p_(l−1)⟩."""
    draw, count, classes, variables = generator(4), 20_000, 6, 3
    likelihood = normal(variables, classes, 4, seed=2).softmax(-1)  # p(evidence | class)
    truths = torch.randint(classes, (count,), generator=draw)
    belief = torch.full((count, classes), 1 / classes)
    sharp = belief
    for layer, table in enumerate(likelihood):
        seen = torch.multinomial(table[truths], 1, generator=draw)[:, 0]
        after = belief * table.T[seen]
        after = after / after.sum(1, keepdim=True)
        mean, noise = excess(belief, after)
        assert abs(mean) < 4 * noise + 1e-15
        belief = after
        over = after.square() / after.square().sum(1, keepdim=True)  # too sure, as if all were seen twice
        mean, noise = excess(sharp, over)
        assert layer == 0 or mean > 4 * noise, "what goes too far has to come back"
        sharp = over


def excess(before, after):
    """Excess movement of beliefs (N, classes), and its standard error."""
    found = (after - before).square().sum(1) - (after.square().sum(1) - before.square().sum(1))
    near(found, -2 * (before * (after - before)).sum(1))
    return found.mean().item(), found.std().item() / len(found) ** 0.5
