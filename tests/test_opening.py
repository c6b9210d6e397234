"""Models opened without a description: what is found, what is left out, and that the numbers are those of plain hooks."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn
from torchvision import models

import itinf
from itinf import Batch, ItinfError
from itinf.networks.opening import open_model

WORDS = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def language(kind, **options):
    config = transformers.AutoConfig.for_model(kind, **options, bos_token_id=None, eos_token_id=None, pad_token_id=None)
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config)


def vision(name, **options):
    torch.manual_seed(0)
    model = models.get_model(name, num_classes=5, **options)
    return model, torch.randn(2, 3, 64, 64)


def of_timm(name, side, **options):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and not bool(parameter.any()):  # a head that begins at zero tells nothing
                parameter.normal_(std=0.02)
    return model, torch.randn(2, 3, side, side)


def gpt2():
    return language("gpt2", vocab_size=61, n_embd=16, n_layer=2, n_head=2, n_positions=32)


def neox(**options):
    return language("gpt_neox", **WORDS, **options)


def gemma():
    return language("gemma2", **WORDS, num_key_value_heads=2, head_dim=8)


def batch_of(network, example=None):
    generator = torch.Generator().manual_seed(1)
    keys = np.arange(3, dtype=np.uint64)
    if network.unit == "token":
        ids = torch.randint(61, (3, 10), generator=generator)
        return Batch(ids[:, :-1], ids[:, 1:], keys)
    if example is not None and not example.is_floating_point():
        inputs = torch.randint(61, (3, *example.shape[1:]), generator=generator)
    else:
        inputs = torch.randn(3, *example.shape[1:], generator=generator)
    return Batch(inputs, torch.tensor([0, 1, 2]), keys)


FOUND = {
    "GPT-2": (lambda: (gpt2(), None), 2, "n t c", {"attention": "attn", "mlp": "mlp"}, False),
    "GPT-NeoX": (lambda: (neox(), None), 2, "n t c", {"attention": "attention", "mlp": "mlp"}, True),
    "GPT-NeoX, sequential": (
        lambda: (neox(use_parallel_residual=False), None),
        2,
        "n t c",
        {"attention": "attention", "mlp": "mlp"},
        False,
    ),
    "Llama": (
        lambda: (language("llama", **WORDS), None),
        2,
        "n t c",
        {"attention": "self_attn", "mlp": "mlp"},
        False,
    ),
    "Gemma 2": (
        lambda: (gemma(), None),
        2,
        "n t c",
        {"attention": "post_attention_layernorm", "mlp": "post_feedforward_layernorm"},
        False,
    ),
    "OPT": (
        lambda: (language("opt", **WORDS, ffn_dim=32, word_embed_proj_dim=16), None),
        2,
        "n t c",
        {"attention": "self_attn", "mlp": "fc2"},
        False,
    ),
    "Mamba": (
        lambda: (language("mamba", vocab_size=61, hidden_size=16, num_hidden_layers=2), None),
        2,
        "n t c",
        "mixer",
        False,
    ),
    "ResNet-18": (lambda: vision("resnet18"), 8, "n c h w", "bn2", False),
    "MobileNet v2": (lambda: vision("mobilenet_v2"), 17, "n c h w", "conv", False),
    "ConvNeXt": (lambda: of_timm("convnext_atto", 64, depths=(1, 1, 1, 1)), 4, "n c h w", "drop_path", False),
    "Swin": (lambda: vision("swin_t"), 12, "n h w c", {"attention": "attn", "mlp": "mlp"}, False),
    "ViT": (
        lambda: of_timm("vit_tiny_patch16_224", 32, img_size=32, patch_size=8, depth=2),
        2,
        "n t c",
        {"attention": "attn", "mlp": "mlp"},
        False,
    ),
    "Mixer": (
        lambda: of_timm("mixer_s32_224", 64, img_size=64),
        8,
        "n t c",
        {"token mixing": "drop_path:1", "mlp": "mlp_channels"},
        False,
    ),
    "DenseNet": (lambda: vision("densenet121"), 4, "n c h w", None, False),
    "GoogLeNet": (lambda: vision("googlenet", aux_logits=False, init_weights=False), 9, "n c h w", None, False),
    "VGG": (lambda: vision("vgg11"), 8, "n c h w", None, False),
}
"""Name -> (model and example), blocks, layout, branch or parts of the last block, whether they are parallel."""


GAUGE = {
    **dict.fromkeys(("GPT-2", "GPT-NeoX", "GPT-NeoX, sequential", "OPT", "ViT"), "orthogonal-layernorm"),
    **dict.fromkeys(("Llama", "Mamba"), "orthogonal"),
    "ResNet-18": "channel-scale",
}
"""The others have none: the states of Gemma 2 and Swin are written by norms, ConvNeXt's read by a depthwise convolution, and
a mixer's by a nonlinearity over positions; any linear change fits MobileNet v2, whose states no nonlinearity touches."""


