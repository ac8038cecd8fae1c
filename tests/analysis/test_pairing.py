"""Within animals where there are enough, else between groups."""

from __future__ import annotations

import pytest

from nwbswitch.analysis.estimands.pairing import paired_animals


def _names(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"m{place:02d}" for place in range(first, last + 1))


@pytest.mark.parametrize(
    ("animals", "others", "paired"),
    [
        (_names(1, 8), _names(1, 8), _names(1, 8)),
        (_names(1, 3), _names(1, 3), _names(1, 3)),
        # two of eight have no reference: they are left out
        (_names(1, 8), _names(3, 8), _names(3, 8)),
        # four of eight have both; eight against eight is enough for a verdict, four is not
        (_names(1, 8), _names(5, 12), ()),
        # four against ten would not be enough either
        (_names(1, 4), _names(1, 10), _names(1, 4)),
        (_names(1, 5), _names(1, 12), _names(1, 5)),
        # less than half
        (_names(1, 12), _names(8, 20), ()),
        (_names(1, 2), _names(2, 3), ()),
        (_names(1, 6), _names(7, 12), ()),
    ],
)
def test_who_is_compared_with_whom(
    animals: tuple[str, ...], others: tuple[str, ...], paired: tuple[str, ...]
) -> None:
    assert paired_animals(animals, others) == paired
