"""Real files that cannot be read as a study says: each is refused with a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared_runs import (
    BPOD,
    GE5,
    LT5,
    OPENFIELD,
    POSITION,
    TASK,
    TRAINING,
    VOLUMES,
    Streams,
    array,
    convert,
    encoder,
    medpc,
    sleap,
)

LEVERS = {"format": "trials", "start_column": "(D)PelHLON", "stop_column": "(E)PelHLOFF", "sheet": "57"}
EVENTS = "holds events of the state machine, not positions. Name the encoderPositions file."
REFUSED: dict[str, tuple[str, Streams, str, str]] = {
    "suite2p without a rate": (
        "suite2p_without_ops",
        {"cells": {"format": "suite2p", "path": "suite2p"}},
        "plane0",
        "neither times nor a rate. Give rate_hz",
    ),
    "two animals": (
        "sleap_mice",
        sleap("tracks/clip.slp", rate_hz=25),
        "clip.slp",
        "2 tracks: female, male. Name one",
    ),
    "animals without tracks": (
        "sleap_mice",
        sleap("slp_hdf5/minimal_instance.slp", rate_hz=25),
        "minimal_instance.slp",
        "two animals in frame 0 but no tracks. Track the animals",
    ),
    "labels": (
        "lightning_pose_running_mouse",
        {"pose": {"format": "lightning_pose", "path": "CollectedData.csv", "rate_hz": 250}},
        "CollectedData.csv",
        "labels of single frames, as a person sets them for training, not the points of every frame. Name",
    ),
    "pose in an NWB file": (
        "dlc_openfield",
        {"pose": {"format": "deeplabcut", "path": "*.nwb", "rate_hz": 30}},
        f"{OPENFIELD}.nwb",
        "no data frames; one is expected. Name the file",
    ),
    "encoder cut short": (
        BPOD,
        encoder(f"{LT5}Positions.raw.01.ssv"),
        "Positions.raw.01.ssv:15",
        "last line is cut short. Copy the file again",
    ),
    "training cut short": (
        BPOD,
        encoder(TRAINING.format("lt5", "Positions")),
        "Positions.raw.ssv:15",
        "last line is cut short. Copy the file again",
    ),
    "encoder with a broken line": (
        BPOD,
        encoder(f"{LT5}Positions.raw.00.ssv"),
        "Positions.raw.00.ssv:12",
        "no time and position of the encoder. The file is damaged",
    ),
    "encoder that was reset": (
        BPOD,
        encoder(f"{LT5}Positions.raw.2firstsamples.ssv"),
        "2firstsamples.ssv:3",
        "give skip_rows",
    ),
    "events of newer firmware": (BPOD, encoder(f"{GE5}Events.raw.ssv"), "Events.raw.ssv", EVENTS),
    "events": (BPOD, encoder(f"{LT5}Events.raw.00.ssv"), "Events.raw.00.ssv", EVENTS),
    "damaged events": (
        BPOD,
        encoder(f"{LT5}Events.raw.CorruptMiddle.ssv"),
        "CorruptMiddle.ssv",
        EVENTS,
    ),
    "events with a damaged time": (
        BPOD,
        encoder(f"{LT5}Events.raw.CorruptTimestamp.ssv"),
        "CorruptTimestamp.ssv",
        EVENTS,
    ),
    "trial info": (
        BPOD,
        encoder(TRAINING.format("ge5", "TrialInfo")),
        "encoderTrialInfo.raw.ssv:1",
        "or is not iblrig's encoderPositions file",
    ),
    "ambient sensor": (
        BPOD,
        {
            "task": {
                "format": "bpod",
                "path": "session_training_ge5/raw_behavior_data/_iblrig_ambientSensorData.raw.jsonable",
            }
        },
        "ambientSensorData.raw.jsonable:1",
        f"no trial of iblrig: KeyError 'behavior_data'. Name the file {TASK}",
    ),
    "channels of wheel.npy": (
        BPOD,
        array("wheel.npy", {**POSITION, "channel": None}, rate_hz=10),
        "wheel.npy",
        "shape (102, 2); one signal is wanted. Give channel",
    ),
    "times of wheel.npy": (
        BPOD,
        array("wheel.npy", POSITION, time_column="times"),
        "wheel.npy",
        "shape (102, 2); one signal is wanted. Give time_channel",
    ),
    "nine animals": (
        "medpc_med2excel",
        medpc(),
        "medpc_med2excel/data",
        "holds 9 recordings; 9 of them have what select states (nothing). Pick one by Subject: '56'",
    ),
    "array that is not there": (
        "medpc_med2excel",
        medpc(select={"Subject": "56"}, events={"AA": "x"}),
        "medpc_med2excel/data",
        "no array 'AA'",
    ),
    "workbook as MED-PC": (
        "medpc_med2excel",
        medpc("20200123.xlsx"),
        "20200123.xlsx",
        "no data file of MED-PC: there is no line 'Start Date:'. Name the text file",
    ),
    "workbook as trials": (
        "medpc_med2excel",
        {"task": {**LEVERS, "path": "20200123.xlsx"}},
        "20200123.xlsx:4 ((E)PelHLOFF)",
        "is not a number. Leave the row out, or give its time.",
    ),
    "workbook as signals": (
        "medpc_med2excel",
        {
            "task": {
                "format": "series",
                "path": "20200123.xlsx",
                "rate_hz": 1,
                "signals": [{"name": "x", "unit": "s"}],
            }
        },
        "20200123.xlsx",
        "Export it as CSV",
    ),
    "ScanImage as plain TIFF": (
        "thunder_tiffs",
        {"movie": {"format": "tiff_movie", "path": "multilayer_tif/test_signed.tif", "rate_hz": 1}},
        "test_signed.tif",
        "it is a ScanImage file. Use format: scanimage",
    ),
    "ScanImage without a whole volume": (
        "thunder_tiffs",
        {"movie": {"format": "scanimage", "path": "multilayer_tif/test_signed.tif"}},
        "test_signed.tif",
        "holds 2 pages, where a volume takes 4",
    ),
    "files of one movie": (
        "zebrafish_volumes",
        {"movie": {key: value for key, value in VOLUMES.items() if key != "parts"}},
        "study.yaml",
        "matches 20 files",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_a_remedy(shared: Path, tmp_path: Path, name: str) -> None:
    folder, streams, place, words = REFUSED[name]
    status, shown = convert(tmp_path, shared / "data" / folder, streams)
    assert status == 1
    (line,) = [
        each for each in shown.splitlines() if place in each and words in each and "FAILED" not in each
    ]
    assert line.index(place) < line.index(words)
    assert "Traceback" not in shown
    assert not list(tmp_path.rglob("*.nwb"))
