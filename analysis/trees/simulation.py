"""Responses drawn from a nested model as their cross-products, without rows.

Given the other columns X of W, the cross-products of a normal response have known distributions, so they
are drawn exactly. With M the residual projection on all innermost Z, X'M e is normal with covariance
sigma^2 X'M X, and e'M e minus its part in the span of M X is sigma^2 chi-square on the degrees of freedom
left. Between groups with equal Z'Z = A, eta = Z'(y - E y) are independent N(0, sigma^2 (A + A Psi A)): the
regression of eta on D is matrix normal and the rest is Wishart (Mardia, Kent and Bibby 1979, theorems
3.4.4 and 6.2.3; the Wishart by Bartlett's decomposition). Effects of upper levels move y by Z u = W K u.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from nwbswitch.analysis.trees.bottom import Summary
from nwbswitch.analysis.trees.levels import CrossedLevel, Level, kept_columns
from nwbswitch.schemas.errors import FitError

# A direction counts as empty when its eigenvalue, columns scaled to unit length, is below this.
EMPTY: Final = 1e-11


@dataclass(frozen=True, slots=True)
class BetweenPlan:
    """Of c cells of groups with equal Z'Z, for x = m - 1 columns besides y and k effects.

    ``roots`` (c, x k, x k) are roots L of the sums L L' of vec(D) vec(D)', D without y, whose ``used``
    (c, x k) directions are not empty; ``df`` (c,) are the groups beyond these; ``weights`` (c, x k k, x)
    are the same sums laid out to be multiplied by coefficients.
    """

    roots: np.ndarray
    used: np.ndarray
    df: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, slots=True)
class DrawPlan:
    """What does not change from draw to draw, for p parents of the innermost groups.

    ``within`` (p, x, x) are roots L of X'M X = L L', whose ``used`` (p, x) directions are not empty; ``df``
    (p,) are the residual degrees of freedom. ``between`` is None where D is held group by group.
    """

    within: np.ndarray
    used: np.ndarray
    df: np.ndarray
    between: BetweenPlan | None


def draw_plan(summary: Summary) -> DrawPlan:
    """Return the roots and degrees of freedom of a summary.

    Raises
    ------
    FitError
        If the summary does not say how many rows each parent has.
    """
    if summary.rows is None:
        raise FitError("Responses cannot be simulated: the summaries do not count the rows of each unit.")
    x, k = summary.within.shape[1] - 1, summary.kinds.shape[1]
    within, used = _roots(summary.within[:, :x, :x])
    ranks = np.einsum("nij,nji->n", summary.kinds, summary.inverses).round()  # A A^+ is a projection
    taken = np.bincount(
        summary.parent, weights=summary.count * ranks[summary.kind], minlength=summary.n_parents
    )
    df = np.maximum(summary.rows - np.round(taken) - used.sum(axis=1), 0.0)
    if summary.products is None:
        return DrawPlan(within, used, df, None)
    cells = len(summary.products)
    own = summary.products[:, :x, :, :x]
    roots, between_used = _roots(own.reshape(cells, x * k, x * k))
    between_df = np.maximum(summary.count - between_used.sum(axis=1), 0.0)
    weights = own.transpose(0, 1, 2, 4, 3).reshape(cells, x * k * k, x)
    return DrawPlan(within, used, df, BetweenPlan(roots, between_used, between_df, weights))


def _roots(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return L with products = L L' and which columns of L are not empty."""
    size = np.sqrt(np.maximum(np.einsum("gii->gi", products), 0.0))
    size[size <= 1e-9 * size.max(axis=0, initial=0.0)] = 0.0
    unit = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0.0)
    values, vectors = np.linalg.eigh(unit[:, :, None] * products * unit[:, None, :])
    used = values > EMPTY
    return size[:, :, None] * vectors * np.sqrt(np.where(used, values, 0.0))[:, None, :], used


