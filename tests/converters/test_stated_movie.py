"""The size of pixels that files state: one imaging plane per size, unless the metadata state it."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import tifffile
from format_writers.prairie import write_tseries
from format_writers.scanimage import frame_text, settings, write_big
from neuroconv import ConverterPipe
from pynwb import NWBHDF5IO, NWBFile

from nwbswitch.converters.imaging.bruker import BrukerInterface
from nwbswitch.converters.imaging.imaging_plane import imaging_plane
from nwbswitch.converters.imaging.movie_interface import MovieInterface
from nwbswitch.converters.imaging.scanimage import ScanImageInterface
from nwbswitch.converters.imaging.tiff_movie import TiffMovieInterface
from nwbswitch.schemas.errors import InputFileError

BRUKER_M = [1.25e-6, 1.5e-6]
SCANIMAGE_M = [90e-6 / 8, 60e-6 / 6]


def scanimage(
    folder: Path, key: str = "si", *, corners: str = "[-45 -30;45 -30;45 30;-45 30]", minute: int = 0
) -> ScanImageInterface:
    values = {**settings(), "hRoiManager.imagingFovUm": corners}
    texts = [frame_text(number + 1, number / 30, f"[2023 5 1 10 {minute} 0]") for number in range(3)]
    write_big(folder / f"{key}.tif", np.zeros((3, 6, 8), np.int16), values, texts=texts)
    return ScanImageInterface(file_path=folder / f"{key}.tif", metadata_key=key)


def bruker(folder: Path) -> BrukerInterface:
    write_tseries(folder / "T", np.zeros((3, 1, 6, 8), np.uint16))
    return BrukerInterface(folder_path=folder / "T", metadata_key="bruker")


def unknown(folder: Path) -> TiffMovieInterface:
    tifffile.imwrite(folder / "t.tif", np.zeros((3, 6, 8), np.uint16), photometric="minisblack")
    return TiffMovieInterface(file_path=folder / "t.tif", rate_hz=5.0, metadata_key="tiff")


def planes(*interfaces: MovieInterface) -> dict[str, tuple[str, list[float] | None]]:
    """Return name and grid spacing of the plane that each movie has, all being in one file."""
    nwbfile = NWBFile("test", "id", datetime(2023, 5, 1, tzinfo=UTC))
    for each in interfaces:
        names = {each.metadata_key: {"name": each.metadata_key}}
        each.add_to_nwbfile(nwbfile, {"Ophys": {"MicroscopySeries": names}})
        each.close()
    used = {name: series.imaging_plane for name, series in nwbfile.acquisition.items()}
    return {
        name: (plane.name, None if plane.grid_spacing is None else [float(a) for a in plane.grid_spacing])
        for name, plane in used.items()
    }


def test_movies_of_other_pixels_have_planes_of_their_own(tmp_path: Path) -> None:
    found = planes(scanimage(tmp_path), bruker(tmp_path))
    assert found == {
        "si": ("ImagingPlane", pytest.approx(SCANIMAGE_M)),
        "bruker": ("ImagingPlane_bruker", pytest.approx(BRUKER_M)),
    }


def test_movies_of_equal_pixels_share_a_plane(tmp_path: Path) -> None:
    found = planes(scanimage(tmp_path, "a"), scanimage(tmp_path, "b"))
    assert found["a"] == found["b"] == ("ImagingPlane", pytest.approx(SCANIMAGE_M))


def test_a_movie_of_unknown_pixels_gets_no_size_of_another(tmp_path: Path) -> None:
    found = planes(unknown(tmp_path), scanimage(tmp_path))
    assert found["tiff"] == ("ImagingPlane", None)
    assert found["si"] == ("ImagingPlane_si", pytest.approx(SCANIMAGE_M))


def test_the_plane_of_rois_learns_the_size(tmp_path: Path) -> None:
    nwbfile = NWBFile("test", "id", datetime(2023, 5, 1, tzinfo=UTC))
    plane = imaging_plane(nwbfile, {})
    interface = scanimage(tmp_path)
    interface.add_to_nwbfile(nwbfile)
    interface.close()
    assert list(nwbfile.imaging_planes) == ["ImagingPlane"]
    assert list(plane.grid_spacing) == pytest.approx(SCANIMAGE_M)
    assert plane.grid_spacing_unit == "meters"


def test_metadata_come_first(tmp_path: Path) -> None:
    interface = scanimage(tmp_path)
    metadata = interface.get_metadata()
    metadata["Ophys"]["ImagingPlanes"]["imaging_plane"]["grid_spacing"] = [2e-6, 2e-6]
    nwbfile = NWBFile("test", "id", datetime(2023, 5, 1, tzinfo=UTC))
    interface.add_to_nwbfile(nwbfile, metadata)
    interface.close()
    assert list(nwbfile.imaging_planes["ImagingPlane"].grid_spacing) == [2e-6, 2e-6]


def test_several_movies_in_a_pipe_of_neuroconv(tmp_path: Path) -> None:
    interfaces = {"si": scanimage(tmp_path), "bruker": bruker(tmp_path)}
    pipe = ConverterPipe(data_interfaces=interfaces)
    metadata = pipe.get_metadata()
    metadata["NWBFile"]["session_start_time"] = datetime(2023, 5, 1, tzinfo=UTC)
    for key in interfaces:
        metadata["Ophys"]["MicroscopySeries"][key]["name"] = key
    pipe.run_conversion(nwbfile_path=tmp_path / "p.nwb", metadata=metadata)
    for each in interfaces.values():
        each.close()
    with NWBHDF5IO(tmp_path / "p.nwb", "r") as io:
        series = io.read().acquisition
        np.testing.assert_allclose(series["si"].imaging_plane.grid_spacing, SCANIMAGE_M)
        np.testing.assert_allclose(series["bruker"].imaging_plane.grid_spacing, BRUKER_M)


def test_runs_of_another_zoom_are_refused(tmp_path: Path) -> None:
    scanimage(tmp_path, "a").close()
    scanimage(tmp_path, "b", corners="[-20 -15;20 -15;20 15;-20 15]", minute=5).close()
    files = [tmp_path / "a.tif", tmp_path / "b.tif"]
    with pytest.raises(InputFileError, match=r"b.tif: has pixels of 5 x 5 um, a.tif of 11.25 x 10 um"):
        ScanImageInterface(file_path=files, parts="runs")
