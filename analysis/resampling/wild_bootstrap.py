"""Wild cluster bootstrap of fixed effects, from cluster sums alone.

With the model's covariance V as the weights, the residuals of the estimates under the null hypothesis are
multiplied, cluster by cluster, by random weights of mean 0 and variance 1 (Cameron, Gelbach and Miller 2008).
Since X_g'V_g^-1 y_g* = F_g b0 + w_g u_g, where u_g are the scores under the null and F_g = X_g'V_g^-1 X_g,
a draw needs p by p matrices only. Each draw is tested with its own cluster-robust covariance; V is held.
Webb's six weights (Webb 2014) suit few clusters, where the 2^G draws of signs are too few.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from nwbswitch.analysis.inference.hypothesis import checked_contrasts
from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.optimum import Optimum, psi_of
from nwbswitch.analysis.plain_values import plain
from nwbswitch.analysis.resampling.arrangements import all_signs, some_signs
from nwbswitch.schemas.errors import FitError

if TYPE_CHECKING:
    import pandas as pd

WildWeights = Literal["webb", "rademacher"]
WEBB: Final = np.sqrt([1.5, 1.0, 0.5]).tolist() + (-np.sqrt([0.5, 1.0, 1.5])).tolist()
# Rounding must not make the given signs rarer than their mirror image.
TIE: Final = 1e-9
_PIECE_NUMBERS: Final = 2_000_000


@dataclass(frozen=True, slots=True, repr=False)
class WildTest:
    """The Wald statistic over its number of contrasts (for one, t squared) against its draws.

    ``enumerated`` if all signs were taken instead of a sample.
    """

    tested: tuple[str, ...]
    group: str
    n_clusters: int
    statistic: float
    num_df: int
    p: float
    n_draws: int
    weights: WildWeights
    enumerated: bool
    seed: int

    def __repr__(self) -> str:
        return self.summary()

    def table(self) -> pd.DataFrame:
        """Return one row: statistic, num_df, p, n_draws, weights, n_clusters."""
        import pandas as pd

        names = ["statistic", "num_df", "p", "n_draws", "weights", "n_clusters"]
        return pd.DataFrame([asdict(self)])[names]

    def summary(self) -> str:
        """Return the test as text for people."""
        how = "all signs" if self.enumerated else f"{self.weights} weights, seed {self.seed}"
        return (
            f"Wild cluster bootstrap over {self.n_clusters} {self.group} ({self.n_draws} draws, {how}): "
            f"F = {self.statistic:.4g} on {self.num_df}, P = {self.p:.4g}."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the test as plain JSON values."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def wild_test(
    model: Model,
    deviance: Deviance,
    optimum: Optimum,
    contrasts: np.ndarray,
    *,
    values: np.ndarray | None = None,
    weights: WildWeights = "webb",
    n: int = 9_999,
    seed: int = 0,
) -> WildTest:
    """Return the wild cluster bootstrap test that ``contrasts`` of the coefficients have given values.

    Parameters
    ----------
    model, deviance, optimum
        The fitted model, whose covariance weighs the rows.
    contrasts
        (q, p) of full rank, or (p,).
    values
        (q,) values under the null hypothesis; zeros by default.
    weights
        ``webb``, or ``rademacher`` for random signs, all of which are taken if they are at most ``n``.
    n, seed
        Number and seed of the draws; P is (b + 1) / (n + 1), or the share of all signs.

    Raises
    ------
    FitError
        If there are no independent clusters, or too few for the contrasts.
    ValueError
        For weights that do not exist, or contrasts that do not fit.
    TypeError
        If ``n`` is no whole number.
    """
    if weights not in get_args(WildWeights):
        raise ValueError(f"weights is {weights!r}; available are {', '.join(get_args(WildWeights))}.")
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"n is {n!r}; it must be a whole number.")
    if n < 99:
        raise ValueError(f"n is {n}; at least 99 draws are needed.")
    rows = checked_contrasts(np.atleast_2d(contrasts), len(model.names))
    held = np.zeros(len(rows)) if values is None else np.atleast_1d(np.asarray(values, dtype=float))
    found = deviance.cluster_sums(psi_of(deviance, optimum.theta))
    n_clusters, p, q = len(found.sums), deviance.n_fixed, len(rows)
    if n_clusters <= q + 1:
        raise FitError(f"{n_clusters} {found.group} are too few to test {q} contrasts by a wild bootstrap.")
    scaling = deviance.scaling
    L = rows @ np.linalg.inv(scaling.fixed)
    target = (held - rows @ scaling.offset) / scaling.scale
    F, s = found.sums[:, :p, :p], found.sums[:, :p, -1]
    M = np.linalg.inv(F.sum(axis=0))
    b = M @ s.sum(axis=0)
    null = b - M @ L.T @ np.linalg.solve(L @ M @ L.T, L @ b - target)
    scores = s - F @ null
    statistics = _statistics(F @ M, scores, L @ M)
    observed = float(statistics(np.ones((1, n_clusters)))[0])
    enumerated = weights == "rademacher" and 2**n_clusters <= n
    if enumerated:
        drawn = statistics(all_signs(n_clusters))
        p_value = float(np.mean(drawn >= observed * (1.0 - TIE)))
    else:
        rng = np.random.default_rng(seed)
        chosen = (
            some_signs(n_clusters, n, rng)
            if weights == "rademacher"
            else np.array(WEBB)[rng.integers(0, len(WEBB), (n, n_clusters))]
        )
        drawn = statistics(chosen)
        p_value = float((1 + np.sum(drawn >= observed * (1.0 - TIE))) / (n + 1))
    names = tuple(
        " ".join(f"{value:+g} {name}" for name, value in zip(model.names, row, strict=True) if value)
        for row in rows
    )
    return WildTest(
        names, found.group, n_clusters, observed, q, p_value, len(drawn), weights, enumerated, seed
    )


def _statistics(
    leverages: np.ndarray, scores: np.ndarray, outer: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from weights (draws, clusters) to Wald statistics over q.

    ``leverages`` (clusters, p, p) are F_g M, ``scores`` (clusters, p) u_g under the null, ``outer`` (q, p)
    is L M. The scores of a draw at its own estimates are w_g u_g - F_g M sum w_h u_h.
    """
    n_clusters, q = len(scores), len(outer)
    own = scores @ outer.T
    through = outer @ leverages

    def of_piece(weights: np.ndarray) -> np.ndarray:
        total = weights @ scores
        rest = weights[:, :, None] * own - np.einsum("gqp,np->ngq", through, total)
        covariance = np.einsum("ngq,ngr->nqr", rest, rest) * n_clusters / (n_clusters - 1.0)
        effects = total @ outer.T
        if q == 1:
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.asarray(effects[:, 0] ** 2 / covariance[:, 0, 0])
        solved = np.linalg.solve(covariance, effects[:, :, None])[:, :, 0]
        return np.asarray(np.einsum("nq,nq->n", effects, solved) / q)

    def of(weights: np.ndarray) -> np.ndarray:
        size = max(1, _PIECE_NUMBERS // (n_clusters * q))
        return np.concatenate([of_piece(weights[i : i + size]) for i in range(0, len(weights), size)])

    return of
