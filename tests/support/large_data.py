"""Large data of any shape for the writer, and small NWB files that hold them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from hdmf.data_utils import GenericDataChunkIterator
from pynwb import NWBFile, TimeSeries


class Chunks(GenericDataChunkIterator):
    """An array in the shape of an iterator that remembers what it was asked for."""

    def __init__(self, array: Any, **options: Any) -> None:
        self.array = array
        self.asked: list[tuple[slice, ...]] = []
        super().__init__(**options)

    def _get_data(self, selection: tuple[slice, ...]) -> np.ndarray:
        self.asked.append(selection)
        return np.array(self.array[selection])

    def _get_maxshape(self) -> tuple[int, ...]:
        return self.array.shape

    def _get_dtype(self) -> np.dtype:
        return self.array.dtype


class Synthetic(GenericDataChunkIterator):
    """A recording that is made while it is read."""

    def __init__(
        self, shape: tuple[int, ...], make: Callable[[tuple[slice, ...]], np.ndarray], dtype: str, **options
    ):
        self.shape, self.make, self.declared = shape, make, np.dtype(dtype)
        super().__init__(**options)

    def _get_data(self, selection):
        return self.make(selection)

    def _get_maxshape(self):
        return self.shape

    def _get_dtype(self):
        return self.declared


def new_file() -> NWBFile:
    """Return an NWB file without data."""
    return NWBFile(
        session_description="A session.", identifier="id", session_start_time=datetime(2024, 5, 1, tzinfo=UTC)
    )


def with_data(data: Any, **values: Any) -> NWBFile:
    """Return an NWB file with one series ``x``."""
    nwbfile = new_file()
    nwbfile.add_acquisition(TimeSeries(name="x", data=data, unit="V", **({"rate": 1.0} | values)))
    return nwbfile
