"""Degrees of freedom of cluster-robust tests, from the moments of the variance estimate under the model.

A contrast c of the coefficients has the variance estimate sum_g s_g^2 with s_g = c'C L_g e_g. Under the
working model Cov(s_g, s_h) = [g = h] d_g - b_g'b_h with d_g = c'C L_g M_g L_g' C c, b_g = R'X_g'L_g' C c
and C = R R': sums over pairs of clusters factor, so the cost is linear in clusters. Satterthwaite: 2 E^2 /
Var; Hotelling: q (q + 1) by the sum of the variances of all entries of the standardised estimate
(Pustejovsky and Tipton 2018, J Bus Econ Stat 36:672-683, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

# A direction with less than this part of its information outside one cluster rests on that cluster.
_ALONE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The adjusted scores of the clusters in the units of an orthonormal design.

    ``map`` (p, p) takes scores to coefficients and ``root`` (p, p) is R in their units; ``spread``
    (clusters, p, p) are L_g M_g L_g', ``lifted`` (clusters, p, p) are R'X_g'L_g', and ``left`` (clusters,
    p, p) is I - R'X_g'M_g^-1 X_g R, the information without a cluster. ``clusters`` are their codes.
    """

    map: np.ndarray
    root: np.ndarray
    spread: np.ndarray
    lifted: np.ndarray
    left: np.ndarray
    clusters: np.ndarray

    def moments(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return d (clusters, q, q) and b (clusters, p, q) of the contrasts ``rows`` (q, p)."""
        moved = self.map.T @ rows.T
        return moved.T @ self.spread @ moved, self.lifted @ moved

    def alone(self, rows: np.ndarray) -> int | None:
        """Return the code of a cluster that alone determines part of a contrast, or None."""
        z = self.root.T @ rows.T
        values, vectors = np.linalg.eigh(0.5 * (self.left + self.left.transpose(0, 2, 1)))
        on_it = (vectors * (values < _ALONE)[:, None, :]) @ vectors.transpose(0, 2, 1)
        lost = (np.linalg.norm(on_it @ z, axis=1) / np.linalg.norm(z, axis=0)).max(axis=1)
        worst = int(np.argmax(lost))
        return int(self.clusters[worst]) if float(lost[worst]) > 1e-6 else None


def satterthwaite_df(adjusted: Adjusted, row: np.ndarray) -> float:
    """Return 2 E^2 / Var of the variance estimate of a contrast (p,)."""
    spread, lifted = adjusted.moments(row[None])
    d, b = spread[:, 0, 0], lifted[:, :, 0]
    own = np.einsum("gi,gi->g", b, b)
    inner = b.T @ b
    mean = float((d - own).sum())
    variance = float(np.sum(d * d - 2.0 * d * own)) + float(np.sum(inner * inner))
    return mean**2 / variance if variance > 0.0 else float("nan")


def hotelling_df(adjusted: Adjusted, rows: np.ndarray) -> float:
    """Return q (q + 1) by the summed variances of the standardised estimate of contrasts (q, p)."""
    spread, lifted = adjusted.moments(rows)
    expected = (spread - lifted.transpose(0, 2, 1) @ lifted).sum(axis=0)
    values, vectors = np.linalg.eigh(0.5 * (expected + expected.T))
    whiten = (vectors / np.sqrt(values)) @ vectors.T
    d, b = whiten @ spread @ whiten, lifted @ whiten
    q = len(rows)
    total = 0.0
    for s in range(q):
        for t in range(q):
            own_s, own_t = (np.einsum("gi,gi->g", b[:, :, i], b[:, :, i]) for i in (s, t))
            across = np.einsum("gi,gi->g", b[:, :, s], b[:, :, t])
            inner = b[:, :, s].T @ b[:, :, t]
            same = d[:, s, s] * d[:, t, t] - d[:, s, s] * own_t - d[:, t, t] * own_s
            crossed = d[:, s, t] ** 2 - 2.0 * d[:, s, t] * across
            total += float(np.sum(same + crossed))
            total += float(np.sum(inner * inner)) + float(np.sum(inner * inner.T))
    return float(q * (q + 1.0) / total)
