"""torchvision's ResNets as networks, and the channel rescaling of residual networks."""

from __future__ import annotations

import copy
import hashlib
from itertools import pairwise
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision import models

import itinf
from itinf import ItinfError, Network
from vision import published_weights
from vision.resnet import resnet18, resnet50

CLASSES = 7


def unsettle(network: Network) -> Network:
    """The network in float64, with random BatchNorm scales and shifts, and statistics that fit them."""
    settle(network.to("cpu", torch.float64).model)
    return network


@torch.no_grad()
def settle(model: nn.Module) -> None:
    """Random BatchNorm scales and shifts; running statistics from one batch, as training would leave them."""
    make = torch.Generator().manual_seed(0)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for bn in norms:
        bn.weight.copy_(0.4 + 0.6 * torch.rand(bn.num_features, generator=make))
        bn.bias.copy_(0.2 * torch.randn(bn.num_features, generator=make))
        bn.momentum = 1.0
    model.train()
    model(torch.randn(8, 3, 32, 32, generator=make).to(norms[0].weight))
    model.eval()


def images(side: int = 32) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@torch.no_grad()
def look(network: Network, x: Tensor, model: nn.Module | None = None) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """States h_0 … h_L, branch outputs and logits, by plain hooks that clone."""
    model = model or network.model
    states: list[Tensor] = []
    branches: list[Tensor] = []
    first = model.get_submodule(network.blocks[0].name)
    hooks = [first.register_forward_pre_hook(lambda m, args: states.append(args[0].clone()))]
    for block in network.blocks:
        module = model.get_submodule(block.name)
        hooks.append(module.register_forward_hook(lambda m, args, out: states.append(out.clone())))
    paths = [f"{block.name}.{block.branch}" for block in network.blocks if block.branch]
    for module in {model.get_submodule(path) for path in paths}:  # blocks may share it
        hooks.append(module.register_forward_hook(lambda m, args, out: branches.append(out.clone())))
    logits = model(x)
    for hook in hooks:
        hook.remove()
    return states, branches, logits


def segments(states: list[Tensor]) -> list[list[int]]:
    """Consecutive states of one width."""
    found = [[0]]
    for place, (a, b) in enumerate(pairwise(states), start=1):
        if a.shape[1] == b.shape[1]:
            found[-1].append(place)
        else:
            found.append([place])
    return found


@torch.no_grad()
def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10 * float(expected.abs().max()))


