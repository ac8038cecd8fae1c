"""Means and variances of counts: Poisson, negative binomial and binomial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

CountFamily = Literal["negative-binomial", "poisson"]
Family = Literal["negative-binomial", "poisson", "binomial"]
# Above this the exponential of a predictor is of no use as a mean.
LARGEST_PREDICTOR: Final = 500.0


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean, its derivative in the predictor, and variance of every row, (rows,)."""

    mean: np.ndarray
    slope: np.ndarray
    variance: np.ndarray


def moments(family: Family, eta: np.ndarray, trials: np.ndarray, dispersion: float) -> Moments:
    """Return the moments of the response at predictor ``eta``.

    Counts have the log link and variance mu + dispersion mu^2 (Poisson: dispersion 0); numbers of yes among
    ``trials`` have the logit link and the binomial variance.
    """
    if family == "binomial":
        from scipy.special import expit

        probability = expit(eta)
        variance = trials * probability * (1.0 - probability)
        return Moments(trials * probability, variance, variance)
    mean = np.exp(np.minimum(eta, LARGEST_PREDICTOR))
    return Moments(mean, mean, mean + dispersion * mean**2)
