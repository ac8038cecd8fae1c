"""ROIs drawn in ImageJ: pixels by ImageJ's rules, traces matched by number or by name."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from format_writers.imagej import (
    composite,
    polygon,
    rectangle,
    write_multi_measure,
    write_roi_set,
)
from format_writers.mat_v73 import write_mat_v73
from roi_truth import HEIGHT, N_FRAMES, WIDTH, column, roi_truth, stored_masks, stored_traces, write
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

from nwbswitch.converters.segmentation.imagej_rois import ImagejRoisInterface
from nwbswitch.converters.segmentation.imagej_shapes import roi_pixels
from nwbswitch.schemas.errors import InputFileError, MissingExtraError, TableError, UnsafeFileError

TRUTH = roi_truth()
ROIS = {"soma": rectangle(7, 0, 2, 1), "dendrite": rectangle(0, 5, 3, 1), "0003-0042": rectangle(4, 2, 1, 3)}
HEADINGS = ("(soma)", "(dendrite)", "3")


def imagej(folder: Path, **table: Any) -> ImagejRoisInterface:
    """Open a set of three ROIs with a table that is there, or the usual one."""
    if "path" not in table:
        table["path"] = str(write_multi_measure(folder / "Results.csv", HEADINGS, TRUTH.raw))
    path = write_roi_set(folder / "RoiSet.zip", ROIS)
    return ImagejRoisInterface(file_path=path, traces=table, image_size=[HEIGHT, WIDTH], rate_hz=5.0)


def drawn(roi: ImagejRoi, height: int = HEIGHT, width: int = WIDTH) -> list[str]:
    """Return the mask of a ROI, # for pixels that belong to it."""
    mask = np.full((height, width), ".")
    x, y = roi_pixels(ImagejRoi.frombytes(roi.tobytes()), height, width)
    mask[y, x] = "#"
    return ["".join(row) for row in mask]


def test_masks_names_and_traces_reach_the_file(tmp_path: Path) -> None:
    interface = imagej(tmp_path)
    assert (interface.n_rois, interface.n_frames, interface.roi_basis) == (3, N_FRAMES, "anatomical")
    expected = np.zeros((3, HEIGHT, WIDTH))
    expected[0, 0, 7:9] = expected[1, 5, 0:3] = expected[2, 2:5, 4] = 1
    with h5py.File(write(interface, tmp_path / "i.nwb")) as file:
        np.testing.assert_array_equal(stored_masks(file, (HEIGHT, WIDTH)), expected)
        np.testing.assert_array_equal(stored_traces(file, "RoiResponseSeries"), TRUTH.raw)
        assert column(file, "roi_name") == ["soma", "dendrite", "0003-0042"]
        assert column(file, "accepted") == [True] * 3


def test_pixels_of_simple_shapes() -> None:
    assert drawn(rectangle(1, 2, 3, 2)) == [
        ".........",
        ".........",
        ".###.....",
        ".###.....",
        ".........",
        ".........",
    ]
    assert drawn(rectangle(2, 1, 5, 4, roitype=ROI_TYPE.OVAL)) == [
        ".........",
        "...###...",
        "..#####..",
        "..#####..",
        "...###...",
        ".........",
    ]


def test_pixels_of_polygons_are_those_whose_centre_is_inside() -> None:
    triangle = polygon([(1, 1), (7, 1), (1, 5)])
    assert drawn(triangle) == [".........", ".#####...", ".####....", ".##......", ".#.......", "........."]
    shifted = polygon([(1.4, 0.4), (4.6, 0.4), (4.6, 2.6), (1.4, 2.6)], subpixel=True)
    assert drawn(shifted)[:4] == [".####....", ".####....", ".####....", "........."]
    assert drawn(polygon([(1, 1), (4, 1), (4, 3), (1, 3)], roitype=ROI_TYPE.TRACED)) == drawn(
        rectangle(1, 1, 3, 2)
    )
    assert drawn(polygon([(1, 1), (4, 1), (4, 3), (1, 3)], roitype=ROI_TYPE.FREEHAND)) == drawn(
        rectangle(1, 1, 3, 2)
    )


