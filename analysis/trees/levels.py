"""The levels above the innermost of a nested model, as steps that eliminate their effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class UpperLevel:
    """A level above the innermost: every group has its own effects, with Z = W K for its rows.

    ``effects`` is K (m, k), m being the columns of W that are left at this step. Groups are sorted by
    parent: ``starts`` has the first group of every parent and ``parent`` (groups,) the parent of each.
    """

    effects: np.ndarray
    starts: np.ndarray
    parent: np.ndarray


@dataclass(frozen=True, slots=True)
class CrossedLevel:
    """A factor crossed with the levels below it inside every group of some level, its holder.

    As the sessions of an animal whose neurons are followed over sessions, or stimuli shown to all. The
    holders are the groups that cross-products stand for when this step comes. The factor's groups are
    numbered from 0 inside their holder. W has columns of their own for them: ``columns`` (n, k) gives the
    position, among the columns of W left at this step, of effect j of local group i; that column is z_j
    in the rows of local group i of their holder and 0 in all others, for n the largest number of local
    groups in a holder. Psi (k, k) belongs to every local group. ``sizes`` (holders,) is the number of local
    groups in each, the first ones; columns beyond are 0 in all rows of the holder.

    After the step these columns are taken out of W, and `effects` and `columns` of later levels count
    what is left, in the old order. ``starts`` and ``parent`` are those of the holders as in `UpperLevel`;
    where the holders' own effects come next, both are ``arange(holders)``.
    """

    columns: np.ndarray
    sizes: np.ndarray
    starts: np.ndarray
    parent: np.ndarray


Level = UpperLevel | CrossedLevel


def effects_of(level: Level, n_columns: int) -> np.ndarray:
    """Return K (m, k) with Z = W K, for all local groups of a holder side by side if crossed."""
    if isinstance(level, UpperLevel):
        return level.effects
    return np.eye(n_columns)[:, level.columns.ravel()]


def covariance_of(level: Level, psi: np.ndarray) -> np.ndarray:
    """Return the covariance of the columns of `effects_of`, which is linear in ``psi``."""
    return psi if isinstance(level, UpperLevel) else np.kron(np.eye(len(level.columns)), psi)


def kept_columns(level: Level, n_columns: int) -> np.ndarray | None:
    """Return the columns of W left after the step, or None if all are."""
    if isinstance(level, UpperLevel):
        return None
    return np.setdiff1d(np.arange(n_columns), level.columns)


def inverse_and_log_det(A: np.ndarray, psi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (I + A Psi)^-1 and log|I + A Psi| for every A of (groups, k, k)."""
    M = np.eye(len(psi)) + A @ psi
    if len(psi) == 1:
        return 1.0 / M, np.log(M[:, 0, 0])
    if len(psi) == 2:  # written out: a library call per 2 by 2 matrix is most of the time of a large fit
        determinant = M[:, 0, 0] * M[:, 1, 1] - M[:, 0, 1] * M[:, 1, 0]
        inverse = np.empty_like(M)
        inverse[:, 0, 0], inverse[:, 1, 1] = M[:, 1, 1], M[:, 0, 0]
        inverse[:, 0, 1], inverse[:, 1, 0] = -M[:, 0, 1], -M[:, 1, 0]
        return inverse / determinant[:, None, None], np.log(determinant)
    return np.linalg.inv(M), np.linalg.slogdet(M)[1]
