"""GPT-2: what its states are, its gauge, and reading folders that are right and wrong."""

import copy
import json
import shutil

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import itinf
from itinf import ItinfError
from language.gpt2 import gpt2, gpt2_xl
from tolerance import rounding

TINY = {"n_layer": 3, "n_embd": 32, "n_head": 4, "vocab_size": 101, "n_positions": 24}
TEXT = "def f(x):\n    return x + 1  # naïve façade, 日本\n"


@pytest.fixture(scope="module")
def ids():
    return torch.randint(0, 101, (2, 24), generator=torch.Generator().manual_seed(1))


def lively(seed=3, **options):
    """A tiny GPT-2 in float64 whose every parameter is at random, LayerNorms and biases included."""
    network = gpt2(f"random:{seed}", **TINY, **options)
    network.to("cpu", torch.float64)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network.model.parameters():
            p.add_(torch.randn(p.shape, generator=generator, dtype=p.dtype), alpha=0.2)
    return network


def states(network, ids):
    """h_0 … h_L by plain hooks."""
    seen = []
    blocks = [network.model.get_submodule(b.name) for b in network.blocks]
    hooks = [blocks[0].register_forward_pre_hook(lambda m, given: seen.append(given[0]))]
    hooks += [b.register_forward_hook(lambda m, given, out: seen.append(out)) for b in blocks]
    with torch.no_grad():
        network.forward(ids)
    for hook in hooks:
        hook.remove()
    return seen


def logits(network, ids):
    with torch.no_grad():
        return network.model(ids).logits


def head_rounding(network, state):
    """What rounding does to logits of this state: products of 32 terms, behind a LayerNorm."""
    with torch.no_grad():
        return rounding(state.dtype, 32, network.neck(state).norm(dim=-1).max() * network.head.weight.norm(dim=1).max())


