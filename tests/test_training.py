"""A training that is interrupted ends, bit for bit, where it would have ended."""

import json
import math
import random
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from itinf import ItinfError
from itinf.training import loop
from itinf.training.loop import CHECKPOINT, WARMUP, finish, schedule, train

STEPS, STUDY = 9, {"seed": 0, "recipe": {"rate": 0.1, "precision": "float32"}}


class Tied(nn.Module):
    """Every kind of state: tied weights, running averages, a kernel laid out by channels, dropout."""

    def __init__(self):
        super().__init__()
        self.embed, self.hidden = nn.Embedding(7, 16), nn.Linear(36, 16)
        self.kernel, self.norm = nn.Conv2d(4, 4, 2), nn.BatchNorm2d(4)
        self.dropout, self.head = nn.Dropout(0.3), nn.Linear(16, 7, bias=False)
        self.head.weight = self.embed.weight
        self.to(memory_format=torch.channels_last)

    def forward(self, ids):  # (N, 4)
        maps = self.embed(ids).view(-1, 4, 4, 4)  # (N, C, H, W)
        maps = self.norm(self.kernel(maps)).relu()
        return self.head(self.dropout(self.hidden(maps.flatten(1))))  # (N, 7)


def muon_and_adamw(model):
    others = [p for name, p in model.named_parameters() if name != "hidden.weight"]
    return [torch.optim.Muon([model.hidden.weight], lr=0.02), torch.optim.AdamW(others, lr=0.01)]


def sgd(model, momentum=0.9):
    decay = {True: 0.1, False: 0.0}
    groups = [
        {"params": [p for p in model.parameters() if (p.ndim > 1) is matrix], "weight_decay": decay[matrix]}
        for matrix in decay
    ]
    return [torch.optim.SGD(groups, lr=0.1, momentum=momentum, nesterov=momentum > 0)]


def plain_sgd(model):
    return sgd(model, 0.0)


class Session:
    """One process: a fresh model, fresh optimizers, and the steps it was asked for."""

    def __init__(self, folder, make=muon_and_adamw, stop=None, tick=lambda: None, study=STUDY, bad=None):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            self.model = Tied()
        self.optimizers, self.folder, self.study = make(self.model), folder, study
        self.stop, self.tick, self.bad = stop, tick, bad or {}
        self.asked, self.told, self.seconds = [], [], None

    def loss_at(self, step):
        self.asked.append(step)
        if step == self.stop:
            raise KeyboardInterrupt
        self.tick()
        draw = torch.Generator().manual_seed(step)
        ids, targets = torch.randint(7, (5, 4), generator=draw), torch.randint(7, (5,), generator=draw)
        return F.cross_entropy(self.model(ids), targets) + self.bad.get(step, 0.0)

    def train(self):
        def tell(*what):
            self.told.append(what)

        arguments = self.model, self.optimizers, self.loss_at, STEPS, self.folder, self.study
        if self.stop is None:
            self.seconds = train(*arguments, progress=tell)
        else:
            with pytest.raises(KeyboardInterrupt):
                train(*arguments, progress=tell)
        return self

    def state(self):
        """Every number that decides what comes next."""
        yield from self.model.state_dict().items()
        for optimizer in self.optimizers:
            found = optimizer.state_dict()
            yield "rates", torch.tensor([group["lr"] for group in found["param_groups"]])
            for place, entries in found["state"].items():
                yield from ((f"{place}/{key}", v) for key, v in entries.items() if isinstance(v, torch.Tensor))


def same(one, two):
    ours, theirs = dict(one.state()), dict(two.state())
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype and torch.equal(value, theirs[name]), name


@pytest.fixture
def save_every_step(monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1.0)


@pytest.mark.parametrize("make", [muon_and_adamw, sgd, plain_sgd])
@pytest.mark.parametrize("stops", [[1], [4], [STEPS - 1], [2, 3, 7]], ids=str)
def test_an_interruption_changes_no_bit(make, stops, tmp_path, save_every_step):
    whole = Session(tmp_path / "whole", make).train()
    sessions = [Session(tmp_path / "parts", make, stop).train() for stop in [*stops, None]]
    bounds = [0, *stops, STEPS]
    for session, start, end in zip(sessions, bounds, bounds[1:], strict=False):
        assert session.asked == list(range(start, min(end + 1, STEPS)))
    last = sessions[-1]
    same(last, whole)
    assert last.model.norm.num_batches_tracked == STEPS
    assert last.model.head.weight is last.model.embed.weight


