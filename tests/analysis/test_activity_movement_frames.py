"""Frames left out for movement: found series of speed, still frames, matched windows."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbswitch.analysis.activity.movement_frames import (
    PAD_S,
    STRATA_CM_PER_S,
    left_out_for_movement,
    without_spans,
)
from nwbswitch.analysis.measure import measure
from nwbswitch.analysis.reading.movement import cm_per_s
from nwbswitch.analysis.reading.outline import SpoiltSpans, WindowSpan
from nwbswitch.analysis.reading.recording import open_recording
from nwbswitch.schemas.epochs import Window
from nwbswitch.schemas.errors import IssuesError

RATE_HZ = 10.0
BASELINE, DRUG = WindowSpan(Window.BASELINE, 60.0, 120.0), WindowSpan(Window.DRUG, 180.0, 240.0)


@pytest.fixture
def path(tmp_path: Path, nwb_files) -> Path:
    traces = {"F": nwb_files.make_traces()}
    return nwb_files.write_nwb(tmp_path / "a.nwb", traces)


def add_speed(
    path: Path, speed: np.ndarray, *, name: str = "running_speed", unit: str = "cm/s", **fields
) -> None:
    with h5py.File(path, "r+") as nwb:
        module = nwb.require_group("processing/behavior")
        module.attrs.update(neurodata_type="ProcessingModule", namespace="core", description="b")
        holder = module.require_group("BehavioralTimeSeries")
        holder.attrs.update(neurodata_type="BehavioralTimeSeries", namespace="core")
        series = holder.create_group(name)
        series.attrs.update(
            neurodata_type="TimeSeries", namespace="core", description=fields.get("prose", "")
        )
        data = series.create_dataset("data", data=speed)
        data.attrs.update(unit=unit, conversion=fields.get("conversion", 1.0))
        start = series.create_dataset("starting_time", data=0.0)
        start.attrs.update(rate=RATE_HZ, unit="seconds")


def spans(path: Path, frames: str, *windows: WindowSpan) -> SpoiltSpans:
    with open_recording(path) as recording:
        movement = recording.movement()
        assert movement is not None
        return left_out_for_movement(movement, windows, recording.arrays, frames=frames, session="s")


def moving(*parts: tuple[float, float], speed: float = 5.0, seconds: float = 260.0) -> np.ndarray:
    times = np.arange(0, seconds, 1 / RATE_HZ)
    return sum(speed * ((times >= start) & (times < stop)) for start, stop in parts) + np.zeros(times.size)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("cm/s", 1.0), ("m/s", 100.0), ("mm/s", 0.1), ("meters/second", 100.0),
        ("centimeters per second", 1.0),
        ("m s^-1", 100.0), ("cm/sec", 1.0), ("a.u.", None), ("degrees/s", None), ("", None), ("m", None),
        ("cm", None), ("V", None),
    ],
)  # fmt: skip
def test_units_of_speed(unit: str, expected: float | None) -> None:
    assert cm_per_s(unit) == expected


def test_the_speed_is_found_by_its_words_and_unit(path: Path) -> None:
    add_speed(path, moving(), name="whisker_speed")
    add_speed(path, moving(), name="wheel_position", unit="cm")
    with open_recording(path) as recording:
        assert recording.movement() is None
    add_speed(path, moving((0, 10)), name="speed", unit="m/s", conversion=0.5, prose="of the treadmill")
    with open_recording(path) as recording:
        movement = recording.movement()
    assert movement is not None
    assert movement.cm_per_s_per_unit == 50.0
    assert movement.object_path.startswith("/processing/behavior/BehavioralTimeSeries/speed")


def test_still_frames_leave_out_movement_and_what_is_near_it(path: Path) -> None:
    add_speed(path, moving((80, 82), (200, 201)))
    found = spans(path, "still", BASELINE, DRUG)
    assert found.start_s == pytest.approx([80 - PAD_S, 200 - PAD_S])
    assert found.stop_s == pytest.approx([82 + PAD_S, 201 + PAD_S])


def test_slow_shifts_are_still_and_backward_running_is_not(path: Path) -> None:
    add_speed(path, moving((70, 75), speed=0.5) + moving((90, 91), speed=-3.0))
    found = spans(path, "still", BASELINE)
    assert found.start_s == pytest.approx([90 - PAD_S])


def test_time_without_a_speed_is_left_out(path: Path) -> None:
    add_speed(path, moving(seconds=230))
    (start,), (stop,) = (
        getattr(spans(path, "still", BASELINE, DRUG), each) for each in ("start_s", "stop_s")
    )
    assert (start, stop) == pytest.approx((230 - PAD_S, 240 + PAD_S))


def test_matched_windows_have_one_distribution_of_speed(path: Path) -> None:
    rng = np.random.default_rng(0)
    speed = np.repeat(rng.choice([0.0, 1.5, 3.0, 6.0], 260), int(RATE_HZ))
    speed[: int(150 * RATE_HZ)] *= 2.5
    add_speed(path, speed)
    found = spans(path, "matched", BASELINE, DRUG)
    kept = []
    for window in (BASELINE, DRUG):
        bins = np.arange(window.start_s, window.stop_s)
        gone = np.zeros(bins.size, dtype=bool)
        for start, stop in zip(found.start_s, found.stop_s, strict=True):
            gone |= (bins + 0.5 > start) & (bins + 0.5 < stop)
        own = np.abs(speed[(bins * RATE_HZ).astype(int)])[~gone]
        kept.append(np.bincount(np.searchsorted(STRATA_CM_PER_S, own, side="right"), minlength=6))
    assert kept[0].tolist() == kept[1].tolist()
    assert 20 < kept[0].sum() < 60
    assert spans(path, "matched", BASELINE, DRUG) == found


def test_windows_that_are_alike_lose_nothing(path: Path) -> None:
    add_speed(path, moving((60, 90), (180, 210)))
    assert spans(path, "matched", BASELINE, DRUG).start_s == ()


def test_measuring_still_frames_takes_exposure_and_events_away(path: Path) -> None:
    add_speed(path, moving((180, 200)))
    everything = measure(path, block_s=10.0).cells
    still = measure(path, block_s=10.0, frames="still").cells
    drug = [each[each["window"] == "drug"] for each in (everything, still)]
    assert drug[0]["start_s"].min() == pytest.approx(180.0)
    assert drug[1]["start_s"].min() == pytest.approx(200.0)
    first = drug[1][drug[1]["start_s"] < 205]
    assert first["exposure_s"].to_numpy() == pytest.approx(10 - PAD_S, abs=0.21)
    baseline = [each[each["window"] == "baseline"].reset_index(drop=True) for each in (everything, still)]
    assert baseline[0]["exposure_s"].tolist() == baseline[1]["exposure_s"].tolist()


def test_a_file_without_speed_is_refused(path: Path) -> None:
    with pytest.raises(IssuesError, match="holds no series of speed"):
        measure(path, frames="still")
    with pytest.raises(ValueError, match="frames must be all or still or matched"):
        measure(path, frames="quiet")


def test_spans_are_taken_out_of_what_was_observed() -> None:
    spoilt = SpoiltSpans((0.0, 10.0, 18.0), (2.0, 12.0, 30.0), "/x")
    assert without_spans((1.0, 15.0), (11.0, 20.0), spoilt) == ((2.0, 15.0), (10.0, 18.0))
    assert without_spans((19.0,), (20.0,), spoilt) == ((), ())
