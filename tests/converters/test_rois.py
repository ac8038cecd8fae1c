"""The contract of ROIs: traces read by windows, masks flattened either way, one shape for all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from roi_truth import HEIGHT, WIDTH, roi_truth

from nwbswitch.converters.segmentation.masks import checked_sides, column_major_masks, image_masks
from nwbswitch.converters.segmentation.rois import (
    ArrayTraces,
    Column,
    PickedTraces,
    RoiSet,
    SparseTraces,
    SummedTraces,
    TraceChunks,
    TraceKind,
    Traces,
)
from nwbswitch.schemas.errors import InputFileError

FILE = Path("file")
VALUES = np.arange(4 * 30, dtype=np.float32).reshape(4, 30)
WINDOWS = ((slice(0, 4), slice(0, 30)), (slice(1, 3), slice(5, 12)), (slice(0, 1), slice(29, 30)))


@pytest.mark.parametrize(
    ("traces", "expected"),
    [
        (ArrayTraces(VALUES), VALUES),
        (ArrayTraces(VALUES.T, frames_first=True), VALUES),
        (SummedTraces(ArrayTraces(VALUES), ArrayTraces(2 * VALUES.T, frames_first=True)), 3 * VALUES),
        (SparseTraces(scipy.sparse.csc_array(VALUES)), VALUES),
        (PickedTraces(ArrayTraces(np.repeat(VALUES, 2, axis=1)), np.arange(0, 60, 2)), VALUES),
    ],
)
def test_windows_of_every_kind_of_traces(traces: Traces, expected: np.ndarray) -> None:
    assert traces.shape == (4, 30)
    assert traces.dtype == np.float32
    for window in WINDOWS:
        np.testing.assert_array_equal(traces.read(*window), expected[window])
    chunks = TraceChunks(traces, n_frames=20)
    whole = np.full((20, 4), np.nan)
    for part in chunks:
        whole[part.selection] = part.data
    np.testing.assert_array_equal(whole, expected[:, :20].T)


def test_traces_of_two_shapes_have_no_sum() -> None:
    with pytest.raises(ValueError, match="have no sum"):
        SummedTraces(ArrayTraces(VALUES), ArrayTraces(VALUES[:, :9]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"traces": {TraceKind.RAW: ArrayTraces(VALUES), TraceKind.DFF: ArrayTraces(VALUES[:2])}},
            "one shape",
        ),
        ({"accepted": np.ones(3, bool)}, "different numbers of ROIs"),
        ({"columns": {"x": Column("", np.ones(5))}}, "different numbers of ROIs"),
        ({"ends": np.arange(5)}, "different numbers of ROIs"),
    ],
)
def test_a_set_has_one_number_of_rois(change: dict[str, object], words: str) -> None:
    fields = {
        "software": "x",
        "accepted": np.ones(4, bool),
        "accepted_by": "",
        "traces": {TraceKind.RAW: ArrayTraces(VALUES)},
    }
    assert RoiSet(**fields).n_rois == 4  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=words):
        RoiSet(**{**fields, **change})  # type: ignore[arg-type]


def test_column_major_footprints_and_images_are_the_same_masks() -> None:
    truth = roi_truth()
    one = column_major_masks(FILE, scipy.sparse.csc_array(truth.columns), (HEIGHT, WIDTH))
    other = image_masks(FILE, truth.masks)
    for pixels, ends in (one, other):
        masks = np.zeros_like(truth.masks)
        for roi, part in enumerate(np.split(pixels, ends[:-1])):
            masks[roi, part["y"], part["x"]] = part["weight"]
        np.testing.assert_array_equal(masks, truth.masks)
    row_major = truth.masks.reshape(3, -1).T
    turned, _ = column_major_masks(FILE, scipy.sparse.csc_array(row_major), (HEIGHT, WIDTH))
    assert sorted(turned.tolist()) != sorted(one[0].tolist())


def test_stored_zeros_are_no_pixels() -> None:
    matrix = scipy.sparse.csc_array(
        (np.array([1.0, 0.0, 2.0]), np.array([0, 3, 5]), np.array([0, 2, 2, 3])), shape=(6, 3)
    )
    pixels, ends = column_major_masks(FILE, matrix, (2, 3))
    assert ends.tolist() == [1, 1, 2]
    assert pixels.tolist() == [(0, 0, 1.0), (2, 1, 2.0)]


def test_no_masks_at_all() -> None:
    pixels, ends = image_masks(FILE, iter(()))
    assert len(pixels) == len(ends) == 0


@pytest.mark.parametrize("weights", [np.full((2, 2), np.inf), np.array([["a"]]), np.full((2, 2), 1j)])
def test_weights_that_are_no_numbers_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(InputFileError, match="footprints hold"):
        image_masks(FILE, [weights])


@pytest.mark.parametrize(
    ("sides", "volume", "expected"),
    [
        ((6, 9), False, (6, 9)),
        (np.array([[6.0], [9.0]]), False, (6, 9)),
        ((6, 9, 2), True, (6, 9, 2)),
        ((6, 9, 2), False, None),
        ((6,), False, None),
        ((6.5, 9), False, None),
        ((0, 9), False, None),
        ((np.nan, 9), False, None),
        ((1 << 14, 1 << 14), False, None),
        (((1, 2), (3,)), False, None),
        ("69", False, None),
        (np.ones(1 << 10), True, None),
    ],
)
def test_sizes_of_images(sides: object, volume: bool, expected: tuple[int, ...] | None) -> None:
    if expected is None:
        with pytest.raises(InputFileError, match="its field is no size of an image"):
            checked_sides(FILE, sides, stated_by="field", volume=volume)
    else:
        assert checked_sides(FILE, sides, stated_by="field", volume=volume) == expected


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ((20, 17), None),
        ((17, 20), (20, 17)),
        ((37,), None),
        ((10, 10, 17), None),
        ((12, 12, 13), (10, 10, 17)),
    ],
)
def test_runs_of_other_lengths_are_found(counts: tuple[int, ...], found: tuple[int, ...] | None) -> None:
    rois = RoiSet(
        software="x",
        accepted=np.ones(4, bool),
        accepted_by="",
        traces={TraceKind.RAW: ArrayTraces(VALUES)},
        run_frames=((20, 17), (10, 10, 17)),
    )
    assert rois.contradicts_runs(counts) == found
