"""A design in one sentence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from nwbswitch.analysis.designs.controls import is_part_at_lag
from nwbswitch.analysis.designs.held_sessions import Comparison, Held, days_between, sessions_in_order
from nwbswitch.analysis.designs.treatments import by_number, dose_words
from nwbswitch.analysis.verdicts.arm_analysis import NO_DRUG
from nwbswitch.schemas.species import MOUSE

ANIMALS = {MOUSE: ("mouse", "mice"), "Rattus norvegicus": ("rat", "rats")}


def sentence_of(held: Sequence[Held], comparisons: Sequence[Comparison]) -> str:
    """Return who was given what in which order, and what is compared with what."""
    if not held:
        return "No session is included."
    animals = sessions_in_order(held)
    noun = ANIMALS.get(next(iter({each.species for each in held}), ""), ("animal", "animals"))
    if len({each.species for each in held}) > 1:
        noun = ("animal", "animals")
    orders = {
        animal: tuple(
            dict.fromkeys(
                each.arm
                for one in own
                for each in held
                if (each.animal, each.session) == (animal, one.session) and not is_part_at_lag(each.arm)
            )
        )
        for animal, own in animals.items()
    }
    names = {arm: _arm_words(held, arm) for arm in {each.arm for each in held}}
    sequences = [
        tuple(
            dict.fromkeys(
                " then ".join(
                    each.arm for each in held if (each.animal, each.session) == (animal, one.session)
                )
                for one in own
            )
        )
        for animal, own in animals.items()
    ]
    said = order_words(orders, names=names, noun=noun, sequences=sequences).removesuffix(".")
    within = in_session_words(held)
    said += f", {within}" if within else ""
    repeated = _repeats(held)
    said += f", {repeated}" if repeated else ""
    gap = gap_words(animals)
    said += f", {gap}" if gap else ""
    compared = comparison_words(comparisons, noun[1])
    return f"{said}; {compared}." if compared else f"{said}."


def in_session_words(held: Sequence[Held]) -> str:
    """Return how many doses one session had at most, and whether they add up; empty for one."""
    parts = Counter((each.animal, each.session) for each in held if not is_part_at_lag(each.arm))
    several = max(parts.values(), default=1)
    if several > 1:
        cumulative = any(", cumulative " in each.arm for each in held)
        return f"up to {several} {'cumulative ' * cumulative}doses in one session"
    given = max((len(each.doses) for each in held), default=0)
    return f"up to {given} injections in one session, which are one arm" if given > 1 else ""


def _repeats(held: Sequence[Held]) -> str:
    n = Counter((each.animal, each.arm) for each in held)
    most, least = max(n.values()), min(n.values())
    if most == 1:
        return ""
    return f"{most} sessions of each" if most == least else f"{least} to {most} sessions of each"


def _arm_words(held: Sequence[Held], arm: str) -> str:
    """Return an arm with dose and route, where all its sessions have the same."""
    own = [each for each in held if each.arm == arm]
    rows = [row for each in own for row in each.deciding]
    if not rows or " after" in arm or " with " in arm or "cumulative" in arm or "#" in arm:
        return arm
    stem, *added = arm.split("+")
    substances = {row.substance.lower() for row in rows}
    doses, routes = {dose_words(row) for row in rows}, {row.route for row in rows}
    dose = next(iter(doses)) if len(doses) == 1 else ""
    route = next(iter(routes)) if len(routes) == 1 else ""
    name = (
        next(iter(substances)) if len(substances) == 1 and dose and stem.startswith(min(substances)) else stem
    )
    words = [name, *([dose] if dose and dose not in name else []), *([route] if route else [])]
    return " and ".join([" ".join(words), *added])


def gap_words(animals: Mapping[str, Sequence[Held]]) -> str:
    """Return the time between sessions of one animal, empty where it is not known or there is one session."""
    days = [days_between(one, two) for own in animals.values() for one, two in pairwise(own)]
    if not days or any(math.isnan(each) for each in days):
        return ""
    low, high = min(days), max(days)
    if round(low) == round(high) and round(low) >= 1:
        return f"{round(low)} day{'s' * (round(low) != 1)} apart"
    if high < 1:
        return f"{low * 24:.3g} to {high * 24:.3g} h apart" if high > low else f"{low * 24:.3g} h apart"
    return f"{low:.2g} to {high:.3g} days apart" if low < 1 else f"{round(low)} to {round(high)} days apart"


def comparison_words(comparisons: Sequence[Comparison], animals: str = "animals") -> str:
    """Return what is compared with what; references and arms without a drug are left out."""
    references = {each.reference for each in comparisons}
    # A control of which parts are compared with is itself none of what is compared.
    references |= {name.rpartition(", ")[0] for name in references if is_part_at_lag(name)}
    groups: dict[tuple[str, str], list[str]] = {}
    for each in comparisons:
        if each.arm not in references and each.arm != NO_DRUG:
            groups.setdefault((each.reference, each.kind), []).append(each.arm)
    said = []
    for (reference, kind), arms in groups.items():
        verb = "is" if len(arms) == 1 else "are each"
        where = "" if kind == "pseudo" else f" {kind} {animals}"
        # Names of arms may hold commas.
        mark = "; " if any("," in arm for arm in arms) else ", "
        said.append(f"{and_words(arms, mark)} {verb} compared with {reference}{where}")
    return "; ".join(said)


def order_words(
    orders: Mapping[str, tuple[str, ...]],
    *,
    names: Mapping[str, str] | None = None,
    noun: tuple[str, str] = ("animal", "animals"),
    sequences: Sequence[tuple[str, ...]] = (),
) -> str:
    """Return how many animals were given which arms in which order.

    Parameters
    ----------
    orders
        Arms of each animal by time, each once.
    names
        What arms are called.
    noun
        One and several of the animals.
    sequences
        Sessions of each animal by time, each by what was given in it, where one may have several arms.
    """
    called = {arm: arm for own in orders.values() for arm in own} | dict(names or {}) | {NO_DRUG: "no drug"}
    groups = Counter(tuple(sorted(own, key=by_number)) for own in orders.values())
    n = len(orders)
    head = f"{n} {noun[n != 1]}"
    if len(groups) == 1:
        (arms,) = groups
        if arms == (NO_DRUG,):
            return f"{head}, no drug."
        order = f" in {_order(sequences or list(orders.values()))} order" if len(arms) > 1 and n > 1 else ""
        return (
            f"{head}, {'each ' if n > 1 else ''}received {and_words([called[arm] for arm in arms])}{order}."
        )
    parts = [
        f"{count} "
        + ("without a drug" if arms == (NO_DRUG,) else f"received {and_words([called[a] for a in arms])}")
        for arms, count in sorted(groups.items())
    ]
    return f"{head}: {', '.join(parts)}."


def _order(orders: Sequence[tuple[str, ...]]) -> str:
    """Return how the order of the arms differs; counterbalanced has each arm equally often in each place."""
    if len(set(orders)) == 1:
        return "the same"
    if len({len(each) for each in orders}) > 1:
        return "varying"
    for place in zip(*orders, strict=True):
        shares = [place.count(arm) for arm in orders[0]]
        if max(shares) - min(shares) > 1:
            return "varying"
    return "counterbalanced"


def and_words(words: Sequence[str], mark: str = ", ") -> str:
    """Return words as a list in a sentence."""
    return words[0] if len(words) == 1 else f"{mark.join(words[:-1])} and {words[-1]}"
