"""What items hold is part of a study: replaced under their names, they are noticed."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

import itinf
from itinf import ItinfError
from itinf.data.clusters import content_of, identity_of
from itinf.data.items import as_data
from itinf.files import difference
from itinf.results.manifest import MANIFEST
from itinf.studies.fitting_data import UnmeasuredClusters
from itinf.studies.lens_study import fit_or_load
from tiny import gpt2, resnet, save_always, tokens
from vision.images import images

CHANGED = "data.content has changed: items have the names that they had then"
PROBES = [itinf.Performance()]
SETTINGS = {"replicates": 4, "group": 8, "batch": 8, "calibration": 8}


def paint(folder, number, seed):
    place = folder / str(number % 10)
    place.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([number, seed]).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(place / f"{number}.png")


@pytest.fixture
def folder(tmp_path):
    for number in range(40):
        paint(tmp_path / "photographs", number, 0)
    return tmp_path / "photographs"


class StoppedError(Exception):
    pass


def stop(stage, done, total):
    if stage == "observed" and done >= 16:
        raise StoppedError


@pytest.mark.parametrize("finished", [False, True])
def test_one_replaced_image_is_noticed(folder, tmp_path, monkeypatch, finished):
    save_always(monkeypatch)
    network, out = resnet(), tmp_path / "out"

    def measure(**more):
        return itinf.probe(network, images(str(folder), network), PROBES, out=out, **SETTINGS, **more)

    if finished:
        measure()
    else:
        with pytest.raises(StoppedError):
            measure(progress=stop)
    before = (out / MANIFEST).read_bytes()
    original = (folder / "7" / "17.png").read_bytes()
    paint(folder, 17, 1)
    with pytest.raises(ItinfError, match=f"out holds another study: {CHANGED}"):
        measure()
    assert (out / MANIFEST).read_bytes() == before
    (folder / "7" / "17.png").write_bytes(original)
    assert measure().clusters == 40


def test_only_what_is_read_counts(folder):
    data = images(str(folder), resnet())
    names = [data.key(index) for index in range(40)]
    chosen = [names.index("7/17.png"), names.index("0/0.png")]
    whole, some = content_of(data, range(40)), content_of(data, chosen)
    assert content_of(data, chosen[::-1]) == some != whole
    paint(folder, 5, 1)
    assert content_of(data, chosen) == some and content_of(data, range(40)) != whole
    (folder / "1" / "new.png").write_bytes((folder / "1" / "1.png").read_bytes())
    copied = images(str(folder), resnet())
    place = {copied.key(index): index for index in range(41)}
    assert content_of(copied, [place["7/17.png"], place["0/0.png"]]) == some  # wherever they stand
    one, same = (content_of(copied, [place[name]]) for name in ("1/1.png", "1/new.png"))
    assert one != same  # the same bytes under two names are two items


def test_the_same_image_in_another_class_is_another_item(folder):
    network = resnet()
    first = content_of(images(str(folder), network), range(40))
    network.classes = [str(k) for k in (1, 0, *range(2, 10))]
    assert content_of(images(str(folder), network), range(40)) != first


def test_shards_of_other_content_are_not_merged(folder, tmp_path):
    network = resnet()

    def shard(number):
        data = images(str(folder), network)
        return itinf.probe(network, data, PROBES, shard=(number, 2), **SETTINGS)

    first, second = shard(0), shard(1)
    assert itinf.results.probe_result.merge([first, second]).clusters == 40
    paint(folder, 3, 1)
    with pytest.raises(ItinfError, match=f"not of one study: {CHANGED}"):
        itinf.results.probe_result.merge([first, shard(1)])


def test_data_in_memory(tmp_path):
    """Also an item that the name, a hash of 64 spread items, says nothing about."""
    draw = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(200, 3, 8, 8, generator=draw), torch.arange(200) % 10
    network, out = resnet(), tmp_path / "out"
    itinf.probe(network, TensorDataset(inputs, targets), PROBES, out=out, **SETTINGS)
    spread = {round(place) for place in np.linspace(0, 199, 64)}
    place = next(place for place in range(200) if place not in spread)
    inputs[place, 0, 0, 0] += 1
    changed = TensorDataset(inputs, targets)
    with pytest.raises(ItinfError, match=CHANGED):
        itinf.probe(network, changed, PROBES, out=out, **SETTINGS)
    inputs[place, 0, 0, 0] -= 1
    inputs[place] = inputs[place].clone()
    targets[place] = (targets[place] + 1) % 10
    with pytest.raises(ItinfError, match=CHANGED):
        itinf.probe(network, changed, PROBES, out=out, **SETTINGS)


def test_lenses_and_transfers_know_what_they_read(folder, tmp_path):
    network = gpt2()
    items = [torch.cat([ids, targets[-1:]]) for ids, targets in (tokens(40, seed=1)[k] for k in range(40))]
    data, other = as_data(items, "token"), [ids.clone() for ids in items]
    unseen = next(k for k in range(40) if k not in {round(i) for i in np.linspace(0, 39, 64)} or k == 11)
    lens, _ = fit_or_load(network, data, "affine", 240, 0, tmp_path / "lenses")
    assert lens.record["content"] == content_of(data, range(40))
    moved = itinf.transfer(network, lens, data, out=tmp_path / "moved", replicates=4)
    assert moved.manifest["data"]["content"] == lens.record["content"]
    other[unseen][0] = (other[unseen][0] + 1) % 15
    other = as_data(other, "token")
    other.name = data.name  # as if nothing had been seen of it
    with pytest.raises(ItinfError, match=f"holds another study's lenses: {CHANGED}"):
        fit_or_load(network, other, "affine", 240, 0, tmp_path / "lenses")
    with pytest.raises(ItinfError, match=f"another transfer: {CHANGED}"):
        itinf.transfer(network, lens, other, out=tmp_path / "moved", replicates=4)


def test_what_is_left_to_fit_on_has_its_own_content(folder):
    data = images(str(folder), resnet())
    rest = UnmeasuredClusters(data, 30, 0)
    assert content_of(rest, range(10)) == content_of(data, rest.indices)
    assert identity_of(tokens(4), range(4)).keys() == {
        "name",
        "note",
        "unit",
    }  # without content: the note has to say it
    assert content_of(UnmeasuredClusters(tokens(8), 4, 0), range(4)) is None


def test_a_study_of_an_older_itinf_goes_on(folder, tmp_path, monkeypatch):
    """Its record has no content, and no word on the inputs."""
    save_always(monkeypatch)
    network, out = resnet(), tmp_path / "out"
    whole = itinf.probe(network, images(str(folder), network), PROBES, **SETTINGS)
    with pytest.raises(StoppedError):
        itinf.probe(network, images(str(folder), network), PROBES, out=out, progress=stop, **SETTINGS)
    record = json.loads((out / MANIFEST).read_text())
    record["data"].pop("content")
    for name in ("input", "classes_by"):
        record["data"]["note"].pop(name)
    (out / MANIFEST).write_text(json.dumps(record))
    resumed = itinf.probe(network, images(str(folder), network), PROBES, out=out, **SETTINGS)
    assert resumed.table.equals(whole.table)
    shutil.rmtree(out)


def test_comments_are_no_difference(folder, tmp_path):
    network, out = resnet(), tmp_path / "out"
    itinf.probe(network, images(str(folder), network), PROBES, out=out, **SETTINGS)
    (folder / "README.md").write_text("about these images")
    assert itinf.probe(network, images(str(folder), network), PROBES, out=out, **SETTINGS).clusters == 40


@pytest.mark.parametrize(
    ("here", "there", "why"),
    [
        ({"data": {"content": "a"}, "units": 1}, {"data": {"content": "b"}, "units": 2}, "units is 1 here and 2 there"),
        ({"data": {"content": "a"}, "units": 1}, {"data": {"content": "b"}, "units": 1}, "data.content has changed"),
        ({"data": {"content": "a"}}, {"data": {}}, None),
        ({"data": {}}, {"data": {"content": "a"}}, None),
        ({"data": {"note": {"doubts": ["a"]}}}, {"data": {"note": {}}}, None),
        ({"note": {"input": {"from": "a"}}}, {"note": {"input": {"from": "b"}}}, None),
        ({"note": {"input": {"mean": 0}}}, {"note": {"input": {"mean": 1}}}, "note.input.mean is 0 here and 1 there"),
    ],
)
def test_differences(here, there, why):
    found = difference(here, there)
    assert found is None if why is None else found.startswith(why)
