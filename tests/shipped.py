"""Every shipped architecture, small and at random, with its branches written out by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm

import oracles
from itinf import IGNORED, Batch, Network
from language.correction import Layer, following
from language.gpt2 import gpt2
from language.llama import llama
from language.predictive import predictive
from vision.cifar_model import PostBlock, PreBlock
from vision.cifar_resnet import cifar_isotropic, cifar_isotropic_plain, cifar_plain, cifar_preresnet, cifar_resnet20
from vision.inception import googlenet
from vision.resnet import resnet18, resnet50

IMAGES: dict[str, tuple[int, Callable[[], Network]]] = {
    "cifar-resnet20": (32, cifar_resnet20),
    "cifar-resnet20-projection": (32, lambda: cifar_resnet20(shortcut="projection")),
    "cifar-preresnet20": (32, cifar_preresnet),
    "cifar-plain20": (32, cifar_plain),
    "cifar-isotropic": (32, lambda: cifar_isotropic(blocks=3)),
    "cifar-isotropic-plain": (32, lambda: cifar_isotropic_plain(blocks=3)),
    "resnet18": (32, lambda: resnet18(classes=10)),
    "resnet50": (32, lambda: resnet50(classes=10)),
    "googlenet": (48, lambda: googlenet(classes=10)),
}
TEXTS: dict[str, Callable[[], Network]] = {
    "gpt2": lambda: gpt2(n_layer=3, n_embd=32, n_head=4, vocab_size=101, n_positions=24),
    "llama": lambda: in_float64(
        llama(
            num_hidden_layers=3,
            hidden_size=32,
            intermediate_size=48,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=101,
            max_position_embeddings=24,
        )
    ),
    "predictive": lambda: predictive("random:1", width=32, heads=2, depth=3, vocab_size=101, context=24),
}
NAMES = [*IMAGES, *TEXTS]
RESIDUAL = [name for name in NAMES if "plain" not in name and name != "googlenet"]


def shipped(name: str, dtype: torch.dtype = torch.float64) -> tuple[Network, Batch]:
    """A network that is no special case (random norms, settled statistics), and a batch of two clusters for it."""
    network, batch = _shipped(name)
    if dtype == torch.float64:
        return network, batch
    inputs = batch.inputs.to(dtype) if batch.inputs.is_floating_point() else batch.inputs
    return copy.deepcopy(network).to("cpu", dtype), Batch(inputs, batch.targets, batch.keys)


@cache
def _shipped(name: str) -> tuple[Network, Batch]:
    if name in TEXTS:
        network = TEXTS[name]().to("cpu", torch.float64)
        with torch.no_grad():
            for place, p in enumerate(network.model.parameters()):
                p.add_(oracles.normal(*p.shape, seed=place), alpha=0.1)
        ids = torch.randint(0, 101, (2, 13), generator=oracles.generator(1))
        targets = ids[:, 1:].clone()
        targets[1, -3:] = IGNORED
        for layer in (one for one in network.model.modules() if isinstance(one, Layer)):
            layer.forward = _Alone(layer, following(ids[:, :-1]), network.head)
        return network, oracles.batch(ids[:, :-1], targets)
    side, make = IMAGES[name]
    network = make().to("cpu", torch.float64)
    settle(network.model, oracles.normal(4, 3, side, side))
    return network, oracles.batch(oracles.normal(2, 3, side, side, seed=1), torch.tensor([3, 7]))


def in_float64(network: Network) -> Network:
    """A Llama that computes its norms in the precision it is given, not always in float32, and whose blocks run alone."""
    model = network.model
    for name, norm in [*model.named_modules()]:
        if isinstance(norm, LlamaRMSNorm):
            model.set_submodule(name, nn.RMSNorm(norm.weight.shape, norm.variance_epsilon))
    network.neck = model.get_submodule("model.norm")
    angles = model.get_submodule("model.rotary_emb")(torch.zeros(1, dtype=torch.float64), torch.arange(12)[None])
    for block in model.modules():
        if isinstance(block, LlamaDecoderLayer):
            block.forward = partial(block.forward, position_embeddings=angles)
    return network


@torch.no_grad()
def settle(model: nn.Module, x: Tensor) -> None:
    """Random BatchNorm scales and shifts, with the running statistics that training would leave."""
    for place, norm in enumerate(m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.weight.uniform_(0.4, 1.0, generator=oracles.generator(place))
        norm.bias.normal_(0, 0.2, generator=oracles.generator(place))
        norm.momentum = 1.0
    model.train()
    with torch.random.fork_rng():
        model(x)
    model.eval()


def by_hand(block: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What a block adds to ``x``, in order: its branch under ``""``, or its parts by name."""
    b: nn.Module | GPT2Block | LlamaDecoderLayer | Bottleneck | BasicBlock | Layer = block
    if isinstance(b, GPT2Block):
        attention = b.attn(b.ln_1(x))[0]
        return {"attention": attention, "mlp": b.mlp(b.ln_2(x + attention))}
    if isinstance(b, LlamaDecoderLayer):
        attention = b.self_attn(b.input_layernorm(x), **b.forward.keywords)[0]
        return {"attention": attention, "mlp": b.mlp(b.post_attention_layernorm(x + attention))}
    if isinstance(b, Layer):
        return {"correction": _correction(b, x)}
    return {"": _branch(block, x)}


