"""HDF5 datasets as movies: axes, chunks that are read once, MATLAB's order, sizes that are not believed."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pynwb import NWBFile
from small_study import small_session, study_of
from written_movie import corner_movie, written

from nwbswitch.converters.imaging import hdf5_frames
from nwbswitch.converters.imaging.hdf5_stack import Hdf5Movie, Hdf5StackInterface
from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError
from nwbswitch.schemas.streams_binary_movies import Hdf5Stack
from nwbswitch.schemas.study import Study


def write(path: Path, data: np.ndarray, *, name: str = "mov", attributes: Any = (), **storage: Any) -> Path:
    with h5py.File(path, "a") as file:
        dataset = file.create_dataset(name, data=data, **storage)
        for key, value in dict(attributes).items():
            dataset.attrs[key] = value
    return path


def ordered(movie: np.ndarray, axes: str, order: str = "tyxzc") -> np.ndarray:
    """Return a movie of ``order`` in the order of ``axes``; letters that are not in it are of length one."""
    return movie.transpose([order.index(each) for each in axes])


@pytest.mark.parametrize("axes", ["".join(each) for each in permutations("tyx")])
@pytest.mark.parametrize("chunks", [None, (2, 3, 4), True])
def test_every_order_of_three_dimensions(tmp_path: Path, axes: str, chunks: Any) -> None:
    movie = corner_movie()
    path = write(tmp_path / "m.h5", ordered(movie, axes, "tyx"), chunks=chunks)
    result = written(Hdf5StackInterface(file_path=path, axes=axes, rate_hz=5.0), tmp_path / "m.nwb")
    assert result.data.shape == (5, 7, 4)
    assert result.data[1, 6, 0] == movie[1, 0, 6]
    assert np.array_equal(result.data.transpose(0, 2, 1), movie)
    assert (result.kind, result.rate_hz) == ("TwoPhotonSeries", 5.0)


@pytest.mark.parametrize("axes", ["tzyx", "zyxt", "tcyx", "xyct", "tzcyx", "czyxt", "yxzct"])
def test_planes_and_channels(tmp_path: Path, axes: str) -> None:
    full = np.random.default_rng(0).integers(0, 999, (6, 4, 5, 3, 2)).astype(np.int16)
    has_z, has_c = "z" in axes, "c" in axes
    data = full[:, :, :, : 3 if has_z else 1, : 2 if has_c else 1]
    stored = ordered(data, axes + "".join({"z", "c"} - set(axes))).reshape(
        [dict(zip("tyxzc", data.shape, strict=True))[each] for each in axes]
    )
    path = write(tmp_path / "m.h5", stored, chunks=True, compression="gzip")
    channel = 2 if has_c else None
    wanted = full[..., 1 if has_c else 0] if has_z else full[:, :, :, 0, 1 if has_c else 0]
    assert np.array_equal(Hdf5Movie(path, axes=axes, channel=channel).read(0, 6), wanted)
    if has_z:
        single = Hdf5Movie(path, axes=axes, channel=channel, plane=3)
        assert np.array_equal(single.read(1, 4), wanted[1:4, ..., 2])
    if has_c:
        with pytest.raises(InputFileError, match=r"has 2 channels\. Give channel, from 1"):
            Hdf5Movie(path, axes=axes)
    for key, word in (("channel", "channels"), ("plane", "planes")):
        with pytest.raises(InputFileError, match=f"{word}, counted from 1, no 9"):
            Hdf5Movie(path, **{"axes": axes, "channel": channel, key: 9})


def test_volumes_are_written_with_their_planes_last(tmp_path: Path) -> None:
    volume = np.arange(4 * 3 * 5 * 6, dtype=np.uint16).reshape(4, 3, 5, 6)
    path = write(tmp_path / "m.h5", volume)
    result = written(Hdf5StackInterface(file_path=path, axes="tzyx", rate_hz=2.0), tmp_path / "m.nwb")
    assert result.data.shape == (4, 6, 5, 3)
    assert np.array_equal(result.data.transpose(0, 3, 2, 1), volume)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">u2", "i4", "f2", "f4", ">f8"])
def test_every_type_of_number(tmp_path: Path, dtype: str) -> None:
    movie = corner_movie().astype(dtype)
    frames = Hdf5Movie(write(tmp_path / "m.h5", movie), axes="tyx")
    assert frames.shape.dtype.isnative
    assert frames.shape.dtype.itemsize == (4 if dtype == "f2" else movie.dtype.itemsize)
    assert frames.read(0, 5).dtype == frames.shape.dtype
    assert np.array_equal(frames.read(0, 5), movie)


def test_matlab_lists_dimensions_the_other_way_round(tmp_path: Path) -> None:
    movie = corner_movie()
    as_matlab = movie.transpose(1, 2, 0)  # Y(y, x, t)
    path = write(tmp_path / "m.mat", as_matlab.T, name="Y", attributes={"MATLAB_class": np.bytes_("uint16")})
    write(path, np.ones((2, 3, 4), np.uint16), name="text", attributes={"MATLAB_class": np.bytes_("char")})
    frames = Hdf5Movie(path, axes="yxt")
    assert np.array_equal(frames.read(0, 5), movie)
    with pytest.raises(InputFileError, match=r"/Y is 4x7x5 uint16 in MATLAB.*for example yxt"):
        Hdf5Movie(path)
    with pytest.raises(InputFileError, match=r"is 4x7x5 uint16, but axes has 4 letters, yxtz"):
        Hdf5Movie(path, axes="yxtz")


def test_a_rate_in_the_file_agrees_with_the_study(tmp_path: Path) -> None:
    path = write(tmp_path / "m.h5", corner_movie(), attributes={"fr": 7.5})
    assert Hdf5StackInterface(file_path=path, axes="tyx").rate_hz == 7.5
    with pytest.raises(IssuesError, match="rate-differs"):
        Hdf5StackInterface(file_path=path, axes="tyx", rate_hz=5.0)
    plain = write(tmp_path / "p.h5", corner_movie(), attributes={"fr": "fast"})
    with pytest.raises(InputFileError, match="no frame rate"):
        Hdf5StackInterface(file_path=plain, axes="tyx")


def test_equals_roiextractors_where_that_reads_it(tmp_path: Path) -> None:
    from roiextractors import Hdf5ImagingExtractor

    stored = np.random.default_rng(0).integers(0, 99, (1, 9, 4, 7)).astype(np.uint16)
    path = write(tmp_path / "m.h5", stored, attributes={"fr": 7.5})
    theirs = Hdf5ImagingExtractor(str(path))
    ours = Hdf5Movie(path, axes="ctyx")
    assert np.array_equal(ours.read(0, 9), theirs.get_series(0, 9))
    assert ours.rate_hz == theirs.get_sampling_frequency()


# which dataset, which axes


def test_several_datasets_are_listed(tmp_path: Path) -> None:
    path = write(tmp_path / "m.h5", corner_movie(), name="raw/green")
    write(path, corner_movie(3), name="raw/red")
    write(path, np.ones((3, 4)), name="times")
    write(path, np.ones((3, 4, 5), bool), name="mask")
    with pytest.raises(InputFileError, match=r"2 arrays.*raw/green \(5x4x7 uint16\), raw/red \(3x4x7"):
        Hdf5Movie(path, axes="tyx")
    assert Hdf5Movie(path, dataset="/raw/red", axes="tyx").shape.n_frames == 3
    with pytest.raises(InputFileError, match=r"at 'raw/gren'.*Did you mean 'raw/green'"):
        Hdf5Movie(path, dataset="raw/gren", axes="tyx")
    with pytest.raises(InputFileError, match="no array of numbers of 3 to 5 dimensions at 'times'"):
        Hdf5Movie(path, dataset="times", axes="tyx")


def test_a_file_without_a_movie(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="holds 0 arrays.*none"):
        Hdf5Movie(write(tmp_path / "m.h5", np.ones((3, 4))), axes="tyx")


def test_axes_are_never_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "m.h5", corner_movie())
    with pytest.raises(InputFileError, match=r"/mov is 5x4x7 uint16\. Give axes.*for example tyx"):
        Hdf5Movie(path)
    with pytest.raises(InputFileError, match="axes has 4 letters"):
        Hdf5Movie(path, axes="tzyx")
    for axes in ("tyy", "tzx", "tyxq"):
        with pytest.raises(ValueError, match="each once"):
            Hdf5Movie(path, axes=axes)
        with pytest.raises(ValueError, match="axes"):
            Hdf5Stack(format="hdf5_stack", path=path, axes=axes)


# chunks


def count_reads(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Count how often each frame is decompressed."""
    counts: Counter[int] = Counter()
    inner = hdf5_frames.FrameStack._decompress

    def counting(self: Any, start: int, stop: int) -> Any:
        counts.update(range(start, stop))
        return inner(self, start, stop)

    monkeypatch.setattr(hdf5_frames.FrameStack, "_decompress", counting)
    return counts


