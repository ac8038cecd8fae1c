"""Clocks of a study file: what belongs together is asked for, what does not is refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nwbswitch.schemas.study_clocks import Clock, FrameTimes, PulseSource

TIMES = {"path": "ttl.csv", "column": "s"}
RAW = {"path": "RAW.BIN", "dtype": "int16", "n_channels": 9, "channel": 8}
LEVELS = {"path": "daq.h5", "dataset": "ttl", "kind": "levels", "rate_hz": 1e4, "threshold": 2.5}

BOTH = {"pulses": TIMES, "reference": LEVELS}


@pytest.mark.parametrize(
    "given",
    [
        TIMES,
        {**TIMES, "scale": 0.001, "min_interval_s": 0.01},
        {"path": "ttl.txt", "column": "s"},
        {"path": "t.npy"},
        {"path": "t.mat", "variable": "t", "kind": "samples", "rate_hz": 3e4, "first_sample": 1},
        LEVELS,
        {**LEVELS, "hysteresis": 1, "edge": "falling", "channel": 3},
        {**LEVELS, "threshold": None, "bit": 0},
        {**TIMES, "kind": "levels", "time_column": "t", "threshold": 0.5, "scale": 0.001},
        {**RAW, "kind": "levels", "rate_hz": 1, "bit": 6},
    ],
    ids=lambda given: str(given["path"]),
)
def test_sources_that_make_sense(given: dict[str, Any]) -> None:
    source = PulseSource.model_validate(given)
    assert source.path == Path(given["path"])
    assert PulseSource.model_validate(source.model_dump()) == source


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"path": "t.csv"}, "a .csv file needs column"),
        ({"path": "t.h5"}, "a .h5 file needs dataset"),
        ({"path": "t.mat"}, "a .mat file needs variable"),
        ({"path": "t.bin", "kind": "levels"}, "a .bin file needs dtype"),
        ({"path": "t.bin", "dtype": "int16", "n_channels": 2}, "needs channel"),
        ({"path": "t.npy", "column": "s"}, "column does not go with a .npy file, which needs none"),
        ({"path": "t.h5", "column": "s"}, "column does not go with a .h5 file, which needs dataset"),
        ({"path": "t.xyz"}, "not .xyz"),
        ({"path": "t"}, "a file without suffix"),
        ({**TIMES, "channel": 1}, "channel does not go with a column"),
        ({"path": "t.bin", "dtype": "int16", "n_channels": 2, "channel": 2}, "channel 2 is not one of 2"),
        ({"path": "t.bin", "dtype": "int16", "n_channels": 2, "channel": 1}, "give kind: levels"),
        ({**TIMES, "rate_hz": 5}, "times need no rate_hz"),
        ({**TIMES, "threshold": 5}, "threshold goes with kind: levels"),
        ({**TIMES, "bit": 5}, "bit goes with kind: levels"),
        ({**TIMES, "edge": "falling"}, "edge go with kind: levels"),
        ({**TIMES, "time_column": "t"}, "time_column goes with kind: levels"),
        ({**TIMES, "first_sample": 1}, "first_sample goes with kind: samples"),
        ({**TIMES, "kind": "samples"}, "sample numbers need rate_hz"),
        ({**TIMES, "kind": "samples", "rate_hz": 5, "scale": 2}, "not scale"),
        ({**LEVELS, "threshold": None}, "need a threshold, or the bit"),
        ({**LEVELS, "bit": 3}, "need a threshold, or the bit"),
        ({**LEVELS, "threshold": None, "bit": 3, "hysteresis": 1}, "not with a bit"),
        ({**LEVELS, "rate_hz": None}, "levels need rate_hz"),
        ({**LEVELS, "rate_hz": None, "time_column": "t"}, "time_column goes with a column"),
        ({**LEVELS, "scale": 2}, "scale goes with times"),
        ({**LEVELS, "rate_hz": 0}, "greater than 0"),
        ({**LEVELS, "dataset": ""}, "at least 1 character"),
        ({**LEVELS, "treshold": 1}, "Extra inputs"),
    ],
)  # fmt: skip
def test_sources_that_do_not(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PulseSource.model_validate(given)


def test_frame_times_are_a_source_and_more() -> None:
    frames = FrameTimes.model_validate({**LEVELS, "clock": "daq", "extra": "after", "pulses_per_frame": 3})
    assert (frames.clock, frames.start_index, frames.missing) == ("daq", 0, "refuse")
    for wrong in ({"extra": "both"}, {"max_missing": 0.9}, {"pulses_per_frame": 0}, {"missing": "guess"}):
        with pytest.raises(ValidationError):
            FrameTimes.model_validate({**LEVELS, **wrong})


def test_a_clock_is_stated_or_found() -> None:
    assert Clock().offset_s == 0
    assert Clock(offset_s=0.35).drift_ppm == 0
    found = Clock.model_validate({**BOTH, "reference_clock": "daq", "extra": "after"})
    assert found.max_residual_ms == 20


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"pulses": TIMES}, "give reference too"),
        ({"reference": TIMES}, "give pulses too"),
        ({**BOTH, "offset_s": 0}, "offset_s follow from the pulses"),
        ({**BOTH, "drift_ppm": 1, "offset_s": 1}, "drift_ppm and offset_s follow"),
        ({"extra": "after"}, "extra go with pulses"),
        ({"max_residual_ms": 3}, "max_residual_ms go with pulses"),
        ({"drift_ppm": 20_000}, "less than or equal to 10000"),
        ({"offset_s": float("inf")}, "finite"),
    ],
)
def test_clocks_that_contradict_themselves(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Clock.model_validate(given)


def test_every_key_says_what_it_is() -> None:
    for model in (PulseSource, FrameTimes, Clock):
        silent = [name for name, field in model.model_fields.items() if not field.description]
        assert silent in ([], ["path"])
