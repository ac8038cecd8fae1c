"""Traces in MAT-files: windows of version 7.3, and older ones as a whole, let go when they have been read."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.segmentation.rois import ArrayTraces, Traces
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.mat_guard import load_mat, mat_array, mat_variables
from nwbswitch.schemas.mat_values import NUMBERS


class WholeVariable:
    """A numeric variable of a MAT-file before version 7.3, which is read whole or not at all.

    It is read for the first window and let go after the last one.
    """

    def __init__(self, file: Path, name: str) -> None:
        variable = mat_variables(file)[name]
        self._file = file
        self._name = name
        self._values: NDArray[Any] | None = None
        self.shape: tuple[int, ...] = variable.shape
        self.dtype: np.dtype[Any] = np.dtype(NUMBERS[variable.class_name])

    def __getitem__(self, window: tuple[slice, slice]) -> NDArray[Any]:
        if self._values is None:
            self._values = load_mat(self._file, [self._name])[self._name]
        values = np.array(self._values[window])
        if all(each.indices(side)[1] == side for each, side in zip(window, self.shape, strict=True)):
            self.release()
        return values

    def release(self) -> None:
        """Let go of the values."""
        self._values = None


def mat_traces(file: Path, name: str, files: ExitStack, *, frames_first: bool = False) -> Traces:
    """Return the numeric matrix ``name`` of a MAT-file as traces.

    Parameters
    ----------
    file
        The file.
    name
        A variable; with version 7.3 also a field, ``struct.field``.
    files
        Receives what has to be closed.
    frames_first
        Whether the matrix is (frames, ROIs) in MATLAB.

    Raises
    ------
    InputFileError
        When there is no such matrix of numbers.
    """
    if h5py.is_hdf5(file):
        array: Any = files.enter_context(mat_array(file, name))
    else:
        variable = mat_variables(file).get(name)
        if variable is None or variable.class_name not in NUMBERS:
            raise InputFileError(file, f"holds no matrix of numbers called {name}.")
        array = WholeVariable(file, name)
        files.callback(array.release)
    if len(array.shape) != 2 or 0 in array.shape or array.dtype.kind not in "fiu":
        raise InputFileError(
            file, f"its {name} is {array.dtype} of shape {tuple(array.shape)}; traces have ROIs and frames."
        )
    return ArrayTraces(array, frames_first)
