"""Layouts: vectors and a batch that stands second are measured like the others, and a wrong layout never passes."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import itinf
from itinf import Block, ItinfError, Network
from itinf.data.clusters import keyed_order, load_batch
from itinf.lenses.affine import solve
from itinf.lenses.fit_statistics import is_held_out
from oracles import Residual
from tiny import SETTINGS, Items, tokens
from tolerance import rounding

WIDTH, CLASSES, VOCABULARY = 12, 5, 61
KEYS = torch.arange(64).numpy().astype("uint64")


def branch() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))


class Mlp(nn.Module):
    """A residual network of a table's rows, as tabular ResNets are."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm, self.head = nn.Linear(7, WIDTH), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)
        self.blocks = nn.ModuleList(Residual(branch()) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


class AsImages(nn.Module):
    """The same network with states (N, C, 1, 1)."""

    def __init__(self, mlp: Mlp) -> None:
        super().__init__()
        self.mlp = mlp
        self.blocks = nn.ModuleList(Residual(PerPixel(block.branch)) for block in mlp.blocks)

    def forward(self, x: Tensor) -> Tensor:
        h = self.mlp.stem(x)[:, :, None, None]
        for block in self.blocks:
            h = block(h)
        return self.mlp.head(self.mlp.norm(h[:, :, 0, 0]))


class PerPixel(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, h: Tensor) -> Tensor:
        return self.inner(h.movedim(1, -1)).movedim(-1, 1)


def rows(count: int = 64) -> Items:
    draw = torch.Generator().manual_seed(3)
    return Items("image", torch.randn(count, 7, generator=draw), torch.randint(CLASSES, (count,), generator=draw))


def mlp(neck: bool) -> Network:
    model, blocks = Mlp().double(), [Block(f"blocks.{i}", branch="branch") for i in range(3)]
    if neck:
        return Network(model, blocks, "n c", head=model.head, neck=model.norm, name="same")
    return Network(model, blocks, "n c", head=nn.Sequential(model.norm, model.head), name="same")


def as_images(network: Network) -> Network:
    """The same network with pixels: a pool takes their place."""
    return replace(
        network,
        model=AsImages(network.model).double(),
        layout="n c h w",
        neck=None if network.neck is None else PerPixel(network.neck),
        pool=lambda h: h.mean((2, 3)),
    )


def close(one, other, terms=4096):
    """Two tables agree in every row and number, up to rounding in float64."""
    assert list(one.columns) == list(other.columns) and len(one) == len(other)
    for column in one.columns:
        if one[column].dtype.kind == "f":
            a, b = one[column].to_numpy(), other[column].to_numpy()
            scale = max(1.0, float(np.nanmax(np.abs(a), initial=0.0)))
            np.testing.assert_allclose(a, b, rtol=0, atol=rounding(np.float64, terms, scale), err_msg=column)
        elif column not in ("layout",):
            assert one[column].tolist() == other[column].tolist(), column


def every_number(network: Network, data: Items):
    """Tables of all probes, with every kind of lens, and of transfer."""
    plain = itinf.probe(network, data, units=None, **SETTINGS)
    yield plain.table
    lenses = {kind: itinf.fit(network, data, kind) for kind in ("affine", "tuned", "shared", "logit")}
    probes = [itinf.Prediction(lens=lens, targets=("label", "model")) for lens in lenses.values()]
    yield itinf.probe(network, data, [*probes, itinf.Gain(lens=lenses["tuned"])], **SETTINGS).table
    yield itinf.transfer(network, lenses["affine"], data, replicates=10, precision=0.5).table


@pytest.mark.parametrize("neck", [False, True])
def test_vectors_give_the_numbers_of_one_pixel(neck):
    network, data = mlp(neck), rows()
    assert itinf.check(network, load_batch(data, range(6))).ok
    for number, (ours, pixels) in enumerate(
        zip(every_number(network, data), every_number(as_images(network), data), strict=True)
    ):
        ours, pixels = (table.drop(columns=[c for c in table if c in ("seconds",)]) for table in (ours, pixels))
        if number == 0:
            close(ours, pixels)
        else:  # translators are kept in float32, and their ridge is chosen from rounded numbers
            assert ours["measure"].tolist() == pixels["measure"].tolist()
            np.testing.assert_allclose(ours["mean"], pixels["mean"], rtol=1e-3, atol=1e-4)


def test_vectors_against_numbers_by_hand():
    network, data = mlp(neck=False), rows()
    table = itinf.probe(network, data, [itinf.Performance(), itinf.UpdateNorm(), itinf.Alignment()], **SETTINGS).table
    model, h = network.model, [network.model.stem(data.inputs.double())]
    for block in model.blocks:
        h.append(block(h[-1]))
    loss = F.cross_entropy(model.head(model.norm(h[-1])), data.targets, reduction="none")
    gradients = torch.autograd.grad(loss.sum(), h)
    h, loss = [state.detach() for state in h], loss.detach()
    found = table[(table.statistic == "mean") & (table.subset == "all") & (table.null == "observed")]
    found = found[(found["update"].isin(["", "update"])) & (found.form.isin(["", "raw"]))]

    def number(measure: str, block: int, gradient: str = "") -> float:
        chosen = (found.measure == measure) & (found.block_index == block) & (found.gradient == gradient)
        return float(found[chosen]["mean"].item())

    assert number("loss", 3) == pytest.approx(float(loss.mean()))
    for block in range(3):
        update = h[block + 1] - h[block]
        assert number("update_norm", block + 1) == pytest.approx(
            float((update.norm(dim=1) / h[block].norm(dim=1)).mean())
        )
        for name, gradient in (("input", gradients[block]), ("output", gradients[block + 1])):
            cosine = F.cosine_similarity(update, -gradient, dim=1)
            assert number("alignment", block + 1, name) == pytest.approx(float(cosine.mean()))


def test_an_affine_lens_of_vectors_is_least_squares():
    """On the clusters it is fitted on, without a ridge: NumPy's own least squares from the states."""
    network, data = mlp(neck=False), rows(400)
    lens = itinf.fit(network, data, "affine")
    order = keyed_order(data, None, 0)
    kept = order.indices[~is_held_out(order.keys)]
    with torch.no_grad():
        x = network.model.blocks[0](network.model.stem(data.inputs[kept].double()))
        y = network.model.blocks[2](network.model.blocks[1](x))
    ones = np.ones((len(kept), 1))
    wanted, *_ = np.linalg.lstsq(np.hstack([x.numpy(), ones]), y.numpy(), rcond=None)
    matrix, bias = solve(lens.statistics.fitted[1], 0.0)
    np.testing.assert_allclose(matrix.numpy(), wanted[:-1].T, atol=1e-8)
    np.testing.assert_allclose(bias.numpy(), wanted[-1], atol=1e-8)


def rotated(model: nn.Module, states: list[int], change: Tensor) -> None:
    """Rotates all states: what writes to the stream puts out ``change`` times it, what reads takes it back."""
    readers = [block.branch[0] for block in model.blocks] + [model.head]
    for writer in (model.stem, *(block.branch[2] for block in model.blocks)):
        writer.weight.data, writer.bias.data = change @ writer.weight.data, change @ writer.bias.data
    for reader in readers:
        reader.weight.data = reader.weight.data @ change.T


def test_the_gauge_of_vectors_is_tried():
    network = mlp(neck=False)
    network = replace(network, head=network.model.head, gauge="orthogonal", regauge=rotated)
    network.model.norm = nn.Identity()
    report = itinf.check(network, first_of(rows(), 5))
    assert report.ok and any(f.subject == "gauge orthogonal, states 0–3" for f in report.findings), report
    wrong = replace(network, regauge=lambda model, states, change: rotated(model, states, change.T))
    assert not itinf.check(wrong, first_of(rows(), 5)).ok


class Lm(nn.Module):
    """A causal language model of PyTorch's own layers, whose states have the batch first or second."""

    def __init__(self, first: bool, out: str = "batch") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.out = first, out
        self.embed, self.place = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(16, WIDTH)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, 2, 24, 0.1, batch_first=first, norm_first=True) for _ in range(2)
        )
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        h = self.embed(ids) + self.place.weight[: ids.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1], dtype=h.dtype)
        h = h if self.first else h.transpose(0, 1)
        for layer in self.layers:
            h = layer(h, src_mask=mask, is_causal=True)
        logits = self.head(self.norm(h))
        return logits if self.first or self.out == "time" else logits.transpose(0, 1)


