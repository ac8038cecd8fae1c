"""Records say how an output was made, and nothing about who made it."""

from __future__ import annotations

import getpass
import json
import socket
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbswitch.schemas.provenance import record, same_work
from nwbswitch.schemas.version import __version__


class Method(StrEnum):
    REML = "reml"


def made(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "command": "measure",
        "parameters": {"block_s": 30.0, "paths": [Path("a/b")], "method": Method.REML, "none": None},
        "inputs": {"a.nwb": "12ab"},
        "seed": 7,
    }
    return record(**{**given, **changes})


def test_a_record_states_versions_time_and_work() -> None:
    found = made()
    assert found["command"] == "measure"
    assert found["nwbswitch"] == __version__
    assert found["libraries"]["numpy"] == np.__version__
    assert found["parameters"] == {"block_s": 30.0, "paths": ["a/b"], "method": "reml", "none": None}
    moment = datetime.fromisoformat(found["time"])
    assert moment.utcoffset() == UTC.utcoffset(None)
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60


def test_a_record_survives_json() -> None:
    found = made(
        parameters={"x": np.float64(1.5), "y": (1, 2), "z": {3, 1}, "nan": float("nan"), "b": np.True_}
    )
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again == found
    assert same_work(again, found)


def test_neither_home_nor_user_nor_host_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    home = Path.home()
    found = made(
        parameters={
            "out": home / "study",
            "text": f"--out={home}/x",
            "root": str(home),
            "other": f"{home}2/x",
        },
        inputs={f"{home}/raw/a.tif": "00"},
    )
    text = json.dumps(found)
    assert "/home/somebody/" not in text
    assert found["parameters"]["out"] == "~/study"
    assert found["parameters"]["text"] == "--out=~/x"
    assert found["parameters"]["root"] == "~"
    assert found["parameters"]["other"] == "/home/somebody2/x"
    assert list(found["inputs"]) == ["~/raw/a.tif"]
    assert socket.gethostname() not in json.dumps(made()["libraries"])
    assert set(found) == {
        "command", "parameters", "inputs", "seed", "nwbswitch", "python", "libraries", "time",
    }  # fmt: skip
    assert not {"user", "host", getpass.getuser()} & set(found)


def test_same_work_ignores_time_and_libraries_only() -> None:
    base = made()
    later = {**made(), "time": "2030-01-01T00:00:00+00:00", "python": "3.99", "libraries": {}}
    assert same_work(base, later)
    assert same_work(base, made(parameters=dict(reversed(base["parameters"].items()))))


@pytest.mark.parametrize(
    "changes",
    [
        {"command": "switch"},
        {"parameters": {"block_s": 31.0}},
        {"inputs": {"a.nwb": "12ac"}},
        {"inputs": {"a.nwb": "12ab", "b.nwb": "00"}},
        {"seed": 8},
        {"seed": None},
    ],
)
def test_other_work_is_told_apart(changes: dict[str, Any]) -> None:
    assert not same_work(made(), made(**changes))


def test_another_version_or_a_damaged_record_is_other_work() -> None:
    base = made()
    assert not same_work(base, {**base, "nwbswitch": "0.0.0"})
    assert not same_work(base, {})
    assert not same_work({}, {})
