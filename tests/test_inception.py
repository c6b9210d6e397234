"""Inception v1: torchvision's GoogLeNet without its auxiliary heads."""

from __future__ import annotations

from urllib.error import URLError

import pytest
import torch
from PIL import Image
from torchvision.models import GoogLeNet_Weights
from torchvision.models.googlenet import GoogLeNet

import itinf
from itinf import ItinfError
from test_resnet import cached, close, images, look, settle, unsettle
from vision.inception import RELEASE, googlenet

NAMES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
FILE = "googlenet-1378be20.pth"


@pytest.fixture(scope="module")
def with_heads() -> GoogLeNet:
    torch.manual_seed(3)
    model = GoogLeNet(num_classes=1000, aux_logits=True, init_weights=False)
    settle(model)
    return model


def test_size_is_the_published_one() -> None:
    network = itinf.network("googlenet")
    assert sum(p.numel() for p in network.model.parameters()) == RELEASE.meta["num_params"]
    assert network.gauge is None and network.regauge is None
    assert network.classes is not None and len(network.classes) == 1000


def test_blocks_and_readout() -> None:
    network = unsettle(googlenet(classes=7))
    states, branches, logits = look(network, images(side=64))
    assert [b.name for b in network.blocks] == [f"inception{n}" for n in NAMES]
    assert [s.shape[1] for s in states] == [192, 256, 480, 512, 512, 512, 528, 832, 832, 1024]
    assert [s.shape[2] for s in states] == [8, 8, 8, 4, 4, 4, 4, 4, 2, 2]
    assert not branches
    assert logits.shape == (2, 7)
    close(network.readout(states[-1]), logits)


def test_each_module_by_hand() -> None:
    network = unsettle(googlenet(classes=7))
    states, _, _ = look(network, images(side=64))
    for block, before, after in zip(network.blocks, states[:-1], states[1:], strict=True):
        if before.shape[-1] != after.shape[-1]:
            before = torch.nn.functional.max_pool2d(before, 3 if block.name == "inception4a" else 2, 2, ceil_mode=True)
        m = network.model.get_submodule(block.name)
        close(torch.cat([m.branch1(before), m.branch2(before), m.branch3(before), m.branch4(before)], 1), after)


def test_auxiliary_heads_in_a_file_are_left_out(tmp_path, with_heads) -> None:
    torch.save(with_heads.state_dict(), tmp_path / "net.pt")
    network = googlenet(str(tmp_path / "net.pt"), transform_input=False)
    assert not [name for name in network.model.state_dict() if name.startswith("aux")]
    with torch.no_grad():
        assert torch.equal(network.model(images().float()), with_heads(images().float()))
    assert torch.equal(network.untrained(2).model.fc.weight, googlenet("random:2").model.fc.weight)


def test_release_expects_another_normalisation(tmp_path, monkeypatch, with_heads) -> None:
    """As torchvision: the model moves inputs from ImageNet's normalisation to 2x − 1."""
    path = cached(tmp_path, monkeypatch, with_heads, FILE)
    renamed = tmp_path / "mine.bin"
    renamed.write_bytes(path.read_bytes())
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    pixels = images().float().sigmoid()
    with torch.no_grad():
        expected = with_heads(2 * pixels - 1)
        for weights in ("pretrained", str(path), str(renamed)):
            torch.testing.assert_close(googlenet(weights).model((pixels - mean) / std), expected, rtol=0, atol=1e-3)
        plain = googlenet(str(path), transform_input=False).model((pixels - mean) / std)
    assert float((plain - expected).abs().max()) > 0.1
    assert googlenet(str(renamed), transform_input=False).weights == f"{renamed} (transform_input=False)"
    network = googlenet("pretrained")
    assert network.weights == str(GoogLeNet_Weights.IMAGENET1K_V1)
    assert not [name for name in network.model.state_dict() if name.startswith("aux")]
    torch.save({k: v + 1 for k, v in with_heads.state_dict().items()}, path)
    with pytest.raises(
        ItinfError, match=r"does not say whether its network converts the input\. Give transform_input=true"
    ):
        googlenet(str(path))  # only the name is that of the release


def test_prepare() -> None:
    image = Image.radial_gradient("L").resize((300, 400))
    assert torch.equal(googlenet().prepare(image), RELEASE.transforms()(image.convert("RGB")))
    assert googlenet(in_size=64).prepare(image).shape == (3, 64, 64)


def test_pretrained_without_network(tmp_path, monkeypatch) -> None:
    def offline(*args, **kwargs):
        raise URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(ItinfError, match=rf"no route.*{FILE}"):
        googlenet("pretrained")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "pretrained", "classes": 5}, "Leave classes out"),
        ({"classes": -1}, "classes is -1"),
        ({"weights": "absent.pt"}, "no weight file 'absent.pt'"),
    ],
)
def test_mistakes(options, message) -> None:
    with pytest.raises(ItinfError, match=message):
        googlenet(**options)


def test_files_that_do_not_fit(tmp_path) -> None:
    path = tmp_path / "net.pt"
    torch.save(googlenet(classes=5).model.state_dict(), path)
    with pytest.raises(ItinfError, match=r"'fc.weight': file \(5, 1024\), model \(7, 1024\)"):
        googlenet(str(path), classes=7, transform_input=False)
    path.write_bytes(path.read_bytes()[:10_000])
    with pytest.raises(ItinfError, match="Is the file complete"):
        googlenet(str(path), classes=5)
