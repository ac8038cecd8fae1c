"""Suite2p folders in all their forms: several planes, Fall.mat, missing files, settings of every version."""

from __future__ import annotations

import time
from copy import copy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from format_writers.suite2p import HEIGHT, N_FRAMES, TRACES, WIDTH, fall, make_plane, ops_of
from pynwb import NWBHDF5IO
from roi_truth import write

from nwbswitch.converters.segmentation.suite2p import Suite2pInterface
from nwbswitch.schemas.errors import InputFileError, IssuesError
from nwbswitch.schemas.streams_suite2p import Suite2pFolder


def test_planes_are_chosen_by_number_and_the_combined_view_is_not_a_plane(tmp_path: Path) -> None:
    folder = tmp_path / "suite2p"
    for number in (0, 1, 10):
        make_plane(folder / f"plane{number}", ops=ops_of(fs=5.0 + number, nplanes=3))
    make_plane(folder / "combined", ops=ops_of())
    for around in (tmp_path, folder):
        with pytest.raises(InputFileError, match=r"holds 3 planes \(plane0, plane1, plane10\).*plane: 1"):
            Suite2pInterface(folder_path=around)
        chosen = Suite2pInterface(folder_path=around, plane=10)
        assert (chosen.plane.path.name, chosen.rate_hz) == ("plane10", 15.0)
        with pytest.raises(InputFileError, match="holds no plane2; it holds plane0, plane1, plane10"):
            Suite2pInterface(folder_path=around, plane=2)
    assert Suite2pInterface(folder_path=folder / "plane1", plane=1).rate_hz == 6.0
    with pytest.raises(InputFileError, match="is not called plane0"):
        Suite2pInterface(folder_path=folder / "plane1", plane=0)
    with pytest.raises(InputFileError, match="combined view of several planes"):
        Suite2pInterface(folder_path=folder / "combined")


def test_one_plane_beside_the_combined_view_is_found(tmp_path: Path) -> None:
    make_plane(tmp_path / "plane3", ops=ops_of())
    make_plane(tmp_path / "combined", ops=ops_of())
    assert Suite2pInterface(folder_path=tmp_path).plane.path.name == "plane3"


def test_a_study_reads_the_files_of_its_plane_only(tmp_path: Path) -> None:
    for name in ("plane0", "plane1", "combined"):
        make_plane(tmp_path / name)
    stream = Suite2pFolder(format="suite2p", path=tmp_path, plane=1)
    assert {each.parent.name for each in stream.files()} == {"plane1"}
    assert len(stream.files()) == 5
    both = Suite2pFolder(format="suite2p", path=tmp_path)
    assert {each.parent.name for each in both.files()} == {"plane0", "plane1"}


def test_a_rate_that_was_never_set_is_called_that(tmp_path: Path) -> None:
    make_plane(tmp_path / "plane0", ops=ops_of(fs=1))
    with pytest.raises(IssuesError, match="fs = 1 is what users leave"):
        Suite2pInterface(folder_path=tmp_path, rate_hz=30.0)


def test_the_rate_of_all_planes_together_is_explained(tmp_path: Path) -> None:
    make_plane(tmp_path / "plane0", ops=ops_of(fs=30.0, nplanes=3))
    with pytest.raises(IssuesError, match="fs counts per plane.*divided by 3 planes"):
        Suite2pInterface(folder_path=tmp_path, rate_hz=10.0)


def test_without_iscell_every_roi_counts_and_the_file_says_so(tmp_path: Path) -> None:
    plane = make_plane(tmp_path / "plane0", ops=ops_of())
    for name in ("iscell.npy", "spks.npy"):
        (plane / name).unlink()
    path = write(Suite2pInterface(folder_path=tmp_path), tmp_path / "s.nwb")
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        accepted = ophys["ImageSegmentation"]["PlaneSegmentation"]["accepted"]
        assert accepted[:].tolist() == [True, True]
        assert "iscell is not there" in accepted.description
        assert list(ophys["Fluorescence"].roi_response_series) == ["Neuropil", "RoiResponseSeries"]


def test_iscell_as_flags_alone(tmp_path: Path) -> None:
    plane = make_plane(tmp_path / "plane0", ops=ops_of())
    np.save(plane / "iscell.npy", np.array([False, True]))
    interface = Suite2pInterface(folder_path=tmp_path)
    assert interface.rois.accepted.tolist() == [False, True]
    assert "cell_probability" not in interface.rois.columns


