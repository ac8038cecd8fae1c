"""Rows of a model with crossed groups, and the cross-products that its likelihood needs from them.

One level, that with most effects, is eliminated group by group; what is left over by it enters as
cross-products of the others. All are computed once: an evaluation touches no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from nwbswitch.analysis.mixed.deviance import Scaling
from nwbswitch.analysis.mixed.model_frame import ModelFrame
from nwbswitch.analysis.sparse.fill import elimination_order, meeting
from nwbswitch.analysis.sparse.slopes import Slopes, slopes_of
from nwbswitch.analysis.summaries.kinds import pseudo_inverse
from nwbswitch.analysis.trees.bottom import EXACT_FIT_TOLERANCE
from nwbswitch.schemas.errors import FitError

# Effects that are left after the elimination are held in a full matrix up to this many.
DENSE_EFFECTS: Final = 4_000
# The steps of least squares that take effects out of the response beforehand end at this accuracy.
NEAR: Final = 1e-6
NEAR_STEPS: Final = 30
# Beyond, a sparse factor may have this many places (12 bytes each, twice, and twice that for derivatives).
LARGEST_FACTOR: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class GroupedEffects:
    """The effects of one level: the group of every row ``codes`` (rows,) and its columns (rows, k).

    ``block_sizes`` are the sizes of the diagonal blocks of Psi; ``labels`` are those of the groups.
    """

    name: str
    codes: np.ndarray
    values: np.ndarray
    labels: tuple[str, ...]
    block_sizes: tuple[int, ...]

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.labels)

    @property
    def n_effects(self) -> int:
        """Number of effects of all groups."""
        return len(self.labels) * sum(self.block_sizes)


@dataclass(frozen=True, slots=True)
class Rows:
    """W = [Q, y] of (rows, m), and the random effects level by level.

    Rows of weight w are held times sqrt(w), which gives them equal variances; ``log_weights`` (rows,) are
    the logarithms of w, or None.
    """

    columns: np.ndarray
    levels: tuple[GroupedEffects, ...]
    log_weights: np.ndarray | None = None

    @property
    def log_det(self) -> float:
        """What the weights add to log|V|."""
        return 0.0 if self.log_weights is None else -float(self.log_weights.sum())

    def some(self, chosen: np.ndarray) -> Rows:
        """Return some rows with the groups that occur in them, in the same order."""
        levels = []
        for each in self.levels:
            present, codes = np.unique(each.codes[chosen], return_inverse=True)
            labels = tuple(each.labels[group] for group in present.tolist())
            levels.append(GroupedEffects(each.name, codes, each.values[chosen], labels, each.block_sizes))
        logs = None if self.log_weights is None else self.log_weights[chosen]
        return Rows(self.columns[chosen], tuple(levels), logs)

    def with_response(self, response: np.ndarray) -> Rows:
        """Return the rows with another response (rows,)."""
        return replace(self, columns=np.column_stack([self.columns[:, :-1], response]))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the effects of one level stand among those not eliminated: groups g of k effects each."""

    level: int
    first: int
    groups: int
    size: int

    @property
    def span(self) -> slice:
        """The positions of its effects."""
        return slice(self.first, self.first + self.groups * self.size)


@dataclass(frozen=True, slots=True)
class CrossProducts:
    """Cross-products with one level to be eliminated and all others left, n effects of them.

    ``kinds`` (groups, k, k) is Z'Z of each group of the eliminated level and ``inverses`` its
    pseudo-inverse; ``slopes`` (groups, k, n) is Z'Z_r. ``near`` (n, m) are effects taken out of W
    beforehand, R = W - Z_r near, since large effects would cost the digits of a small residual.
    ``slopes_w`` (groups, k, m) is Z'R. ``zz`` (n, n), ``zw`` (n, m) and ``ww`` (m, m) are cross-products of
    Z_r and R of what that level's Z leaves over; zz is sparse beyond `DENSE_EFFECTS`. ``places`` are those
    of the other levels, ``others`` is Z_r by rows, ``order`` the order in which a sparse factor of zz is
    eliminated.
    """

    eliminated: int
    places: tuple[Place, ...]
    kinds: np.ndarray
    inverses: np.ndarray
    slopes: Slopes
    slopes_w: np.ndarray
    zz: Any
    zw: np.ndarray
    ww: np.ndarray
    others: Any
    near: np.ndarray
    order: np.ndarray | None = None


