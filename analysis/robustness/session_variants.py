"""The same sessions with shorter windows or other ROIs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nwbswitch.analysis.estimands.counts import (
    DRUG,
    PSEUDO,
    Bools,
    Contrast,
    SessionCounts,
    WindowCounts,
)
from nwbswitch.analysis.robustness.specifications import ALL, Specification, detected_limit

_TOLERANCE_S = 1e-6


def varied_sessions(
    sessions: Sequence[SessionCounts], specification: Specification, *, block_s: float
) -> list[SessionCounts]:
    """Return the sessions as a specification has them; empty where it has no data to work on.

    Parameters
    ----------
    sessions
        Sessions of all arms, of every cell type.
    specification
        Its windows and set of ROIs.
    block_s
        Length of a block, s.
    """
    found = list(sessions)
    if specification.window_s:
        found = [each for one in found if (each := shortened(one, specification.window_s, block_s))]
    if specification.roi_set != ALL:
        found = _with_rois(found, specification.roi_set)
    return found


def shortened(session: SessionCounts, window_s: float, block_s: float) -> SessionCounts | None:
    """Return a session with windows of one length, the parts nearest to the (pseudo-)administration.

    None when no pair of its windows is that long.
    """
    windows: dict[str, WindowCounts] = {}
    for contrast in (DRUG, PSEUDO):
        pair = _shortened_pair(session, contrast, window_s, block_s)
        if pair is not None:
            windows |= dict(zip((contrast.before, contrast.after), pair, strict=True))
    return replace(session, windows=windows) if windows else None


def _shortened_pair(
    session: SessionCounts, contrast: Contrast, window_s: float, block_s: float
) -> tuple[WindowCounts, WindowCounts] | None:
    if contrast.before not in session.windows or contrast.after not in session.windows:
        return None
    before, after = session.windows[contrast.before], session.windows[contrast.after]
    if before.start_s is None or after.start_s is None:
        return None
    last = before.start_s > before.start_s.max() + block_s - window_s - _TOLERANCE_S
    first = after.start_s + block_s < after.start_s.min() + window_s + _TOLERANCE_S
    n = round(window_s / block_s)
    if n < 2 or last.sum() < n or first.sum() < n:
        return None
    return _blocks(before, last), _blocks(after, first)


def _blocks(window: WindowCounts, kept: Bools) -> WindowCounts:
    return WindowCounts(
        window.events[:, kept],
        window.negative[:, kept],
        window.exposure_s[:, kept],
        window.half[kept],
        None if window.start_s is None else window.start_s[kept],
    )


def _with_rois(sessions: Sequence[SessionCounts], roi_set: str) -> list[SessionCounts]:
    limit = detected_limit(roi_set)
    if limit is not None:
        return [each for one in sessions if (each := of_neurons(one, _detected(one, limit)))]
    if roi_set == "anatomical":
        return [each for each in sessions if each.anatomical]
    # Doses of one session are no sessions of their own.
    named = {(each.animal, each.session, name) for each in sessions for name in each.identity.tolist()}
    seen = Counter((animal, name) for animal, _, name in named)
    tracked = []
    for each in sessions:
        again = np.array([seen[each.animal, name] > 1 for name in each.identity.tolist()], dtype=np.bool_)
        if (kept := of_neurons(each, again)) is not None:
            tracked.append(kept)
    return tracked


def _detected(session: SessionCounts, limit: int) -> Bools:
    """Return the neurons with at least so many events over the pair of windows that the session has."""
    contrast = DRUG if DRUG.after in session.windows else PSEUDO
    names = [name for name in (contrast.before, contrast.after) if name in session.windows]
    totals = np.zeros(session.identity.size)
    for name in names:
        totals += session.windows[name].events.sum(axis=1)
    return np.asarray(totals >= limit, dtype=np.bool_)


def of_neurons(session: SessionCounts, kept: Bools) -> SessionCounts | None:
    """Return a session with some of its neurons, None without any."""
    if not kept.any():
        return None
    windows = {
        name: replace(
            window,
            events=window.events[kept],
            negative=window.negative[kept],
            exposure_s=window.exposure_s[kept],
        )
        for name, window in session.windows.items()
    }
    rois = session.rois[kept] if session.rois.size else session.rois
    return replace(session, identity=session.identity[kept], windows=windows, rois=rois)
