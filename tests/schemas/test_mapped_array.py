"""Arrays in mapped files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbswitch.schemas.mapped_array import MappedArray, copied

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is that of Linux")

PARTS = [
    (slice(None), slice(3, 900)),
    (slice(5, 6), slice(None)),
    (slice(None, None, -2), slice(None)),
    (slice(0, 0), slice(None)),
    (7,),
    (7, 8),
    (slice(2, 4), 8),
]


def values_of(order: Any) -> np.ndarray:
    return np.asarray(np.random.default_rng(0).normal(size=(700, 1000)), order=order)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_holds_the_same_and_outlives_the_map(tmp_path: Path, order: Any, part: Any) -> None:
    values = values_of(order)
    data = values.tobytes(order)
    (tmp_path / "a.bin").write_bytes(b"12345678" + data)
    array = MappedArray(tmp_path / "a.bin", dtype=values.dtype, shape=values.shape, offset=8, order=order)
    found = array[part]
    array.close()
    np.testing.assert_array_equal(found, values[part])
    assert found.dtype == values.dtype
    with pytest.raises(ValueError, match="closed"):
        array[part]


def test_arrays_between_others_are_told_by_their_strides(tmp_path: Path) -> None:
    rows = np.arange(24, dtype="<f4").reshape(4, 6)
    (tmp_path / "a.bin").write_bytes(rows.tobytes())
    with MappedArray(tmp_path / "a.bin", dtype=rows.dtype, shape=(4, 2), offset=16, strides=(24, 4)) as array:
        assert array.ndim == 2
        np.testing.assert_array_equal(array[:], rows[:, 4:])
        np.testing.assert_array_equal(array[1:3, 1], rows[1:3, 5])


def test_arrays_beyond_the_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(100))
    for shape, strides in (((13,), None), ((2, 2), (96, 8))):
        with pytest.raises(ValueError, match="ends at byte 1(04|12)"):
            MappedArray(tmp_path / "a.bin", dtype=np.dtype("f8"), shape=shape, strides=strides)
    with pytest.raises(OSError, match=r"b\.bin"):
        MappedArray(tmp_path / "b.bin", dtype=np.dtype("f8"), shape=(1,))


@LINUX
def test_the_file_is_held_until_it_is_closed(tmp_path: Path) -> None:
    def held() -> bool:
        return str(tmp_path) in Path("/proc/self/maps").read_text()

    (tmp_path / "a.bin").write_bytes(bytes(8000))
    before = len(list(Path("/proc/self/fd").iterdir()))
    array = MappedArray(tmp_path / "a.bin", dtype=np.dtype("f8"), shape=(1000,))
    part = array[5:500]
    assert held()
    array.close()
    assert not held()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not part.any()
    with pytest.raises(ValueError, match="which has 8000"):
        MappedArray(tmp_path / "a.bin", dtype=np.dtype("f8"), shape=(1001,))
    assert not held()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("part", PARTS[:5])
def test_a_copy_of_a_view_holds_the_same(tmp_path: Path, order: Any, part: Any) -> None:
    values = values_of(order)
    np.save(tmp_path / "a.npy", values)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    np.testing.assert_array_equal(copied(mapped[part]), values[part])
    np.testing.assert_array_equal(mapped, values)


def test_changes_in_memory_are_not_lost(tmp_path: Path) -> None:
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


@LINUX
@pytest.mark.parametrize(
    "opened",
    [
        "np.load(path, mmap_mode='r')",
        "MappedArray(path, dtype=np.dtype('f4'), shape=(1000, 50_000), offset=128)",
    ],
)
def test_a_mapped_file_does_not_fill_the_memory(tmp_path: Path, opened: str) -> None:
    code = f"""
import sys
from pathlib import Path
import numpy as np
from nwbswitch.schemas.mapped_array import MappedArray, copied
peak_mb = lambda: int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) // 1024
path = Path(sys.argv[1])
mapped = np.lib.format.open_memmap(path, "w+", np.float32, (1000, 50_000))
del mapped
mapped = {opened}
before = peak_mb()
for start in range(0, 50_000, 5000):
    copied(mapped[:, start : start + 5000])
print(peak_mb() - before)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 60
