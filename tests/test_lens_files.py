"""Lens files and the tuned-lens package's folders: what comes back, and what is refused."""

import dataclasses
import json
import os
import pickle

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save_file
from torch import nn

import tiny
from itinf.data.clusters import load_batch
from itinf.errors import ItinfError
from itinf.lenses import tuned_lens_format
from itinf.lenses.fit import fit
from itinf.lenses.lens import Lens
from itinf.lenses.tuned import Recipe
from itinf.networks.trace import trace
from itinf.networks.weights import readout_fingerprint

KINDS = ("logit", "affine", "tuned", "shared")


@pytest.fixture(scope="module")
def network():
    return tiny.gpt2()


@pytest.fixture(scope="module")
def data():
    return tiny.tokens(60)


@pytest.fixture(scope="module")
def lens(network, data):
    return fit(network, data, "affine", parts=True)


@pytest.fixture(scope="module")
def content(lens, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "lens.safetensors"
    lens.save(path)
    return path.read_bytes()


def assert_same(one, other):
    assert (one.kind, one.sites, one.record) == (other.kind, other.sites, other.record)
    assert torch.equal(one.log_prior, other.log_prior) and torch.equal(one.mean_final, other.mean_final)
    assert [t is None for t in one.translators] == [t is None for t in other.translators]
    for mine, theirs in zip(one.translators, other.translators, strict=True):
        assert mine is None or (torch.equal(mine.weight, theirs.weight) and torch.equal(mine.bias, theirs.bias))


@pytest.mark.parametrize("kind", KINDS)
def test_a_lens_comes_back_bit_for_bit(network, data, tmp_path, kind):
    lens = fit(network, data, kind, parts=True, recipe=Recipe(1, 64) if kind == "tuned" else None)
    lens.save(tmp_path / "lens.safetensors")
    back = Lens.load(tmp_path / "lens.safetensors", network)
    assert_same(lens, back)
    assert back.statistics is None
    seen = trace(network, load_batch(data, range(4)), gradients=False)
    for place in lens.sites:
        assert torch.equal(back.read(seen, place.name), lens.read(seen, place.name))


def test_widths_that_differ_and_missing_translators_come_back(tmp_path):
    network, data = tiny.resnet(), tiny.images(200)
    for kind in ("affine", "logit"):
        lens = fit(network, data, kind)
        lens.save(tmp_path / "lens.safetensors")
        assert_same(lens, Lens.load(tmp_path / "lens.safetensors", network))
    assert None in lens.translators


def test_one_lens_makes_one_file(lens, content, tmp_path):
    lens.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == content


def test_an_interrupted_write_leaves_the_old_file(lens, content, tmp_path, monkeypatch):
    path = tmp_path / "lens.safetensors"
    lens.save(path)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fdopen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dataclasses.replace(lens, kind="shared").save(path)
    assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]


def test_another_readout_is_refused_with_both_fingerprints(content, network, tmp_path):
    path = tmp_path / "lens.safetensors"
    path.write_bytes(content)
    for change in ("transformer.ln_f.bias", "lm_head.weight"):
        other = tiny.gpt2()
        with torch.no_grad():
            last = other.model.get_parameter(change).flatten()[-1:]
            last.copy_(torch.nextafter(last, last + 1))  # the last bit of the last number
        with pytest.raises(ItinfError) as refused:
            Lens.load(path, other)
        assert readout_fingerprint(network) in str(refused.value) and readout_fingerprint(other) in str(refused.value)
    Lens.load(path, tiny.gpt2())


def test_a_head_without_a_module_is_known_by_the_model():
    one, other = tiny.gpt2(), tiny.gpt2()
    for some in (one, other):
        some.head = lambda x, some=some: some.model.lm_head(x)
    assert readout_fingerprint(one) == readout_fingerprint(other)
    with torch.no_grad():
        other.model.lm_head.weight[0, 0] += 1
    assert readout_fingerprint(one) != readout_fingerprint(other)


@given(share=st.floats(0, 1, exclude_max=True))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_truncated_file_is_refused(content, network, tmp_path, share):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ItinfError, match=r"cannot be read as a lens .* Is the file complete"):
        Lens.load(path, network)


