"""Cluster-robust covariance of pooled effects, for few clusters.

With clusters g, working covariance M_g, C = (X'M^-1 X)^-1 and residuals e_g = y_g - X_g b, the sandwich is
C [sum_g X_g'M_g^-1 A_g e_g e_g'A_g'M_g^-1 X_g] C. CR0 has A_g = I (Liang and Zeger 1986; Hedges, Tipton and
Johnson 2010 for meta-analysis), CR1 multiplies it by G / (G - 1) and CR1p by G / (G - p). CR2 (Bell and
McCaffrey 2002) is unbiased if M is right: A_g is the symmetric solution D'(D (M_g - X_g C X_g') D')^-1/2 D
with M_g = D'D of Pustejovsky and Tipton (2018, J Bus Econ Stat 36:672-683, section 2), here with the
Cholesky factor for D. Degrees of freedom are those of Satterthwaite (their section 3.1) for CR2, and G - p
for the others; joint tests are the approximate Hotelling T^2 (section 3.2, "HTZ").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from nwbswitch.analysis.inference.hypothesis import (
    FTest,
    TTest,
    checked_contrast,
    checked_contrasts,
    f_tail,
    t_test_of,
)
from nwbswitch.analysis.meta_analysis.multilevel_blocks import Stack, stacks
from nwbswitch.analysis.meta_analysis.robust_moments import Adjusted, hotelling_df, satterthwaite_df
from nwbswitch.analysis.mixed.coefficient import Coefficient, quantile_of_t
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.errors import FitError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
    from nwbswitch.analysis.meta_analysis.multilevel_result import MultilevelFit

Kind = Literal["CR0", "CR1", "CR1p", "CR2"]


@dataclass(frozen=True, slots=True, repr=False)
class RobustMeta:
    """Coefficients with their cluster-robust covariance.

    ``estimates`` (p,) and ``vcov`` (p, p); ``ddf`` (p,) are the degrees of freedom of the coefficients, nan
    where one cluster alone determines a coefficient.
    """

    names: tuple[str, ...]
    kind: Kind
    cluster: str
    labels: tuple[str, ...]
    estimates: np.ndarray
    vcov: np.ndarray
    ddf: np.ndarray
    adjusted: Adjusted

    def __repr__(self) -> str:
        return self.summary()

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.labels)

    def t_test(self, contrast: np.ndarray, *, null: float = 0.0) -> TTest:
        """Return the test that ``contrast`` (p,) of the coefficients is ``null``.

        All but the estimate is nan if one cluster alone determines part of the contrast, or no degree of
        freedom is left.
        """
        row = checked_contrast(contrast, len(self.names))
        estimate, df = float(row @ self.estimates), self._df(row)
        if not df > 0.0:
            return TTest(estimate, *([float("nan")] * 4))
        return t_test_of(estimate, float(row @ self.vcov @ row), df, null=null)

    def f_test(self, contrasts: np.ndarray) -> FTest:
        """Return the test that ``contrasts`` (q, p), of full rank, of the coefficients are zero.

        With CR2 the approximate Hotelling T^2; else F with q and G - p degrees of freedom.
        """
        rows = checked_contrasts(contrasts, len(self.names))
        q, nan = len(rows), float("nan")
        where = self.adjusted.alone(rows)
        if where is not None:
            reason = f"without {self.cluster} {self.labels[where]} it could not be estimated"
            return FTest(nan, q, nan, nan, reason=reason)
        values = rows @ self.estimates
        statistic = float(values @ np.linalg.solve(rows @ self.vcov @ rows.T, values))
        eta, scaling = float(self.n_clusters - len(self.names)), 1.0 / q
        if self.kind == "CR2":
            eta = hotelling_df(self.adjusted, rows) - q + 1.0
            scaling = eta / ((eta + q - 1.0) * q)
        if not eta > 0.0:
            reason = f"{self.n_clusters} clusters are too few to test {q} contrasts at once"
            return FTest(nan, q, eta, nan, reason=reason)
        return FTest(scaling * statistic, q, eta, f_tail(scaling * statistic, q, eta))

    def moderators(self) -> FTest:
        """Return the test of all coefficients but the intercept, or of the only one."""
        tested = [i for i, name in enumerate(self.names) if name != "(Intercept)"] or [0]
        return self.f_test(np.eye(len(self.names))[tested])

    def coefficients(self, *, level: float = 0.95) -> tuple[Coefficient, ...]:
        """Return each coefficient with its test and interval."""
        found = []
        for name, row in zip(self.names, np.eye(len(self.names)), strict=True):
            test = self.t_test(row)
            half = quantile_of_t(level, test.df) * test.se
            low, high = test.estimate - half, test.estimate + half
            found.append(Coefficient(name, test.estimate, test.se, test.df, test.t, test.p, low, high))
        return tuple(found)

    def table(self, *, level: float = 0.95) -> pd.DataFrame:
        """Return term, estimate, se, df, t, p, ci_low, ci_high."""
        return pd.DataFrame([asdict(each) for each in self.coefficients(level=level)])

    def notes(self) -> tuple[str, ...]:
        """Return in words which coefficients have no robust test, or a doubtful one, and why."""
        found = []
        for name, row, df in zip(self.names, np.eye(len(self.names)), self.ddf, strict=True):
            where = self.adjusted.alone(row[None])
            if where is not None:
                found.append(
                    f"{name}: without {self.cluster} {self.labels[where]} it could not be estimated."
                )
            elif df < 4.0:
                found.append(
                    f"{name}: with {df:.1f} degrees of freedom its P is not to be trusted (Tipton 2015)."
                )
        return tuple(found)

    def summary(self) -> str:
        """Return the table as text for people."""
        kind = "Satterthwaite" if self.kind == "CR2" else "clusters minus coefficients"
        lines = [
            f"{self.kind} cluster-robust covariance, {self.n_clusters} clusters of {self.cluster}; degrees "
            f"of freedom: {kind}.",
            self.table().to_string(index=False, float_format=lambda value: f"{value:.4g}"),
            *self.notes(),
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return the tests as plain JSON values."""
        joint = self.moderators()
        found: dict[str, Any] = plain(
            {
                "kind": self.kind,
                "cluster": self.cluster,
                "n_clusters": self.n_clusters,
                "coefficients": [asdict(each) for each in self.coefficients()],
                "vcov": self.vcov,
                "moderators": asdict(joint),
                "notes": list(self.notes()),
            }
        )
        return found

    def _df(self, row: np.ndarray) -> float:
        if self.adjusted.alone(row[None]) is not None:
            return float("nan")
        if self.kind != "CR2":
            return float(self.n_clusters - len(self.names))
        return satterthwaite_df(self.adjusted, row)


