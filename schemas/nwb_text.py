"""Text of NWB files that both rooms agree on: marks among keywords, names of columns, and how it is read."""

from __future__ import annotations

from typing import Any

import numpy as np

SIMULATED = "SIMULATED"
"""Keyword of data that a simulator made."""
DATASET_PREFIX = "dataset:"
"""Keyword with the name of the study."""
COMPANION_PREFIX = "companion:"
"""Keyword with the identifier of the other file of a session whose raw movies are kept apart."""
ACCEPTED_NAMES = ("accepted", "Accepted", "iscell", "is_cell")
"""Columns that tell cells from other ROIs: ours, neuroconv's, and Suite2p's own NWB export."""


def text(node: Any, default: str = "") -> str:
    """Return a dataset, an attribute or a value of an HDF5 file as text; of several values the first."""
    value = node[()] if hasattr(node, "shape") and hasattr(node, "id") else node
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else None
    if isinstance(value, list):
        value = value[0] if value else None
    if value is None:
        return default
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def texts(node: Any) -> tuple[str, ...]:
    """Return a dataset of texts; empty when there is none."""
    if node is None:
        return ()
    return tuple(text(value) for value in np.atleast_1d(node[()]).ravel().tolist())
