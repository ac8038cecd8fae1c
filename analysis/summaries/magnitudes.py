"""How large and how small numbers and their products may be, for their squares to be held."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from nwbswitch.analysis.formulas.formula import Term
from nwbswitch.schemas.errors import FitError

# Sums of squares of numbers up to this, and of their inverses, can be held.
LARGEST: Final = 1e140


def require_squarable(name: str, size: float) -> None:
    """Raise if the squares of a variable cannot be held; ``size`` is its greatest absolute value.

    Raises
    ------
    FitError
        They would overflow or underflow.
    """
    if size > LARGEST or 0.0 < size < 1.0 / LARGEST:
        raise FitError(
            f"{name!r} has values of the size {size:.0e}, whose squares cannot be held; give it another unit."
        )


def require_squarable_products(terms: Iterable[Term], sizes: Mapping[str, float]) -> None:
    """Raise if the squares of the product of the numbers of a term cannot be held.

    Parameters
    ----------
    terms
        Terms of a model, of random effects too.
    sizes
        The greatest absolute value of each number; other variables of a term are factors.

    Raises
    ------
    FitError
        They would overflow or underflow.
    """
    limit = math.log10(LARGEST)
    for term in terms:
        numbers = [name for name in term if name in sizes]
        if len(numbers) == 1:
            require_squarable(numbers[0], sizes[numbers[0]])
        if len(numbers) < 2 or not all(sizes[name] > 0.0 for name in numbers):
            continue
        exponent = sum(math.log10(sizes[name]) for name in numbers)
        if abs(exponent) > limit:
            raise FitError(
                f"The product {':'.join(numbers)!r} has values of the size 1e{exponent:+.0f}, whose squares "
                f"cannot be held; give {' or '.join(repr(name) for name in numbers)} another unit."
            )