@pytest.mark.parametrize("span", [1, 3, 7, 20, 50])
@pytest.mark.parametrize("step", [1, 4, 10, 50])
def test_each_chunk_is_decompressed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, span: int, step: int
) -> None:
    movie = corner_movie(50)
    path = write(tmp_path / "m.h5", movie, chunks=(span, 2, 7), compression="gzip")
    counts = count_reads(monkeypatch)
    frames = Hdf5Movie(path, axes="tyx")
    read = np.concatenate([frames.read(at, min(at + step, 50)) for at in range(0, 50, step)])
    assert np.array_equal(read, movie)
    assert set(counts.values()) == {1}
    assert len(counts) == 50


def test_chunks_longer_than_memory_are_read_in_passes_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = corner_movie(64)
    path = write(tmp_path / "m.h5", movie, chunks=(64, 2, 7))
    monkeypatch.setattr(hdf5_frames, "ROW_BYTES", 10 * movie[0].nbytes)
    frames = Hdf5Movie(path, axes="tyx")
    assert np.array_equal(frames.read(0, 64), movie)
    assert np.array_equal(frames.read(5, 17), movie[5:17])
    monkeypatch.setattr(hdf5_frames, "ROW_BYTES", movie[0].nbytes)
    with pytest.raises(InputFileError, match=r"chunks of 64 frames.*h5repack -l /mov:CHUNK=16x4x7"):
        Hdf5Movie(path, axes="tyx")


