"""Time reading the windows of far recordings beside pynwb and h5py over remfile, and compare the numbers.

Run: ``python benchmarks/remote_vs_pynwb.py [--sessions 40] [--layouts nwbswitch pynwb ...]``. Needs the
package remfile, neuroconv for its layout, and 70 to 105 MB of disk for each of the different files.

Every session has 300 neurons, 36,000 frames of fluorescence and neuropil, ROI masks, a drug log, two windows
of 10 minutes, and what else labs record (running, pupil, pose, trials, images). A server in a process
of its own answers after 50 ms. All ways read the drug log and the windows from the file, and then
the traces of the profile in both windows. Times are those of all sessions divided by their number, without
imports; those with remfile one by one are taken from the first sessions. What the windows need are the stored
chunks that they touch, or their frames in arrays without chunks.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pynwb
import urllib3

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from range_server import ServedFolder, served_folder
from recording_files import LAYOUTS, make_nwbfile, make_traces, write_recording

from nwbswitch.analysis.access.byte_cache import CacheSettings
from nwbswitch.analysis.access.stored_array import StoredArray
from nwbswitch.analysis.access.stored_dataset import stored_array
from nwbswitch.analysis.reading.recording import open_recording
from nwbswitch.analysis.sources import Source

N_FRAMES, N_ROIS, MINUTES, GAP_S = 36_000, 300, 10.0, 60.0
FLUORESCENCE = "processing/ophys/Fluorescence"
LATENCY_S = 0.05
PROCESSES = 8

Arrays = list[np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True)
class Session:
    """One file on the server."""

    name: str
    url: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Profile:
    """How much of a session the windows need."""

    rate_hz: float
    series: tuple[str, ...]

    def frames(self, start_s: float, stop_s: float) -> slice:
        """Return the frames of a window."""
        return slice(math.ceil(start_s * self.rate_hz - 1e-6), math.ceil(stop_s * self.rate_hz - 1e-6))


PROFILES = {
    "light": Profile(10.0, ("RoiResponseSeries",)),
    "heavy": Profile(20.0, ("RoiResponseSeries", "Neuropil")),
}
"""An hour at 10 Hz of which fluorescence is read, and half an hour at 20 Hz with neuropil: 14 and 58 MB."""


def by_pynwb(session: Session, *, profile: Profile) -> Arrays:
    """Read with pynwb over remfile."""
    import remfile

    with (
        h5py.File(remfile.File(session.url), "r") as file,
        pynwb.NWBHDF5IO(file=file, mode="r", load_namespaces=True) as io,
    ):
        nwb = io.read()
        assert nwb.events["drug_administrations"].to_dataframe()["substance"][0] == "ketamine"
        epochs = nwb.intervals["analysis_epochs"].to_dataframe()
        windows = [profile.frames(*span) for span in epochs[["start_time", "stop_time"]].to_numpy()]
        fluorescence = nwb.processing["ophys"]["Fluorescence"]
        return [fluorescence[name].data[window] for name in profile.series for window in windows]


def by_h5py(session: Session, *, profile: Profile) -> Arrays:
    """Read with h5py over remfile, where everything is known to be."""
    import remfile

    with h5py.File(remfile.File(session.url), "r") as file:
        assert file["events/drug_administrations/substance"][0] == b"ketamine"
        epochs = file["intervals/analysis_epochs"]
        starts, stops = epochs["start_time"][()], epochs["stop_time"][()]
        windows = [profile.frames(*span) for span in zip(starts, stops, strict=True)]
        return [file[f"{FLUORESCENCE}/{name}/data"][window] for name in profile.series for window in windows]


def by_us(session: Session, *, profile: Profile, cache: CacheSettings | None) -> Arrays:
    """Read as `nwbswitch measure` does."""
    source = Source(session.name, url=session.url, digest=f"version:{session.etag}", size=session.size)
    with open_recording(source, cache=cache.open() if cache else None) as recording:
        [plane] = recording.outline.planes
        assert recording.outline.administrations[0].substance == "ketamine"
        assert plane.neuropil is not None
        traces = (plane.traces, plane.neuropil)[: len(profile.series)]
        windows = [profile.frames(window.start_s, window.stop_s) for window in recording.outline.windows]
        parts = [(trace.array, (window, slice(0, N_ROIS))) for trace in traces for window in windows]
        return recording.arrays.read_many(parts)


def outlined(session: Session, *, cache: CacheSettings) -> None:
    """Keep the outline of a session, and none of its samples."""
    source = Source(session.name, url=session.url, digest=f"version:{session.etag}", size=session.size)
    with open_recording(source, cache=cache.open()):
        pass


def checksums(read: Callable[[Session], Arrays], session: Session) -> list[tuple[Any, ...]]:
    """Return shape, type and checksum of what a way reads."""
    return [(each.shape, each.dtype.str, zlib.crc32(np.ascontiguousarray(each))) for each in read(session)]


def drop(read: Callable[[Session], Arrays], session: Session) -> None:
    """Read, and send nothing back."""
    read(session)


def make_files(folder: Path, layout: str, n_different: int, profile: Profile) -> list[Path]:
    """Write recordings that differ in their samples."""
    paths = []
    for seed in range(n_different):
        traces = make_traces(N_FRAMES, N_ROIS, seed=seed)
        nwbfile = make_nwbfile(
            traces, rate_hz=profile.rate_hz, minutes=MINUTES, gap_s=GAP_S, session=f"s{seed}", is_rich=True
        )
        paths.append(write_recording(folder / f"{layout}-{seed}.nwb", nwbfile, layout))
    return paths


def needed_bytes(path: Path, profile: Profile) -> int:
    """Return the stored bytes of what the windows touch."""
    middle_s, span_s = N_FRAMES / profile.rate_hz / 2, 60 * MINUTES
    windows = [profile.frames(middle_s - GAP_S - span_s, middle_s - GAP_S)]
    windows.append(profile.frames(middle_s + GAP_S, middle_s + GAP_S + span_s))
    with h5py.File(path) as file:
        arrays = [stored_array(file[f"{FLUORESCENCE}/{name}/data"]) for name in profile.series]
    return sum(_touched_bytes(array, windows) for array in arrays)


def _touched_bytes(array: StoredArray, windows: Sequence[slice]) -> int:
    if array.chunk_shape == array.shape and not array.filters:
        row = array.shape[1] * np.dtype(array.dtype).itemsize
        return sum(window.stop - window.start for window in windows) * row
    length = array.chunk_shape[0]
    rows = {row for each in windows for row in range(each.start // length, -(-each.stop // length))}
    return int(array.sizes.reshape(array.grid)[sorted(rows)].sum())


def served_sessions(folder: Path, served: ServedFolder, paths: Sequence[Path], number: int) -> list[Session]:
    """Return as many sessions as wanted, with size and ETag, which an archive states of its assets."""
    sessions = []
    for place in range(number):
        path = paths[place % len(paths)]
        url = f"{served.file(path.name)}?session={place}"
        etag = urllib3.request("HEAD", url).headers["ETag"].strip('"')
        sessions.append(Session(f"s{place}", url, path.stat().st_size, etag))
    return sessions


def timed(
    read: Callable[[Session], Arrays], sessions: Sequence[Session], served: ServedFolder, processes: int
) -> tuple[float, float, float]:
    """Return ms, requests and MB per session."""
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        pool.map(_nothing, range(processes), chunksize=1)
        served.counts()
        began = time.perf_counter()
        for _ in pool.imap_unordered(partial(drop, read), sessions):
            pass
        took_s = time.perf_counter() - began
    requests, n_bytes = served.counts()
    n = len(sessions)
    return 1000 * took_s / n, requests / n, n_bytes / n / 1e6


def _nothing(_: int) -> None:
    time.sleep(0.01)


def compare(layout: str, options: argparse.Namespace, folder: Path) -> None:
    """Run all ways on one layout and print their rows."""
    profile = PROFILES[options.profile]
    paths = make_files(folder, layout, options.different, profile)
    needed_mb = needed_bytes(paths[0], profile) / 1e6
    pynwb_, h5py_, ours = (partial(each, profile=profile) for each in (by_pynwb, by_h5py, by_us))
    fresh = [CacheSettings(folder / f"cache-{number}") for number in range(4)]
    with served_folder(folder, latency_s=LATENCY_S) as served:
        sessions = served_sessions(folder, served, paths, options.sessions)
        few = sessions[: options.few]
        for cache in fresh[2:]:
            for session in sessions:
                outlined(session, cache=cache)
        expected = checksums(pynwb_, few[0])
        for read in (h5py_, partial(ours, cache=None), partial(ours, cache=CacheSettings(folder / "c"))):
            for _ in range(2):
                if checksums(read, few[0]) != expected:
                    raise SystemExit(f"{layout}: {read} reads other numbers than pynwb.")
        base_ms = math.nan
        for label, read, listed, processes in (
            ("pynwb, remfile", pynwb_, few, 1),
            ("pynwb, remfile", pynwb_, sessions, PROCESSES),
            ("h5py, remfile", h5py_, few, 1),
            ("nwbswitch, first time", partial(ours, cache=fresh[0]), sessions, 1),
            ("nwbswitch, first time", partial(ours, cache=fresh[1]), sessions, PROCESSES),
            ("nwbswitch, outlines kept", partial(ours, cache=fresh[2]), sessions, 1),
            ("nwbswitch, outlines kept", partial(ours, cache=fresh[3]), sessions, PROCESSES),
            ("nwbswitch, all kept", partial(ours, cache=fresh[3]), sessions, PROCESSES),
        ):
            ms, requests, mb = timed(read, listed, served, processes)
            base_ms = ms if math.isnan(base_ms) else base_ms
            print(
                f"| {layout} | {label} | {processes} | {ms:.0f} | {base_ms / ms:.1f} | {requests:.1f} "
                f"| {mb:.1f} | {mb / needed_mb:.2f} |",
                flush=True,
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all layouts and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--few", type=int, default=10, help="sessions for remfile one by one")
    parser.add_argument("--different", type=int, default=8, help="different files behind them")
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--profile", choices=list(PROFILES), default="light")
    options = parser.parse_args(arguments)
    print("| layout | by | processes | ms | times faster | requests | MB | bytes / needed |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for layout in options.layouts:
        with tempfile.TemporaryDirectory() as name:
            compare(layout, options, Path(name))


if __name__ == "__main__":
    main()
