"""Inscopix cell sets, with a file that Inscopix's own library wrote (isx 2.1.0 from PyPI).

``tests/reference/inscopix/cells.isxd``: three cells in 6 x 9 pixels, 50 samples at 100 ms; 3 and 4 dropped,
10 to 12 cropped; cell i has the weight 0.5 + i at (row i, column i + 4) and 1 beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from format_writers.inscopix_cells import cell_set_footer, write_cell_set
from roi_truth import HEIGHT, N_FRAMES, WIDTH, column, roi_truth, stored_masks, stored_traces, write

from nwbswitch.converters.segmentation.inscopix_cells import InscopixCellsInterface
from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError

TRUTH = roi_truth()
REFERENCE = Path(__file__).parents[1] / "reference/inscopix/cells.isxd"


def cells(path: Path, **stated: Any) -> InscopixCellsInterface:
    return InscopixCellsInterface(file_path=write_cell_set(path / "c.isxd", **stated))


def test_a_file_of_inscopix_own_library(tmp_path: Path) -> None:
    interface = InscopixCellsInterface(file_path=REFERENCE, rate_hz=10.0)
    kept = np.setdiff1d(np.arange(50), [3, 4, 10, 11, 12])
    np.testing.assert_allclose(interface.get_timestamps(), kept * 0.1)
    expected = np.zeros((3, 6, 9))
    for roi in range(3):
        expected[roi, roi, roi + 4 : roi + 6] = 0.5 + roi, 1
    traces = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)[:, kept]
    with h5py.File(write(interface, tmp_path / "i.nwb")) as file:
        np.testing.assert_array_equal(stored_masks(file, (6, 9)), expected)
        np.testing.assert_array_equal(stored_traces(file, "Demixed"), traces)
        assert column(file, "roi_name") == ["C0", "C1", "C2"]
        assert column(file, "status") == ["accepted", "rejected", "undecided"]
        assert column(file, "accepted") == [True, False, False]


def test_the_writer_of_these_tests_writes_what_the_library_writes() -> None:
    data = REFERENCE.read_bytes()
    length = int.from_bytes(data[-8:], "little")
    footer = json.loads(data[-9 - length : -9])
    stated = {"dropped": [3, 4], "cropped": ["10 - 12"], "period": (100, 1000)}
    ours = cell_set_footer((6, 9), 50, names=["C0", "C1", "C2"], statuses=[0, 2, 1], **stated)
    assert footer == ours


def test_masks_and_traces_reach_the_file(tmp_path: Path) -> None:
    interface = cells(tmp_path)
    assert (interface.n_frames, interface.rate_hz) == (N_FRAMES, 5.0)
    with h5py.File(write(interface, tmp_path / "i.nwb")) as file:
        np.testing.assert_array_equal(stored_masks(file, (HEIGHT, WIDTH)), TRUTH.masks)
        np.testing.assert_array_equal(stored_traces(file, "Demixed"), TRUTH.raw.astype(np.float32))
        series = file["processing/ophys/Fluorescence/Demixed"]
        assert series["starting_time"].attrs["rate"] == 5.0


def test_windows_across_missing_frames(tmp_path: Path) -> None:
    interface = cells(tmp_path, dropped=[0, 7, 299], cropped=["20 - 22"])
    kept = np.setdiff1d(np.arange(N_FRAMES), [0, 7, 20, 21, 22, 299])
    traces = next(iter(interface.rois.traces.values()))
    assert traces.shape == (3, len(kept))
    for window in (slice(0, 10), slice(15, 40), slice(290, 400), slice(5, 5)):
        expected = TRUTH.raw.astype(np.float32)[1:, kept[window]]
        np.testing.assert_array_equal(traces.read(slice(1, 3), window), expected)


@pytest.mark.parametrize(
    ("units", "kind"), [("dF/F", "DfOverF"), ("dF over noise", "Demixed"), (None, "Demixed")]
)
def test_units_tell_dff_from_other_traces(tmp_path: Path, units: str | None, kind: str) -> None:
    rois = cells(tmp_path, units=units).rois
    assert [each.value for each in rois.traces] == [kind]
    assert f"unit {units or 'not stated'}" in next(iter(rois.trace_notes.values()))


def test_cells_that_nobody_judged_all_count(tmp_path: Path) -> None:
    rois = cells(tmp_path, statuses=[1, 1, 1]).rois
    assert rois.accepted.all()
    assert "Nobody accepted" in rois.accepted_by


def test_cells_drawn_by_hand_are_of_unknown_basis(tmp_path: Path) -> None:
    assert cells(tmp_path, isRoiSet=True).roi_basis == "unknown"
    assert cells(tmp_path).roi_basis == "activity"


def test_metrics_are_columns(tmp_path: Path) -> None:
    center = {"x": 1, "y": 2}
    metrics = [[1 + each, center, center, 3.5, 3.0, 2.0, 2.0] for each in range(3)]
    rois = cells(tmp_path, metrics=metrics).rois
    assert rois.columns["n_components"].values.tolist() == [1, 2, 3]  # type: ignore[union-attr]
    assert rois.columns["area_px"].values.tolist() == [3.5] * 3  # type: ignore[union-attr]
    assert "area_px" not in cells(tmp_path, metrics=[{}, *metrics[1:]]).rois.columns


def test_the_rate_must_agree(tmp_path: Path) -> None:
    with pytest.raises(IssuesError, match="ran with 5 Hz, the study states 20 Hz"):
        InscopixCellsInterface(file_path=write_cell_set(tmp_path / "c.isxd"), rate_hz=20.0)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"type": 0}, "no cell set"),
        ({"names": ["C0", "C1"], "statuses": [0, 0]}, "names 2 cells"),
        ({"statuses": [0, 0]}, "states 2 statuses"),
        ({"statuses": [0, 0, 7]}, "a status that there is not"),
        ({"names": ["a\0b", "c", "d"]}, "no word"),
        ({"period": (0, 1000)}, "period of 0 s"),
        ({"cropped": ["0 - 299"]}, "for 0 frames"),
        ({"dropped": [300]}, "missing"),
        ({"CellNames": 3}, "CellNames"),
        ({"timingInfo": {}}, "timingInfo"),
    ],
)
def test_footers_that_do_not_fit_the_data_are_refused(
    tmp_path: Path, stated: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputFileError, match=words):
        cells(tmp_path, **stated)


def test_hostile_sizes_are_refused_without_memory(tmp_path: Path) -> None:
    footer = cell_set_footer((1 << 14, 1 << 14), 40_000_000, names=["C0"] * 3, statuses=[0] * 3)
    with pytest.raises(InputFileError):
        cells(tmp_path, footer=footer)
    whole = REFERENCE.read_bytes()
    for name, data in (
        ("cut.isxd", whole[:-20]),
        ("long.isxd", whole[:-8] + (1 << 50).to_bytes(8, "little")),
        ("empty.isxd", b""),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises((InputFileError, UnsafeFileError), match=name):
            InscopixCellsInterface(file_path=tmp_path / name)
