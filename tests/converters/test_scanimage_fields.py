"""Regions of interest of ScanImage: cut out of the pages in which they are stacked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from format_writers.scanimage import region, regions, settings, write_big

from nwbswitch.converters.imaging.scanimage import ScanImageMovie
from nwbswitch.schemas.errors import InputFileError


def images(n: int, height: int) -> np.ndarray:
    """Return pages of 8 columns in which every pixel is another number."""
    return np.arange(n * height * 8, dtype=np.int16).reshape(n, height, 8)


def mroi(path: Path, *, gap: int = 2, zs: tuple[int, ...] = (0,), pages: int = 4) -> np.ndarray:
    """Write pages of two regions, 4 and 3 lines high, with a gap between them."""
    values = settings(
        slices=len(zs), rois=True, zs=zs, fly_to_s=gap * 6.30874e-05, shape=(4 + gap + 3, 8), flyback=0
    )
    stack = images(pages, 4 + gap + 3)
    text = regions(region("left", [(8, 4)], [0]), region("right", [(6, 3)], [0]))
    write_big(path, stack, values, roi_json=text)
    return stack


def test_a_region_of_interest_is_cut_out_of_its_page(tmp_path: Path) -> None:
    stack = mroi(tmp_path / "m.tif")
    with pytest.raises(InputFileError, match=r"several rois: 1 \('left'\), 2 \('right'\)"):
        ScanImageMovie([tmp_path / "m.tif"])
    left = ScanImageMovie([tmp_path / "m.tif"], roi=1)
    assert np.array_equal(left.read(0, 4), stack[:, :4])
    right = ScanImageMovie([tmp_path / "m.tif"], roi="right")
    assert np.array_equal(right.read(1, 3), stack[1:3, 6:9, :6])
    assert right.pixel_size_um == (2.0 * 15 / 6, 1.0 * 15 / 3)


def test_regions_in_volumes(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    values = settings(slices=2, rois=True, zs=(0, 50), fly_to_s=2 * 6.30874e-05, shape=(9, 8))
    stack = images(6, 9)
    both, only_deep = region("both", [(8, 4), (8, 4)], [0, 50]), region("deep", [(6, 3)], [50])
    deep = {**only_deep, "discretePlaneMode": 1}
    write_big(path, stack, values, roi_json=regions(both, deep))
    volumes = stack.reshape(3, 2, 9, 8)
    movie = ScanImageMovie([path], roi="both")
    assert np.array_equal(movie.read(0, 3), np.moveaxis(volumes[:, :, :4], 1, -1))
    with pytest.raises(InputFileError, match="Choose one plane: 2"):
        ScanImageMovie([path], roi="deep")
    assert np.array_equal(ScanImageMovie([path], roi="deep", plane=2).read(0, 3), volumes[:, 1, 6:9, :6])


def test_regions_that_change_with_depth_are_interpolated(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    values = settings(slices=3, rois=True, zs=(0, 10, 20), shape=(8, 8))
    cone = region("cone", [(8, 4), (8, 8)], [0, 20])
    stack = images(3, 8)
    write_big(path, stack, values, roi_json=regions(cone))
    with pytest.raises(InputFileError, match="same size at every depth"):
        ScanImageMovie([path])
    assert np.array_equal(ScanImageMovie([path], plane=2).read(0, 1)[0], stack[1, :6])


def test_regions_that_do_not_fill_the_page_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    text = regions(region("left", [(8, 4)], [0]), region("right", [(6, 3)], [0]))
    values = settings(rois=True, fly_to_s=20 * 6.30874e-05, shape=(9, 8))
    write_big(path, images(2, 9), values, roi_json=text)
    with pytest.raises(InputFileError, match=r"do not fill with equal gaps \(fly-to time: 20.0 lines\)"):
        ScanImageMovie([path], roi=1)
    write_big(path, images(2, 9), values, roi_json='{"RoiGroups": {}}')
    with pytest.raises(InputFileError, match="does not describe them"):
        ScanImageMovie([path], roi=1)
