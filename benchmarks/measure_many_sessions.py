"""Time and memory of `measure` over many far recordings: does the time grow linearly, and memory not at all?

Run: ``python benchmarks/measure_many_sessions.py [--sessions 25 50 100 200] [--neurons 300] [--workers 2]``.
Recordings of 20 minutes at 30 Hz lie on a server of this machine that waits 50 ms before every answer; they
are one file under many names, told apart by overrides. Each count of sessions is measured in a process of its
own with an empty cache. Peak memory is that of the process that joins the table, and of the largest worker.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

MEASURE = """
import json, resource, sys
from nwbswitch.analysis.access.byte_cache import CacheSettings
from nwbswitch.analysis.measure import measure

if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    cache = CacheSettings(job["cache"], max_bytes=4 << 30)
    result = measure(
        job["urls"], out=job["out"], overrides=job["overrides"], cache=cache, workers=job["workers"]
    )
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({"ok": result.ok, "peaks": peaks, "counts": result.summary()}))
"""


def overrides_for(names: list[str]) -> dict[str, object]:
    """Return overrides that make one file many recordings: eight animals, each with its sessions."""
    return {
        "sources": [
            {"match": name, "subject_id": f"m{number % 8}", "session_id": f"s{number:03d}"}
            for number, name in enumerate(names)
        ]
    }


def main() -> None:
    """Print one row per count of sessions."""
    from range_server import served_folder
    from recording_files import make_nwbfile, make_traces, write_recording

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, nargs="+", default=[25, 50, 100, 200])
    parser.add_argument("--neurons", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "files")
        files.mkdir()
        first = write_recording(
            Path(folder, "first.nwb"), make_nwbfile(make_traces(36_000, given.neurons)), "nwbswitch"
        )
        names = [f"session{number:03d}.nwb" for number in range(max(given.sessions))]
        for name in names:
            os.link(first, files / name)
        print("sessions      s  s/session  requests/session  MB/session  peak MB main  peak MB worker")
        for n in given.sessions:
            work = Path(folder, f"work{n}")
            work.mkdir()
            (work / "overrides.yaml").write_text(yaml.safe_dump(overrides_for(names[:n])))
            with served_folder(files, latency_s=0.05) as server:
                job = {
                    "urls": [server.file(name) for name in names[:n]],
                    "out": str(work / "cells.parquet"),
                    "overrides": str(work / "overrides.yaml"),
                    "cache": str(work / "cache"),
                    "workers": given.workers,
                }
                begin = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, "-c", MEASURE, json.dumps(job)],
                    check=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
                seconds = time.perf_counter() - begin
                requests, n_bytes = server.counts()
            found = json.loads(done.stdout)
            assert found["ok"], "not every session was measured"
            main_mb, worker_mb = (peak / 1024 for peak in found["peaks"])
            print(
                f"{n:8d} {seconds:6.1f} {seconds / n:10.2f} {requests / n:17.1f} {n_bytes / n / 1e6:11.1f} "
                f"{main_mb:13.0f} {worker_mb:15.0f}"
            )


if __name__ == "__main__":
    main()
