"""Movies in HDF5 files of any layout: a dataset, and the order of its dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath

from nwbswitch.converters.imaging.hdf5_frames import FrameStack, damage_named, is_stack, size_text
from nwbswitch.converters.imaging.movie_interface import MovieInterface
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.hdf5_guard import open_hdf5
from nwbswitch.schemas.issues import nearest
from nwbswitch.schemas.stream_base import Parts
from nwbswitch.schemas.streams_binary_movies import check_axes

if TYPE_CHECKING:
    import h5py

MATLAB_NUMBERS = frozenset(
    {b"double", b"single", *(f"{sign}int{bits}".encode() for sign in ("", "u") for bits in (8, 16, 32, 64))}
)
MAX_LISTED = 12


class Hdf5Movie:
    """One dataset of an HDF5 file, or one variable of a MATLAB v7.3 file.

    MATLAB lists the dimensions of a variable the other way round than HDF5 does; in such files ``axes`` and
    all messages follow MATLAB.

    Parameters
    ----------
    path
        The file.
    dataset
        Path of the dataset; needed when there are several with 3 to 5 dimensions.
    axes
        One letter per dimension: t, y, x, and z or c.
    channel
        Channel, from 1; needed when there are several.
    plane
        One plane, from 1; a volume of all by default.

    Raises
    ------
    InputFileError
        When the file is damaged, the dataset or the axes are not clear, or frames were never written.
    UnsafeFileError
        When the file reaches outside itself, or states sizes that it cannot hold or that memory cannot.
    """

    def __init__(
        self,
        path: Path,
        *,
        dataset: str | None = None,
        axes: str | None = None,
        channel: int | None = None,
        plane: int | None = None,
    ) -> None:
        self.path = Path(path)
        if axes is not None:
            check_axes(axes)
        with ExitStack() as files, damage_named(self.path):
            handle = files.enter_context(open_hdf5(self.path))
            found = _find(self.path, handle, dataset)
            matlab = _matlab_class(found) is not None
            order = _order(self.path, found, axes)
            self._stack = FrameStack(
                self.path,
                found,
                order[::-1] if matlab else order,
                channel=channel,
                plane=plane,
                reverse=matlab,
            )
            self.rate_hz = _stated_rate_hz(found)
            self._files = files.pop_all()
        self.shape = self._stack.shape

    started = None
    frame_times_s = None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start`` to ``stop``, (frames, height, width[, planes])."""
        return self._stack.read(start, stop)

    def close(self) -> None:
        """Close the file."""
        self._files.close()


def _matlab_class(dataset: h5py.Dataset) -> bytes | None:
    found = dataset.attrs.get("MATLAB_class")
    return found if isinstance(found, bytes) else None


def _size(dataset: h5py.Dataset) -> str:
    return size_text(dataset, reverse=_matlab_class(dataset) is not None)


def _candidates(handle: h5py.File) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def visit(name: str, node: Any) -> None:
        if is_stack(node) and _matlab_class(node) in {None, *MATLAB_NUMBERS}:
            found[name] = node

    handle.visititems(visit)
    return found


def _find(path: Path, handle: h5py.File, name: str | None) -> h5py.Dataset:
    stacks = _candidates(handle)
    listed = [f"{each} ({_size(node)})" for each, node in list(stacks.items())[:MAX_LISTED]]
    if len(stacks) > MAX_LISTED:
        listed.append(f"{len(stacks) - MAX_LISTED} more")
    words = ", ".join(listed) or "none"
    if name is None and len(stacks) == 1:
        return next(iter(stacks.values()))
    if name is None:
        raise InputFileError(
            path,
            f"holds {len(stacks)} arrays of numbers of 3 to 5 dimensions: {words}.",
            "Give dataset of this stream, one of them." if stacks else "It holds no movie.",
        )
    key = name.strip("/")
    if key in stacks:
        return stacks[key]
    hint = nearest(key, stacks)
    raise InputFileError(
        path,
        f"has no array of numbers of 3 to 5 dimensions at {name!r}; it has: {words}.",
        hint or "Correct dataset.",
    )


def _order(path: Path, dataset: h5py.Dataset, axes: str | None) -> str:
    if axes is not None:
        return axes
    matlab = _matlab_class(dataset) is not None
    example = ("yxt", "yxzt", "yxzct") if matlab else ("tyx", "tzyx", "tzcyx")
    raise InputFileError(
        path,
        f"does not say which dimension is what; {dataset.name} is {_size(dataset)}"
        f"{' in MATLAB' if matlab else ''}.",
        f"Give axes of this stream, for example {example[dataset.ndim - 3]}: t for frames, y for rows, x for "
        "columns, z for planes, c for channels.",
    )


def _stated_rate_hz(dataset: h5py.Dataset) -> float | None:
    """Return the attribute ``fr`` that roiextractors' Hdf5ImagingExtractor reads as the frame rate, Hz."""
    value = np.asarray(dataset.attrs.get("fr", ()))
    if value.size != 1 or value.dtype.kind not in "uif" or not 0 < float(value.ravel()[0]) < 1e6:
        return None
    return float(value.ravel()[0])


class Hdf5StackInterface(MovieInterface):
    """Movie in an HDF5 or MATLAB v7.3 file; stored as (frames, x, y[, plane]).

    Parameters
    ----------
    file_path : FilePath or list of FilePath
        The file; several with parts continuous or runs.
    dataset : str, optional
        Path of the dataset; needed when the file holds several of 3 to 5 dimensions.
    axes : str, optional
        Dimensions in the order in which HDF5 lists them, e.g. tyx; in MATLAB files in the order of size(),
        e.g. yxt. There is no default: a file does not say.
    channel : int, optional
        Channel, from 1; needed when there are several.
    plane : int, optional
        One plane, from 1; all planes as a volume by default.
    rate_hz : float, optional
        Frame (volume) rate, Hz; needed unless the dataset has an attribute fr.
    photons : int
        1 for a one-photon movie, else 2.
    start_s : float
        Time of the first frame, s.
    parts : str
        How several files follow each other: single, continuous or runs.
    part_start_s : list of float
        Start of each run, s.
    metadata_key : str
        Key of this movie in metadata["Ophys"]["MicroscopySeries"].
    """

    display_name = "HDF5 movie"
    associated_suffixes = (".h5", ".hdf5", ".mat")
    info = "Reads a movie from a dataset of an HDF5 or MATLAB v7.3 file, chunk by chunk."

    def __init__(
        self,
        *,
        file_path: FilePath | list[FilePath],
        dataset: str | None = None,
        axes: str | None = None,
        channel: int | None = None,
        plane: int | None = None,
        rate_hz: float | None = None,
        photons: Literal[1, 2] = 2,
        start_s: float = 0.0,
        parts: Parts = "single",
        part_start_s: Sequence[float] = (),
        metadata_key: str = "movie",
    ) -> None:
        """Open the files and find the dataset."""
        super().__init__(
            partial(Hdf5Movie, dataset=dataset, axes=axes, channel=channel, plane=plane),
            paths=file_path,
            rate_hz=rate_hz,
            start_s=start_s,
            parts=parts,
            part_start_s=part_start_s,
            metadata_key=metadata_key,
            source={
                "file_path": file_path,
                "dataset": dataset,
                "axes": axes,
                "channel": channel,
                "plane": plane,
                "photons": photons,
            },
        )
        self.photons = photons
