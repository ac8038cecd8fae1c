"""Time the conversion of a TIFF movie and of Suite2p traces beside neuroconv's own path, on the same files.

Run: ``python benchmarks/writing_vs_neuroconv.py [--frames 1000 2000 3000] [--repeats 3] [--only movie]``.
Needs the extra ``convert``, 10 GB of disk and some minutes. Each conversion runs in a process of its own;
wall and CPU seconds are those from opening the source to the closed file, without imports; the peak is the
largest memory of the process. Ours includes reading everything back; neuroconv reads nothing back. The
sources were written just before, so that both read them from memory rather than from the disk.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 512
RATE_HZ = 30.0
STARTED = datetime(2024, 5, 1, 12, tzinfo=UTC)


def make_movie(path: Path, n_frames: int) -> None:
    """Write frames of cells on a background, with shot and read noise, int16, one page each."""
    import tifffile

    rng = np.random.default_rng(1)
    photons = rng.gamma(2.0, 2.0, (SIDE, SIDE)).astype(np.float32)
    for y, x in rng.integers(10, SIDE - 10, (200, 2)):
        photons[y - 6 : y + 6, x - 6 : x + 6] += rng.gamma(2.0, 4.0)
    gain, read_noise = np.float32(20.0), np.float32(6.0)
    spread = np.sqrt(gain**2 * photons + read_noise**2)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for _ in range(n_frames):
            noise = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
            frame = np.rint(gain * photons + spread * noise).astype(np.int16)
            tiff.write(frame, photometric="minisblack", metadata=None)


def make_suite2p(folder: Path, n_rois: int, n_frames: int) -> None:
    """Write the files of one plane: noisy traces, sparse spikes, masks of about 100 pixels."""
    rng = np.random.default_rng(2)
    plane = folder / "plane0"
    plane.mkdir(parents=True)
    for name in ("F", "Fneu", "spks"):
        array = np.lib.format.open_memmap(plane / f"{name}.npy", "w+", np.float32, (n_rois, n_frames))
        for roi in range(n_rois):
            trace = rng.standard_normal(n_frames, dtype=np.float32)
            array[roi] = np.where(trace > 2, trace, 0) if name == "spks" else 200 + 30 * trace
        array.flush()
    stat = []
    for _ in range(n_rois):
        y, x = rng.integers(0, SIDE - 10, 2)
        ypix, xpix = (each.ravel() for each in np.mgrid[y : y + 10, x : x + 10])
        stat.append(
            {
                "ypix": ypix,
                "xpix": xpix,
                "lam": rng.random(100).astype(np.float32),
                "med": [int(y) + 5, int(x) + 5],
                "overlap": np.zeros(100, bool),
                "npix": 100,
                "radius": 5.0,
            }
        )
    np.save(plane / "stat.npy", np.array(stat, dtype=object), allow_pickle=True)
    np.save(
        plane / "iscell.npy", np.column_stack([rng.random(n_rois) > 0.5, rng.random(n_rois)]).astype(float)
    )
    image = rng.random((SIDE, SIDE)).astype(np.float32)
    ops = {"fs": RATE_HZ, "Ly": SIDE, "Lx": SIDE, "nframes": n_frames, "nplanes": 1, "nchannels": 1}
    ops |= {"meanImg": image, "Vcorr": image, "max_proj": image, "yrange": [0, SIDE], "xrange": [0, SIDE]}
    np.save(plane / "ops.npy", ops, allow_pickle=True)


def neuroconv_movie(source: Path, out: Path) -> None:
    """Convert the movie with neuroconv's defaults."""
    from neuroconv.datainterfaces import TiffImagingInterface

    interface = TiffImagingInterface(file_paths=[source], sampling_frequency=RATE_HZ)
    _neuroconv(interface, out)


def neuroconv_traces(source: Path, out: Path) -> None:
    """Convert the traces with neuroconv's defaults."""
    from neuroconv.datainterfaces import Suite2pSegmentationInterface

    _neuroconv(Suite2pSegmentationInterface(folder_path=source), out)


def _neuroconv(interface: Any, out: Path) -> None:
    metadata = interface.get_metadata()
    metadata["NWBFile"]["session_start_time"] = STARTED
    interface.run_conversion(nwbfile_path=out, metadata=metadata, backend="hdf5")


def our_movie(source: Path, out: Path) -> None:
    """Convert the movie with the TIFF interface and the fast writer."""
    from nwbswitch.converters.imaging.tiff_movie import TiffMovieInterface

    _ours(TiffMovieInterface(file_path=source, rate_hz=RATE_HZ), out)


