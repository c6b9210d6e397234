"""Mean and standard deviation of the input, and the names of outputs: options, files of the weights, or defaults."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import ResNet18_Weights, get_weight
from torchvision.transforms import functional as F

import itinf
from itinf import ItinfError
from test_images import painted
from vision.cifar_resnet import CIFAR10, cifar_resnet20
from vision.glyphs import glyphs
from vision.inception import googlenet
from vision.normalisation import MEAN, STD, normalisation
from vision.resnet import resnet18
from vision.transforms import imagenet

HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
OPENED = [resnet18, googlenet, cifar_resnet20]


@pytest.mark.parametrize("open_network", OPENED)
@pytest.mark.parametrize("mean", [0.5, [0.5, 0.5, 0.5], "0.5", "[0.5,0.5,0.5]", "0.5, 0.5, 0.5", (0.5,)])
def test_options(open_network, mean):
    network = open_network(in_size=32, classes=10, mean=mean, std=0.25)
    image = Image.effect_noise((32, 32), 60).convert("RGB")
    torch.testing.assert_close(network.prepare(image), (F.to_tensor(image) - 0.5) / 0.25)
    assert network.prepare.note == {
        "side": 32,
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "from": "options mean and std",
    }
    assert network.untrained(1).prepare.look.mean == (0.5,) * 3


@pytest.mark.parametrize("open_network", OPENED)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mean": 0.5}, "std is missing"),
        ({"std": 0.5}, "mean is missing"),
        ({"mean": [0.5, 0.5], "std": 0.5}, r"mean is \[0.5, 0.5\]; expected one number or three"),
        ({"mean": [123.7, 116.3, 103.5], "std": 0.5}, "Divide values for pixels from 0 to 255 by 255"),
        ({"mean": 0.5, "std": 0}, "std is 0"),
        ({"mean": 0.5, "std": -1}, "std is -1"),
        ({"mean": float("nan"), "std": 1}, "mean is nan"),
        ({"mean": "imagenet", "std": "imagenet"}, "mean is 'imagenet'"),
        ({"mean": [None] * 3, "std": 1}, "mean is"),
    ],
)
def test_wrong_options(open_network, options, words):
    with pytest.raises(ItinfError, match=words):
        open_network(**options)


def saved(folder, metadata=None, **beside):
    """A weight file as on a hub, and JSON files beside it."""
    path = folder / "model.safetensors"
    save_file({"a": torch.ones(1)}, path, metadata)
    for name, content in beside.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return str(path)


TIMM = {"architecture": "resnet18", "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
PROCESSOR = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "do_normalize": True}


@pytest.mark.parametrize(
    ("metadata", "beside", "source"),
    [
        (None, {"config": TIMM}, "config.json"),
        (None, {"preprocessor_config": PROCESSOR}, "preprocessor_config.json"),
        (None, {"config": TIMM, "preprocessor_config": PROCESSOR}, "config.json"),
        ({"mean": "[0.5, 0.5, 0.5]", "std": "[0.25, 0.25, 0.25]"}, {}, "the metadata of model.safetensors"),
        ({"pretrained_cfg": json.dumps(TIMM["pretrained_cfg"])}, {}, "the metadata of model.safetensors"),
        ({"format": "pt"}, {"config": {"model_type": "resnet"}}, None),
    ],
)
def test_what_the_files_of_the_weights_say(tmp_path, metadata, beside, source):
    found = normalisation("net", saved(tmp_path, metadata, **beside))
    if source is None:
        assert (found.mean, found.std) == (MEAN, STD) and "default" in found.source
    else:
        assert {"mean": found.mean, "std": found.std} == HALF and found.source == source


def test_inputs_that_are_not_standardised(tmp_path):
    found = normalisation("net", saved(tmp_path, preprocessor_config=PROCESSOR | {"do_normalize": False}))
    assert (found.mean, found.std) == ((0, 0, 0), (1, 1, 1))


def test_files_that_disagree(tmp_path, caplog):
    path = saved(tmp_path, config=TIMM, preprocessor_config=PROCESSOR | {"image_std": [0.5] * 3})
    with pytest.raises(
        ItinfError, match=r"disagree \(config.json: .*; preprocessor_config.json: .*Decide by the options"
    ):
        normalisation("net", path)
    assert normalisation("net", path, 0.5, 0.5).std == (0.5, 0.5, 0.5)
    assert "by option, but config.json says" in caplog.text
    for content in ("[", '{"image_mean": "x", "image_std": 1}'):
        (tmp_path / "preprocessor_config.json").write_text(content)
        with pytest.raises(ItinfError, match=r"preprocessor_config\.json"):
            normalisation("net", path)


def test_other_json_files_do_not_describe_a_file_of_another_name(tmp_path):
    path = saved(tmp_path, config=TIMM)
    other = tmp_path / "mine.safetensors"
    other.write_bytes((tmp_path / "model.safetensors").read_bytes())
    assert normalisation("net", str(other)).mean == MEAN and normalisation("net", path).mean == HALF["mean"]


def test_a_disagreement_stands_beside_the_results(tmp_path):
    painted(tmp_path / "images", "a.png")
    weights = str(tmp_path / "model.safetensors")
    save_file(
        cifar_resnet20(classes=3).model.state_dict(), weights, {"mean": "[0.5,0.5,0.5]", "std": "[0.25,0.25,0.25]"}
    )
    stored = itinf.dataset(f"images:{tmp_path / 'images'}", cifar_resnet20(weights, classes=["red", "green", "blue"]))
    assert stored.note["input"] == {
        "side": 32,
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "from": "the metadata of model.safetensors",
    }
    assert "doubts" not in stored.note
    network = cifar_resnet20(weights, classes=["red", "green", "blue"], mean=0.4, std=0.25)
    run = itinf.probe(
        network, itinf.dataset(f"images:{tmp_path / 'images'}", network), [itinf.Performance()], replicates=4
    )
    assert any("but the metadata of model.safetensors says (0.5, 0.5, 0.5)" in note for note in run.notes)


@pytest.mark.parametrize(
    "release", ["ResNet18_Weights.DEFAULT", "ResNet50_Weights.DEFAULT", "GoogLeNet_Weights.DEFAULT"]
)
def test_a_release_has_its_own_transform(release):
    """ResNet-50's resizes to 232 pixels; the values are to the last bit those of torchvision."""
    release = get_weight(release)
    look = normalisation("net", "pretrained", release=release)
    image = Image.effect_noise((300, 260), 60).convert("RGB")
    assert torch.equal(imagenet(224, look, release)(image), release.transforms()(image))
    assert imagenet(224, look, release).note["resize"] == release.transforms().resize_size[0]
    assert look.source == str(release)


