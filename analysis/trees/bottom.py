"""Cross-products per innermost group: all that the likelihood of a nested model needs from the rows.

The columns W = [Q, extra random-effect columns, y] are cut from the data once. Q is an orthonormal basis
of the fixed effects and y the least-squares residual, so neither an offset of the response nor the scale
of a covariate costs digits. With D = W'Z and A = Z'Z per innermost group, a group contributes
C + D A^+ (I + A Psi)^-1 D' to W'V^-1 W, where C are cross-products of what Z leaves over (Woodbury's
identity). Groups with the same A share one sum of vec(D) vec(D)', so cost and memory do not grow with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

# A fit whose residual is below this part of the response is exact up to rounding.
EXACT_FIT_TOLERANCE: Final = 1e-13


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns W of the rows, and how they give back the model's own.

    ``matrix`` is (rows, m), without rows where they were not looked at; ``fixed`` (p, p) turns Q into X:
    X = Q fixed; ``offset`` (p,) is the least-squares coefficient taken out of the response, which was then
    divided by ``scale``. ``effects`` holds per level the (m, k) matrix K with Z = W K, or no column, Z
    scaled to unit mean square by ``effect_scales`` (k,).
    """

    matrix: np.ndarray
    fixed: np.ndarray
    offset: np.ndarray
    scale: float
    effects: tuple[np.ndarray, ...]
    effect_scales: tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Cross-products of one innermost level, summed within the groups of the level above.

    ``within`` is (parents, m, m). ``products`` is (cells, m, k, m, k), the sum over groups with equal Z'Z
    of vec(D) vec(D)', or ``slopes`` (groups, m, k) holds D itself; ``parent``, ``kind`` and ``count``
    belong to the cells (or groups): the parent, the row of ``kinds`` (kinds, k, k) = Z'Z, and how many
    groups; ``inverses`` are the pseudo-inverses of the kinds. Cells are sorted by parent. ``rows``
    (parents,) counts rows; without it nothing can be simulated and clusters not be told by size.
    ``log_weights`` (parents,) sums log w over rows where these have weights w: V is then that of
    sqrt(w) times the rows, and log|V| of the rows themselves is less by these sums.

    With k = 0 there is no innermost level: ``within`` are the full cross-products W'W of the parents, there
    are no cells, and all levels of the tree are upper ones. So is held what has one level with
    not too many groups, so that these can be taken one by one.
    """

    within: np.ndarray
    kinds: np.ndarray
    inverses: np.ndarray
    parent: np.ndarray
    kind: np.ndarray
    count: np.ndarray
    products: np.ndarray | None
    slopes: np.ndarray | None
    order: np.ndarray
    rows: np.ndarray | None = None
    log_weights: np.ndarray | None = None

    @property
    def log_det(self) -> float:
        """Part of log|V| that comes from row weights."""
        return 0.0 if self.log_weights is None else -float(self.log_weights.sum())

    @property
    def n_parents(self) -> int:
        """Number of groups in the level above."""
        return len(self.within)
