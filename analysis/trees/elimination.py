"""W'V^-1 W and log|V| of a nested model by elimination from the innermost group outwards.

Each level takes the cross-products S = W'V^-1 W of its groups, as they stand without its own effects, to
S - D B D' with D = S K, A = K'S K, B = Psi (I + A Psi)^-1, adds log|I + A Psi| to log|V|, and sums the
groups of one parent (Woodbury's identity; Bates et al. 2015, section 3, has the same criterion through a
sparse factor). Written in Psi, nothing is singular where a variance is zero. Derivatives go back down the
same tree (reverse accumulation).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nwbswitch.analysis.trees.bottom import Summary
from nwbswitch.analysis.trees.levels import (
    CrossedLevel,
    Level,
    covariance_of,
    effects_of,
    inverse_and_log_det,
    kept_columns,
)


class Elimination:
    """All steps at one Psi: ``bottom``, ``steps``, the ``root`` (m, m) and ``log_det``."""

    def __init__(self, summary: Summary, upper: Sequence[Level], psi: Sequence[np.ndarray]) -> None:
        own = list(psi)
        self.bottom = Bottom(summary, own.pop(0)) if summary.kinds.shape[1] else None
        S = summary.within if self.bottom is None else self.bottom.sums
        self.log_det = summary.log_det + (0.0 if self.bottom is None else self.bottom.log_det)
        self.steps = []
        for level, each in zip(upper, own, strict=True):
            step = Step(S, level, each)
            self.steps.append(step)
            S, self.log_det = step.sums, self.log_det + step.log_det
        self.root = S[0]

    def gradient(self, root_bar: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return per level d f / d Psi, for f = log|V| + sum(root_bar * root)."""
        down, gradient = root_bar[None], []
        for position in range(len(self.steps) - 1, -1, -1):
            innermost = position == 0 and self.bottom is None
            own, down = self.steps[position].backward(down, innermost=innermost)
            gradient.append(own)
        if self.bottom is not None:
            gradient.append(self.bottom.backward(down))
        return tuple(gradient[::-1])


class Step:
    """One upper level: ``eliminated`` (groups, m, m) per group, and ``sums`` per parent."""

    def __init__(self, S: np.ndarray, level: Level, psi: np.ndarray) -> None:
        self.level = level
        self.K = effects_of(level, S.shape[1])
        psi = covariance_of(level, psi)
        self.D = S @ self.K
        self.A = self.K.T @ self.D
        self.H, logs = inverse_and_log_det(self.A, psi)
        self.log_det = float(logs.sum())
        self.B = psi @ self.H
        self.eliminated = S - (self.D @ self.B) @ self.D.transpose(0, 2, 1)
        self.kept = kept_columns(level, S.shape[1])
        if self.kept is not None:
            self.eliminated = self.eliminated[:, self.kept[:, None], self.kept]
        self.sums = self.eliminated
        if len(level.starts) < len(S):
            self.sums = np.add.reduceat(self.eliminated, level.starts, axis=0)

    def backward(self, S_bar: np.ndarray, *, innermost: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradient in Psi and, unless ``innermost``, the derivative for the level below."""
        K = self.K
        if self.kept is not None:
            wide = np.zeros((len(S_bar), len(K), len(K)))
            wide[:, self.kept[:, None], self.kept] = S_bar
            S_bar = wide
        if 1 < len(S_bar) < len(self.D):
            S_bar = S_bar[self.level.parent]
        D_bar = S_bar @ self.D
        Q = self.D.transpose(0, 2, 1) @ D_bar
        H_t = self.H.transpose(0, 2, 1)
        gradient = (self.H @ (self.A - Q @ H_t)).sum(axis=0)
        if isinstance(self.level, CrossedLevel):
            n, k = self.level.columns.shape
            gradient = np.einsum("ikil->kl", gradient.reshape(n, k, n, k))
        if innermost:
            return gradient, S_bar
        cross = D_bar @ (self.B @ K.T)
        inner = self.B @ Q @ self.B + self.B
        return gradient, S_bar - (cross + cross.transpose(0, 2, 1)) + K @ inner @ K.T


class Bottom:
    """The innermost level, from its summary: ``sums`` (parents, m, m)."""

    def __init__(self, summary: Summary, psi: np.ndarray) -> None:
        self.summary = summary
        A = summary.kinds
        self.H, logs = inverse_and_log_det(A, psi)
        self.per_kind = np.bincount(summary.kind, weights=summary.count, minlength=len(A))
        self.log_det = float(self.per_kind @ logs)
        rest = summary.inverses @ self.H
        R = (0.5 * (rest + rest.transpose(0, 2, 1)))[summary.kind]
        if summary.slopes is not None:
            parts = (summary.slopes @ R) @ summary.slopes.transpose(0, 2, 1)
        else:
            assert summary.products is not None
            parts = _contracted(summary.products, R)
        self.sums = summary.within + summed(parts, summary.parent, summary.n_parents)

    def backward(self, S_bar: np.ndarray) -> np.ndarray:
        """Return the gradient in Psi."""
        summary, (n_kinds, k, _) = self.summary, self.H.shape
        if len(S_bar) > 1:
            S_bar = S_bar[summary.parent]
        if summary.slopes is not None:
            Q = summary.slopes.transpose(0, 2, 1) @ (S_bar @ summary.slopes)
        else:
            assert summary.products is not None
            Q = _contracted_columns(summary.products, S_bar)
        flat = Q.reshape(-1, k * k).T
        per_kind = np.stack([np.bincount(summary.kind, weights=each, minlength=n_kinds) for each in flat], 1)
        per_kind = per_kind.reshape(n_kinds, k, k)
        H_t = self.H.transpose(0, 2, 1)
        own = self.H @ (self.per_kind[:, None, None] * summary.kinds - per_kind @ H_t)
        return np.asarray(own.sum(axis=0))


def _contracted(products: np.ndarray, R: np.ndarray) -> np.ndarray:
    """Return sum over k, l of products (c, m, k, m, l) times R (c, k, l)."""
    if R.shape[1] == 1:
        return np.asarray(products[:, :, 0, :, 0] * R)
    return np.asarray(np.einsum("cikjl,ckl->cij", products, R))


def _contracted_columns(products: np.ndarray, S_bar: np.ndarray) -> np.ndarray:
    """Return sum over the columns of products (c, m, k, m, l) times S_bar (c or 1, m, m)."""
    if products.shape[2] == 1:
        return np.asarray((products[:, :, 0, :, 0] * S_bar).sum(axis=(1, 2)))
    if len(S_bar) == 1:
        return np.asarray(np.einsum("cikjl,ij->ckl", products, S_bar[0]))
    return np.asarray(np.einsum("cikjl,cij->ckl", products, S_bar))


def summed(parts: np.ndarray, parent: np.ndarray, n_parents: int) -> np.ndarray:
    """Return sums over the parts of every parent; every parent has some, and they are sorted."""
    if len(parts) == n_parents:
        return parts
    starts = np.flatnonzero(np.r_[True, parent[1:] != parent[:-1]])
    return np.asarray(np.add.reduceat(parts, starts, axis=0))
