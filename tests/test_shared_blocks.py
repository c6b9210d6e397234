"""One block applied several times: its weights are one tensor, in memory, in the file, and after every change."""

import copy
import json
from collections import Counter
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file

import itinf
from itinf import ItinfError, Network
from itinf.networks.gauge import random_change
from itinf.networks.untrained import untrained
from itinf.training.recipe import half
from itinf.training.specimen import finished, read_card
from language.gpt2 import gpt2, iterative_gpt2
from language.train import ITERATIVE_GPT2
from oracles import batch as batch_of
from oracles import normal
from vision.cifar_resnet import cifar_isotropic, cifar_plain, cifar_resnet
from vision.specimens import iterative
from vision.train import ITERATIVE

TINY = {"n_layer": 3, "n_embd": 16, "n_head": 2, "vocab_size": 40, "n_positions": 12, "share": True}
MAKES = {
    "isotropic": lambda: cifar_isotropic(blocks=3, width=6, share=True),
    "pre": lambda: cifar_isotropic(blocks=3, width=6, share=True, activation="pre"),
    "plain": lambda: cifar_plain(depth=20, share=True),
    "stages": lambda: cifar_resnet(depth=20, share=True),
    "last two": lambda: cifar_resnet(depth=20, share=2),
    "with norms": lambda: cifar_isotropic(blocks=3, width=6, share=2, bn="shared"),
    "gpt2": lambda: gpt2(**TINY),
}
# owners of each shared weight; a later stage of the CIFAR ResNet shares all but its first block
OWNERS = {"isotropic": [3] * 2, "pre": [3] * 2, "plain": [3, 3, 2, 2, 2, 2], "stages": [3, 3, 2, 2, 2, 2]}
OWNERS |= {"gpt2": [3] * 12, "last two": [2] * 6, "with norms": [2] * 6}  # kernels, scales and shifts


def owners(network: Network) -> list[int]:
    """How many names each shared parameter has among the blocks."""
    names = [id(p) for n, p in network.model.named_parameters(remove_duplicate=False) if n.startswith(("layer", "tr"))]
    return sorted((count for i, count in Counter(names).items() if count > 1 and i != head(network)), reverse=True)


def head(network: Network) -> int:
    return id(network.head.weight)


def batch(network: Network):
    if network.unit == "token":
        ids = torch.arange(24).reshape(2, 12)
        return batch_of(ids, (ids + 1) % 40)
    return batch_of(normal(2, 3, 32, 32), torch.tensor([3, 7]))


@pytest.mark.parametrize("name", MAKES)
def test_weights_stay_one_tensor(name):
    network = MAKES[name]()
    assert owners(network) == OWNERS[name]
    for other in (
        copy.deepcopy(network),
        network.untrained(3),
        untrained(network, 3, [batch(network)]),
        copy.deepcopy(network).to("cpu", torch.float64),
    ):
        assert owners(other) == OWNERS[name]


@pytest.mark.parametrize("name", MAKES)
def test_the_check_proves_the_description(name):
    """Among others: the gauge, on a copy whose shared weights are rewritten once."""
    network = MAKES[name]().to("cpu", torch.float64)
    with torch.no_grad():
        for place, p in enumerate(network.model.parameters()):
            p.add_(normal(*p.shape, seed=place), alpha=0.1)
    report = itinf.check(network, batch(network))
    assert report.ok, report
    assert ("logits differ by" in repr(report)) == (network.regauge is not None)


@pytest.mark.parametrize("name", ["isotropic", "pre", "stages", "with norms", "gpt2"])
def test_a_regauge_leaves_one_tensor(name):
    network = MAKES[name]().to("cpu", torch.float64)
    changed = copy.deepcopy(network)
    states = range(len(network.blocks) + 1) if network.unit == "token" else range(4)
    width = {"stages": 16, "gpt2": 16}.get(name, 6)
    changed.regauge(changed.model, states, random_change(network.gauge, width))
    assert owners(changed) == OWNERS[name]
    for before, after in zip(network.model.parameters(), changed.model.parameters(), strict=False):
        if before.shape == after.shape and before.ndim > 1 and network.unit == "image":
            ratio = (after / before).nan_to_num(1.0)
            assert ratio.min() > 0.49 and ratio.max() < 2.01, "scaled once"


