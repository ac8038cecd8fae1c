"""Body parts found by DeepLabCut, in its .h5 and .csv files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic import FilePath

from nwbswitch.converters.behavior.pandas_table import PandasTable
from nwbswitch.converters.behavior.pose import BLOCK_FRAMES, Pose
from nwbswitch.converters.behavior.pose_columns import LABELS, LABELS_REMEDY, check_frames, pose_columns
from nwbswitch.converters.behavior.pose_csv import read_pose_csv
from nwbswitch.converters.behavior.pose_interface import PoseInterface
from nwbswitch.schemas.errors import InputFileError

SOFTWARE = "DeepLabCut"


class DeepLabCutInterface(PoseInterface):
    """Points of one animal; positions and likelihoods stay as read.

    Parameters
    ----------
    file_path : FilePath
        The .h5 or .csv that DeepLabCut wrote for a video.
    individual : str, optional
        Animal, where the file has several.
    rate_hz : float, optional
        Frames of the video per second.
    pixel_size_mm : float, optional
        Side of a pixel in the plane of the animal, mm.
    start_s : float
        Time of the first frame, s.
    metadata_key : str
        Name of the stream.
    """

    display_name = "DeepLabCut"
    associated_suffixes = (".h5", ".csv")
    info = "Reads body parts of one animal from a file that DeepLabCut wrote for a video."

    def __init__(
        self,
        *,
        file_path: FilePath,
        individual: str | None = None,
        rate_hz: float | None = None,
        pixel_size_mm: float | None = None,
        start_s: float = 0.0,
        metadata_key: str = "pose",
    ) -> None:
        """Open the file and find the animal."""
        super().__init__(
            file_path=file_path,
            individual=individual,
            rate_hz=rate_hz,
            pixel_size_mm=pixel_size_mm,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        path = Path(file_path)
        self._table: PandasTable | None = None
        try:
            self.take(
                self._pose(path, individual),
                rate_hz=rate_hz,
                start_s=start_s,
                pixel_size_mm=pixel_size_mm,
                metadata_key=metadata_key,
            )
        except BaseException:
            self._close_table()
            raise

    def _pose(self, path: Path, individual: str | None) -> Pose:
        if path.suffix.lower() == ".csv":
            return read_pose_csv(path, individual=individual, software=SOFTWARE)
        self._table = table = PandasTable(path)
        if table.index is None:
            raise InputFileError(path, LABELS, LABELS_REMEDY)
        columns = pose_columns(path, table.labels, individual=individual)
        check_frames(path, table.index)

        def blocks() -> Iterator[NDArray[Any]]:
            for start in range(0, table.n, BLOCK_FRAMES):
                yield columns.block(table.read(start, min(start + BLOCK_FRAMES, table.n)))

        return Pose(
            path,
            columns.keypoints,
            table.n,
            blocks,
            dtype=table.dtype,
            software=SOFTWARE,
            comments=f"Found by {columns.scorer}.",
        )

    def close(self) -> None:
        """Close the file; call it after the NWB file is written."""
        super().close()
        self._close_table()

    def _close_table(self) -> None:
        if self._table is not None:
            self._table.close()