def lm(first: bool, layout: str, out: str = "batch", **block) -> Network:
    model = Lm(first, out).double()
    blocks = [Block(f"layers.{i}", **block) for i in range(2)]
    return Network(model, blocks, layout, unit="token", neck=model.norm, head=model.head, name="lm")


def first_of(data: Items, count: int) -> itinf.Batch:
    return load_batch(data, range(count))


@pytest.mark.parametrize("out", ["batch", "time"])
def test_a_batch_that_stands_second_gives_the_same_numbers(out):
    first, second, data = lm(True, "n t c"), lm(False, "t n c", out), tokens(40)
    assert itinf.check(second, first_of(data, 4)).ok
    assert itinf.check(second, first_of(data, data.inputs.shape[1])).ok, "as many sequences as tokens"
    a, b = itinf.trace(first, first_of(data, 5)), itinf.trace(second, first_of(data, 5))
    for x, y in zip([*a.states, *a.gradients["label"].states], [*b.states, *b.gradients["label"].states], strict=True):
        torch.testing.assert_close(x, y)
    for number, (one, other) in enumerate(zip(every_number(first, data), every_number(second, data), strict=True)):
        if number == 0:
            close(one, other)
        else:
            np.testing.assert_allclose(one["mean"], other["mean"], rtol=1e-3, atol=1e-4)