def test_the_norms_of_every_application_are_its_own():
    first, *others = (network.model.layer1[i] for network in [cifar_isotropic(blocks=3, share=True)] for i in range(3))
    for block in others:
        assert block.conv1.weight is first.conv1.weight and block.conv2.weight is first.conv2.weight
        assert block.bn1.weight is not first.bn1.weight and block.bn2.weight is not first.bn2.weight
    assert first.conv1.weight is not first.conv2.weight


def test_the_last_blocks_of_one_shape_share():
    network = MAKES["last two"]()
    for stage in (network.model.layer1, network.model.layer2, network.model.layer3):
        weights = [block.conv1.weight for block in stage]
        assert weights[1] is weights[2] and weights[0] is not weights[1]
        assert stage[1].bn2.running_mean is not stage[2].bn2.running_mean


def test_shared_norms_have_one_weight_and_one_statistic():
    network = MAKES["with norms"]()
    _, one, two = network.model.layer1
    assert one is not two and one.bn1 is two.bn1 and one.bn2 is two.bn2
    network.model.train()(normal(8, 3, 32, 32).float())
    assert int(one.bn1.num_batches_tracked) == 2, "each application adds to the statistics"
    swapped, x = copy.deepcopy(network.model).eval(), normal(2, 3, 32, 32).float()
    swapped.layer1 = torch.nn.Sequential(*(swapped.layer1[i] for i in (0, 2, 1)))
    with torch.no_grad():
        assert torch.equal(swapped(x), network.model.eval()(x)), "they are one block"


def growth(share=False, bn="own", gamma=1.0):
    """|h_L| / |h_0| and |g_0| / |g_L| of a random gradient, with the statistics of the batch, at initialisation."""
    options = {"share": share, "bn": bn, "gamma": gamma}
    model = cifar_isotropic("random:0", blocks=18, width=16, activation="pre", **options).model.train()
    first = model.conv1(normal(16, 3, 32, 32).float()).detach().requires_grad_()
    last = model.layer1(first)
    seed = normal(*last.shape, seed=1).float()
    (gradient,) = torch.autograd.grad(last, first, seed)
    return float(last.detach().norm() / first.detach().norm()), float(gradient.norm() / seed.norm())


def test_a_small_gamma_tames_shared_blocks_and_own_norms_do_not():
    """Growth 3.2 without sharing, 8.3 with, 1.34 with gamma 0.1 (18 pre-activation blocks, the last 13 of which share)."""
    unshared, shared, own = growth(), growth(13, "shared"), growth(13)
    small = growth(13, gamma=0.1)
    assert own == pytest.approx(shared, rel=1e-5), "each application has the statistics of its own batch anyway"
    assert [unshared[0], shared[0], small[0]] == pytest.approx([3.2, 8.3, 1.34], rel=0.15)
    assert shared[1] > 2 * unshared[1] and small[1] < unshared[1] / 3 and small[1] < 2


def test_a_file_holds_shared_norms_once(tmp_path):
    network, path = MAKES["with norms"](), tmp_path / "net.safetensors"
    network.model.train()(normal(8, 3, 32, 32).float())
    tensors = half(network.model.eval())
    save_file(tensors, path)
    assert not [n for n in tensors if n.startswith("layer1.2.")]
    opened = cifar_isotropic(str(path), blocks=3, width=6, share=2, bn="shared")
    assert opened.model.layer1[2].bn1.running_mean is opened.model.layer1[1].bn1.running_mean
    assert torch.equal(opened.model.layer1[2].bn1.running_var, network.model.layer1[1].bn1.running_var)
    with pytest.raises(ItinfError, match=r"tensors are missing, first 'layer1.2.bn1.weight'"):
        cifar_isotropic(str(path), blocks=3, width=6, share=2)


def test_as_deep_as_wished_and_no_larger():
    sizes = [sum(p.numel() for p in cifar_isotropic(blocks=n, width=6, share=True).model.parameters()) for n in (2, 9)]
    assert sizes[1] - sizes[0] == 7 * 2 * 2 * 6, "two BatchNorms more for every block, with scale and shift"
    lengths = [sum(p.numel() for p in gpt2(**TINY | {"n_layer": n}).model.parameters()) for n in (2, 9)]
    assert lengths[0] == lengths[1]


