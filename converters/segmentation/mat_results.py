"""Results of a MATLAB program in a MAT-file: the one struct with certain fields, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.segmentation.masks import MAX_IMAGE_PX
from nwbswitch.converters.segmentation.mat_traces import mat_matrix, mat_traces
from nwbswitch.converters.segmentation.rois import Column, SummaryImage, Traces
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.mat_guard import load_mat, mat_variables
from nwbswitch.schemas.mat_values import NUMBERS, MatVariable

BLOCK_BYTES = 64 << 20
"""Footprints read at a time."""
_CLASSES = {*NUMBERS, "logical", "sparse", "char", "cell", "struct", "function_handle"}


@dataclass(frozen=True, slots=True)
class MatResult:
    """A struct in a MAT-file.

    Attributes
    ----------
    file
        The file.
    variable
        The struct; empty where its fields are variables of the file.
    fields
        What `mat_variables` says of each.
    values
        The small ones that were asked for, as far as they are there, by dotted names.
    """

    file: Path
    variable: str
    fields: Mapping[str, MatVariable]
    values: Mapping[str, Any]

    def name(self, field: str) -> str:
        """Return how a field is called in the file."""
        return f"{self.variable}.{field}" if self.variable else field

    def has(self, field: str) -> bool:
        """Return whether there is such a field with values."""
        return field in self.fields and 0 not in self.fields[field].shape

    def read(self, field: str) -> Any:
        """Return the value of a field, read from the file."""
        return load_mat(self.file, [self.name(field)])[self.name(field)]

    def text(self, field: str) -> str:
        """Return a small value that is text; empty for anything else."""
        value = self.values.get(field)
        return value if isinstance(value, str) else ""

    def number(self, field: str) -> float | None:
        """Return a small value that is one finite number; None for anything else."""
        value = self.values.get(field)
        if not isinstance(value, np.ndarray) or value.size != 1 or value.dtype.kind not in "fiub":
            return None
        number = float(value.ravel()[0])
        return number if np.isfinite(number) else None

    def traces(self, field: str, files: ExitStack, *, frames_first: bool = False) -> Traces:
        """Return a field as traces; see `mat_traces`."""
        return mat_traces(self.file, self.name(field), self.fields[field], files, frames_first=frames_first)

    def column(self, field: str, n_rois: int, description: str) -> Column | None:
        """Return a field with one number per ROI as a column; None where it is empty or not there.

        Raises
        ------
        InputFileError
            When it holds something else.
        """
        values = self.values.get(field)
        if values is None or (isinstance(values, np.ndarray | list) and not len(values)):
            return None
        if not isinstance(values, np.ndarray) or values.size != n_rois or values.dtype.kind not in "fiub":
            shape = values.shape if isinstance(values, np.ndarray) else type(values).__name__
            raise InputFileError(self.file, f"holds {shape} values as {field} for {n_rois} ROIs.")
        return Column(description, values.ravel().astype(float))

    def image(self, field: str, sides: Sequence[int], description: str) -> SummaryImage | None:
        """Return a field as an image of the plane (height, width); None where it is empty or not there.

        Raises
        ------
        InputFileError
            When it is an image of another size, or none.
        """
        value = self.values.get(field)
        if value is None or (isinstance(value, np.ndarray) and not value.size):
            return None
        if not isinstance(value, np.ndarray) or value.shape != tuple(sides) or value.dtype.kind not in "fiu":
            shape = value.shape if isinstance(value, np.ndarray) else type(value).__name__
            raise InputFileError(self.file, f"holds as {field} no image of {tuple(sides)}: {shape}.")
        return SummaryImage(description, value.astype(np.float32))

    def images(self, field: str, n_rois: int) -> Iterator[NDArray[Any]]:
        """Yield the last dimension of an array (height, width, ROIs) image by image, read in blocks."""
        with ExitStack() as files:
            array = mat_matrix(self.file, self.name(field), self.fields[field], files)
            flat = len(array.shape) == 2  # MATLAB drops the last dimension of a single ROI
            height, width = array.shape[:2]
            if height * width > MAX_IMAGE_PX:
                raise InputFileError(self.file, f"holds footprints of {height} x {width} pixels in {field}.")
            block = max(BLOCK_BYTES // (height * width * array.dtype.itemsize), 1)
            for start in range(0, n_rois, block):
                window = (slice(0, height), slice(0, width))
                part = array[window] if flat else array[(*window, slice(start, min(start + block, n_rois)))]
                yield from (np.atleast_3d(part)[:, :, each] for each in range(np.atleast_3d(part).shape[2]))

    def columns(self, field: str, sides: Sequence[int]) -> Iterator[NDArray[Any]]:
        """Yield the columns of a full matrix (pixels, ROIs) as images; pixels are in column-major order."""
        with ExitStack() as files:
            array = mat_matrix(self.file, self.name(field), self.fields[field], files)
            n_pixels, n_rois = array.shape
            block = max(BLOCK_BYTES // (n_pixels * array.dtype.itemsize), 1)
            for start in range(0, n_rois, block):
                part = array[slice(0, n_pixels), slice(start, min(start + block, n_rois))]
                yield from (each.reshape(tuple(sides), order="F") for each in part.T)


def open_result(
    file: Path,
    *,
    layouts: Sequence[Sequence[str]],
    small: Sequence[str],
    variable: str | None,
    program: str,
    remedy: str,
) -> MatResult:
    """Return the struct of a MAT-file that holds the result of a program.

    Parameters
    ----------
    file
        The file.
    layouts
        Fields that tell such a struct, in each of the ways in which the program writes it.
    small
        Fields that are read at once where they are there; ``config.preprocess`` is a field of a field.
    variable
        Name of the struct; needed where several structs have these fields.
    program, remedy
        For messages: who wrote it, and how to save it so that it can be read.

    Raises
    ------
    InputFileError
        When there is no such struct, or several.
    """
    known = mat_variables(file)
    if variable is not None and variable not in known:
        raise InputFileError(file, f"has no variable {variable}; it has {', '.join(known)[:300]}.")
    names = [variable] if variable is not None else list(known)
    found = {
        name: fields
        for name in names
        if known[name].class_name == "struct"
        for fields in [mat_variables(file, inside=name)]
        if _fits(fields, layouts)
    }
    if variable is None and _fits(known, layouts):
        found[""] = known
    if len(found) == 1:
        name, fields = next(iter(found.items()))
        return MatResult(file, name, fields, _small_values(file, name, fields, small))
    if found:
        listed = ", ".join(name or "the file's own variables" for name in found)
        raise InputFileError(
            file, f"holds {len(found)} results of {program}: {listed}.", "Name one with variable."
        )
    others = {name: known[name].class_name for name in names if known[name].class_name not in _CLASSES}
    objects = [f"{name} ({class_name})" for name, class_name in others.items()]
    wanted = " or ".join(" and ".join(layout) for layout in layouts)
    held = f"; what it holds are objects that only MATLAB can read: {', '.join(objects)}" * bool(objects)
    raise InputFileError(file, f"holds no result of {program}: no struct with {wanted}{held[:300]}.", remedy)


def _fits(fields: Mapping[str, MatVariable], layouts: Sequence[Sequence[str]]) -> bool:
    return any(all(name in fields for name in layout) for layout in layouts)


def _small_values(
    file: Path, variable: str, fields: Mapping[str, MatVariable], wanted: Sequence[str]
) -> dict[str, Any]:
    prefix = f"{variable}." if variable else ""
    there = [name for name in wanted if name.partition(".")[0] in fields]
    if h5py.is_hdf5(file):
        inner = {name.rpartition(".")[0] for name in there if "." in name}
        known = {name: _fields_inside(file, prefix + name) for name in inner}
        pairs = {name: name.rpartition(".") for name in there}
        there = [name for name, (path, _, last) in pairs.items() if not path or last in known[path]]
        loaded = load_mat(file, [prefix + name for name in there])
        return {name: loaded[prefix + name] for name in there}
    # Each look into a struct of an older version unpacks all of it: one look is enough.
    firsts = list(dict.fromkeys(name.partition(".")[0] for name in there))
    whole = load_mat(file, [variable])[variable] if variable else load_mat(file, firsts)
    found = {}
    for name in there:
        value = whole
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            found[name] = value
    return found


def _fields_inside(file: Path, name: str) -> Mapping[str, MatVariable]:
    """Return the fields of a struct in a struct; nothing where the path to it ends early."""
    try:
        return mat_variables(file, inside=name)
    except InputFileError:
        return {}