def rewritten(content, tmp_path, change):
    """The file with its header changed, and without the hash that would tell."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    lens = json.loads(header["__metadata__"]["lens"])
    del lens["blake2b"]
    change(lens)
    header["__metadata__"]["lens"] = json.dumps(lens)
    text = json.dumps(header).encode()
    path = tmp_path / "changed.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    return path


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda h: h["sites"][1].update(name="transformer.h.O"), "does not have. Did you mean transformer.h."),
        (
            lambda h: h["sites"][1].update(name="transformer.h.0.mpl"),
            "'transformer.h.0.mpl', which gpt2 does not have",
        ),
        (lambda h: h.update(format=3), "is of format 3; this itinf reads up to 2"),
        (lambda h: h.update(kind=3), "its kind is 3, and a kind has a name"),
        (lambda h: h["record"].pop("readout"), "KeyError"),
        (lambda h: h["sites"][2].update(width=16), "is (32, 32), not (32, 16)"),
        (lambda h: h.pop("sites"), "KeyError"),
        (lambda h: h["sites"][1].update(width=-1), "has width -1"),
        (lambda h: h["sites"][1].update(depth=float("nan")), "and depth nan"),
        (lambda h: h.update(sites=[3]), "TypeError"),
        (lambda h: h.update(sites={"a": 1}), "TypeError"),
        (lambda h: h.update(record=[1]), "TypeError"),
        (lambda h: h.update(sites=[]), "fitted with other blocks"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(content, network, tmp_path, change, message):
    with pytest.raises(ItinfError) as refused:
        Lens.load(rewritten(content, tmp_path, change), network)
    assert message in str(refused.value)


def tensors_changed(content, tmp_path, change):
    """The file with its tensors changed."""
    size = int.from_bytes(content[:8], "little")
    lens = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["lens"])
    del lens["blake2b"]  # the hash would tell
    tensors = load(content)
    change(tensors)
    path = tmp_path / "changed.safetensors"
    save_file(tensors, path, {"lens": json.dumps(lens)})
    return path


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.update({"1/weight": t["1/weight"].long()}), "is torch.int64, or not finite"),
        (lambda t: t["2/bias"].fill_(float("nan")), "or not finite"),
        (lambda t: t.pop("1/bias"), "KeyError"),
        (lambda t: t["prior"].fill_(float("-inf")), "the prior or the mean final distribution holds no numbers"),
        (lambda t: t.update(final=t["final"].float()), "the prior or the mean final distribution holds no numbers"),
        (lambda t: t.update(prior=t["prior"][:9], final=t["final"][:9]), "is a lens for 9 outputs, and gpt2 has 61"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(content, network, tmp_path, change, message):
    with pytest.raises(ItinfError) as refused:
        Lens.load(tensors_changed(content, tmp_path, change), network)
    assert message in str(refused.value)


def test_other_blocks_of_the_same_model_are_refused(content, network, tmp_path):
    path = tmp_path / "lens.safetensors"
    path.write_bytes(content)
    fewer = dataclasses.replace(network, blocks=network.blocks[1:])
    with pytest.raises(ItinfError, match=r"'before transformer.h.0', which gpt2 does not have"):
        Lens.load(path, fewer)
    lens = fit(fewer, tiny.tokens(60), "affine")
    lens.save(path)
    with pytest.raises(ItinfError, match="fitted with other blocks than the 2 that gpt2 is opened at"):
        Lens.load(path, network)


def test_what_is_no_lens_is_refused(network, tmp_path, lens):
    with pytest.raises(ItinfError, match=r"kept in a .safetensors file"):
        lens.save(tmp_path / "lens.pt")
    with pytest.raises(ItinfError, match=r"There is no lens file .*Known: none"):
        Lens.load(tmp_path / "lens.safetensors", network)
    save_file({"x": torch.zeros(2)}, tmp_path / "lenses.safetensors")
    with pytest.raises(ItinfError, match="its header has no 'lens'"):
        Lens.load(tmp_path / "lenses.safetensors", network)
    with pytest.raises(ItinfError, match=r"Did you mean lenses.safetensors"):
        Lens.load(tmp_path / "lens.safetensors", network)


# The public package's folder


def made_by_hand(folder, network, config=(), bias=True):
    """What the package saves: its ModuleList's state dict, and a config."""
    torch.manual_seed(3)
    width, count = network.model.config.hidden_size, network.model.config.num_hidden_layers
    layers = nn.ModuleList(nn.Linear(width, width, bias=bias) for _ in range(count))
    folder.mkdir(exist_ok=True)
    torch.save(layers.state_dict(), folder / "params.pt")
    written = {
        "base_model_name_or_path": "tiny",
        "d_model": width,
        "num_hidden_layers": count,
        "bias": bias,
        "base_model_revision": None,
        "unembed_hash": None,
        "lens_type": "linear_tuned_lens",
    }
    (folder / "config.json").write_text(json.dumps(written | dict(config)))
    return layers


@pytest.mark.parametrize("bias", [True, False])
def test_each_layer_reads_the_hidden_state_that_the_package_gives_it(network, data, lens, tmp_path, bias):
    layers = made_by_hand(tmp_path / "lens", network, bias=bias)
    read = tuned_lens_format.read_tuned_lens_folder(tmp_path / "lens", network, lens)
    batch = load_batch(data, range(5))
    seen = trace(network, batch, gradients=False)
    names = ["before transformer.h.0", "transformer.h.0"]
    with torch.no_grad():
        output = network.model(batch.inputs, output_hidden_states=True)
        for layer, h, name in zip(layers, output.hidden_states[:-1], names, strict=True):
            wanted = network.model.lm_head(network.model.transformer.ln_f(h + layer(h))).flatten(0, 1)
            torch.testing.assert_close(read.read(seen, name), wanted, rtol=1e-5, atol=1e-5)
        last = read.read(seen, "transformer.h.1")
        torch.testing.assert_close(last, output.logits.flatten(0, 1), rtol=1e-5, atol=1e-5)
    known = [p.name for p, t in zip(read.sites, read.translators, strict=True) if t is not None]
    assert known == [*names, "transformer.h.1"]  # states inside a block have no layer
    assert read.kind == "tuned" and read.statistics is None and torch.equal(read.log_prior, lens.log_prior)
    with pytest.raises(ItinfError, match=r"no translator for 'transformer.h.0.mlp'"):
        read["transformer.h.0.mlp"]