def robust_multilevel(
    fit: MultilevelFit, *, cluster: str | Sequence[Any] | None = None, kind: Kind = "CR2"
) -> RobustMeta:
    """Return the coefficients of a multilevel fit with cluster-robust covariance.

    Parameters
    ----------
    fit
        The fit; its covariance V + Z G Z' is the working model.
    cluster
        Name of a random group, labels of the rows used, or None for the outermost group.
    kind
        ``CR2`` for few clusters, or ``CR0``, ``CR1``, ``CR1p``.

    Raises
    ------
    FitError
        For fewer than two clusters, or effects of different clusters that the model correlates.
    ValueError
        For a kind or group that does not exist, or another number of labels than rows.
    """
    model = fit.model
    frame, data = model.frame, model.data
    name, codes, labels = _clusters(fit, cluster)
    crossing = np.unique(np.stack([model.block, codes]), axis=1)[0]
    split = np.flatnonzero(np.bincount(crossing) > 1)
    if split.size:
        rows = np.flatnonzero(model.block == split[0])
        one, other = list(dict.fromkeys(labels[each] for each in codes[rows].tolist()))[:2]
        raise FitError(
            f"{name} {one} and {other} share random effects or sampling errors in this model, so they are "
            "not independent clusters. Choose a coarser cluster."
        )
    parts = stacks(frame.known, codes)
    working = []
    for stack in parts:
        total = stack.known.copy()
        for value, share in zip(fit.optimum.theta * data.scale**2, data.shares, strict=True):
            total += value * share.of(stack.rows)
        working.append(Stack(stack.rows, total))
    return cluster_robust(
        frame.effect, frame.design.matrix, frame.design.names, working, codes, labels, cluster=name, kind=kind
    )


