"""Conditional means of the random effects (BLUPs) of a nested model, from the root down.

Given the effects above, those of a group are Psi Z'V^-1 r, with V the covariance up to its own level and
r = W v what the fixed effects and the effects above leave over: Psi (I + A Psi)^-1 D'v (Robinson 1991,
equation 1.2, taken level by level).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nwbswitch.analysis.trees.bottom import Summary
from nwbswitch.analysis.trees.elimination import Elimination
from nwbswitch.analysis.trees.levels import CrossedLevel, Level


def conditional_means(
    summary: Summary, upper: Sequence[Level], psi: Sequence[np.ndarray], coefficients: np.ndarray
) -> tuple[np.ndarray | None, ...]:
    """Return per level the (groups, k) conditional means; None for an innermost level held as sums.

    The local groups of a crossed level are listed holder by holder.
    """
    passed = Elimination(summary, upper, psi)
    v = np.zeros((1, len(passed.root)))
    v[0, : len(coefficients)] = -coefficients
    v[0, -1] = 1.0
    found: list[np.ndarray | None] = []
    for step in reversed(passed.steps):
        level = step.level
        v = v[level.parent]
        if isinstance(level, CrossedLevel):
            wide = np.zeros((len(v), len(step.K)))
            wide[:, step.kept] = v
            effects = _means(step.B, step.D, wide)
            wide[:, level.columns.ravel()] -= effects
            v = wide
            n, k = level.columns.shape
            present = np.arange(n) < level.sizes[:, None]
            found.append(effects.reshape(len(v), n, k)[present])
        else:
            effects = _means(step.B, step.D, v)
            v = v - effects @ level.effects.T
            found.append(effects)
    if passed.bottom is not None:
        if summary.slopes is None:
            found.append(None)
        else:
            B = psi[0] @ passed.bottom.H
            v = v[summary.parent] if len(v) > 1 else v
            found.append(_means(B[summary.kind], summary.slopes, v))
    return tuple(found[::-1])


def _means(B: np.ndarray, D: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray((B @ (D.transpose(0, 2, 1) @ v[:, :, None]))[:, :, 0])
