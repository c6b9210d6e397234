"""Every dtype that is offered, and a device with rules of its own, in every command."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import itinf
import pretend
from itinf import Block, ItinfError, Network
from itinf.data.clusters import load_batch
from itinf.lenses.affine import solve
from itinf.lenses.moments import Moments
from itinf.networks.devices import to_device
from itinf.networks.measuring import evaluating
from itinf.settings import DTYPES
from tiny import gpt2, images, resnet, tokens

KINDS = ("logit", "affine", "tuned", "shared")
SMALL = {"group": 8, "calibration": 8, "replicates": 4}


def small_gpt2() -> Network:
    network = itinf.network("gpt2", weights="random:1", n_layer=1, n_embd=16, n_head=2, vocab_size=61, n_positions=16)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for values in network.model.parameters():
            values.add_(torch.randn(values.shape, generator=draw) * 0.15)
    return network


def small_images() -> Network:
    """A skip, a branch and a neck, so that lenses read positions."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 1), Skip(nn.Conv2d(6, 6, 3, padding=1)), Skip(nn.Conv2d(6, 6, 1)))
    head, neck = nn.Linear(6, 10), nn.BatchNorm2d(6)
    whole = nn.Sequential(*model, neck, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    blocks = [Block("1", branch="branch"), Block("2", branch="branch")]
    return Network(whole, blocks, "n c h w", head=head, neck=neck, pool=lambda h: h.mean((2, 3)))


class Skip(nn.Module):
    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(branch, nn.Tanh())

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h + self.branch(h)


def small_mlp() -> Network:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), Skip(nn.Linear(8, 8)), nn.Linear(8, 10))
    return Network(model, [Block("2")], "n c", head=model[3])


CASES = {
    "tokens": (small_gpt2, lambda: tokens(60)),
    "images": (small_images, lambda: images(60, side=4)),
    "vectors": (small_mlp, lambda: images(60, side=4)),
}


def tables(network: Network, data, kinds=KINDS) -> dict[str, pd.DataFrame]:
    """What every command measures."""
    found = {"probe": itinf.probe(network, data, units=16, untrained=1, **SMALL).table}
    for kind in kinds:
        lens = itinf.fit(network, data, kind)
        probes = [
            itinf.Alignment(lens=lens, gradients=("readout",), forms=("raw",), targets=("label", "answer", "model")),
            itinf.Gain(lens=lens, gradients=("readout",)),
            itinf.Prediction(lens=lens, targets=("label", "model")),
        ]
        found[kind] = itinf.probe(network, data, probes, units=16, **SMALL).table
        if kind in ("affine", "tuned"):
            found[f"transfer {kind}"] = itinf.transfer(network, lens, data, replicates=4, precision=1.0).table
    return found


MEASURES = ("loss", "alignment", "first_order_gain", "prediction_gain", "prediction_movement", "lens_loss", "lens_kl")


@pytest.mark.parametrize("case, dtype", [("tokens", "bfloat16"), ("images", "float16"), ("vectors", "bfloat16")])
def test_16_bits_give_the_numbers_of_64_but_for_rounding(case, dtype):
    make, data = CASES[case]
    exact, rough = (tables(make().to("cpu", getattr(torch, d)), data()) for d in ("float64", dtype))
    for command, table in rough.items():
        wanted = exact[command]
        assert table["reason"].tolist() == wanted["reason"].tolist()
        chosen = table["measure"].isin(MEASURES) & table["statistic"].isin(["mean", "weighted"])
        for measure in set(table["measure"][chosen]):
            a, b = (t["mean"][chosen & (t["measure"] == measure)].to_numpy() for t in (table, wanted))
            scale = max(1.0, np.nanmax(np.abs(b), initial=0.0))
            gap = np.nanmax(np.abs(a - b), initial=0.0)
            assert gap < 32 * torch.finfo(getattr(torch, dtype)).eps * scale, (command, measure)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make, data", [(gpt2, tokens(4)), (lambda: resnet(8), images(4))], ids=["tokens", "images"])
def test_the_check_allows_for_rounding(make, data, dtype):
    report = itinf.check(make().to("cpu", getattr(torch, dtype)), load_batch(data, range(4)))
    assert report.ok, report


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_lens_does_not_fit_what_rounding_leaves(dtype):
    """x lies in 3 of 8 dimensions; rounding spreads it over all, where least squares would find huge coefficients."""
    draw = torch.Generator().manual_seed(0)
    inside, mixed = torch.randn(3, 8, generator=draw).double(), torch.randn(8, 8, generator=draw).double()
    x = torch.randn(4000, 3, generator=draw).double() @ inside
    y = x @ mixed + torch.randn(4000, 8, generator=draw).double()
    basis = torch.linalg.qr(inside.T).Q
    left = x @ (mixed - torch.eye(8, dtype=torch.float64)) + (y - x @ mixed)
    wanted = torch.linalg.lstsq(x @ basis, left).solution.T @ basis.T + torch.eye(8, dtype=torch.float64)
    found, _ = solve(Moments.of(x.to(dtype), y.to(dtype)), 0.0)
    centred, _ = solve(Moments.of(x, y), 0.0)
    # within the dimensions of x it is least squares; outside it stays near the identity
    assert (found @ basis - centred @ basis).norm() < 0.1 * (wanted @ basis).norm()
    assert found.norm() < 1.2 * centred.norm()


