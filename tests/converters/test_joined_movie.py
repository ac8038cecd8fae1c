"""Several files as one movie: frames across files, times of files that go on or begin again, and runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbswitch.converters.imaging.joined_movie import JoinedMovie, open_movie, run_timing
from nwbswitch.converters.imaging.movie import MovieShape
from nwbswitch.schemas.errors import InputFileError


class Frames:
    """A movie in memory whose frames hold their number."""

    def __init__(self, first: int, n: int, times: Sequence[float] | None = None, **fields: Any) -> None:
        self.first = first
        self.shape = MovieShape(n, 2, 3, np.dtype(np.uint16))
        self.frame_times_s = None if times is None else np.array(times, dtype=float)
        self.rate_hz = fields.get("rate_hz", 5.0)
        self.started = fields.get("started")
        self.closed = False

    def read(self, start: int, stop: int) -> np.ndarray:
        numbers = np.arange(self.first + start, self.first + stop, dtype=np.uint16)
        return np.broadcast_to(numbers[:, None, None], (stop - start, 2, 3))

    def close(self) -> None:
        self.closed = True


def joined(*movies: Frames) -> JoinedMovie:
    given = iter(movies)
    return JoinedMovie([Path(f"{index}.tif") for index in range(len(movies))], lambda path: next(given))


def test_frames_are_read_across_files() -> None:
    movie = joined(Frames(0, 4), Frames(4, 3), Frames(7, 5))
    assert movie.shape.n_frames == 12
    for start, stop in ((0, 12), (3, 8), (4, 7), (11, 12)):
        assert movie.read(start, stop)[:, 0, 0].tolist() == list(range(start, stop))


def test_times_that_go_on_stay_and_times_that_begin_again_follow() -> None:
    going_on = joined(Frames(0, 2, [0.0, 0.2]), Frames(2, 2, [0.5, 0.7]))
    assert going_on.frame_times_s.tolist() == [0.0, 0.2, 0.5, 0.7]
    again = joined(Frames(0, 3, [0.0, 0.2, 0.4]), Frames(3, 2, [0.0, 0.2]))
    np.testing.assert_allclose(again.frame_times_s, [0.0, 0.2, 0.4, 0.6, 0.8])
    assert joined(Frames(0, 2, [0.0, 0.2]), Frames(2, 2)).frame_times_s is None


def test_runs_begin_where_their_files_say() -> None:
    start = datetime(2026, 3, 1, 10, tzinfo=UTC)
    movie = joined(Frames(0, 2, started=start), Frames(2, 2, started=start + timedelta(seconds=60)))
    assert run_timing(movie, 5.0, ()).times_s().tolist() == [0.0, 0.2, 60.0, 60.2]
    assert run_timing(movie, 5.0, (1.0, 9.0)).times_s().tolist() == [1.0, 1.2, 9.0, 9.2]


@pytest.mark.parametrize(
    ("starts", "words"),
    [((), "does not state when"), ((0.0,), "has 1 entries"), ((0.0, 0.1), "before the run")],
)
def test_runs_that_cannot_be_placed_are_refused(starts: tuple[float, ...], words: str) -> None:
    with pytest.raises(InputFileError, match=words):
        run_timing(joined(Frames(0, 2), Frames(2, 2)), 5.0, starts)


def test_files_that_do_not_belong_together_are_refused_and_closed() -> None:
    first, other = Frames(0, 2), Frames(2, 2, rate_hz=6.0)
    with pytest.raises(InputFileError, match="states 6 Hz, 0.tif 5 Hz"):
        joined(first, other)
    assert first.closed
    assert other.closed
    other = Frames(2, 2)
    other.shape = MovieShape(2, 2, 4, np.dtype(np.uint16))
    with pytest.raises(InputFileError, match="2x4 uint16, 0.tif has 2x3 uint16"):
        joined(Frames(0, 2), other)


def test_several_files_say_how_they_follow() -> None:
    with pytest.raises(ValueError, match="continuous or runs"):
        open_movie([Path("a"), Path("b")], lambda path: Frames(0, 1), parts="single")
    assert open_movie([Path("a")], lambda path: Frames(0, 1), parts="single").shape.n_frames == 1