def test_a_folder_written_is_the_packages_and_comes_back(network, lens, tmp_path):
    tuned_lens_format.write_tuned_lens_folder(lens, tmp_path, network)
    given = torch.load(tmp_path / "params.pt", weights_only=True)
    nn.ModuleList(nn.Linear(32, 32) for _ in range(2)).load_state_dict(given)  # strict
    assert torch.equal(given["1.weight"], lens["transformer.h.0"].weight)
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["d_model"], config["num_hidden_layers"], config["bias"]) == (32, 2, True)
    back = tuned_lens_format.read_tuned_lens_folder(tmp_path, network, lens)
    for name in ("before transformer.h.0", "transformer.h.0"):
        assert torch.equal(back[name].weight, lens[name].weight) and torch.equal(back[name].bias, lens[name].bias)
    assert not back["transformer.h.1"].weight.any()
    back.save(tmp_path / "lens.safetensors")
    assert_same(back, Lens.load(tmp_path / "lens.safetensors", network))


def test_the_hash_is_that_of_the_matrix_as_printed():
    """The package's own hash of this matrix, from tuned_lens 0.2.0: tensor_hash(weight.numpy())."""
    head = nn.Linear(40, 60, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.arange(2400.0).reshape(60, 40) / 7 - 100)
    network = dataclasses.replace(tiny.gpt2(), head=head)
    assert tuned_lens_format.unembed_hash(network) == "3a6b6940d1905d4d23d7849020dd335b2cdce81c1e0487fc540307cf0d5de9f0"


@pytest.mark.parametrize(
    "config, message",
    [
        ({"num_hidden_layers": 3}, "its num_hidden_layers is 3, and gpt2 has 2"),
        ({"d_model": 64}, "its d_model is 64, and gpt2 has 32"),
        ({"unembed_hash": "0" * 64}, "its unembed_hash is 0000"),
        ({"lens_type": "mlp"}, "its lens_type is 'mlp'"),
        ({"bias": "no"}, "its bias is 'no'; expected true or false"),
        ({"bias": False}, "2 tensors are unknown to the model, first '0.bias', '1.bias'"),
    ],
)
def test_a_folder_of_another_model_is_refused(network, lens, tmp_path, config, message):
    made_by_hand(tmp_path, network, config)
    with pytest.raises(ItinfError) as refused:
        tuned_lens_format.read_tuned_lens_folder(tmp_path, network, lens)
    assert message in str(refused.value)


class Harmful:
    def __reduce__(self):
        return (os.mkdir, ("harm",))


def test_no_pickle_runs(network, lens, tmp_path, monkeypatch):
    made_by_hand(tmp_path, network)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.pt").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(ItinfError, match=r"asks Python to run .*mkdir.* Nothing was run"):
        tuned_lens_format.read_tuned_lens_folder(tmp_path, network, lens)
    assert not (tmp_path / "harm").exists()


def test_folders_that_cannot_be_read_are_explained(network, lens, tmp_path):
    with pytest.raises(ItinfError, match=r"There is no .*config.json; a folder of the tuned-lens package holds"):
        tuned_lens_format.read_tuned_lens_folder(tmp_path, network, lens)
    made_by_hand(tmp_path, network)
    whole = (tmp_path / "params.pt").read_bytes()
    (tmp_path / "params.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ItinfError, match="Is the file complete"):
        tuned_lens_format.read_tuned_lens_folder(tmp_path, network, lens)
    (tmp_path / "params.pt").write_bytes(whole)
    for text, message in (("{", "cannot be read"), ("[]", "expected an object"), ("[" * 200_000, "cannot be read")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ItinfError, match=message):
            tuned_lens_format.read_tuned_lens_folder(tmp_path, network, lens)


def test_only_what_the_package_knows_is_written(network, lens, tmp_path):
    images = tiny.resnet()
    other = fit(images, tiny.images(200), "affine")
    with pytest.raises(ItinfError, match="reads transformers of one width with a linear unembedding"):
        tuned_lens_format.write_tuned_lens_folder(other, tmp_path, images)
    with pytest.raises(ItinfError, match="is of another network"):
        tuned_lens_format.write_tuned_lens_folder(lens, tmp_path, tiny.gpt2(seed=2))
    missing = dataclasses.replace(lens, translators=[None, *lens.translators[1:]])
    with pytest.raises(ItinfError, match=r"no translator for 'before transformer.h.0'"):
        tuned_lens_format.write_tuned_lens_folder(missing, tmp_path, network)
    assert not list(tmp_path.iterdir())
