"""The likelihood of a multilevel meta-analysis, its gradient and curvature, as sums over blocks.

The model is y ~ N(X beta, M) with M = V + sum_e theta_e K_e: V is the known sampling covariance and
K_e says which pairs of rows share the entry theta_e of the covariance of the random effects. With
P = M^-1 - M^-1 X (X'M^-1 X)^-1 X'M^-1 the restricted likelihood (Harville 1974) has

    -2 l = (n - p) log 2 pi - log|X'X| + log|M| + log|X'M^-1 X| + y'Py,

first derivatives tr(P K_e) - y'P K_e P y and second ones 2 y'P K_e P K_f P y - tr(P K_e P K_f) (Searle,
Casella and McCulloch 1992, section 6.6, for linear M). For maximum likelihood the traces have M^-1 for P and
the determinants of X are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nwbswitch.analysis.meta_analysis.multilevel_blocks import Stack

Method = Literal["reml", "ml"]


@dataclass(frozen=True, slots=True)
class Shares:
    """Which pairs of rows share one entry: rows of one group whose inner levels are this pair.

    ``group`` and ``inner`` are codes (rows,); ``inner`` is None for a random intercept.
    """

    group: np.ndarray
    inner: np.ndarray | None = None
    pair: tuple[int, int] = (0, 0)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return the pairs (blocks, m, m) of the rows (blocks, m) of a stack."""
        group = self.group[rows]
        same = group[:, :, None] == group[:, None, :]
        if self.inner is None:
            return np.asarray(same)
        one, other = (self.inner[rows] == each for each in self.pair)
        across = one[:, :, None] & other[:, None, :]
        return np.asarray(same & (across | across.transpose(0, 2, 1)))


@dataclass(frozen=True, slots=True)
class Data:
    """What the likelihood is of: rows scaled and with an orthonormal design.

    ``effect`` (n,) holds residuals of least squares divided by ``scale``, ``basis`` (n, p) the orthonormal
    columns with X = basis @ triangle; ``offset`` (p,) are the coefficients of the least squares fit in
    units of the basis. Sampling covariances in ``stacks`` are divided by ``scale`` squared.
    """

    effect: np.ndarray
    basis: np.ndarray
    triangle: np.ndarray
    offset: np.ndarray
    scale: float
    stacks: tuple[Stack, ...]
    shares: tuple[Shares, ...]
    pairs: tuple[tuple[np.ndarray, ...], ...]

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.effect)

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return int(self.basis.shape[1])


def prepared(
    effect: np.ndarray, design: np.ndarray, parts: Sequence[Stack], shares: Sequence[Shares]
) -> Data:
    """Return the data in units in which the typical variance is 1."""
    basis, triangle = np.linalg.qr(design)
    offset = basis.T @ effect
    residual = effect - basis @ offset
    own = np.concatenate([np.diagonal(each.known, axis1=1, axis2=2).ravel() for each in parts])
    scale = float(np.sqrt(np.median(own)))
    scaled = tuple(Stack(each.rows, each.known / scale**2) for each in parts)
    pairs = tuple(tuple(share.of(each.rows) for share in shares) for each in parts)
    return Data(residual / scale, basis, triangle, offset, scale, scaled, tuple(shares), pairs)


@dataclass(frozen=True, slots=True)
class Solved:
    """Generalised least squares at one covariance, in the units of `Data`.

    ``inverses`` are M^-1 of each stack, ``weighted`` M^-1 X and ``residual`` M^-1 (y - X beta).
    """

    inverses: tuple[np.ndarray, ...]
    weighted: tuple[np.ndarray, ...]
    residual: tuple[np.ndarray, ...]
    covariance: np.ndarray
    coefficients: np.ndarray
    log_det: float
    log_det_information: float
    rss: float


def covariances(data: Data, theta: np.ndarray) -> list[np.ndarray]:
    """Return M of each stack."""
    found = []
    for stack, pairs in zip(data.stacks, data.pairs, strict=True):
        total = stack.known.copy()
        for value, pair in zip(theta, pairs, strict=True):
            total += value * pair
        found.append(total)
    return found