def rows_of(frame: ModelFrame) -> tuple[Rows, Scaling]:
    """Return the rows of a model frame in the engine's basis.

    Raises
    ------
    FitError
        If the fixed effects reproduce the response exactly, or a random effect is zero in every row.
    """
    X, y, root = frame.fixed.matrix, frame.response, None
    if frame.weights is not None:
        root = np.sqrt(frame.weights)
        X, y = X * root[:, None], y * root
    lengths = np.sqrt(np.einsum("ij,ij->j", X, X))
    Q, triangle = np.linalg.qr(X / lengths)
    first = Q.T @ y
    residual = y - Q @ first
    second = Q.T @ residual  # a second pass removes what rounding left of a large offset
    residual = residual - Q @ second
    scale = float(np.sqrt(residual @ residual / len(residual)))
    typical = float(np.sqrt(y @ y / len(residual)))
    if scale <= EXACT_FIT_TOLERANCE * typical:
        raise FitError("The fixed effects reproduce the response exactly: there is no residual to model.")
    levels, sizes = [], []
    for level in frame.levels:
        Z = np.concatenate([block.matrix for block in level.blocks], axis=1)
        size = np.sqrt(np.einsum("ij,ij->j", Z, Z) / len(Z))
        if np.any(size == 0.0):
            names = [name for block in level.blocks for name in block.names]
            raise FitError(f"The random effect {names[int(np.argmin(size))]!r} is zero in every row.")
        blocks = tuple(block.matrix.shape[1] for block in level.blocks)
        Z = Z / size if root is None else Z / size * root[:, None]
        levels.append(GroupedEffects(level.names[0], level.codes, Z, level.labels, blocks))
        sizes.append(size)
    fixed = triangle * lengths
    scaling = Scaling(fixed, np.linalg.solve(fixed, first + second), scale, tuple(sizes))
    logs = None if frame.weights is None else np.log(frame.weights)
    return Rows(np.column_stack([Q, residual / scale]), tuple(levels), logs), scaling


def largest_level(levels: Sequence[GroupedEffects]) -> int:
    """Return the position of the level with most effects, which is best eliminated first."""
    return int(np.argmax([level.n_effects for level in levels]))


def places_of(levels: Sequence[GroupedEffects], eliminated: int) -> tuple[Place, ...]:
    """Return where the effects of the levels that are not eliminated stand."""
    found, first = [], 0
    for position, level in enumerate(levels):
        if position != eliminated:
            found.append(Place(position, first, level.n_groups, level.values.shape[1]))
            first += level.n_effects
    return tuple(found)


def cross_products(rows: Rows, eliminated: int) -> CrossProducts:
    """Return the cross-products of the rows.

    Raises
    ------
    FitError
        If the effects of the other levels are too many to be factored.
    """
    own = rows.levels[eliminated]
    Z, codes = own.values, own.codes
    n_groups, k = own.n_groups, Z.shape[1]
    A = np.empty((n_groups, k, k))
    for i in range(k):
        for j in range(i + 1):
            A[:, i, j] = A[:, j, i] = np.bincount(codes, Z[:, i] * Z[:, j], n_groups)
    inverses = pseudo_inverse(A)
    places = places_of(rows.levels, eliminated)
    others = _effect_columns(rows, places)
    dense = others.shape[1] <= DENSE_EFFECTS
    order = None if dense else _order(rows, eliminated, others)
    slopes = slopes_of(codes, Z, n_groups, others)
    fitted = slopes.mixed(inverses)
    zz = others.T @ others
    for a in range(k):
        zz = zz - slopes.crossed(fitted, a, a)
    if dense and not isinstance(zz, np.ndarray):
        zz = zz.toarray()
    near = _near(rows, own, others)
    slopes_w, rest = response_parts(rows, eliminated, inverses, others, near)
    zw = np.asarray(others.T @ rest)
    return CrossProducts(
        eliminated, places, A, inverses, slopes, slopes_w, zz, zw, rest.T @ rest, others, near, order
    )


def with_columns(products: CrossProducts, rows: Rows) -> CrossProducts:
    """Return the cross-products of the same effects with other columns W."""
    near = _near(rows, rows.levels[products.eliminated], products.others)
    slopes_w, rest = response_parts(rows, products.eliminated, products.inverses, products.others, near)
    zw = np.asarray(products.others.T @ rest)
    return replace(products, slopes_w=slopes_w, zw=zw, ww=rest.T @ rest, near=near)


