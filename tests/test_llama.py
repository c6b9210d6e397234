"""Llama: what its states are, its gauge, reading folders and GGUF files that are right and wrong."""

import copy
import json
import shutil
from importlib.util import find_spec

import pytest
import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

import itinf
from itinf import ItinfError
from itinf.networks.gauge import random_change
from language import bpe, gguf_file
from language.llama import llama
from tolerance import rounding

TINY = {
    "num_hidden_layers": 3,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 270,
    "max_position_embeddings": 24,
}
TEXT = "def f(x):\n    return x + 1  # naïve façade, 日本\n"


@pytest.fixture(scope="module")
def ids():
    return torch.randint(0, 270, (2, 24), generator=torch.Generator().manual_seed(1))


def lively(**options):
    """A tiny Llama in float64 whose every parameter is at random, norms and biases included."""
    network = llama("random:3", **TINY | options)
    network.to("cpu", torch.float64)
    generator = torch.Generator().manual_seed(3)
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


def batch(ids):
    return itinf.Batch(ids[:, :-1], ids[:, 1:], torch.arange(len(ids)).numpy().astype("uint64"))


@pytest.fixture(scope="module")
def tokenizer():
    return bpe.learn([TEXT * 20], 270)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    """A tiny Llama in bfloat16, as transformers itself saves one, beside its tokenizer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = LlamaForCausalLM(LlamaConfig(**TINY, bos_token_id=0, eos_token_id=0))
    path = tmp_path_factory.mktemp("llama")
    model.to(torch.bfloat16).save_pretrained(path)
    tokenizer.save(str(path / "tokenizer.json"))
    return path


@pytest.fixture
def spoilt(folder, tmp_path):
    """A copy of the folder to spoil."""
    return shutil.copytree(folder, tmp_path / "spoilt")


def norm_rounding(values, norms):
    """What rounding does behind so many norms: transformers' RMSNorm squares its 32 numbers in float32, given any."""
    return rounding(torch.float32, 32 * norms, values.abs().max())


def rewrite(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "options", [{}, {"tie_word_embeddings": False}, {"attention_bias": True, "mlp_bias": True, "head_dim": 12}]
)
def test_the_description_holds_and_every_rotation_leaves_the_logits(ids, options):
    network = lively(**options)
    report = itinf.check(network, batch(ids))
    assert all(f.status == "ok" for f in report.findings), report
    assert "gauge orthogonal, states 0–3" in [f.subject for f in report.findings], "every rotation, not some"
    turned = copy.deepcopy(network)
    turn = random_change("orthogonal", 32)
    turned.regauge(turned.model, range(4), turn)
    for before, after in zip(states(network, ids), states(turned, ids), strict=True):
        torch.testing.assert_close(after, before @ turn.T, rtol=0, atol=norm_rounding(after, 6))
    wanted = logits(network, ids)
    torch.testing.assert_close(logits(turned, ids), wanted, rtol=0, atol=norm_rounding(wanted, 7))
    norms = [m for name, m in turned.model.named_modules() if name.endswith("norm")]
    assert len(norms) == 7 and all((m.weight == 1).all() for m in norms)


def test_regauge_of_some_states_is_refused():
    network = lively()
    with pytest.raises(ItinfError, match=r"Give all of 0 … 3"):
        network.regauge(network.model, [1, 2], torch.eye(32))


