"""The command line on real data, as a study or file by file."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import pynwb

from nwbswitch.__main__ import main

IMAGING = {
    "indicator": "GCaMP6s",
    "excitation_lambda_nm": 920,
    "emission_lambda_nm": 510,
    "region": "unknown",
}
SUBJECT = {"subject_id": "m", "species": "Mus musculus"}
IMAGING_FORMATS = {"tiff_movie", "scanimage", "suite2p"}
BPOD = "ibl_bpod_wheel"
RAW = "raw_behavior_data/_iblrig"
QC = "ibllib/tests/fixtures/qc"
OPENFIELD = "m3v1mp4DLC_resnet50_openfieldAug20shuffle1_30000"
TASK = "_iblrig_taskData.raw.jsonable"
TRIALS = "brainbox/tests/fixtures/trials_df_test.csv"
Streams = dict[str, dict[str, Any]]


def run(*arguments: object) -> tuple[int, str]:
    """Return the exit status and everything that a command prints."""
    shown = io.StringIO()
    command = ["nwbswitch", *map(str, arguments)]
    with patch.object(sys, "argv", command), redirect_stdout(shown), redirect_stderr(shown):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), shown.getvalue()
    raise AssertionError("the command line exits with a status")


def write_study(folder: Path, root: Path, streams: Streams, **values: Any) -> Path:
    """Write a study of one session over the files below ``root``; JSON is YAML."""
    defaults: dict[str, Any] = {"description": "A recording.", "streams": streams}
    if IMAGING_FORMATS & {each["format"] for each in streams.values()}:
        defaults["imaging"] = IMAGING
    study = {
        "study": {"name": "shared", "title": "Shared data"},
        "data_root": str(root),
        "timezone": "UTC",
        "placeholders": ["subject.age", "subject.sex", "start_time"],
        "defaults": defaults,
        "subjects": [SUBJECT],
        "sessions": [{"subject_id": "m", "session_id": "a"}],
        **values,
    }
    path = folder / "study.yaml"
    path.write_text(json.dumps(study, indent=1), encoding="utf-8")
    return path


def convert(folder: Path, root: Path, streams: Streams, **values: Any) -> tuple[int, str]:
    """Convert one session; return the exit status and what is printed."""
    return run("convert", write_study(folder, root, streams, **values), "-o", folder / "nwb")


def converted(folder: Path, root: Path, streams: Streams) -> h5py.File:
    """Convert one session and return its file, which is valid."""
    status, shown = convert(folder, root, streams)
    assert status == 0, shown
    (path,) = (folder / "nwb").rglob("*.nwb")
    assert pynwb.validate(path=path) == []
    return h5py.File(path)


def stored(file: h5py.File, name: str) -> Any:
    """Return all values of a dataset."""
    return file[name][()]


def encoder(name: str, **keys: Any) -> Streams:
    """Return a stream of encoder positions."""
    return {"wheel": {"format": "bpod_encoder", "path": name, **keys}}


def sleap(name: str, **keys: Any) -> Streams:
    """Return a stream of SLEAP poses."""
    return {"pose": {"format": "sleap", "path": name, **keys}}


def array(name: str, signal: dict[str, Any], **keys: Any) -> Streams:
    """Return a stream of one signal in an array."""
    return {"wheel": {"format": "series", "path": f"{QC}/{name}", "signals": [signal], **keys}}


POSITION = {"name": "position", "channel": 1, "quantity": "position", "unit": "rad"}
GE5, LT5 = "wheel/ge5/_iblrig_encoder", "wheel/lt5/_iblrig_encoder"
TRAINING = "session_training_{}/raw_behavior_data/_iblrig_encoder{}.raw.ssv"
CLIP = {
    "camera": {"format": "video", "path": "tracks/clip.mp4"},
    "pose": {
        "format": "sleap",
        "path": "tracks/clip.predictions.slp",
        "track": "male",
        "timing_of": "camera",
    },
}
TREADMILL = {
    "movie": {"format": "tiff_movie", "path": "movie.tif", "rate_hz": 7},
    "cells": {"format": "suite2p", "path": "suite2p"},
    "treadmill": {
        "format": "wheel_csv",
        "path": "covariates.csv",
        "timing_of": "movie",
        "signals": [{"column": "runningSpeed", "unit": "n/a"}],
    },
}
VOLUMES = {"format": "tiff_movie", "path": "images/time*.tif", "rate_hz": 1, "parts": "continuous"}


def medpc(name: str = "data", **keys: Any) -> Streams:
    """Return a stream of a MED-PC file."""
    return {"task": {"format": "medpc", "path": name, "events": {"G": "pellet_entry"}, **keys}}
