"""All ways to exchange labels, against lists made by hand."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from nwbswitch.analysis.verdicts.relabelling import relabelling, smallest_p, ways


@pytest.mark.parametrize(
    ("n_one", "n_two", "shared"),
    [(4, 4, [(place, place) for place in range(4)]), (3, 2, []), (4, 3, [(1, 0), (3, 2)]), (2, 3, [(0, 1)])],
)
def test_every_arrangement_is_there_once(n_one: int, n_two: int, shared: list[tuple[int, int]]) -> None:
    found = relabelling(n_one, n_two, shared, most=10_000)
    kept = {(frozenset(row), frozenset(other)) for row, other in zip(found.first, found.second, strict=True)}
    pairs = [(one, n_one + two) for one, two in shared]
    alone = sorted(set(range(n_one + n_two)) - {each for pair in pairs for each in pair})
    expected = set()
    for choice in product((0, 1), repeat=len(pairs)):
        mine = {pair[pick] for pair, pick in zip(pairs, choice, strict=True)}
        for dealt in combinations(alone, n_one - len(pairs)):
            group = frozenset(mine | set(dealt))
            expected.add((group, frozenset(set(range(n_one + n_two)) - group)))
    assert kept == expected
    assert found.size == len(expected) == ways(n_one, n_two, len(shared))
    assert found.complete
    assert found.first[0].tolist() == list(range(n_one))
    assert found.second[0].tolist() == list(range(n_one, n_one + n_two))
    for one, two in shared:
        both = np.stack([found.first[:, one], found.second[:, two]], axis=1)
        assert (np.sort(both, axis=1) == (one, n_one + two)).all()


def test_too_many_arrangements_are_drawn_and_repeat_with_the_seed() -> None:
    shared = [(0, 0), (1, 1)]
    found = relabelling(12, 10, shared, most=500, seed=3)
    assert (found.size, found.complete) == (501, False)
    assert found.first[0].tolist() == list(range(12))
    every = np.sort(np.concatenate([found.first, found.second], axis=1), axis=1)
    assert (every == np.arange(22)).all()
    again = relabelling(12, 10, shared, most=500, seed=3)
    assert (again.first == found.first).all()
    # each animal of neither both groups is as often in the first as its size says: 10 of 18
    share = np.mean([(found.first == row).any(axis=1) for row in range(2, 12)])
    assert share == pytest.approx(10 / 18, abs=0.02)


def test_totals_are_sums_of_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(7, 3))
    found = relabelling(4, 3, [(0, 2)], most=1000)
    expected = [
        [rows[one].sum(axis=0), rows[two].sum(axis=0)]
        for one, two in zip(found.first, found.second, strict=True)
    ]
    assert np.allclose(found.totals(rows), expected)


def test_the_smallest_p_counts_the_mirror_image() -> None:
    assert smallest_p(6, 6, 6) == 2 / 64
    assert smallest_p(5, 4, 0) == 1 / 126
    assert smallest_p(4, 4, 0) == 2 / 70
    assert smallest_p(3, 3, 1) == 2 / (2 * 6)