def test_twenty_interruptions_at_random_moments_change_no_bit(tmp_path, monkeypatch):
    """Within a step, or just before or after the checkpoint takes its place; saved after random steps."""
    whole, draw, kills, last = Session(tmp_path / "whole").train(), random.Random(0), 0, None
    left, replace, number = [None], loop.Path.replace, 0

    def event():
        left[0] = None if left[0] is None else left[0] - 1
        if left[0] == -1:
            raise KeyboardInterrupt

    def written(path, target):
        event()
        replace(path, target)
        event()

    monkeypatch.setattr(loop.Path, "replace", written)
    while kills < 20 or last is None:
        monkeypatch.setattr(loop, "SAVE_SECONDS", draw.choice([-1.0, 1e9]))
        left[0], last = draw.randrange(12), None
        try:
            last = Session(tmp_path / f"parts {number}", tick=event).train()
            reached, wanted = last.model.state_dict(), whole.model.state_dict()
            assert all(torch.equal(value, wanted[name]) for name, value in reached.items())
            number += 1
        except KeyboardInterrupt:
            kills += 1
        left[0] = None
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {CHECKPOINT}


def test_random_numbers_are_the_steps_own_and_nobody_elses_are_taken(tmp_path):
    def session(name):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(len(name))
            before = torch.get_rng_state()
            trained = Session(tmp_path / name).train()
            assert torch.equal(torch.get_rng_state(), before)
        return trained

    same(session("one"), session("another"))


def test_an_interruption_before_any_save_starts_afresh(tmp_path):
    Session(tmp_path / "parts", stop=3).train()
    assert not (tmp_path / "parts" / CHECKPOINT).exists()
    again = Session(tmp_path / "parts").train()
    assert again.asked == list(range(STEPS))
    same(again, Session(tmp_path / "whole").train())


def test_an_interruption_while_saving_leaves_the_checkpoint_before(tmp_path, save_every_step, monkeypatch):
    folder, replace, count = tmp_path / "parts", loop.Path.replace, iter(range(9))

    def interrupted(self, target):
        if next(count) == 3:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.Path, "replace", interrupted)
        Session(folder).train()
    assert [path.name for path in folder.iterdir()] == [CHECKPOINT]
    again = Session(folder).train()
    assert again.asked == list(range(3, STEPS))
    same(again, Session(tmp_path / "whole").train())


def test_seconds_add_up_and_saves_are_half_a_minute_apart(tmp_path, monkeypatch):
    """Steps of 10 s: saved when more than 30 s have passed, after steps 4 and 8."""
    now = [1000.0]

    def tick():
        now[0] += 10

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for stop, start in (6, 0), (7, 4):
        assert Session(tmp_path, stop=stop, tick=tick).train().asked == list(range(start, stop + 1))
    now[0] -= 500  # a clock that starts anew with the machine
    last = Session(tmp_path, tick=tick).train()
    # what was lost is not part of the training
    assert (last.asked, last.seconds) == (list(range(4, STEPS)), 10.0 * STEPS)
    assert Session(tmp_path, tick=tick).train().seconds == 10.0 * STEPS


def test_what_is_done_is_kept_until_finished(tmp_path):
    first, again = Session(tmp_path).train(), Session(tmp_path).train()
    assert again.asked == [] and again.told == [("training", STEPS, STEPS)]
    reached = first.model.state_dict()
    assert all(torch.equal(value, reached[name]) for name, value in again.model.state_dict().items())
    for _ in range(2):
        finish(tmp_path)
        assert list(tmp_path.iterdir()) == []
    assert Session(tmp_path).train().asked == list(range(STEPS))


