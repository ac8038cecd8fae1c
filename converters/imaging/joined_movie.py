"""Several files of one recording session as one movie: files of one acquisition, or runs with gaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.imaging.movie import Movie, MovieShape
from nwbswitch.converters.timing import Timing
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.stream_base import Parts


class JoinedMovie:
    """Movies of equal frames, one after the other."""

    def __init__(self, paths: Sequence[Path], open_one: Callable[[Path], Movie]) -> None:
        self.paths = tuple(paths)
        self.movies: list[Movie] = []
        try:
            for path in self.paths:
                self.movies.append(open_one(path))
                self._check(path)
        except BaseException:
            self.close()
            raise
        self._ends = np.cumsum([movie.shape.n_frames for movie in self.movies])
        self.shape: MovieShape = replace(self.movies[0].shape, n_frames=int(self._ends[-1]))

    def _check(self, path: Path) -> None:
        first, last = self.movies[0], self.movies[-1]
        if replace(last.shape, n_frames=0) != replace(first.shape, n_frames=0):
            sizes = [
                f"{'x'.join(map(str, each.shape.frame_shape))} {each.shape.dtype}" for each in (last, first)
            ]
            raise InputFileError(
                path,
                f"has frames of {sizes[0]}, {self.paths[0].name} has {sizes[1]}.",
                "Files of one movie have equal frames; make the others a stream of their own.",
            )
        if first.rate_hz and last.rate_hz and abs(last.rate_hz - first.rate_hz) > 0.005 * first.rate_hz:
            raise InputFileError(
                path,
                f"states {last.rate_hz:g} Hz, {self.paths[0].name} {first.rate_hz:g} Hz.",
                "Files of one movie have one frame rate; make the others a stream of their own.",
            )

    @property
    def rate_hz(self) -> float | None:
        """Frame rate, Hz, of the first file."""
        return self.movies[0].rate_hz

    @property
    def started(self) -> datetime | None:
        """Start of the first file."""
        return self.movies[0].started

    @property
    def frame_times_s(self) -> NDArray[np.float64] | None:
        """Times of files that follow each other without gaps (n_frames,), s; of runs see `run_timing`.

        Files whose times go on from those of the file before keep them; a file whose times begin again
        begins one frame after the last one. None unless every file states its times.
        """
        times: list[NDArray[np.float64]] = []
        for movie in self.movies:
            own = movie.frame_times_s
            if own is None:
                return None
            if times and own[0] <= times[-1][-1]:
                step_s = float(np.median(np.diff(times[-1]))) if len(times[-1]) > 1 else 0.0
                own = own - own[0] + times[-1][-1] + step_s
            times.append(own)
        return np.concatenate(times)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start`` to ``stop``, across files."""
        blocks = []
        while start < stop:
            index = int(np.searchsorted(self._ends, start, side="right"))
            end = int(self._ends[index])
            begin = end - self.movies[index].shape.n_frames
            blocks.append(self.movies[index].read(start - begin, min(stop, end) - begin))
            start = min(stop, end)
        if not blocks:
            return self.movies[0].read(0, 0)
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def close(self) -> None:
        """Close all files."""
        for movie in self.movies:
            movie.close()


def run_timing(joined: JoinedMovie, rate_hz: float, part_start_s: Sequence[float]) -> Timing:
    """Return the times of runs with their gaps: starts as given, or as the files state them.

    Times count from the start of the first run when the files state the starts.

    Raises
    ------
    InputFileError
        When a start is not known, or a run begins before the one before it has ended.
    """
    alone = [0.0] if len(joined.movies) == 1 else []
    starts_s = list(part_start_s) or alone or _stated_starts(joined)
    if len(starts_s) != len(joined.movies):
        raise InputFileError(
            joined.paths[0],
            f"is the first of {len(joined.paths)} runs, part_start_s has {len(starts_s)} entries.",
            "Give one start per run, in the natural order of the file names.",
        )
    times = []
    last_s = -np.inf
    for path, movie, start_s in zip(joined.paths, joined.movies, starts_s, strict=True):
        own = movie.frame_times_s
        run = start_s + (np.arange(movie.shape.n_frames) / rate_hz if own is None else own - own[0])
        if run[0] <= last_s:
            raise InputFileError(
                path,
                f"begins at {run[0]:g} s, before the run before it ends at {last_s:g} s.",
                "Correct part_start_s, or the order of the files.",
            )
        last_s = float(run[-1])
        times.append(run)
    return Timing.of_times(np.concatenate(times))


def _stated_starts(joined: JoinedMovie) -> list[float]:
    starts = [movie.started for movie in joined.movies]
    first = starts[0]
    found = []
    for path, start in zip(joined.paths, starts, strict=True):
        if first is None or start is None:
            raise InputFileError(
                path, "does not state when it began.", "Give part_start_s, the start of each run, s."
            )
        found.append((start - first).total_seconds())
    return found


def open_movie(
    paths: Path | Sequence[Path], open_one: Callable[[Path], Movie], *, parts: Parts
) -> Movie | JoinedMovie:
    """Open the file of a movie, or all of its files.

    Raises
    ------
    ValueError
        For several files with ``parts="single"``.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    # A single run may have a start of its own.
    if len(files) == 1 and parts != "runs":
        return open_one(files[0])
    if parts == "single":
        raise ValueError("several files need parts: continuous or runs")
    return JoinedMovie(files, open_one)
