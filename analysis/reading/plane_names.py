"""Names of planes that tell them apart within a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nwbswitch.analysis.reading.outline import Plane
from nwbswitch.analysis.reading.series import Series


def named(measured: Sequence[tuple[Plane, Series]]) -> list[Plane]:
    """Return the planes of a file, those of one name renamed where they would be mistaken for each other.

    A plane is called as its segmentation; by its path where several segmentations are called alike; and
    with its series where several series of one segmentation hold the same ROIs.
    """
    renamed = []
    for plane, series in measured:
        others = [pair for pair in measured if pair[0] is not plane and pair[0].name == plane.name]
        name = plane.name
        if any(other.segmentation_path != series.segmentation_path for _, other in others):
            name = series.segmentation_path.removeprefix("/processing/").strip("/")
        same = [pair for pair in others if pair[1].segmentation_path == series.segmentation_path]
        if any(np.intersect1d(other.rows, plane.rows).size for other, _ in same):
            name = f"{name}/{series.path.removeprefix('/processing/').strip('/')}"
        renamed.append(replace(plane, name=name))
    return renamed