def rotation(width, fixes_ones):
    """A random rotation, by two Householder reflections in vectors orthogonal to the ones or not."""
    turn = torch.eye(width, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        v = torch.randn(width, generator=generator, dtype=torch.float64)
        v = v - v.mean() if fixes_ones else v
        v = v / v.norm()
        turn = turn - 2 * torch.outer(turn @ v, v)
    return turn


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny GPT-2 in float16 with a byte-level BPE tokenizer, as train would leave it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=270,
        show_progress=False,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([TEXT * 20], trainer)
    tokenizer.enable_truncation(8)
    path = tmp_path_factory.mktemp("gpt2")
    gpt2("random:5", **TINY | {"vocab_size": 270}).model.half().save_pretrained(path)
    tokenizer.save(str(path / "tokenizer.json"))
    return path


@pytest.fixture
def spoilt(folder, tmp_path):
    """A copy of the folder to spoil."""
    return shutil.copytree(folder, tmp_path / "spoilt")


def rewrite(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_readout_of_the_last_state_is_the_models_logits(ids):
    network = lively()
    last = states(network, ids)[-1]
    read = network.readout(network.per_prediction(last)).view(2, 24, 101)
    torch.testing.assert_close(read, logits(network, ids), rtol=0, atol=head_rounding(network, last))


def test_hidden_states_end_after_ln_f_so_applying_it_again_is_wrong(ids):
    network = lively()
    with torch.no_grad():
        hidden = network.model(ids, output_hidden_states=True).hidden_states
    h = states(network, ids)
    assert len(hidden) == len(h) == 4
    for ours, theirs in zip(h[:-1], hidden[:-1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    torch.testing.assert_close(network.neck(h[-1]), hidden[-1], rtol=0, atol=0)
    twice = network.head(network.neck(hidden[-1]))
    assert (twice - logits(network, ids)).abs().max() > 0.1


def test_before_attention_and_mlp_add_up_to_after(ids):
    network = lively()
    parts = {}
    hooks = []
    for index, block in enumerate(network.blocks):
        for part, path in block.parts.items():
            module = network.model.get_submodule(f"{block.name}.{path}")
            hooks.append(
                module.register_forward_hook(
                    lambda m, given, out, key=(index, part): parts.update(
                        {key: out[0] if isinstance(out, tuple) else out}
                    )
                )
            )
    h = states(network, ids)
    for hook in hooks:
        hook.remove()
    for i in range(3):
        total = h[i] + parts[i, "attention"] + parts[i, "mlp"]
        size = sum(float(x.abs().max()) for x in (h[i], parts[i, "attention"], parts[i, "mlp"]))
        torch.testing.assert_close(total, h[i + 1], rtol=0, atol=rounding(total.dtype, 3, size))
        assert parts[i, "attention"].norm() > 0 and parts[i, "mlp"].norm() > 0


def test_gradient_reaches_every_state_and_parameter(ids):
    network = lively()
    network.readout(network.per_prediction(states_with_graph(network, ids)[-1])).logsumexp(-1).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.model.parameters())


def states_with_graph(network, ids):
    seen = []
    last = network.model.get_submodule(network.blocks[-1].name)
    hook = last.register_forward_hook(lambda m, given, out: seen.append(out))
    network.forward(ids)
    hook.remove()
    return seen


@pytest.mark.parametrize("share", [False, True])
def test_regauge_turns_every_state_and_keeps_the_logits(ids, share):
    network = lively(share=share)
    turned = copy.deepcopy(network)
    turn = rotation(32, fixes_ones=True)
    turned.regauge(turned.model, range(4), turn)
    for before, after in zip(states(network, ids), states(turned, ids), strict=True):
        torch.testing.assert_close(after, before @ turn.T, rtol=0, atol=1e-10)
    torch.testing.assert_close(logits(turned, ids), logits(network, ids), rtol=0, atol=1e-10)
    last = states(turned, ids)[-1]
    read = turned.readout(turned.per_prediction(last)).view(2, 24, 101)
    torch.testing.assert_close(read, logits(turned, ids), rtol=0, atol=head_rounding(turned, last))
    assert all((m.weight == 1).all() and (m.bias == 0).all() for m in norms(turned))
    turned.regauge(turned.model, range(4), turn.T)
    torch.testing.assert_close(states(turned, ids)[2], states(network, ids)[2], rtol=0, atol=1e-10)
    torch.testing.assert_close(logits(turned, ids), logits(network, ids), rtol=0, atol=1e-10)


def norms(network):
    return [m for m in network.model.modules() if isinstance(m, torch.nn.LayerNorm)]


def test_regauge_by_a_rotation_that_moves_the_ones_changes_the_logits(ids):
    network = lively()
    turned = copy.deepcopy(network)
    turned.regauge(turned.model, range(4), rotation(32, fixes_ones=False))
    assert (logits(turned, ids) - logits(network, ids)).abs().max() > 1e-2


def test_regauge_of_some_states_is_refused():
    network = lively()
    with pytest.raises(ItinfError, match=r"Give all of 0 … 3"):
        network.regauge(network.model, [1, 2], torch.eye(32))


def test_seed_decides_random_weights_and_leaves_the_global_state(ids):
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    first = gpt2(**TINY)
    assert torch.rand(1) == expected
    assert torch.equal(logits(first, ids), logits(gpt2("random:0", **TINY), ids))
    other = first.untrained(1)
    assert other.model.config.to_dict() == first.model.config.to_dict()
    assert other.weights == "random:1"
    assert torch.equal(logits(other, ids), logits(gpt2("random:1", **TINY), ids))
    assert not torch.equal(logits(other, ids), logits(first, ids))


@pytest.mark.parametrize(
    ("name", "millions"), [("gpt2", 124.4), ("gpt2-medium", 354.8), ("gpt2-large", 774.0), ("gpt2-xl", 1557.6)]
)
def test_published_sizes(name, millions):
    """Parameter counts of the released models, embedding and head tied, on the meta device."""
    with torch.device("meta"):
        network = itinf.network(name)
    assert round(sum(p.numel() for p in network.model.parameters()) / 1e6, 1) == millions
    assert network.context == 1024
    assert network.name == name


def test_text_without_a_tokenizer_becomes_bytes():
    prepare = gpt2(**TINY | {"vocab_size": 256}).prepare
    ids = prepare(TEXT)
    assert ids.dtype == torch.int64
    assert bytes(ids.tolist()).decode() == TEXT
    assert prepare("").shape == (0,)
    assert prepare.name == "UTF-8 bytes"
    with pytest.raises(ItinfError, match=r"gives id 122, but the model's vocabulary ends at 100"):
        gpt2(**TINY).prepare("fizz")


def test_folder_round_trip(folder, capfd):
    network = gpt2(str(folder))
    assert capfd.readouterr() == ("", "")
    assert network.weights == f"{folder} (float16)"
    assert network.context == 24
    assert network.dtype == torch.float32
    assert network.model.lm_head.weight is network.model.transformer.wte.weight
    given = gpt2("random:5", **TINY | {"vocab_size": 270}).model.half().float().state_dict()
    for key, tensor in network.model.state_dict().items():
        assert torch.equal(tensor, given[key]), key


def test_folder_brings_its_tokenizer(folder):
    prepare = gpt2(str(folder)).prepare
    ids = prepare(TEXT)
    assert ids.ndim == 1 and ids.dtype == torch.int64
    assert 8 < len(ids) < len(TEXT.encode())  # neither cut at the file's own truncation nor bytes
    assert prepare.tokenizer.decode(ids.tolist()) == TEXT
    assert prepare.name.startswith("tokenizer of 270 #")
    assert gpt2(str(folder)).untrained(2).prepare is not None
    assert gpt2(str(folder)).untrained(2).prepare.name == prepare.name


def test_copy_keeps_working(folder, ids):
    network = gpt2(str(folder))
    twin = copy.deepcopy(network)
    assert twin.head is twin.model.lm_head and twin.head is not network.head
    assert torch.equal(twin.prepare(TEXT), network.prepare(TEXT))
    assert torch.equal(logits(twin, ids), logits(network, ids))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"config\.json"),
        (lambda f: (f / "model.safetensors").unlink(), r"model\.safetensors"),
        (lambda f: cut(f / "model.safetensors"), r"cannot be read as GPT-2.*Expected a complete"),
        (lambda f: cut(f / "config.json"), r"cannot be read as GPT-2"),
        (lambda f: cut(f / "tokenizer.json"), r"tokenizer\.json cannot be read"),
        (lambda f: (f / "tokenizer.json").rename(f / "vocab.json"), r"no tokenizer\.json"),
        (
            lambda f: rewrite(f, n_embd=64),
            r"40 have another shape, first \S+c_attn\.bias: file \(96,\), config \(192,\)",
        ),
        (lambda f: rewrite(f, n_layer=4), r"12 tensors are missing, first transformer\.h\.3\.attn\.c_attn\.bias"),
        (lambda f: rewrite(f, n_layer=2), r"are unknown to the config, first transformer\.h\.2\."),
        (lambda f: rewrite(f, model_type="llama"), r"type 'llama'; expected 'gpt2'"),
    ],
)
def test_spoilt_folders_are_refused(spoilt, spoil, message):
    spoil(spoilt)
    with pytest.raises(ItinfError, match=message) as caught:
        gpt2(str(spoilt))
    assert str(spoilt) in str(caught.value)


