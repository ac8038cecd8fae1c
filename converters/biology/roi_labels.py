"""Columns for a table of ROIs: cell types with their evidence, and identities across recording sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hdmf.common import VectorData

    from nwbswitch.schemas.roi_labels import CellTypes, Tracking

Values = tuple[str, ...] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RoiColumn:
    """A column with one value per ROI."""

    name: str
    description: str
    values: Values


@dataclass(frozen=True, slots=True)
class RoiLabels:
    """Columns that label ROIs, and one sentence per source that says where they come from."""

    columns: tuple[RoiColumn, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    def vector_data(self) -> list[VectorData]:
        """Return the columns as pynwb writes them."""
        from hdmf.common import VectorData

        return [
            VectorData(
                name=column.name,
                description=column.description,
                data=list(column.values) if isinstance(column.values, tuple) else column.values,
            )
            for column in self.columns
        ]


def roi_labels(
    n_rois: int,
    *,
    cell_types: CellTypes | None = None,
    tracking: Tracking | None = None,
    subject_id: str,
    session_id: str,
    accepted: Sequence[bool] | NDArray[np.bool_] | None = None,
    folder: Path | None = None,
    root: Path | None = None,
) -> RoiLabels:
    """Return the columns that cell types and tracking give to the ROIs of one plane.

    Parameters
    ----------
    n_rois
        Number of rows of the plane segmentation, accepted or not.
    cell_types, tracking
        The keys of the same names of an ROI stream; without either there are no columns.
    subject_id, session_id
        The animal, part of every identity, and the session, by which rows and columns are found.
    accepted
        Which ROIs count as cells, shape (n_rois,); needed where sources count the accepted ones only.
    folder
        Folder of the segmentation, where ``redcell.npy`` is looked for.
    root
        Folder that relative paths count from and must stay in.

    Raises
    ------
    IssuesError
        Rows that fit no ROI, doubles, unknown words, contradictions; all of them at once.
    InputFileError
        A file that cannot be used.
    """
    from nwbswitch.converters.biology.cell_types import cell_type_columns
    from nwbswitch.converters.biology.roi_numbers import RoiNumbers
    from nwbswitch.converters.biology.tracking import tracking_columns

    rois = RoiNumbers.of(
        n_rois, accepted, subject_id=subject_id, session_id=session_id, folder=folder, root=root
    )
    parts: list[RoiLabels] = []
    if cell_types is not None:
        parts.append(cell_type_columns(cell_types, rois))
    if tracking is not None:
        parts.append(tracking_columns(tracking, rois))
    return RoiLabels(
        tuple(column for part in parts for column in part.columns),
        tuple(sentence for part in parts for sentence in part.sources),
    )
