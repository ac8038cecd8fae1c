"""How many rows each combination of factor levels has, read from X'X.

The indicator of a level is a combination of the columns of X, 1{A = a} = X c, so the rows that share level a
of A and level b of B are c_a' X'X c_b. With two such sets of factors any combination is counted, no rows
being needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np

from nwbswitch.analysis.formulas.coding import Coded, design
from nwbswitch.analysis.formulas.formula import INTERCEPT
from nwbswitch.analysis.mixed.model import Model

# A count this near to a whole number, relative to all rows, is one.
WHOLE: Final = 1e-9


def cell_counts(model: Model, design_root: np.ndarray, factors: Sequence[str]) -> np.ndarray:
    """Return the number of rows (sum of weights) per combination of levels of ``factors``, an axis each.

    Raises
    ------
    ValueError
        If X'X does not hold the counts: the model lacks the main effects, or interactions of three factors.
    """
    names = list(factors)
    if not names:
        return np.array(float(model.n_rows))
    whole = range(len(names))
    for size in range((len(names) + 1) // 2, len(names) + 1):
        for chosen in combinations(whole, size):
            rest = tuple(i for i in whole if i not in chosen)
            left = _indicators(model, [names[i] for i in chosen])
            right = _indicators(model, [names[i] for i in rest])
            if left is None or right is None:
                continue
            counts = (design_root @ left).T @ (design_root @ right)
            sizes = [len(model.variables[names[i]].levels or ()) for i in (*chosen, *rest)]
            whole_counts = np.rint(counts)
            # Sums of row weights need not be whole.
            counts = np.where(np.abs(counts - whole_counts) < WHOLE * model.n_rows, whole_counts, counts)
            return np.asarray(counts.reshape(sizes).transpose(np.argsort((*chosen, *rest))))
    raise ValueError(
        f"Weights by the number of rows need effects of {', '.join(names)} in the model that tell how many "
        "rows each combination has: their main effects, and interactions if there are three or more. "
        'Use weights="equal" or "outer".'
    )


def _indicators(model: Model, factors: Sequence[str]) -> np.ndarray | None:
    """Return (p, combinations) coefficients of the indicators of all combinations of levels, or None."""
    crossed = [*factors, *(name for name in _constant(model) if name not in factors)]
    sizes = [len(model.variables[name].levels or ()) for name in crossed]
    n_cells = int(np.prod(sizes, dtype=np.int64)) if sizes else 1
    inside = [i for i, term in enumerate(model.terms) if set(term) <= set(crossed)]
    columns = np.flatnonzero(np.isin(model.term_of, inside))
    places = np.unravel_index(np.arange(n_cells), tuple(sizes)) if sizes else ()
    missing = np.zeros(n_cells, dtype=bool)
    variables = {}
    for name in dict.fromkeys(name for term in model.terms for name in term):
        levels = model.variables[name].levels
        if levels is None:
            variables[name] = Coded(name, missing, numbers=np.ones(n_cells))
        else:
            code = places[crossed.index(name)] if name in crossed else np.zeros(n_cells, dtype=np.int64)
            variables[name] = Coded(name, missing, codes=np.asarray(code), levels=levels)
    matrix = design(model.terms, variables, n_cells, contrasts=model.contrasts).matrix[:, columns]
    others = int(np.prod(sizes[len(factors) :], dtype=np.int64))
    wanted = np.repeat(np.eye(n_cells // others), others, axis=0)
    solution = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    if np.abs(matrix @ solution - wanted).max() > 1e-9:
        return None
    found = np.zeros((len(model.names), wanted.shape[1]))
    found[columns] = solution
    return found


def _constant(model: Model) -> tuple[str, ...]:
    """Return the factors of the term whose columns sum to one in every row."""
    if INTERCEPT in model.terms:
        return INTERCEPT
    terms = (term for term in model.terms if all(model.variables[name].is_factor for name in term))
    return min(terms, key=len, default=INTERCEPT)
