"""Cluster-robust covariance and tests of the fixed effects of a mixed model, from cluster sums alone.

With clusters the outermost groups, V_g the model's covariance of cluster g, M = (X'V^-1 X)^-1, and the
scores u_g = X_g'V_g^-1 e_g of its residuals, CR0 is M (sum u_g u_g') M (Liang and Zeger 1986); CR1
multiplies it by G / (G - 1), CR1S by G (N - 1) / ((G - 1) (N - p)). CR2 (Bell and McCaffrey 2002) adjusts the
residuals e_g so that the estimate is unbiased if the model is right.

The adjustment A_g must solve A_g P_g A_g' = V_g with P_g = V_g - X_g M X_g', and there are several. Here
A_g = V_g^1/2 (I - V_g^-1/2 X_g M X_g' V_g^-1/2)^-1/2 V_g^-1/2, the identity-model adjustment of Bell and
McCaffrey on whitened data, which does not depend on which root of V_g whitens. It makes X_g'V_g^-1 A_g e_g
equal to (I - F_g M)^-1/2 u_g with F_g = X_g'V_g^-1 X_g: p by p matrices are enough. Pustejovsky and Tipton
(2018, section 2) take the symmetric solution A_g = D'(D P_g D')^-1/2 D with D'D = V_g, which is the matrix
geometric mean of P_g^-1 and V_g and again does not depend on the root D. Both are exactly unbiased under the
model; they are the same if V_g and P_g commute, as when V_g is a multiple of I, or X_g is spanned by
eigenvectors of V_g. The symmetric one needs the rows. CR0, CR1 and CR1S do not differ.

Degrees of freedom match the first two moments of the variance estimate under the model (Satterthwaite;
Bell and McCaffrey 2002); F tests are the approximate Hotelling T^2 (Pustejovsky and Tipton 2018,
section 3.2, "HTZ"). The sums over pairs of clusters factor, so the cost is linear in clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from nwbswitch.analysis.inference.hypothesis import (
    FTest,
    TTest,
    checked_contrast,
    checked_contrasts,
    f_tail,
    t_test_of,
)
from nwbswitch.analysis.mixed.coefficient import quantile_of_t
from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.optimum import Optimum, psi_of
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.errors import FitError

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["CR0", "CR1", "CR1S", "CR2"]
# A direction with less than this part of its information outside one cluster rests on that cluster.
ALONE: Final = 1e-9


@dataclass(frozen=True, slots=True, repr=False)
class ClusterRobust:
    """Fixed effects with their cluster-robust covariance.

    ``estimates`` (p,) and ``vcov`` (p, p) are in the model's units; ``ddf`` (p,) are the degrees of freedom
    of each coefficient. Inside, with M = R R': ``root`` (p, p) is R in the model's units, ``parts``
    (clusters, p, p) are T_g = R'F_g R, whose sum is I, ``adjusted`` (clusters, p, p) the adjustments E_g, so
    that the estimate is R (sum E_g v_g v_g' E_g) R' with v_g = R'u_g. ``alone`` (clusters, p, p) projects
    on what rests on one cluster.
    """

    names: tuple[str, ...]
    kind: Kind
    group: str
    labels: tuple[str, ...]
    estimates: np.ndarray
    vcov: np.ndarray
    ddf: np.ndarray
    root: np.ndarray
    parts: np.ndarray
    adjusted: np.ndarray
    alone: np.ndarray

    def __repr__(self) -> str:
        return self.summary()

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.labels)

    def t_test(self, contrast: np.ndarray, *, null: float = 0.0) -> TTest:
        """Return the test that ``contrast`` (p,) of the coefficients is ``null``.

        All but the estimate is nan if one cluster alone determines part of the contrast.
        """
        row = checked_contrast(contrast, len(self.names))
        estimate = float(row @ self.estimates)
        if self._rests_on_one(row[None]):
            return TTest(estimate, *([float("nan")] * 4))
        df = _satterthwaite(self.parts, self.adjusted, self.root.T @ row)
        return t_test_of(estimate, float(row @ self.vcov @ row), df, null=null)

    def f_test(self, contrasts: np.ndarray) -> FTest:
        """Return the test that ``contrasts`` (q, p), of full rank, of the coefficients are zero."""
        rows = checked_contrasts(contrasts, len(self.names))
        q, nan = len(rows), float("nan")
        where = self._rests_on_one(rows)
        if where:
            return FTest(nan, q, nan, nan, reason=f"without {self.group} {where} it could not be estimated")
        values = rows @ self.estimates
        eta = _hotelling_df(self.parts, self.adjusted, self.root.T @ rows.T)
        den_df = eta - q + 1.0
        if den_df <= 0.0:
            reason = f"{len(self.labels)} {self.group} are too few to test {q} contrasts at once"
            return FTest(nan, q, den_df, nan, reason=reason)
        statistic = float(values @ np.linalg.solve(rows @ self.vcov @ rows.T, values))
        scaling = den_df / (eta * q)
        return FTest(scaling * statistic, q, den_df, f_tail(scaling * statistic, q, den_df))

    def table(self, *, level: float = 0.95) -> pd.DataFrame:
        """Return term, estimate, se, df, t, p, ci_low, ci_high."""
        import pandas as pd

        rows = []
        for name, contrast in zip(self.names, np.eye(len(self.names)), strict=True):
            test = self.t_test(contrast)
            half = quantile_of_t(level, test.df) * test.se
            low, high = test.estimate - half, test.estimate + half
            rows.append((name, test.estimate, test.se, test.df, test.t, test.p, low, high))
        return pd.DataFrame(rows, columns=["term", "estimate", "se", "df", "t", "p", "ci_low", "ci_high"])

    def undetermined(self) -> tuple[str, ...]:
        """Return in words which coefficients have no robust variance, and why."""
        found = []
        for name, contrast in zip(self.names, np.eye(len(self.names)), strict=True):
            where = self._rests_on_one(contrast[None])
            if where:
                found.append(f"{name}: without {self.group} {where} it could not be estimated.")
        return tuple(found)

    def summary(self) -> str:
        """Return the table as text for people."""
        lines = [
            f"Fixed effects with {self.kind} cluster-robust covariance, {self.n_clusters} clusters of "
            f"{self.group}; Satterthwaite degrees of freedom.",
            self.table().to_string(index=False, float_format=lambda value: f"{value:.4g}"),
            *self.undetermined(),
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return the tests as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "kind": self.kind,
                "group": self.group,
                "n_clusters": self.n_clusters,
                "fixed": self.table().to_dict(orient="records"),
                "vcov": self.vcov,
                "undetermined": self.undetermined(),
            }
        )
        return found

    def _rests_on_one(self, contrasts: np.ndarray) -> str:
        """Return the label of a cluster that alone determines part of a contrast, or ""."""
        z = self.root.T @ contrasts.T
        lost = np.linalg.norm(self.alone @ z, axis=1) / np.linalg.norm(z, axis=0)
        worst = int(np.argmax(lost.max(axis=1)))
        return self.labels[worst] if float(lost[worst].max()) > 1e-6 else ""


def cluster_robust(
    model: Model, deviance: Deviance, optimum: Optimum, *, kind: Kind = "CR2"
) -> ClusterRobust:
    """Return the fixed effects with a covariance that holds if the model's own covariance does not.

    Parameters
    ----------
    model, deviance, optimum
        The fitted model. Its covariance of the response is the working model.
    kind
        ``CR2`` for few clusters; ``CR0``, ``CR1``, ``CR1S`` for comparison.

    Raises
    ------
    FitError
        If the outermost groups are crossed or there are fewer than two of them.
    ValueError
        For a kind that does not exist.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind is {kind!r}; available are {', '.join(get_args(Kind))}.")
    found = deviance.cluster_sums(psi_of(deviance, optimum.theta))
    n_clusters, p = len(found.sums), deviance.n_fixed
    if n_clusters < 2:
        raise FitError(f"A cluster-robust covariance needs at least two {found.group}, not {n_clusters}.")
    F = found.sums[:, :p, :p]
    lower = np.linalg.cholesky(F.sum(axis=0))
    R = np.linalg.inv(lower).T
    beta = R @ (R.T @ found.sums[:, :p, -1].sum(axis=0))
    scores = (found.sums[:, :p, -1] - F @ beta) @ R
    parts = R.T @ F @ R
    parts = 0.5 * (parts + parts.transpose(0, 2, 1))
    scaling = deviance.scaling
    back = scaling.scale * np.linalg.inv(scaling.fixed)
    root = back @ R
    values, vectors = np.linalg.eigh(parts)
    left = 1.0 - values
    alone = (vectors * (left < ALONE)[:, None, :]) @ vectors.transpose(0, 2, 1)
    factor = 1.0
    adjusted = np.broadcast_to(np.eye(p), parts.shape)
    match kind:
        case "CR1":
            factor = n_clusters / (n_clusters - 1.0)
        case "CR1S":
            n = deviance.n_rows
            factor = n_clusters * (n - 1.0) / ((n_clusters - 1.0) * (n - p))
        case "CR2":
            size = np.where(left < ALONE, 0.0, 1.0 / np.sqrt(np.maximum(left, ALONE)))
            adjusted = (vectors * size[:, None, :]) @ vectors.transpose(0, 2, 1)
    moved = np.einsum("gij,gj->gi", adjusted, scores)
    vcov = factor * root @ (moved.T @ moved) @ root.T
    ddf = np.array([_satterthwaite(parts, adjusted, root.T @ each) for each in np.eye(p)])
    estimates = scaling.offset + back @ beta
    return ClusterRobust(
        model.names, kind, found.group, found.labels, estimates, vcov, ddf, root, parts, adjusted, alone
    )


def _satterthwaite(parts: np.ndarray, adjusted: np.ndarray, z: np.ndarray) -> float:
    """Return 2 E^2 / Var of the variance estimate of the contrast z, under the model.

    The adjusted scores z'E_g v_g have covariance d_g - b_g'b_h with b_g = T_g E_g z and
    d_g = z'E_g T_g E_g z on the diagonal (Pustejovsky and Tipton 2018, section 3.1).
    """
    moved = adjusted @ z
    b = np.einsum("gij,gj->gi", parts, moved)
    d = np.einsum("gi,gi->g", moved, b)
    own = np.einsum("gi,gi->g", b, b)
    inner = b.T @ b
    mean = float((d - own).sum())
    spread = float(np.sum(d * d - 2.0 * d * own)) + float(np.sum(inner * inner))
    return mean**2 / spread if spread > 0.0 else float("nan")


def _hotelling_df(parts: np.ndarray, adjusted: np.ndarray, z: np.ndarray) -> float:
    """Return q (q + 1) / sum of the variances of all entries of the scaled estimate, under the model."""
    moved = adjusted @ z
    b = parts @ moved
    expected = (moved.transpose(0, 2, 1) @ b - b.transpose(0, 2, 1) @ b).sum(axis=0)
    values, vectors = np.linalg.eigh(0.5 * (expected + expected.T))
    moved = moved @ (vectors / np.sqrt(values)) @ vectors.T
    b = parts @ moved
    d = moved.transpose(0, 2, 1) @ b
    q = z.shape[1]
    total = 0.0
    for s in range(q):
        for t in range(q):
            own_s, own_t = (np.einsum("gi,gi->g", b[:, :, i], b[:, :, i]) for i in (s, t))
            across = np.einsum("gi,gi->g", b[:, :, s], b[:, :, t])
            inner = b[:, :, s].T @ b[:, :, t]
            same = d[:, s, s] * d[:, t, t] - d[:, s, s] * own_t - d[:, t, t] * own_s
            crossed = d[:, s, t] ** 2 - 2.0 * d[:, s, t] * across
            total += float(np.sum(same + crossed)) + float(np.sum(inner * inner))
            total += float(np.sum(inner * inner.T))
    return float(q * (q + 1.0) / total)