def test_missing_folder_is_refused_without_looking_at_the_hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: pytest.fail("went to the hub"))
    for weights in ("nowhere", "./a/b", "/no/such/folder", "a/b/c"):
        with pytest.raises(ItinfError, match=f"there is no folder {weights!r}. Expected a Hugging Face folder"):
            gpt2(weights)


@pytest.mark.parametrize(
    ("weights", "asked"), [("pretrained", "openai-community/gpt2-xl"), ("some/where", "some/where")]
)
def test_hub_ids_are_fetched_by_name_and_only_safetensors(monkeypatch, folder, weights, asked):
    def fetch(name, allow_patterns):
        assert name == asked
        assert not [p for p in allow_patterns if p.endswith((".bin", ".py", "*"))]
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert gpt2_xl(weights).weights == f"{asked}@{folder.name} (float16)"


def test_hub_out_of_reach_is_one_message(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ItinfError, match=r"'some/where' is no folder here and cannot be fetched"):
        gpt2("some/where")


def test_options_are_refused_where_they_make_no_sense(folder):
    with pytest.raises(ItinfError, match=r"no option 'n_layers'. Did you mean n_layer"):
        gpt2(n_layers=3)
    with pytest.raises(ItinfError, match=r"options n_layer given beside weights"):
        gpt2(str(folder), n_layer=3)
    with pytest.raises(ItinfError, match=r"make no GPT2Config"):
        gpt2(n_layer="three")
    with pytest.raises(ItinfError, match=r"divisible by num_heads"):
        gpt2(**TINY | {"n_head": 5})
    with pytest.raises(ItinfError, match="is 0; expected a whole number of at least 1"):
        gpt2(**TINY | {"n_layer": 0})
    with pytest.raises(ItinfError, match=r"random:SEED"):
        gpt2("random:x", **TINY)
