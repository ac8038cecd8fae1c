"""Whether the parts of an outline fit together, as those of an outline that is made from a file do."""

from __future__ import annotations

import math
from dataclasses import fields

from nwbswitch.analysis.access.stored_array import StoredArray
from nwbswitch.analysis.reading.outline import (
    Clock,
    FrameMask,
    NeuronTable,
    Outline,
    Plane,
    Points,
    Shifts,
    Trace,
    WindowSpan,
)
from nwbswitch.analysis.reading.windows import LONGEST_S


def is_consistent(outline: Outline) -> bool:
    """Return whether an outline that was kept can be measured without any look at its file.

    One that was damaged, or changed by hand, could else let another neuron's numbers be read.
    """
    return (
        all(map(_is_window, outline.windows))
        and all(map(_is_plane, outline.planes))
        and all(map(_is_table_of_points, outline.points))
    )


def _is_window(span: WindowSpan) -> bool:
    return 0 < span.stop_s - span.start_s <= LONGEST_S


def _is_plane(plane: Plane) -> bool:
    traces, n_neurons = plane.traces, len(plane.neurons.accepted)
    others = [each for each in (plane.neuropil, plane.deconvolved) if each is not None]
    size = (traces.n_frames, traces.n_rois)
    return (
        _is_table(plane.neurons)
        and all(map(_is_matrix, (traces, *others)))
        and all((each.n_frames, each.n_rois) == size for each in others)
        and plane.rows.shape == (traces.n_rois,)
        and (not plane.rows.size or 0 <= int(plane.rows.min()) <= int(plane.rows.max()) < n_neurons)
        and _is_clock(plane.clock, traces.n_frames)
        and all(_are_numbers(each.array) for each in plane.censors if isinstance(each, FrameMask | Shifts))
    )


def _is_matrix(trace: Trace) -> bool:
    scale = (trace.conversion, trace.offset)
    return len(trace.array.shape) in (1, 2) and _are_numbers(trace.array) and all(map(math.isfinite, scale))


def _are_numbers(array: StoredArray) -> bool:
    return array.dtype[1:2] in ("b", "i", "u", "f")


def _is_clock(clock: Clock, n_frames: int) -> bool:
    if clock.n_frames != n_frames or not 1e-300 < clock.rate_hz < math.inf:
        return False
    numbers = (clock.start_s, clock.stop_s, clock.conversion_s, clock.offset_s, *clock.knots_s)
    if not all(map(math.isfinite, numbers)):
        return False
    if clock.stamps is None:
        return not clock.knots_s
    return (
        clock.knot_frames > 0
        and len(clock.knots_s) == -(-n_frames // clock.knot_frames)
        and math.prod(clock.stamps.shape) == max(clock.stamps.shape, default=0) == n_frames
        and _are_numbers(clock.stamps)
    )


def _is_table_of_points(points: Points) -> bool:
    # Whether ends fit the times is looked at before they are measured.
    return (
        _is_table(points.neurons)
        and len(points.times.shape) == 1
        and _are_numbers(points.times)
        and (points.ends is None) != (points.owners is None)
        and (points.owners is None or _are_numbers(points.owners))
        and len(points.observed_start_s) == len(points.observed_stop_s)
        and all(map(math.isfinite, (*points.observed_start_s, *points.observed_stop_s, points.conversion_s)))
    )


def _is_table(neurons: NeuronTable) -> bool:
    return len({len(getattr(neurons, each.name)) for each in fields(neurons)}) == 1
