"""Whole studies against ``reference``, which knows MEASURES.md and nothing of itinf."""

import math

import pytest
import torch
from reference import IGNORED, Images, Tokens, alignment, flattened, gauge_free, prediction
from tiny import GROUP, gpt2, images, resnet, tokens, with_partners

import itinf
from itinf.data import keyed_order

CALIBRATION = 9
MEASURED = ("alignment", "alignment_effect", "descent_share", "update_norm", "first_order_gain", "realised_gain")
MEASURED += ("prediction_gain", "prediction_movement", "efficiency", "accuracy", "loss")
BESIDES = {"order-shuffled", "isotropic"}  # nulls whose answers are known elsewhere


def opened(kind):
    if kind == "image":
        return resnet(), with_partners(images(28)), Images  # the last group is smaller
    return gpt2(), with_partners(tokens(20)), Tokens


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
    """The only other unit of the group with the same target."""
    found = {}
    for m in members:
        units = [(i, p) for i in m for p in range(targets.shape[1]) if targets[i, p] != IGNORED]
        for u in units:
            same = [k for k in units if k[0] != u[0] and targets[k] == targets[u]]
            assert len(same) <= 1
            if same:
                found[u] = same[0]
    return found


@torch.no_grad()
def expected(kind):
    """(measure, block, statistic, gradient, update, part, form, null, unit) -> value."""
    network, data, reference = opened(kind)
    network.to("cpu", torch.float64)
    if kind == "image":
        data.inputs = data.inputs.double()
    order = keyed_order(data, None, 0, CALIBRATION)
    seen, fixed = (reference(network.model, data.inputs[i], data.targets[i]) for i in (order.indices, order.calibration))
    means, deviations = calibrated(fixed)
    known = seen.targets != IGNORED
    members = [range(i, min(i + GROUP, len(known))) for i in range(0, len(known), GROUP)]
    places = [(p, i, k) for m in members for p in range(known.shape[1]) for i in m for k in m if i != k]
    pairs = [((i, p), (k, p)) for p, i, k in places if known[i, p] and known[k, p]]
    partner = partners(seen.targets, members)
    rows = {}
    found, bases = seen.meetings()
    for (l, update, part, which), m in found.items():
        where = {"block": l + 1, "gradient": which, "update": update, "part": part}

        def put(measure, value, statistic="mean", form="", null="observed", unit=kind, where=where):
            rows[tuple((where | dict(measure=measure, statistic=statistic, form=form, null=null, unit=unit)).items())] = value

        normal = unit_norm(m.gradient, m.scale)
        width = seen.states[l + 1].shape[1]
        for form, d, g in forms(kind, m, means[l, update, part, which], deviations.get(width)):
            values, effects = alignment(d, g, m.scale, known, pairs, partner)
            for (statistic, null), value in values.items():
                put("alignment", value, statistic, form, null)
            for null, value in effects.items():
                put("alignment_effect", value, form=form, null=null)
            if kind == "token":
                weighted = g * m.scale.unsqueeze(2)
                for null, value in flattened(d, weighted, known, members).items():
                    put("alignment", value, "flattened", form, null, "sequence")
        for (measure, statistic, null), value in gauge_free(m.update, normal, known, pairs).items():
            put(measure, value, statistic, "gauge-free", null)
        gains = -(m.update * m.gradient).sum(2)
        put("first_order_gain", float(gains[known].mean()))
        put("first_order_gain", float(torch.stack([-(m.update[u] @ m.gradient[k]) for u, k in pairs]).mean()), null="pairing")
    for (l, update, part), base in bases.items():
        ratio = found[l, update, part, "output"].update.norm(dim=2) / base.norm(dim=2)
        where = {"block": l + 1, "gradient": "", "update": update, "part": part}
        rows[tuple((where | dict(measure="update_norm", statistic="mean", form="", null="observed", unit=kind)).items())] = float(
            ratio[known].mean()
        )
    return network, data, rows | steps(kind, seen, partner, pairs)


def steps(kind, seen, partner, pairs):
    """Prediction space, observed, against the next cluster's increments and against those of the same target."""
    rows = {}
    known = seen.targets != IGNORED
    n = len(known)
    ring = {}
    for start in range(0, n, GROUP):
        size = min(GROUP, n - start)
        ring |= {(start + j, p): (start + (j + 1) % size, p) for j in range(size) for p in range(known.shape[1])}
    nulls = {"observed": {u: u for u in ring}, "pairing": ring, "same-target": partner}
    for l in range(len(seen.blocks)):
        before, after = seen.states[l], seen.states[l + 1]
        if not (seen.fits(before) and seen.fits(after)):
            continue
        x, y = seen.head(before), seen.head(after)

        def put(measure, value, statistic="mean", null="observed", gradient="", update="", l=l):
            where = {"block": l + 1, "gradient": gradient, "update": update, "part": ""}
            rows[tuple((where | dict(measure=measure, statistic=statistic, form="", null=null, unit=kind)).items())] = value

        for null, who in nulls.items():
            units = [u for u, k in who.items() if known[u] and known[k]]
            a = torch.stack([x[u] for u in units])
            b = a + torch.stack([y[who[u]] - x[who[u]] for u in units])
            gain, movement, count = prediction(a, b, torch.stack([seen.targets[u] for u in units]))
            put("prediction_gain", gain / count, null=null)
            put("prediction_movement", movement / count, null=null)
            put("efficiency", gain / (abs(gain) + movement), "ratio", null)
            if null == "observed":
                put("realised_gain", gain / count * math.log(2), gradient="readout", update="update")
    return rows | performance(kind, seen, known)


def performance(kind, seen, known):
    logits, targets = seen.final[known], seen.targets[known]
    values = {"accuracy": (logits.argmax(1) == targets).double().mean(), "loss": torch.nn.functional.cross_entropy(logits, targets)}
    where = {"block": len(seen.blocks), "gradient": "", "update": "", "part": ""}
    rest = {"statistic": "mean", "form": "", "null": "observed", "unit": kind}
    return {tuple((where | {"measure": name} | rest).items()): float(value) for name, value in values.items()}


@pytest.mark.parametrize("kind", ["image", "token"])
def test_every_number_of_a_study_is_what_measures_says(kind):
    network, data, rows = expected(kind)
    run = itinf.probe(network, data, group=GROUP, calibration=CALIBRATION, replicates=4, batch=16)
    table = run.table[(run.table.subset == "all") & ~run.table.null.isin(BESIDES) & (run.table.reason == "")]
    table = table[table.measure.isin(MEASURED) & (table.statistic != "median")]
    names = [name for name, _ in next(iter(rows))]
    names[names.index("block")] = "index"
    found = dict(zip(map(tuple, table[names].itertuples(index=False, name=None)), table["mean"], strict=True))
    wanted = {tuple(value for _, value in key): value for key, value in rows.items()}
    assert len(found) == len(table), "two rows of one name"
    wrong = {key: (found.get(key), value) for key, value in wanted.items() if found.get(key) != pytest.approx(value, abs=1e-9, rel=1e-8)}
    assert not wrong
    # effects other than those of cosines are differences of rows that are compared
    unknown = found.keys() - wanted.keys()
    assert {key[names.index("measure")] for key in unknown} <= {"alignment_effect"}
