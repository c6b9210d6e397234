"""Networks of libraries by name: torchvision, timm, and Hugging Face folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

import itinf
from itinf import Batch, ItinfError
from itinf.studies.study_file import StudyNetwork

DATA = Path(__file__).parents[2] / "shared" / "data"
SMALL = {
    "vocab_size": 300,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
VIT = {**{k: v for k, v in SMALL.items() if k != "vocab_size"}, "image_size": 32, "patch_size": 8}
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))


def saved(folder, kind, auto, **options):
    torch.manual_seed(1)
    config = transformers.AutoConfig.for_model(kind, **options)
    auto.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture
def language(tmp_path):
    kinds = {"bos_token_id": None, "eos_token_id": None}
    return saved(tmp_path / "neox", "gpt_neox", transformers.AutoModelForCausalLM, **SMALL, **kinds)


def test_torchvision(tmp_path):
    network = itinf.network("torchvision:resnet18", "random:2", in_size=64, classes=["a", "b", "c"])
    assert (
        network.name == "torchvision:resnet18" and network.weights == "random:2" and network.classes == ["a", "b", "c"]
    )
    assert len(network.blocks) == 8 and network.prepare(PHOTO).shape == (3, 64, 64) and itinf.check(network).ok
    again = itinf.network("resnet18", "random:2", in_size=64, classes=3)
    assert all(torch.equal(a, b) for a, b in zip(network.model.parameters(), again.model.parameters(), strict=True))
    torch.save(again.model.state_dict(), tmp_path / "mine.pth")
    loaded = itinf.network("torchvision:resnet18", str(tmp_path / "mine.pth"), classes=3)
    assert torch.equal(loaded.model.fc.weight, again.model.fc.weight)
    assert torch.equal(network.untrained(2).model.fc.weight, again.model.fc.weight)


def test_timm():
    network = itinf.network("timm:vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, classes=4)
    assert network.unit == "image" and network.layout == "n t c" and len(network.blocks) == 2
    assert network.prepare(PHOTO.convert("L")).shape == (3, 32, 32)
    assert network.prepare.note["mean"] == [0.5, 0.5, 0.5] and itinf.check(network).ok


def test_a_hugging_face_folder_of_a_language_model(language):
    network = itinf.network(f"hf:{language}", tokenizer="bytes")
    own = transformers.AutoModelForCausalLM.from_pretrained(language).state_dict()
    assert all(torch.equal(network.model.state_dict()[key], value) for key, value in own.items())
    assert all(block.parallel for block in network.blocks) and network.unit == "token" and itinf.check(network).ok
    assert network.prepare("ab").tolist() == [97, 98]
    other = itinf.network(f"hf:{language}", "random:5", tokenizer="bytes")
    assert not torch.equal(other.head.weight, network.head.weight) and other.weights == "random:5"
    assert torch.equal(network.untrained(5).head.weight, other.head.weight)
    with pytest.raises(ItinfError, match="tokenizer"):
        itinf.network(f"hf:{language}").prepare("ab")


def test_hugging_face_folders_of_classifiers(tmp_path):
    images = saved(tmp_path / "vit", "vit", transformers.AutoModelForImageClassification, **VIT, num_labels=3)
    with pytest.raises(ItinfError, match=r"no image processor.*preprocessor_config.json"):
        itinf.network(f"hf:{images}")
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(images)
    network = itinf.network(f"hf:{images}")
    assert network.unit == "image" and network.prepare(PHOTO).shape == (3, 32, 32) and itinf.check(network).ok
    texts = saved(tmp_path / "bert", "bert", transformers.AutoModelForSequenceClassification, **SMALL, num_labels=3)
    weights = load_file(texts / "model.safetensors")  # older files hold places, which are no weights
    save_file(
        weights | {"bert.embeddings.position_ids": torch.arange(512)}, texts / "model.safetensors", {"format": "pt"}
    )
    network = itinf.network(f"hf:{texts}", tokenizer="bytes")
    ids = torch.randint(300, (3, 9), generator=torch.Generator().manual_seed(0))
    report = itinf.check(network, Batch(ids, torch.tensor([0, 1, 2]), np.arange(3, dtype=np.uint64)))
    assert report.ok and "native_layer_norm, not by a sum" in network.left_out[0]
    assert network.unit == "text" and network.modality == "language" and network.skips


def test_a_classifier_of_texts_is_measured(tmp_path):
    folder = saved(tmp_path / "bert", "bert", transformers.AutoModelForSequenceClassification, **SMALL, num_labels=3)
    network = itinf.network(f"hf:{folder}", tokenizer="bytes")
    generator = torch.Generator().manual_seed(0)
    texts = [(torch.randint(300, (9,), generator=generator), k % 3) for k in range(120)]
    run = itinf.probe(network, texts, units=24, untrained=0, replicates=20)
    assert set(run.table.unit) == {"text"} and run.table[run.table.measure == "descent_share"]["mean"].notna().any()
    lens = itinf.fit(network, [{"input_ids": ids, "label": label} for ids, label in texts])
    moved = itinf.transfer(network, lens, texts, replicates=20)
    assert moved.table[moved.table.measure == "readable"]["mean"].notna().any()
    with pytest.raises(ItinfError, match="no attention mask: give texts of one length"):
        itinf.probe(network, [{"input_ids": [5, 0], "label": 1, "attention_mask": [1, 0]}] * 9)
    with pytest.raises(ItinfError, match="Cut the texts to one length"):
        itinf.probe(network, [(torch.arange(5), 0), (torch.arange(7), 1)] * 5)
    with pytest.raises(ItinfError, match=r"reads texts. Give it \(ids, class number\) in Python"):
        itinf.dataset(f"text:{__file__}", network)


def test_without_weights_a_folder_gives_its_own_in_a_study_too(language):
    assert StudyNetwork(f"hf:{language}", "text:x.txt").weights == ""
    assert StudyNetwork("gpt2", "text:x.txt").weights == "random"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("torchvision:resnet19", {}, "torchvision has no image classifier 'resnet19'. Did you mean resnet18"),
        ("torchvision:vgg11", {"depth": 3}, "The options of torchvision:vgg11 are: classes, in_size, mean, std"),
        ("timm:vit_tny_patch16_224", {}, "timm has no model 'vit_tny_patch16_224'. Did you mean"),
        ("timm:resnet18", {"colour": 3}, "timm:resnet18 cannot be made with {'colour': 3}"),
        ("hf:nowhere", {}, "there is no folder 'nowhere'"),
        ("keras:resnet", {}, "There is no network 'keras:resnet'"),
    ],
)
def test_what_a_library_does_not_have_is_said(name, options, message):
    with pytest.raises(ItinfError) as refused:
        itinf.network(name, **options)
    assert message in str(refused.value)


def test_a_folder_whose_model_has_no_classes_is_refused(tmp_path):
    folder = saved(tmp_path / "bare", "bert", transformers.AutoModel, **SMALL)
    with pytest.raises(
        ItinfError, match="names the architecture 'BertModel'; expected a class that ends in ForCausalLM"
    ):
        itinf.network(f"hf:{folder}")


def test_a_trained_network_of_timm():
    """EfficientNet-Lite0, trained on ImageNet: blocks with and without skips."""
    path = DATA / "tf_efficientnet_lite0-imagenet.safetensors"
    if not path.is_file():
        pytest.skip("no shared data beside the checkout")
    network = itinf.network("timm:tf_efficientnet_lite0", str(path))
    assert len(network.blocks) == 15 and sum(block.branch is not None for block in network.blocks) == 9
    assert itinf.check(network).ok and network.classes[0] == "tench"
