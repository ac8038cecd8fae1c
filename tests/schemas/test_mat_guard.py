"""MAT-files of all versions give the same values; damaged ones are refused in words."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from format_writers.mat_v5 import element, mat, numbers
from format_writers.mat_v73 import write_mat_v73
from mat_contents import EXPECTED, ONE, VALUES, for_scipy, same
from refusals import refusal

from nwbswitch.schemas.errors import InputFileError, NwbswitchError
from nwbswitch.schemas.mat_guard import MatOpaque, load_mat, mat_array, mat_variables


@pytest.fixture(params=["v6", "v7", "v7.3"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "a.mat"
    values = {name: value for name, (value, _) in VALUES.items()}
    if request.param == "v7.3":
        return write_mat_v73(path, values)
    written = {name: for_scipy(value) for name, value in values.items()}
    scipy.io.savemat(path, written, do_compression=request.param == "v7")
    return path


def test_all_versions_give_the_same_values(saved: Path) -> None:
    found = load_mat(saved)
    assert set(found) == set(EXPECTED)
    for name, value in EXPECTED.items():
        assert same(found[name], value), (name, found[name])
    for value in (found["matrix"], found["volume"]):
        assert value.flags.f_contiguous
        value[0] = 7  # an array is the caller's own


def test_variables_are_described_without_values(saved: Path) -> None:
    found = mat_variables(saved)
    assert found["volume"] == ((2, 3, 4), "single")
    assert found["logical"] == ((2, 2), "logical")
    assert found["none"] == ((0, 3), "double")
    assert found["text"] == ((1, 7), "char")
    assert found["sparse"] == ((2, 3), "sparse")
    assert found["cell_grid"] == ((2, 2), "cell")
    assert found["struct"] == ((1, 1), "struct")
    assert found["structs"] == ((1, 2), "struct")
    assert mat_variables(saved, inside="struct") == {"x": ((1, 1), "double"), "inner": ((1, 1), "struct")}
    assert mat_variables(saved, inside="struct.inner") == {"t": ((1, 1), "char"), "c": ((1, 1), "cell")}
    assert mat_variables(saved, inside="structs") == {}
    assert mat_variables(saved, inside="matrix") == {}


def test_names_and_fields(saved: Path) -> None:
    found = load_mat(saved, ["struct.inner.t", "text"])
    assert found == {"struct.inner.t": "u", "text": "µm/s 日本"}
    for name, words in (
        ("missing", "no variable missing; it has "),
        ("struct.y", "no field struct.y"),
        ("matrix.y", "no field matrix.y"),
        ("structs.n", "no field structs.n"),
    ):
        with refusal(saved, words, InputFileError):
            load_mat(saved, [name])


def test_windows_of_an_array(saved: Path) -> None:
    matrix, volume = EXPECTED["matrix"], EXPECTED["volume"]
    with mat_array(saved, "matrix") as array:
        assert (array.shape, array.ndim, array.size, len(array)) == ((2, 3), 2, 6, 2)
        assert array.dtype == np.float64
        for key in (0, -1, np.int64(1), slice(None), (slice(1, None), slice(0, 3, 2)), (1, 2), (..., 1), ...):
            assert np.array_equal(array[key], matrix[key]), key
        assert np.array_equal(np.asarray(array), matrix)
        with pytest.raises(TypeError, match="whole numbers and slices"):
            array[[0, 1]]
        with pytest.raises(IndexError):
            array[5]
    with mat_array(saved, "volume") as array:
        assert array[:, 1, 2:].tolist() == volume[:, 1, 2:].tolist()
    with mat_array(saved, "complex") as array:
        assert array[0, 1] == 3 - 4j
    with mat_array(saved, "logical") as array:
        assert array.dtype == bool
        assert array[:, 0].tolist() == [True, False]
    with mat_array(saved, "struct.x") as array:
        assert array[0, 0] == 1
    for name in ("text", "cell_row", "struct", "sparse"):
        with refusal(saved, f"{name} is no array of numbers", InputFileError), mat_array(saved, name):
            pass


def test_a_large_array_is_read_window_by_window(tmp_path: Path) -> None:
    path = write_mat_v73(tmp_path / "a.mat", {"C": np.arange(3_000_000.0).reshape(300, 10_000)})
    with h5py.File(path) as file:
        assert file["C"].shape == (10_000, 300)
    with mat_array(path, "C", max_bytes=100_000) as array:
        assert np.array_equal(array[5:7, 100:200], np.arange(3_000_000.0).reshape(300, 10_000)[5:7, 100:200])
        with refusal(path, "bytes were asked for at once", InputFileError):
            array[:, 0:100]
    with refusal(path, "more than the 1000000 bytes"):
        load_mat(path, max_bytes=1_000_000)


def test_matrices_of_characters_are_lists_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    for form in ("4", "5"):
        scipy.io.savemat(path, {"names": np.array(["ab", "cde"])}, format=form)
        assert load_mat(path) == {"names": ["ab", "cde"]}


def test_objects_and_functions_are_named(tmp_path: Path) -> None:
    path = write_mat_v73(tmp_path / "a.mat", {"x": ONE, "y": ONE})
    with h5py.File(path, "a") as file:
        for name, kind, decode in (("t", "table", 3), ("f", "function_handle", 1)):
            file[name] = np.zeros((1, 6), np.uint32)
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
            file[name].attrs["MATLAB_object_decode"] = np.int32(decode)
    found = load_mat(path)
    assert found["t"] == MatOpaque("table")
    assert found["f"] == MatOpaque("function_handle")
    assert same(found["x"], ONE)
    assert mat_variables(path)["t"] == ((), "table")
    opaque = (
        element(6, struct.pack("<II", 17, 0)) + element(1, b"s") + element(1, b"MCOS") + element(1, b"string")
    )
    path.write_bytes(mat(element(14, opaque + element(14, numbers((1, 1), bytes(8))))))
    assert load_mat(path) == {"s": MatOpaque("string")}
    assert mat_variables(path) == {"s": ((), "string")}


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "not a file"), (tmp_path / "none.mat", "not there")):
        for reading in (load_mat, mat_variables):
            with refusal(path, words, InputFileError):
                reading(path)


def test_an_error_of_the_caller_is_not_blamed_on_the_file(saved: Path) -> None:
    with pytest.raises(ValueError, match="mine"), mat_array(saved, "matrix"):
        raise ValueError("mine")


@pytest.mark.parametrize("form", ["4", "5", "compressed"])
def test_random_damage_never_raises_anything_else(form: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    path = tmp_path / "a.mat"
    if form == "4":
        scipy.io.savemat(path, {"a": ONE, "s": scipy.sparse.csc_array(np.eye(3)), "t": "text"}, format="4")
    else:
        written = {name: for_scipy(value) for name, (value, _) in VALUES.items()}
        scipy.io.savemat(path, written, do_compression=form == "compressed")
    data = path.read_bytes()
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), size=3):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            load_mat(path)
            mat_variables(path)
        except NwbswitchError:
            refused += 1
    assert refused > 30
