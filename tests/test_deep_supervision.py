"""The loss of the network's own readout at every state, in training."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from itinf import ItinfError
from itinf.data.clusters import silent
from itinf.training import loop
from itinf.training.states import states
from language import train as language
from language.shared_gpt2 import SharedGPT2
from language.train import READ, LanguageSpecimen
from language.train import Recipe as TextRecipe
from test_language_train import TEXTS
from test_vision_train import TINY as THREE_WIDTHS
from vision import train as vision
from vision.cifar_resnet import cifar_isotropic
from vision.train import ITERATIVE, Recipe

IMAGES = replace(
    ITERATIVE,
    make=lambda weights: cifar_isotropic(weights, blocks=3, width=6, share=True, classes=46),
    recipe=Recipe(images=24, batch=8, deep_supervision=True),
)
SIZES = {"n_layer": 3, "n_embd": 16, "n_head": 2, "vocab_size": 300, "n_positions": 16}
WORDS = LanguageSpecimen(
    "iterative-gpt2", tuple(SIZES.items()), TextRecipe(tokens=4 * 2 * 16, batch=2, deep_supervision=True), share=True
)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(vision, "SCORED", 10)
    monkeypatch.setattr(vision._Stream, "note", lambda stream: {"name": "glyphs"})  # its hash takes a second
    monkeypatch.setattr(language, "modules", TEXTS.__getitem__)
    monkeypatch.setattr(language, "SCORED", 3)


def losses(specimen, module, out, monkeypatch, steps):
    """The model as it was before training, and its losses at some steps, none of which changes its parameters."""
    seen = {}

    def trainer(model, optimizers, loss_at, *_, **__):
        seen["model"] = copy.deepcopy(model)
        for step in steps:
            with torch.random.fork_rng():
                torch.manual_seed(step)
                seen[step] = loss_at(step)
        return 0.0

    monkeypatch.setattr(module, "train", trainer)
    specimen.train(out, seed=0, split="train", progress=silent)
    return seen


def test_images_the_mean_over_all_states_by_hand(tmp_path, monkeypatch):
    seen = losses(IMAGES, vision, tmp_path, monkeypatch, [1])
    m = seen["model"]
    x, labels = vision._Stream("train", 0, 32).batch(8, 8)

    def norm(x, bn):
        return F.batch_norm(x, None, None, bn.weight, bn.bias, training=True)

    by_hand = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        h = norm(F.conv2d(x, m.conv1.weight, stride=2, padding=1), m.bn1).relu()
        for block in (None, *m.layer1):
            if block is not None:
                inner = norm(F.conv2d(h, m.layer1[0].conv1.weight, padding=1), block.bn1).relu()
                h = (norm(F.conv2d(inner, m.layer1[0].conv2.weight, padding=1), block.bn2) + h).relu()
            by_hand.append(F.cross_entropy(m.linear(h.mean((2, 3))).float(), labels))
    assert len(by_hand) == 4 and max(by_hand) - min(by_hand) > 0.1
    torch.testing.assert_close(seen[1].detach(), torch.stack(by_hand).mean(), rtol=2**-7, atol=0)
    assert abs(seen[1].item() - by_hand[-1]) > 0.1, "the loss at the end is another"


@pytest.mark.parametrize("power", [0.0, 2.0])
def test_text_every_state_but_the_first_at_positions_that_cover_all(power, monkeypatch):
    """The mean over the four ways to choose the positions is the mean loss at all positions."""
    torch.manual_seed(0)
    model = SharedGPT2(language._config(WORDS.sizes, share=True)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p), alpha=0.3)
    windows = torch.randint(300, (2, 17))
    four = []
    for start in range(READ):
        monkeypatch.setattr(torch, "randint", lambda high, size, start=start: torch.tensor(start))
        four.append(language._loss_at_every_state(model, windows, power))
    hidden = model(windows[:, :-1], output_hidden_states=True).hidden_states
    read = [*map(model.transformer.ln_f, hidden[1:-1]), hidden[-1]]  # the last one comes behind ln_f
    by_hand = [F.cross_entropy(model.lm_head(h).float().flatten(0, 1), windows[:, 1:].flatten()) for h in read]
    assert len(by_hand) == 3 and len({round(loss.item(), 3) for loss in four}) == READ
    weights = [(depth**power) / sum(k**power for k in (1, 2, 3)) for depth in (1, 2, 3)]
    wanted = sum(weight * loss for weight, loss in zip(weights, by_hand, strict=True))
    torch.testing.assert_close(torch.stack(four).mean(), wanted)


def test_text_every_state_is_read_somewhere_else_at_every_step(monkeypatch):
    torch.manual_seed(0)
    model, seen = SharedGPT2(language._config(WORDS.sizes, share=True)), []
    monkeypatch.setattr(language, "_loss", lambda logits, targets: seen.append(targets[0, 0]) or logits.sum())
    windows = torch.arange(17).repeat(2, 1)
    for _ in range(40):
        language._loss_at_every_state(model, windows)
    starts = torch.stack(seen).reshape(40, 3) - 1
    assert all(set(column.tolist()) == set(range(READ)) for column in starts.T)
    assert any(len(set(row.tolist())) > 1 for row in starts)


@pytest.mark.parametrize(("specimen", "module"), [(IMAGES, vision), (WORDS, language)], ids=["images", "text"])
def test_the_step_alone_decides_the_loss(specimen, module, tmp_path, monkeypatch):
    first = losses(specimen, module, tmp_path, monkeypatch, [0, 1, 2])
    again = losses(specimen, module, tmp_path, monkeypatch, [2, 0])
    assert all(torch.equal(first[step], again[step]) for step in (0, 2)) and first[0] != first[1]


@pytest.mark.parametrize("specimen", [IMAGES, WORDS], ids=["images", "text"])
def test_an_interruption_changes_nothing(specimen, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1)
    files = []
    for name in ("straight", "interrupted"):

        def stop(stage, done, total, name=name):
            if (stage, done, name) == ("training", 2, "interrupted"):
                raise KeyboardInterrupt

        if name == "interrupted":
            with pytest.raises(KeyboardInterrupt):
                specimen.train(tmp_path / name, seed=0, split="train", progress=stop)
        specimen.train(tmp_path / name, seed=0, split="train", progress=silent)
        files.append((tmp_path / name / "model.safetensors").read_bytes())
    assert files[0] == files[1]


def test_states_of_training_carry_gradients_to_every_parameter():
    model = IMAGES.make(None).model.train()
    with states(model, ["layer1.0", "layer1.1", "layer1.2"]) as found:
        model(torch.randn(4, 3, 32, 32))
    assert len(found) == 4 and all(h.shape == (4, 6, 16, 16) for h in found)
    found[-1].square().sum().backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "linear" not in name)
    model(torch.randn(4, 3, 32, 32))
    assert len(found) == 4, "hooks are gone"


def test_states_of_several_widths_are_refused(tmp_path):
    wrong = replace(THREE_WIDTHS, recipe=Recipe(images=8, batch=8, deep_supervision=True))
    with pytest.raises(ItinfError, match="states of width 16, 32, 64, and deep_supervision=True reads all of them"):
        wrong.train(tmp_path, seed=0, split="train", progress=silent)