def our_traces(source: Path, out: Path) -> None:
    """Convert the traces with the Suite2p interface and the fast writer."""
    from nwbswitch.converters.segmentation.suite2p import Suite2pInterface

    _ours(Suite2pInterface(folder_path=source), out)


def _ours(interface: Any, out: Path) -> None:
    from pynwb import NWBFile

    from nwbswitch.converters.writing.nwb_writer import write_nwb

    nwbfile = NWBFile(session_description="Benchmark.", identifier="benchmark", session_start_time=STARTED)
    interface.add_to_nwbfile(nwbfile, interface.get_metadata())
    write_nwb(nwbfile, out)
    interface.close()


WAYS: dict[str, Callable[[Path, Path], None]] = {
    "neuroconv-movie": neuroconv_movie,
    "neuroconv-traces": neuroconv_traces,
    "ours-movie": our_movie,
    "ours-traces": our_traces,
}


def convert(way: str, source: Path, out: Path) -> dict[str, float]:
    """Convert in this process and return what it took."""
    import neuroconv.datainterfaces
    import pynwb  # noqa: F401

    assert neuroconv.datainterfaces is not None
    wall, cpu = time.perf_counter(), time.process_time()
    WAYS[way](source, out)
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "size_mb": out.stat().st_size / 1e6,
    }


def measured(way: str, source: Path, folder: Path) -> dict[str, float]:
    """Convert in a process of its own, and take the file away."""
    out = folder / f"{way}.nwb"
    command = [sys.executable, __file__, "--convert", way, str(source), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    out.unlink()
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(
    kind: str, label: str, source: Path, source_mb: float, folder: Path, repeats: int
) -> tuple[float, float]:
    """Run both ways in turn, print medians and the median of the ratios; return our wall and CPU seconds."""
    pairs = []
    for _ in range(repeats):
        pairs.append(
            (measured(f"ours-{kind}", source, folder), measured(f"neuroconv-{kind}", source, folder))
        )

    def median(which: int, key: str) -> float:
        return statistics.median(pair[which][key] for pair in pairs)

    def ratio(key: str) -> float:
        return statistics.median(theirs[key] / ours[key] for ours, theirs in pairs)

    for which, name in ((0, "nwbswitch"), (1, "neuroconv")):
        wall_s, cpu_s = median(which, "wall_s"), median(which, "cpu_s")
        print(
            f"| {label} | {name} | {wall_s:.1f} | {cpu_s:.1f} | {source_mb / wall_s:.0f} "
            f"| {median(which, 'peak_mb'):.0f} | {median(which, 'size_mb'):.0f} |"
        )
    print(
        f"| {label} | ratio | {ratio('wall_s'):.1f} | {ratio('cpu_s'):.1f} | "
        f"| {ratio('peak_mb'):.1f} | {ratio('size_mb'):.2f} |",
        flush=True,
    )
    return median(0, "wall_s"), median(0, "cpu_s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the sources, run all comparisons and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[1000, 2000, 3000])
    parser.add_argument("--rois", type=int, default=2000)
    parser.add_argument("--trace-frames", type=int, default=36_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["movie", "traces"])
    parser.add_argument("--convert", nargs=3, metavar=("WAY", "SOURCE", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.convert:
        way, source, out = options.convert
        print(json.dumps(convert(way, Path(source), Path(out))))
        return
    print("| source | by | wall s | CPU s | MB/s | peak MB | file MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only != "traces":
            sizes_gb, seconds = [], []
            for n_frames in options.frames:
                movie = folder / "movie.tif"
                make_movie(movie, n_frames)
                size_mb = n_frames * SIDE * SIDE * 2 / 1e6
                label = f"TIFF {SIDE}x{SIDE}x{n_frames}"
                sizes_gb.append(size_mb / 1000)
                seconds.append(compare("movie", label, movie, size_mb, folder, options.repeats))
                movie.unlink()
            if len(sizes_gb) > 1:
                (wall, cpu), (wall_0, cpu_0) = np.polyfit(sizes_gb, seconds, 1)
                print(
                    f"\nOurs grows by {wall:.1f} s wall and {cpu:.1f} s CPU per GB. Extrapolated, not "
                    f"measured: 20 GB in {wall_0 + 20 * wall:.0f} s wall and {cpu_0 + 20 * cpu:.0f} s CPU.\n"
                )
        if options.only != "movie":
            make_suite2p(folder / "suite2p", options.rois, options.trace_frames)
            label = f"Suite2p 3 x {options.rois} x {options.trace_frames}"
            size_mb = 3 * options.rois * options.trace_frames * 4 / 1e6
            compare("traces", label, folder / "suite2p", size_mb, folder, options.repeats)


if __name__ == "__main__":
    main()
