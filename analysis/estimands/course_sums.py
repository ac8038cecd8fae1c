"""Sums of one session in sliding windows of time after the administration, against its baseline.

Each sliding window takes the place of the window after in `primary.contrast_sums`: the same sums in the
same layout, so that the same estimands apply. Neurons are selected on the halves of the baseline only, once
for all windows, and measured on the other half: what they do later has no part in it, and no window holds
regression to the mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.estimands.counts import DRUG, Bools, Floats, SessionCounts, halves
from nwbswitch.analysis.estimands.primary import ACTIVE_SHARE, SILENT_SHARE, Layout, root_rate
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Place, issue

AFTER = ("drug", "washout", "recovery")
"""Windows that hold everything recorded after the administration."""
LAYOUT = Layout(0, ())
"""Tied neurons have their expected share of the selection; no conditional tau."""
MIN_COVERED = 0.5
"""Share of a sliding window that a session must have recorded to be in it."""
MAX_WINDOWS = 5000

_FLAT = 1e-12


@dataclass(frozen=True, slots=True)
class Grid:
    """Sliding windows: their starts from the administration, shape (windows,), and their width, s."""

    starts_s: Floats
    width_s: float

    @property
    def centres_s(self) -> Floats:
        """Centres of the windows, s."""
        return self.starts_s + self.width_s / 2


@dataclass(frozen=True, slots=True)
class AfterBlocks:
    """Blocks of one session after the administration, in order of time.

    Attributes
    ----------
    events, exposure_s
        Shape (neurons, blocks).
    half
        Interleaved half of each block, shape (blocks,).
    start_s, length_s
        From the administration, shape (blocks,).
    """

    events: Floats
    exposure_s: Floats
    half: NDArray[np.int64]
    start_s: Floats
    length_s: Floats


def after_blocks(
    session: SessionCounts, administrations_s: Mapping[tuple[str, str], float]
) -> AfterBlocks | None:
    """Return the blocks after the administration; None when there are none or its time is unknown.

    Parameters
    ----------
    session
        With the starts of its blocks.
    administrations_s
        Time zero by animal and session, on the session clock; of others the start of the drug window.

    Raises
    ------
    ValueError
        When the starts of the blocks are not known.
    TableError
        When they are not finite.
    """
    parts = [(name, session.windows[name]) for name in AFTER if name in session.windows]
    starts = {name: _starts(session, name) for name, _ in parts}
    zero_s = administrations_s.get((session.animal, session.session))
    if zero_s is None:
        if DRUG.after not in starts:
            return None
        zero_s = float(starts[DRUG.after].min())
    if not parts:
        return None
    start_s = np.concatenate([starts[name] for name, _ in parts]) - zero_s
    length_s = np.concatenate([_lengths(starts[name], each.exposure_s) for name, each in parts])
    order = np.argsort(start_s, kind="stable")
    # A block belongs to what its middle is in.
    order = order[(start_s + length_s / 2)[order] >= 0]
    if not order.size:
        return None
    events, exposure_s = (
        np.concatenate([getattr(each, name) for _, each in parts], axis=1)
        for name in ("events", "exposure_s")
    )
    half = np.concatenate([each.half for _, each in parts])
    return AfterBlocks(events[:, order], exposure_s[:, order], half[order], start_s[order], length_s[order])


def _starts(session: SessionCounts, name: str) -> Floats:
    start_s = session.windows[name].start_s
    where = f"animal {session.animal}, session {session.session}, window {name}"
    if start_s is None:
        raise ValueError(f"{where}: the starts of its blocks are not known; a time course needs them")
    if not np.isfinite(start_s).all() or not start_s.size:
        problem = f"{where}: start_s must be finite times."
        raise TableError([issue("bad-cell", problem, place=Place(item="cells.start_s"))])
    return start_s


def _lengths(start_s: Floats, exposure_s: Floats) -> Floats:
    """Return the length of each block: the shortest time between two, or the longest exposure of one."""
    gaps = np.diff(np.sort(start_s))
    gaps = gaps[gaps > 0]
    length_s = gaps.min() if gaps.size else exposure_s.max(initial=0.0)
    return np.full(start_s.size, float(length_s))


def sliding_grid(longest_s: float, *, width_s: float, step_s: float) -> Grid:
    """Return all whole windows up to ``longest_s`` after the administration, at least one.

    Raises
    ------
    ValueError
        When there are more than `MAX_WINDOWS`.
    """
    n = max(0, int(np.floor((longest_s - width_s) / step_s + 1e-9))) + 1
    if n > MAX_WINDOWS:
        raise ValueError(
            f"{n} sliding windows over {longest_s:g} s are more than {MAX_WINDOWS}: take a longer step_s"
        )
    return Grid(np.arange(n, dtype=np.float64) * step_s, min(width_s, longest_s))


def course_sums(session: SessionCounts, after: AfterBlocks, grid: Grid) -> tuple[Floats, Bools]:
    """Return the sums of every sliding window and which windows the session is in.

    Parameters
    ----------
    session
        With a baseline.
    after
        Its blocks after the administration.
    grid
        The sliding windows.

    Returns
    -------
    sums
        Shape (windows, LAYOUT.size); 0 where the session is not in. The naive sums stay 0.
    present
        Windows of which `MIN_COVERED` is recorded and in which some neuron has exposure in both halves,
        shape (windows,).
    """
    sums = np.zeros((grid.starts_s.size, LAYOUT.size))
    nowhere = np.zeros(grid.starts_s.size, dtype=bool)
    if DRUG.before not in session.windows:
        return sums, nowhere
    before = halves(session.windows[DRUG.before])
    kept = np.asarray((before.exposure_s > 0).all(axis=1))
    if not kept.any():
        return sums, nowhere
    before = before.of(kept)
    middle_s = after.start_s + after.length_s / 2
    inside = (middle_s[:, None] >= grid.starts_s) & (middle_s[:, None] < grid.starts_s + grid.width_s)
    covered = after.length_s @ inside >= MIN_COVERED * grid.width_s
    picks = [(inside & (after.half == half)[:, None]).astype(float) for half in (1, 2)]
    events = np.stack([after.events[kept] @ pick for pick in picks])
    exposure_s = np.stack([after.exposure_s[kept] @ pick for pick in picks])
    exposed = ((exposure_s > 0).all(axis=0) & covered).astype(float)
    total, total_s = (each.sum(axis=0) * exposed for each in (events, exposure_s))
    drive = [total.sum(0), total_s.sum(0), before.events.sum(1) @ exposed, before.exposure_s.sum(1) @ exposed]
    LAYOUT.drive(sums)[:] = np.stack(drive, axis=-1)
    rate = before.events / before.exposure_s
    for chosen, share, sign in (
        (LAYOUT.active(sums), ACTIVE_SHARE, 1),
        (LAYOUT.silent(sums), SILENT_SHARE, -1),
    ):
        for half in (0, 1):
            weight = _expected_share(sign * rate[:, half], share)
            base, base_s = (weight * each[:, 1 - half] for each in (before.events, before.exposure_s))
            columns = [weight @ total, weight @ total_s, base @ exposed, base_s @ exposed]
            chosen[:, 0, half, :4] = np.stack(columns, axis=-1)
    LAYOUT.covariance(sums)[:] = _covariances(
        root_rate(before.events, before.exposure_s),
        root_rate(events, np.where(exposure_s > 0, exposure_s, 1.0)),
        exposed,
    )
    return sums, np.asarray(exposed.any(axis=0))


def _expected_share(rate: Floats, share: float) -> Floats:
    """Return how often each neuron is among the top ``share`` when ties are broken at random."""
    wanted = max(1, int(rate.size * share + 0.5))
    cut = np.partition(rate, rate.size - wanted)[rate.size - wanted]
    above, tied = rate > cut, rate == cut
    return np.asarray(above + tied * ((wanted - above.sum()) / tied.sum()))


def _covariances(before: Floats, after: Floats, exposed: Floats) -> Floats:
    """Return the centred cross-products of `primary.covariance_sums` in every window, shape (windows, 7).

    Parameters
    ----------
    before
        States in the halves of the baseline, shape (neurons, 2).
    after
        States in the halves of every window, shape (2, neurons, windows).
    exposed
        1 where a neuron counts in a window, shape (neurons, windows).
    """
    n = np.maximum(exposed.sum(axis=0), 1.0)
    b1, b2 = (_centred(np.broadcast_to(each[:, None], exposed.shape), exposed, n) for each in before.T)
    p1, p2 = (_centred(each, exposed, n) for each in after)
    parts = [(b1 + b2) * (p1 + p2) / 4, b1 * b2, p1 * p2, b1**2, b2**2, p1**2, p2**2]
    return np.stack([each.sum(axis=0) for each in parts], axis=-1)


def _centred(values: Floats, exposed: Floats, n: Floats) -> Floats:
    mean = (values * exposed).sum(axis=0) / n
    centred = (values - mean) * exposed
    # Rounding must not give neurons that are all alike a covariance.
    alike = np.abs(centred).max(axis=0) <= _FLAT * np.abs(mean)
    return np.where(alike, 0.0, centred)
