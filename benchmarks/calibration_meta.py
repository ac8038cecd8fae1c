"""Rerun the type I errors of two-stage meta-analyses of small studies, and the misses of prediction
intervals.

Run: ``python benchmarks/calibration_meta.py [--sets 4000] [--workers 2]``. A study compares two arms of 3,
4 or 5 animals (about 4 per arm) whose values have a standard deviation of .35; true effects differ between
studies with tau .3 and mean 0. The variance of an effect is estimated from its animals. ``EE z``, ``DL z``
and ``REML, Hartung-Knapp`` are shares of meta-analyses with P < .05, ``prediction`` is the share of new
studies whose true effect the 95 % interval of REML and Hartung-Knapp misses.

Each row is our share with its Monte-Carlo standard error, the stated value, and their distance in standard
errors of the difference; stated values are taken to be of 1,000 sets and rounded. A cell agrees within 3;
the exit status is 1 if one does not. Two estimands of the same animals beside it: type I of the
multivariate model by the degrees of freedom of its tests, which has no stated value.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.estimate import estimate
from nwbswitch.analysis.meta_analysis.known_covariance import KnownCovariance
from nwbswitch.analysis.meta_analysis.multilevel import multilevel
from nwbswitch.analysis.meta_analysis.tau2 import Studies
from nwbswitch.schemas.jobs import run_jobs

TAU, ANIMAL_SD, SIZES = 0.3, 0.35, (3, 4, 5)
COLUMNS = ("EE z", "DL z", "REML, Hartung-Knapp", "prediction")
STATED: dict[int, tuple[float | None, ...]] = {4: (0.36, 0.13, 0.062, 0.126), 15: (0.39, 0.07, 0.052, None)}
STATED_SETS = 1000
PART = 250
MULTIVARIATE = ("residual t", "between t", "CR2 t")
CORRELATION = 0.5


@dataclass(frozen=True)
class Part:
    """Some sets of one table."""

    n_studies: int
    sets: int
    seed: int
    outcomes: int

    def __call__(self) -> np.ndarray:
        rng = np.random.default_rng([self.n_studies, self.outcomes, self.seed])
        if self.outcomes == 1:
            return sum(_univariate(self.n_studies, rng) for _ in range(self.sets))
        return sum(_multivariate(self.n_studies, rng) for _ in range(self.sets))


def counted(part: Part) -> np.ndarray:
    """Return how often each column rejects or misses."""
    return part()


def _univariate(k: int, rng: np.random.Generator) -> np.ndarray:
    truth = rng.normal(0.0, TAU, k + 1)
    effects, variances = np.empty(k), np.empty(k)
    for i in range(k):
        n, m = rng.choice(SIZES, 2)
        one, other = rng.normal(truth[i], ANIMAL_SD, n), rng.normal(0.0, ANIMAL_SD, m)
        pooled = (one.var(ddof=1) * (n - 1) + other.var(ddof=1) * (m - 1)) / (n + m - 2)
        effects[i], variances[i] = one.mean() - other.mean(), pooled * (1.0 / n + 1.0 / m)
    studies = Studies(effects, variances, np.ones((k, 1)))
    found = [
        estimate(studies, method=method, test=test, level=0.95)
        for method, test in (("ee", "z"), ("dl", "z"), ("reml", "knha"))
    ]
    last = found[-1]
    half = last.critical * np.sqrt(last.vcov[0, 0] + last.tau2.value)
    misses = abs(truth[k] - last.coefficients[0]) > half
    return np.array([*(each.p[0] < 0.05 for each in found), misses], dtype=float)


def _multivariate(k: int, rng: np.random.Generator) -> np.ndarray:
    """Return whether the first of two means of 0 is found, with six animals in both conditions."""
    shape = np.array([[1.0, CORRELATION], [CORRELATION, 1.0]])
    root = np.linalg.cholesky(shape)
    rows, blocks = [], []
    for study in range(k):
        values = TAU * root @ rng.normal(size=2) + ANIMAL_SD * rng.normal(size=(6, 2)) @ root.T
        blocks.append(np.cov(values.T) / 6.0)
        rows += [
            (f"s{study}", name, float(mean))
            for name, mean in zip(("rho", "SW"), values.mean(axis=0), strict=True)
        ]
    from scipy.sparse import block_diag, csr_array

    data = pd.DataFrame(rows, columns=["study", "estimand", "yi"])
    V = KnownCovariance(csr_array(block_diag(blocks)))
    found = []
    for dfs in ("residual", "between"):
        fit = multilevel(
            data, effect="yi", V=V, random="~ estimand | study", moderators="estimand - 1", dfs=dfs
        )
        found.append(fit.coefficients[0].p < 0.05)
    found.append(fit.robust().coefficients()[0].p < 0.05)
    return np.array(found, dtype=float)


def shares(n_studies: int, sets: int, outcomes: int, workers: int) -> np.ndarray:
    """Return the share of sets that each column counts."""
    parts = [Part(n_studies, min(PART, sets - done), done, outcomes) for done in range(0, sets, PART)]
    outcomes_of = run_jobs(
        counted,
        parts,
        label="calibration",
        workers=workers,
        describe=lambda part: f"{part.n_studies} studies",
    )
    for each in outcomes_of:
        if each.error is not None:
            raise each.error
    return np.sum([each.value for each in outcomes_of], axis=0) / sets


def main() -> int:
    """Print the tables; return 1 if a cell does not agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    worst = 0.0
    print("| studies | what | share | stated | distance, SE |\n| --- | --- | --- | --- | --- |")
    for k, stated in STATED.items():
        for name, share, value in zip(COLUMNS, shares(k, asked.sets, 1, asked.workers), stated, strict=True):
            error = np.sqrt(share * (1.0 - share) / asked.sets)
            shown, distance = "", ""
            if value is not None:
                away = abs(share - value) / np.hypot(error, np.sqrt(value * (1.0 - value) / STATED_SETS))
                worst = max(worst, float(away))
                shown, distance = f"{value:g}", f"{away:.1f}"
            print(f"| {k} | {name} | {share:.3f} ({error:.3f}) | {shown} | {distance} |")
    few = max(100, asked.sets // 10)
    for k in (5, 15):
        for name, share in zip(MULTIVARIATE, shares(k, few, 2, asked.workers), strict=True):
            error = np.sqrt(share * (1.0 - share) / few)
            print(f"| {k} | two estimands, {name} | {share:.3f} ({error:.3f}) | | |")
    print(f"\nLargest distance {worst:.1f} standard errors.")
    return 0 if worst <= 3.0 else 1


if __name__ == "__main__":
    sys.exit(main())