def test_a_long_movie_is_never_held(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        data = file.create_dataset("mov", (4000, 64, 64), np.uint16, chunks=(100, 64, 64), compression="gzip")
        for at in range(0, 4000, 100):
            data[at : at + 100] = at
    frames = Hdf5Movie(tmp_path / "m.h5", axes="tyx")
    tracemalloc.start()
    for at in range(0, 4000, 250):
        block = frames.read(at, at + 250)
        assert block[0, 0, 0] == at // 100 * 100
        assert block[-1, 0, 0] == (at + 249) // 100 * 100
    assert (
        tracemalloc.get_traced_memory()[1] < 8e6
    )  # a block of 2 MB twice, a row of chunks; the movie has 33 MB
    tracemalloc.stop()


# damaged and hostile files


def test_frames_that_were_never_written_are_no_frames(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        data = file.create_dataset("mov", (100, 4, 7), np.uint16, chunks=(10, 4, 7))
        data[:61] = 3
    with pytest.raises(InputFileError, match="states 100 frames, but 3 of its 10 pieces were never written"):
        Hdf5Movie(tmp_path / "m.h5", axes="tyx")
    with h5py.File(tmp_path / "n.h5", "w") as file:
        file.create_dataset("mov", (100, 4, 7), np.uint16)
    with pytest.raises(InputFileError, match="1 of its 1 pieces"):
        Hdf5Movie(tmp_path / "n.h5", axes="tyx")


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.h5", corner_movie(50), chunks=(5, 4, 7), compression="gzip")
    whole = path.read_bytes()
    for keep in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputFileError, match=r"m\.h5"):
            Hdf5Movie(path, axes="tyx")


def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    movie = np.random.default_rng(0).integers(0, 65535, (50, 40, 30)).astype(np.uint16)
    path = write(tmp_path / "m.h5", movie, chunks=(5, 40, 30), compression="gzip")
    with h5py.File(path) as file:
        place = file["mov"].id.get_chunk_info(4)
    raw = bytearray(path.read_bytes())
    raw[place.byte_offset : place.byte_offset + place.size] = b"\xff" * place.size
    path.write_bytes(raw)
    frames = Hdf5Movie(path, axes="tyx")
    assert np.array_equal(frames.read(0, 20), movie[:20])
    with pytest.raises(InputFileError, match="cannot give frames 21 to 25"):
        frames.read(20, 25)


def test_frames_and_chunks_that_would_fill_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "m.h5", corner_movie(50), chunks=(50, 4, 7))
    monkeypatch.setattr(hdf5_frames, "MAX_FRAME_BYTES", 50 * 56 - 1)
    with pytest.raises(UnsafeFileError, match=r"chunks of 2800 bytes; at most 2799.*h5repack"):
        Hdf5Movie(path, axes="tyx")
    monkeypatch.setattr(hdf5_frames, "MAX_FRAME_BYTES", 55)
    with pytest.raises(UnsafeFileError, match="frames of 56 bytes"):
        Hdf5Movie(path, axes="tyx")


