"""rho* when blocks of time count several times or not at all: what varies with when, not with which neuron.

A resample of blocks is a column of whole-number weights for the blocks of either window. It changes the
counts of every neuron, so the covariances of f are computed anew for each resample, many at a time. The
bootstrap draws within each interleaved half of each window, as many blocks as it has; the jackknife leaves
the same block out of both windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.estimands.counts import Contrast, Floats, SessionCounts, WindowCounts, comparable
from nwbswitch.analysis.estimands.neuron_weights import named_generator
from nwbswitch.analysis.estimands.primary import root_rate

MIN_BLOCKS = 4
_CHUNK_CELLS = 100_000
_NO_SPREAD = 1e-20


@dataclass(frozen=True, slots=True)
class BlockResamples:
    """Covariances of f, before with after, before, and after; the last axis has these 3.

    Attributes
    ----------
    full
        With every block once, shape (3,).
    without_one
        Without one block of either window, shape (blocks, 3); none when a window has fewer than
        `MIN_BLOCKS`.
    drawn
        Bootstrap, shape (resamples, 3).
    """

    full: Floats
    without_one: Floats
    drawn: Floats


def block_resamples(
    session: SessionCounts, contrast: Contrast, *, resamples: int, seed: int
) -> BlockResamples | None:
    """Return the covariances of one session; None without a neuron to compare."""
    chosen = comparable(session, contrast)
    if chosen is None or not chosen.any():
        return None
    windows = [session.windows[name] for name in (contrast.before, contrast.after)]
    sizes = [window.half.size for window in windows]
    n_out = min(sizes) if min(sizes) >= MIN_BLOCKS else 0
    rng = named_generator(seed, "blocks", session.animal, session.session, contrast.name)
    weights = []
    for window, size in zip(windows, sizes, strict=True):
        all_but_one = np.ones((size, n_out))
        all_but_one[np.arange(n_out), np.arange(n_out)] = 0
        weights.append(np.concatenate([np.ones((size, 1)), all_but_one, _drawn(window, resamples, rng)], 1))
    n, total = int(chosen.sum()), weights[0].shape[1]
    step = max(1, _CHUNK_CELLS // n)
    found = np.concatenate(
        [
            _covariances(windows, [each[:, start : start + step] for each in weights], chosen)
            for start in range(0, total, step)
        ]
    )
    return BlockResamples(found[0], found[1 : 1 + n_out], found[1 + n_out :])


def _drawn(window: WindowCounts, resamples: int, rng: np.random.Generator) -> Floats:
    """Return how often each block counts, drawn within its half, shape (blocks, resamples)."""
    weights = np.zeros((window.half.size, resamples))
    for half in (1, 2):
        own = np.flatnonzero(window.half == half)
        weights[own] = rng.multinomial(own.size, np.full(own.size, 1 / own.size), size=resamples).T
    return weights


def _covariances(windows: list[WindowCounts], weights: list[Floats], chosen: np.ndarray) -> Floats:
    """Return the covariances for each column of the weights, shape (columns, 3)."""
    roots, exposed = [], np.ones((1, 1), dtype=bool)
    for window, own in zip(windows, weights, strict=True):
        events, exposure_s = window.events[chosen], window.exposure_s[chosen]
        if (exposure_s == exposure_s[0]).all():
            exposure_s = exposure_s[:1]
        for half in (1, 2):
            part = window.half == half
            time_s = exposure_s[:, part] @ own[part]
            exposed = exposed & (time_s > 0)
            roots.append(root_rate(events[:, part] @ own[part], np.where(time_s > 0, time_s, 1.0)))
    n, columns = roots[0].shape
    kept = np.broadcast_to(exposed, (n, columns))
    size = np.maximum(kept.sum(axis=0), 1)
    flat = []
    for root in roots:
        if not exposed.all():
            root *= kept
        mean = root.sum(axis=0) / size
        root -= mean
        if not exposed.all():
            root *= kept
        # Rounding must not give neurons that are all alike, e.g. all silent, a covariance.
        flat.append(np.einsum("nq,nq->q", root, root) <= _NO_SPREAD * size * mean**2)
    b1, b2, p1, p2 = roots
    products = [(b1 + b2, p1 + p2), (b1, b2), (p1, p2)]
    across, before, after = (np.einsum("nq,nq->q", one, two) for one, two in products)
    before[flat[0] | flat[1]] = 0
    after[flat[2] | flat[3]] = 0
    return np.column_stack([across / 4, before, after])