def test_dtypes_that_are_not_offered_are_refused_by_name():
    network = small_mlp()
    for dtype in (torch.int8, torch.float8_e4m3fn, torch.complex64):
        with pytest.raises(
            ItinfError, match=f"does not measure in {dtype}; expected one of float32, float64, bfloat16, float16"
        ):
            network.to("cpu", dtype)
    with pytest.raises(ItinfError, match="dtype is 'half'; expected float32"):
        to_device(network, "cpu", "half")
    for device in ("gpu", "cuda:99"):
        with pytest.raises(ItinfError, match=f"'{device}' cannot be used here"):
            network.to(device)
    assert to_device(network, "cpu", "float16").dtype == torch.float16


def test_parts_of_a_model_in_two_precisions():
    """A float32 head on bfloat16 states, as models are often loaded."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = small_mlp().model[:3].to(torch.bfloat16), nn.Linear(8, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(x).float())

    model, data = Mixed(), images(60, side=4)
    network = Network(model, [Block("body.2")], "n c", head=model.head)
    assert itinf.check(network, load_batch(data, range(4))).ok
    assert set(tables(network, data)) == set(tables(small_mlp(), data))


def close(here: pd.DataFrame, there: pd.DataFrame) -> None:
    """Logits are worked on in pieces on the CPU and whole on a device, so their sums are rounded otherwise."""
    pd.testing.assert_frame_equal(here, there, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("case", ["tokens", "images"])
def test_a_device_changes_no_number(case):
    """All that a command computes stays on the device until it is told to leave it: two devices never mix."""
    make, data = CASES[case]
    here = tables(make(), data(), ["tuned"])
    with pretend.accelerator():
        network = make().to(pretend.DEVICE)
        assert network.device == pretend.DEVICE
        report = itinf.check(network, load_batch(data(), range(4)))
        assert report.ok, report
        lens = itinf.fit(network, data(), "tuned")
        seen = itinf.trace(network, load_batch(data(), range(4)), gradients=False)
        assert all(lens.read(seen, site.name).device == pretend.DEVICE for site in lens.sites)
        there = tables(network, data(), ["tuned"])
    for command, table in here.items():
        close(table, there[command])


def test_a_comparison_on_a_device(tmp_path, monkeypatch):
    monkeypatch.setattr("itinf.studies.study.draw_report", lambda *_, **__: None)
    itinf.register(lambda argument, network, **options: images(60, side=4), "few-images", group="datasets")
    itinf.register(lambda weights=None, **options: small_mlp(), "small-mlp", group="networks")
    settings = {"units": 16, "replicates": 4, "group": 8, "calibration": 8, "precision": 1.0}
    study = itinf.Study([itinf.StudyNetwork("small-mlp", "few-images")]).changed(**settings)
    here = itinf.run_study(study, tmp_path / "here", device="cpu", lens="none")
    with pretend.accelerator():
        there = itinf.run_study(study, tmp_path / "there", device=str(pretend.DEVICE), lens="none")
    close(here.table, there.table)


REFUSED = {
    "trace": lambda net, data: itinf.trace(net, load_batch(data, range(4))),
    "check": lambda net, data: itinf.check(net, load_batch(data, range(4))),
    "probe": lambda net, data: itinf.probe(net, data),
    "fit": lambda net, data: itinf.fit(net, data, "tuned"),
    "transfer": lambda net, data: itinf.transfer(net, itinf.fit(small_mlp(), data, "affine"), data),
}


@pytest.mark.parametrize("command", REFUSED)
def test_a_device_without_float64_is_refused_by_every_command(command):
    """Such as MPS, whether itinf or the user moves the model there."""
    network, data = small_mlp(), images(60, side=4)
    with pretend.accelerator(float64=False):
        with pytest.raises(ItinfError, match=r"'lazy:0' cannot hold float64.*--device cpu"):
            to_device(network, "lazy:0", "float32")
        network.model.to(pretend.DEVICE)
        with pytest.raises(ItinfError, match="cannot hold float64"):
            REFUSED[command](network, data)


def test_a_model_on_two_devices_is_refused():
    network = small_mlp()
    with pretend.accelerator():
        network.model[3].to(pretend.DEVICE)
        with (
            pytest.raises(ItinfError, match="parameters on cpu and lazy:0; itinf measures on one device"),
            evaluating(network),
        ):
            pass


def test_the_pretend_device_refuses_what_a_real_one_refuses():
    with pretend.accelerator(float64=False):
        far = torch.ones(3).to(pretend.DEVICE)
        assert (far + 1).device == pretend.DEVICE and (far + 1).cpu().tolist() == [2, 2, 2]
        with pytest.raises(RuntimeError, match="same device"):
            far + torch.ones(3)
        with pytest.raises(TypeError, match="no float64"):
            far.double()
        with pytest.raises(TypeError, match="numpy"):
            far.numpy()
