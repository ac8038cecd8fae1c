"""EXTRACT outputs: footprints full and sparse, dF/F or not, cells sorted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse
from format_writers.cnmfe import write_mat
from format_writers.extract import extract_output
from pynwb import NWBHDF5IO
from roi_truth import HEIGHT, N_FRAMES, WIDTH, column, roi_truth, stored_masks, stored_traces, write

from nwbswitch.converters.segmentation.extract import ExtractInterface
from nwbswitch.schemas.errors import InputFileError

TRUTH = roi_truth()
VERSIONS = ("v6", "v7", "v7.3")


def extract(path: Path, *, version: str = "v7.3", **changes: Any) -> ExtractInterface:
    file = write_mat(path / "o.mat", {"output": extract_output(**changes)}, version=version)
    return ExtractInterface(file_path=file, rate_hz=5.0)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sparse", [False, True])
def test_masks_and_traces_reach_the_file(tmp_path: Path, version: str, sparse: bool) -> None:
    changes = {"spatial_weights": scipy.sparse.csc_matrix(TRUTH.columns)} if sparse else {}
    interface = extract(tmp_path, version=version, **changes)
    assert (interface.n_rois, interface.n_frames) == (3, N_FRAMES)
    with h5py.File(write(interface, tmp_path / "e.nwb")) as file:
        np.testing.assert_allclose(stored_masks(file, (HEIGHT, WIDTH)), TRUTH.masks)
        traces = stored_traces(file, "RoiResponseSeries", "DfOverF")
        np.testing.assert_array_equal(traces, TRUTH.dff.astype(np.float32))
        assert "Fluorescence" not in file["processing/ophys"]
        images = file["processing/ophys/SegmentationImages"]
        assert sorted(images) == ["fluorescence_per_pixel", "max_image", "summary_image"]
        assert images["summary_image"].shape == (WIDTH, HEIGHT)
        assert images["summary_image"][8, 1] == 1 * WIDTH + 8 + 1


def test_footprints_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbswitch.converters.segmentation.mat_results.BLOCK_BYTES", 1)
    for version in VERSIONS:
        interface = extract(tmp_path, version=version)
        with h5py.File(write(interface, tmp_path / f"{version}.nwb")) as file:
            np.testing.assert_allclose(stored_masks(file, (HEIGHT, WIDTH)), TRUTH.masks)


def test_columns_and_descriptions(tmp_path: Path) -> None:
    with NWBHDF5IO(write(extract(tmp_path), tmp_path / "e.nwb"), "r") as io:
        ophys = io.read().processing["ophys"]
        table = ophys["ImageSegmentation"]["PlaneSegmentation"]
        assert "EXTRACT 1.3.0" in table.description
        assert table["snr"][:].tolist() == [0, 1, 2]
        assert table["eccentricity"][:].tolist() == [27, 28, 29]
        assert "solver baseline_adjusted" in ophys["DfOverF"]["RoiResponseSeries"].description


@pytest.mark.parametrize("version", ["v7", "v7.3"])
@pytest.mark.parametrize(
    ("config", "per_pixel", "kind"),
    [
        ({}, 10.0, "DfOverF"),
        ({"skip_dff": np.array([[True]])}, 10.0, "Demixed"),
        ({"preprocess": np.array([[False]])}, 1.0, "Demixed"),
        ({"preprocess": np.array([[False]])}, 10.0, "DfOverF"),
    ],
)
def test_traces_are_dff_when_extract_divided_them(
    tmp_path: Path, version: str, config: dict[str, Any], per_pixel: float, kind: str
) -> None:
    info = {"F_per_pixel": np.full((HEIGHT, WIDTH), per_pixel)}
    interface = extract(tmp_path, version=version, config=config, info=info)
    assert [each.value for each in interface.rois.traces] == [kind]
    interface.close()


def test_cells_sorted_by_hand(tmp_path: Path) -> None:
    interface = extract(tmp_path, labels=np.array([[1.0, -1.0, 0.0]]))
    with h5py.File(write(interface, tmp_path / "e.nwb")) as file:
        assert column(file, "accepted") == [True, False, False]
        assert column(file, "extract_label") == [1, -1, 0]
    assert extract(tmp_path, labels=np.zeros((1, 3))).rois.accepted.all()


def test_a_cell_without_a_footprint_does_not_count(tmp_path: Path) -> None:
    weights = TRUTH.masks.transpose(1, 2, 0).copy()
    weights[:, :, 1] = 0
    interface = extract(tmp_path, spatial_weights=weights)
    assert interface.rois.accepted.tolist() == [True, False, True]
    with h5py.File(write(interface, tmp_path / "e.nwb")) as file:
        assert file["processing/ophys/ImageSegmentation/PlaneSegmentation/pixel_mask_index"][:].tolist() == [
            3,
            3,
            6,
        ]


def test_roiextractors_finds_the_same(tmp_path: Path) -> None:
    from roiextractors.extractors.schnitzerextractor import NewExtractSegmentationExtractor

    path = write_mat(tmp_path / "o.mat", {"output": extract_output()}, version="v7.3")
    theirs = NewExtractSegmentationExtractor(path, sampling_frequency=5.0)
    ours = ExtractInterface(file_path=path, rate_hz=5.0)
    np.testing.assert_allclose(np.asarray(theirs.get_roi_image_masks()).transpose(2, 0, 1), TRUTH.masks)
    traces = next(iter(ours.rois.traces.values()))
    np.testing.assert_array_equal(
        traces.read(slice(0, 3), slice(0, N_FRAMES)), np.asarray(theirs.get_traces(name="dff")).T
    )
    np.testing.assert_allclose(
        ours.rois.images["summary_image"].image, theirs.get_images_dict()["summary_image"]
    )
    theirs.close()
    ours.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temporal_weights": np.ones((N_FRAMES, 2))}, "holds 3 footprints and 2 traces"),
        ({"temporal_weights": np.empty((0, 0))}, "without cells"),
        ({"temporal_weights": np.ones((4, 3, 2))}, "traces have ROIs and frames"),
        ({"spatial_weights": np.ones((HEIGHT, WIDTH, 3)) * np.nan}, "not finite"),
        ({"spatial_weights": scipy.sparse.csc_matrix(np.ones((7, 3)))}, "have 7 pixels"),
        ({"spatial_weights": "text"}, "object of the class char"),
        ({"info": {"max_image": np.ones((2, 2))}}, "info.max_image no image"),
        ({"labels": np.ones((1, 4))}, "values as labels for 3 ROIs"),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(
    tmp_path: Path, version: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputFileError, match=words):
        extract(tmp_path, version=version, **changes)


def test_sparse_footprints_without_an_image_have_no_size(tmp_path: Path) -> None:
    empty = np.empty((0, 0))
    with pytest.raises(InputFileError, match="states no size of the image"):
        extract(
            tmp_path,
            spatial_weights=scipy.sparse.csc_matrix(TRUTH.columns),
            info={"summary_image": empty, "F_per_pixel": empty, "max_image": empty},
        )


def test_an_output_that_is_not_there(tmp_path: Path) -> None:
    path = write_mat(tmp_path / "o.mat", {"result": {"x": np.ones((1, 1))}}, version="v7.3")
    with pytest.raises(InputFileError, match="no struct with spatial_weights and temporal_weights"):
        ExtractInterface(file_path=path, rate_hz=5.0)