def test_red_cells_and_the_second_channel(tmp_path: Path) -> None:
    plane = make_plane(
        tmp_path / "plane0", ops=ops_of(meanImg_chan2=np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH))
    )
    np.save(plane / "redcell.npy", np.array([[0, 0.1], [1, 0.95]]))
    second = np.random.default_rng(3).normal(size=(2, 2, N_FRAMES)).astype(np.float32)
    np.save(plane / "F_chan2.npy", second[0])
    np.save(plane / "Fneu_chan2.npy", second[1])
    with h5py.File(write(Suite2pInterface(folder_path=tmp_path), tmp_path / "s.nwb")) as file:
        table = file["processing/ophys/ImageSegmentation/PlaneSegmentation"]
        assert table["red_cell"][:].tolist() == [False, True]
        assert table["red_cell_probability"][:].tolist() == [0.1, 0.95]
        series = file["processing/ophys/Fluorescence"]
        np.testing.assert_array_equal(series["SecondChannel/data"][:], second[0].T)
        np.testing.assert_array_equal(series["SecondChannelNeuropil/data"][:], second[1].T)
        image = file["processing/ophys/SegmentationImages/mean_image_second_channel"]
        assert (image.shape, image[25, 4]) == ((WIDTH, HEIGHT), 4 * WIDTH + 25)


@pytest.mark.parametrize("compressed", [True, False])
def test_fall_mat_alone_gives_what_the_folder_gives(tmp_path: Path, compressed: bool) -> None:
    plane = make_plane(tmp_path / "npy/plane0", ops=ops_of())
    only = tmp_path / "mat/plane0"
    only.mkdir(parents=True)
    scipy.io.savemat(only / "Fall.mat", fall(plane), do_compression=compressed)
    paths = [
        write(Suite2pInterface(folder_path=tmp_path / name), tmp_path / f"{name}.nwb")
        for name in ("npy", "mat")
    ]
    with h5py.File(paths[0]) as theirs, h5py.File(paths[1]) as ours:
        names: list[str] = []
        theirs["processing/ophys"].visititems(
            lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None
        )
        assert len(names) > 15
        for name in names:
            one, other = theirs["processing/ophys"][name][()], ours["processing/ophys"][name][()]
            if (
                getattr(one, "dtype", None) is not None
                and one.dtype.kind in "fiub"
                and one.dtype.names is None
            ):
                np.testing.assert_array_equal(other, one, err_msg=name)
            elif getattr(one, "dtype", None) is not None and one.dtype.names == ("x", "y", "weight"):
                assert (other == one).all()


def test_what_the_gui_changed_wins_over_fall_mat(tmp_path: Path) -> None:
    plane = make_plane(tmp_path / "npy/plane0")
    only = tmp_path / "mat"
    only.mkdir()
    scipy.io.savemat(only / "Fall.mat", fall(plane))
    np.save(only / "iscell.npy", np.array([[0, 0.9], [1, 0.2]]))
    assert Suite2pInterface(folder_path=only).rois.accepted.tolist() == [False, True]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"F": "text"}, "holds as F a char"),
        ({"Fneu": np.ones((3, 4))}, "has shape .3, 4. for Fneu"),
        ({"stat": np.ones(3)}, "no list of ROIs"),
        ({"iscell": np.ones((5, 2))}, "expected .2, 2."),
        ({"stat": np.array([{"xpix": 1.0, "ypix": 1.0, "lam": 1.0}], dtype=object)}, "holds 1 ROIs"),
    ],
)
def test_a_fall_mat_that_does_not_fit_together_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    plane = make_plane(tmp_path / "npy/plane0")
    scipy.io.savemat(tmp_path / "Fall.mat", fall(plane, **changes))
    with pytest.raises(InputFileError, match=words):
        Suite2pInterface(folder_path=tmp_path, rate_hz=5.0)


def test_a_fall_mat_without_traces_is_refused(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "Fall.mat", {"x": np.ones((2, 2))})
    with pytest.raises(InputFileError, match=r"lacks variables F, Fneu, stat in Fall.mat"):
        Suite2pInterface(folder_path=tmp_path)


