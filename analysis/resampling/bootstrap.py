"""Parametric bootstrap of a mixed model: responses drawn at the estimates, and the model fitted to each.

Draws are made in blocks of `BLOCK`, each with its own stream (SeedSequence.spawn), so results depend on the
seed but not on the number of workers, and the first draws of a longer run are those of a shorter one.

Intervals are those of Davison and Hinkley (1997, chapter 5): percentile, basic and studentized, with the
(n + 1) p-th ordered draw as quantile. A draw that could not be fitted is counted, not replaced.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from nwbswitch.analysis.inference.hypothesis import checked_contrast
from nwbswitch.analysis.mixed.deviance import Deviance, Method
from nwbswitch.analysis.mixed.estimates import estimates_of, sd_names
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.optimum import Optimum, psi_of
from nwbswitch.analysis.plain_values import plain
from nwbswitch.analysis.resampling.refit import refit
from nwbswitch.schemas.errors import FitError
from nwbswitch.schemas.jobs import run_jobs
from nwbswitch.schemas.progress import job_progress

if TYPE_CHECKING:
    import pandas as pd

Interval = Literal["percentile", "basic", "studentized"]
BLOCK: Final = 50


@dataclass(frozen=True, slots=True, repr=False)
class Bootstrap:
    """Draws of a parametric bootstrap.

    ``estimates`` (p,), ``vcov`` (p, p) and ``sds`` (k,) are those of the fit. ``coefficients`` (n, p),
    ``vcovs`` (n, p, p) and ``spreads`` (n, k) are those of every draw, nan where the fit failed;
    ``singular`` and ``converged`` (n,) say how each fit ended, ``reasons`` why some failed.
    """

    names: tuple[str, ...]
    sd_names: tuple[str, ...]
    method: Method
    seed: int
    estimates: np.ndarray
    vcov: np.ndarray
    sds: np.ndarray
    coefficients: np.ndarray
    vcovs: np.ndarray
    spreads: np.ndarray
    singular: np.ndarray
    converged: np.ndarray
    reasons: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"<Bootstrap of {len(self.names)} coefficients: {self.n} draws, {int(self.failed.sum())} failed, "
            f"{self.method.upper()}, seed {self.seed}>"
        )

    @property
    def n(self) -> int:
        """Number of draws."""
        return len(self.coefficients)

    @property
    def failed(self) -> np.ndarray:
        """Which draws (n,) have no fit."""
        return np.asarray(np.isnan(self.coefficients[:, 0]))

    def t_statistics(self, contrast: np.ndarray) -> np.ndarray:
        """Return (draw - estimate) / standard error of the draw for ``contrast`` (p,), one per draw."""
        row = checked_contrast(contrast, len(self.names))
        se = np.sqrt(np.einsum("i,nij,j->n", row, self.vcovs, row))
        return np.asarray((self.coefficients - self.estimates) @ row / se)

    def interval(
        self, contrast: np.ndarray, *, kind: Interval = "studentized", level: float = 0.95
    ) -> tuple[float, float]:
        """Return the interval of ``contrast`` (p,) of the coefficients.

        Raises
        ------
        ValueError
            For a kind that does not exist, a contrast that does not fit, or a level outside 0 to 1.
        """
        if kind not in get_args(Interval):
            raise ValueError(f"kind is {kind!r}; available are {', '.join(get_args(Interval))}.")
        row = checked_contrast(contrast, len(self.names))
        estimate = float(row @ self.estimates)
        match kind:
            case "percentile":
                return _limits(self.coefficients @ row, level)
            case "basic":
                low, high = _limits(self.coefficients @ row, level)
                return 2.0 * estimate - high, 2.0 * estimate - low
            case "studentized":
                se = float(np.sqrt(row @ self.vcov @ row))
                low, high = _limits(self.t_statistics(row), level)
                return estimate - high * se, estimate - low * se

    def table(self, *, kind: Interval = "studentized", level: float = 0.95) -> pd.DataFrame:
        """Return term, estimate, bias, se, ci_low, ci_high, interval for coefficients, then for SDs.

        ``bias`` and ``se`` are the mean error and the standard deviation of the draws. Standard deviations
        have percentile intervals: their draws are skewed, and some are zero.
        """
        import pandas as pd

        rows = []
        for name, contrast in zip(self.names, np.eye(len(self.names)), strict=True):
            estimate, draws = float(contrast @ self.estimates), self.coefficients @ contrast
            limits = self.interval(contrast, kind=kind, level=level)
            rows.append((name, estimate, *_moments(draws, estimate), *limits, kind))
        for name, estimate, draws in zip(self.sd_names, self.sds.tolist(), self.spreads.T, strict=True):
            rows.append((name, estimate, *_moments(draws, estimate), *_limits(draws, level), "percentile"))
        columns = ["term", "estimate", "bias", "se", "ci_low", "ci_high", "interval"]
        return pd.DataFrame(rows, columns=columns)

    def counts(self) -> dict[str, int]:
        """Return how many draws there are, are singular, did not converge, and failed."""
        return {
            "n": self.n,
            "singular": int(self.singular.sum()),
            "not_converged": int((~self.converged & ~self.failed).sum()),
            "failed": int(self.failed.sum()),
        }

    def notes(self, *, level: float = 0.95) -> tuple[str, ...]:
        """Return why intervals are not numbers, if draws are too few for them."""
        fitted, needed = self.n - int(self.failed.sum()), fewest_draws(level)
        if fitted >= needed:
            return ()
        return (
            f"No intervals: at {100.0 * level:g} % they need at least {needed} fitted draws, and there are "
            f"{fitted}.",
        )

    def summary(self) -> str:
        """Return the intervals and counts as text for people."""
        found = self.counts()
        lines = [
            f"Parametric bootstrap, {found['n']} draws ({self.method}, seed {self.seed}): "
            f"{found['singular']} singular, {found['not_converged']} not converged, "
            f"{found['failed']} failed.",
            self.table().to_string(index=False, float_format=lambda value: f"{value:.4g}"),
            *self.notes(),
            *(f"Failed: {reason}" for reason in self.reasons),
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return intervals of all kinds and counts as plain JSON values, without the draws."""
        found: dict[str, Any] = plain(
            {
                "method": self.method,
                "seed": self.seed,
                **self.counts(),
                "reasons": self.reasons,
                "notes": self.notes(),
                "intervals": {
                    kind: self.table(kind=kind).to_dict(orient="records") for kind in get_args(Interval)
                },
            }
        )
        return found


