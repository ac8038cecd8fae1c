"""A full disk, Ctrl-C and too little memory: each in a process of its own."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits and signals are those of POSIX")

PRELUDE = """
import os, resource, signal, sys, threading, time
from datetime import UTC, datetime
from pathlib import Path
import h5py
import numpy as np
from hdmf.data_utils import GenericDataChunkIterator
from pynwb import NWBFile, TimeSeries
from nwbswitch.converters.writing.growth import append_nwb
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.files import replaced

noise = np.random.default_rng(0).integers(-3000, 3000, (64, 256, 256)).astype(np.int16)

class Movie(GenericDataChunkIterator):
    def __init__(self, n_frames, pause_s=0.0):
        self.n_frames, self.pause_s = n_frames, pause_s
        super().__init__(chunk_shape=(8, 256, 256), buffer_shape=(min(64, n_frames), 256, 256))
    def _get_data(self, selection):
        time.sleep(self.pause_s)
        return noise[np.arange(selection[0].start, selection[0].stop) % len(noise)]
    def _get_maxshape(self):
        return (self.n_frames, 256, 256)
    def _get_dtype(self):
        return noise.dtype

def session(*args):
    began = datetime(2024, 5, 1, tzinfo=UTC)
    nwbfile = NWBFile(session_description="s", identifier="i", session_start_time=began)
    nwbfile.add_acquisition(TimeSeries(name="movie", data=Movie(*args), unit="n.a.", rate=30.0))
    return nwbfile

def leftovers():
    threads = [each.name for each in threading.enumerate() if each is not threading.main_thread()]
    descriptors = Path("/proc/self/fd")
    links = [os.path.realpath(each) for each in descriptors.iterdir()] if descriptors.is_dir() else []
    return threads, [each for each in links if each.endswith(".nwb")]

folder = Path(sys.argv[1])
"""


def run(code: str, folder: Path, *arguments: object, timeout_s: float = 120) -> str:
    command = [sys.executable, "-c", PRELUDE + code, str(folder), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("limit", ["20_000", "size // 50", "size // 2", "size - 3000", "size - 1"])
def test_a_full_disk_is_an_oserror_that_leaves_nothing(tmp_path, limit):
    """In the skeleton, at the first chunk, in the middle, and so late that closing may be what fails."""
    code = """
write_nwb(session(160), folder / "a.nwb")
size = (folder / "a.nwb").stat().st_size
(folder / "a.nwb").unlink()
resource.setrlimit(resource.RLIMIT_FSIZE, (eval(sys.argv[2]), resource.RLIM_INFINITY))
try:
    with replaced(folder / "a.nwb") as partial:
        write_nwb(session(160), partial)
except OSError as error:
    print(type(error).__name__, error.errno, "partial" in error.filename)
print(leftovers(), list(folder.iterdir()))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write_nwb(session(16), folder / "b.nwb")
print("goes on")
"""
    assert run(code, tmp_path, limit).splitlines() == [
        f"OSError {errno.EFBIG} True",
        "([], []) []",
        "goes on",
    ]


@pytest.mark.parametrize("limit", ["size", "size + 3_000_000"])
def test_a_full_disk_while_appending_is_undone(tmp_path, limit):
    code = """
write_nwb(session(40), folder / "a.nwb")
before = (folder / "a.nwb").read_bytes()
resource.setrlimit(resource.RLIMIT_FSIZE, (eval(sys.argv[2], {"size": len(before)}), resource.RLIM_INFINITY))
try:
    append_nwb(folder / "a.nwb", {"/acquisition/movie/data": Movie(160)})
except OSError as error:
    print(error.errno, error.filename == str(folder / "a.nwb"))
print(leftovers(), (folder / "a.nwb").read_bytes() == before)
"""
    assert run(code, tmp_path, limit).splitlines() == [f"{errno.EFBIG} True", "([], []) True"]


@pytest.mark.parametrize("pause_s", [0.0, 0.2])
@pytest.mark.parametrize("after_s", [0.05, 0.7])
def test_ctrl_c_ends_everything_at_once(tmp_path, pause_s, after_s):
    code = """
class Started(Movie):
    def _get_data(self, selection):
        if selection[0].start == 0:
            print("started", flush=True)
        return super()._get_data(selection)
Movie = Started
try:
    with replaced(folder / "a.nwb") as partial:
        write_nwb(session(10**7, float(sys.argv[2])), partial)
except KeyboardInterrupt:
    print(leftovers(), list(folder.iterdir()))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, str(tmp_path), str(pause_s)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(after_s)
        os.kill(process.pid, signal.SIGINT)
        begun = time.monotonic()
        out, _ = process.communicate(timeout=60)
        assert time.monotonic() - begun < 5
    finally:
        process.kill()
    assert out.strip() == "([], []) []"
    assert process.returncode == 0


def test_ctrl_c_while_appending_is_undone(tmp_path):
    code = """
write_nwb(session(40), folder / "a.nwb")
before = (folder / "a.nwb").read_bytes()
class Interrupted(Movie):
    def _get_data(self, selection):
        if selection[0].start >= 640:
            os.kill(os.getpid(), signal.SIGINT)
        return super()._get_data(selection)
try:
    append_nwb(folder / "a.nwb", {"/acquisition/movie/data": Interrupted(10**7)})
except KeyboardInterrupt:
    print(leftovers(), (folder / "a.nwb").read_bytes() == before)
"""
    assert run(code, tmp_path, timeout_s=30).splitlines() == ["([], []) True"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is that of Linux")
def test_memory_does_not_grow_with_the_recording(tmp_path):
    code = """
write_nwb(session(int(sys.argv[2])), folder / "a.nwb", threads=4)
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
"""
    peaks_mb = [int(run(code, tmp_path, n_frames)) for n_frames in (1200, 3600)]
    assert peaks_mb[1] < 500
    assert peaks_mb[1] - peaks_mb[0] < 60
