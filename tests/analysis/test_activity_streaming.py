"""Long recordings: flat memory, few bytes, and numbers that depend on recording, windows and recipe alone."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from activity_cases import HeldArrays, MadeArrays, fluorescence, measured, plane_of, spans

from nwbswitch.analysis.activity import trace_activity, trace_source
from nwbswitch.analysis.activity.plane import measure_plane
from nwbswitch.analysis.activity.recipe import Recipe

RATE_HZ = 10.0
N = 40
TILE = 2003
SHORT = Recipe(piece_s=120.0, margin_s=30.0)


@pytest.fixture(scope="module")
def tiles() -> dict[str, np.ndarray]:
    """Traces that repeat after `TILE` frames, which is no whole number of seconds."""
    rng = np.random.default_rng(0)
    traces = 100 * (1 + 0.06 * rng.standard_normal((TILE, N)))
    for frame in range(40, TILE - 40, 150):
        traces[frame : frame + 30] += 50 * np.exp(-np.arange(30) / 8)[:, None] * (rng.random(N) < 0.3)
    ring = 80 * (1 + 0.02 * rng.standard_normal((TILE, N)))
    return {"F": traces.astype(np.float32), "N": ring.astype(np.float32)}


def _peak_mb(tiles, n_frames: int, windows, recipe: Recipe) -> tuple[float, int, pd.DataFrame]:
    arrays = MadeArrays(**tiles)
    plane = plane_of((n_frames, N), RATE_HZ, neuropil=True)
    tracemalloc.start()
    rows = measure_plane(plane, windows, arrays, recipe, name="x", issues=[])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6, arrays.n_bytes, rows


def test_a_session_of_ten_times_the_length_takes_no_more_memory_and_no_more_bytes(tiles):
    windows = spans(("baseline", 100.0, 400.0), ("drug", 700.0, 1000.0))
    _peak_mb(tiles, 12_000, windows, SHORT)
    short_mb, short_bytes, short = _peak_mb(tiles, 12_000, windows, SHORT)
    long_mb, long_bytes, long = _peak_mb(tiles, 120_000, windows, SHORT)
    assert long_mb < 1.1 * short_mb
    assert long_bytes == short_bytes
    pd.testing.assert_frame_equal(short, long)


def test_windows_of_ten_times_the_length_take_no_more_memory_than_their_rows(tiles, monkeypatch):
    monkeypatch.setattr(trace_activity, "KEPT_VALUES", 50_000)
    peaks = []
    for length_s in (150.0, 1500.0):
        windows = spans(("baseline", 100.0, 100.0 + length_s), ("drug", 2000.0, 2000.0 + length_s))
        _peak_mb(tiles, 40_000, windows, SHORT)
        peak_mb, _, rows = _peak_mb(tiles, 40_000, windows, SHORT)
        peaks.append(peak_mb - 3 * rows.memory_usage(deep=False).sum() / 1e6)
    assert peaks[1] < 1.15 * peaks[0]


def test_only_windows_and_their_margins_are_read(tiles):
    windows = spans(("baseline", 1000.0, 1600.0), ("drug", 3000.0, 3600.0))
    _, n_bytes, _ = _peak_mb(tiles, 60_000, windows, Recipe())
    assert n_bytes == 2 * (600 + 2 * Recipe().margin_s) * RATE_HZ * N * 4 * 2


def test_a_baseline_that_is_too_long_to_be_kept_is_read_again_with_the_same_result(tiles, monkeypatch):
    windows = spans(("baseline", 100.0, 900.0), ("drug", 1200.0, 1500.0))
    kept = _peak_mb(tiles, 20_000, windows, SHORT)
    monkeypatch.setattr(trace_activity, "KEPT_VALUES", 0)
    again = _peak_mb(tiles, 20_000, windows, SHORT)
    pd.testing.assert_frame_equal(kept[2], again[2])
    assert 1.5 * kept[1] < again[1] < 2 * kept[1]


@pytest.mark.parametrize("accepted", [(True,) * N, tuple(neuron % 3 != 0 for neuron in range(N))], ids=len)
def test_numbers_do_not_depend_on_how_many_neurons_fit_or_how_they_are_stored(tiles, monkeypatch, accepted):
    windows = spans(("baseline", 10.0, 100.0), ("drug", 110.0, 190.0))
    whole = measured(tiles["F"], RATE_HZ, windows, SHORT, neuropil=tiles["N"], accepted=accepted)
    monkeypatch.setattr(trace_source, "SLAB_VALUES", 16 * 1800)
    for chunk in (None, (100, 5), (100, 7), (2003, 39)):
        parts = measured(
            tiles["F"], RATE_HZ, windows, SHORT, neuropil=tiles["N"], accepted=accepted, chunk=chunk
        )
        pd.testing.assert_frame_equal(parts, whole)


def test_portions_of_neurons_end_where_chunks_do(tiles, monkeypatch):
    monkeypatch.setattr(trace_source, "SLAB_VALUES", 16 * 1800)
    held = HeldArrays(**tiles)
    plane = plane_of(tiles["F"].shape, RATE_HZ, chunk=(100, 7))
    measure_plane(plane, spans(("baseline", 10.0, 170.0)), held, SHORT, name="x", issues=[])
    columns = {(part[1].start, part[1].stop) for parts in held.asked for _, part in parts}
    assert columns == {(0, 21), (21, 40)}


def test_all_matrices_of_a_piece_are_asked_for_together(tiles):
    held = HeldArrays(**tiles, S=np.zeros((TILE, N), dtype=np.float32))
    plane = plane_of(tiles["F"].shape, RATE_HZ, neuropil=True, deconvolved=True)
    windows = spans(("baseline", 10.0, 60.0), ("drug", 140.0, 190.0))
    measure_plane(plane, windows, held, Recipe(margin_s=10.0), name="x", issues=[])
    asked = [[(array.object_path, where[0]) for array, where in parts] for parts in held.asked]
    assert asked == [
        [(name, slice(0, 700)) for name in "FNS"],
        [(name, slice(1300, 2000)) for name in "FNS"],
    ]


def test_what_lies_far_outside_a_window_changes_nothing(tiles):
    windows = spans(("baseline", 70.0, 90.0), ("drug", 160.0, 180.0))
    recipe = Recipe(margin_s=10.0)
    clean = measured(tiles["F"], RATE_HZ, windows, recipe)
    other = tiles["F"].copy()
    other[:590] *= 7
    other[1010:1490] = np.nan
    pd.testing.assert_frame_equal(measured(other, RATE_HZ, windows, recipe), clean)


def test_events_are_neither_lost_nor_doubled_where_pieces_meet():
    traces, _, _ = fluorescence(np.full((60, 60), 4.0), 5.0)
    windows = spans(("baseline", 0.0, 1800.0))
    whole = measured(traces, 5.0, windows, Recipe(piece_s=1800.0))
    parts = measured(traces, 5.0, windows, Recipe(piece_s=200.0, margin_s=60.0))
    assert len(parts) == len(whole)
    assert parts["exposure_s"].tolist() == whole["exposure_s"].tolist()
    assert parts["n_events"].sum() == pytest.approx(whole["n_events"].sum(), rel=0.01)
    assert np.corrcoef(parts["n_events"], whole["n_events"])[0, 1] > 0.98
    assert parts["noise"].mean() == pytest.approx(whole["noise"].mean(), rel=0.02)


def test_an_error_while_reading_ahead_is_that_of_the_reader(tiles):
    class Failing(HeldArrays):
        def read_many(self, parts):
            if len(self.asked) == 1:
                raise OSError("the line was cut")
            return super().read_many(parts)

    plane = plane_of(tiles["F"].shape, RATE_HZ)
    windows = spans(("baseline", 10.0, 60.0), ("drug", 140.0, 190.0))
    with pytest.raises(OSError, match="the line was cut"):
        measure_plane(plane, windows, Failing(**tiles), Recipe(margin_s=10.0), name="x", issues=[])
