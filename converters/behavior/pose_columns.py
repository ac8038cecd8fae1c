"""Columns of the tables in which DeepLabCut and Lightning Pose keep points, by animal and body part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.issues import nearest

COORDS = ("x", "y", "likelihood")
LABELS = "holds labels of single frames, as a person sets them for training, not the points of every frame."
LABELS_REMEDY = "Name the file that the trained network wrote for the video."


@dataclass(frozen=True, slots=True)
class PoseColumns:
    """Body parts of one animal, and the column of x, y and likelihood of each, shape (keypoints, 3)."""

    keypoints: tuple[str, ...]
    places: NDArray[np.int64]
    scorer: str

    def block(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows of the table (frames, columns) as points (frames, keypoints, 3)."""
        return np.asarray(rows[:, self.places])


def pose_columns(
    path: Path, labels: Sequence[tuple[str, ...]], *, individual: str | None = None
) -> PoseColumns:
    """Find the points of one animal among the columns of a table.

    Parameters
    ----------
    path
        The file, for errors.
    labels
        Of each column: scorer, body part and coordinate; scorer, individual, body part and coordinate in
        tables of several animals.
    individual
        The animal; needed where there are several.

    Raises
    ------
    InputFileError
        A table of something else, or of several animals when none is named.
    """
    levels = {len(each) for each in labels}
    if levels not in ({3}, {4}):
        raise InputFileError(
            path, "is no table with header rows scorer, (individuals,) bodyparts and coords."
        )
    scorers = {each[0] for each in labels}
    if len(scorers) > 1:
        raise InputFileError(path, f"holds points of several networks: {', '.join(sorted(scorers))}.")
    own = _of_animal(path, labels, individual, several=levels == {4})
    found: dict[str, dict[str, int]] = {}
    for place, (part, coord) in own:
        if coord in found.setdefault(part, {}):
            raise InputFileError(path, f"has two columns {coord!r} of {part!r}.")
        found[part][coord] = place
    for part, columns in found.items():
        if "z" in columns:
            raise InputFileError(
                path, "holds points in space, whose unit it does not state.", "Read them with format series."
            )
        if "likelihood" not in columns and {"x", "y"} <= set(columns):
            raise InputFileError(path, LABELS, LABELS_REMEDY)
        if not set(COORDS) <= set(columns):
            raise InputFileError(
                path, f"has columns {', '.join(columns)} for {part}; expected x, y, likelihood."
            )
    places = np.array([[columns[coord] for coord in COORDS] for columns in found.values()], dtype=np.int64)
    return PoseColumns(tuple(found), places, next(iter(scorers)))


def _of_animal(
    path: Path, labels: Sequence[tuple[str, ...]], individual: str | None, *, several: bool
) -> list[tuple[int, tuple[str, str]]]:
    """Return place, body part and coordinate of the columns of the animal."""
    if not several:
        if individual is not None:
            raise InputFileError(path, "holds one animal without a name.", "Leave individual out.")
        return [(place, (each[1], each[2])) for place, each in enumerate(labels)]
    animals = list(dict.fromkeys(each[1] for each in labels))
    if individual is None and len(animals) > 1:
        raise InputFileError(
            path, f"holds {len(animals)} animals: {', '.join(animals)}.", "Name one of them as individual."
        )
    if individual is not None and individual not in animals:
        raise InputFileError(path, f"has no individual {individual!r}.", nearest(individual, animals))
    return [(place, (each[2], each[3])) for place, each in enumerate(labels) if individual in (None, each[1])]


def check_frames(path: Path, index: NDArray[Any], first: int = 0) -> None:
    """Refuse rows that are not the frames ``first``, ``first + 1``, ...

    Raises
    ------
    InputFileError
        Naming the first row that is another frame.
    """
    wrong = np.flatnonzero(index != np.arange(first, first + len(index)))
    if wrong.size:
        row = int(wrong[0])
        raise InputFileError(
            path,
            f"has frame {index[row]:g} in the row of frame {first + row}.",
            "Rows must be all frames of the video from 0; analyse the whole video.",
        )
