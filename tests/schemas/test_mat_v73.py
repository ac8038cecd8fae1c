"""MAT-files of version 7.3, which are HDF5: circles, links and classes that lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from format_writers.mat_v73 import write_mat_v73
from mat_contents import ONE, grid, same
from refusals import refusal

from nwbswitch.schemas import mat_values
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.mat_guard import load_mat, mat_variables


@pytest.fixture
def v73(tmp_path: Path) -> Path:
    return write_mat_v73(tmp_path / "a.mat", {"a": np.arange(6.0).reshape(2, 3), "c": grid(["x", ONE])})


def mark(node: Any, kind: str, **attributes: Any) -> None:
    node.attrs["MATLAB_class"] = np.bytes_(kind)
    for key, value in attributes.items():
        node.attrs[f"MATLAB_{key}"] = value


def test_a_cell_that_holds_itself_is_refused(v73: Path) -> None:
    with h5py.File(v73, "a") as file:
        file["c"][0, 0] = file["c"].ref
    with refusal(v73, "64 deep"):
        load_mat(v73)


def test_cells_that_multiply_are_refused(v73: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(v73, "a") as file:
        last = file["a"].ref
        for level in range(12):
            cell = file.create_dataset(f"#refs#/b{level}", (10, 1), h5py.ref_dtype)
            cell[:] = last
            mark(cell, "cell")
            last = cell.ref
        file["c"][0, 0] = last
    monkeypatch.setattr(mat_values, "MAX_VALUES", 500)
    with refusal(v73, "more than 500 values"):
        load_mat(v73)


def test_a_struct_that_holds_itself_is_refused(v73: Path) -> None:
    with h5py.File(v73, "a") as file:
        mark(file.create_group("s"), "struct")
        file["s/s"] = file["s"]
    with refusal(v73, "64 deep"):
        load_mat(v73, ["s"])


def test_soft_links_in_a_circle_are_refused(v73: Path) -> None:
    with h5py.File(v73, "a") as file:
        file["d"] = h5py.SoftLink("/e")
        file["e"] = h5py.SoftLink("/d")
    with refusal(v73, "damaged", InputFileError):
        load_mat(v73)


def test_data_that_were_never_written_are_refused(v73: Path) -> None:
    with h5py.File(v73, "a") as file:
        node = file.create_dataset("z", (1000, 100_000), "f8", chunks=(1000, 100), compression="gzip")
        mark(node, "double")
    assert mat_variables(v73)["z"] == ((100_000, 1000), "double")
    with refusal(v73, "does not store them"):
        load_mat(v73)
    assert same(load_mat(v73, ["a"])["a"], np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("name", "value", "attributes", "words"),
    [
        ("char", np.ones((2, 2)), {"class": "char"}, "text"),
        ("double", np.array([b"x"]), {"class": "double"}, "no numbers"),
        ("cell", np.ones((2, 2)), {"class": "cell"}, "references"),
        ("empty", np.array([1 << 60, 1], np.uint64), {"class": "double", "empty": np.uint8(1)}, "shape"),
        ("empty", np.ones(1000, np.uint64), {"class": "double", "empty": np.uint8(1)}, "dimensions"),
        ("empty", np.array([0.5, 1]), {"class": "double", "empty": np.uint8(1)}, "dimensions"),
    ],
)
def test_classes_that_lie(name: str, value: Any, attributes: dict[str, Any], words: str, v73: Path) -> None:
    with h5py.File(v73, "a") as file:
        file["x"] = value
        mark(file["x"], attributes.pop("class"), **attributes)
    with refusal(v73, words, InputFileError):
        load_mat(v73, ["x"])


@pytest.mark.parametrize(
    ("starts", "rows", "words"),
    [
        ([0, 2], [0, 9], "outside"),
        ([0, 5], [0, 1], "overlap"),
        ([1, 2], [0, 1], "overlap"),
        ([], [0], "starts"),
    ],
)
def test_sparse_matrices_that_lie(starts: list[int], rows: list[int], words: str, v73: Path) -> None:
    with h5py.File(v73, "a") as file:
        group = file.create_group("s")
        mark(group, "double", sparse=np.uint64(5))
        group["jc"], group["ir"] = np.array(starts, np.uint64), np.array(rows, np.uint64)
        group["data"] = np.ones(len(rows))
    with refusal(v73, words, InputFileError):
        load_mat(v73, ["s"])


def test_fields_of_structs_that_differ_in_shape(v73: Path) -> None:
    with h5py.File(v73, "a") as file:
        mark(file.create_group("s"), "struct")
        for field, count in (("x", 2), ("y", 3)):
            file.create_dataset(f"s/{field}", data=[[file["a"].ref]] * count, dtype=h5py.ref_dtype)
    with refusal(v73, "differ in shape", InputFileError):
        load_mat(v73)


def test_links_to_other_files_are_refused(v73: Path) -> None:
    with h5py.File(v73, "a") as file:
        file["out"] = h5py.ExternalLink("other.mat", "/a")
    for reading in (load_mat, mat_variables):
        with refusal(v73, "link at /out to another file"):
            reading(v73)


def test_hdf5_without_matlab_attributes_is_read_as_matlab_would(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["traces"] = np.arange(6, dtype=np.int16).reshape(3, 2)
        file["group/one"] = np.arange(3.0)
        file["group/two"] = 5.0
    found = load_mat(tmp_path / "a.mat")
    assert same(found["traces"], np.arange(6, dtype=np.int16).reshape(3, 2).T)
    assert same(found["group"], {"one": np.array([[0.0], [1.0], [2.0]]), "two": np.array([[5.0]])})
