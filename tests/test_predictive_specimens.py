"""The shipped predictive-coding model, its two controls and the GPT-2 beside it: trained alike, and what their cards say."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

import itinf
from itinf.data.clusters import silent
from itinf.files import damage
from itinf.registry import specimen
from itinf.training.specimen import read_card
from language import train
from language.specimens import FOLDER

ARMS = {
    "predictive": ("predictive", {}),
    "predictive-truth": ("predictive", {"error": "truth"}),
    "predictive-ascent": ("predictive", {"error": "ascent"}),
    "predictive-gpt2": ("predictive-gpt2", {}),
}
"""Folder -> network and options."""
MEGABYTES = 2.5


def bits(folder: str) -> list[float]:
    """The scores of a card, state by state; the last one comes first in the card."""
    last, *states = read_card(FOLDER / folder)["scores"].values()
    return [*states, last]


@pytest.mark.parametrize("folder", ARMS)
def test_the_folder_is_small_whole_and_opens(folder):
    name, options = ARMS[folder]
    where, card = FOLDER / folder, read_card(FOLDER / folder)
    assert card["specimen"] == folder and card["files"].keys() == {path.name for path in where.iterdir()} - {
        "card.toml"
    }
    assert not any(damage(where / file, listed) for file, listed in card["files"].items())
    assert {path.suffix for path in where.iterdir()} == {".json", ".toml", ".csv", ".safetensors"}, "no pickle"
    assert sum(path.stat().st_size for path in where.iterdir()) <= MEGABYTES * 1e6
    weights = load_file(where / "model.safetensors").values()
    assert {value.dtype for value in weights} == {torch.float16} and all(value.isfinite().all() for value in weights)
    network = itinf.network(name, "specimen", **options)
    assert network.dtype == torch.float32 and [*network.scores.values()] == [*card["scores"].values()]
    assert itinf.check(network).ok


def test_all_are_trained_alike():
    cards = [read_card(FOLDER / folder) for folder in ARMS]
    recipes = [{key: value for key, value in card["recipe"].items() if key != "command"} for card in cards]
    assert all(recipe == recipes[0] for recipe in recipes) and recipes[0]["steps"] == 1500
    assert all(card["data"] == cards[0]["data"] and card["seed"] == 0 for card in cards)
    tokenizers = {(FOLDER / folder / "tokenizer.json").read_bytes() for folder in ARMS}
    assert len(tokenizers) == 1
    configs = [json.loads((FOLDER / folder / "config.json").read_text()) for folder in ARMS]
    assert [config.pop("error", None) for config in configs] == ["prediction", "truth", "ascent", None]
    assert configs[0] == configs[1] == configs[2]


def test_what_the_arms_compress_to():
    """Correcting errors is worth more than adding truths, and both are better than their own first guess and the GPT-2."""
    found = {folder: bits(folder) for folder in ARMS}
    assert found["predictive"][-1] < found["predictive-truth"][-1] < found["predictive-gpt2"][-1]
    assert found["predictive-gpt2"][-1] < min(found[folder][0] for folder in ARMS if folder != "predictive-gpt2")
    firsts = [found[folder][0] for folder in ARMS if folder != "predictive-gpt2"]
    assert max(firsts) - min(firsts) < 0.01, "before the layers, the three are one model"


@pytest.mark.parametrize("folder", ARMS)
def test_the_bounds_of_a_card_follow_from_its_scores(folder):
    scores, bounds = (read_card(FOLDER / folder)[key] for key in ("scores", "bounds"))
    assert scores.keys() == bounds.keys()
    values = bits(folder)
    first, *later = [*list(bounds.values())[1:], next(iter(bounds.values()))]
    assert first == 1.8516 and values[0] < first, "counts of pairs"
    assert later == (values[:-1] if folder == "predictive" else [values[0]] * len(later))
    for bound, after in zip(later, values[1:], strict=True):
        assert after >= bound if folder == "predictive-ascent" else after < bound


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["predictive-ascent", "predictive-gpt2"])
def test_gates_on_fewer_modules(folder, monkeypatch):
    monkeypatch.setattr(train, "SCORED", 4)
    name, options = ARMS[folder]
    found = specimen(name, **options)
    scores = found.evaluate(found.folder, split="train", progress=silent)
    assert len(scores) == (1 if folder == "predictive-gpt2" else 5)
    assert all(score.bound is not None for score in scores)
    assert all(score.reached for score in scores), scores
