"""Copies out of mapped files."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from nwbswitch.converters.writing.mapped_memory import copied


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "part",
    [
        (slice(None), slice(3, 900)),
        (slice(5, 6), slice(None)),
        (slice(None, None, -2), slice(None)),
        (slice(0, 0), slice(None)),
        (7,),
        (7, 8),
    ],
)
def test_a_copy_holds_the_same_and_stays(tmp_path, order, part):
    values = np.asarray(np.random.default_rng(0).normal(size=(700, 1000)), order=order)
    np.save(tmp_path / "a.npy", values)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    copy = copied(np.asarray(mapped)[part] if len(part) == 2 and isinstance(part[1], int) else mapped[part])
    np.testing.assert_array_equal(copy, values[part])
    np.testing.assert_array_equal(mapped, values)


def test_changes_in_memory_are_not_lost(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(100_000))
    private = np.load(tmp_path / "a.npy", mmap_mode="c")
    private[5] = 1
    assert copied(private) is private
    assert private[5] == 1
    frozen = private[:]
    frozen.flags.writeable = False
    assert copied(frozen)[5] == 1
    array = np.zeros(3)
    assert copied(array) is array


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is that of Linux")
def test_a_mapped_file_does_not_fill_the_memory(tmp_path):
    code = """
import resource, sys
import numpy as np
from nwbswitch.converters.writing.mapped_memory import copied
peak_mb = lambda: int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) // 1024
mapped = np.lib.format.open_memmap(sys.argv[1], "w+", np.float32, (1000, 50_000))
del mapped
mapped = np.load(sys.argv[1], mmap_mode="r")
before = peak_mb()
for start in range(0, 50_000, 5000):
    copied(mapped[:, start : start + 5000])
print(peak_mb() - before)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 60
