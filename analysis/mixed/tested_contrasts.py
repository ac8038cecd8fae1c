"""What a test of fixed effects tests: a term, a coefficient, or contrasts."""

from __future__ import annotations

import numpy as np

from nwbswitch.analysis.formulas.formula import term_name
from nwbswitch.analysis.inference.hypothesis import checked_contrasts
from nwbswitch.analysis.mixed.model import Model


def tested_contrasts(model: Model, tested: str | np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the contrasts in words, and as (r, p).

    ``tested`` is the name of a term (all its coefficients at once) or of a coefficient, or contrasts (r, p)
    or (p,).

    Raises
    ------
    ValueError
        If there is no such term, or contrasts do not fit the coefficients.
    """
    eye = np.eye(len(model.names))
    if isinstance(tested, str):
        terms = [term_name(term) for term in model.terms]
        if tested in terms:
            columns = np.flatnonzero(model.term_of == terms.index(tested))
            return tuple(model.names[i] for i in columns), eye[columns]
        if tested in model.names:
            return (tested,), eye[[model.names.index(tested)]]
        raise ValueError(
            f"There is no term or coefficient {tested!r}; terms are {', '.join(terms)}; "
            f"coefficients are {', '.join(model.names)}."
        )
    rows = checked_contrasts(np.atleast_2d(tested), len(model.names))
    words = []
    for row in rows:
        parts = [f"{value:+g} {name}" for name, value in zip(model.names, row, strict=True) if value]
        words.append(" ".join(parts))
    return tuple(words), rows
