"""Networks that tell nothing, or too little: every number that a transfer lacks has a reason."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import itinf
from itinf import IGNORED
from itinf.data.clusters import batches, keyed_order
from itinf.data.items import as_data
from itinf.lenses.fit import fit
from itinf.lenses.transfer.matrix import TransferMatrix, half_of
from itinf.lenses.transfer.retention import Retention
from itinf.lenses.transfer.transfer import transfer
from itinf.results.folder import ResultsFolder
from itinf.results.reasons import BEYOND_WINDOW, ONE_HALF_EMPTY, REASONS, TOO_FEW_CLUSTERS
from itinf.results.sums import SUMS
from lens_oracles import carrying, case, labelled
from oracles import normal

WIDTH = 12


def changed(change):
    network = carrying()
    with torch.no_grad():
        change(network)
    return network


def zero(network):
    for parameter in [*network.model.parameters(), *network.model.buffers()]:
        parameter.zero_()


def constant(network):
    network.head.weight.zero_()


def overconfident(network):
    network.head.weight.mul_(1e4)


CASES = {"zero weights": zero, "constant logits": constant, "overconfident": overconfident, "as it is": lambda _: None}


def complete(result, seen=()):
    """Every row has a number with an interval, or a reason that is known."""
    for table in (result.table, result.summaries):
        lacking = table[["mean", "lo", "hi"]].isna().any(axis=1)
        assert (table.loc[lacking, "reason"] != "").all(), table.loc[
            lacking & (table["reason"] == ""), "measure"
        ].unique()
        assert (table.loc[~lacking, "reason"] == "").all()
        assert set(table.loc[lacking, "reason_code"]) <= set(REASONS)
    assert set(seen) <= set(result.table["reason_code"])
    return result


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("labels", ["own", "one class"])
def test_degenerate_networks(name, labels):
    network = changed(CASES[name])
    items = labelled(network, normal(160, WIDTH), 1)
    items = items if labels == "own" else [(x, 0) for x, _ in items]
    lens = fit(network, items[:80])
    result = complete(transfer(network, lens, items[80:], replicates=20, precision=0.0))
    retention = result.table[result.table["measure"] == "retention"]
    if name in ("zero weights", "constant logits"):
        assert retention["mean"].isna().all() and len(result.table) > 100
    elif labels == "own":
        assert retention["mean"].notna().any()


@pytest.mark.parametrize("clusters", [4, 7, 8, 12])
def test_few_clusters(clusters):
    network = carrying()
    lens = fit(network, labelled(network, normal(200, WIDTH), 1))
    items = labelled(network, normal(clusters, WIDTH, seed=3), 2)
    complete(transfer(network, lens, items, replicates=20), seen=[TOO_FEW_CLUSTERS.code] if clusters < 8 else [])


def test_no_unit_with_a_target():
    network = carrying()
    lens = fit(network, labelled(network, normal(200, WIDTH), 1))
    unknown = [(x, IGNORED) for x, _ in labelled(network, normal(20, WIDTH, seed=3), 2)]
    with pytest.raises(itinf.ItinfError, match="None of 20 items of list, spread over the data, has a target"):
        transfer(network, lens, unknown, replicates=20)


def test_a_window_that_was_placed_too_low_gives_no_number():
    found = case("carrying")
    network, data = found.network, as_data(labelled(carrying(), normal(100, WIDTH, seed=4), 4), "image")
    order = keyed_order(data, None, 0)
    low = TransferMatrix(network, found.lens, found.grid.cells, found.grid.windows / 50, 0, 20)
    one = TransferMatrix(network, found.lens, found.grid.cells, found.grid.windows, 0, 20)
    (batch,) = batches(data, order, 100)
    low.add(network, batch)
    cell = next(cell for cell in low.cells if cell.off_diagonal)
    assert low.why_unreadable(cell, "label") == BEYOND_WINDOW
    assert Retention(low, "label").of(cell)[0] is None
    first = order.part(np.flatnonzero(half_of(order.keys) == 0))
    (batch,) = batches(data, first, 100)
    one.add(network, batch)
    assert one.why_unreadable(cell, "label") == ONE_HALF_EMPTY


def begun(network, lens, items, folder, monkeypatch):
    """Interrupts a transfer after its first check."""

    def interrupted(stage, done, total):
        if done >= 128:
            raise KeyboardInterrupt

    monkeypatch.setattr(ResultsFolder, "due", lambda folder: True)
    with pytest.raises(KeyboardInterrupt):
        transfer(network, lens, items, replicates=20, precision=0.0, out=folder, progress=interrupted)
    assert (folder / SUMS).exists()


def test_a_half_finished_transfer_goes_on_or_begins_again(tmp_path, monkeypatch, caplog):
    network = carrying()
    lens = fit(network, labelled(network, normal(200, WIDTH), 1))
    items = labelled(network, normal(200, WIDTH, seed=3), 2)
    expected = transfer(network, lens, items, replicates=20, precision=0.0)
    for name in ("kept", "of an older itinf"):
        folder = tmp_path / name
        begun(network, lens, items, folder, monkeypatch)
        if name != "kept":  # it had one temperature for each cell, and no number of its format
            arrays = load_file(folder / SUMS) | {"betas": np.ones((2, 3))}
            save_file(arrays, folder / SUMS, metadata={"itinf": json.dumps({"columns": [], "cells": []})})
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="itinf"):
            result = transfer(network, lens, items, replicates=20, precision=0.0, out=folder)
        assert ("begun by another version of itinf" in caplog.text) == (name != "kept")
        assert result.table.equals(expected.table) and result.summaries.equals(expected.summaries)
