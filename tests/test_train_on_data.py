"""Training a network of the registry on a data set of the registry."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import itinf
from itinf import ItinfError
from itinf.data.clusters import silent
from itinf.training import loop
from itinf.training.classifier import PADDED, Classifier, moved
from itinf.training.recipe import Recipe
from itinf.training.specimen import read_card, trained
from oracles import normal

TINY_GPT2 = [word for option in ("n_layer=1", "n_embd=8", "n_head=2", "vocab_size=16") for word in ("-O", option)]
OPTIONS = {"share": 2, "bn": "shared", "gamma": 0.1, "classes": 2}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Light and dark pictures: 12 to train on, 6 to test on."""
    root, random = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        for kind, colour in (("dark", 60), ("light", 190)):
            folder = root / split / kind
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(colour - 50, colour + 50, (32, 32, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return f"images:{root}"


def classifier(source, images=32):
    recipe = Recipe(images=images, batch=8, learning_rate=0.02, precision="float32")
    return Classifier("cifar-resnet20", source, OPTIONS, recipe)


def test_weights_and_card_open_with_the_same_options(photographs, tmp_path):
    specimen, out = classifier(photographs), tmp_path / "arm"
    scores = trained(specimen, out, seed=3, split="train", progress=silent)
    assert [(score.items, score.better) for score in scores] == [(6, "higher"), (6, "lower")]
    card = read_card(out)
    assert card["specimen"] == f"cifar-resnet20 bn=shared classes=2 gamma=0.1 share=2 on {photographs} for 32 images"
    assert (card["recipe"]["network"], card["recipe"]["options"], card["seed"]) == ("cifar-resnet20", OPTIONS, 3)
    network = itinf.network("cifar-resnet20", str(out / "model.safetensors"), **OPTIONS)
    data = itinf.dataset(photographs, network)
    with torch.no_grad():
        logits = network.model(torch.stack([data[i][0] for i in range(6)]))
    labels = torch.tensor([int(data[i][1]) for i in range(6)])
    assert scores[0].value == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    assert scores[1].value == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5)
    assert trained(specimen, out, seed=3, split="train", progress=silent) == scores, "it is only scored again"
    with pytest.raises(ItinfError, match="holds another training"):
        trained(classifier(photographs, 40), out, seed=3, split="train", progress=silent)


def test_an_interruption_changes_nothing(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1)
    specimen, whole, broken = classifier(photographs), tmp_path / "whole", tmp_path / "broken"

    def stop(stage, done, total):
        if (stage, done) == ("training", 2):
            shutil.copytree(whole, broken)

    whole.mkdir()
    specimen.train(whole, seed=0, split="train", progress=stop)
    specimen.train(broken, seed=0, split="train", progress=silent)
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, broken))
    assert first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def test_every_image_moves_by_whole_pixels_and_half_are_mirrored():
    images = normal(64, 3, 9, 8)
    torch.manual_seed(0)
    found, mirrored = moved(images), 0
    for image, result in zip(images, found, strict=True):
        fits = []
        for flipped in (False, True):
            padded = torch.nn.functional.pad(image, [PADDED] * 4)
            crops = [padded[:, y : y + 9, x : x + 8] for y in range(2 * PADDED + 1) for x in range(2 * PADDED + 1)]
            fits.append(any(torch.equal(crop.flip(2) if flipped else crop, result) for crop in crops))
        assert fits.count(True) == 1
        mirrored += fits[1]
    assert 16 < mirrored < 48


def test_the_command(command, photographs, tmp_path):
    words = ("--data", photographs, "-O", "classes=2", "-O", "gamma=0.1", "--images", "128", "--device", "cpu")
    code, printed = command("train", "cifar-resnet8", *words, "--out", str(tmp_path / "out"))
    assert code == 0 and "top-1 accuracy" in printed
    assert read_card(tmp_path / "out")["recipe"]["options"] == {"classes": 2, "gamma": 0.1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("resnet", "-O", "share=2"), "takes no options; given share. Leave them out"),
        (("gpt2", "--data", "stdlib", *TINY_GPT2), "gpt2 reads tokens, and --data trains image networks"),
    ],
)
def test_mistakes(command, words, message, tmp_path):
    code, printed = command("train", *words, "--out", str(tmp_path / "out"))
    assert code != 0 and message in " ".join(printed.split())