def remainder(rows: Rows, products: CrossProducts) -> np.ndarray:
    """Return what the eliminated level leaves over of R, (rows, m)."""
    found = response_parts(rows, products.eliminated, products.inverses, products.others, products.near)
    return found[1]


def _near(rows: Rows, own: GroupedEffects, others: Any) -> np.ndarray:
    """Return effects (effects, m) of the other levels that take most of what they can from the response.

    A few steps of least squares by all effects together; how many only matters for digits.
    """
    from scipy.sparse import csr_array, diags_array, hstack
    from scipy.sparse.linalg import lsmr

    n_rows, k = own.values.shape
    found = np.zeros((others.shape[1], rows.columns.shape[1]))
    if not others.shape[1]:
        return found
    indices = (own.codes[:, None] * k + np.arange(k)).ravel()
    starts = np.arange(0, n_rows * k + 1, k)
    whole = hstack([others, csr_array((own.values.ravel(), indices, starts), shape=(n_rows, own.n_effects))])
    size = np.sqrt(np.asarray(whole.multiply(whole).sum(axis=0)).ravel())
    scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0.0)
    matrix = csr_array(whole @ diags_array(scale))
    steps = lsmr(matrix, rows.columns[:, -1], atol=NEAR, btol=NEAR, maxiter=NEAR_STEPS)[0] * scale
    found[:, -1] = steps[: len(found)]
    return found


def response_parts(
    rows: Rows, eliminated: int, inverses: np.ndarray, others: Any, near: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return Z'R (groups, k, m) of one level, R = W - Z_r near, and what it leaves over of R, (rows, m)."""
    own, W = rows.levels[eliminated], rows.columns - others @ near
    k = own.values.shape[1]
    found = np.stack([_sums(own.codes, W * own.values[:, [a]], own.n_groups) for a in range(k)], axis=1)
    fitted = (inverses @ found)[own.codes]
    return found, W - np.einsum("nk,nkm->nm", own.values, fitted)


def _order(rows: Rows, eliminated: int, others: Any) -> np.ndarray:
    """Return the order of elimination of a sparse factor, unless that would be too large."""
    own = rows.levels[eliminated]
    pattern = meeting(own.codes, own.n_groups, others, limit=LARGEST_FACTOR)
    order, fill = (None, LARGEST_FACTOR + 1) if pattern is None else elimination_order(pattern)
    if order is None or fill > LARGEST_FACTOR:
        names = ", ".join(
            f"{level.name!r} ({level.n_groups} groups of {level.values.shape[1]})" for level in rows.levels
        )
        size = f"more than {LARGEST_FACTOR:.1g}" if pattern is None else f"{fill:.2g}"
        raise FitError(
            f"The crossed groups {names} are too large for this engine: once {own.name!r} is eliminated, "
            f"{others.shape[1]} effects are left, whose factor would have {size} places; it can have "
            f"{LARGEST_FACTOR:.1g}, or {DENSE_EFFECTS} effects. Leave a random effect out, or fit groups of "
            "rows that share no level apart."
        )
    return order


def _sums(codes: np.ndarray, columns: np.ndarray, n_groups: int) -> np.ndarray:
    return np.stack([np.bincount(codes, column, n_groups) for column in columns.T], axis=1)


def _effect_columns(rows: Rows, places: Sequence[Place]) -> Any:
    """Return Z_r of all levels in ``places`` as a sparse (rows, effects) array."""
    from scipy.sparse import csr_array

    n_rows = len(rows.columns)
    width = sum(place.size for place in places)
    indices = np.empty((n_rows, width), dtype=np.int64)
    values = np.empty((n_rows, width))
    at = 0
    for place in places:
        level = rows.levels[place.level]
        part = slice(at, at + place.size)
        indices[:, part] = (place.first + level.codes * place.size)[:, None] + np.arange(place.size)
        values[:, part] = level.values
        at += place.size
    total = sum(place.groups * place.size for place in places)
    starts = np.arange(0, n_rows * width + 1, width) if width else np.zeros(n_rows + 1, dtype=np.int64)
    return csr_array((values.ravel(), indices.ravel(), starts), shape=(n_rows, total))
