"""The design of a study, read off its recording sessions and told in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nwbswitch.analysis.estimands.counts import SessionCounts, by_animal
from nwbswitch.analysis.verdicts.arm_analysis import NO_DRUG, arm_key


def design_sentence(sessions: Sequence[SessionCounts]) -> str:
    """Return who received what and in which order, e.g. for the head of a report."""
    animals = by_animal(sessions)
    groups = Counter(tuple(sorted({arm_key(each) for each in own})) for own in animals.values())
    if len(groups) == 1:
        (arms,) = groups
        each = "each received " if len(animals) > 1 else "received "
        if arms == (NO_DRUG,):
            return f"{_animals(len(animals))}, no drug."
        order = f" in {_order(animals)} order" if len(arms) > 1 and len(animals) > 1 else ""
        return f"{_animals(len(animals))}, {each}{_and(arms)}{order}."
    parts = [
        f"{count} {'received ' + _and(arms) if arms != (NO_DRUG,) else 'without a drug'}"
        for arms, count in sorted(groups.items())
    ]
    return f"{_animals(len(animals))}: {', '.join(parts)}."


def _order(animals: dict[str, list[SessionCounts]]) -> str:
    """Return how the order of the arms differs; counterbalanced has each arm equally often in each place."""
    orders = []
    for own in animals.values():
        given = sorted(own, key=lambda each: each.order)
        orders.append(tuple(dict.fromkeys(arm_key(each) for each in given)))
    if len(set(orders)) == 1:
        return "the same"
    for place in zip(*orders, strict=True):
        shares = [place.count(arm) for arm in orders[0]]
        if max(shares) - min(shares) > 1:
            return "varying"
    return "counterbalanced"


def _animals(n: int) -> str:
    return f"{n} animal{'s' * (n != 1)}"


def _and(arms: Sequence[str]) -> str:
    names = ["no drug" if arm == NO_DRUG else arm for arm in arms]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
