"""Which requests bring many ranges: all covered, none twice, no gap larger than stated."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from nwbswitch.analysis.access.byte_ranges import check_ranges, cut, planned, wasted
from nwbswitch.schemas.errors import InputFileError

DATA = np.random.default_rng(0).bytes(20_000)


def test_neighbours_are_joined_up_to_a_gap() -> None:
    ranges = [(500, 10), (0, 10), (20, 5), (15, 10), (100, 0)]
    assert planned(ranges, gap=5) == [(0, 25), (500, 10)]
    assert planned(ranges, gap=4) == [(0, 10), (15, 10), (500, 10)]
    assert planned(ranges, gap=475) == [(0, 510)]
    assert planned([]) == planned([(7, 0)]) == []


def test_long_ones_are_split_evenly() -> None:
    assert planned([(10, 100)], piece=40) == [(10, 33), (43, 33), (76, 34)]
    assert planned([(10, 100)], piece=100) == [(10, 100)]


@pytest.mark.parametrize("seed", range(30))
def test_every_range_is_cut_right_from_what_is_asked(seed: int) -> None:
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 19_000, 30)
    ranges = [(int(start), int(rng.integers(0, 1000))) for start in starts]
    gap, piece = int(rng.choice([0, 10, 500])), int(rng.choice([1, 100, 5000]))
    asked = planned(ranges, gap=gap, piece=piece)
    assert asked == sorted(asked)
    assert all(length <= piece for _, length in asked)
    assert all(one[0] + one[1] <= other[0] for one, other in pairwise(asked))
    found = [DATA[offset : offset + length] for offset, length in asked]
    assert cut(ranges, asked, found) == [DATA[offset : offset + length] for offset, length in ranges]
    needed = np.zeros(20_000, dtype=bool)
    for offset, length in ranges:
        needed[offset : offset + length] = True
    assert wasted(ranges, asked) == sum(length for _, length in asked) - needed.sum()


def test_ranges_outside_are_refused() -> None:
    check_ranges([(0, 10), (10, 0)], size=10, name="a")
    with pytest.raises(InputFileError, match="a: ends early: bytes 5 to 11 are needed, it has 10"):
        check_ranges([(0, 1), (5, 6)], size=10, name="a")
    for wrong in ((-1, 2), (2, -1)):
        with pytest.raises(ValueError, match="cannot begin at"):
            check_ranges([wrong], size=10, name="a")
