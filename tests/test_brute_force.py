"""Whole studies against ``reference``, which knows MEASURES.md and nothing of itinf."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

import itinf
from itinf.data.clusters import keyed_order
from reference import IGNORED, Images, Tokens, alignment, dots, flattened, gauge_free, mean, prediction
from tiny import GROUP, gpt2, images, resnet, tokens, with_partners

CALIBRATION = 9
MEASURED = ("alignment", "alignment_effect", "descent_share", "update_norm", "first_order_gain", "realised_gain")
STEPS = ("prediction_gain", "prediction_movement", "efficiency")
MEASURED += (*STEPS, *(f"{step}_effect" for step in STEPS), "accuracy", "loss")
NAMES = ["block_index", "measure", "statistic", "gradient", "update", "part", "form", "null", "unit"]
PLAIN = {"statistic": "mean", "gradient": "", "update": "", "part": "", "form": "", "null": "observed"}
BESIDES = {"order-shuffled", "isotropic"}  # nulls whose answers are known elsewhere


def named(where, **fields):
    """A row's name, a value for each of ``NAMES``."""
    given = PLAIN | where | fields
    return tuple(given[name] for name in NAMES)


def opened(kind, several):
    """A network, data and its reference; each target occurs twice in a group, or as often as it comes (``several``)."""
    if kind == "image":
        network, data, reference = resnet(), images(28, classes=3), Images  # the last group is smaller
    else:
        network, data, reference = gpt2(), tokens(20), Tokens
    return network, data if several else with_partners(data), reference


def unit_norm(vector, scale):
    """Gradients of the normalised losses."""
    return vector / torch.where(scale > 0, scale, 1.0).unsqueeze(2)


