"""Movies in binary files with bytes changed anywhere that a reader looks: read, or refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from format_writers.femtonics import write_mesc
from format_writers.inscopix import recorded_by, write_isxd
from format_writers.scanbox import write_scanbox
from written_movie import corner_movie

from nwbswitch.converters.imaging.femtonics import FemtonicsMovie
from nwbswitch.converters.imaging.hdf5_stack import Hdf5Movie
from nwbswitch.converters.imaging.inscopix import InscopixMovie
from nwbswitch.converters.imaging.movie import Movie
from nwbswitch.converters.imaging.scanbox import ScanboxMovie
from nwbswitch.schemas.errors import InputFileError

N_TRIALS = 80
Source = tuple[Path, Callable[[], Movie], int]


def _scanbox(folder: Path) -> Source:
    path = write_scanbox(folder / "m.sbx", corner_movie()[..., None])
    return path.with_suffix(".mat"), lambda: ScanboxMovie(path), 0


def _inscopix(folder: Path) -> Source:
    counters = [0, 50_000, 100_100, 150_000, 200_000]
    path = write_isxd(folder / "m.isxd", corner_movie(), counters_us=counters, extra=recorded_by())
    return path, lambda: InscopixMovie(path), path.read_bytes().rindex(b'"dataType"') - 2000


def _femtonics(folder: Path) -> Source:
    path = write_mesc(folder / "m.mesc", {"UG": corner_movie()}, chunks=(2, 4, 7), compression="gzip")
    return path, lambda: FemtonicsMovie(path), 0


def _hdf5(folder: Path) -> Source:
    path, _, first = _femtonics(folder)
    return path, lambda: Hdf5Movie(path, axes="tyx"), first


@pytest.mark.parametrize("source", [_scanbox, _inscopix, _femtonics, _hdf5])
def test_changed_bytes_are_read_or_refused_in_words(tmp_path: Path, source: Callable[[Path], Source]) -> None:
    path, opened, first = source(tmp_path)
    whole = path.read_bytes()
    rng = np.random.default_rng(20)
    outcomes, problems = set(), []
    for _ in range(N_TRIALS):
        raw = bytearray(whole)
        for place in rng.integers(first, len(raw), 2):
            raw[place] = rng.integers(0, 256)
        path.write_bytes(raw)
        try:
            movie = opened()
            movie.read(0, min(movie.shape.n_frames, 5))
            movie.close()
            outcomes.add("read")
        except InputFileError as error:
            outcomes.add("refused")
            problems.append(error.problem)
    assert outcomes == {"read", "refused"}
    assert min(map(len, problems)) > 10
