"""Time reading the windows of local recordings beside a bare h5py read of the same windows.

Run: ``python benchmarks/local_vs_h5py.py [--repeats 9] [--layouts nwbswitch pynwb ...]``. Needs neuroconv for
its layout, and 70 to 105 MB of disk for each layout.

The files are those of ``remote_vs_pynwb.py``; both read them from memory of the system. h5py opens the file
and slices fluorescence and neuropil where they are known to be, in two windows that are known; ours guards
the file, finds all that and reads the same, the first time and with the outline kept. Medians of ratios of
runs in turn; CPU seconds count all threads.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from remote_vs_pynwb import (
    FLUORESCENCE,
    GAP_S,
    LAYOUTS,
    MINUTES,
    N_FRAMES,
    N_ROIS,
    RATE_HZ,
    SERIES,
    Arrays,
    frames,
    make_files,
)

from nwbswitch.analysis.access.array_reader import ArrayReader
from nwbswitch.analysis.access.byte_cache import ByteCache
from nwbswitch.analysis.access.hdf5_bytes import open_hdf5_bytes
from nwbswitch.analysis.access.local_bytes import LocalBytes
from nwbswitch.analysis.access.stored_dataset import stored_array
from nwbswitch.analysis.reading.recording import open_recording

MIDDLE_S = N_FRAMES / RATE_HZ / 2
WINDOWS = (
    frames(MIDDLE_S - GAP_S - 60 * MINUTES, MIDDLE_S - GAP_S),
    frames(MIDDLE_S + GAP_S, MIDDLE_S + GAP_S + 60 * MINUTES),
)


def by_h5py(path: Path) -> Arrays:
    """Read with h5py and nothing else."""
    with h5py.File(path, "r") as file:
        return [file[f"{FLUORESCENCE}/{name}/data"][window] for name in SERIES for window in WINDOWS]


def guarded(path: Path) -> Arrays:
    """Guard the file and read by byte ranges, where everything is known to be."""
    source = LocalBytes(path)
    with open_hdf5_bytes(source) as file:
        arrays = [stored_array(file[f"{FLUORESCENCE}/{name}/data"]) for name in SERIES]
    with ArrayReader(source) as reader:
        found = reader.read_many(
            [(array, (window, slice(0, N_ROIS))) for array in arrays for window in WINDOWS]
        )
    source.close()
    return found


def by_us(path: Path, *, cache: ByteCache | None) -> Arrays:
    """Read as `nwbswitch measure` does."""
    with open_recording(path, cache=cache) as recording:
        [plane] = recording.outline.planes
        assert plane.neuropil is not None
        windows = [frames(window.start_s, window.stop_s) for window in recording.outline.windows]
        parts = [
            (trace.array, (window, slice(0, N_ROIS)))
            for trace in (plane.traces, plane.neuropil)
            for window in windows
        ]
        return recording.arrays.read_many(parts)


def took(read: Callable[[Path], Arrays], path: Path) -> tuple[float, float]:
    """Return wall and CPU seconds of one read."""
    wall, cpu = time.perf_counter(), time.process_time()
    read(path)
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(layout: str, folder: Path, repeats: int) -> None:
    """Run all ways on one layout and print their rows."""
    [path] = make_files(folder, layout, 1)
    ways: dict[str, Callable[[Path], Arrays]] = {
        "guard and windows": guarded,
        "nwbswitch, first time": partial(by_us, cache=None),
        "nwbswitch, outline kept": partial(by_us, cache=ByteCache(folder / "cache")),
    }
    expected = by_h5py(path)
    for name, read in ways.items():
        for one, other in zip(expected, read(path), strict=True):
            if one.dtype != other.dtype or not np.array_equal(one, other):
                raise SystemExit(f"{layout}: {name} reads other numbers than h5py.")
    del expected, one, other
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    bare: list[tuple[float, float]] = []
    for _ in range(repeats):
        bare.append(took(by_h5py, path))
        for name, read in ways.items():
            pairs[name].append(took(read, path))
    wall, cpu = (1000 * statistics.median(column) for column in zip(*bare, strict=True))
    print(f"| {layout} | h5py alone | {wall:.0f} | {cpu:.0f} | 1 | 1 |")
    for name, runs in pairs.items():
        wall, cpu = (1000 * statistics.median(column) for column in zip(*runs, strict=True))
        ratios = [
            statistics.median(ours[column] / theirs[column] for ours, theirs in zip(runs, bare, strict=True))
            for column in range(2)
        ]
        print(
            f"| {layout} | {name} | {wall:.0f} | {cpu:.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all layouts and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    options = parser.parse_args(arguments)
    print("| layout | by | wall ms | CPU ms | wall ratio | CPU ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for layout in options.layouts:
        with tempfile.TemporaryDirectory() as name:
            compare(layout, Path(name), options.repeats)


if __name__ == "__main__":
    main()