def test_parts_of_a_batch_that_stands_second():
    first, second = (
        lm(f, layout, parts={"attention": "self_attn"}) for f, layout in ((True, "n t c"), (False, "t n c"))
    )
    batch = first_of(tokens(5), 5)
    a, b = itinf.trace(first, batch), itinf.trace(second, batch)
    torch.testing.assert_close(a.parts, b.parts)
    torch.testing.assert_close(a.gradients["label"].parts, b.gradients["label"].parts)


def mixes_sequences() -> Network:
    """Reads its ids (N, T) as (T, N): shapes fit layout "n t c", but attention runs over the batch."""
    model = Lm(True).double()
    model.forward = lambda ids: Lm.forward(model, ids.T).transpose(0, 1)
    blocks = [Block(f"layers.{i}") for i in range(2)]
    return Network(model, blocks, "t n c", unit="token", neck=model.norm, head=model.head)


WRONG = {
    "batch second, said to be first": lambda: lm(False, "n t c"),
    "batch first, said to be second": lambda: lm(True, "t n c"),
    "logits with the time first": lambda: lm(False, "n t c", "time"),
    "ids read the other way round": mixes_sequences,
}


@pytest.mark.parametrize("sequences", [4, 6], ids=["more tokens than sequences", "as many"])
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_axis_fails_the_check_and_is_refused_by_every_command(case, sequences):
    network, data = WRONG[case](), tokens(sequences)
    assert data.inputs.shape[1] == 6
    failed = [f for f in itinf.check(network, first_of(data, sequences)).findings if f.status == "failed"]
    assert failed and ("layout" in failed[0].detail or "axes" in failed[0].subject)
    for command in (
        lambda: itinf.probe(network, data, [itinf.Performance()], replicates=4),
        lambda: itinf.fit(network, data, "logit"),
        lambda: itinf.transfer(network, itinf.fit(lm(True, "n t c"), tokens(40), "affine"), data, replicates=4),
    ):
        with pytest.raises(ItinfError, match="layout"):
            command()


