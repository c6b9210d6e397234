"""A measurement leaves everything as it found it, whatever the caller has switched on, also when it fails."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

import itinf
from itinf import Block, ItinfError, Network
from itinf.data.clusters import load_batch
from itinf.networks.measuring import evaluating
from oracles import Residual
from test_layouts import CLASSES, Lm, first_of, lm, rows
from tiny import tokens

WIDTH = 7


class Restless(nn.Module):
    """Its forward pass works on buffers in place and replaces them; ``fail`` raises an error in block 2."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(
            Residual(nn.Sequential(nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, WIDTH))) for _ in range(2)
        )
        self.head, self.fail = nn.Linear(WIDTH, CLASSES), False
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(WIDTH))

    def forward(self, h: Tensor) -> Tensor:
        self.calls += 1
        self.mean = 0.9 * self.mean + 0.1 * h.mean(0)
        for block in self.blocks:
            h = block(h)
        if self.fail:
            raise IndexError("by the model")
        return self.head(h)


def restless() -> Network:
    model = Restless()
    model.blocks[1].eval()
    model.head.weight.requires_grad_(False)
    model.head.bias.grad = torch.ones(CLASSES)
    return Network(model, [Block(f"blocks.{i}", branch="branch") for i in range(2)], "n c", head=model.head)


