"""Planes and tables of spikes without a file, and fluorescence whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nwbswitch.analysis.access.arrays import Part
from nwbswitch.analysis.access.stored_array import StoredArray
from nwbswitch.analysis.activity.plane import measure_plane
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.reading.outline import (
    ActivityKind,
    Censor,
    Clock,
    NeuronTable,
    Plane,
    PointKind,
    Points,
    Trace,
    WindowSpan,
)
from nwbswitch.converters import simulate_traces as st
from nwbswitch.schemas.epochs import Window

NOTHING = np.zeros(0, dtype=np.int64)
FRAME = 100.0
"""Fluorescence at rest, a.u."""


class HeldArrays:
    """Arrays in memory, by object path; remembers what was asked for."""

    def __init__(self, **arrays: np.ndarray) -> None:
        self.arrays = arrays
        self.asked: list[list[Part]] = []

    def read_many(self, parts: Sequence[Part]) -> list[np.ndarray]:
        self.asked.append(list(parts))
        for array, where in parts:
            assert len(where) == len(array.shape)
            for part, length in zip(where, array.shape, strict=True):
                assert part.step is None
                assert 0 <= part.start <= part.stop <= length
        return [self.arrays[array.object_path][where].copy() for array, where in parts]


class MadeArrays:
    """Arrays of any length that exist only where they are read: tiles that repeat along the first axis."""

    def __init__(self, **tiles: np.ndarray) -> None:
        self.tiles = tiles
        self.n_bytes = 0

    def read_many(self, parts: Sequence[Part]) -> list[np.ndarray]:
        values = []
        for array, (frames, *others) in parts:
            tile = self.tiles[array.object_path]
            rows = np.arange(frames.start, frames.stop) % len(tile)
            values.append(tile[rows][(slice(None), *others)])
            self.n_bytes += values[-1].nbytes
        return values


def stored(name: str, shape: tuple[int, ...], dtype: str = "<f4", chunk: tuple[int, ...] | None = None):
    """Return what an outline says of an array."""
    return StoredArray(name, shape, dtype, chunk or shape, (), NOTHING, NOTHING, NOTHING)


def neuron_table(n: int, **columns: tuple[Any, ...]) -> NeuronTable:
    """Return a table of ``n`` neurons, alike but for the given columns."""
    alike = {
        "accepted": (True,) * n,
        "cell_type": ("excitatory",) * n,
        "roi_basis": ("activity",) * n,
        "tracking_id": tuple(f"t{row}" for row in range(n)),
        "region": ("VISp",) * n,
        "layer": ("2/3",) * n,
        "depth_um": (200.0,) * n,
    }
    return NeuronTable(**{**alike, **columns})


def plane_of(
    shape: tuple[int, int],
    rate_hz: float,
    *,
    start_s: float = 0.0,
    kind: ActivityKind = ActivityKind.RAW,
    neuropil: bool = False,
    deconvolved: bool = False,
    subtracted: bool = False,
    censors: tuple[Censor, ...] = (),
    chunk: tuple[int, int] | None = None,
    conversion: float = 1.0,
    offset: float = 0.0,
    time_first: bool = True,
    rows: np.ndarray | None = None,
    indicator: str = "GCaMP6s",
    clock: Clock | None = None,
    **columns: tuple[Any, ...],
) -> Plane:
    """Return a plane whose arrays are called F, N and S, of shape (frames, ROIs)."""
    n_frames, n_rois = shape
    rows = np.arange(n_rois) if rows is None else rows

    def trace(name: str, kind: ActivityKind) -> Trace:
        return Trace(
            stored(name, shape if time_first else shape[::-1], chunk=chunk),
            kind,
            time_first=time_first,
            conversion=conversion,
            offset=offset,
        )

    return Plane(
        name="cells",
        traces=trace("F", kind),
        neuropil=trace("N", ActivityKind.RAW) if neuropil else None,
        neuropil_subtracted=subtracted,
        deconvolved=trace("S", ActivityKind.DECONVOLVED) if deconvolved else None,
        clock=clock or Clock(start_s, rate_hz, n_frames),
        rows=rows,
        neurons=neuron_table(int(rows.max(initial=-1)) + 1, **columns),
        indicator=indicator,
        censors=censors,
    )


def spans(*windows: tuple[str, float, float]) -> list[WindowSpan]:
    """Return analysis windows."""
    return [WindowSpan(Window(name), start_s, stop_s) for name, start_s, stop_s in windows]


def measured(
    fluorescence: np.ndarray,
    rate_hz: float,
    windows: list[WindowSpan],
    recipe: Recipe | None = None,
    *,
    neuropil: np.ndarray | None = None,
    deconvolved: np.ndarray | None = None,
    others: dict[str, np.ndarray] | None = None,
    issues: list[Any] | None = None,
    **about: Any,
):
    """Return the rows of traces of shape (frames, ROIs)."""
    arrays = {"F": fluorescence, "N": neuropil, "S": deconvolved, **(others or {})}
    held = HeldArrays(**{name: values for name, values in arrays.items() if values is not None})
    plane = plane_of(
        fluorescence.shape,
        rate_hz,
        neuropil=neuropil is not None,
        deconvolved=deconvolved is not None,
        **about,
    )
    found: list[Any] = [] if issues is None else issues
    return measure_plane(plane, windows, held, recipe or Recipe(), name="made.nwb", issues=found)


def spiking(
    trains: Sequence[np.ndarray],
    observed: Sequence[tuple[float, float]],
    *,
    flat: bool = False,
    **columns: Any,
) -> tuple[Points, HeldArrays]:
    """Return a table of spikes, ragged or flat, and what it is read from."""
    ends = np.cumsum([train.size for train in trains])
    times = np.concatenate([np.sort(train) for train in trains])
    arrays = {"times": times}
    owners = None
    if flat:
        owner = np.repeat(np.arange(len(trains)), [train.size for train in trains])
        order = np.argsort(times, kind="stable")
        arrays = {"times": times[order], "owners": owner[order]}
        owners = stored("owners", times.shape, "<i8")
    points = Points(
        name="units",
        kind=columns.pop("kind", PointKind.SPIKES),
        times=stored("times", times.shape, "<f8"),
        ends=None if flat else ends,
        owners=owners,
        neurons=neuron_table(len(trains), **columns),
        observed_start_s=tuple(start for start, _ in observed),
        observed_stop_s=tuple(stop for _, stop in observed),
    )
    return points, HeldArrays(**arrays)


def fluorescence(
    rate_per_min: np.ndarray,
    rate_hz: float,
    *,
    noise_dff: float = 0.06,
    amplitude_dff: float = 0.6,
    rest: Callable[[np.ndarray], np.ndarray] | None = None,
    answer: Callable[[np.ndarray], np.ndarray] | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, st.Events, np.ndarray]:
    """Return fluorescence of shape (frames, ROIs), its events and its true dF/F of shape (ROIs, frames).

    Parameters
    ----------
    rate_per_min
        Shape (ROIs, blocks of 30 s), events/min.
    rate_hz
        Frame rate, Hz.
    noise_dff
        Standard deviation of 0.2 s at rest, dF/F.
    amplitude_dff
        Mean peak of transients.
    rest
        Fluorescence at rest by time, as a share of `FRAME`.
    answer
        What the indicator makes of the sum of transients.
    seed
        Of everything random.
    """
    rng = np.random.default_rng(seed)
    n, n_blocks = rate_per_min.shape
    n_frames = round(n_blocks * st.BLOCK_S * rate_hz)
    events = st.draw_events(rate_per_min, np.full(n, amplitude_dff), rng)
    dff = st.calcium(events, n, n_frames=n_frames, rate_hz=rate_hz)
    dff = dff if answer is None else answer(dff)
    base = FRAME * (1.0 if rest is None else rest(np.arange(n_frames) / rate_hz))
    noise = noise_dff * np.sqrt(rate_hz / 5) * rng.standard_normal(dff.shape)
    return np.ascontiguousarray((base * (1 + dff + noise)).T.astype(np.float32)), events, dff