def test_states_are_transformers_own_and_the_last_is_before_the_norm(ids):
    network = lively()
    with torch.no_grad():
        hidden = network.model(ids, output_hidden_states=True).hidden_states
    h = states(network, ids)
    assert len(hidden) == len(h) == 4
    for ours, theirs in zip(h[:-1], hidden[:-1], strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(network.neck(h[-1]), hidden[-1])
    read = network.readout(network.per_prediction(h[-1])).view(2, 24, 270)
    torch.testing.assert_close(read, logits(network, ids), rtol=0, atol=norm_rounding(read, 1))
    assert (network.head(network.neck(hidden[-1])) - logits(network, ids)).abs().max() > 0.1


def test_attention_and_mlp_are_what_a_block_adds(ids):
    """Written out by hand: each part reads the normed sum of what came before it."""
    network = lively()
    trace = itinf.trace(network, batch(ids))
    parts = trace.parts
    for place, name in enumerate(b.name for b in network.blocks):
        block = network.model.get_submodule(name)
        before, after = trace.states[trace.before[place]], trace.states[trace.after[place]]
        middle = before + parts[place]["attention"]
        with torch.no_grad():
            mlp = block.mlp(block.post_attention_layernorm(middle))
        torch.testing.assert_close(parts[place]["mlp"], mlp, rtol=0, atol=norm_rounding(mlp, 1))
        torch.testing.assert_close(middle + mlp, after, rtol=0, atol=norm_rounding(after, 1))
        assert parts[place]["attention"].norm() > 0


def test_seed_decides_random_weights_and_leaves_the_global_state(ids):
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    first = llama(**TINY)
    assert torch.rand(1) == expected
    assert torch.equal(logits(first, ids), logits(llama("random:0", **TINY), ids))
    other = first.untrained(1)
    assert other.model.config.to_dict() == first.model.config.to_dict()
    assert other.weights == "random:1" and first.weights == "random:0"
    assert torch.equal(logits(other, ids), logits(llama("random:1", **TINY), ids))
    assert not torch.equal(logits(other, ids), logits(first, ids))


def test_the_usual_size_is_smollm2s():
    with torch.device("meta"):
        network = llama()
    assert round(sum(p.numel() for p in network.model.parameters()) / 1e6, 1) == 134.5
    assert (len(network.blocks), network.context, network.name) == (30, 8192, "llama")


def test_folder_round_trip(folder, ids, capfd):
    network = llama(str(folder))
    assert capfd.readouterr() == ("", "")
    assert (network.weights, network.context, network.dtype) == (f"{folder} (bfloat16)", 24, torch.float32)
    theirs = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        assert torch.equal(logits(network, ids), theirs(ids).logits)
    assert itinf.check(network).ok
    assert network.untrained(2).prepare is network.prepare


def test_folder_brings_its_tokenizer(folder, tokenizer):
    prepare = llama(str(folder)).prepare
    ids = prepare(TEXT)
    assert ids.dtype == torch.int64
    assert len(ids) < len(TEXT.encode())
    assert tokenizer.decode(ids.tolist()) == TEXT
    (folder / "tokenizer.json").rename(folder / "aside")
    try:
        prepare = llama(str(folder)).prepare
        with pytest.raises(ItinfError, match=r"has no tokenizer\.json.*give the option tokenizer=bytes"):
            prepare(TEXT)
        assert bytes(llama(str(folder), tokenizer="bytes").prepare("ab").tolist()) == b"ab"
    finally:
        (folder / "aside").rename(folder / "tokenizer.json")


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"config\.json"),
        (lambda f: cut(f / "model.safetensors"), r"cannot be read as Llama.*Expected a complete config\.json"),
        (lambda f: (f / "tokenizer.json").rename(f / "tokenizer.model"), r"a tokenizer\.model but no tokenizer\.json"),
        (lambda f: rewrite(f, intermediate_size=64), r"9 have another shape, first \S+mlp\.down_proj"),
        (lambda f: rewrite(f, num_hidden_layers=4), r"9 tensors are missing, first model\.layers\.3\."),
        (lambda f: rewrite(f, num_hidden_layers=2), r"9 are unknown to the config, first model\.layers\.2\."),
        (lambda f: rewrite(f, model_type="mistral"), r"type 'mistral'; expected 'llama'"),
    ],
)
def test_spoilt_folders_are_refused(spoilt, spoil, message):
    spoil(spoilt)
    with pytest.raises(ItinfError, match=message) as caught:
        llama(str(spoilt))
    assert str(spoilt) in str(caught.value)


def test_what_is_no_weights_is_refused(folder):
    with pytest.raises(ItinfError, match=r"there is no folder 'pretrained'\. .*a \.gguf file, or random\[:SEED\]"):
        llama("pretrained")
    with pytest.raises(ItinfError, match=r"options hidden_size given beside weights"):
        llama(str(folder), hidden_size=64)
    with pytest.raises(ItinfError, match=r"no option 'hidden_sizes'. Did you mean hidden_size"):
        llama(hidden_sizes=3)
    with pytest.raises(ItinfError, match=r"make no LlamaConfig"):
        llama(**TINY | {"num_attention_heads": 5})
    with pytest.raises(ItinfError, match=r"num_attention_heads is 4; expected a multiple of num_key_value_heads"):
        llama(**TINY | {"num_key_value_heads": 3})
    with pytest.raises(ItinfError, match="is 0; expected a whole number of at least 1"):
        llama(**TINY | {"num_hidden_layers": 0})