def test_progress_starts_where_the_checkpoint_is(tmp_path, save_every_step):
    assert Session(tmp_path, stop=3).train().told == [("training", k, STEPS) for k in range(4)]
    assert Session(tmp_path).train().told == [("training", k, STEPS) for k in range(3, STEPS + 1)]


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({**STUDY, "seed": 1}, "seed is 1 here and 0 there"),
        ({**STUDY, "recipe": {"rate": 0.2, "precision": "float32"}}, "recipe.rate is 0.2 here and 0.1 there"),
        ({**STUDY, "data": "glyphs"}, "data is 'glyphs' here and None there"),
        ({"seed": 0}, "recipe is None here"),
    ],
)
def test_a_checkpoint_of_another_study_is_refused(study, message, tmp_path, save_every_step):
    Session(tmp_path, stop=2).train()
    other = Session(tmp_path, study=study)
    fresh = {name: value.clone() for name, value in other.model.state_dict().items()}
    with pytest.raises(ItinfError) as refusal:
        other.train()
    assert message in str(refusal.value) and str(tmp_path / CHECKPOINT) in str(refusal.value)
    assert "--out" in str(refusal.value) and str(refusal.value).count(" here and ") == 1
    assert other.asked == [] and all(torch.equal(v, fresh[name]) for name, v in other.model.state_dict().items())


def test_a_checkpoint_that_is_none_is_refused(tmp_path, save_every_step):
    path = tmp_path / CHECKPOINT
    Session(tmp_path, stop=1).train()
    whole = path.read_bytes()
    for kept in (0, 5, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(ItinfError, match="Remove it") as refusal:
            Session(tmp_path).train()
        assert str(path) in str(refusal.value)
    save_file({"model/head.weight": torch.zeros(2)}, path)
    with pytest.raises(ItinfError, match="cannot be read"):
        Session(tmp_path).train()


def test_a_checkpoint_is_safetensors(tmp_path):
    """Its length is that of a JSON header and of the tensors the header lists, and nothing else."""
    Session(tmp_path).train()
    content = (tmp_path / CHECKPOINT).read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    record = json.loads(header.pop("__metadata__")["record"])
    assert (record["study"], record["done"]) == (STUDY, STEPS)
    assert len(content) == 8 + size + max(entry["data_offsets"][1] for entry in header.values())
    assert {"model/head.weight", "model/norm.running_var", "optimizer/0/0/momentum_buffer"} <= header.keys()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_its_step(bad, tmp_path, save_every_step):
    with pytest.raises(ItinfError, match=rf"loss is {bad} at step 5 of {STEPS}.*lower learning rates"):
        Session(tmp_path, bad={5: bad}).train()
    assert Session(tmp_path).train().asked == list(range(5, STEPS))


@given(st.floats(0, 1), st.floats(0, 1))
def test_schedule_rises_to_one_and_falls(one, two):
    low, high = sorted((one, two))
    assert 0 <= schedule(low) <= 1
    if high <= WARMUP:
        assert schedule(low) <= schedule(high)
    elif low >= WARMUP:
        assert schedule(low) >= schedule(high)


def test_schedule_by_hand():
    assert (schedule(0.0), schedule(WARMUP), schedule(1.0)) == (0.0, 1.0, 0.0)
    assert schedule(WARMUP / 2) == pytest.approx(0.5)
    third = (1 - WARMUP) / 3
    assert [schedule(WARMUP + k * third) for k in (1, 2)] == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize(("slopes", "moved"), [((0.3, 0.4), (0.3, 0.4)), ((30.0, 40.0), (0.6, 0.8))])
def test_rates_follow_the_schedule_and_gradients_are_clipped_together(slopes, moved, tmp_path):
    """On a plane SGD moves by its rates' sum times the slope, which clipping brings down to norm 1."""
    model = nn.ParameterList([nn.Parameter(torch.zeros((), dtype=torch.float64)) for _ in slopes])
    rates = (0.5, 2.0)
    optimizers = [torch.optim.SGD([p], lr=rate) for p, rate in zip(model, rates, strict=True)]
    train(model, optimizers, lambda _: sum(a * p for a, p in zip(slopes, model, strict=True)), 40, tmp_path, {})
    total = sum(schedule((k + 1) / 40) for k in range(40))
    expected = [-rate * slope * total for rate, slope in zip(rates, moved, strict=True)]
    assert [p.item() for p in model] == pytest.approx(expected, rel=1e-6)