def forms(kind, meeting, means, deviation):
    """Name -> (D, g) in that form."""
    d, g = meeting.update, unit_norm(meeting.gradient, meeting.scale)
    yield "raw", d, g
    yield "centred", d - means[0], g - means[1]
    if kind == "image":
        sigma = deviation.unsqueeze(1).expand(-1, d.shape[2] // len(deviation)).flatten()
        yield "gauge-fixed", d / sigma, g * sigma
    else:
        yield "gauge-fixed", d - d.mean(2, keepdim=True), g


def calibrated(reference):
    """Means of updates and normalised gradients, and channel deviations by width."""
    known = reference.targets != IGNORED
    means = {}
    for key, m in reference.meetings()[0].items():
        means[key] = m.update[known].mean(0), unit_norm(m.gradient, m.scale)[known].mean(0)
    widths = {}
    for state in reference.states:
        channels = reference.channels(state).transpose(0, 2).flatten(1)  # (C, everything else)
        widths.setdefault(len(channels), []).append(channels)
    return means, {width: torch.cat(c, 1).std(1, correction=0) for width, c in widths.items()}


def partners(targets, members):
    """All units of other clusters of the group with the same target."""
    label, positions = targets.flatten().tolist(), targets.shape[1]
    found = {}
    for m in members:
        units = [u for i in m for u in range(i * positions, (i + 1) * positions) if label[u] != IGNORED]
        for u in units:
            found[u] = [k for k in units if k // positions != u // positions and label[k] == label[u]]
    return {u: same for u, same in found.items() if same}


@torch.no_grad()
def expected(kind, several):
    """The study's network and data, and the value of every row."""
    network, data, reference = opened(kind, several)
    network.to("cpu", torch.float64)
    if kind == "image":
        data.inputs = data.inputs.double()
    order = keyed_order(data, None, 0, CALIBRATION)
    seen, fixed = (
        reference(network.model, data.inputs[i], data.targets[i]) for i in (order.indices, order.calibration)
    )
    n, positions = seen.targets.shape
    members = [range(i, min(i + GROUP, n)) for i in range(0, n, GROUP)]
    known = (seen.targets != IGNORED).flatten().tolist()
    places = [(i * positions, k * positions) for m in members for i in m for k in m if i != k]
    pairs = [(i + p, k + p) for i, k in places for p in range(positions) if known[i + p] and known[k + p]]
    partner = partners(seen.targets, members)
    rows = dict(meetings(kind, seen, calibrated(fixed), members, pairs, partner))
    rows |= dict(steps(kind, seen, members, partner))
    return network, data, rows | dict(performance(kind, seen))


def meetings(kind, seen, calibration, members, pairs, partner):
    known = seen.targets != IGNORED
    means, deviations = calibration
    found, bases = seen.meetings()
    for (l, update, part, which), m in found.items():
        where = {"block_index": l + 1, "gradient": which, "update": update, "part": part, "unit": kind}
        width = seen.states[l + 1].shape[1]
        for form, d, g in forms(kind, m, means[l, update, part, which], deviations.get(width)):
            values, effects = alignment(d, g, m.scale, known, pairs, partner)
            for (statistic, null), value in values.items():
                yield named(where, measure="alignment", statistic=statistic, form=form, null=null), value
            for null, value in effects.items():
                yield named(where, measure="alignment_effect", form=form, null=null), value
            if kind == "token":
                whole = where | {"unit": "sequence", "statistic": "flattened"}
                for null, value in flattened(d, g * m.scale.unsqueeze(2), known, members).items():
                    yield named(whole, measure="alignment", form=form, null=null), value
        normal = unit_norm(m.gradient, m.scale)
        for (measure, statistic, null), value in gauge_free(m.update, normal, known, pairs, partner).items():
            yield named(where, measure=measure, statistic=statistic, form="gauge-free", null=null), value
        gains = -(m.update * m.gradient).sum(2)
        yield named(where, measure="first_order_gain"), float(gains[known].mean())
        table = dots(m.update, m.gradient)
        yield named(where, measure="first_order_gain", null="pairing"), mean([-table[u][k] for u, k in pairs])
    for (l, update, part), base in bases.items():
        where = {"block_index": l + 1, "update": update, "part": part, "unit": kind}
        size = found[l, update, part, "output"].update.norm(dim=2) / base.norm(dim=2)
        yield named(where, measure="update_norm"), float(size[known].mean())


def steps(kind, seen, members, partner):
    """Prediction space: observed, with the next cluster's increments, and with those of the same target."""
    positions, label = seen.targets.shape[1], seen.targets.flatten()
    ring = {}
    for m in members:
        first, size = m.start * positions, len(m) * positions
        ring |= {first + j: first + (j + positions) % size for j in range(size)}
    nulls = {"observed": {u: u for u in ring}, "pairing": ring}
    if all(len(same) == 1 for same in partner.values()):  # of several, one is chosen
        nulls["same-target"] = {u: same[0] for u, same in partner.items()}
    for l in range(len(seen.blocks)):
        before, after = seen.states[l], seen.states[l + 1]
        if not (seen.fits(before) and seen.fits(after)):
            continue
        x, y = (seen.head(state).flatten(0, 1) for state in (before, after))
        where = {"block_index": l + 1, "unit": kind}
        for null, who in nulls.items():
            units = [u for u, k in who.items() if label[u] != IGNORED and label[k] != IGNORED]
            others = [who[u] for u in units]
            null_step = x[units], x[units] + y[others] - x[others], label[units]
            own_step = x[units], y[units], label[units]  # of the same units
            found, own = (step(*prediction(*given), len(units)) for given in (null_step, own_step))
            for measure, value in found.items():
                names = where | {"statistic": "ratio" if measure == "efficiency" else "mean", "null": null}
                yield named(names, measure=measure), value
                if null != "observed":
                    yield named(names, measure=f"{measure}_effect"), own[measure] - value
            if null == "observed":
                realised = own["prediction_gain"] * math.log(2)
                yield named(where, measure="realised_gain", gradient="readout", update="update"), realised


def step(gain, movement, units):
    return dict(zip(STEPS, (gain / units, movement / units, gain / (abs(gain) + movement)), strict=True))


def performance(kind, seen):
    known = seen.targets != IGNORED
    logits, targets = seen.final[known], seen.targets[known]
    where = {"block_index": len(seen.blocks), "unit": kind}
    yield named(where, measure="accuracy"), float((logits.argmax(1) == targets).double().mean())
    yield named(where, measure="loss"), float(cross_entropy(logits, targets))


@pytest.mark.parametrize("several", [False, True], ids=["one partner", "several partners"])
@pytest.mark.parametrize("kind", ["image", "token"])
def test_every_number_of_a_study_is_what_measures_says(kind, several):
    network, data, rows = expected(kind, several)
    run = itinf.probe(network, data, group=GROUP, calibration=CALIBRATION, replicates=4, batch=16)
    table = run.table[(run.table.subset == "all") & ~run.table.null.isin(BESIDES) & (run.table.reason == "")]
    table = table[table.measure.isin(MEASURED) & (table.statistic != "median")]
    found = dict(zip(table[NAMES].itertuples(index=False, name=None), table["mean"], strict=True))
    assert len(found) == len(table), "two rows of one name"
    wrong = {k: (found.get(k), v) for k, v in rows.items() if found.get(k) != pytest.approx(v, abs=1e-9, rel=1e-8)}
    assert not wrong, "\n".join(map(str, wrong.items()))
    # left over are differences of rows that are compared above
    measure, statistic = NAMES.index("measure"), NAMES.index("statistic")
    chosen = {
        key for key in found if several and key[NAMES.index("null")] == "same-target" and key[measure].startswith(STEPS)
    }
    left = {(key[measure], key[statistic]) for key in found.keys() - rows.keys() - chosen}
    assert left == {("alignment_effect", s) for s in (["ratio"] if kind == "image" else ["ratio", "flattened"])}