def _clusters(
    fit: MultilevelFit, cluster: str | Sequence[Any] | None
) -> tuple[str, np.ndarray, tuple[str, ...]]:
    frame = fit.model.frame
    if cluster is None:
        cluster = min(frame.parts, key=lambda part: len(part.labels)).group
    if isinstance(cluster, str):
        for part in frame.parts:
            if part.group == cluster:
                return cluster, part.codes, part.labels
        known = ", ".join(dict.fromkeys(part.group for part in frame.parts))
        raise ValueError(
            f"{cluster!r} is no random group of this model; it has {known}. Give the labels of the rows "
            "instead."
        )
    return "cluster", *_labelled(cluster, len(frame.rows))


def _labelled(cluster: Sequence[Any], n_rows: int) -> tuple[np.ndarray, tuple[str, ...]]:
    if len(cluster) != n_rows:
        raise ValueError(f"There are {len(cluster)} cluster labels for {n_rows} rows used.")
    missing = np.flatnonzero(pd.isna(pd.Series(list(cluster), dtype=object)))
    if missing.size:
        raise FitError(f"The cluster is missing in row {int(missing[0]) + 1} of those used.")
    codes, uniques = pd.factorize(pd.Series([str(each) for each in cluster], dtype=object))
    return np.asarray(codes), tuple(str(each) for each in uniques)


def robust_meta(fit: MetaFit, *, cluster: str | Sequence[Any], kind: Kind = "CR2") -> RobustMeta:
    """Return the coefficients of a univariate meta-analysis with cluster-robust covariance.

    Parameters
    ----------
    fit
        The fit; the variances v + tau^2 are the working model.
    cluster
        Column of the table that was pooled, or labels of the rows used.
    kind
        As in `robust_multilevel`.

    Raises
    ------
    FitError
        If nothing was pooled, effects had weights of their own, or there are fewer than two clusters.
    FormulaError
        If there is no such column.
    """
    from nwbswitch.analysis.meta_analysis.meta import require_column

    if not fit.pooled:
        raise FitError(f"There is nothing to test: {fit.status}.")
    if fit.problem.weights is not None:
        raise FitError(
            "The working model of CR2 has inverse variances for weights; this fit has others. Fit it without "
            "weights."
        )
    name = cluster if isinstance(cluster, str) else "cluster"
    if isinstance(cluster, str):
        require_column(fit.source, cluster)
        cluster = fit.source[cluster].tolist()
    codes, labels = _labelled(cluster, fit.k)
    known = csr_of_variances(fit.problem.variance + fit.tau2)
    working = stacks(known, codes)
    return cluster_robust(
        fit.problem.effect, fit.problem.design, fit.terms, working, codes, labels, cluster=name, kind=kind
    )


def csr_of_variances(variances: np.ndarray) -> csr_array:
    """Return a diagonal covariance, sparse."""
    from scipy.sparse import csr_array, diags_array

    return csr_array(diags_array(variances))


