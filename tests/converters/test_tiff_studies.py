"""Movies in TIFF files through the study file: every real file, and the recordings of each microscope."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pynwb
import pytest
import tifffile
from format_writers.ome_tiff import write_set
from format_writers.prairie import PERIOD_S, write_tseries
from format_writers.scanimage import frame_text, settings, write_big
from format_writers.thor import write_experiment, write_raw

from nwbswitch.converters.conversion_result import ConvertResult
from nwbswitch.converters.convert import convert
from nwbswitch.schemas.study_file import load_study

HEAD = """study: {{name: movies, title: Movies in TIFF files}}
data_root: {root}
timezone: Europe/Berlin
placeholders: [subject.age, subject.sex, start_time]
defaults:
  description: Movies.
  imaging: {{indicator: GCaMP6s, excitation_lambda_nm: 920, emission_lambda_nm: 510, region: unknown}}
"""


def study(folder: Path, root: Path, stream: dict[str, object], sessions: list[dict[str, str]]) -> Path:
    """Write a study whose sessions have one stream, called movie; JSON is YAML."""
    streams = json.dumps({"movie": stream}, ensure_ascii=False)
    text = HEAD.format(root=root) + f"  streams: {streams}\n"
    text += "subjects:\n  - {subject_id: m, species: Mus musculus}\n"
    text += f"sessions: {json.dumps([{'subject_id': 'm', **each} for each in sessions])}\n"
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def movies(result: ConvertResult, folder: Path) -> list[h5py.Dataset]:
    """Return the movies of the files that were written, in the order of their names."""
    assert {each.status for each in result.sessions} == {"converted"}
    return [h5py.File(path)["acquisition/TwoPhotonSeries"] for path in sorted(folder.rglob("*.nwb"))]


def test_every_real_file_is_converted_or_refused_with_a_remedy(shared: Path, tmp_path: Path) -> None:
    sets = ("odd_tiffs", "thunder_tiffs", "zebrafish_volumes")
    root = shared / "data"
    files = sorted(path for each in sets for path in (root / each).rglob("*.tif*"))
    sessions = [
        {"session_id": f"s{number}", "file": path.relative_to(root).as_posix()}
        for number, path in enumerate(files)
    ]
    made = study(tmp_path, root, {"format": "tiff_movie", "path": "{file}", "rate_hz": 1}, sessions)
    result = convert(made, tmp_path / "nwb")
    table = {}
    for path, session in zip(files, result.sessions, strict=True):
        if session.status == "converted":
            table[path] = "converted"
            output = tmp_path / f"nwb/sub-m/sub-m_ses-{session.session_id}_ophys.nwb"
            with h5py.File(output) as file:
                stored = file["acquisition/TwoPhotonSeries/data"][:]
            source = tifffile.imread(path)
            source = source.reshape(-1, *source.shape[-2:])
            assert np.array_equal(stored, source.transpose(0, 2, 1)), path
        else:
            (issue,) = session.issues
            table[path] = f"{issue.message} {issue.remedy}"
            assert issue.place.file == path
            assert issue.code in ("unreadable-file", "unsafe-file")
            assert issue.remedy
    converted = [path for path, outcome in table.items() if outcome == "converted"]
    assert (len(converted), len(table) - len(converted)) == (98, 32)


@pytest.mark.parametrize("dtype", ["float16", "float64", "uint64", "int8"])
def test_every_type_of_number_is_valid_nwb(tmp_path: Path, dtype: str) -> None:
    movie = np.arange(120).reshape(4, 5, 6).astype(dtype)
    tifffile.imwrite(tmp_path / "m.tif", movie, photometric="minisblack")
    made = study(
        tmp_path, tmp_path, {"format": "tiff_movie", "path": "m.tif", "rate_hz": 1}, [{"session_id": "a"}]
    )
    convert(made, tmp_path / "nwb")
    (path,) = (tmp_path / "nwb").rglob("*.nwb")
    assert pynwb.validate(path=path) == []
    with h5py.File(path) as file:
        assert np.array_equal(file["acquisition/TwoPhotonSeries/data"][:], movie.transpose(0, 2, 1))


def test_scanimage_runs_by_a_pattern(tmp_path: Path) -> None:
    for run in (1, 2):
        epoch = f"[2023  5  1 10  {run} 0]"
        texts = [frame_text(number + 1, number // 2 / 30, epoch) for number in range(8)]
        pages = np.full((8, 6, 8), run, np.int16)
        write_big(tmp_path / f"m_{run:05d}.tif", pages, settings(channels=(1, 2)), texts=texts)
    stream = {"format": "scanimage", "path": "{session_id}_*.tif", "channel": 2, "parts": "runs"}
    made = study(tmp_path, tmp_path, stream, [{"session_id": "m"}])
    (series,) = movies(convert(made, tmp_path / "nwb"), tmp_path / "nwb")
    assert series["data"].shape == (8, 8, 6)
    np.testing.assert_allclose(series["timestamps"][[0, 4]], [0, 60], atol=1e-6)
    plane = series.file["general/optophysiology/ImagingPlane"]
    np.testing.assert_allclose(plane["grid_spacing"], [90e-6 / 8, 60e-6 / 6])
    assert plane["indicator"][()] == b"GCaMP6s"


def test_the_pixel_size_of_the_study_comes_first(tmp_path: Path) -> None:
    write_big(tmp_path / "m.tif", np.zeros((3, 6, 8), np.int16), settings())
    own = {
        "indicator": "GCaMP6s",
        "excitation_lambda_nm": 920,
        "emission_lambda_nm": 510,
        "region": "unknown",
    }
    stream = {"format": "scanimage", "path": "m.tif", "imaging": {**own, "pixel_size_um": [2.0, 2.0]}}
    made = study(tmp_path, tmp_path, stream, [{"session_id": "m"}])
    (series,) = movies(convert(made, tmp_path / "nwb"), tmp_path / "nwb")
    (plane,) = series.file["general/optophysiology"].values()
    assert plane["grid_spacing"][:].tolist() == [2e-6, 2e-6]


def test_several_tseries_are_one_session(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for run, clock in enumerate(("14:00:00.0", "14:10:00.5", "14:20:01.0"), 1):
        images = np.full((4, 1, 5, 6), run, np.uint16)
        write_tseries(raw / f"TSeries-day1-00{run}", images, clock=clock, date="5/1/2023 2:00:00 PM")
    (raw / "notes").mkdir()
    stream = {"format": "bruker", "path": "raw/TSeries-{session_id}-*", "parts": "runs"}
    made = study(tmp_path, tmp_path, stream, [{"session_id": "day1"}])
    files = load_study(made).study.sessions[0].streams["movie"].files()
    assert len(files) == 3 * (4 + 2)
    (series,) = movies(convert(made, tmp_path / "nwb"), tmp_path / "nwb")
    assert series["data"][:, 0, 0].tolist() == [1] * 4 + [2] * 4 + [3] * 4
    expected = np.concatenate([start + np.arange(4) * PERIOD_S for start in (0, 600.5, 1201)])
    np.testing.assert_allclose(series["timestamps"], expected, atol=1e-6)


def test_files_of_an_ome_set_belong_to_the_inputs(tmp_path: Path) -> None:
    stack = np.arange(6 * 30, dtype=np.uint16).reshape(6, 1, 1, 5, 6)
    write_set(tmp_path, stack, files=3, TimeIncrement="0.5")
    stream = {"format": "ome_tiff", "path": "m_0.ome.tif"}
    made = study(tmp_path, tmp_path, stream, [{"session_id": "a"}])
    (series,) = movies(convert(made, tmp_path / "nwb"), tmp_path / "nwb")
    assert series["starting_time"].attrs["rate"] == 2.0
    assert np.array_equal(series["data"], stack[:, 0, 0].transpose(0, 2, 1))
    assert [each.status for each in convert(made, tmp_path / "nwb").sessions] == ["present"]
    changed = tmp_path / "m_2.ome.tif"
    changed.write_bytes(changed.read_bytes()[:-1] + b"\x01")
    assert len(load_study(made).study.sessions[0].streams["movie"].files()) == 3
    result = convert(made, tmp_path / "nwb", overwrite=True)
    assert [each.status for each in result.sessions] == ["converted"]


def test_thor_folders_by_session(tmp_path: Path) -> None:
    for session in ("a", "b"):
        images = np.full((8, 1, 5, 6), ord(session), np.uint16)
        folder = write_experiment(
            tmp_path / session / "TSeries", height=5, width=6, frames=8, steps=3, flyback=1
        )
        write_raw(folder, images)
    stream = {"format": "thor", "path": "{session_id}/TSeries"}
    made = study(tmp_path, tmp_path, stream, [{"session_id": "a"}, {"session_id": "b"}])
    first, second = movies(convert(made, tmp_path / "nwb"), tmp_path / "nwb")
    assert first["data"].shape == second["data"].shape == (2, 6, 5, 3)
    assert (first["data"][0, 0, 0, 0], second["data"][0, 0, 0, 0]) == (ord("a"), ord("b"))
    assert first["starting_time"].attrs["rate"] == 7.5


def test_a_choice_that_is_missing_names_what_there_is(tmp_path: Path) -> None:
    write_big(tmp_path / "m.tif", np.zeros((4, 6, 8), np.int16), settings(channels=(1, 2)))
    made = study(tmp_path, tmp_path, {"format": "scanimage", "path": "m.tif"}, [{"session_id": "a"}])
    (session,) = convert(made, tmp_path / "nwb", dry_run=True).sessions
    assert session.status == "failed"
    assert "several channels: 1 ('Channel 1'), 2 ('Channel 2')" in session.reason
    assert "channel: 1" in session.reason


def test_one_real_volume_per_file(shared: Path, tmp_path: Path) -> None:
    root = shared / "data/zebrafish_volumes"
    stream = {
        "format": "tiff_movie",
        "path": "images/time*.tif",
        "rate_hz": 1,
        "parts": "continuous",
        "pages": "planes",
    }
    made = study(tmp_path, root, stream, [{"session_id": "a"}])
    (series,) = movies(convert(made, tmp_path / "nwb"), tmp_path / "nwb")
    source = np.stack([tifffile.imread(root / f"images/time{number:03d}.tif") for number in range(1, 21)])
    assert series["data"].shape == (20, 87, 76, 2)
    assert np.array_equal(series["data"][:], source.transpose(0, 3, 2, 1))


def test_real_volumes_as_runs(shared: Path, tmp_path: Path) -> None:
    stream = {
        "format": "tiff_movie",
        "path": "multilayer_tif/dotdotdot_lzw*.tif",
        "rate_hz": 1,
        "parts": "runs",
        "part_start_s": [0, 5],
        "pages": "planes",
    }
    made = study(tmp_path, shared / "data/thunder_tiffs", stream, [{"session_id": "a"}])
    (series,) = movies(convert(made, tmp_path / "nwb"), tmp_path / "nwb")
    assert series["data"].shape == (2, 75, 70, 3)
    assert series["starting_time"].attrs["rate"] == pytest.approx(0.2)