def test_a_composite_has_holes() -> None:
    def box(left: float, top: float, right: float, bottom: float) -> list[float]:
        return [0, left, top, 1, right, top, 1, right, bottom, 1, left, bottom, 4]

    ring = composite([*box(1, 0, 8, 5), *box(3, 1, 6, 4)], (1, 0, 8, 5))
    assert drawn(ring) == [".#######.", ".##...##.", ".##...##.", ".##...##.", ".#######.", "........."]


def test_a_composite_of_curves_is_the_oval_they_draw() -> None:
    def quarter(*points: float) -> list[float]:
        return [3, *points]

    k = 0.5522847498
    circle = [
        *(0, 40, 20),
        *quarter(40, 20 + 20 * k, 20 + 20 * k, 40, 20, 40),
        *quarter(20 - 20 * k, 40, 0, 20 + 20 * k, 0, 20),
        *quarter(0, 20 - 20 * k, 20 - 20 * k, 0, 20, 0),
        *quarter(20 + 20 * k, 0, 40, 20 - 20 * k, 40, 20),
        4,
    ]
    ours = np.array([list(row) for row in drawn(composite(circle, (0, 0, 40, 40)), 50, 60)])
    oval = np.array([list(row) for row in drawn(rectangle(0, 0, 40, 40, roitype=ROI_TYPE.OVAL), 50, 60)])
    assert (ours != oval).sum() <= 8
    assert (oval == "#").sum() == 1264


def test_round_corners_are_cut() -> None:
    corners = drawn(rectangle(0, 0, 9, 6, rounded_rect_arc_size=6))
    assert corners == [".#######.", *["#" * 9] * 4, ".#######."]


def test_what_lies_outside_the_image_is_cut_off() -> None:
    assert drawn(rectangle(-2, 4, 4, 9)) == [*["." * 9] * 4, "##.......", "##......."]
    assert drawn(polygon([(6, -2), (20, -2), (20, 2), (6, 2)]))[:3] == ["......###", "......###", "........."]


@pytest.mark.parametrize(
    ("roi", "words"),
    [
        (rectangle(20, 1, 3, 3), "outside the image of 6 x 9"),
        (rectangle(1, 1, 0, 3), "outside the image"),
        (rectangle(1, 1, 3, 3, roitype=ROI_TYPE.LINE), "a line"),
        (polygon([(1, 1), (3, 1), (3, 3)], roitype=ROI_TYPE.POINT), "points"),
        (polygon([(1, 1), (3, 1), (3, 3)], roitype=ROI_TYPE.POLYLINE), "a polyline"),
        (polygon([(1, 1), (3, 1)]), "without three corners"),
        (polygon([(1, 1), (3, 1), (3, 3)], options=ROI_OPTIONS.SPLINE_FIT), "Interpolate"),
        (composite([1, 1, 2], (0, 0, 3, 3)), "damaged paths"),
        (composite([0, 1], (0, 0, 3, 3)), "damaged paths"),
        (composite([7, 1, 2], (0, 0, 3, 3)), "damaged paths"),
        (composite([0, 1, 2, 1, np.nan, 3, 1, 4, 4, 4], (0, 0, 3, 3)), "no numbers"),
        (composite([0, 1, 2, 1, 1e30, 3, 1, 4, 4, 4], (0, 0, 3, 3)), "no numbers"),
    ],
)
def test_shapes_without_pixels_are_refused_by_name(tmp_path: Path, roi: ImagejRoi, words: str) -> None:
    path = write_roi_set(tmp_path / "RoiSet.zip", {"odd one": roi})
    table = write_multi_measure(tmp_path / "R.csv", ["1"], TRUTH.raw[:1])
    with pytest.raises(InputFileError, match=f"ROI 'odd one' is .*{words}"):
        ImagejRoisInterface(file_path=path, traces={"path": str(table)}, image_size=[HEIGHT, WIDTH])


