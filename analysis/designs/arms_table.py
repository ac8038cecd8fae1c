"""Animals by arm: who they were, when they were recorded, and which sessions are left out and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from nwbswitch.analysis.designs.held_sessions import Comparison, Held
from nwbswitch.analysis.designs.treatments import by_number, dose_words

COLUMNS = ("arm", "compared_with", "how", "n_animals", "n_sessions", "given", "sex", "age_days",
           "time_of_day", "batch", "anaesthesia", "order", "n_left_out", "left_out")  # fmt: skip
UNKNOWN_ARM = "not known"
MAX_REASONS = 5


def arms_table(
    held: Sequence[Held], left_out: Sequence[Held], comparisons: Sequence[Comparison]
) -> pd.DataFrame:
    """Return one row per arm, also of arms all of whose sessions are left out.

    Columns: arm, compared_with, how (within, between or pseudo), n_animals, n_sessions, given (dose and
    route), sex, age_days, time_of_day, batch, anaesthesia, order (in which place of the animal's sessions),
    n_left_out, left_out (reasons).
    """
    by_arm = {each.arm: each for each in comparisons}
    names = sorted({each.arm for each in held}, key=by_number)
    lost: dict[str, list[Held]] = {}
    for each in left_out:
        lost.setdefault(each.arm if each.log or each.arm in names else UNKNOWN_ARM, []).append(each)
    rows = []
    for arm in [*names, *sorted(set(lost) - set(names))]:
        own = [each for each in held if each.arm == arm]
        animals = {each.animal: each for each in own}
        compared = by_arm.get(arm)
        rows.append(
            {
                "arm": arm,
                "compared_with": compared.reference if compared else "",
                "how": compared.kind if compared else "",
                "n_animals": len(animals),
                "n_sessions": len(own),
                "given": _given(own or lost.get(arm, [])),
                "sex": _counted(each.sex for each in animals.values()),
                "age_days": _range([each.age_days for each in own], ".4g"),
                "time_of_day": _hours([each.time_of_day_h for each in own]),
                "batch": _counted(each.batch for each in animals.values()),
                "anaesthesia": _counted(each.anaesthesia for each in own),
                "order": _counted(_ordinal(each.order) for each in own),
                "n_left_out": len(lost.get(arm, [])),
                "left_out": _reasons(lost.get(arm, [])),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def table_text(table: pd.DataFrame) -> str:
    """Return the table for a terminal; columns that say nothing are left out."""
    said = [name for name in table.columns if table[name].astype(str).str.strip().ne("").any()]
    said = [name for name in said if name != "n_left_out" or table["n_left_out"].any()]
    return "" if table.empty else str(table[said].to_string(index=False))


def _given(own: Sequence[Held]) -> str:
    found = Counter(
        " ".join(word for word in (dose_words(row), row.route) if word)
        for each in own
        for row in each.deciding
    )
    return " | ".join(name for name in sorted(found) if name)


def _counted(words: Iterable[str]) -> str:
    """Return how many of each, e.g. ``4 F, 2 M``; empty where nothing is stated."""
    found = Counter(words)
    if set(found) <= {"", "U"}:
        return ""
    return ", ".join(f"{n} {name or 'not stated'}" for name, n in sorted(found.items()))


def _ordinal(number: int) -> str:
    last = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 10 < number % 100 < 14 else last.get(number % 10, 'th')}"


def _range(values: Sequence[float], form: str) -> str:
    known = [each for each in values if math.isfinite(each)]
    if not known:
        return ""
    low, high = min(known), max(known)
    more = f" ({len(values) - len(known)} not stated)" if len(known) < len(values) else ""
    return (f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}") + more


def _hours(values: Sequence[float]) -> str:
    known = [each for each in values if math.isfinite(each)]
    if not known:
        return ""
    low, high = (f"{m // 60:02d}:{m % 60:02d}" for m in (round(60 * min(known)), round(60 * max(known))))
    return low if low == high else f"{low} to {high}"


def _reasons(lost: Sequence[Held]) -> str:
    found = Counter(each.exclusion for each in lost).most_common()
    said = [f"{n} x {reason}" if n > 1 else reason for reason, n in found[:MAX_REASONS]]
    more = [f"and {len(found) - MAX_REASONS} other reasons"] if len(found) > MAX_REASONS else []
    return " | ".join([*said, *more])
