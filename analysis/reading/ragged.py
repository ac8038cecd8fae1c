"""Columns with several values per row: where the values of each row end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.reading.columns import MAX_ROWS, Table
from nwbswitch.analysis.reading.stored_values import dataset_at


def ragged_ends(table: Table, name: str) -> NDArray[np.int64] | None:
    """Return where the values of each row of a ragged column end, or None with a finding.

    Ends must not decrease and must lie within the values, as those of damaged and of hostile files do not.
    """
    values, index = dataset_at(table.group, name), dataset_at(table.group, f"{name}_index")
    problem = ""
    if values is None or not values.shape:
        problem = "it has no values"
    elif index is None or index.ndim != 1 or index.dtype.kind not in "iu":
        problem = "its index is no list of whole numbers"
    elif index.shape[0] != table.n_rows or table.n_rows > MAX_ROWS:
        problem = f"its index has {index.shape[0]} entries for {table.n_rows} rows"
    else:
        stored = index[()]
        ends: NDArray[np.int64] = np.asarray(stored, dtype=np.int64)
        if stored.size and (int(stored.max()) > values.shape[0] or int(stored.min()) < 0):
            problem = f"its index ends at {int(stored.max())} of {values.shape[0]} values"
        elif (np.diff(ends) < 0).any():
            problem = "its index decreases"
        else:
            return ends
    table.find("unusable-column", f"The column {name!r} is not used: {problem}.", column=name)
    return None
