"""Reading parts of arrays, whatever brings their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from nwbswitch.analysis.access.stored_array import StoredArray

Part = tuple[StoredArray, tuple[slice, ...]]
"""An array and one slice for each of its dimensions; slices have no step and lie inside the array."""


class Arrays(Protocol):
    """The arrays of one file."""

    def read_many(self, parts: Sequence[Part]) -> list[NDArray[Any]]:
        """Return every part in the dtype in which it is stored; chunks of all parts are fetched together.

        Raises
        ------
        nwbswitch.schemas.errors.InputFileError
            When bytes are missing, damaged or those of another version of the file.
        """
        ...