@pytest.mark.parametrize("open_network", OPENED)
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n\n"])
def test_names_of_outputs(open_network, tmp_path, ending):
    (tmp_path / "labels.txt").write_bytes(("\ufeffred\n green \nblue" + ending).encode())
    for classes in (str(tmp_path / "labels.txt"), ["red", "green", "blue"], ("red", "green", "blue")):
        network = open_network(classes=classes, in_size=32)
        assert list(network.classes) == ["red", "green", "blue"] and network.head.out_features == 3
        assert list(network.untrained(1).classes) == ["red", "green", "blue"]
    painted(tmp_path / "images", "a.png")
    assert itinf.dataset(f"images:{tmp_path / 'images'}", network).note["classes"] == {"blue": 2, "green": 1, "red": 0}


@pytest.mark.parametrize("open_network", OPENED)
def test_names_of_outputs_that_are_refused(open_network, tmp_path):
    (tmp_path / "labels.txt").write_text("red\n\nblue\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for classes, words in (
        (str(tmp_path / "labels.txt"), "none empty"),
        (str(tmp_path / "nowhere.txt"), "no file that can be read"),
        (str(tmp_path), "no file that can be read"),
        (str(tmp_path / "binary"), "no file that can be read"),
        (["red", "red"], "none twice"),
        ([], "gives 0 names"),
        ([1, 2], "expected a name for each output"),
        (0, "expected a whole number of at least 1"),
    ):
        with pytest.raises(ItinfError, match=words):
            open_network(classes=classes)


def test_published_weights_keep_their_outputs():
    for classes in (10, ["a", "b"]):
        with pytest.raises(ItinfError, match="pretrained weights have ImageNet's head"):
            resnet18("pretrained", classes=classes)


def test_glyphs_are_for_networks_of_glyphs():
    assert list(resnet18().classes) == ResNet18_Weights.DEFAULT.meta["categories"]
    assert glyphs(None, cifar_resnet20(classes=46)).note["input"]["side"] == 32
    with pytest.raises(ItinfError, match="has other classes"):
        glyphs(None, cifar_resnet20(classes=[f"class {k}" for k in range(46)]))
    with pytest.raises(ItinfError, match="10 classes"):
        glyphs(None, cifar_resnet20(classes=CIFAR10))