def state_of(model: nn.Module) -> dict[str, object]:
    return {
        "modes": [m.training for m in model.modules()],
        "asked": [p.requires_grad for p in model.parameters()],
        "grads": [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
        "values": {name: value.tolist() for name, value in model.state_dict().items()},
        "objects": [id(t) for t in (*model.parameters(), *model.buffers())],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
    }


LENS = itinf.fit(restless(), rows_of := [(x[:WIDTH], y) for x, y in rows(200)], "affine")
COMMANDS = {
    "trace": lambda net: itinf.trace(net, load_batch(itinf.data.items.as_data(rows_of, "image"), range(4))),
    "check": lambda net: itinf.check(net, load_batch(itinf.data.items.as_data(rows_of, "image"), range(4))),
    "probe": lambda net: itinf.probe(net, rows_of[:32], replicates=4, calibration=8, untrained=1),
    "fit": lambda net: itinf.fit(net, rows_of, "affine"),
    "fit tuned": lambda net: itinf.fit(net, rows_of, "tuned"),
    "read": lambda net: LENS.read(COMMANDS["trace"](net), "blocks.0"),
    "transfer": lambda net: itinf.transfer(net, LENS, rows_of, replicates=4, precision=1.0),
}


def test_opening_a_model_changes_no_mode():
    assert [m.training for m in restless().model.modules()].count(False) == 4, "block 2 with its three modules"


@pytest.mark.parametrize("fails", [False, True], ids=["", "also after an error"])
@pytest.mark.parametrize("command", COMMANDS)
def test_all_is_as_before(command, fails):
    network = restless()
    network.model.fail = fails
    before = state_of(network.model)
    if fails and command != "check":
        with pytest.raises(ItinfError, match="by the model"):
            COMMANDS[command](network)
    else:
        COMMANDS[command](network)
    assert state_of(network.model) == before
    copy.deepcopy(network.model)


def test_nothing_of_a_keyboard_interrupt_stays():
    network = restless()
    before = state_of(network.model)
    with pytest.raises(KeyboardInterrupt), evaluating(network):
        assert not any(m.training for m in network.model.modules())
        assert not any(p.requires_grad for p in network.model.parameters())
        assert not torch.backends.mha.get_fastpath_enabled()
        with evaluating(network):
            pass
        assert not any(m.training for m in network.model.modules()), "one inside another ends nothing"
        raise KeyboardInterrupt
    assert state_of(network.model) == before


def test_the_fast_path_of_attention_is_as_it_was():
    for enabled in (False, True):
        torch.backends.mha.set_fastpath_enabled(enabled)
        itinf.trace(lm(True, "n t c"), first_of(tokens(4), 4))
        assert torch.backends.mha.get_fastpath_enabled() == enabled


def test_encoder_layers_of_pytorch_are_measured_with_their_parts():
    """The fast path would skip the hooks of submodules, and round otherwise than the same layer under hooks."""
    model = Lm(True).eval()
    blocks = [Block(f"layers.{i}", parts={"attention": "self_attn", "mlp": "linear2"}) for i in range(2)]
    network = Network(model, blocks, "n t c", unit="token", neck=model.norm, head=model.head)
    report = itinf.check(network, first_of(tokens(4), 4))
    assert report.ok, report
    seen = itinf.trace(network, first_of(tokens(4), 4))
    layer, before = model.layers[0], seen.states[0]
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    normed = layer.norm1(before)
    attention = layer.self_attn(normed, normed, normed, attn_mask=mask, need_weights=False)[0]
    torch.testing.assert_close(seen.parts[0]["attention"], attention.detach())


CALLERS = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("command", ["trace", "probe", "fit tuned", "transfer"])
def test_what_the_caller_has_switched_on_changes_no_number(command, caller):
    network, found = restless(), []
    for context in (nullcontext, CALLERS[caller]):
        with context():
            result = COMMANDS[command](network)
            assert torch.is_inference_mode_enabled() == (context is torch.inference_mode)
        if command == "trace":
            found.append([*result.states, *result.gradients["label"].states, result.loss])
        elif command == "fit tuned":
            found.append([t.weight.detach() for t in result.translators])
        else:
            found.append([torch.tensor(result.table["mean"].fillna(0).to_numpy())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_data_made_under_inference_mode():
    network, batch = restless(), load_batch(itinf.data.items.as_data(rows_of, "image"), range(4))
    with torch.inference_mode():
        made = itinf.Batch(batch.inputs.clone(), batch.targets.clone(), batch.keys)
    assert torch.equal(itinf.trace(network, made).loss, itinf.trace(network, batch).loss)


def test_parameters_made_under_inference_mode_are_refused():
    with torch.inference_mode():
        network = restless()
    with pytest.raises(ItinfError, match="made under torch"):
        COMMANDS["trace"](network)


def test_frozen_parameters_change_nothing():
    frozen, free = restless(), restless()
    frozen.model.requires_grad_(False)
    a, b = COMMANDS["trace"](frozen), COMMANDS["trace"](free)
    assert all(torch.equal(x, y) for x, y in zip(a.gradients["label"].states, b.gradients["label"].states, strict=True))
    assert not any(p.requires_grad for p in frozen.model.parameters())


@pytest.mark.parametrize("how", ["the model", "a block", "in place"])
def test_compiled_modules_run_as_they_were_written(how):
    plain = restless()
    model, prefix = copy.deepcopy(plain.model).eval(), ""
    if how == "the model":
        model, prefix = torch.compile(model, backend="eager"), "_orig_mod."
    elif how == "a block":
        model.blocks[0] = torch.compile(model.blocks[0], backend="eager")
    else:
        model.compile(backend="eager")
    model(torch.randn(4, WIDTH))  # compiled before there are hooks
    network = Network(model, [Block(f"{prefix}blocks.{i}") for i in range(2)], "n c", head=model.head)
    assert torch.equal(COMMANDS["trace"](network).loss, COMMANDS["trace"](plain).loss)


def scripted(model: nn.Module) -> nn.Module:
    return type("RecursiveScriptModule", (type("ScriptModule", (nn.Module,), {}),), {})()


def quantized(model: nn.Module) -> nn.Module:
    kind = type("Linear", (nn.Module,), {"__module__": "torch.ao.nn.quantized.dynamic.modules.linear"})
    return nn.Sequential(model, kind())


@pytest.mark.parametrize(
    "wrap, message",
    [
        (nn.DataParallel, "a DataParallel, .* Give its .module"),
        (scripted, "ScriptModule"),
        (quantized, "a quantized Linear"),
    ],
)
def test_models_that_hide_their_modules_are_refused(wrap, message):
    model = restless().model
    with pytest.raises(ItinfError, match=message):
        Network(wrap(model), [Block("module.blocks.0")], "n c", head=model.head)


class SharedBranches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        branch = nn.Linear(WIDTH, WIDTH)
        self.blocks, self.head = nn.ModuleList([Residual(branch), Residual(branch)]), nn.Linear(WIDTH, CLASSES)

    def forward(self, h: Tensor) -> Tensor:
        for block in self.blocks:
            h = block(h)
        return self.head(h)


def test_blocks_that_share_a_branch():
    model = SharedBranches()
    network = Network(model, [Block(f"blocks.{i}", branch="branch") for i in range(2)], "n c", head=model.head)
    seen = COMMANDS["trace"](network)
    for place in range(2):
        torch.testing.assert_close(seen.branches[place], model.blocks[0].branch(seen.states[place]).detach())


def test_one_module_under_two_names_and_a_block_in_a_block_are_refused():
    block = Residual(nn.Linear(WIDTH, WIDTH))
    model = nn.Sequential(block, block, nn.Linear(WIDTH, CLASSES))
    with pytest.raises(ItinfError, match=r"'0' and '1' are one module. Name its calls: Block\('0', call=1\)"):
        Network(model, [Block("0"), Block("1")], "n c", head=model[2])
    with pytest.raises(ItinfError, match="lies inside block"):
        Network(model, [Block("0"), Block("0.branch")], "n c", head=model[2])


class Fourier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH // 2 + 1, dtype=torch.complex64))

    def forward(self, h: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(h) * self.weight, n=WIDTH)


def test_complex_parameters_stay_complex():
    model = nn.Sequential(Residual(Fourier()), nn.Linear(WIDTH, CLASSES))
    network = Network(model, [Block("0", branch="branch")], "n c", head=model[1])
    assert network.dtype == torch.float32 and itinf.check(network, load_batch(rows_data(), range(4))).ok
    before = itinf.trace(network, load_batch(rows_data(), range(4))).loss
    with pytest.raises(ItinfError, match="complex parameters"):
        network.to("cpu", torch.bfloat16)
    after = itinf.trace(network.to("cpu", torch.float64), load_batch(rows_data(), range(4))).loss
    assert model[0].branch.weight.dtype == torch.complex128
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)


def rows_data():
    return itinf.data.items.as_data(rows_of, "image")


def test_mistakes_inside_the_model_are_explained():
    network = restless()
    batch = load_batch(rows_data(), range(4))
    with pytest.raises(ItinfError, match=r"cannot read inputs of shape \(4, 3\) and dtype float32: RuntimeError"):
        itinf.trace(network, itinf.Batch(batch.inputs[:, :3], batch.targets, batch.keys))
    network.head = nn.Linear(3, 2)
    with pytest.raises(
        ItinfError, match=r"readout \(neck, pool, head\) does not run on torch.float32 of shape \(1, 7\)"
    ):
        itinf.trace(network, batch)


def test_a_readout_that_detaches_is_refused():
    network = restless()
    network.head = lambda h: h.detach()
    with pytest.raises(ItinfError, match="no gradient passes through the readout"):
        COMMANDS["trace"](network)


def test_the_callers_choice_of_gradients_holds_inside():
    network = restless()
    for context, enabled in ((nullcontext, True), (torch.no_grad, False), (torch.inference_mode, False)):
        with context(), evaluating(network):
            assert torch.is_grad_enabled() == enabled and not torch.is_inference_mode_enabled()
    assert not LENS.read(COMMANDS["trace"](network), "blocks.0").requires_grad