def cluster_robust(
    effect: np.ndarray,
    design: np.ndarray,
    names: Sequence[str],
    working: Sequence[Stack],
    codes: np.ndarray,
    labels: Sequence[str],
    *,
    cluster: str,
    kind: Kind = "CR2",
) -> RobustMeta:
    """Return weighted least squares with weights M^-1 and their cluster-robust covariance.

    Parameters
    ----------
    effect, design
        Effects (n,) and their design (n, p).
    names
        Names of the columns of the design.
    working
        Covariance M of each cluster, clusters of one size together.
    codes, labels
        Cluster (n,) of each row, and the labels of clusters.
    cluster
        What clusters are called.
    kind
        As in `robust_multilevel`.

    Raises
    ------
    FitError
        For fewer than two clusters.
    ValueError
        For a kind that does not exist.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind is {kind!r}; available are {', '.join(get_args(Kind))}.")
    n_clusters, p = len(labels), design.shape[1]
    if n_clusters < 2:
        raise FitError(
            f"A cluster-robust covariance needs at least two clusters of {cluster}, not {n_clusters}."
        )
    basis, triangle = np.linalg.qr(design)
    back = np.linalg.inv(triangle)
    offset = basis.T @ effect
    left = effect - basis @ offset
    inverses = [np.linalg.inv(stack.known) for stack in working]
    information, score = np.zeros((p, p)), np.zeros(p)
    for stack, inverse in zip(working, inverses, strict=True):
        wx = inverse @ basis[stack.rows]
        information += np.einsum("gmi,gmj->ij", basis[stack.rows], wx)
        score += np.einsum("gmi,gm->i", wx, left[stack.rows])
    root = np.linalg.inv(np.linalg.cholesky(0.5 * (information + information.T))).T
    covariance = root @ root.T
    beta = covariance @ score
    meat, lifted, spreads, kept, order = np.zeros((p, p)), [], [], [], []
    for stack, inverse in zip(working, inverses, strict=True):
        x = basis[stack.rows]
        # Rows of L = X'M^-1 A, so that the score of a cluster is L e.
        rows = x.transpose(0, 2, 1) @ inverse
        if kind == "CR2":
            rows = rows @ _symmetric_adjustment(stack.known, x @ root)
        residual = left[stack.rows] - x @ beta
        scores = np.einsum("gim,gm->gi", rows, residual)
        meat += scores.T @ scores
        lifted.append(root.T @ (rows @ x).transpose(0, 2, 1))
        spreads.append(rows @ stack.known @ rows.transpose(0, 2, 1))
        kept.append(np.eye(p) - root.T @ (x.transpose(0, 2, 1) @ inverse @ x) @ root)
        order.append(codes[stack.rows[:, 0]])
    scale = 1.0
    if kind in ("CR1", "CR1p"):
        taken = 1 if kind == "CR1" else p
        if n_clusters <= taken:
            raise FitError(f"{kind} needs more than {taken} clusters of {cluster}: there are {n_clusters}.")
        scale = n_clusters / (n_clusters - taken)
    vcov = scale * back @ covariance @ meat @ covariance @ back.T
    adjusted = Adjusted(
        map=back @ covariance,
        root=back @ root,
        spread=np.concatenate(spreads),
        lifted=np.concatenate(lifted),
        left=np.concatenate(kept),
        clusters=np.concatenate(order),
    )
    found = RobustMeta(
        tuple(names), kind, cluster, tuple(labels), back @ (offset + beta), vcov, np.empty(0), adjusted
    )
    ddf = np.array([found._df(row) for row in np.eye(p)])
    return RobustMeta(found.names, kind, cluster, found.labels, found.estimates, vcov, ddf, adjusted)


def _symmetric_adjustment(known: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Return A = D'(D (M - R R') D')^-1/2 D of each block, with D'D = M and R R' = X C X'."""
    upper = np.linalg.cholesky(known).transpose(0, 2, 1)
    inner = known - moved @ moved.transpose(0, 2, 1)
    middle = upper @ inner @ upper.transpose(0, 2, 1)
    values, vectors = np.linalg.eigh(0.5 * (middle + middle.transpose(0, 2, 1)))
    largest = np.maximum(values[:, -1:], 1e-300)
    size = np.where(values > 1e-10 * largest, 1.0 / np.sqrt(np.maximum(values, 1e-300)), 0.0)
    half = (vectors * size[:, None, :]) @ vectors.transpose(0, 2, 1)
    return np.asarray(upper.transpose(0, 2, 1) @ half @ upper)