@pytest.mark.parametrize("name", FOUND)
def test_what_is_found_is_proven(name):
    make, count, layout, inside, parallel = FOUND[name]
    model, example = make()
    modes = [module.training for module in model.modules()]
    network = open_model(model, example, name=name)
    assert modes == [module.training for module in model.modules()]
    block = network.blocks[-1] if name != "MobileNet v2" else network.blocks[2]
    assert (len(network.blocks), network.layout, block.parallel) == (count, layout, parallel)
    assert (dict(block.parts) or block.branch) == inside
    assert network.gauge == GAUGE.get(name) and network.skips == (name not in ("DenseNet", "GoogLeNet", "VGG"))
    assert bool(network.left_out) == (inside is None or name not in GAUGE)
    report = itinf.check(network, batch_of(network, example))
    assert report.ok, report


@pytest.mark.parametrize("name", ["GPT-2", "ResNet-18", "Gemma 2"])
def test_alignment_is_that_of_plain_hooks(name):
    """cos(update, −gradient at the block's output), by hooks and autograd alone."""
    model, example = FOUND[name][0]()
    network = open_model(model.double(), None if example is None else example.double(), name=name)
    batch = batch_of(network, example)
    trace = itinf.trace(network, batch)
    states: list[Tensor] = []

    def hook(module, args, output):
        after = output[0] if isinstance(output, tuple) else output
        after.retain_grad()
        states.extend([args[0].clone(), after])

    path = network.blocks[1].name
    handle = model.eval().get_submodule(path).register_forward_hook(hook)
    inputs = batch.inputs.double() if batch.inputs.is_floating_point() else batch.inputs
    output = model(inputs)
    logits = getattr(output, "logits", output)
    F.cross_entropy(logits.flatten(0, -2), batch.targets.flatten(), reduction="sum").backward()
    handle.remove()
    update, gradient = states[1] - states[0], states[1].grad
    by_hand = F.cosine_similarity(update.flatten(1), -gradient.flatten(1))
    before, after = trace.states[trace.before[1]], trace.states[trace.after[1]]
    ours = F.cosine_similarity((after - before).flatten(1), -trace.gradients["label"].states[trace.after[1]].flatten(1))
    # a sequence's gradient is that of its normalised losses times one positive factor
    np.testing.assert_allclose(ours, by_hand.detach(), atol=1e-7)  # a norm may compute in float32


class Repeated(nn.Module):
    """One block that is called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Linear(6, 8), Step(), nn.Linear(8, 4)

    def forward(self, x):
        h = self.stem(x)
        for _ in range(3):
            h = self.block(h)
        return self.head(h)


class Step(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(8, 8), nn.Tanh())

    def forward(self, h):
        return h + self.inner(h)


def test_a_block_that_is_called_again_and_vectors_as_states():
    torch.manual_seed(0)
    network = open_model(Repeated())
    assert [(b.name, b.branch, b.call) for b in network.blocks] == [("block", "inner", n) for n in (1, 2, 3)]
    assert network.layout == "n c"
    assert itinf.check(network, batch_of(network, torch.zeros(2, 6))).ok


class Weighted(nn.Module):
    """Its skip is multiplied by weights, so before + branch is not after."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.scale = nn.Linear(8, 8), nn.Parameter(torch.rand(8))

    def forward(self, h):
        return h * self.scale + self.inner(h)


def test_a_skip_with_weights_has_no_branch():
    torch.manual_seed(0)
    network = open_model(nn.Sequential(nn.Linear(6, 8), Weighted(), Weighted(), nn.Linear(8, 4)))
    assert [(b.name, b.branch, dict(b.parts)) for b in network.blocks] == [("1", None, {}), ("2", None, {})]
    assert "no term of its sum is its input" in network.left_out[0] and network.gauge is None
    assert itinf.check(network, batch_of(network, torch.zeros(2, 6))).ok


class Dense(nn.Module):
    def __init__(self, classes, flat=False) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, classes, 3))
        self.flat = flat

    def forward(self, x):
        out = self.layers(x)
        return out.mean((2, 3)) if self.flat else out


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Dense(5), "itinf needs one class target per unit"),
        (Dense(1, flat=True), "of two classes or more"),
        (timm.create_model("deit_tiny_distilled_patch16_224", img_size=32, depth=1), "cannot be opened by itself"),
        (nn.Sequential(nn.Flatten(), nn.Linear(7, 5)), "did not run on any made-up input|cannot be opened"),
    ],
    ids=["dense prediction", "one output", "two heads", "other inputs"],
)
def test_what_cannot_be_opened_is_said(model, message):
    example = torch.randn(2, 3, 32, 32) if not isinstance(model, nn.Sequential) else None
    with pytest.raises(ItinfError, match=message):
        open_model(model, example)
