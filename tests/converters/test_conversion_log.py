"""Logs of sessions: what was read and written, warnings of every kind, and tracebacks."""

from __future__ import annotations

import logging
import re
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from small_study import small_session, study_of

from nwbswitch.converters import conversion_job
from nwbswitch.converters.conversion_log import session_log
from nwbswitch.converters.convert import convert

LOG = ".nwbswitch/logs/sub-m1_ses-day1.log"


def test_a_log_tells_what_was_read_and_written(raw: Path, tmp_path: Path) -> None:
    result = convert(study_of(small_session(raw)), tmp_path / "out")
    assert result.sessions[0].log == tmp_path / "out" / LOG
    text = (tmp_path / "out" / LOG).read_text()
    assert f"stream movie (tiff_movie): {raw / 'movie.tif'}" in text
    assert re.search(r"input traces/plane0/F\.npy, 3\.73 kB, SHA-256 [0-9a-f]{64}", text)
    assert re.search(r"wrote sub-m1_ses-day1_behavior\+ophys\.nwb, .*read back and found equal", text)
    assert re.search(r"done in \d+\.\d s, 0 warnings", text)
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in text.splitlines())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_is_told_with_its_traceback_and_the_next_run_adds_to_it(
    raw: Path, tmp_path: Path, workers: int
) -> None:
    study = study_of(small_session(raw), small_session(raw, session_id="day2"))
    whole = (raw / "movie.tif").read_bytes()
    (raw / "movie.tif").write_bytes(whole[:500])
    failed = convert(study, tmp_path / "out", workers=workers)
    assert failed.sessions[0].log == tmp_path / "out" / LOG
    (raw / "movie.tif").write_bytes(whole)
    convert(study, tmp_path / "out", workers=workers)
    text = (tmp_path / "out" / LOG).read_text()
    assert (
        text.index("Traceback (most recent call last)") < text.index("InputFileError") < text.index("wrote ")
    )
    assert text.count("converts m1/day1") == 2


def test_warnings_go_to_the_log_and_are_counted(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    written = conversion_job._nwbfile

    def warn(*arguments: object) -> object:
        for _ in range(3):
            warnings.warn("odd numbers", UserWarning, stacklevel=1)
        logging.getLogger("somebody").warning("odd %s", "letters")
        logging.getLogger("somebody").info("nothing")
        return written(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(conversion_job, "_nwbfile", warn)
    result = convert(study_of(small_session(raw)), tmp_path / "out")
    assert result.sessions[0].n_warnings == 2
    assert f"1 gave warnings: see {tmp_path / 'out/.nwbswitch/logs'}" in result.summary()
    text = (tmp_path / "out" / LOG).read_text()
    assert text.count("WARNING UserWarning: odd numbers (") == 1
    assert "WARNING WARNING of somebody: odd letters" in text
    assert "nothing" not in text
    planned = convert(study_of(small_session(raw)), tmp_path / "new", dry_run=True)
    assert "    warning: UserWarning: odd numbers (" in planned.summary()
    assert not [each for each in recwarn if "odd numbers" in str(each.message)]


def test_each_thread_warns_into_its_own_log(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def work(number: int) -> list[str]:
        with session_log(tmp_path / f"{number}.log") as log:
            together.wait()
            warnings.warn(f"of {number}", UserWarning, stacklevel=1)
            together.wait()
            return log.warnings

    shown = warnings.showwarning
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    assert [len(each) for each in found] == [1] * 4
    assert all(f"UserWarning: of {number} (" in each[0] for number, each in enumerate(found))
    assert warnings.showwarning is shown
    assert not [each for each in logging.getLogger().handlers if type(each).__name__ == "_Router"]


def test_a_log_that_cannot_be_written_does_not_end_the_work(tmp_path: Path) -> None:
    class Full:
        def write(self, content: bytes) -> int:
            raise OSError(28, "No space left on device")

    from nwbswitch.converters.conversion_log import SessionLog

    log = SessionLog(Full())  # type: ignore[arg-type]
    log.warn("one")
    assert log.warnings == ["one"]
