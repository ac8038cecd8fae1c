"""Threads of one process share the memory that they give back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ARENAS = """
import threading
from pathlib import Path
from nwbswitch.schemas.memory_arenas import use_few_arenas

N = 12
if {few}:
    use_few_arenas()
before = Path("/proc/self/maps").read_text().count("---p")
together = threading.Barrier(N + 1)
kept = []

def work():
    together.wait()
    kept.append([bytes(600 + number) for number in range(2000)])
    together.wait()

threads = [threading.Thread(target=work) for _ in range(N)]
for each in threads:
    each.start()
together.wait()
together.wait()
# One guard of a stack for each thread that is still there, and one reserve for each arena.
print(Path("/proc/self/maps").read_text().count("---p") - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are of glibc")
def test_threads_share_arenas() -> None:
    def reserves(few: bool) -> int:
        program = [sys.executable, "-c", ARENAS.format(few=few)]
        return int(subprocess.run(program, capture_output=True, check=True).stdout)

    assert reserves(True) <= reserves(False) - 5
