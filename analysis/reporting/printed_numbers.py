"""Numbers as they are printed: a true minus, no negative zero, thin spaces in thousands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NONE = "–"


def signed(value: float) -> str:
    """Return a number with two decimals, a true minus sign and no negative zero."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "\u2212")


def interval(value: Mapping[Any, Any] | None) -> str:
    """Return an estimate with its 95 % interval, or why there is none."""
    if value is None:
        return NONE
    if not known(value.get("estimate")):
        return str(value.get("status") or "not estimable")
    if not known(value.get("ci_low")) or not known(value.get("ci_high")):
        return signed(value["estimate"])
    return f"{signed(value['estimate'])} ({signed(value['ci_low'])} to {signed(value['ci_high'])})"


def probability(value: float | None) -> str:
    """Return a P value; a dash where there is none."""
    if value is None or math.isnan(value):
        return NONE
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"


def short(value: float | None) -> str:
    """Return a number with three digits that count; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:.3g}".replace("-", "\u2212")


def whole(value: float) -> str:
    """Return a whole number with thin spaces between thousands."""
    return f"{int(value):,}".replace(",", "\u202f")


def counted(n: int, noun: str) -> str:
    """Return a number and its noun, in the plural where there is not one."""
    return f"{whole(n)} {noun}{'s' * (n != 1)}"


def known(value: float | None) -> bool:
    """Return whether there is a number."""
    return value is not None and math.isfinite(value)


def number(value: float | None) -> float:
    """Return a number; NaN where there is none."""
    return float("nan") if value is None else float(value)
