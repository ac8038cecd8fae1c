"""Recordings with absurd values: measured as they should be or refused, soon and in little memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from bare_nwb import TEXT, add_column, add_table, typed
from small_recording import (
    CELLS,
    MEASURED_BLOCK_S,
    N_FRAMES,
    TRACES,
    WINDOWS,
    replaced,
    small_recording,
    stamped,
)

from nwbswitch.analysis.activity import blocks
from nwbswitch.analysis.measure import measure
from nwbswitch.analysis.reading.recording import open_recording
from nwbswitch.schemas.errors import IssuesError, NwbswitchError
from nwbswitch.schemas.issues import Issue

Edit = Callable[[h5py.File], None]
TIMES = np.arange(N_FRAMES) / 10
MOST_BYTES = 200 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return small_recording(tmp_path / "sub-m1_ses-1.nwb")


def spoilt(path: Path, edit: Edit) -> Path:
    with h5py.File(path, "r+") as file:
        edit(file)
    return path


def reasons(path: Path, **options: object) -> dict[str, str]:
    """Return the findings of a recording by their codes, measured or not."""
    try:
        issues = measure(path, block_s=MEASURED_BLOCK_S, **options).issues  # type: ignore[arg-type]
    except IssuesError as error:
        issues = error.issues
    return {each.code: each.message for each in issues}


def open_issues(path: Path) -> tuple[Issue, ...]:
    with open_recording(path) as recording:
        return recording.outline.issues


def last(stamps: np.ndarray, value: float) -> np.ndarray:
    return np.concatenate([stamps[:-1], [value]])


def test_the_recording_is_measured(path: Path) -> None:
    cells = measure(path, block_s=MEASURED_BLOCK_S).cells
    assert set(cells["modality"]) == {"calcium", "spikes"}
    assert set(cells["event_basis"]) == {"crossing", "spikes", "file_events"}
    assert set(cells["exposure_s"].round(6)) == {20.0}


CLOCKS: dict[str, Edit] = {
    "a length without end in ms": lambda file: stamped(file, last(1000 * TIMES, 1e300), unit="ms"),
    "steps of nothing in ms": lambda file: stamped(file, np.arange(N_FRAMES) * 5e-324, unit="ms"),
    "all numbers there are, in us": lambda file: stamped(
        file, 1.7e308 * (2 * np.arange(N_FRAMES) / N_FRAMES - 1), unit="us"
    ),
    "a length without end": lambda file: stamped(file, last(TIMES, 1e300)),
    "steps of nothing": lambda file: stamped(file, np.arange(N_FRAMES) * 5e-324),
    "a rate of nothing": lambda file: file[f"{TRACES}/starting_time"].attrs.modify("rate", 5e-324),
    "a rate without end": lambda file: file[f"{TRACES}/starting_time"].attrs.modify("rate", np.inf),
    "a rate of 1e300 Hz": lambda file: file[f"{TRACES}/starting_time"].attrs.modify("rate", 1e300),
}


@pytest.mark.parametrize("edit", CLOCKS.values(), ids=CLOCKS)
def test_clocks_that_cannot_be_are_asked_about(path: Path, edit: Edit) -> None:
    found = reasons(spoilt(path, edit))
    assert {"suspect-clock", "wrong-value"} & set(found)


def test_a_unit_that_the_file_states_is_believed_where_it_can_be(path: Path) -> None:
    plain = measure(path, block_s=MEASURED_BLOCK_S, modality="calcium").cells
    spoilt(path, lambda file: stamped(file, 1000 * TIMES, unit="ms"))
    found = measure(path, block_s=MEASURED_BLOCK_S, modality="calcium").cells
    assert found["n_events"].tolist() == plain["n_events"].tolist()


@pytest.mark.parametrize("spikes", ["counted", "as_calcium"])
@pytest.mark.parametrize("span_s", [(0.0, 1e300), (-1.7e308, 1.7e308)])
def test_units_observed_for_ever_are_counted_in_the_windows(
    path: Path, span_s: tuple[float, float], spikes: str
) -> None:
    spoilt(path, lambda file: replaced(file, "units/obs_intervals", np.array([span_s] * 3)) and None)
    cells = measure(path, block_s=MEASURED_BLOCK_S, modality="spikes", spikes=spikes).cells
    assert set(cells["exposure_s"].round(1)) == {20.0}


@pytest.mark.parametrize("what", ["windows", "blocks", "cells"])
def test_more_blocks_than_memory_are_refused_before_they_are_made(
    path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "windows":
        spoilt(path, lambda file: replaced(file, f"{WINDOWS}/stop_time", [50.0, 1e12]) and None)
    if what == "cells":
        monkeypatch.setattr(blocks, "MAX_CELLS", 7)
    with pytest.raises(IssuesError, match="longer than 30 days" if what == "windows" else "blocks"):
        measure(path, block_s=1e-9 if what == "blocks" else MEASURED_BLOCK_S)


def _wide(file: h5py.File, name: str, n: int, width: int) -> h5py.Dataset:
    return replaced(file, name, shape=(n,), dtype=f"S{width}", chunks=(1,), compression="gzip")


def _wide_elements(file: h5py.File) -> None:
    words = _wide(file, "general/words", 900, 1_000_000)
    quality = replaced(file, "units/quality", np.array([0, 1, 2], dtype="u1"))
    quality.attrs.update({"neurodata_type": "EnumData", "elements": words.ref})


def _wide_tags(file: h5py.File) -> None:
    times = {"start_time": [0.0], "stop_time": [1.0]}
    table = add_table(file, "intervals/epochs", "TimeIntervals", times)
    _wide(file, "intervals/epochs/tags", 900, 1_000_000)
    table["tags_index"] = [900]
    del file[WINDOWS]


def _wide_clocks(file: h5py.File) -> None:
    table = typed(file, "processing/synchronization/clock_alignment", "DynamicTable")
    _wide(file, f"{table.name}/stream", 900, 1_000_000)


def _wide_drug_log(file: h5py.File) -> None:
    table = typed(file, "events/drug_administrations", "EventsTable")
    table["timestamp"] = np.zeros(10_000)
    _wide(file, f"{table.name}/substance", 10_000, 60_000)


def _wide_labels(file: h5py.File) -> None:
    table = add_table(file, "events/drugs", "EventsTable", {"timestamp": np.zeros(90_000)})
    _wide(file, f"{table.name}/drug", 90_000, 10_000)


def _long_start(file: h5py.File) -> None:
    series = typed(file, "stimulus/ketamine", "TimeSeries")
    series["data"] = [1.0]
    series.create_dataset("starting_time", shape=(100_000_000,), dtype="f8", chunks=(1_000_000,))


WIDE: dict[str, Edit] = {
    "words of an enumeration": _wide_elements,
    "tags of epochs": _wide_tags,
    "names of clocks": _wide_clocks,
    "keywords": lambda file: _wide(file, "general/keywords", 9000, 100_000) and None,
    "our own drug log": _wide_drug_log,
    "a table about drugs": _wide_labels,
    "a starting time": _long_start,
}


@pytest.mark.parametrize("edit", WIDE.values(), ids=WIDE)
def test_texts_of_any_width_are_read_in_little_memory(path: Path, edit: Edit) -> None:
    """Nothing is stored of them, so that the file states hundreds of times what it holds."""
    spoilt(path, edit)
    measure(small_recording(path.with_name("first.nwb")), block_s=MEASURED_BLOCK_S)
    tracemalloc.start()
    try:
        reasons(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < MOST_BYTES


NUMBERS = (np.nan, np.inf, -np.inf, 1e300, -1e300, 5e-324, 0.0, -1.0)
PLACES = (
    f"{TRACES}/starting_time",
    "general/optophysiology/plane/imaging_rate",
    f"{WINDOWS}/start_time",
    f"{WINDOWS}/stop_time",
    "units/spike_times",
    "units/obs_intervals",
    "events/calcium_events/timestamp",
)


@pytest.mark.parametrize("place", PLACES)
def test_any_number_anywhere_is_measured_or_refused(path: Path, place: str) -> None:
    plain = measure(path, block_s=MEASURED_BLOCK_S).cells
    with h5py.File(path) as file:
        kept = file[place][()]
    for number in NUMBERS:
        values = np.array(kept, dtype="f8")
        values.reshape(-1)[0] = number
        spoilt(path, lambda file, values=values: replaced(file, place, values) and None)
        try:
            cells = measure(path, block_s=MEASURED_BLOCK_S).cells
        except NwbswitchError:
            continue
        assert (cells["exposure_s"] <= MEASURED_BLOCK_S + 0.1).all()
        assert cells["n_events"].between(0, plain["n_events"].max() + 3).all()
        assert not cells.duplicated(["modality", "event_basis", "plane", "neuron", "window", "block"]).any()


def test_words_where_numbers_should_be(path: Path) -> None:
    for place in PLACES:
        other = small_recording(path.with_name("other.nwb"))
        with h5py.File(other, "r+") as file:
            shape = file[place].shape
            replaced(file, place, np.full(shape, "soon", dtype=object), dtype=TEXT)
        assert reasons(other)


def test_a_word_for_every_neuron_is_told_in_few_findings(path: Path) -> None:
    n = 3000
    with h5py.File(path, "r+") as file:
        replaced(file, f"{TRACES}/data", np.zeros((60, n), "f4"))
        replaced(file, f"{TRACES}/rois", np.arange(n))
        for table in (CELLS, "units"):
            for name in list(file[table]):
                if name not in ("imaging_plane", "spike_times", "spike_times_index"):
                    del file[f"{table}/{name}"]
            file[f"{table}/id"] = np.arange(n)
            add_column(file[table], "brain_region", [f"area {number} of nowhere" for number in range(n)])
        replaced(file, "units/spike_times", np.arange(n) / 100)
        replaced(file, "units/spike_times_index", np.arange(1, n + 1))
    found = open_issues(path)
    assert 5 <= sum(each.code == "unclear-region" for each in found) <= 15
    assert len(found) < 40