def solve(data: Data, theta: np.ndarray) -> Solved:
    """Return the least squares at the entries ``theta`` (e,).

    Raises
    ------
    numpy.linalg.LinAlgError
        If M is not positive definite, which no chart leads to.
    """
    inverses, weighted, log_det = [], [], 0.0
    information, score = np.zeros((data.p, data.p)), np.zeros(data.p)
    for stack, total in zip(data.stacks, covariances(data, theta), strict=True):
        lower = np.linalg.cholesky(total)
        log_det += 2.0 * float(np.log(np.diagonal(lower, axis1=1, axis2=2)).sum())
        half = np.linalg.inv(lower)
        inverse = half.transpose(0, 2, 1) @ half
        x, y = data.basis[stack.rows], data.effect[stack.rows]
        wx = inverse @ x
        information += np.einsum("gmi,gmj->ij", x, wx)
        score += np.einsum("gmi,gm->i", wx, y)
        inverses.append(inverse)
        weighted.append(wx)
    lower = np.linalg.cholesky(0.5 * (information + information.T))
    half = np.linalg.inv(lower)
    covariance = half.T @ half
    beta = covariance @ score
    residual, rss = [], 0.0
    for stack, inverse in zip(data.stacks, inverses, strict=True):
        left = data.effect[stack.rows] - data.basis[stack.rows] @ beta
        own = np.einsum("gij,gj->gi", inverse, left)
        rss += float(np.einsum("gi,gi->", left, own))
        residual.append(own)
    log_det_information = 2.0 * float(np.log(np.diagonal(lower)).sum())
    return Solved(
        tuple(inverses), tuple(weighted), tuple(residual), covariance, beta, log_det, log_det_information, rss
    )


def criterion(data: Data, solved: Solved, method: Method) -> float:
    """Return -2 l without its constants."""
    return solved.log_det + solved.rss + (solved.log_det_information if method == "reml" else 0.0)


def log_likelihood(data: Data, solved: Solved, method: Method) -> float:
    """Return the log-likelihood in the units of the effects."""
    n = data.n - data.p if method == "reml" else data.n
    return float(-0.5 * (n * np.log(2.0 * np.pi * data.scale**2) + criterion(data, solved, method)))


def gradient(data: Data, solved: Solved, method: Method) -> np.ndarray:
    """Return the first derivatives (e,) of the criterion."""
    found = np.zeros(len(data.shares))
    for place, inverse in enumerate(solved.inverses):
        wx, own = solved.weighted[place], solved.residual[place]
        for a, pairs in enumerate(data.pairs[place]):
            shared = pairs.astype(float)
            found[a] += float(np.vdot(inverse, shared)) - float(
                np.vdot(own, (shared @ own[:, :, None])[:, :, 0])
            )
            if method == "reml":
                found[a] -= float(np.vdot(wx @ solved.covariance, shared @ wx))
    return found


def derivatives(data: Data, solved: Solved, method: Method) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return first derivatives (e,) of the criterion, second ones (e, e) and the expectation of those."""
    e, p = len(data.shares), data.p
    traces, forms = np.zeros(e), np.zeros(e)
    inner = np.zeros((e, p, p))
    crossed, products = np.zeros((e, e)), np.zeros((e, e))
    middle, lifted = np.zeros((e, e, p, p)), np.zeros((e, p))
    for place, inverse in enumerate(solved.inverses):
        wx, own = solved.weighted[place], solved.residual[place]
        pairs = [each.astype(float) for each in data.pairs[place]]
        moved = [inverse @ each for each in pairs]
        columns = [each @ wx for each in pairs]
        pushed = [np.einsum("gij,gj->gi", each, own) for each in pairs]
        back = [np.einsum("gij,gj->gi", inverse, each) for each in pushed]
        for a in range(e):
            traces[a] += float(np.einsum("gij,gij->", inverse, pairs[a]))
            forms[a] += float(np.einsum("gi,gi->", own, pushed[a]))
            inner[a] += np.einsum("gmi,gmj->ij", wx, columns[a])
            lifted[a] += np.einsum("gmi,gm->i", wx, pushed[a])
            solved_columns = inverse @ columns[a]
            for b in range(a + 1):
                crossed[a, b] += float(np.einsum("gij,gji->", moved[a], moved[b]))
                products[a, b] += float(np.einsum("gi,gi->", back[a], pushed[b]))
                middle[a, b] += np.einsum("gmi,gmj->ij", columns[b], solved_columns)
    C = solved.covariance
    first, second, expected = np.empty(e), np.empty((e, e)), np.empty((e, e))
    for a in range(e):
        restricted = float(np.sum(C * inner[a])) if method == "reml" else 0.0
        first[a] = traces[a] - restricted - forms[a]
        for b in range(a + 1):
            trace = crossed[a, b]
            if method == "reml":
                trace += float(np.trace(C @ inner[a] @ C @ inner[b])) - 2.0 * float(np.sum(C * middle[a, b]))
            form = products[a, b] - float(lifted[a] @ C @ lifted[b])
            second[a, b] = second[b, a] = 2.0 * form - trace
            expected[a, b] = expected[b, a] = trace
    return first, second, expected
