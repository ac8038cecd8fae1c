"""Recordings of absurd values handed over: measured as they are or refused, and in little memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bare_nwb import add_column
from small_recording import CELLS, TRACES, WINDOWS, replaced, small_recording

from nwbswitch.analysis.handover.pandas_tables import to_pandas
from nwbswitch.analysis.reading.recording import open_recording
from nwbswitch.schemas.errors import NwbswitchError

NUMBERS = (np.nan, np.inf, -np.inf, 1e300, -1e300, 5e-324, 0.0, -1.0)
PLACES = (f"{TRACES}/starting_time", f"{TRACES}/data", f"{WINDOWS}/start_time", "units/spike_times")


def handed_over(path: Path, **options: Any) -> Any:
    with open_recording(path) as recording:
        return to_pandas(recording, **options)


@pytest.mark.parametrize("place", PLACES)
def test_any_number_is_handed_over_or_refused(tmp_path: Path, place: str) -> None:
    for number in NUMBERS:
        path = small_recording(tmp_path / "a.nwb")
        with h5py.File(path, "r+") as file:
            values = np.array(file[place][()], dtype="f8")
            values.reshape(-1)[0] = number
            replaced(file, place, values)
        for span in ({}, {"start_s": -1e300, "stop_s": 1e300}):
            try:
                tables = handed_over(path, **span)
            except NwbswitchError:
                continue
            for times in tables.times.values():
                assert (times.groupby("neuron")["time_s"].diff().dropna() >= 0).all()
                assert times["time_s"].notna().all()


def test_one_long_word_does_not_make_all_words_wide(tmp_path: Path) -> None:
    n = 2000
    path = small_recording(tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        replaced(file, f"{TRACES}/data", np.zeros((60, n), "f4"))
        replaced(file, f"{TRACES}/rois", np.arange(n))
        for name in ("id", "accepted", "cell_type"):
            del file[f"{CELLS}/{name}"]
        file[f"{CELLS}/id"] = np.arange(n)
        add_column(file[CELLS], "tracking_id", ["x" * 500_000, *(f"cell {number}" for number in range(1, n))])
    tracemalloc.start()
    try:
        tables = handed_over(path, names=["Cells"])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 200 << 20
    assert tables.neurons["Cells"]["tracking_id"].iloc[1] == "cell 1"
    assert len(tables.neurons["Cells"]["tracking_id"].iloc[0]) == 500_000


def test_more_than_was_asked_for_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = small_recording(tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        shape = (20_000_000, 3)
        replaced(file, f"{TRACES}/data", shape=shape, dtype="f8", chunks=(1_000_000, 3), compression="gzip")
        file[f"{TRACES}/starting_time"].attrs["rate"] = 1000.0
    with pytest.raises(ValueError, match="max_bytes"):
        handed_over(path, max_bytes=1 << 20)
