"""The CIFAR ResNets, their plain, pre-activation and isotropic forms."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

import itinf
from itinf import ItinfError, Network
from test_resnet import assert_gauge, close, images, look, norm, scaled, unsettle
from vision.cifar_model import PadShortcut
from vision.cifar_resnet import cifar_isotropic, cifar_isotropic_plain, cifar_plain, cifar_preresnet, cifar_resnet
from vision.transforms import MEAN, STD

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"

FORMS = {
    "post": lambda: cifar_resnet(depth=14),
    "post-projection": lambda: cifar_resnet(depth=14, shortcut="projection"),
    "pre": lambda: cifar_preresnet(depth=14),
    "pre-projection": lambda: cifar_preresnet(depth=14, shortcut="projection"),
    "isotropic": lambda: cifar_isotropic(blocks=3, width=12),
    "isotropic-pre": lambda: cifar_isotropic(blocks=3, width=12, activation="pre"),
    "post-shared": lambda: cifar_resnet(depth=20, share=True),
    "post-shared-norms": lambda: cifar_resnet(depth=20, share=2, bn="shared"),
    "isotropic-pre-shared-norms": lambda: cifar_isotropic(blocks=3, width=12, activation="pre", share=2, bn="shared"),
    "isotropic-shared": lambda: cifar_isotropic(blocks=3, width=12, share=True),
    "isotropic-pre-shared": lambda: cifar_isotropic(blocks=3, width=12, activation="pre", share=True),
    "plain": lambda: cifar_plain(depth=14),
    "plain-pre": lambda: cifar_plain(depth=14, activation="pre"),
    "isotropic-plain": lambda: cifar_isotropic_plain(blocks=3, width=12),
}
RESIDUAL = [name for name in FORMS if "plain" not in name]
PLAIN = [name for name in FORMS if "plain" in name]


def opened(form: str) -> Network:
    return unsettle(FORMS[form]())


def checkpoint(depth: int) -> str:
    path = DATA / f"resnet{depth}-cifar10-idelbayev.safetensors"
    if not path.is_file():
        pytest.skip("no shared data beside the checkout")
    return str(path)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_parameters_as_in_the_paper(depth: int, millions: float) -> None:
    network = itinf.network(f"cifar-resnet{depth}")
    assert sum(p.numel() for p in network.model.parameters()) / 1e6 == pytest.approx(
        millions, abs=0.03 if depth > 99 else 0.005
    )
    assert len(network.blocks) == (depth - 2) // 2


@pytest.mark.parametrize("depth", [20, 56])
def test_checkpoints_fit(depth: int) -> None:
    path = checkpoint(depth)
    network = cifar_resnet(path, depth)
    own = {k for k in network.model.state_dict() if not k.endswith("num_batches_tracked")}
    assert own == set(load_file(path))
    assert torch.equal(network.model.layer3[1].bn2.running_var, load_file(path)["layer3.1.bn2.running_var"])


def test_checkpoint_recognises_photographs() -> None:
    network = cifar_resnet(checkpoint(20))
    with tarfile.open(DATA / "cifar10-jpeg.tar.gz") as archive:
        photographs = [m for m in archive.getmembers() if "/test/" in f"/{m.name}" and m.name.endswith(".jpg")][::50]
        inputs, names = [], []
        for member in sorted(photographs, key=lambda m: m.offset):
            inputs.append(network.prepare(Image.open(io.BytesIO(archive.extractfile(member).read()))))
            names.append(member.name.split("/")[-2])
    with torch.no_grad():
        answers = [network.classes[i] for i in network.model(torch.stack(inputs)).argmax(1)]
    right = np.mean([a == b for a, b in zip(answers, names, strict=True)])
    assert len(names) == 200
    assert right == pytest.approx(0.81, abs=0.08)


@pytest.mark.parametrize("form", RESIDUAL)
def test_gauge(form: str) -> None:
    assert_gauge(opened(form))


@pytest.mark.parametrize("form", ["post", "pre"])
def test_padded_shortcuts_pass_the_scale_on_both_ways(form: str) -> None:
    network = opened(form)
    change = torch.linspace(0.5, 2, 32, dtype=torch.float64)
    before, after = scaled(network, [3, 4], change)
    for state in (0, 1, 2):
        close(after[state], before[state] * change[8:24, None, None])
    third = torch.cat([torch.ones(16), change, torch.ones(16)])[:, None, None]
    for state in (5, 6):
        close(after[state], before[state] * third)


def test_projections_keep_the_scale_in_its_segment() -> None:
    before, after = scaled(opened("post-projection"), [3, 4], torch.linspace(0.5, 2, 32, dtype=torch.float64))
    for state in (0, 1, 2, 5, 6):
        close(after[state], before[state])


@pytest.mark.parametrize("states", [[0, 1], [2, 3], [], [99], [1, 0, 2]])
def test_gauge_refuses_what_is_not_a_segment(states: list[int]) -> None:
    network = cifar_resnet(depth=14)
    with pytest.raises(ItinfError, match="segments are 0–2, 3–4, 5–6"):
        network.regauge(network.model, states, torch.ones(16))


def test_option_A_shortcut() -> None:
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    expected = torch.zeros(1, 3, 2, 2)
    expected[0, 1] = torch.tensor([[0.0, 2.0], [6.0, 8.0]])
    assert torch.equal(PadShortcut(1)(x), expected)


@pytest.mark.parametrize("form", [*RESIDUAL, *PLAIN])
def test_blocks_by_hand(form: str) -> None:
    """F from the weights, skip by its definition, and the branch module puts out F."""
    network = opened(form)
    states, branches, logits = look(network, images())
    assert len(branches) == (0 if "plain" in form else len(network.blocks))
    for place, (block, before, after) in enumerate(zip(network.blocks, states[:-1], states[1:], strict=True)):
        m = network.model.get_submodule(block.name)
        stride = before.shape[-1] // after.shape[-1]
        if "pre" in form:
            out = F.conv2d(norm(before, m.bn1).relu(), m.conv1.weight, stride=stride, padding=1)
            out = F.conv2d(norm(out, m.bn2).relu(), m.conv2.weight, padding=1)
        else:
            out = norm(F.conv2d(before, m.conv1.weight, stride=stride, padding=1), m.bn1).relu()
            out = norm(F.conv2d(out, m.conv2.weight, padding=1), m.bn2)
        if "plain" not in form:
            close(branches[place], out)
            skip = before
            if stride == 2 and "projection" in form:
                skip = norm(F.conv2d(before, m.shortcut[0].weight, stride=2), m.shortcut[1])
            elif stride == 2:
                skip = torch.zeros_like(out)
                quarter = out.shape[1] // 4
                skip[:, quarter : 3 * quarter] = before[:, :, ::2, ::2]
            out = out + skip
        close(after, out if "pre" in form else out.relu())
    close(network.readout(states[-1]), logits)


@pytest.mark.parametrize("form", ["post", "pre", "isotropic"])
def test_addition_is_in_place(form: str) -> None:
    """As in torchvision, so that a hook that does not clone is caught out here."""
    network = opened(form)
    kept = []
    block = network.model.get_submodule(network.blocks[0].name)
    block.get_submodule(network.blocks[0].branch).register_forward_hook(lambda m, args, out: kept.append(out))
    states, branches, _ = look(network, images())
    assert torch.equal(kept[0], states[1])
    assert not torch.allclose(kept[0], branches[0])


def test_plain_has_the_same_parameters_and_no_gauge() -> None:
    plain, residual = cifar_plain("random:4"), cifar_resnet("random:4")
    assert plain.gauge is None and plain.regauge is None
    for name, tensor in residual.model.state_dict().items():
        assert torch.equal(plain.model.state_dict()[name], tensor)
    assert torch.equal(cifar_resnet("random:4", residual=False).model(images().float()), plain.model(images().float()))


def test_isotropic_states_have_one_shape() -> None:
    network = cifar_isotropic()
    states, _, _ = look(network, images().float())
    assert [tuple(s.shape) for s in states] == [(2, 32, 16, 16)] * 11
    states, _, _ = look(cifar_isotropic(depth=8, width=5, stride=1), images().float())
    assert [tuple(s.shape) for s in states] == [(2, 5, 32, 32)] * 4


def test_families_by_name() -> None:
    for name, blocks in (
        ("cifar-resnet26", 12),
        ("cifar-preresnet20", 9),
        ("cifar-plain32", 15),
        ("cifar-isotropic-plain8", 3),
    ):
        network = itinf.network(name)
        assert (network.name, len(network.blocks)) == (name, blocks)


def test_prepare_and_classes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    network = cifar_resnet()
    expected = (torch.tensor(pixels) / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    torch.testing.assert_close(network.prepare(Image.fromarray(pixels)), expected.permute(2, 0, 1))
    assert network.prepare(Image.new("L", (50, 40))).shape == (3, 32, 32)
    assert cifar_resnet(in_size=48).prepare(Image.fromarray(pixels)).shape == (3, 48, 48)
    assert network.classes[3] == "cat"
    assert cifar_resnet(classes=46).classes is None
    assert cifar_resnet(classes=46).model.linear.out_features == 46


def test_untrained_keeps_the_options() -> None:
    network = cifar_resnet("random:1", 14, shortcut="projection", classes=4)
    other = network.untrained(9)
    assert other.weights == "random:9"
    assert {k: v.shape for k, v in other.model.state_dict().items()} == {
        k: v.shape for k, v in network.model.state_dict().items()
    }
    assert torch.equal(
        other.model.linear.weight, cifar_resnet("random:9", 14, shortcut="projection", classes=4).model.linear.weight
    )
    assert not torch.equal(other.model.linear.weight, network.model.linear.weight)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (cifar_resnet, {"depth": 21}, r"no cifar-resnet of depth 21; depths are 6n \+ 2. Nearest: 20 and 26"),
        (cifar_resnet, {"depth": 2}, "Nearest: 8"),
        (cifar_resnet, {"depth": "20"}, "depth is '20'"),
        (cifar_isotropic, {"depth": 9}, r"2n \+ 2. Nearest: 8 and 10"),
        (cifar_isotropic, {"depth": 8, "blocks": 4}, "Give one"),
        (cifar_isotropic, {"blocks": 0}, "blocks is 0"),
        (cifar_isotropic, {"width": -3}, "width is -3"),
        (cifar_isotropic, {"shortcut": "A"}, "no option 'shortcut'"),
        (cifar_resnet, {"clases": 3}, "Did you mean classes"),
        (cifar_resnet, {"activation": "posd"}, "Did you mean post"),
        (cifar_resnet, {"shortcut": "B"}, "Known: A, projection"),
        (cifar_resnet, {"residual": False, "shortcut": "projection"}, "no skips"),
        (cifar_isotropic, {"blocks": 1, "share": True}, "one block of each width, so share=True has nothing to share"),
        (cifar_resnet, {"share": 3}, "share is 3; expected a whole number from 2 to 2: so many blocks"),
        (cifar_isotropic, {"share": 1}, "share is 1; expected a whole number from 2 to 10"),
        (cifar_isotropic, {"share": "all"}, "share is 'all'; expected a whole number"),
        (cifar_resnet, {"bn": "shared"}, "bn='shared' was given, but no blocks share. Give share=2"),
        (cifar_resnet, {"share": 2, "bn": "mine"}, "bn is 'mine'; expected own or shared"),
        (cifar_resnet, {"gamma": -1}, "gamma is -1; expected a finite number of at least 0"),
        (cifar_resnet, {"weights": "pretrained"}, "no published weights. Give a"),
    ],
)
def test_mistakes(make, options, message) -> None:
    with pytest.raises(ItinfError, match=message):
        make(**options)


def test_files_that_do_not_fit(tmp_path) -> None:
    state = cifar_resnet(depth=8, classes=46).model.state_dict()
    path = tmp_path / "net.safetensors"
    save_file(state, path)
    assert torch.equal(cifar_resnet(str(path), 8, classes=46).model.linear.weight, state["linear.weight"])
    with pytest.raises(ItinfError, match=r"'linear.weight': file \(46, 64\), model \(10, 64\)"):
        cifar_resnet(str(path), 8)
    with pytest.raises(ItinfError, match=r"tensors are missing, first 'layer1\.1"):
        cifar_resnet(str(path), 14, classes=46)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ItinfError, match="Is the file complete"):
        cifar_resnet(str(path), 8, classes=46)