@pytest.mark.parametrize(
    ("settings", "basis"),
    [
        ({}, "activity"),
        ({"anatomical_only": 0}, "activity"),
        ({"anatomical_only": 2}, "anatomical"),
        ({"anatomical_only": 4}, "activity"),
        ({"detection": {"algorithm": "cellpose", "cellpose_settings": {"img": "meanImg"}}}, "anatomical"),
        ({"detection": {"algorithm": "cellpose", "cellpose_settings": {"img": "max_proj"}}}, "activity"),
        ({"detection": {"algorithm": "sparsery", "cellpose_settings": {"img": "meanImg"}}}, "activity"),
    ],
)
def test_how_rois_were_found_is_in_the_settings(tmp_path: Path, settings: dict[str, Any], basis: str) -> None:
    make_plane(tmp_path / "plane0", ops=ops_of(**settings))
    assert Suite2pInterface(folder_path=tmp_path).roi_basis == basis
    assert Suite2pInterface(folder_path=tmp_path, roi_basis="unknown").roi_basis == "unknown"


def test_the_four_files_of_suite2p_1_give_images_and_bad_frames(tmp_path: Path) -> None:
    plane = make_plane(tmp_path / "plane0")
    ops = ops_of(badframes=np.arange(N_FRAMES) == 3)
    groups = {
        "settings": ("fs",),
        "db": ("Ly", "Lx"),
        "reg_outputs": ("meanImg", "yrange", "xrange", "badframes"),
        "detect_outputs": ("max_proj",),
    }
    for name, keys in groups.items():
        np.save(plane / f"{name}.npy", {key: ops[key] for key in keys}, allow_pickle=True)
    rois = Suite2pInterface(folder_path=tmp_path).rois
    assert list(rois.images) == ["mean_image", "max_projection"]
    assert rois.bad_frames is not None
    assert np.flatnonzero(rois.bad_frames).tolist() == [3]


def test_runs_that_suite2p_joined(tmp_path: Path) -> None:
    counts = {"frames_per_file": np.array([20, 17]), "frames_per_folder": np.array([N_FRAMES])}
    make_plane(tmp_path / "plane0", ops=ops_of(**counts))
    assert Suite2pInterface(folder_path=tmp_path).rois.run_frames == ((20, 17),)
    make_plane(tmp_path / "other/plane0", ops=ops_of(frames_per_file=np.array([1, 2])))
    assert Suite2pInterface(folder_path=tmp_path / "other").rois.run_frames == ()


def test_two_thousand_rois_are_unpickled_in_a_second(shared: Path, tmp_path: Path) -> None:
    source = np.load(shared / "data/suite2p_without_ops/suite2p/plane0/stat.npy", allow_pickle=True)
    rois = [source[each % len(source)] for each in range(2000)]
    many = np.array([{key: copy(value) for key, value in roi.items()} for roi in rois], dtype=object)
    plane = tmp_path / "plane0"
    plane.mkdir()
    np.save(plane / "stat.npy", many, allow_pickle=True)
    for name in TRACES:
        np.save(plane / name, np.zeros((2000, 10), np.float32))
    began = time.process_time()
    interface = Suite2pInterface(folder_path=tmp_path, rate_hz=30.0)
    assert interface.n_rois == 2000
    assert time.process_time() - began < 3.0


def test_roiextractors_finds_the_same_in_a_real_folder(shared: Path) -> None:
    from roiextractors import Suite2pSegmentationExtractor

    folder = shared / "data/two_photon_mouse_treadmill/suite2p"
    theirs = Suite2pSegmentationExtractor(folder)
    ours = Suite2pInterface(folder_path=folder).rois
    assert ours.rate_hz == theirs.get_sampling_frequency()
    assert ours.pixels is not None
    assert ours.ends is not None
    for mask, part in zip(theirs.get_roi_pixel_masks(), np.split(ours.pixels, ours.ends[:-1]), strict=True):
        np.testing.assert_array_equal(np.column_stack((part["y"], part["x"])), mask[:, :2])
        np.testing.assert_allclose(part["weight"], mask[:, 2])
    everything = slice(0, ours.n_rois), slice(0, ours.n_frames)
    for kind, name in (
        ("RoiResponseSeries", "raw"),
        ("Neuropil", "neuropil"),
        ("Deconvolved", "deconvolved"),
    ):
        values = next(each for key, each in ours.traces.items() if key.value == kind)
        np.testing.assert_array_equal(values.read(*everything), np.asarray(theirs.get_traces(name=name)).T)
    images = theirs.get_images_dict()
    np.testing.assert_allclose(ours.images["mean_image"].image, images["mean"])
    np.testing.assert_allclose(ours.images["correlation_image"].image, images["correlation"])
