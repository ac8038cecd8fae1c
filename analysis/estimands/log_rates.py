"""The twin of rho* on log rates.

For counts that are Poisson with rates that are jointly log-normal over neurons, products of counts of
different blocks have the mean E[n m] = E[n] E[m] exp(cov(log rates)) (Aitchison and Ho 1989, Biometrika
76:643-653, section 2; products of different counts need no correction for Poisson noise, as factorial
moments do not). So the covariance of log rates is log{E[r s] / (E[r] E[s])}, with r and s rates of different
halves, and

    rho_log = mean_hk cov(log b_h, log p_k) / sqrt[cov(log b_1, log b_2) cov(log p_1, log p_2)].

Noise and gains of single blocks are in no pair of halves. Both means are sums over neurons, added over
sessions before the division; the product of means is taken over pairs of different neurons of one session.
It weighs by rate where rho* weighs by root rate, and holds only as far as rates are jointly log-normal: of a
mixture, where some neurons change and others do not, it says more agreement than there is.
"""

from __future__ import annotations

import numpy as np

from nwbswitch.analysis.estimands.counts import Floats, WindowCounts, halves
from nwbswitch.analysis.estimands.families import Family
from nwbswitch.analysis.estimands.primary import MIN_RELIABILITY, OK, UNDEFINED, UNRELIABLE

_PAIRS = ((1, 2), (3, 4), (1, 1), (2, 2), (3, 3), (4, 4))


def log_rate_terms(before: WindowCounts, after: WindowCounts) -> Floats:
    """Return 1, the rates b1, b2, p1, p2 and their products, shape (neurons, 12), rates per min."""
    b, p = (halves(window) for window in (before, after))
    rates = 60 * np.concatenate([b.events / b.exposure_s, p.events / p.exposure_s], axis=1)
    across = rates[:, :2].mean(axis=1) * rates[:, 2:].mean(axis=1)
    products = [rates[:, i - 1] * rates[:, j - 1] for i, j in _PAIRS]
    return np.column_stack([np.ones(across.size), rates, across, *products])


def close_log_rates(sums: Floats) -> Floats:
    """Return sums of products over the same neuron and, expected, over different ones, shape (..., 14).

    In pairs: b p, b1 b2, p1 p2, b1 b1, b2 b2, p1 p1, p2 p2.
    """
    n = sums[..., 0]
    before, after = (sums[..., i] + sums[..., i + 1] for i in (1, 3))
    totals = [before * after / 4] + [sums[..., i] * sums[..., j] for i, j in _PAIRS]
    parts = []
    for place, product in enumerate(totals):
        same = np.where(n > 1, sums[..., 5 + place], 0.0)
        parts += [same, np.where(n > 1, (product - same) / np.where(n > 1, n - 1, 1), 0.0)]
    return np.stack(parts, axis=-1)


def log_covariances(sums: Floats) -> Floats:
    """Return the covariances of log rates b p, b1 b2 and p1 p2, shape (..., 3), natural logs."""
    same, different = sums[..., 0:6:2], sums[..., 1:6:2]
    defined = (same > 0) & (different > 0)
    ratio = np.where(defined, same, 1.0) / np.where(defined, different, 1.0)
    return np.where(defined, np.log(ratio), np.nan)


def log_rate_correlation(sums: Floats) -> Floats:
    """Return rho_log from the sums of `close_log_rates`; NaN where a variance is not above 0."""
    across, before, after = np.moveaxis(log_covariances(sums), -1, 0)
    defined = (before > 0) & (after > 0)
    return np.where(defined, across / np.sqrt(np.where(defined, before * after, 1.0)), np.nan)


def log_rate_status(name: str, sums: Floats) -> str:
    """Return 'ok', or why the correlation of log rates cannot be had."""
    _, before, after, *spreads = sums[0::2] - sums[1::2]
    b1, b2, p1, p2 = spreads
    for both, spread in ((before, b1 * b2), (after, p1 * p2)):
        if not (spread > 0 and both >= MIN_RELIABILITY * np.sqrt(spread)):
            return UNRELIABLE
    return OK if np.isfinite(log_rate_correlation(sums)) else UNDEFINED


LOG_RATES = Family(
    terms=log_rate_terms,
    close=close_log_rates,
    estimands={"rho_log": log_rate_correlation},
    status=log_rate_status,
    tested=frozenset({"rho_log"}),
)
