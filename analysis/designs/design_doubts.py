"""What a comparison may owe to something else than the drug: order, washout, animals, day and control."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from nwbswitch.analysis.designs.controls import differences
from nwbswitch.analysis.designs.held_sessions import (
    Comparison,
    Held,
    animals_of,
    days_between,
    sessions_in_order,
)
from nwbswitch.analysis.designs.treatments import doses_in
from nwbswitch.analysis.verdicts.arm_analysis import NO_DRUG
from nwbswitch.schemas.drug_log import Role
from nwbswitch.schemas.issues import Issue, Place, issue

MIN_SHARE_APART = 0.5
"""Shares of females in two groups that differ by at least this are called unbalanced."""
MIN_HOURS_APART = 2.0
MIN_AGE_RATIO = 1.25
STATED_DAYS_TOLERANCE = 0.5

Rule = Callable[[Sequence[Held], Comparison], Iterator[Issue]]


def design_doubts(
    held: Sequence[Held], left_out: Sequence[Held], comparisons: Sequence[Comparison]
) -> tuple[Issue, ...]:
    """Return every doubt once: those of single sessions first, then those of each comparison."""
    found = [*_washouts(held), *_orders_stated(held), *_unknown(held, left_out), *_mixtures(held)]
    for each in comparisons:
        if each.arm != NO_DRUG:
            for rule in RULES:
                found += rule(held, each)
    found += _no_reference(held, comparisons)
    return tuple(dict.fromkeys(found))


def _washouts(held: Sequence[Held]) -> Iterator[Issue]:
    for animal, own in sessions_in_order(held).items():
        for one, two in pairwise(own):
            days = days_between(one, two)
            place = Place(item=f"{animal}/{two.session}")
            stated = [row.washout_days for row in two.log if row.washout_days is not None]
            tested = any(not dose.is_control for dose in one.doses)
            if stated and tested and days < max(stated) - STATED_DAYS_TOLERANCE:
                problem = f"{max(stated):g} days of washout are stated, "
                problem += f"and the session before was {days:.2g} days earlier."
                remedy = "Correct start_time or washout_days."
                yield issue("design-washout", problem, place=place, remedy=remedy)
            elif tested and days < 1:
                problem = f"It began {days * 24:.3g} h after the session with {one.arm}, on the same day."
                remedy = (
                    "See the check for carry-over: baselines after the drug against those after the control."
                )
                yield issue("design-washout", problem, place=place, remedy=remedy)


def _orders_stated(held: Sequence[Held]) -> Iterator[Issue]:
    for animal, own in sessions_in_order(held).items():
        stated = [
            min((row.crossover_order for row in one.log if row.crossover_order is not None), default=None)
            for one in own
        ]
        known = [each for each in stated if each is not None]
        if known != sorted(known):
            problem = (
                f"Animal {animal}: the drug logs state the order {known}, and the sessions began in another."
            )
            remedy = "Correct start_time or crossover_order."
            yield issue("design-order", problem, place=Place(item=animal), remedy=remedy)


def _unknown(held: Sequence[Held], left_out: Sequence[Held]) -> Iterator[Issue]:
    timeless = [each for each in held if each.start_time is None]
    several = {animal for animal, own in sessions_in_order(held).items() if len(own) > 1}
    if any(each.animal in several for each in timeless):
        n = len({(each.animal, each.session) for each in timeless})
        problem = (
            f"{n} sessions state no start: washout and time of day are not known, the order is as given."
        )
        yield issue("design-gap", problem, remedy="State start_time in the overrides.")
    arms = {each.arm for each in held}
    for arm in sorted({each.arm for each in left_out if each.log} - arms):
        n = sum(each.arm == arm for each in left_out)
        problem = f"The arm {arm} has no animal: all of its sessions ({n}) are left out."
        yield issue(
            "design-gap", problem, place=Place(item=arm), remedy="See the reasons in the table of arms."
        )


def _mixtures(held: Sequence[Held]) -> Iterator[Issue]:
    seen = Counter(
        " and ".join(sorted(names))
        for each in held
        for dose in doses_in(each.log)
        for names in [
            {row.substance.lower() for row in dose.rows if row.role is Role.TEST and not row.is_control}
        ]
        if len(names) > 1
    )
    for names, n in sorted(seen.items()):
        problem = f"In {n} sessions {names} were given together; what either does cannot be told apart."
        remedy = "If one of them is an anaesthetic or antagonist, state its role."
        yield issue("design-doses", problem, remedy=remedy)


def _order(held: Sequence[Held], compared: Comparison) -> Iterator[Issue]:
    if compared.kind != "within":
        return
    ranks = {
        arm: {each.animal: each.order for each in held if each.arm == arm}
        for arm in (compared.arm, compared.reference)
    }
    both = sorted(set(ranks[compared.arm]) & set(ranks[compared.reference]))
    signs = [ranks[compared.arm][name] - ranks[compared.reference][name] for name in both]
    apart = [sign for sign in signs if sign != 0]
    if not apart and not _one_session(held, compared, both):
        problem = f"In no animal is it known whether {compared.arm} or {compared.reference} came first."
        yield issue("design-order", problem, remedy="State start_time in the overrides.")
    elif not apart:
        problem = f"{compared.arm} and {compared.reference} follow each other in one session in all animals: "
        problem += "what time does cannot be told from what the drug does."
        yield issue("design-order", problem, remedy="Compare with sessions that have the control twice.")
    elif len(apart) > 1 and (all(sign > 0 for sign in apart) or all(sign < 0 for sign in apart)):
        first, last = compared.reference, compared.arm
        if apart[0] < 0:
            first, last = last, first
        problem = f"In all {len(apart)} animals {first} came before {last}: "
        problem += "order and drug cannot be told apart."
        remedy = "Counterbalance, or compare with sessions that repeat the control."
        yield issue("design-order", problem, remedy=remedy)


def _one_session(held: Sequence[Held], compared: Comparison, animals: Sequence[str]) -> bool:
    """Return whether the animals had both arms in the same sessions."""
    had = {
        arm: {(each.animal, each.session) for each in held if each.arm == arm and each.animal in animals}
        for arm in (compared.arm, compared.reference)
    }
    return bool(had[compared.arm] & had[compared.reference])


def _time_of_day(held: Sequence[Held], compared: Comparison) -> Iterator[Issue]:
    own, others = (
        [each.time_of_day_h for each in held if each.arm == arm and math.isfinite(each.time_of_day_h)]
        for arm in (compared.arm, compared.reference)
    )
    if len(own) < 2 or len(others) < 2:
        return
    gap = max(min(own) - max(others), min(others) - max(own))
    if gap > 0 and abs(sum(own) / len(own) - sum(others) / len(others)) >= MIN_HOURS_APART:
        early, late = (compared.arm, compared.reference)
        if min(own) > max(others):
            early, late = late, early
        problem = f"All sessions with {early} were earlier in the day than all with {late}."
        yield issue("design-balance", problem, remedy="Activity depends on the hour; randomise it.")


def _sex_and_age(held: Sequence[Held], compared: Comparison) -> Iterator[Issue]:
    if compared.kind != "between":
        return
    own, others = (
        {each.animal: each for each in held if each.arm == arm} for arm in (compared.arm, compared.reference)
    )
    shares, counts = [], []
    for group in (own, others):
        known = [each.sex for each in group.values() if each.sex in ("F", "M")]
        if len(known) < 2:
            break
        shares.append(known.count("F") / len(known))
        counts.append(f"{known.count('F')} F, {known.count('M')} M")
    if len(shares) == 2 and abs(shares[0] - shares[1]) >= MIN_SHARE_APART:
        problem = f"Sexes are unbalanced: {compared.arm} has {counts[0]}, {compared.reference} {counts[1]}."
        yield issue("design-balance", problem, remedy="What the drug does cannot be told from what sex does.")
    ages = [
        [each.age_days for each in group.values() if math.isfinite(each.age_days)] for group in (own, others)
    ]
    if min(map(len, ages)) >= 2:
        low, high = sorted(ages, key=lambda each: sum(each) / len(each))
        if max(low) < min(high) and min(high) >= MIN_AGE_RATIO * max(low):
            problem = f"All animals with {compared.arm} differ in age from all with {compared.reference}: "
            problem += f"up to {max(low):.4g} days against {min(high):.4g} and more."
            yield issue("design-balance", problem)


def _groups(held: Sequence[Held], compared: Comparison) -> Iterator[Issue]:
    told: tuple[tuple[str, Callable[[Held], str]], ...] = (
        ("Batch", lambda each: each.batch),
        ("Genotype", lambda each: each.genotype),
        ("Anaesthesia", lambda each: each.anaesthesia),
    )
    for name, of in told:
        own, others = (
            {of(each) for each in held if each.arm == arm and of(each)}
            for arm in (compared.arm, compared.reference)
        )
        if own and others and not own & others:
            problem = f"{name} and arm are one: {compared.arm} was recorded in {_some(own)}, "
            problem += f"{compared.reference} in {_some(others)}."
            remedy = f"What the drug does cannot be told from what the {name.lower()} does."
            yield issue("design-balance", problem, remedy=remedy)


def _control(held: Sequence[Held], compared: Comparison) -> Iterator[Issue]:
    if compared.kind == "pseudo":
        return
    rows, control = (
        [row for each in held if each.arm == arm for row in each.deciding]
        for arm in (compared.arm, compared.reference)
    )
    found = differences(rows, control) if rows and control else []
    if found:
        problem = f"The control {compared.reference} of {compared.arm} {' and '.join(found)}."
        yield issue("design-control", problem, remedy="The injection itself may differ.")


def _left_over(held: Sequence[Held], compared: Comparison) -> Iterator[Issue]:
    if compared.kind == "within" and compared.n_both < compared.n_animals:
        lacking = sorted(animals_of(held, compared.arm) - animals_of(held, compared.reference))
        problem = f"{len(lacking)} of {compared.n_animals} animals with {compared.arm} have no "
        problem += (
            f"{compared.reference} ({_some(set(lacking))}): they count for the arm, not for the difference."
        )
        yield issue("design-control", problem)


RULES: tuple[Rule, ...] = (_order, _time_of_day, _sex_and_age, _groups, _control, _left_over)


def _no_reference(held: Sequence[Held], comparisons: Sequence[Comparison]) -> Iterator[Issue]:
    controls = {each.arm for each in held if each.is_control}
    used = {each.reference for each in comparisons}
    alone = [
        each.arm
        for each in comparisons
        if each.kind == "pseudo" and each.arm not in used | controls | {NO_DRUG}
    ]
    if alone and len(alone) == len(comparisons) and len(alone) > 1:
        problem = (
            f"There is no control arm: {', '.join(alone)} are compared with their pseudo-injections only."
        )
    elif alone:
        problem = (
            f"{', '.join(alone)}: no control to compare with, only the pseudo-injection in the baseline."
        )
    else:
        return
    remedy = "Handling, injection and time are part of the difference then."
    yield issue("design-control", problem, remedy=remedy)


def _some(names: set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
