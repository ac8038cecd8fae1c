"""MAT-files of level 4, and headers that lie."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from format_writers.mat_v5 import HEADER
from mat_contents import same
from refusals import refusal

from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.mat_guard import load_mat, mat_array, mat_variables


def test_level_4(tmp_path: Path) -> None:
    values = {
        "matrix": np.arange(6.0).reshape(2, 3),
        "whole": np.array([[1, -2]], np.int16),
        "complex": np.array([[1 + 2j], [3j]]),
        "text": "abc",
        "sparse": scipy.sparse.csc_array(np.array([[0, 1.5], [2.5, 0], [0, 0]])),
        "none": np.zeros((0, 0)),
    }
    scipy.io.savemat(tmp_path / "a.mat", values, format="4")
    found = load_mat(tmp_path / "a.mat")
    for name, value in (values | {"whole": np.array([[1.0, -2.0]])}).items():
        assert same(found[name], value), name
    assert mat_variables(tmp_path / "a.mat")["sparse"] == ((3, 2), "sparse")
    assert mat_variables(tmp_path / "a.mat", inside="text") == {}
    with mat_array(tmp_path / "a.mat", "matrix") as array:
        assert array[1, 1:].tolist() == [4, 5]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no header"),
        (b"MATLAB 5.0", "no header"),
        (HEADER + b"\x00\x01XX", "no header"),
        (b"\0" * 19, "inside a variable"),
        (struct.pack("<5i", 0, 1 << 30, 1 << 30, 0, 2) + b"a\0", "is not there"),
        (struct.pack("<5i", 0, -1, 1, 0, 2) + b"a\0", "shape"),
        (struct.pack("<5i", 0, 1, 1, 0, 1 << 30) + b"a\0", "cannot be read"),
        (struct.pack("<5i", 2000, 1, 1, 0, 2) + b"a\0", "cannot be read"),
        (struct.pack("<5i", 2, 2, 3, 0, 2) + b"a\0" + struct.pack("<6d", 9, 1, 9, 1, 1, 0), "entry outside"),
        (struct.pack("<5i", 2, 1, 3, 0, 2) + b"a\0" + struct.pack("<3d", 1e300, 1, 0), "no shape"),
        (struct.pack("<5i", 2, 1, 3, 0, 2) + b"a\0" + struct.pack("<3d", float("nan"), 1, 0), "no shape"),
    ],
)
def test_headers_and_level_4_that_lie(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(data)
    with refusal(path, words, InputFileError):
        load_mat(path)


def test_a_sparse_matrix_of_level_4_with_a_billion_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(struct.pack("<5i", 2, 1, 3, 0, 2) + b"a\0" + struct.pack("<3d", 1, (1 << 31) - 1, 0))
    with refusal(path, "more than the 4294967296 bytes"):
        load_mat(path)
