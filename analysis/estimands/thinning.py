"""Sessions without a drug, thinned as if they had the drug's gain.

Leaving out events at random turns a Poisson count of mean m into one of mean p m (binomial thinning;
Cox and Isham 1980, Point Processes, section 4.3), which is what a common gain p does to event counts, with
nothing else changed. Where the gain is above 1 the baseline is thinned instead.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from nwbswitch.analysis.estimands.counts import (
    Contrast,
    Floats,
    HalfCounts,
    SessionCounts,
    by_animal,
    half_counts,
)
from nwbswitch.analysis.estimands.primary import ACTIVE_SHARE, SILENT_SHARE, Layout, root_rate

PLAIN = Layout(0, ())
"""Layout of the sums: ties of the selection at their expectation, no tau_c."""


def thinned_sums(
    sessions: Sequence[SessionCounts],
    contrast: Contrast,
    gains: Mapping[str, float],
    *,
    repeats: int,
    seed: int = 0,
) -> tuple[tuple[str, ...], Floats]:
    """Return the sums of animals before and after thinning.

    Parameters
    ----------
    sessions
        Sessions without the drug.
    gains
        log2 gain of each animal; animals that are not there are left out.
    repeats
        Number of times that each session is thinned.

    Returns
    -------
    tuple
        Names of the animals; sums in the layout `PLAIN`, shape (animals, 1 + repeats, sums), the untouched
        session first. Naive fractions and negative transients are not in them and stay 0.
    """
    names, rows = [], []
    for animal, own in by_animal(sessions).items():
        if animal not in gains:
            continue
        total = np.zeros((1 + repeats, PLAIN.size))
        used = False
        for session in own:
            counts = half_counts(session, contrast)
            if counts is None:
                continue
            used = True
            key = zlib.crc32(f"{animal}\n{session.session}\n{contrast.name}\nthinned".encode())
            rng = np.random.default_rng([seed, key])
            before, after = counts[0].events[None], counts[1].events[None]
            if gains[animal] < 0:
                after = _with_thinned(after, 2.0 ** gains[animal], repeats, rng)
            else:
                before = _with_thinned(before, 2.0 ** -gains[animal], repeats, rng)
            total += _sums(before, after, counts[0], counts[1])
        if used:
            names.append(animal)
            rows.append(total)
    return tuple(names), np.stack(rows) if rows else np.zeros((0, 1 + repeats, PLAIN.size))


def _with_thinned(events: Floats, share: float, repeats: int, rng: np.random.Generator) -> Floats:
    whole = np.broadcast_to(events.astype(np.int64), (repeats, *events.shape[1:]))
    return np.concatenate([events, rng.binomial(whole, share)])


def _sums(before: Floats, after: Floats, before_as: HalfCounts, after_as: HalfCounts) -> Floats:
    """Return `primary.contrast_sums` for many versions of the events of one session at once.

    Parameters
    ----------
    before, after
        Events in the halves of the windows, shape (versions or 1, neurons, 2).
    before_as, after_as
        Whose exposure they have.
    """
    t_b, t_p = before_as.exposure_s, after_as.exposure_s
    versions = max(before.shape[0], after.shape[0])
    sums = np.zeros((versions, PLAIN.size))
    totals = [after.sum(axis=(1, 2)), t_p.sum(), before.sum(axis=(1, 2)), t_b.sum()]
    for place, each in enumerate(totals):
        PLAIN.drive(sums)[:, place] = each
    rates = before / t_b
    n = rates.shape[1]
    for part, picked in (
        (PLAIN.active(sums), _expected_top(rates, ACTIVE_SHARE)),
        (PLAIN.silent(sums), _expected_top(-rates, SILENT_SHARE)),
    ):
        part[:, 0, :, 0] = np.einsum("vnh,vn->vh", *_alike(picked, after.sum(axis=2)))
        part[:, 0, :, 1] = np.einsum("vnh,n->vh", picked, t_p.sum(axis=1))
        part[:, 0, :, 2] = np.einsum("vnh,vnh->vh", picked, before[:, :, ::-1])
        part[:, 0, :, 3] = np.einsum("vnh,nh->vh", picked, t_b[:, ::-1])
    both = np.empty((versions, n, 4))
    both[:, :, :2], both[:, :, 2:] = root_rate(before, t_b), root_rate(after, t_p)
    centred = both - both.mean(axis=1, keepdims=True)
    # Rounding must not give neurons that are all alike a covariance.
    centred *= np.ptp(both, axis=1, keepdims=True) > 0
    products = np.einsum("vni,vnj->vij", centred, centred)
    covariance = PLAIN.covariance(sums)
    covariance[:, 0] = products[:, :2, 2:].mean(axis=(1, 2))
    covariance[:, 1], covariance[:, 2] = products[:, 0, 1], products[:, 2, 3]
    covariance[:, 3:] = np.diagonal(products, axis1=1, axis2=2)
    return sums


def _alike(one: Floats, two: Floats) -> tuple[Floats, Floats]:
    """Return both with the same number of versions."""
    versions = max(one.shape[0], two.shape[0])
    return np.broadcast_to(one, (versions, *one.shape[1:])), np.broadcast_to(two, (versions, *two.shape[1:]))


def _expected_top(rates: Floats, share: float) -> Floats:
    """Return each neuron's probability to be among the top when ties are broken at random, per half.

    ``rates`` have shape (versions, neurons, 2).
    """
    n = rates.shape[1]
    wanted = max(1, int(n * share + 0.5))
    cut = np.partition(rates, n - wanted, axis=1)[:, [n - wanted]]
    above, tied = rates > cut, rates == cut
    part = (wanted - above.sum(axis=1, keepdims=True)) / tied.sum(axis=1, keepdims=True)
    return np.asarray(above + tied * part)