def bootstrap(
    model: Model,
    deviance: Deviance,
    optimum: Optimum,
    *,
    n: int = 2000,
    seed: int,
    workers: int = 1,
    executor: Executor | None = None,
    quiet: bool = False,
) -> Bootstrap:
    """Return a parametric bootstrap of a fit.

    Parameters
    ----------
    model, deviance, optimum
        The fitted model; draws are fitted by its method.
    n
        Number of draws.
    seed
        Of the draws.
    workers, executor, quiet
        As in `run_jobs`; the result does not depend on them.

    Raises
    ------
    FitError
        If responses cannot be drawn, or no draw could be fitted.
    ValueError
        If ``n`` is less than 2 or the seed is negative.
    """
    full = estimates_of(deviance, optimum.method, optimum.theta, optimum.evaluation)
    drawn = fitted_draws(
        partial(_fitted, deviance, optimum),
        n=n,
        seed=seed,
        width=len(full.coefficients) * (1 + len(full.coefficients)) + len(full.sds) + 2,
        label="bootstrap",
        workers=workers,
        executor=executor,
        quiet=quiet,
    )
    p, k = len(full.coefficients), len(full.sds)
    numbers = drawn.numbers
    return Bootstrap(
        names=model.names,
        sd_names=sd_names(model),
        method=optimum.method,
        seed=seed,
        estimates=full.coefficients,
        vcov=full.vcov,
        sds=full.sds,
        coefficients=numbers[:, :p],
        vcovs=numbers[:, p : p + p * p].reshape(-1, p, p),
        spreads=numbers[:, p + p * p : p + p * p + k],
        singular=numbers[:, -2] == 1.0,
        converged=numbers[:, -1] == 1.0,
        reasons=drawn.reasons,
    )


