"""The table of lens kinds, and a kind of the user's own everywhere that kinds are used."""

from dataclasses import replace
from functools import partial
from importlib.metadata import EntryPoint

import pytest
import torch

import itinf
import tiny
from itinf import ItinfError, registry
from itinf.data.items import as_data
from itinf.lenses.affine import solve
from itinf.lenses.fit import closed_form_lens, fit
from itinf.lenses.kinds import BUILT_IN, LensKind, either, lens_kind, lens_kind_names, lens_kinds
from itinf.lenses.lens import Lens
from itinf.lenses.transfer.cells import cells_of
from itinf.lenses.transfer.transfer import transfer
from itinf.lenses.translator import Translator
from itinf.studies.lens_study import fit_or_load

register_lens_kind = partial(itinf.register, group="lens_kinds")


def stiff(network, statistics):
    """Least squares with a ridge of its own, the same for every state."""
    return [Translator.of(*solve(moments, 0.25)) for moments in statistics.fitted]


def halved(network, data, start, recipe, **options):
    """A start with all its maps halved."""
    translators = [Translator(t.weight.detach() / 2, t.bias.detach() / 2) for t in start.translators]
    return replace(start, translators=translators, record=start.record | {"recipe": recipe, "seed": options["seed"]})


STIFF = LensKind("stiff", "least squares with one fixed ridge", stiff)
HALVED = LensKind("halved", "half of the stiff lens", stiff, tune=halved)
ONE = LensKind("one", "one map for all states", stiff, shared=True)


@pytest.fixture(autouse=True)
def own_session(monkeypatch):
    monkeypatch.setitem(registry._session, "lens_kinds", {})


@pytest.fixture(scope="module")
def network():
    return tiny.gpt2()


def test_every_built_in_kind_does_what_the_table_says(network):
    data = tiny.tokens(80)
    assert either(BUILT_IN) == "affine, tuned, shared or logit" and list(BUILT_IN) == lens_kinds()
    for kind in BUILT_IN:
        lens = fit(network, data, kind.name)
        assert lens.kind == kind.name and kind.summary
        assert kind.closed_form == ("recipe" not in lens.record)
        if not kind.closed_form:
            with pytest.raises(ItinfError, match=r"no closed form; expected affine, shared or logit\."):
                closed_form_lens(network, lens.statistics, kind.name, {})
        if kind.transfers:
            assert sum(cell.diagonal for cell in cells_of(lens)) == len(lens.sites)
        else:
            with pytest.raises(ItinfError, match=r"one map for many states.*Fit a lens of kind affine or tuned"):
                transfer(network, lens, data)


def test_a_kind_of_the_session_is_fitted_saved_transferred_and_studied(network, tmp_path):
    data, path = tiny.tokens(80), tmp_path / "stiff.safetensors"
    with pytest.raises(ItinfError, match="There is no lens of kind 'stiff'"):
        fit(network, data, "stiff")
    assert register_lens_kind(STIFF) is STIFF and lens_kind("stiff") is STIFF
    lens = fit(network, data, "stiff")
    assert lens.kind == "stiff" and closed_form_lens(network, lens.statistics, "stiff", {}).kind == "stiff"
    lens.save(path)
    assert Lens.load(path, network).kind == "stiff"
    found = transfer(network, lens, tiny.tokens(60), precision=0.5, replicates=20)
    assert set(found.table["lens"]) == {"stiff", "logit", "shared", "shared, left out"}
    assert found.manifest["lens"]["kind"] == "stiff"
    own, one = fit_or_load(network, as_data(data, "token"), "stiff", 400, 0, tmp_path / "lenses")
    assert (own.kind, one.kind) == ("stiff", "shared")
    registry._session["lens_kinds"].clear()
    unknown = Lens.load(path, network)  # it reads as before; only what has to know the kind refuses it
    with pytest.raises(ItinfError, match="There is no lens of kind 'stiff'"):
        transfer(network, unknown, tiny.tokens(60))


def test_a_kind_that_is_tuned_gets_the_recipe(network):
    register_lens_kind(STIFF)
    register_lens_kind(HALVED)
    data = tiny.tokens(80)
    whole, half = fit(network, data, "stiff"), fit(network, data, "halved", recipe="gently", seed=0)
    assert half.kind == "halved" and half.record["recipe"] == "gently" and half.record["seed"] == 0
    for a, b in zip(whole.translators, half.translators, strict=True):
        assert torch.equal(a.weight / 2, b.weight)
    with pytest.raises(ItinfError, match="only tuned or halved lenses follow one"):
        fit(network, data, "stiff", recipe="gently")


def test_one_map_for_many_states_is_not_transferred(network, tmp_path):
    register_lens_kind(STIFF)
    register_lens_kind(ONE)
    data = tiny.tokens(80)
    with pytest.raises(ItinfError, match=r"A one lens has one map for many states.*affine, tuned or stiff"):
        transfer(network, fit(network, data, "one"), data)
    with pytest.raises(ItinfError, match=r"lens is 'one'; expected affine, tuned or stiff, or none"):
        fit_or_load(network, as_data(data, "token"), "one", None, 0, tmp_path)


def test_a_kind_of_another_package_joins_by_entry_point(monkeypatch, network):
    points = [
        EntryPoint("stiff", f"{__name__}:STIFF", "itinf.lens_kinds"),
        EntryPoint("gone", "no_such:KIND", "itinf.lens_kinds"),
    ]
    known = registry.entry_points
    mine = lambda group, name=None: [p for p in points if name in (None, p.name)]  # noqa: E731
    monkeypatch.setattr(
        registry, "entry_points", lambda group, **name: (mine if group == "itinf.lens_kinds" else known)(group, **name)
    )
    assert lens_kind_names() == ["affine", "tuned", "shared", "logit", "gone", "stiff"] and lens_kind("stiff") is STIFF
    assert fit(network, tiny.tokens(80), "stiff").kind == "stiff"  # a package that is broken harms its own kind only
    points[1:] = []
    for wrong in ("stiff", "HALVED"):
        points[0] = EntryPoint("stiff", f"{__name__}:{wrong}", "itinf.lens_kinds")
        with pytest.raises(ItinfError, match=r"lens kind 'stiff' is .*; expected an itinf\.LensKind of that name"):
            lens_kinds()


def test_built_in_names_are_taken():
    register_lens_kind(replace(STIFF, name="tuned"))
    with pytest.raises(ItinfError, match=r"'tuned', a built-in one. Give yours another name"):
        lens_kind("tuned")
    register_lens_kind(STIFF)
    again = replace(STIFF, summary="another")
    assert register_lens_kind(again) is lens_kind("stiff") is again
