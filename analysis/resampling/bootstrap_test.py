"""Parametric bootstrap test of fixed effects: the likelihood ratio under draws from the null model.

The null model is the model with contrasts of the coefficients held at values. Responses are drawn from its
fit by maximum likelihood, and both models are fitted to each. The P value of the draws is (1 + number at
least as large) / (n + 1). With fewer draws than a small P value needs, their moments serve: Bartlett's
correction of the mean, a gamma distribution of their mean and variance, or an F distribution of their mean
(Halekoh and Hojsgaard 2014, on parametric bootstrap).
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbswitch.analysis.inference.hypothesis import checked_contrasts
from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.optimum import Optimum, psi_of
from nwbswitch.analysis.plain_values import plain
from nwbswitch.analysis.resampling.bootstrap import fitted_draws
from nwbswitch.analysis.resampling.refit import Refit, refit
from nwbswitch.analysis.resampling.restricted import restricted
from nwbswitch.schemas.errors import FitError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class ReferenceTest:
    """The likelihood ratio against one reference distribution; ``den_df`` is nan but for F."""

    test: str
    statistic: float
    num_df: float
    den_df: float
    p: float


@dataclass(frozen=True, slots=True, repr=False)
class BootstrapTest:
    """The likelihood ratio of a fit and of every draw (n,) from the null model, nan where a fit failed."""

    ratio: float
    df: int
    seed: int
    draws: np.ndarray
    n_singular: int
    n_not_converged: int
    reasons: tuple[str, ...]

    def __repr__(self) -> str:
        return self.summary()

    @property
    def n(self) -> int:
        """Number of draws."""
        return len(self.draws)

    @property
    def n_failed(self) -> int:
        """Number of draws without a likelihood ratio."""
        return int(np.isnan(self.draws).sum())

    @property
    def p(self) -> float:
        """P value of the draws; a failed draw counts as at least as large."""
        return float((1 + np.sum(~(self.draws < self.ratio))) / (self.n + 1))

    def tests(self) -> tuple[ReferenceTest, ...]:
        """Return the likelihood ratio against chi-square, the draws, gamma, Bartlett's chi-square and F."""
        from scipy.special import chdtrc, gammaincc

        from nwbswitch.analysis.inference.hypothesis import f_tail

        kept, nan, ratio, df = self.draws[~np.isnan(self.draws)], float("nan"), self.ratio, float(self.df)
        mean, variance = float(kept.mean()), float(kept.var(ddof=1))
        shape, scale = mean**2 / variance, variance / mean
        corrected = ratio * df / mean
        excess = mean / df
        # With a mean of at most that of chi-square no F distribution has it: infinite df are the limit.
        den_df = 2.0 * excess / (excess - 1.0) if excess > 1.0 else float("inf")
        return (
            ReferenceTest("chi-square", ratio, df, nan, float(chdtrc(df, ratio))),
            ReferenceTest("bootstrap", ratio, nan, nan, self.p),
            ReferenceTest("gamma", ratio, nan, nan, float(gammaincc(shape, ratio / scale))),
            ReferenceTest("Bartlett", corrected, df, nan, float(chdtrc(df, corrected))),
            ReferenceTest("F", ratio / df, df, den_df, f_tail(ratio / df, self.df, den_df)),
        )

    def table(self) -> pd.DataFrame:
        """Return test, statistic, num_df, den_df, p."""
        import pandas as pd

        return pd.DataFrame([asdict(each) for each in self.tests()])

    def summary(self) -> str:
        """Return the tests as text for people."""
        lines = [
            f"Parametric bootstrap likelihood ratio test, {self.n} draws (seed {self.seed}): "
            f"{self.n_singular} with a singular fit, {self.n_not_converged} not converged, "
            f"{self.n_failed} failed (counted as extreme).",
            self.table().to_string(index=False, float_format=lambda value: f"{value:.4g}"),
            *(f"Failed: {reason}" for reason in self.reasons),
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return the tests and counts as plain JSON values, without the draws."""
        found: dict[str, Any] = plain(
            {
                "ratio": self.ratio,
                "df": self.df,
                "p": self.p,
                "n": self.n,
                "seed": self.seed,
                "singular": self.n_singular,
                "not_converged": self.n_not_converged,
                "failed": self.n_failed,
                "reasons": self.reasons,
                "tests": [asdict(each) for each in self.tests()],
            }
        )
        return found


def bootstrap_test(
    model: Model,
    deviance: Deviance,
    optimum: Optimum,
    contrasts: np.ndarray,
    *,
    values: np.ndarray | None = None,
    n: int = 1000,
    seed: int,
    workers: int = 1,
    executor: Executor | None = None,
    quiet: bool = False,
) -> BootstrapTest:
    """Return the parametric bootstrap test that ``contrasts`` of the coefficients have given values.

    Parameters
    ----------
    model, deviance, optimum
        The fitted model; likelihoods are maximised whatever its method.
    contrasts
        (q, p) of full rank, or (p,).
    values
        (q,) values under the null hypothesis; zeros by default.
    n, seed, workers, executor, quiet
        As in `bootstrap`.

    Raises
    ------
    FitError
        If responses cannot be drawn, or no draw could be fitted.
    ValueError
        If the contrasts do not fit the model's coefficients.
    """
    rows = checked_contrasts(np.atleast_2d(contrasts), len(model.names))
    held = np.zeros(len(rows)) if values is None else np.atleast_1d(np.asarray(values, dtype=float))
    full = refit(deviance, method="ml", start=optimum.theta)
    null = refit(restricted(deviance, rows, held), method="ml", start=optimum.theta)
    drawn = fitted_draws(
        partial(_ratio_of_draw, deviance, rows, held, full, null),
        n=n,
        seed=seed,
        width=3,
        label="bootstrap test",
        workers=workers,
        executor=executor,
        quiet=quiet,
    )
    ratio = null.evaluation.criterion - full.evaluation.criterion
    return BootstrapTest(
        ratio=max(ratio, 0.0),
        df=len(rows),
        seed=seed,
        draws=drawn.numbers[:, 0],
        n_singular=int(np.nansum(drawn.numbers[:, 1])),
        n_not_converged=int(np.nansum(1.0 - drawn.numbers[:, 2])),
        reasons=drawn.reasons,
    )


def _ratio_of_draw(
    deviance: Deviance,
    rows: np.ndarray,
    held: np.ndarray,
    full: Refit,
    null: Refit,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return likelihood ratio, whether a fit is singular, and whether both converged."""
    under = restricted(deviance, rows, held)
    at = null.evaluation
    coefficients = under.origin + under.basis @ at.coefficients
    sigma = float(np.sqrt(at.residual / deviance.n_rows))
    drawn = deviance.simulated(psi_of(deviance, null.theta), coefficients, sigma, rng)
    small = refit(restricted(drawn, rows, held), method="ml", start=null.theta)
    large = refit(drawn, method="ml", start=small.theta)
    ratio = small.evaluation.criterion - large.evaluation.criterion
    if ratio < -1e-4:
        raise FitError("the larger model ended in a lower likelihood than the null model.")
    singular = small.singular or large.singular
    return np.array([max(ratio, 0.0), singular, small.converged and large.converged], dtype=float)