def simulated_summary(
    summary: Summary,
    upper: Sequence[Level],
    plan: DrawPlan,
    psi: Sequence[np.ndarray],
    coefficients: np.ndarray,
    sigma: float,
    rng: np.random.Generator,
) -> Summary:
    """Return the summary of a response drawn from the model; the columns besides y are kept."""
    k = summary.kinds.shape[1]
    own = list(psi)
    lowest = own.pop(0) if k else np.zeros((0, 0))
    x = summary.within.shape[1] - 1
    shift = _shifts(upper, own, coefficients, sigma, rng, x + 1)
    if len(shift) != summary.n_parents:
        shift = np.broadcast_to(shift, (summary.n_parents, x))

    within = summary.within.copy()
    plain = within[:, :x, :x]
    normal = rng.standard_normal(shift.shape) * plan.used
    noise = sigma * (plan.within @ normal[:, :, None])[:, :, 0]
    explained = (plain @ shift[:, :, None])[:, :, 0]
    within[:, :x, x] = within[:, x, :x] = explained + noise
    squares = sigma**2 * (np.einsum("gi,gi->g", normal, normal) + 2.0 * rng.standard_gamma(plan.df / 2))
    within[:, x, x] = np.einsum("gi,gi->g", shift, explained + 2.0 * noise) + squares
    if k == 0:
        return replace(summary, within=within)

    shift = shift[summary.parent]
    spread = sigma * _symmetric_root(summary.kinds + summary.kinds @ lowest @ summary.kinds)[summary.kind]
    if summary.slopes is not None:
        D = summary.slopes.copy()
        own_part = (spread @ rng.standard_normal((len(D), k, 1)))[:, :, 0]
        D[:, x] = (shift[:, None] @ D[:, :x])[:, 0] + own_part
        return replace(summary, within=within, slopes=D)

    between = plan.between
    assert between is not None
    assert summary.products is not None
    n = len(shift)
    normal = rng.standard_normal((n, x * k, k)) * between.used[:, :, None]
    noise = (between.roots @ normal @ spread).reshape(n, x, k, k)
    both = normal.transpose(0, 2, 1) @ normal + _wishart(between.df, k, rng)
    explained = (between.weights @ shift[:, :, None]).reshape(n, x, k, k)
    with_y = explained + noise
    along = np.einsum("ci,cikl->ckl", shift, noise)
    squares = np.einsum("ci,cikl->ckl", shift, explained) + along + along.transpose(0, 2, 1)
    products = summary.products.copy()
    products[:, :x, :, x] = with_y
    products[:, x, :, :x] = with_y.transpose(0, 3, 1, 2)
    products[:, x, :, x] = squares + spread @ both @ spread
    return replace(summary, within=within, products=products)


def _shifts(
    upper: Sequence[Level],
    psi: Sequence[np.ndarray],
    coefficients: np.ndarray,
    sigma: float,
    rng: np.random.Generator,
    n_columns: int,
) -> np.ndarray:
    """Return per parent of the innermost groups the coefficients of W's columns besides y, effects drawn."""
    kept: list[np.ndarray | None] = []
    widths = [n_columns]
    for level in upper:
        kept.append(kept_columns(level, widths[-1]))
        own = kept[-1]
        widths.append(widths[-1] if own is None else len(own))
    shift = np.zeros((1, widths[-1]))
    shift[0, : len(coefficients)] = coefficients
    for position in range(len(upper) - 1, -1, -1):
        level, own = upper[position], kept[position]
        root = sigma * _symmetric_root(psi[position][None])[0]
        shift = shift[level.parent]
        if isinstance(level, CrossedLevel):
            wide = np.zeros((len(shift), widths[position]))
            wide[:, own] = shift
            drawn = rng.standard_normal((len(shift), *level.columns.shape)) @ root
            wide[:, level.columns] = drawn
            shift = wide
        else:
            shift = shift + (rng.standard_normal((len(shift), len(root))) @ root) @ level.effects.T
    return shift[:, :-1]


def _symmetric_root(matrices: np.ndarray) -> np.ndarray:
    """Return the symmetric square root of every positive semidefinite matrix of (n, k, k)."""
    if matrices.shape[1] == 1:
        return np.asarray(np.sqrt(np.maximum(matrices, 0.0)))
    values, vectors = np.linalg.eigh(matrices)
    scaled = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    return np.asarray(scaled @ vectors.transpose(0, 2, 1))


def _wishart(df: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n, k, k) draws of Wishart matrices of unit scale on whole ``df`` (n,), fewer than k too."""
    place = np.arange(k)
    triangle = np.zeros((len(df), k, k))
    if k > 1:
        rows, columns = np.tril_indices(k, -1)
        triangle[:, rows, columns] = rng.standard_normal((len(df), len(rows))) * (df[:, None] > columns)
    triangle[:, place, place] = np.sqrt(2.0 * rng.standard_gamma(np.maximum(df[:, None] - place, 0.0) / 2.0))
    return np.asarray(triangle @ triangle.transpose(0, 2, 1))