def test_gguf_without_the_extra_says_what_to_install(monkeypatch):
    monkeypatch.setattr(gguf_file, "EXTRA", ("no_such_package",))
    with pytest.raises(ItinfError, match=r"takes no_such_package\. Install them: pip install itinf\[gguf\]"):
        llama("somewhere/model.gguf")


needs_gguf = pytest.mark.skipif(not all(map(find_spec, gguf_file.EXTRA)), reason="the extra gguf is not installed")


def interleaved(weight, heads):
    """Rows of q and k in llama.cpp's order: the two halves of a head's rotary pairs side by side."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def write_gguf(path, folder, architecture="llama", leave_out=(), add=(), scaling=None):
    """The folder's model as a GGUF file in float32."""
    from gguf import GGUFWriter

    model = llama(str(folder)).model
    config, tokenizer = model.config, json.loads((folder / "tokenizer.json").read_text())
    writer = GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    if scaling:
        writer.add_string("llama.rope.scaling.type", scaling)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get))
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    for token in ("bos", "eos", "unk", "pad"):
        getattr(writer, f"add_{token}_token_id")(0)
    trunk = model.model
    tensors = {"token_embd": trunk.embed_tokens, "output_norm": trunk.norm, "output": model.lm_head}
    for i, block in enumerate(trunk.layers):
        a, m = block.self_attn, block.mlp
        tensors |= {f"blk.{i}.attn_{x}": getattr(a, f"{x}_proj") for x in "qkv"}
        tensors |= {f"blk.{i}.ffn_{x}": getattr(m, f"{x}_proj") for x in ("gate", "up", "down")}
        tensors |= {f"blk.{i}.attn_output": a.o_proj, f"blk.{i}.attn_norm": block.input_layernorm}
        tensors |= {f"blk.{i}.ffn_norm": block.post_attention_layernorm}
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, module in tensors.items():
        weight, kind = module.weight.detach(), name.split(".")[-1]
        if name not in leave_out:
            writer.add_tensor(f"{name}.weight", (interleaved(weight, heads[kind]) if kind in heads else weight).numpy())
    for name in add:
        writer.add_tensor(name, torch.ones(4).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@needs_gguf
def test_gguf_is_the_folder_it_was_written_from(folder, tmp_path, ids, capfd):
    path = write_gguf(tmp_path / "model.gguf", folder)
    capfd.readouterr()
    network, own = llama(str(path)), llama(str(folder))
    assert capfd.readouterr() == ("", "")
    wanted = logits(own, ids)
    torch.testing.assert_close(logits(network, ids), wanted, rtol=0, atol=norm_rounding(wanted, 7))
    assert torch.equal(network.prepare(TEXT), own.prepare(TEXT))
    assert isinstance(network.prepare.tokenizer, Tokenizer) and network.prepare.name.startswith("tokenizer of 270 #")
    assert (network.weights, network.context, network.dtype) == (str(path), 24, torch.float32)
    assert itinf.check(network).ok and itinf.check(network.untrained(1)).ok


@needs_gguf
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"leave_out": ["blk.1.ffn_up"]}, r"is inconsistent: 1 tensors are missing, first model\.layers\.1\.mlp\.up"),
        ({"add": ["rope_freqs.weight"]}, r"ignores.*rope_freqs\.weight\. Give a Hugging Face folder"),
        ({"scaling": "yarn"}, r"ignores.*scaled by the rule 'yarn'"),
        ({"architecture": "qwen2"}, r"type 'qwen2'; expected 'llama'"),
    ],
)
def test_gguf_files_that_would_be_another_model_are_refused(folder, tmp_path, change, message):
    path = write_gguf(tmp_path / "model.gguf", folder, **change)
    with pytest.raises(ItinfError, match=message):
        llama(str(path))


@needs_gguf
def test_gguf_that_is_absent_or_cut_short_is_refused(folder, tmp_path):
    path = write_gguf(tmp_path / "model.gguf", folder)
    cut(path)
    with pytest.raises(ItinfError, match=r"model\.gguf cannot be read as Llama .*Expected a complete GGUF file"):
        llama(str(path))
    with pytest.raises(ItinfError, match=r"There is no file .*modell\.gguf'\. Did you mean model\.gguf"):
        llama(str(tmp_path / "modell.gguf"))
