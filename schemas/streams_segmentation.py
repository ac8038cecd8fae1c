"""ROIs and traces of segmentation programs other than Suite2p, as a study file describes them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from nwbswitch.schemas.stream_base import RoiBasis, RoiStream, StudyModel

_VARIABLE = "Name of the struct in the file, where it holds several results."


class CaimanFile(RoiStream):
    """Components that CaImAn saved (``cnm.save``) in an HDF5 file."""

    format: Literal["caiman"]


class CnmfeFile(RoiStream):
    """Neurons that CNMF-E (MATLAB) saved as a struct in a MAT-file."""

    format: Literal["cnmfe"]
    variable: str | None = Field(None, description=_VARIABLE)


class ExtractFile(RoiStream):
    """Cells that EXTRACT (MATLAB) saved in a MAT-file."""

    format: Literal["extract"]
    variable: str | None = Field(None, description=_VARIABLE)


class InscopixCells(RoiStream):
    """A cell set of Inscopix (.isxd)."""

    format: Literal["inscopix_cells"]
    roi_basis: RoiBasis | None = Field(  # type: ignore[assignment]
        None,
        description="How ROIs were found: activity or anatomical; by default unknown for cells drawn by hand "
        "and activity for others.",
    )


class MinianTimes(StudyModel):
    """Where the times of the frames of a Miniscope recording are."""

    path: Path = Field(description="timeStamps.csv of the Miniscope software.")


class MinianFolder(RoiStream):
    """Cells that Minian saved as Zarr arrays in a folder."""

    folder_patterns: ClassVar[tuple[str, ...]] = tuple(
        f"**/{name}.zarr/**/*" for name in ("A", "C", "S", "b0", "YrA", "max_proj")
    )

    format: Literal["minian"]
    timestamps: MinianTimes | None = Field(
        None, description="Times of frames, when the frames are not those of a movie of this session."
    )


class TraceTable(StudyModel):
    """Traces of drawn ROIs: a CSV table of Multi Measure, one with a column per ROI, or a MAT-file."""

    path: Path
    kind: Literal["raw", "dff"] = Field("raw", description="raw: fluorescence. dff: dF/F.")
    measure: str = Field(
        "Mean", description="What was measured: the columns Mean1, Mean2, ... of a CSV table."
    )
    variable: str | None = Field(None, description="Name of the matrix in a MAT-file that holds several.")
    rows: Literal["frames", "rois"] = Field("frames", description="What the rows of the matrix are.")


class ImagejRois(RoiStream):
    """ROIs drawn in ImageJ: RoiSet.zip or a single .roi file."""

    format: Literal["imagej_rois"]
    traces: TraceTable
    image_size: tuple[int, int] = Field(
        description="Height and width of the image that the ROIs were drawn in, pixels."
    )
    roi_basis: RoiBasis = Field("anatomical", description="How ROIs were found: anatomical or activity.")
