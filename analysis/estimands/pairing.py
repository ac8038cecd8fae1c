"""Which animals are compared with which: with themselves, or one group with another."""

from __future__ import annotations

from collections.abc import Sequence

ENOUGH_ANIMALS = 6
"""Animals of the smaller group that a verdict needs."""


def paired_animals(animals: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Return the animals that are compared with themselves; none when groups are compared.

    Within animals when at least two animals, and at least half of those of the arm, have both; unless that
    leaves too few for a verdict where the two groups, with what they share, have enough.
    """
    there = set(others)
    common = tuple(name for name in animals if name in there)
    if len(common) < 2 or 2 * len(common) < len(animals):
        return ()
    if len(common) < ENOUGH_ANIMALS <= min(len(animals), len(others)):
        return ()
    return common