def _fitted(deviance: Deviance, optimum: Optimum, rng: np.random.Generator) -> np.ndarray:
    """Return coefficients, their covariance, SDs, singular and converged of one draw."""
    at = optimum.evaluation
    nu = deviance.n_rows - (deviance.n_fixed if optimum.method == "reml" else 0)
    sigma = float(np.sqrt(at.residual / nu))
    drawn = deviance.simulated(psi_of(deviance, optimum.theta), at.coefficients, sigma, rng)
    found = refit(drawn, method=optimum.method, start=optimum.theta)
    own = estimates_of(drawn, found.method, found.theta, found.evaluation)
    ended = np.array([found.singular, found.converged], dtype=float)
    return np.concatenate([own.coefficients, own.vcov.ravel(), own.sds, ended])


@dataclass(frozen=True, slots=True)
class Draws:
    """Numbers (n, width) of every draw, nan where it failed, and the distinct reasons of failures."""

    numbers: np.ndarray
    reasons: tuple[str, ...]


def fitted_draws(
    one: Callable[[np.random.Generator], np.ndarray],
    *,
    n: int,
    seed: int,
    width: int,
    label: str,
    workers: int,
    executor: Executor | None,
    quiet: bool,
) -> Draws:
    """Return ``one(rng)``, an array (width,), of n draws.

    Raises
    ------
    FitError
        If every draw failed.
    ValueError
        If ``n`` is less than 2 or the seed is negative.
    TypeError
        If one of them is no whole number.
    """
    for name, given in (("n", n), ("seed", seed)):
        if isinstance(given, bool) or not isinstance(given, int | np.integer):
            raise TypeError(f"{name} is {given!r}; it must be a whole number.")
    if n < 2:
        raise ValueError(f"n is {n}; a bootstrap needs at least 2 draws.")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must not be negative.")
    n_blocks = -(-n // BLOCK)
    streams = np.random.SeedSequence(seed).spawn(n_blocks)
    jobs = [(position, stream, min(BLOCK, n - position * BLOCK)) for position, stream in enumerate(streams)]
    outcomes = run_jobs(
        partial(_block, one, width),
        jobs,
        label=label,
        workers=workers,
        executor=executor,
        describe=lambda job: f"draws {job[0] * BLOCK + 1} to {job[0] * BLOCK + job[2]}",
        quiet=quiet,
    )
    parts, reasons = [], []
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
        assert outcome.value is not None
        parts.append(outcome.value[0])
        reasons += outcome.value[1]
    numbers = np.concatenate(parts)
    if np.isnan(numbers[:, 0]).all():
        raise FitError(f"None of {n} draws could be fitted; the first failed because: {reasons[0]}")
    return Draws(numbers, tuple(dict.fromkeys(reasons)))


def _block(
    one: Callable[[np.random.Generator], np.ndarray],
    width: int,
    job: tuple[int, np.random.SeedSequence, int],
) -> tuple[np.ndarray, list[str]]:
    _, stream, size = job
    rng, report = np.random.default_rng(stream), job_progress("fits")
    numbers, reasons = np.full((size, width), np.nan), []
    for i in range(size):
        try:
            numbers[i] = one(rng)
        except (FitError, np.linalg.LinAlgError) as error:
            reasons.append(str(error))
        report(i + 1, size)
    return numbers, reasons


def fewest_draws(level: float) -> int:
    """Return how many draws an interval needs: with (n + 1) (1 - level) / 2 of at least 1 it has two ends.

    Raises
    ------
    ValueError
        If ``level`` is not between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; it must be between 0 and 1, e.g. 0.95.")
    return math.ceil(2.0 / (1.0 - level) - 1e-9) - 1


def _limits(draws: np.ndarray, level: float) -> tuple[float, float]:
    """Return the (n + 1) p-th ordered draws, nan if there are too few for the level."""
    kept = draws[~np.isnan(draws)]
    tail = 0.5 * (1.0 - level)
    if len(kept) < fewest_draws(level):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [tail, 1.0 - tail], method="weibull")
    return float(low), float(high)


def _moments(draws: np.ndarray, estimate: float) -> tuple[float, float]:
    kept = draws[~np.isnan(draws)]
    return float(kept.mean() - estimate), float(kept.std(ddof=1))
