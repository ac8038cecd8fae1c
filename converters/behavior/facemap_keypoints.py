"""Points of the face found by Facemap, in its *_FacemapPose.h5 files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath

from nwbswitch.converters.behavior.pose import BLOCK_FRAMES, Pose
from nwbswitch.converters.behavior.pose_interface import PoseInterface
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.file_guard import open_hdf5

COORDS = ("x", "y", "likelihood")


class FacemapKeypointsInterface(PoseInterface):
    """Points of a mouse face; positions and likelihoods stay as read.

    Parameters
    ----------
    file_path : FilePath
        The *_FacemapPose.h5 file.
    rate_hz : float, optional
        Frames of the video per second.
    pixel_size_mm : float, optional
        Side of a pixel in the plane of the animal, mm.
    start_s : float
        Time of the first frame, s.
    metadata_key : str
        Name of the stream.
    """

    display_name = "Facemap keypoints"
    associated_suffixes = (".h5",)
    info = "Reads points of the face from a file of Facemap."

    def __init__(
        self,
        *,
        file_path: FilePath,
        rate_hz: float | None = None,
        pixel_size_mm: float | None = None,
        start_s: float = 0.0,
        metadata_key: str = "face",
    ) -> None:
        """Open the file."""
        super().__init__(
            file_path=file_path,
            rate_hz=rate_hz,
            pixel_size_mm=pixel_size_mm,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        self._open = ExitStack()
        try:
            self.take(
                self._pose(Path(file_path)),
                rate_hz=rate_hz,
                start_s=start_s,
                pixel_size_mm=pixel_size_mm,
                metadata_key=metadata_key,
            )
        except BaseException:
            self._open.close()
            raise

    def _pose(self, path: Path) -> Pose:
        file = self._open.enter_context(open_hdf5(path))
        group = file.get("Facemap")
        if not isinstance(group, h5py.Group):
            raise InputFileError(path, "has no group Facemap with a group per body part.")
        columns: dict[str, list[h5py.Dataset]] = {}
        for part, members in group.items():
            found = [members.get(coord) if isinstance(members, h5py.Group) else None for coord in COORDS]
            if not all(isinstance(each, h5py.Dataset) and each.ndim == 1 for each in found):
                raise InputFileError(path, f"has no x, y and likelihood of {part}.")
            columns[part] = found
        lengths = {len(each) for found in columns.values() for each in found}
        if len(lengths) > 1:
            raise InputFileError(path, f"has points of different length: {sorted(lengths)} frames.")
        n = lengths.pop() if lengths else 0
        kinds = [each.dtype for found in columns.values() for each in found]
        if any(kind.kind not in "fiu" for kind in kinds):
            raise InputFileError(path, "holds points that are no numbers.")

        def blocks() -> Iterator[NDArray[Any]]:
            for start in range(0, n, BLOCK_FRAMES):
                stop = min(start + BLOCK_FRAMES, n)
                parts = [[each[start:stop] for each in found] for found in columns.values()]
                yield np.asarray(parts).transpose(2, 0, 1)

        return Pose(
            path,
            tuple(columns),
            n,
            blocks,
            dtype=np.result_type(np.float32, *kinds),
            software="Facemap",
        )

    def close(self) -> None:
        """Close the file; call it after the NWB file is written."""
        super().close()
        self._open.close()