def test_sizes_that_the_file_cannot_hold_are_not_believed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("mov", (10**6, 1000, 1000), np.uint16, chunks=(1, 1000, 1000), compression=1)
    with pytest.raises(UnsafeFileError, match="no compression reaches that"):
        Hdf5Movie(tmp_path / "m.h5", axes="tyx")


def test_links_to_other_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "other.h5", corner_movie())
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["mov"] = h5py.ExternalLink("other.h5", "mov")
    with pytest.raises(UnsafeFileError, match="another file"):
        Hdf5Movie(tmp_path / "m.h5", axes="tyx")


def test_attributes_of_any_form_are_harmless(tmp_path: Path) -> None:
    attributes = {"MATLAB_class": np.int64(10**13), "fr": np.ones(3)}
    path = write(tmp_path / "m.h5", corner_movie(), attributes=attributes)
    frames = Hdf5Movie(path, axes="tyx")
    assert (frames.shape.n_frames, frames.rate_hz) == (5, None)


# several files


def test_files_that_follow_each_other_and_runs(tmp_path: Path) -> None:
    movie = corner_movie(9)
    paths = [write(tmp_path / "a.h5", movie[:5]), write(tmp_path / "b.h5", movie[5:])]
    common: dict[str, Any] = {"file_path": paths, "axes": "tyx", "rate_hz": 10.0}
    result = written(Hdf5StackInterface(**common, parts="continuous"), tmp_path / "c.nwb")
    assert np.array_equal(result.data.transpose(0, 2, 1), movie)
    runs = written(Hdf5StackInterface(**common, parts="runs", part_start_s=[0, 30]), tmp_path / "r.nwb")
    assert runs.times_s is not None
    np.testing.assert_allclose(runs.times_s[[0, 4, 5, 8]], [0, 0.4, 30, 30.3])
    other = write(tmp_path / "b2.h5", np.ones((3, 4, 8), np.uint16))
    with pytest.raises(InputFileError, match=r"b2\.h5"):
        Hdf5StackInterface(**(common | {"file_path": [paths[0], other]}), parts="continuous")


def test_as_a_stream_of_a_study(tmp_path: Path, build: Callable[[Study], NWBFile]) -> None:
    path = write(tmp_path / "m.h5", corner_movie(40), name="raw")
    stream = Hdf5Stack(format="hdf5_stack", path=path, dataset="raw", axes="tyx", rate_hz=5.0)
    nwbfile = build(study_of(small_session(tmp_path, streams={"movie": stream}, epochs=(), drug_log=())))
    (series,) = nwbfile.acquisition.values()
    assert series.data.maxshape == (40, 7, 4)
