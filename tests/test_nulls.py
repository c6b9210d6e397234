"""Who is paired with whom."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from itinf import IGNORED
from itinf.data.clusters import groups
from itinf.statistics.nulls import neighbours, same_target

windows = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(st.sampled_from([IGNORED, 0, 1, 2, 3]), min_size=3, max_size=3), min_size=n, max_size=n),
        st.lists(st.integers(0, 2**64 - 1), min_size=n, max_size=n, unique=True),
        st.permutations(range(n)),
    )
)


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 9))
def test_neighbours_are_a_ring_inside_each_group(n, p, size):
    partner = neighbours((n, p), size).reshape(n, p)
    for group in groups(n, size):
        members = range(group.start, group.stop)
        if len(members) == 1:
            assert (partner[members] == -1).all()
            continue
        found, position = partner[members] // p, partner[members] % p
        assert (position == np.arange(p)).all()
        assert (found != np.array(members)[:, None]).all()
        for t in range(p):
            assert sorted(found[:, t]) == list(members)


@given(st.integers(1, 100), st.integers(1, 40))
def test_groups_cover_every_cluster_once(n, size):
    found = [i for g in groups(n, size) for i in range(g.start, g.stop)]
    assert found == list(range(n))
    assert all(g.stop - g.start == size for g in groups(n, size)[:-1])


@given(windows)
def test_partners_share_the_target_and_not_the_cluster(window):
    targets, keys = np.array(window[0]), np.array(window[1], dtype=np.uint64)
    p = targets.shape[1]
    flat, partner = targets.ravel(), same_target(targets, keys)
    for unit, other in enumerate(partner):
        alone = not any(flat[k] == flat[unit] and k // p != unit // p for k in range(len(flat)))
        if flat[unit] == IGNORED or alone:
            assert other == -1
        elif other >= 0:
            assert flat[other] == flat[unit] and other // p != unit // p
        else:  # only where more units of the own cluster follow than are looked at
            assert (targets[unit // p] == flat[unit]).sum() > 8


@given(windows)
def test_partners_do_not_depend_on_the_order_of_clusters(window):
    targets, keys, order = np.array(window[0]), np.array(window[1], dtype=np.uint64), np.array(window[2])
    p = targets.shape[1]
    plain, moved = same_target(targets, keys).reshape(-1, p), same_target(targets[order], keys[order]).reshape(-1, p)
    for place, cluster in enumerate(order):
        for t in range(p):
            a, b = plain[cluster, t], moved[place, t]
            assert (a < 0) == (b < 0)
            if a >= 0:
                assert (a // p, a % p) == (order[b // p], b % p)


def test_partners_of_images_of_one_class_are_a_ring():
    targets = np.zeros((6, 1), dtype=np.int64)
    partner = same_target(targets, np.arange(1, 7, dtype=np.uint64) * np.uint64(977))
    seen, here = [], 0
    for _ in range(6):
        seen.append(here)
        here = int(partner[here])
    assert here == 0 and sorted(seen) == list(range(6))
