"""Traces in MAT-files: windows of version 7.3, and older ones as a whole, let go when they have been read."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.segmentation.rois import ArrayTraces, SparseTraces, Traces
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.mat_guard import load_mat, mat_array
from nwbswitch.schemas.mat_values import NUMBERS, MatVariable


class WholeVariable:
    """A numeric variable or field of a MAT-file before version 7.3, which is read whole or not at all.

    It is read for the first window and let go after the last one.
    """

    def __init__(self, file: Path, name: str, described: MatVariable) -> None:
        self._file = file
        self._name = name
        self._values: NDArray[Any] | None = None
        self.shape: tuple[int, ...] = described.shape
        self.dtype: np.dtype[Any] = np.dtype(NUMBERS[described.class_name])

    def __getitem__(self, window: tuple[slice, ...]) -> NDArray[Any]:
        if self._values is None:
            self._values = load_mat(self._file, [self._name])[self._name]
        values = np.array(self._values[window])
        if all(each.indices(side)[1] == side for each, side in zip(window, self.shape, strict=True)):
            self.release()
        return values

    def release(self) -> None:
        """Let go of the values."""
        self._values = None


def mat_matrix(file: Path, name: str, described: MatVariable, files: ExitStack) -> Any:
    """Return a numeric array of a MAT-file that is read by slices.

    Parameters
    ----------
    file, name
        The file, and the variable or field: ``variable`` or ``struct.field``.
    described
        What `mat_variables` says of it.
    files
        Receives what has to be closed.

    Raises
    ------
    InputFileError
        When it is no full array of numbers with values.
    """
    if described.class_name not in NUMBERS or 0 in described.shape:
        raise InputFileError(
            file,
            f"holds as {name} a {described.class_name} of shape {described.shape}, expected numbers.",
        )
    if h5py.is_hdf5(file):
        return files.enter_context(mat_array(file, name))
    array = WholeVariable(file, name, described)
    files.callback(array.release)
    return array


def mat_traces(
    file: Path, name: str, described: MatVariable, files: ExitStack, *, frames_first: bool = False
) -> Traces:
    """Return a numeric matrix of a MAT-file, full or sparse, as traces.

    Parameters
    ----------
    file, name, described, files
        As for `mat_matrix`.
    frames_first
        Whether the matrix is (frames, ROIs) in MATLAB.

    Raises
    ------
    InputFileError
        When there is no such matrix of numbers.
    """
    if described.class_name == "sparse" and 0 not in described.shape:
        value = load_mat(file, [name])[name]
        return SparseTraces((value.T if frames_first else value).tocsc())
    array = mat_matrix(file, name, described, files)
    if len(array.shape) != 2 or array.dtype.kind not in "fiu":
        raise InputFileError(file, f"holds {name} of shape {array.shape}; traces have ROIs and frames.")
    return ArrayTraces(array, frames_first)
