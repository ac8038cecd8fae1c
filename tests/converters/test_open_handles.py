"""Whoever opens a file closes it, without waiting for the garbage collector, also when something fails."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interface_cases import CASES
from pynwb import NWBFile

from nwbswitch.converters.convert import convert
from nwbswitch.converters.registry import READERS
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.epochs import Epoch
from nwbswitch.schemas.study import Session, Study
from nwbswitch.schemas.study_clocks import PulseSource

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is that of Linux")

Make = Callable[..., Session]
MakeStudy = Callable[..., Study]


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """What is left open stays open for all to see."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def held(folder: Path) -> list[str]:
    """Return the files below a folder that this process has open or mapped."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(each.readlink()))
        except FileNotFoundError:  # the handle that lists them
            continue
    found += [line.split(maxsplit=5)[-1] for line in Path("/proc/self/maps").read_text().splitlines()]
    return sorted(each for each in found if each.startswith(str(folder)))


@pytest.mark.parametrize("form", list(READERS))
def test_an_interface_that_is_closed_holds_nothing(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    source = CASES[form](folder)
    interface = READERS[form].load()(**source)
    nwbfile = NWBFile("of one stream", form, datetime(2024, 5, 1, 10, tzinfo=UTC))
    interface.add_to_nwbfile(nwbfile, interface.get_metadata())
    write_nwb(nwbfile, tmp_path / "one.nwb", threads=1)
    if hasattr(interface, "close"):
        interface.close()
    assert held(tmp_path) == []


def test_the_files_of_a_stream_are_open_while_it_is_read(raw: Path) -> None:
    interface = READERS["suite2p"].load()(folder_path=raw / "suite2p")
    assert {Path(each).name for each in held(raw)} == {"F.npy", "Fneu.npy", "spks.npy"}
    interface.close()
    assert held(raw) == []


def test_many_sessions_leave_no_more_open_than_one(
    tmp_path: Path, make_raw: Callable[..., None], session_of: Make, make_study: MakeStudy
) -> None:
    sessions = []
    for day in range(4):
        make_raw(tmp_path / f"raw{day}", seed=day)
        sessions.append(session_of(tmp_path / f"raw{day}", session_id=f"day{day}"))
    assert convert(make_study(sessions[0]), tmp_path / "nwb").ok
    after_one = list(Path("/proc/self/fd").iterdir())
    assert convert(make_study(*sessions), tmp_path / "dry", dry_run=True).ok
    assert held(tmp_path) == []
    assert convert(make_study(*sessions), tmp_path / "nwb").ok
    assert held(tmp_path) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == len(after_one)


@pytest.mark.parametrize("fault", ["a stream", "traces", "a window", "the disk"])
def test_sessions_that_fail_leave_nothing_open(
    raw: Path,
    tmp_path: Path,
    session_of: Make,
    make_study: MakeStudy,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    changed: dict[str, Any] = {}
    if fault == "a stream":
        (raw / "wheel.csv").write_text("time_s,speed\n0,1\n1,fast\n", encoding="utf-8")
    elif fault == "traces":
        np.save(raw / "F.npy", np.zeros((3, 7)))
        (raw / "suite2p/plane0/Fneu.npy").write_bytes((raw / "F.npy").read_bytes())
    elif fault == "a window":
        changed["epochs"] = (Epoch(window="baseline", start_s=0, stop_s=1000),)
    else:
        monkeypatch.setattr("nwbswitch.converters.conversion_job.write_record", _full)
    result = convert(make_study(session_of(raw, **changed)), tmp_path / "nwb")
    assert not result.ok
    assert held(tmp_path) == []


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_pulses_are_let_go_of(tmp_path: Path) -> None:
    from nwbswitch.converters.clocks.pulses import read_pulses
    from nwbswitch.schemas.errors import InputFileError

    line = np.tile([0.0, 5.0], 50)
    np.save(tmp_path / "line.npy", line)
    (tmp_path / "line.bin").write_bytes(line.tobytes())
    (tmp_path / "bad.bin").write_bytes(np.r_[line, np.nan].tobytes())
    raw = {"dtype": "float64", "n_channels": 1, "channel": 0}
    levels = {"kind": "levels", "rate_hz": 10.0, "threshold": 2.5}
    for name, keys in {"line.npy": {}, "line.bin": raw}.items():
        assert read_pulses(PulseSource(path=tmp_path / name, **levels, **keys)).times_s.size == 50
    with pytest.raises(InputFileError, match="no finite number"):
        read_pulses(PulseSource(path=tmp_path / "bad.bin", **levels, **raw))
    assert held(tmp_path) == []