def test_a_single_roi_file(tmp_path: Path) -> None:
    path = tmp_path / "cell.roi"
    path.write_bytes(rectangle(1, 1, 2, 2).tobytes())
    table = write_multi_measure(tmp_path / "R.csv", ["1"], TRUTH.raw[:1])
    interface = ImagejRoisInterface(file_path=path, traces={"path": str(table)}, image_size=[HEIGHT, WIDTH])
    assert interface.rois.columns["roi_name"].values == ["cell"]


@pytest.mark.parametrize(
    "headings",
    [("1", "2", "3"), ("(soma)", "(dendrite)", "3")],
)
def test_columns_by_number_or_as_imagej_calls_them(tmp_path: Path, headings: tuple[str, ...]) -> None:
    table = write_multi_measure(tmp_path / "R.csv", headings, TRUTH.raw)
    traces = next(iter(imagej(tmp_path, path=str(table)).rois.traces.values()))
    np.testing.assert_array_equal(traces.read(slice(0, 3), slice(0, N_FRAMES)), TRUTH.raw)
    np.testing.assert_array_equal(traces.read(slice(1, 2), slice(7, 9)), TRUTH.raw[1:2, 7:9])


def test_another_measure(tmp_path: Path) -> None:
    traces = next(iter(imagej(tmp_path, measure="Max").rois.traces.values()))
    np.testing.assert_allclose(traces.read(slice(0, 3), slice(0, 9)), TRUTH.raw[:, :9] + 1, atol=1e-3)


def test_one_column_per_roi_in_any_order(tmp_path: Path) -> None:
    table = tmp_path / "traces.csv"
    rows = [",".join(map(repr, values)) for values in TRUTH.dff[[2, 0, 1]].T.tolist()]
    table.write_text("\n".join(["0003-0042,soma,dendrite", *rows]) + "\n")
    rois = imagej(tmp_path, path=str(table), kind="dff").rois
    assert [each.value for each in rois.traces] == ["DfOverF"]
    traces = next(iter(rois.traces.values()))
    np.testing.assert_array_equal(traces.read(slice(0, 3), slice(0, N_FRAMES)), TRUTH.dff)


@pytest.mark.parametrize("version", ["v7", "v7.3"])
def test_traces_in_a_mat_file(tmp_path: Path, version: str) -> None:
    path = tmp_path / "t.mat"
    variables = {"traces": TRUTH.raw.T, "fs": np.array([[5.0]])}
    write_mat_v73(path, variables) if version == "v7.3" else scipy.io.savemat(path, variables)
    with h5py.File(write(imagej(tmp_path, path=str(path)), tmp_path / "i.nwb")) as file:
        np.testing.assert_array_equal(stored_traces(file, "RoiResponseSeries"), TRUTH.raw)
    with pytest.raises(InputFileError, match=r"300 traces in traces, the ROI set has 3 ROIs.*rows: frames"):
        imagej(tmp_path, path=str(path), rows="rois")
    with pytest.raises(InputFileError, match="has no variable x; it has (traces, fs|fs, traces)"):
        imagej(tmp_path, path=str(path), variable="x")
    scipy.io.savemat(path, {"a": TRUTH.raw.T, "b": TRUTH.raw.T})
    with pytest.raises(InputFileError, match="holds 2 matrices of numbers: a, b"):
        imagej(tmp_path, path=str(path))


@pytest.mark.parametrize(("headings", "n"), [(("1", "2"), 2), (("1", "2", "3", "4"), 4), (("(soma)",), 1)])
def test_another_number_of_traces_names_both(tmp_path: Path, headings: tuple[str, ...], n: int) -> None:
    table = write_multi_measure(tmp_path / "R.csv", headings, roi_truth(n_rois=n).raw)
    with pytest.raises(InputFileError, match=f"has Mean of {n} ROIs, the ROI set has 3 ROIs"):
        imagej(tmp_path, path=str(table))