def test_a_file_holds_every_kernel_once(tmp_path):
    network, path = MAKES["stages"](), tmp_path / "net.safetensors"
    tensors = half(network.model)
    save_file(tensors, path)
    assert [n for n in tensors if "layer1" in n and "conv" in n] == ["layer1.0.conv1.weight", "layer1.0.conv2.weight"]
    opened = cifar_resnet(str(path), 20, share=True)
    assert owners(opened) == OWNERS["stages"]
    x = normal(2, 3, 32, 32).float()
    by_hand = copy.deepcopy(network.model)
    with torch.no_grad():
        for p in by_hand.parameters():
            p.copy_(p.half() if p.ndim > 1 else p)
        assert torch.equal(opened.model(x), by_hand(x))
    with pytest.raises(ItinfError, match=r"tensors are missing, first 'layer1.1.conv1.weight'"):
        cifar_resnet(str(path), 20)


def test_an_unshared_file_is_no_shared_network(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file(cifar_isotropic(blocks=3, width=6).model.state_dict(), path)
    with pytest.raises(ItinfError, match="differ in the file, and the model has one parameter"):
        cifar_isotropic(str(path), blocks=3, width=6, share=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("shared")
    gpt2("random:4", **TINY).model.half().save_pretrained(path)
    return path


def test_a_folder_holds_the_block_once_and_names_its_own_type(folder):
    names = {name.split(".")[2] for name in load_file(folder / "model.safetensors") if ".h." in name}
    assert names == {"0"}
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["n_layer"]) == ("gpt2-shared", 3)
    network = gpt2(str(folder))
    assert owners(network) == OWNERS["gpt2"] and type(network.model).__name__ == "SharedGPT2"
    assert owners(network.untrained(2)) == OWNERS["gpt2"]


def test_a_folder_opens_as_it_was_saved(folder):
    saved, ids = gpt2("random:4", **TINY).model.half().float(), torch.arange(24).reshape(2, 12)
    with torch.no_grad():
        assert torch.equal(gpt2(str(folder)).model(ids).logits, saved(ids).logits)


def test_a_plain_gpt2_is_not_opened_as_a_shared_one_nor_the_other_way(folder, tmp_path):
    with pytest.raises(ItinfError, match="names the architecture 'SharedGPT2'"):
        itinf.network("hf:" + str(folder))
    gpt2(**TINY | {"share": False}).model.save_pretrained(tmp_path)
    assert owners(gpt2(str(tmp_path))) == []
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "gpt2-shared"}))
    with pytest.raises(ItinfError, match=r"blocks differ in the file, and config\.json says that they are one"):
        gpt2(str(tmp_path))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gpt2(**TINY | {"share": "yes"}), "gpt2: share is 'yes'; expected True or False"),
        (lambda: gpt2(**TINY | {"n_layer": 1}), "n_layer is 1, so share=True has nothing to share"),
        (lambda: gpt2(**TINY | {"tie_word_embeddings": False}), "share=True needs tie_word_embeddings=True"),
        (lambda: iterative_gpt2("pretrained"), "iterative-gpt2 has no published weights. Give specimen"),
        (lambda: iterative_gpt2("nowhere"), "iterative-gpt2: there is no folder 'nowhere'"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ItinfError, match=message):
        call()


def test_the_specimens_network_at_random():
    network = iterative_gpt2("random:2", n_embd=12, vocab_size=256)
    assert (network.name, network.weights, len(network.blocks), network.context) == (
        "iterative-gpt2",
        "random:2",
        8,
        256,
    )
    assert owners(network) == [8] * 12


@pytest.mark.parametrize(
    ("specimen", "count"), [(ITERATIVE, [10] * 2), (ITERATIVE_GPT2, [8] * 12)], ids=["iterative", "iterative-gpt2"]
)
def test_the_shipped_weights_are_one_block(specimen, count):
    network = (iterative if specimen is ITERATIVE else iterative_gpt2)("specimen")
    assert (network.name, network.weights, owners(network)) == (specimen.name, "specimen", count)
    card, file = read_card(specimen.folder), specimen.folder / "model.safetensors"
    assert finished(specimen.folder, specimen.name, "train", 0), "and every file has the hash in the card"
    assert card["recipe"]["deep_supervision"] is True
    assert card["recipe"] | asdict(specimen.recipe) == card["recipe"], "the recipe is the one that trained it"
    held = load_file(file)
    assert sum(v.numel() for n, v in held.items() if "running" not in n) == sum(
        p.numel() for p in network.model.parameters()
    )
    assert all(v.dtype == torch.float16 for v in held.values() if v.ndim > 1)
