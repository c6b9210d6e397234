"""Later effects against identities of the tabular model, finite differences in plain torch, and the detector that misleads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import itinf
import tiny
from gauges import regauged
from itinf import ItinfError, trace
from itinf.data.clusters import load_batch
from itinf.probes.nudges import raising
from itinf.probes.raised import Raise, finite, first_order, taught
from itinf.probes.token_pairs import MATCH, NEAREST, pairs_of
from later_oracles import AFTER, V, centred, detected, plain_effect, probe, tabular, text
from measured import measure, view
from test_lens_steps import lens_of

STUDY = {"group": 8, "replicates": 200, "batch": 16}


def batch_of(data):
    return load_batch(data, range(len(data)))


def raised(network, data, lag=MATCH, after=AFTER):
    """What the probe raises, with a token for every sequence and another one."""
    seen = trace(network, batch_of(data))
    pairs = pairs_of(seen, lag, 0, after, 2)
    n, size = len(seen), network.model.config.vocab_size if hasattr(network.model, "config") else V
    draw = torch.Generator().manual_seed(3)
    tokens = torch.randint(size, (n,), generator=draw)
    others = (tokens + torch.randint(1, size, (n,), generator=draw)) % size
    return Raise(view(network, seen, readouts={}), dict.fromkeys(range(len(seen.states))), pairs, tokens, others)


def gpt2():
    return tiny.gpt2().to("cpu", torch.float64)


def rows(table, measure="later_response", **columns):
    """State -> mean."""
    wanted = {"measure": measure, "form": "", "null": "observed", "subset": "all"} | columns
    chosen = table[table["statistic"] != "median"]
    for name, value in wanted.items():
        chosen = chosen[chosen[name] == value]
    return dict(zip(chosen["state_index"].astype(int), chosen["mean"], strict=True))


def test_pairs_hold_the_same_token_and_depend_on_the_sequence_alone():
    network, data = tabular(), text()
    seen = trace(network, batch_of(data))
    for lag in (MATCH, 1, 4):
        pairs = pairs_of(seen, lag, 0, AFTER, 2)
        assert pairs.known.all() and 0 < pairs.again.sum() < len(seen)
        for ids, i, j, k in zip(seen.inputs, pairs.earlier, pairs.later, pairs.elsewhere, strict=True):
            assert j > AFTER and (j - i >= 2 and ids[i] == ids[j] if lag == MATCH else j - i == lag)
            assert k <= j - 2 and ids[k] != ids[i]
    alone = pairs_of(trace(network, load_batch(data, [5])), MATCH, 0, AFTER, 2)
    every, other = (pairs_of(seen, MATCH, seed, AFTER, 2) for seed in (0, 1))
    assert (alone.earlier[0], alone.later[0]) == (every.earlier[5], every.later[5])
    assert not torch.equal(every.later, other.later)
    assert not pairs_of(seen, MATCH, 0, 60, 2).known.any()


def test_the_nearest_match_is_the_last_one_before_the_same_later_position():
    network, data = tabular(), text()
    seen = trace(network, batch_of(data))
    drawn, nearest = (pairs_of(seen, lag, 0, AFTER, 2) for lag in (MATCH, NEAREST))
    assert torch.equal(drawn.later, nearest.later) and torch.equal(drawn.known, nearest.known)
    assert (nearest.earlier >= drawn.earlier).all() and (nearest.earlier > drawn.earlier).any()
    for ids, i, j, k in zip(seen.inputs, nearest.earlier, nearest.later, nearest.elsewhere, strict=True):
        assert i == max(n for n in range(int(j) - 1) if ids[n] == ids[j])
        assert k <= j - 2 and ids[k] != ids[i]


def test_rows_of_the_nearest_match():
    """The form has χ, κ and ρ; whether the other pairs are measured, too, changes nothing."""
    network, data = tabular(rate=0.5), text()
    lags = (MATCH, NEAREST)
    table = itinf.probe(network, data, [itinf.LaterResponse(lags=lags, after=AFTER)], **STUDY).table
    of_nearest = table[table["form"] == NEAREST]
    assert {"later_response", "taught", "subtracted_share"} <= set(of_nearest["measure"])
    assert not of_nearest["measure"].str.contains("total|finite").any()
    assert set(of_nearest["null"]) == {"observed", "other-place", "other-token", "cross"}
    near, drawn = (rows(table, form=form) for form in (NEAREST, ""))
    assert near.keys() == drawn.keys() and near[0] < -0.01 and near != drawn
    assert near[1] == drawn[1] == 0, "nothing follows the last state"
    alone = itinf.probe(network, data, [itinf.LaterResponse(lags=(NEAREST,), after=AFTER)], **STUDY).table
    assert rows(alone, form=NEAREST) == pytest.approx(near, rel=1e-12)
    assert rows(alone, "subtracted_share", form=NEAREST) == pytest.approx(
        rows(table, "subtracted_share", form=NEAREST), rel=1e-12, nan_ok=True
    )


def test_identity_of_the_tabular_model():
    """χ = −η [t_i = t_j] p(1 − p) / (1 − 1/V) with p of state 0; ρ with that p is 1 / (1 − 1/V)."""
    network, data = tabular(rate=0.5), text()
    given = raised(network, data)
    found, pairs = first_order(given), given.pairs
    p = network.model.table(given.inputs).softmax(2)[torch.arange(len(data)), pairs.earlier]
    rate = network.model.layers[0].correction.log_rate.detach().exp()  # ½, rounded to float32
    for name, token in (("there", given.tokens), ("other", given.others)):
        mine = p.gather(1, token.unsqueeze(1)).squeeze(1)
        torch.testing.assert_close(found[name][0], -rate * mine * (1 - mine) / (1 - 1 / V), rtol=1e-12, atol=1e-15)
    v, u = (p.gather(1, x.unsqueeze(1)).squeeze(1) for x in (given.tokens, given.others))
    torch.testing.assert_close(found["cross"][0], rate * v * u / (1 - 1 / V), rtol=1e-12, atol=1e-15)
    assert not found["elsewhere"].any() and not torch.stack(list(found.values()))[:, 1].any()  # χ_L = 0
    torch.testing.assert_close(found["total"], found["total_same"])
    # where the change of token i + 1 leaves the places with the token of j as they are, being true teaches η
    following, token = (given.inputs.gather(1, x.unsqueeze(1)).squeeze(1) for x in (pairs.earlier + 1, pairs.later))
    apart = (given.tokens != token) & (following != token)
    taught_there = taught(given)[apart & (given.tokens != following)]
    torch.testing.assert_close(taught_there, rate.expand(len(taught_there)))
    share = -found["there"][0, apart].sum() / (rate * v * (1 - v))[apart].sum()
    assert apart.sum() > 12 and float(share) == pytest.approx(1 / (1 - 1 / V), rel=1e-12)
    table = itinf.probe(network, data, [probe()], **STUDY).table
    assert rows(table, "subtracted_share", form="same depth")[0] == pytest.approx(1 / (1 - 1 / V), abs=0.03)
    assert rows(table, "subtracted_share") == pytest.approx({0: 1.0, 1: 0.0}, abs=0.1)
    assert rows(table, null="other-place") == {0: 0, 1: 0}
    assert rows(table, "finite_same_sign", form="finite") == {0: 1}


def test_copying_has_no_later_response():
    table = itinf.probe(tabular("truth", steps=2), text(), [probe()], **STUDY).table
    assert set(rows(table).values()) == set(rows(table, "later_response_total").values()) == {0.0}
    assert rows(table, "taught")[2] == pytest.approx(1, abs=0.1)  # two steps of ½
    assert set(rows(table, "subtracted_share").values()) == {0.0}


def test_climbing_has_the_other_sign():
    table = itinf.probe(tabular("ascent"), text(), [probe()], **STUDY).table
    assert rows(table)[0] > 0 and rows(table, "taught")[1] < 0
    row = table[(table["measure"] == "subtracted_share") & (table["state_index"] == 0)]
    assert row["mean"].isna().all() and set(row["reason_code"]) == {"not_taught"}


def test_the_share_falls_with_the_layers_that_are_left():
    table = itinf.probe(tabular(steps=4, rate=0.2), text(), [probe()], **STUDY).table
    shares = rows(table, "subtracted_share")
    assert shares[4] == 0 and shares[0] > 0.8
    steps = [shares[k] - shares[k + 1] for k in range(4)]
    assert max(steps) - min(steps) < 0.1
    assert set(rows(table, "finite_same_sign", form="finite").values()) == {1.0}
    assert all(value < 0 for value in rows(table, form="finite").values())


def test_finite_differences_in_plain_torch():
    """Every number of a GPT-2, from hooks of torch and steps of 1e-5 nats."""
    network, data = gpt2(), tiny.tokens(6, length=14)
    given = raised(network, data, after=6)
    found = first_order(given)
    for n in given.pairs.known.nonzero().flatten().tolist()[:3]:
        ids, token, other = given.inputs[n], int(given.tokens[n]), int(given.others[n])
        i, j, k = (int(x[n]) for x in (given.pairs.earlier, given.pairs.later, given.pairs.elsewhere))
        for state in (0, 1):
            expected = {
                "there": plain_effect(network, ids, state, i, j, token, token),
                "elsewhere": plain_effect(network, ids, state, k, j, token, token),
                "other": plain_effect(network, ids, state, i, j, other, other),
                "cross": plain_effect(network, ids, state, i, j, other, token),
            }
            each = [plain_effect(network, ids, state, before, j, token, token) for before in range(j)]
            expected["total"] = sum(each)
            expected["total_same"] = sum(x for x, t in zip(each, ids[:j], strict=True) if t == ids[j])
            for name, value in expected.items():
                assert float(found[name][state, n]) == pytest.approx(value, rel=1e-3, abs=1e-7), (name, state)
        changed = ids.clone()
        changed[i + 1] = token
        after, before = (network.model(x.unsqueeze(0)).logits[0, j].detach() for x in (changed, ids))
        assert float(taught(given)[n]) == pytest.approx(float(centred(after, token) - centred(before, token)))
    assert not found["there"][2].any() and found["there"][:2].abs().min() > 0


def test_a_raise_of_one_nat_in_plain_torch():
    network, data = gpt2(), tiny.tokens(12, length=14)
    given = raised(network, data, after=6)
    change, again = finite(given), given.pairs.again.nonzero().flatten().tolist()
    assert 0 < len(again) < 12 and not change[:, ~given.pairs.again].any() and not change[2].any()
    for n in again[:3]:
        place = (int(given.pairs.earlier[n]), int(given.pairs.later[n]), *[int(given.tokens[n])] * 2)
        for state in (0, 1):
            expected = plain_effect(network, given.inputs[n], state, *place, nats=1.0)
            assert float(change[state, n]) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_no_number_depends_on_the_basis():
    network = gpt2()
    data = tiny.tokens(8, length=14)
    own, turned = (first_order(raised(one, data, after=6)) for one in (network, regauged(network)))
    for name, values in own.items():
        torch.testing.assert_close(turned[name], values, rtol=1e-6, atol=1e-9)


def test_numbers_do_not_depend_on_the_batch():
    results = [itinf.probe(tabular(), text(), [probe()], **STUDY | {"batch": size}).table["mean"] for size in (8, 24)]
    assert results[0].to_numpy() == pytest.approx(results[1].to_numpy(), nan_ok=True, abs=1e-9)


def test_an_untrained_network_has_no_share():
    table = itinf.probe(tiny.gpt2().untrained(0), tiny.tokens(32, length=14), [probe(after=6)], **STUDY).table
    shares = table[table["measure"] == "subtracted_share"]
    assert shares["mean"].isna().all() and set(shares["reason_code"]) == {"not_taught"}
    assert len(rows(table)) == 3 and all(abs(value) < 0.05 for value in rows(table).values())


def test_the_regression_says_yes_to_copying_and_the_later_response_says_no():
    """Both networks give earlier matches weights that add up to 1; only one of them subtracts what it predicted."""
    data = text(length=160)
    found = {error: detected(tabular(error, rate=1, mean=True), data) for error in ("prediction", "truth")}
    for ratio, half in found.values():  # 1.0 ± 0.1 of both: the detector does not tell them apart
        assert ratio - half > 0.7 and abs(ratio - 1) < 0.25
    effects = {}
    for error in found:
        table = itinf.probe(tabular(error, rate=1, mean=True), data, [probe(after=32)], **STUDY).table
        row = table[(table["measure"] == "later_response") & (table["state_index"] == 0) & (table["form"] == "")]
        effects[error] = row[(row["null"] == "observed") & (row["statistic"] == "mean")].iloc[0]
    assert effects["truth"]["mean"] == effects["truth"]["hi"] == 0
    assert effects["prediction"]["hi"] < 0


def test_a_linear_head_spares_the_logits():
    network = gpt2()
    state = torch.randn(7, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tokens = torch.arange(7)
    plain = replace(network, head=lambda x: network.model.lm_head(x))
    torch.testing.assert_close(raising(network, state, None, tokens), raising(plain, state, None, tokens))


def test_through_a_lens():
    network, data = tiny.gpt2(), tiny.tokens(12, length=14)
    seen = trace(network, batch_of(data))
    lens = lens_of(network, seen, "logit")
    with_lens, without = (
        measure(view(network, seen, readouts={}), [probe(after=6, lens=one)]).values for one in (lens, None)
    )
    assert {replace(row, lens="logit") for row in without} == set(with_lens)
    for row, value in without.items():
        assert with_lens[replace(row, lens="logit")] == pytest.approx(value, rel=1e-3, abs=1e-5, nan_ok=True)


@pytest.mark.parametrize("kind", ["images", "not causal"])
def test_only_causal_language_models_have_it(kind):
    network, data = (tiny.resnet(8), tiny.images(8)) if kind == "images" else (tabular(), text(8))
    if kind == "not causal":
        network = replace(network, causal=False)
    seen = trace(network, batch_of(data))
    record = itinf.results.recorder.Recorder()
    probe().measure_batch(view(network, seen, readouts={}), record)
    assert not record.entries and {why.code for why in record.missing.values()} == {"no_later_tokens"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lags": ("match", 0)}, "lags is 0"),
        ({"lags": ("farthest",)}, "lags is 'farthest'.*'nearest'"),
        ({"lags": "match"}, "lags is 'match'; expected a sequence"),
        ({"after": -1}, "after is -1"),
        ({"finite_one_in": 0}, "finite_one_in is 0"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ItinfError, match=message):
        itinf.LaterResponse(**settings)


def test_it_is_measured_beside_probes_of_all_positions():
    """One pair of a sequence beside every token of it: the numbers are those of the probe alone, medians too."""
    network = tiny.gpt2()
    probe = itinf.LaterResponse(after=2)
    alone, beside = (
        tiny.probed(network, tiny.tokens(24), probes=probes).table.set_index(tiny.NAMES)
        for probes in ([probe], [itinf.Gain(), probe])
    )
    rows = alone[alone.index.get_level_values("measure") == "later_response"]
    assert "median" in rows.index.get_level_values("statistic")
    np.testing.assert_allclose(beside.loc[rows.index, "mean"].astype(float), rows["mean"].astype(float), rtol=1e-6)