def test_tables_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    table = write_multi_measure(tmp_path / "R.csv", ("(soma)", "(other)", "3"), TRUTH.raw)
    with pytest.raises(InputFileError, match="none of which are Mean1 to Mean3"):
        imagej(tmp_path, path=str(table))
    table = write_multi_measure(tmp_path / "R.csv", ("1", "2", "3"), TRUTH.raw)
    table.write_text(table.read_text() + "301,4,a,4,4,4,a,4,4,4,a,4,4\n")
    with pytest.raises(TableError, match="not a number"):
        imagej(tmp_path, path=str(table))
    with pytest.raises(InputFileError, match="gone.csv"):
        imagej(tmp_path, path=str(tmp_path / "gone.csv"))


def test_hostile_roi_sets_are_refused(tmp_path: Path) -> None:
    table = {"path": str(write_multi_measure(tmp_path / "R.csv", ["1"], TRUTH.raw[:1]))}

    def opened(name: str, data: bytes) -> ImagejRoisInterface:
        path = tmp_path / "RoiSet.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, data)
        return ImagejRoisInterface(file_path=path, traces=table, image_size=[HEIGHT, WIDTH])

    whole = rectangle(1, 1, 2, 2).tobytes()
    assert opened("a.roi", whole).n_rois == 1
    many = bytearray(polygon([(1, 1), (3, 1), (3, 3)]).tobytes())
    many[16:18] = b"\xff\xff"
    for name, data, error, words in (
        ("../a.roi", whole, UnsafeFileError, "outside the archive"),
        ("a.roi", b"Iout", InputFileError, "damaged ROI, 'a.roi'"),
        ("a.roi", b"nope" * 30, InputFileError, "damaged ROI"),
        ("a.roi", bytes(many), InputFileError, "damaged ROI"),
        ("a.roi", bytes(6 << 20), UnsafeFileError, "bytes"),
        ("a.txt", whole, InputFileError, "holds no .roi files"),
        ("__MACOSX/._a.roi", whole, InputFileError, "holds no .roi files"),
    ):
        with pytest.raises(error, match=words):
            opened(name, data)
    (tmp_path / "no.zip").write_bytes(b"no")
    with pytest.raises(InputFileError, match="cannot be read as a ZIP"):
        ImagejRoisInterface(file_path=tmp_path / "no.zip", traces=table, image_size=[6, 9])


def test_shapes_and_sets_beyond_all_measure_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zigzag = [value for each in range(1200) for value in (1, each % 7, (each % 2) * 9_000)]
    path = write_roi_set(tmp_path / "z.zip", {"z": composite([0, 0, 0, *zigzag, 4], (0, 0, 7, 9000))})
    table = {"path": str(write_multi_measure(tmp_path / "R.csv", ["1"], TRUTH.raw[:1]))}
    with pytest.raises(InputFileError, match="too many edges"):
        ImagejRoisInterface(file_path=path, traces=table, image_size=[9000, 9])
    monkeypatch.setattr("nwbswitch.converters.segmentation.imagej_rois.MAX_MASK_PX", 5)
    with pytest.raises(UnsafeFileError, match="more than 5 pixels together"):
        imagej(tmp_path)


@pytest.mark.parametrize("size", [[0, 9], [6, 1 << 20], [-6, 9]])
def test_sizes_of_no_image_are_refused(tmp_path: Path, size: list[int]) -> None:
    path = write_roi_set(tmp_path / "RoiSet.zip", ROIS)
    with pytest.raises(InputFileError, match="image_size is no size of an image"):
        ImagejRoisInterface(file_path=path, traces={"path": "x.csv"}, image_size=size)


def test_without_roifile_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_roi_set(tmp_path / "RoiSet.zip", ROIS)
    monkeypatch.setitem(sys.modules, "roifile", None)
    with pytest.raises(MissingExtraError, match=r"nwbswitch\[convert\]"):
        ImagejRoisInterface(file_path=path, traces={"path": "x.csv"}, image_size=[6, 9])
