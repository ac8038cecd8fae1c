"""MAT-files of level 5 made by hand: sizes, nesting and compression that lie."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from format_writers.mat_v5 import HEADER, compressed, element, head, mat, numbers
from refusals import refusal

from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.mat_guard import load_mat, mat_variables


def deflated_zeros(start: bytes, count: int) -> bytes:
    """Return ``start`` and zeros, compressed in pieces."""
    machine = zlib.compressobj(9)
    pieces = [machine.compress(start)]
    pieces += [machine.compress(bytes(1 << 20)) for _ in range(count >> 20)]
    return b"".join(pieces) + machine.flush()


def nested_cells(depth: int) -> bytes:
    box = head(1, (1, 1))
    opened = b"".join(
        struct.pack("<II", 14, (depth - level) * (8 + len(box))) + box for level in range(1, depth + 1)
    )
    inner = opened + struct.pack("<II", 14, 0)
    body = head(1, (1, 1), b"a") + inner
    return struct.pack("<II", 14, len(body)) + body


MAX = (1 << 31) - 1
CELL = element(14, numbers((1, 1), bytes(8), b""))
MADE: dict[str, tuple[bytes, str]] = {
    "an element of 2^32 bytes": (element(14, head(6, (1, 1)), stated=(1 << 32) - 8), "bytes where"),
    "an array of 2^62 values": (
        element(14, numbers((MAX, MAX), bytes(8))),
        "values are stated and 1 are there",
    ),
    "an array of 2^40 values": (element(14, numbers((1 << 20, 1 << 20), bytes(8))), "1099511627776 values"),
    "a compressed array of 2^40 values": (
        compressed(element(14, numbers((1 << 20, 1 << 20), bytes(8)))),
        "1099511627776 values",
    ),
    "a negative dimension": (element(14, numbers((-1, 1), bytes(8))), "shape"),
    "one dimension": (element(14, numbers((5,), bytes(40))), "shape"),
    "a hundred dimensions": (element(14, numbers((1,) * 100, bytes(8))), "shape"),
    "a cell of 2^60": (element(14, head(1, (1 << 30, 1 << 30), b"a") + CELL), "arrays are stated"),
    "structs of 2^60": (
        element(
            14, head(2, (1 << 30, 1 << 30), b"a") + element(5, struct.pack("<i", 4)) + element(1, b"x\0\0\0")
        ),
        "arrays are stated",
    ),
    "structs without fields": (
        element(14, head(2, (1 << 30, 1 << 30), b"a") + element(5, struct.pack("<i", 4)) + element(1, b"")),
        "more than 2000000 values",
    ),
    "fields without length": (
        element(14, head(2, (1, 1), b"a") + element(5, struct.pack("<i", 0)) + element(1, b"x")),
        "names of the fields",
    ),
    "one field twice": (
        element(
            14, head(2, (1, 1), b"a") + element(5, struct.pack("<i", 2)) + element(1, b"x\0x\0") + CELL * 2
        ),
        "two fields with one name",
    ),
    "a text of 2^40": (element(14, head(4, (1 << 20, 1 << 20), b"a") + element(4, b"")), "characters"),
    "a sparse matrix with an entry outside": (
        element(
            14,
            head(5, (2, 1), b"a")
            + element(5, struct.pack("<i", 1 << 30))
            + element(5, struct.pack("<2i", 0, 1))
            + element(9, bytes(8)),
        ),
        "entry outside",
    ),
    "a sparse matrix with a negative row": (
        element(
            14,
            head(5, (2, 1), b"a")
            + element(5, struct.pack("<i", -1))
            + element(5, struct.pack("<2i", 0, 1))
            + element(9, bytes(8)),
        ),
        "entry outside",
    ),
    "a sparse matrix whose columns run backwards": (
        element(
            14,
            head(5, (2, 2), b"a")
            + element(5, struct.pack("<2i", 0, 0))
            + element(5, struct.pack("<3i", 0, 5, 1))
            + element(9, bytes(16)),
        ),
        "overlap",
    ),
    "a sparse matrix of 2^31 columns": (
        element(14, head(5, (1, MAX), b"a") + element(5, b"") + element(5, bytes(8)) + element(9, b"")),
        "column starts",
    ),
    "an unknown class": (element(14, head(99, (1, 1), b"a")), "class 99"),
    "a class that is no array": (element(7, bytes(8)), "type 7"),
    "nothing but a tag": (struct.pack("<II", 14, 1 << 20), "1048576 bytes"),
    "half a tag": (b"\x0e\0\0", "ends inside"),
    "compressed nonsense": (struct.pack("<II", 15, 8) + b"nonsense", "decompressed"),
    "compressed in compressed": (
        compressed(compressed(element(14, numbers((1, 1), bytes(8))))),
        "element of type 15",
    ),
    "a compressed variable that is longer than it states": (
        compressed(element(14, numbers((1, 1), bytes(8))) + bytes(10_000_000)),
        "shorter or longer",
    ),
    "a compressed variable that is shorter than it states": (
        compressed(struct.pack("<II", 14, 5000) + numbers((1, 1), bytes(8))),
        "shorter or longer",
    ),
    "two variables of one name": (element(14, numbers((1, 1), bytes(8))) * 2, "two variables"),
    "nested cells": (nested_cells(100_000), "64 deep"),
    "compressed nested cells": (compressed(nested_cells(100_000)), "64 deep"),
    "a small element of nine bytes": (struct.pack("<HHI", 14, 9, 0), "type"),
}


@pytest.mark.parametrize("attack", list(MADE))
def test_files_made_by_hand_are_refused(attack: str, tmp_path: Path) -> None:
    data, words = MADE[attack]
    path = tmp_path / "a.mat"
    path.write_bytes(mat(data))
    with refusal(path, words, InputFileError):
        load_mat(path)
    with suppress(InputFileError):  # what describes the variable can be right where its values are not
        mat_variables(path)


def test_a_bomb_is_stopped_before_it_inflates(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    size = 3 << 30
    start = struct.pack("<II", 14, size + 56) + numbers((size // 8, 1), b"")[:-4] + struct.pack("<I", size)
    packed = deflated_zeros(start, 200 << 20)  # it breaks off: nobody gets that far
    path.write_bytes(mat(struct.pack("<II", 15, len(packed)) + packed))
    assert mat_variables(path) == {"a": ((size // 8, 1), "double")}
    with refusal(path, f"states {size + 56} bytes for a variable that is stored in"):
        load_mat(path)


def test_a_small_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    size = 80 << 20
    start = struct.pack("<II", 14, size + 56) + numbers((size // 8, 1), b"")[:-4] + struct.pack("<I", size)
    packed = deflated_zeros(start, size)
    path.write_bytes(mat(struct.pack("<II", 15, len(packed)) + packed))
    assert size > 1000 * len(packed)
    with refusal(path, "stored in"):
        load_mat(path)


def test_zeros_below_the_suspicion_are_read(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"z": np.zeros((1000, 5000))}, do_compression=True)
    assert load_mat(tmp_path / "a.mat")["z"].shape == (1000, 5000)


def test_what_is_read_is_limited_together(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {name: np.ones((100, 100)) for name in "abc"})
    assert set(load_mat(path, ["a", "b"], max_bytes=200_000)) == {"a", "b"}
    with refusal(path, "more than the 200000 bytes"):
        load_mat(path, max_bytes=200_000)


def test_numbers_that_grow_are_counted_before_they_do(tmp_path: Path) -> None:
    """MATLAB stores whole doubles as bytes: eight times as much in memory."""
    path = tmp_path / "a.mat"
    body = head(6, (1000, 1000), b"a") + element(2, bytes(1_000_000))
    path.write_bytes(mat(element(14, body)))
    assert load_mat(path)["a"].dtype == np.float64
    with refusal(path, "more than the 5000000 bytes"):
        load_mat(path, max_bytes=5_000_000)


def test_big_endian_and_small_elements(tmp_path: Path) -> None:
    def big(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    small = struct.pack(">HH4s", 1, 1, b"a")
    body = big(6, struct.pack(">II", 6, 0)) + big(5, struct.pack(">ii", 1, 2)) + small
    body += big(9, struct.pack(">dd", 1.5, -2))
    (tmp_path / "a.mat").write_bytes(HEADER + b"\x01\x00MI" + big(14, body))
    found = load_mat(tmp_path / "a.mat")["a"]
    assert found.tolist() == [[1.5, -2]]
    assert found.dtype.isnative


def test_a_sparse_logical_matrix_as_matlab_marks_it(tmp_path: Path) -> None:
    """The bytes are tagged as doubles."""
    body = head(5, (2, 2), b"a", flags=0x200) + element(5, struct.pack("<3i", 0, 1, 1))
    body += element(5, struct.pack("<3i", 0, 2, 3)) + element(9, b"\x01\x01\x01")
    (tmp_path / "a.mat").write_bytes(mat(element(14, body)))
    found = load_mat(tmp_path / "a.mat")["a"]
    assert found.dtype == bool
    assert found.toarray().tolist() == [[True, False], [True, True]]