def _correction(layer: Layer, state: Tensor) -> Tensor:
    """Pair by pair: what position j takes over from the error of each earlier position i."""
    correction, alone = layer.correction, layer.forward
    assert isinstance(alone, _Alone)
    x, prediction = state[..., : correction.tokens], state[..., correction.tokens :]
    head, update = alone.head, torch.zeros_like(state)
    error = F.embedding(alone.targets.clamp_min(0), head.weight) - head(prediction).softmax(-1) @ head.weight
    features = correction.features(x).unflatten(-1, (correction.heads, -1))
    features = features / features.norm(dim=-1, keepdim=True)
    for j in range(state.shape[1]):
        for i in range(j):
            cosine = (features[:, i] * features[:, j]).sum(-1)  # (N, heads)
            weight = (correction.log_rate + correction.log_sharpness.exp() * (cosine - 1)).exp().sum(-1)
            update[:, j, correction.tokens :] += weight[:, None] * error[:, i]
    return update


def _branch(b: nn.Module, x: Tensor) -> Tensor:
    if isinstance(b, PreBlock):
        return b.conv2(F.relu(b.bn2(b.conv1(F.relu(b.bn1(x))))))
    if isinstance(b, PostBlock | BasicBlock):
        return b.bn2(b.conv2(F.relu(b.bn1(b.conv1(x)))))
    assert isinstance(b, Bottleneck)
    return b.bn3(b.conv3(F.relu(b.bn2(b.conv2(F.relu(b.bn1(b.conv1(x))))))))


def out_of_place(network: Network) -> nn.Module:
    """A copy of the model that never works in place: what hooks that keep what they see can be trusted on."""
    model = copy.deepcopy(network.model)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, PreBlock | PostBlock | BasicBlock | Bottleneck):
            module.forward = _Sum(module)
    return model


class _Sum:
    def __init__(self, block: nn.Module) -> None:
        self.block = block

    def __call__(self, x: Tensor) -> Tensor:
        b = self.block
        skip = b.shortcut if isinstance(b, PreBlock | PostBlock) else (b.downsample or nn.Identity())
        total = _branch(b, x) if skip is None else _branch(b, x) + skip(x)
        return total if isinstance(b, PreBlock) else F.relu(total)


class _Alone:
    """A layer of ``predictive`` that runs without its model: it knows the next tokens and the readout."""

    def __init__(self, layer: Layer, targets: Tensor, head: nn.Module) -> None:
        self.layer, self.targets, self.head = layer, targets, head

    def __call__(self, state: Tensor, targets: Tensor | None = None, head: nn.Module | None = None) -> Tensor:
        known = self.targets if targets is None else targets
        return Layer.forward(self.layer, state, known, head or self.head)
