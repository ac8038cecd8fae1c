"""Analysis windows on the session clock."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import h5py
import pytest
from pynwb import NWBHDF5IO, NWBFile

from nwbswitch.converters.epochs import MEANINGS, EpochsInterface
from nwbswitch.schemas.epochs import Window
from nwbswitch.schemas.errors import IssuesError

BASELINE = {"window": "baseline", "start_s": -660.0, "stop_s": -60.0, "relative_to": "administration"}
PSEUDO = {"window": "pseudo_baseline", "start_s": 0.0, "stop_s": 600.0, "relative_to": "session"}


def test_windows_become_absolute_and_sorted(tmp_path: Path) -> None:
    nwbfile = NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))
    EpochsInterface(epochs=[BASELINE, PSEUDO], administration_s=1380.0).add_to_nwbfile(nwbfile)
    with NWBHDF5IO(tmp_path / "e.nwb", "w") as io:
        io.write(nwbfile)
    with h5py.File(tmp_path / "e.nwb") as file:
        table = file["intervals/analysis_epochs"]
        assert list(table["start_time"][:]) == [0.0, 720.0]
        assert list(table["stop_time"][:]) == [600.0, 1320.0]
        assert [each.decode() for each in table["window"][:]] == ["pseudo_baseline", "baseline"]
        assert table["window"].attrs["description"].count("baseline: ") == 2


def test_no_windows_no_table() -> None:
    nwbfile = NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))
    EpochsInterface(epochs=[]).add_to_nwbfile(nwbfile)
    assert not nwbfile.intervals


def test_relative_window_needs_an_administration() -> None:
    with pytest.raises(IssuesError, match="baseline counts from an administration"):
        EpochsInterface(epochs=[BASELINE])


def test_every_window_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Window)