class Conv(nn.Module):
    """Channels first; ``last`` gives its states the channels last."""

    def __init__(self, last: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last, self.stem, self.head = last, nn.Conv2d(3, 8, 1), nn.Linear(8, CLASSES)
        self.blocks = nn.ModuleList(Residual(branch_of_pixels(last)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        h = h.movedim(1, -1) if self.last else h
        for block in self.blocks:
            h = block(h)
        return self.head(h.mean((1, 2) if self.last else (2, 3)))


def branch_of_pixels(last: bool) -> nn.Module:
    linear = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
    return linear if last else PerPixel(linear)


@pytest.mark.parametrize("side", [4, 8], ids=["another width", "the width of the channels"])
@pytest.mark.parametrize("last", [False, True])
def test_a_wrong_channel_axis_is_found_by_what_the_pool_keeps_apart(last, side):
    model, (right, wrong) = Conv(last), ("n h w c", "n c h w") if last else ("n c h w", "n h w c")
    blocks = [Block(f"blocks.{i}") for i in range(2)]
    data = Items("image", torch.randn(8, 3, side, side), torch.arange(8) % CLASSES)
    network = Network(model, blocks, right, head=model.head, pool=lambda h: h.mean((1, 2) if last else (2, 3)))
    assert itinf.check(network, first_of(data, 4)).ok
    assert not itinf.check(replace(network, layout=wrong), first_of(data, 4)).ok
    with pytest.raises(ItinfError, match="channels, but the pool keeps axis"):
        itinf.probe(replace(network, layout=wrong), data, [itinf.Performance()], replicates=4)
    norm = nn.LayerNorm(8) if last else PerPixel(nn.LayerNorm(8))  # mixes channels before the pool
    for layout, status in ((right, "ok"), (wrong, "failed")):
        finding = itinf.check(replace(network, layout=layout, neck=norm), first_of(data, 4)).findings[0]
        assert finding.status == status, finding


def test_pools_of_images_read_the_models_own_axes():
    """A transformer of images with the batch second: the pool takes the first token as the model does, h[0]."""

    class Vit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer, self.head = nn.TransformerEncoderLayer(WIDTH, 2, 24, 0.0), nn.Linear(WIDTH, CLASSES)
            self.norm = nn.LayerNorm(WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.layer(x.transpose(0, 1)))[0])

    model = Vit().double()
    network = Network(model, [Block("layer")], "t n c", head=model.head, neck=model.norm, pool=lambda h: h[0])
    data = Items("image", torch.randn(24, 3, WIDTH), torch.arange(24) % CLASSES)
    assert itinf.check(network, first_of(data, 3)).ok, "three images of three tokens"
    loss = itinf.trace(network, first_of(data, 24), gradients=False).loss.mean()
    with torch.no_grad():
        wanted = F.cross_entropy(model(data.inputs.double()), data.targets)
    torch.testing.assert_close(loss, wanted)
    lens = itinf.fit(network, data, "logit")
    seen = itinf.trace(network, first_of(data, 24), gradients=False)
    with torch.no_grad():
        torch.testing.assert_close(lens.read(seen, "layer"), model(data.inputs.double()))


@pytest.mark.parametrize("layout", ["n c h w", "n h w c", "n t c", "t n c"])
def test_vectors_in_another_layout_are_refused(layout):
    network = mlp(neck=False)
    with pytest.raises(ItinfError, match=rf"\(4, 12\); expected .* as layout '{layout}' says"):
        itinf.trace(replace(network, layout=layout, pool=lambda h: h), first_of(rows(), 4))


def test_vectors_are_no_tokens():
    network = mlp(neck=False)
    with pytest.raises(ItinfError, match="token network has layout 'n t c' or 't n c'"):
        replace(network, unit="token")


class Noise(nn.Module):
    def forward(self, h: Tensor) -> Tensor:
        return F.dropout(h, 0.3, training=True)


class BatchStatistics(nn.Module):
    def forward(self, h: Tensor) -> Tensor:
        return F.batch_norm(h, None, None, training=True)


@pytest.mark.parametrize("module, message", [(Noise, "forward pass is random"), (BatchStatistics, "not separate")])
def test_what_is_random_or_mixes_items_is_refused(module, message):
    network = mlp(neck=False)
    network.model.blocks[1].branch[1] = module()
    (finding, *_) = itinf.check(network, first_of(rows(), 6)).findings
    assert finding.status == "failed" and message in finding.detail
    for command in (
        lambda: itinf.probe(network, rows(), [itinf.Performance()], replicates=4),
        lambda: itinf.fit(network, rows(), "affine"),
        lambda: itinf.transfer(network, itinf.fit(mlp(neck=False), rows(), "affine"), rows(), replicates=4),
    ):
        with pytest.raises(ItinfError, match=message):
            command()


def test_one_item_is_enough_to_trace():
    network = mlp(neck=False)
    whole, alone = (itinf.trace(network, first_of(rows(), count)) for count in (5, 1))
    torch.testing.assert_close(alone.states[2], whole.states[2][:1])
    assert itinf.check(network, first_of(rows(), 1)).ok


def test_a_copy_of_a_network_is_measured_the_same():
    network, batch = mlp(neck=False), first_of(rows(), 5)
    itinf.trace(network, batch)
    assert torch.equal(itinf.trace(copy.deepcopy(network), batch).loss, itinf.trace(network, batch).loss)
