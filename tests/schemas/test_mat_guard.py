"""MAT-files of all versions give the same values; files that lie are refused before they are believed."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from format_writers.mat_v73 import write_mat_v73
from refusals import refusal

from nwbswitch.schemas import mat_values
from nwbswitch.schemas.errors import InputFileError, NwbswitchError
from nwbswitch.schemas.mat_guard import MatOpaque, load_mat, mat_array, mat_variables

HEADER = b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(116) + b"\0" * 8


def same(one: Any, two: Any) -> bool:
    if scipy.sparse.issparse(one):
        return scipy.sparse.issparse(two) and one.dtype == two.dtype and same(one.toarray(), two.toarray())
    if isinstance(one, np.ndarray):
        return isinstance(two, np.ndarray) and one.dtype == two.dtype and np.array_equal(one, two)
    if isinstance(one, dict):
        return isinstance(two, dict) and one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)
    if isinstance(one, list):
        return isinstance(two, list) and len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and bool(one == two)


def grid(*rows: list[Any]) -> np.ndarray:
    """Return a cell array of MATLAB for a writer."""
    cell = np.empty((len(rows), len(rows[0])), dtype=object)
    for row, items in enumerate(rows):
        for column, item in enumerate(items):
            cell[row, column] = item
    return cell


ONE = np.array([[1.0]])
VALUES: dict[str, tuple[Any, Any]] = {
    "matrix": (np.arange(6.0).reshape(2, 3), None),
    "volume": (np.arange(24, dtype=np.float32).reshape(2, 3, 4), None),
    "scalar": (ONE, None),
    "none": (np.zeros((0, 3)), None),
    "int8": (np.array([[-1], [2]], np.int8), None),
    "uint16": (np.array([[1, 60000]], np.uint16), None),
    "int64": (np.array([[-(1 << 60), 1 << 60]], np.int64), None),
    "logical": (np.array([[True, False], [False, False]]), None),
    "complex": (np.array([[1 + 2j, 3 - 4j]]), None),
    "singles": (np.array([[1 + 2j]], np.complex64), None),
    "text": ("µm/s 日本", None),
    "empty_text": ("", None),
    "sparse": (scipy.sparse.csc_array(np.array([[0, 1.5, 0], [2.5, 0, 0]])), None),
    "sparse_empty": (scipy.sparse.csc_array((4, 3)), None),
    "cell_row": (grid(["a", ONE, grid(["b", ""])]), ["a", ONE, ["b", ""]]),
    "cell_column": (grid(["a"], [ONE]), ["a", ONE]),
    "cell_grid": (grid(["a", ONE], ["b", np.zeros((0, 0))]), [["a", ONE], ["b", np.zeros((0, 0))]]),
    "cell_none": (np.empty((0, 0), dtype=object), []),
    "struct": (
        {"x": ONE, "inner": {"t": "u", "c": grid(["v"])}},
        {"x": ONE, "inner": {"t": "u", "c": ["v"]}},
    ),
    "structs": ([{"n": ONE, "t": "a"}, {"n": np.zeros((0, 0)), "t": ""}], None),
}
EXPECTED = {name: value if expected is None else expected for name, (value, expected) in VALUES.items()}


def for_scipy(value: Any) -> Any:
    """Return what makes ``savemat`` write the MATLAB value that the 7.3 writer writes."""
    if isinstance(value, list):
        fields = list(value[0])
        records = np.empty((1, len(value)), dtype=[(field, object) for field in fields])
        for position, each in enumerate(value):
            for field in fields:
                records[field][0, position] = for_scipy(each[field])
        return records
    if isinstance(value, dict):
        return {key: for_scipy(each) for key, each in value.items()}
    if isinstance(value, np.ndarray) and value.dtype == object:
        cell = np.empty(value.shape, dtype=object)
        for place, each in np.ndenumerate(value):
            cell[place] = for_scipy(each)
        return cell
    return value


@pytest.fixture(params=["v6", "v7", "v7.3"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "a.mat"
    values = {name: value for name, (value, _) in VALUES.items()}
    if request.param == "v7.3":
        return write_mat_v73(path, values)
    written = {name: for_scipy(value) for name, value in values.items()}
    scipy.io.savemat(path, written, do_compression=request.param == "v7")
    return path


# ---- honest files -----------------------------------------------------------------------------------------


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


# ---- files made by hand, level 5 --------------------------------------------------------------------------


def element(kind: int, data: bytes, stated: int | None = None) -> bytes:
    return struct.pack("<II", kind, len(data) if stated is None else stated) + data + b"\0" * (-len(data) % 8)


def head(kind: int, shape: tuple[int, ...], name: bytes = b"", flags: int = 0) -> bytes:
    dims = struct.pack(f"<{len(shape)}i", *shape)
    return element(6, struct.pack("<II", kind | flags, 0)) + element(5, dims) + element(1, name)


def numbers(shape: tuple[int, ...], data: bytes, name: bytes = b"a") -> bytes:
    return head(6, shape, name) + element(9, data)


def mat(*elements: bytes) -> bytes:
    return HEADER + b"\x00\x01IM" + b"".join(elements)


def compressed(data: bytes) -> bytes:
    packed = zlib.compress(data, 9)
    return struct.pack("<II", 15, len(packed)) + packed


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


# ---- version 7.3 ------------------------------------------------------------------------------------------


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
