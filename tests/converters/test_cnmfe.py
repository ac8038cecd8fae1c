"""CNMF-E results of every MAT version, as Sources2D and CIAtah save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse
from format_writers.cnmfe import ciatah, sources2d, write_mat
from pynwb import NWBHDF5IO
from roi_truth import HEIGHT, N_FRAMES, RATE_HZ, WIDTH, column, roi_truth, stored_masks, stored_traces, write

from nwbswitch.converters.segmentation.cnmfe import CnmfeInterface
from nwbswitch.converters.segmentation.rois import TraceKind
from nwbswitch.schemas.errors import InputFileError

TRUTH = roi_truth()
VERSIONS = ("v6", "v7", "v7.3")


def cnmfe(path: Path, *, version: str = "v7.3", **changes: Any) -> CnmfeInterface:
    return CnmfeInterface(
        file_path=write_mat(path / "r.mat", {"neuron": sources2d(**changes)}, version=version)
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("layout", ["struct", "variables", "full", "ciatah"])
def test_masks_and_traces_reach_the_file(tmp_path: Path, version: str, layout: str) -> None:
    struct = sources2d()
    if layout == "full":
        struct |= {"A": TRUTH.columns, "S": TRUTH.deconvolved}
    variables = {"cnmfeAnalysisOutput": ciatah()} if layout == "ciatah" else {"neuron_results": struct}
    path = write_mat(tmp_path / "r.mat", struct if layout == "variables" else variables, version=version)
    interface = CnmfeInterface(file_path=path, rate_hz=RATE_HZ)
    assert (interface.n_rois, interface.n_frames) == (3, N_FRAMES)
    with h5py.File(write(interface, tmp_path / "c.nwb")) as file:
        np.testing.assert_allclose(stored_masks(file, (HEIGHT, WIDTH)), TRUTH.masks)
        np.testing.assert_array_equal(stored_traces(file, "Demixed"), TRUTH.raw)
        np.testing.assert_array_equal(stored_traces(file, "Denoised"), TRUTH.denoised)
        np.testing.assert_array_equal(stored_traces(file, "Deconvolved"), TRUTH.deconvolved)
        assert column(file, "accepted") == [True] * 3
        image = file["processing/ophys/SegmentationImages/correlation_image"]
        np.testing.assert_allclose(image[:].T, TRUTH.masks.sum(axis=0))
    assert b"someone" not in (tmp_path / "c.nwb").read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
def test_numbers_of_neurons_are_columns(tmp_path: Path, version: str) -> None:
    interface = cnmfe(tmp_path, version=version)
    assert interface.rate_hz == RATE_HZ
    with NWBHDF5IO(write(interface, tmp_path / "c.nwb"), "r") as io:
        ophys = io.read().processing["ophys"]
        table = ophys["ImageSegmentation"]["PlaneSegmentation"]
        assert table["neuron_id"][:].tolist() == [10, 20, 30]
        assert table["quality_tags"][:].tolist() == [0, 1, 2]
        assert "CNMF-E's C_raw" in ophys["Fluorescence"]["Demixed"].description


def test_what_roiextractors_finds_is_turned_and_denoised(tmp_path: Path) -> None:
    from roiextractors import CnmfeSegmentationExtractor

    path = write_mat(tmp_path / "r.mat", {"cnmfeAnalysisOutput": ciatah()}, version="v7.3")
    theirs = CnmfeSegmentationExtractor(path)
    ours = CnmfeInterface(file_path=path, rate_hz=RATE_HZ)
    # Masks come out as (width, height, ROIs). What it calls raw is extractedSignals, which CIAtah fills with
    # the denoised C, and its rate is the number of frames over the computing time.
    np.testing.assert_allclose(np.asarray(theirs.get_roi_image_masks()).transpose(2, 1, 0), TRUTH.masks)
    np.testing.assert_array_equal(
        ours.rois.traces[TraceKind.DENOISED].read(slice(0, 3), slice(0, N_FRAMES)),
        np.asarray(theirs.get_traces(name="raw")).T,
    )
    assert theirs.get_sampling_frequency() == pytest.approx(N_FRAMES / 777)
    ours.close()


def test_ciatah_says_which_signals_are_modelled(tmp_path: Path) -> None:
    turned = ciatah(extractedSignalsType="dfof", extractedSignalsEstType="model")
    rois = CnmfeInterface(
        file_path=write_mat(tmp_path / "r.mat", {"cnmfAnalysisOutput": turned}, version="v7"), rate_hz=5.0
    ).rois
    notes = {kind.value: note for kind, note in rois.trace_notes.items()}
    assert notes["Demixed"] == "CIAtah's extractedSignals."
    assert notes["Denoised"] == "CIAtah's extractedSignalsEst."


def test_without_a_rate_the_study_gives_it(tmp_path: Path) -> None:
    interface = cnmfe(tmp_path, Fs=np.array([[np.nan]]))
    assert interface.rate_hz is None
    with pytest.raises(InputFileError, match="Give rate_hz"):
        interface.require_times()
    interface.close()


def test_the_image_size_may_come_from_the_correlation_image(tmp_path: Path) -> None:
    interface = cnmfe(tmp_path, options={"ssub": np.ones((1, 1))})
    assert interface.rois.ends is not None
    assert interface.rois.ends.tolist() == [3, 6, 9]
    interface.close()


def test_one_neuron(tmp_path: Path) -> None:
    one = roi_truth(n_rois=1)
    for layout, struct in (("a", sources2d(one)), ("b", ciatah(one))):
        path = write_mat(tmp_path / f"{layout}.mat", {"neuron": struct}, version="v7")
        interface = CnmfeInterface(file_path=path, rate_hz=5.0)
        with h5py.File(write(interface, tmp_path / f"{layout}.nwb")) as file:
            np.testing.assert_allclose(stored_masks(file, (HEIGHT, WIDTH)), one.masks)


@pytest.mark.parametrize("version", VERSIONS)
def test_several_results_must_be_chosen_from(tmp_path: Path, version: str) -> None:
    other = sources2d(roi_truth(n_rois=2))
    path = write_mat(tmp_path / "r.mat", {"first": sources2d(), "second": other}, version=version)
    with pytest.raises(
        InputFileError, match=r"holds 2 results of CNMF-E: first, second. Name one with variable"
    ):
        CnmfeInterface(file_path=path)
    chosen = CnmfeInterface(file_path=path, variable="second")
    assert chosen.n_rois == 2
    chosen.close()
    with pytest.raises(InputFileError, match="has no variable third; it has first, second"):
        CnmfeInterface(file_path=path, variable="third")


def test_an_object_of_matlab_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "r.mat"
    write_mat(path, {"x": np.ones((1, 6))}, version="v7.3")
    with h5py.File(path, "r+") as file:
        file["neuron"] = np.arange(6, dtype=np.uint32)[None]
        file["neuron"].attrs["MATLAB_class"] = np.bytes_("Sources2D")
        file["neuron"].attrs["MATLAB_object_decode"] = np.int32(3)
    with pytest.raises(InputFileError, match=r"only MATLAB can read: neuron \(Sources2D\).*struct\(neuron\)"):
        CnmfeInterface(file_path=path)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"A": scipy.sparse.csc_matrix(np.ones((10, 3)))}, "have 10 pixels, an image of 6 x 9 has 54"),
        ({"A": scipy.sparse.csc_matrix(np.ones((HEIGHT * WIDTH, 4)))}, "holds 4 footprints and 3 traces"),
        ({"A": np.empty((0, 0))}, "holds no neurons"),
        ({"C": np.ones((3, 7))}, "holds C of shape"),
        ({"C_raw": "text", "C": "text", "S": np.empty((0, 0))}, "expected numbers"),
        ({"ids": np.ones((1, 5))}, "values as ids for 3 ROIs"),
        ({"Cn": np.ones((2, 2))}, "holds as Cn no image"),
        ({"options": {"d1": np.array([[-6.0]]), "d2": np.array([[9.0]])}}, "no size of an image"),
        ({"options": {"x": np.ones((1, 1))}, "Cn": np.empty((0, 0))}, "states no size of the image"),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(
    tmp_path: Path, version: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputFileError, match=words):
        cnmfe(tmp_path, version=version, **changes)


def test_other_mat_files_are_refused(tmp_path: Path) -> None:
    path = write_mat(tmp_path / "r.mat", {"x": np.ones((2, 2)), "s": {"A": np.ones((2, 2))}}, version="v7")
    with pytest.raises(
        InputFileError, match="no struct with A and C or extractedImages and extractedSignals"
    ):
        CnmfeInterface(file_path=path)
    (tmp_path / "t.mat").write_bytes(b"no MAT-file at all, but long enough to have a header" * 9)
    with pytest.raises(InputFileError, match="t.mat"):
        CnmfeInterface(file_path=tmp_path / "t.mat")