def scaled(network: Network, states: list[int], change: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """States before and after a change of gauge, whose logits must agree."""
    x = images()
    before, _, logits = look(network, x)
    rewritten = copy.deepcopy(network.model)
    assert network.regauge is not None
    network.regauge(rewritten, states, change)
    after, _, same = look(network, x, rewritten)
    assert float(logits.std(0).mean()) > 0.01
    close(same, logits)
    return before, after


def assert_gauge(network: Network) -> None:
    """Every segment can be rescaled: its states are, the logits are not."""
    plain, _, _ = look(network, images())
    for segment in segments(plain):
        make = torch.Generator().manual_seed(segment[0])
        change = (2 * torch.rand(plain[segment[0]].shape[1], generator=make, dtype=torch.float64) - 1).exp()
        before, after = scaled(network, segment, change)
        for state in segment:
            close(after[state], before[state] * change[:, None, None])


def norm(x: Tensor, bn: nn.Module) -> Tensor:
    """Evaluation BatchNorm from its definition."""
    mean, var, weight, bias = (getattr(bn, k)[:, None, None] for k in ("running_mean", "running_var", "weight", "bias"))
    return (x - mean) / (var + bn.eps).sqrt() * weight + bias


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_registered_with_published_size(name: str) -> None:
    network = itinf.network(name)
    release = models.get_model_weights(name).DEFAULT
    assert sum(p.numel() for p in network.model.parameters()) == release.meta["num_params"]
    assert len(network.blocks) == {"18": 8, "34": 16, "50": 16, "101": 33, "152": 50}[name.removeprefix("resnet")]
    assert network.name == name
    assert network.classes is not None and network.classes[0] == "tench"


@pytest.mark.parametrize("make", [resnet18, resnet50])
def test_gauge(make) -> None:
    assert_gauge(unsettle(make(classes=CLASSES)))


def test_stem_joins_the_first_stage_only_where_widths_agree() -> None:
    ones = torch.ones(64)
    for make, whole, part in ((resnet18, [0, 1, 2], [0]), (resnet50, [0], [0, 1, 2, 3])):
        network = make(classes=CLASSES)
        network.regauge(network.model, whole, ones)
        with pytest.raises(ItinfError, match="not one segment; the segments are 0"):
            network.regauge(network.model, part, ones)


@pytest.mark.parametrize("change", [torch.ones(3), torch.zeros(64), -torch.ones(64)])
def test_gauge_refuses_what_does_not_fit(change: Tensor) -> None:
    network = resnet18(classes=CLASSES)
    with pytest.raises(ItinfError, match="64 positive scales"):
        network.regauge(network.model, [0, 1, 2], change)


@pytest.mark.parametrize("make", [resnet18, resnet50])
def test_branch_is_F(make) -> None:
    network = unsettle(make(classes=CLASSES))
    states, branches, logits = look(network, images())
    for block, before, after, branch in zip(network.blocks, states[:-1], states[1:], branches, strict=True):
        m = network.model.get_submodule(block.name)
        out = F.conv2d(before, m.conv1.weight, stride=m.conv1.stride, padding=m.conv1.padding)
        out = F.conv2d(norm(out, m.bn1).relu(), m.conv2.weight, stride=m.conv2.stride, padding=1)
        out = norm(out, m.bn2)
        if make is resnet50:
            out = norm(F.conv2d(out.relu(), m.conv3.weight), m.bn3)
        close(branch, out)
        skip = before
        if m.downsample is not None:
            skip = norm(F.conv2d(before, m.downsample[0].weight, stride=m.downsample[0].stride), m.downsample[1])
        close(after, (out + skip).relu())
    close(network.readout(states[-1]), logits)


def test_prepare_is_the_imagenet_evaluation_transform() -> None:
    image = Image.radial_gradient("L").resize((300, 400))
    expected = models.ResNet18_Weights.IMAGENET1K_V1.transforms()(image.convert("RGB"))
    assert torch.equal(resnet18().prepare(image), expected)
    assert resnet18(in_size=64).prepare(image).shape == (3, 64, 64)


def test_random_weights_are_the_seed() -> None:
    one, again, other = (resnet18(f"random:{seed}", classes=CLASSES) for seed in (1, 1, 2))
    assert torch.equal(one.model.conv1.weight, again.model.conv1.weight)
    assert not torch.equal(one.model.conv1.weight, other.model.conv1.weight)
    assert torch.equal(one.untrained(2).model.conv1.weight, other.model.conv1.weight)
    assert one.untrained(2).model.fc.out_features == CLASSES
    assert (one.weights, resnet18().weights) == ("random:1", "random:0")


def cached(home: Path, monkeypatch: pytest.MonkeyPatch, model: nn.Module, name: str) -> Path:
    """The weights of a model in torch's cache, as if they were the release of that name."""
    monkeypatch.setenv("TORCH_HOME", str(home))
    path = home / "hub" / "checkpoints" / name
    path.parent.mkdir(parents=True)
    torch.save(model.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr("vision.published_weights._hash", lambda release: digest[:8])
    return path


def test_pretrained_from_the_cache(tmp_path, monkeypatch) -> None:
    published = resnet50("random:5").model
    path = cached(tmp_path, monkeypatch, published, "resnet50-11ad3fa6.pth")
    network = resnet50("pretrained")
    assert torch.equal(network.model.conv1.weight, published.conv1.weight)
    assert network.weights == "ResNet50_Weights.IMAGENET1K_V2"
    image = Image.radial_gradient("L").resize((300, 400)).convert("RGB")
    release = models.ResNet50_Weights.DEFAULT.transforms()  # resizes to 232 pixels, and V1 to 256
    assert torch.equal(network.prepare(image), release(image))
    renamed = path.rename(tmp_path / "mine.pth")
    assert torch.equal(resnet50(str(renamed)).prepare(image), release(image))  # the same file under another name
    torch.save({k: v + 1 for k, v in published.state_dict().items()}, path)  # another file under the same name
    assert not torch.equal(resnet50(str(path)).prepare(image), release(image))
    with pytest.raises(ItinfError, match=r"resnet50-11ad3fa6.pth is not the file that .*IMAGENET1K_V2 names"):
        resnet50("pretrained")


def test_the_releases_hash_is_in_its_name() -> None:
    assert published_weights._hash(models.ResNet18_Weights.DEFAULT) == "f37072fd"


def test_pretrained_without_network(tmp_path, monkeypatch) -> None:
    def offline(*args, **kwargs):
        raise URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(ItinfError, match=r"no route.*Go online, or download https://.*resnet18-f37072fd\.pth"):
        resnet18("pretrained")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "pretrained", "classes": 5}, "Leave classes out"),
        ({"classes": 0}, "classes is 0; expected a whole number"),
        ({"in_size": 1.5}, "in_size is 1.5"),
        ({"weights": "random:x"}, "random:SEED"),
        ({"weights": "absent.pt"}, "no weight file 'absent.pt'"),
    ],
)
def test_mistakes(options, message) -> None:
    with pytest.raises(ItinfError, match=message):
        resnet18(**options)


def test_files(tmp_path) -> None:
    source = resnet18("random:3", classes=CLASSES)
    torch.save(source.model.state_dict(), tmp_path / "net.pt")
    loaded = resnet18(str(tmp_path / "net.pt"), classes=CLASSES)
    assert torch.equal(loaded.model.fc.weight, source.model.fc.weight)
    assert loaded.weights == str(tmp_path / "net.pt")
    with pytest.raises(ItinfError, match=r"does not fit ResNet: .*'fc.weight': file \(7, 512\), model \(1000, 512\)"):
        resnet18(str(tmp_path / "net.pt"))
    content = (tmp_path / "net.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(ItinfError, match="Is the file complete"):
        resnet18(str(tmp_path / "cut.pt"), classes=CLASSES)
