"""Activity of the neurons of one imaging plane: traces in, rows of the cells table out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nwbswitch.analysis import events
from nwbswitch.analysis.load import Plane, Recording
from nwbswitch.analysis.nwb_tables import WindowSpan
from nwbswitch.schemas.epochs import Window
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Issue, Place, issue

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SLAB_VALUES = 8_000_000
"""Values of one trace matrix worked on at a time: 64 MB as float64, some ten of them in memory."""
READ_BYTES = 512 << 20
"""Bytes read at a time, so that wide chunks are not unpacked again for every slab."""
GAP = 1.5
"""A step in time longer than this many frames is a gap."""
MIN_BLOCK_SHARE = 0.5
"""Smallest share of a block that must be valid frames."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a user may choose about measuring."""

    block_s: float = 30.0
    threshold_sd: float = 3.0
    neuropil_coefficient: float = 0.7

    def __post_init__(self) -> None:
        for name in ("block_s", "threshold_sd"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if not 0 <= self.neuropil_coefficient <= 1:
            raise ValueError(f"neuropil_coefficient must be from 0 to 1, not {self.neuropil_coefficient}")


@dataclass(frozen=True, slots=True)
class _Block:
    window: str
    block: int
    start_s: float
    frames: slice


@dataclass(frozen=True, slots=True)
class _Slab:
    """Traces of some neurons, shape (neurons, frames), and their rows in the plane segmentation."""

    rows: NDArray[np.int64]
    fluorescence: Floats
    neuropil: Floats | None
    deconvolved: Floats | None


def measure_plane(recording: Recording, plane: Plane, recipe: Recipe, issues: list[Issue]) -> pd.DataFrame:
    """Return the rows of one plane in the columns of the cells table, without ``arm`` and ``order``.

    Parameters
    ----------
    recording, plane
        As `nwbswitch.analysis.load.open_recording` gives them; the file must be open.
    recipe
        Parameters.
    issues
        Receives findings: windows beyond the recording, neurons left out.

    Raises
    ------
    IssuesError
        If no frame lies in a baseline window, so that there is no noise to measure events by.
    """
    place = Place(recording.path, item=plane.fluorescence.object_path)
    _check_extent(recording.windows, plane, place, issues)
    baseline = _baseline_frames(recording.windows, plane, place)
    blocks = _blocks(recording.windows, plane, recipe.block_s)
    tables, n_left_out = [], 0
    for slab in _slabs(plane):
        dff, level = _dff_and_level(slab, plane, baseline, recipe)
        usable = np.isfinite(level) & (level > 0)
        n_left_out += int((~usable).sum())
        if usable.any() and blocks:
            tables.append(_rows(recording, plane, slab, usable, dff[usable], level[usable], blocks, recipe))
    if n_left_out:
        problem = f"{n_left_out} accepted neurons have no noise or no positive fluorescence at rest."
        remedy = "They are left out of the table; look at their traces."
        issues.append(issue("neuron-left-out", problem, place=place, remedy=remedy))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _check_extent(windows: tuple[WindowSpan, ...], plane: Plane, place: Place, issues: list[Issue]) -> None:
    begin_s, end_s = plane.time_s[0], plane.time_s[-1] + 1 / plane.rate_hz
    slack_s = GAP / plane.rate_hz
    for span in windows:
        if span.start_s < begin_s - slack_s or span.stop_s > end_s + slack_s:
            problem = (
                f"The window {span.window} goes from {span.start_s:g} to {span.stop_s:g} s, "
                f"the traces from {begin_s:g} to {end_s:g} s."
            )
            remedy = "Only the part inside was measured; correct the windows."
            issues.append(issue("epoch-outside-recording", problem, place=place, remedy=remedy))


def _baseline_frames(windows: tuple[WindowSpan, ...], plane: Plane, place: Place) -> Flags:
    """Return which frames the noise is measured in: the baseline, or without one the pseudo baseline."""
    for wanted in (Window.BASELINE, Window.PSEUDO_BASELINE):
        inside = np.zeros(plane.time_s.size, dtype=bool)
        for span in windows:
            if span.window is wanted:
                whole_s = span.stop_s - span.start_s
                for frames in events.block_slices(plane.time_s, span.start_s, span.stop_s, whole_s):
                    inside[frames] = True
        if inside.any():
            return inside
    problem = "No frame lies in a window baseline or pseudo_baseline, so the noise is unknown."
    remedy = "Name a baseline window inside the recording."
    raise IssuesError([issue("no-epochs", problem, place=place, remedy=remedy)])


def _blocks(windows: tuple[WindowSpan, ...], plane: Plane, block_s: float) -> list[_Block]:
    """Return the blocks of all windows that hold frames; a window in several parts goes on counting."""
    blocks: list[_Block] = []
    counted: dict[str, int] = {}
    for span in windows:
        first = counted.get(span.window, 0)
        slices = events.block_slices(plane.time_s, span.start_s, span.stop_s, block_s)
        counted[span.window] = first + len(slices)
        blocks += [
            _Block(span.window.value, first + index, span.start_s + index * block_s, frames)
            for index, frames in enumerate(slices)
            if frames.stop > frames.start
        ]
    return blocks


def _slabs(plane: Plane) -> Iterator[_Slab]:
    """Yield the accepted neurons' traces, as many neurons at a time as fit."""
    series, n_frames = plane.fluorescence, plane.fluorescence.n_frames
    wide = max(1, READ_BYTES // (8 * n_frames))
    narrow = max(1, SLAB_VALUES // n_frames)
    accepted = plane.rois.accepted[plane.rows]
    has_rest = not (plane.is_dff or plane.is_demixed)
    for start in range(0, series.n_rois, wide):
        chunk = slice(start, min(start + wide, series.n_rois))
        chosen = np.flatnonzero(accepted[chunk])
        if not chosen.size:
            continue
        parts = [
            None if each is None else each.read(chunk)
            for each in (series, plane.neuropil if has_rest else None, plane.deconvolved)
        ]
        for first in range(0, chosen.size, narrow):
            some = chosen[first : first + narrow]
            fluorescence, neuropil, deconvolved = (None if part is None else part[some] for part in parts)
            assert fluorescence is not None
            yield _Slab(plane.rows[chunk][some], fluorescence, neuropil, deconvolved)


def _dff_and_level(slab: _Slab, plane: Plane, baseline: Flags, recipe: Recipe) -> tuple[Floats, Floats]:
    """Return smoothed dF/F, NaN where invalid, and the level of an event; NaN for unusable neurons."""
    traces = slab.fluorescence
    if slab.neuropil is not None and recipe.neuropil_coefficient:
        neuropil = np.where(np.isfinite(slab.neuropil), slab.neuropil, np.nan)
        traces = events.without_neuropil(traces, neuropil, recipe.neuropil_coefficient)
    traces = np.where(np.isfinite(traces) & ~plane.censored, traces, np.nan)
    traces = events.smoothed(traces, plane.rate_hz)
    rest = events.resting(traces, plane.rate_hz)
    if plane.is_dff or plane.is_demixed:
        dff = traces - rest
    else:
        positive = (rest > 0).all(axis=1, keepdims=True)
        dff = np.divide(traces - rest, rest, out=np.full_like(traces, np.nan), where=positive)
    noise = events.noise_sd(dff[:, baseline])
    return dff, recipe.threshold_sd * np.where(noise > 0, noise, np.nan)


def _rows(
    recording: Recording,
    plane: Plane,
    slab: _Slab,
    usable: Flags,
    dff: Floats,
    level: Floats,
    blocks: list[_Block],
    recipe: Recipe,
) -> pd.DataFrame:
    gaps = np.diff(plane.time_s, prepend=plane.time_s[0]) > GAP / plane.rate_hz
    frames = [block.frames for block in blocks]
    valid = ~np.isnan(dff)
    exposure_s = events.block_sums(valid, frames) / plane.rate_hz
    begins = events.crossings(dff, level, plane.rate_hz, breaks=gaps)
    mirrored = events.crossings(-dff, level, plane.rate_hz, breaks=gaps)
    activity = np.full(exposure_s.shape, np.nan)
    if slab.deconvolved is not None:
        spikes = np.where(valid, slab.deconvolved[usable], np.nan)
        np.divide(events.block_sums(spikes, frames), exposure_s, out=activity, where=exposure_s > 0)
    mean_dff = np.full(exposure_s.shape, np.nan)
    np.divide(events.block_sums(dff, frames), exposure_s * plane.rate_hz, out=mean_dff, where=exposure_s > 0)
    noise = np.column_stack([events.noise_sd(dff[:, block]) for block in frames])
    if plane.is_demixed:  # in the unit of the traces, which is not dF/F
        mean_dff[:], noise[:] = np.nan, np.nan
    rows = slab.rows[usable]
    n, m = rows.size, len(blocks)
    neuron = np.repeat(np.arange(n), m)
    number = np.array([block.block for block in blocks])
    rois = plane.rois

    def each(values: tuple[str, ...]) -> list[str]:
        return [values[row] for row in rows[neuron]]

    table = pd.DataFrame(
        {
            "dataset": recording.dataset,
            "animal": recording.subject_id,
            "session": recording.session_id,
            "plane": plane.name,
            "neuron": rows[neuron],
            "tracking_id": each(rois.tracking_id),
            "cell_type": each(rois.cell_type),
            "region": plane.region,
            "depth_um": rois.depth_um[rows[neuron]],
            "roi_basis": each(rois.roi_basis),
            "window": np.tile([block.window for block in blocks], n),
            "block": np.tile(number, n),
            "half": np.tile(1 + number % 2, n),
            "start_s": np.tile([block.start_s for block in blocks], n),
            "exposure_s": exposure_s.ravel(),
            "n_events": events.block_sums(begins, frames).ravel().astype(np.int64),
            "n_negative": events.block_sums(mirrored, frames).ravel().astype(np.int64),
            "activity": activity.ravel(),
            "mean_dff": mean_dff.ravel(),
            "noise": noise.ravel(),
            "source": recording.path.as_posix(),
            "source_digest": recording.digest,
            "object_path": plane.fluorescence.object_path,
            "simulated": recording.simulated,
        }
    )
    return table[table["exposure_s"] >= MIN_BLOCK_SHARE * recipe.block_s - 0.5 / plane.rate_hz]
