"""CaImAn files: column-major masks, raw-like and denoised traces, flags, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse
from format_writers.caiman import caiman_objects, write_caiman
from pynwb import NWBHDF5IO
from roi_truth import HEIGHT, N_FRAMES, RATE_HZ, WIDTH, column, roi_truth, stored_masks, stored_traces, write

from nwbswitch.converters.segmentation.caiman import CaimanInterface
from nwbswitch.converters.segmentation.rois import TraceKind
from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError

TRUTH = roi_truth()


def caiman(path: Path, **changes: Any) -> CaimanInterface:
    return CaimanInterface(file_path=write_caiman(path / "cnm.hdf5", caiman_objects(**changes)))


def test_masks_traces_and_flags_reach_the_file(tmp_path: Path) -> None:
    interface = caiman(tmp_path)
    assert (interface.n_rois, interface.n_frames, interface.rate_hz) == (3, N_FRAMES, RATE_HZ)
    with h5py.File(write(interface, tmp_path / "c.nwb")) as file:
        np.testing.assert_allclose(stored_masks(file, (HEIGHT, WIDTH)), TRUTH.masks)
        np.testing.assert_allclose(stored_traces(file, "Demixed"), TRUTH.raw, rtol=1e-12)
        np.testing.assert_array_equal(stored_traces(file, "Denoised"), TRUTH.denoised)
        np.testing.assert_array_equal(stored_traces(file, "Deconvolved"), TRUTH.deconvolved)
        np.testing.assert_array_equal(stored_traces(file, "RoiResponseSeries", "DfOverF"), TRUTH.dff)
        assert "RoiResponseSeries" not in file["processing/ophys/Fluorescence"]
        assert column(file, "accepted") == [True, False, True]
        image = file["processing/ophys/SegmentationImages/correlation_image"]
        np.testing.assert_allclose(image[:].T, TRUTH.masks.sum(axis=0))
        assert b"someone" not in (tmp_path / "c.nwb").read_bytes()


def test_series_and_columns_say_where_they_come_from(tmp_path: Path) -> None:
    with NWBHDF5IO(write(caiman(tmp_path), tmp_path / "c.nwb"), "r") as io:
        ophys = io.read().processing["ophys"]
        assert "estimates.C + estimates.YrA" in ophys["Fluorescence"]["Demixed"].description
        table = ophys["ImageSegmentation"]["PlaneSegmentation"]
        assert "CaImAn 1.11.4" in table.description
        assert {"snr", "r_value", "baseline", "noise"} <= set(table.colnames)
        assert not {"cnn_prediction", "eccentricity"} & set(table.colnames)
        assert "estimates.SNR_comp" in table["snr"].description
        assert list(table["roi_basis"][:]) == ["activity"] * 3


def test_the_background_is_an_image_and_no_roi(tmp_path: Path) -> None:
    objects = caiman_objects()
    expected = (objects["estimates"]["b"] @ objects["estimates"]["f"].mean(axis=1)).reshape(
        (HEIGHT, WIDTH), order="F"
    )
    rois = CaimanInterface(file_path=write_caiman(tmp_path / "c.hdf5", objects)).rois
    np.testing.assert_allclose(rois.images["background_image"].image, expected, rtol=1e-6)
    assert rois.n_rois == 3


def test_roiextractors_finds_the_same(tmp_path: Path) -> None:
    from roiextractors import CaimanSegmentationExtractor

    path = write_caiman(tmp_path / "cnm.hdf5")
    theirs = CaimanSegmentationExtractor(path)
    ours = CaimanInterface(file_path=path).rois
    assert ours.rate_hz == theirs.get_sampling_frequency()
    ids = [each for each in theirs.get_roi_ids() if not isinstance(each, str)]
    assert ours.n_rois == len(ids)
    np.testing.assert_allclose(theirs.get_roi_image_masks(roi_ids=ids).transpose(2, 0, 1), TRUTH.masks)
    np.testing.assert_array_equal(ours.accepted, theirs.get_property("is_accepted", ids=ids))
    everything = slice(0, 3), slice(0, N_FRAMES)
    pairs = {
        TraceKind.DEMIXED: "raw",
        TraceKind.DENOISED: "denoised",
        TraceKind.DECONVOLVED: "deconvolved",
        TraceKind.DFF: "dff",
    }
    for kind, name in pairs.items():
        expected = np.asarray(theirs.get_traces(name=name)).T
        np.testing.assert_allclose(ours.traces[kind].read(*everything), expected)


def test_a_volume_has_voxels(tmp_path: Path) -> None:
    volume = np.zeros((4, 5, 3))
    volume[1, 4, 2], volume[3, 0, 1] = 0.5, 2.0
    objects = caiman_objects(
        A=scipy.sparse.csc_matrix(volume.reshape(-1, 1, order="F")),
        **{name: np.ones((1, 9)) for name in ("C", "YrA", "S", "F_dff", "f")},
        **dict.fromkeys(("bl", "neurons_sn", "SNR_comp", "r_values", "idx_components", "Cn")),
        dims=(4, 5, 3),
    )
    objects["params"]["data"]["dims"] = objects["dims"] = (4, 5, 3)
    rois = CaimanInterface(file_path=write_caiman(tmp_path / "c.hdf5", objects)).rois
    assert rois.pixels is not None
    assert rois.pixels.tolist() == [(0, 3, 1, 2.0), (4, 1, 2, 0.5)]
    assert rois.images == {}


@pytest.mark.parametrize(
    ("changes", "accepted", "words"),
    [
        ({"idx_components": None}, [True] * 3, "keeps no list"),
        ({"idx_components": np.empty(0, int)}, [False] * 3, "idx_components"),
        ({"idx_components": np.array([2, 1])}, [False, True, True], "idx_components"),
    ],
)
def test_components_that_count(
    tmp_path: Path, changes: dict[str, Any], accepted: list[bool], words: str
) -> None:
    rois = caiman(tmp_path, **changes).rois
    assert rois.accepted.tolist() == accepted
    assert words in rois.accepted_by


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"YrA": None, "R": None}, ["DfOverF", "Denoised", "Deconvolved"]),
        ({"YrA": None, "R": TRUTH.raw - TRUTH.denoised}, ["Demixed", "DfOverF", "Denoised", "Deconvolved"]),
        ({"F_dff": None, "S": None}, ["Demixed", "Denoised"]),
        ({"C": None, "YrA": None, "S": None}, ["DfOverF"]),
    ],
)
def test_traces_that_are_there(tmp_path: Path, changes: dict[str, Any], kinds: list[str]) -> None:
    assert [each.value for each in caiman(tmp_path, **changes).rois.traces] == kinds


def test_windows_of_sums_are_read_without_the_rest(tmp_path: Path) -> None:
    interface = caiman(tmp_path)
    window = next(iter(interface.rois.traces.values())).read(slice(1, 3), slice(10, 14))
    np.testing.assert_allclose(window, TRUTH.raw[1:3, 10:14], rtol=1e-12)


def test_the_rate_must_agree_and_the_default_is_called_that(tmp_path: Path) -> None:
    objects = caiman_objects()
    objects["params"]["data"]["fr"] = 30
    path = write_caiman(tmp_path / "c.hdf5", objects)
    assert CaimanInterface(file_path=path, rate_hz=30.0).rate_hz == 30
    with pytest.raises(IssuesError, match="CaImAn takes fr = 30 when no frame rate is set"):
        CaimanInterface(file_path=path, rate_hz=5.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"A": np.ones((HEIGHT * WIDTH, 3))}, "no sparse footprints"),
        ({"A": scipy.sparse.csc_matrix(np.ones((10, 3)))}, "have 10 pixels, an image of 6 x 9 has 54"),
        ({"A": scipy.sparse.csc_matrix(TRUTH.columns * np.nan)}, "no finite numbers"),
        ({"A": scipy.sparse.csc_matrix(np.ones((HEIGHT * WIDTH, 4)))}, "expected .4, 300."),
        ({"YrA": np.ones((3, 7))}, "as estimates/YrA, expected .3, 300."),
        ({"C": np.full((3, N_FRAMES), "a", "S1")}, "estimates/C"),
        ({"C": None, "YrA": None, "S": None, "F_dff": None}, "holds no traces"),
        ({"idx_components": np.array([0, 3])}, "not among its 3"),
        ({"idx_components": np.array([0.5])}, "no list of components"),
        ({"SNR_comp": np.ones(2)}, "values as estimates/SNR_comp for 3 components"),
        ({"Cn": np.ones((3, 3))}, "image of shape"),
        ({"dims": (7, 9)}, "different sizes of the image"),
        ({"dims": (6.5, 9)}, "no size of an image"),
    ],
)
def test_estimates_that_do_not_fit_together_are_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputFileError, match=words):
        caiman(tmp_path, **changes)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("indices", np.full(9, 1 << 40), "no columns of footprints"),
        ("indices", np.full(9, -1), "no columns of footprints"),
        ("indptr", np.array([0, 9, 3, 9]), "no columns of footprints"),
        ("indptr", np.array([0, 3]), "no columns of footprints"),
        ("shape", np.array([54, 3, 1]), "do not fit together"),
        ("data", np.ones(4), "do not fit together"),
    ],
)
def test_damaged_sparse_matrices_are_refused(tmp_path: Path, part: str, value: Any, words: str) -> None:
    path = write_caiman(tmp_path / "c.hdf5")
    with h5py.File(path, "r+") as file:
        assert file["estimates/A/data"].size == 9
        del file[f"estimates/A/{part}"]
        file[f"estimates/A/{part}"] = value
    with pytest.raises(InputFileError, match=words):
        CaimanInterface(file_path=path)


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["C"] = np.ones((3, N_FRAMES))
    path = write_caiman(tmp_path / "c.hdf5")
    with h5py.File(path, "r+") as file:
        del file["estimates/C"]
        file["estimates/C"] = h5py.ExternalLink(str(other), "/C")
    with pytest.raises(UnsafeFileError, match="another file"):
        CaimanInterface(file_path=path)
    huge = write_caiman(tmp_path / "h.hdf5")
    with h5py.File(huge, "r+") as file:
        del file["estimates/A/data"]
        file.create_dataset("estimates/A/data", shape=(1 << 38,), dtype="f8", chunks=(1 << 20,))
    with pytest.raises(UnsafeFileError, match="states"):
        CaimanInterface(file_path=huge)
    (tmp_path / "text.hdf5").write_text("no")
    with pytest.raises(InputFileError, match="cannot be opened as HDF5"):
        CaimanInterface(file_path=tmp_path / "text.hdf5")


def test_the_file_can_be_moved_once_the_interface_is_closed(tmp_path: Path) -> None:
    interface = caiman(tmp_path)
    interface.close()
    with h5py.File(tmp_path / "cnm.hdf5", "r+") as file:
        file["mark"] = 1
