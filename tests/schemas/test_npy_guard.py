"""Arrays and dictionaries in .npy files; no file runs code or takes more memory than it may."""

from __future__ import annotations

import builtins
import collections
import datetime
import functools
import io
import os
import pickle
import struct
import time
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.file_guard import load_npy, load_npy_array, load_npy_dict, open_npy
from nwbswitch.schemas.plain_pickle import RefusedPickleError, read_plain_pickle


class Calls:
    """Pickles as a call of ``function``, the way an attack does."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def npy_with(payload: bytes, shape: str = "()") -> bytes:
    """Return a .npy file of objects whose pickle is ``payload``."""
    header = f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + payload


def npy_header(descr: str, shape: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        box = np.empty(1, dtype=object)
        box[0] = value
        value = box
    return value


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=">i2").reshape(3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 5), dtype=np.float32),
        np.array(3.5),
        np.array(["a", "bc"]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array([True, False]),
    ],
)
def test_numbers_come_back_as_numpy_reads_them(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    with open_npy(tmp_path / "a.npy") as mapped:
        assert mapped.shape == array.shape
        for found in (load_npy_array(tmp_path / "a.npy"), mapped[...]):
            assert found.dtype == array.dtype
            assert found.shape == array.shape
            assert np.array_equal(found, array)
            assert found.flags.f_contiguous == array.flags.f_contiguous


PLAIN = {
    "Ly": 512,
    "fs": 7.5,
    "big": 1 << 80,
    "negative": -(1 << 40),
    "none": None,
    "flag": True,
    "text": "µm",
    "bytes": b"\x00\xff",
    "list": [1, [2, (3, ())]],
    "tuple": (1, 2),
    "set": {1, 2},
    "frozen": frozenset({"a"}),
    "complex": 1 + 2j,
    "slice": slice(1, 5, 2),
    "path": PurePosixPath("data/raw"),
    "ordered": collections.OrderedDict(a=1),
    "when": datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC),
    "zone": datetime.timezone(datetime.timedelta(hours=2)),
    "date": datetime.date(2026, 3, 1),
    "array": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big_endian": np.arange(3, dtype=">u2"),
    "strings": np.array(["a", "b"]),
    "moments": np.array(["2020-01-01T00:00"], dtype="datetime64[ns]"),
    "records": np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8", (2,))]),
    "objects": np.array([{"x": 1}, None], dtype=object),
    "scalar": np.float32(2.5),
    "integer": np.int64(7),
}


def same(one: Any, two: Any) -> bool:
    if isinstance(one, np.ndarray):
        if one.dtype == object:
            return one.shape == two.shape and all(map(same, one.ravel(), two.ravel()))
        return one.dtype == two.dtype and np.array_equal(one, two)
    if isinstance(one, dict):
        return type(one) is type(two) and list(one) == list(two) and all(same(one[k], two[k]) for k in one)
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and bool(one == two)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("key", list(PLAIN))
def test_plain_values_come_back_equal(key: str, protocol: int) -> None:
    value = {key: PLAIN[key], "again": [PLAIN[key]]}
    assert same(value, read_plain_pickle(pickle.dumps(value, protocol=protocol)))


def test_posix_and_windows_paths_become_pure_paths() -> None:
    assert read_plain_pickle(pickle.dumps(Path("a/b"), protocol=4)) == PurePosixPath("a/b")


def test_a_dictionary_is_returned_as_one(tmp_path: Path) -> None:
    np.save(tmp_path / "ops.npy", {"fs": 7.0}, allow_pickle=True)
    assert load_npy(tmp_path / "ops.npy") == {"fs": 7.0}
    assert load_npy_dict(tmp_path / "ops.npy")["fs"] == 7.0
    with pytest.raises(InputFileError, match="dictionary"):
        load_npy_array(tmp_path / "ops.npy")


def test_arrays_are_writable_and_shared_ones_stay_shared() -> None:
    array = np.arange(3)
    found = read_plain_pickle(pickle.dumps([array, array], protocol=4))
    assert found[0] is found[1]
    found[0][0] = 9
    assert found[1][0] == 9


def test_real_suite2p_files_read_as_numpy_reads_them(shared: Path) -> None:
    files = sorted((shared / "data").glob("*/suite2p/plane0/*.npy"))
    assert {"ops.npy", "stat.npy", "settings.npy"} <= {file.name for file in files}
    for file in files:
        expected = np.load(file, allow_pickle=True)
        assert same(expected.item() if expected.shape == () else expected, load_npy(file)), file


CALLS = {
    "os.system": (Calls(os.system, "true"), r"(posix|nt)\.system"),
    "eval": (Calls(eval, "1"), r"_?_?builtins?_?_?\.eval"),
    "exec": (Calls(exec, "1"), r"_?_?builtins?_?_?\.exec"),
    "getattr": (Calls(getattr, 1, "real"), r"_?_?builtins?_?_?\.getattr"),
    "open": (Calls(open, "x"), r"\.open"),
    "bytearray": (Calls(bytearray, 1 << 50), r"_?_?builtins?_?_?\.bytearray"),
    "partial": (functools.partial(print), r"functools\.partial"),
    "numpy load": (Calls(np.load, "x.npy", None, True), r"numpy.*load"),
    "numpy fromfile": (Calls(np.fromfile, "x"), r"fromfile"),
    "numpy zeros": (Calls(np.zeros, 1 << 40), r"zeros"),
    "numpy memmap": (Calls(np.memmap, "x"), r"memmap"),
    "import": (Calls(builtins.__import__, "os"), r"__import__"),
    "object": (object(), r"copy_?reg|builtin"),
    "nested in array": (np.array([Calls(os.system, "true")], dtype=object), r"(posix|nt)\.system"),
    "two levels": (nested(Calls(os.system, "true"), 3), r"(posix|nt)\.system"),
    "ndarray called": (Calls(np.ndarray, (1 << 40,)), r"numpy\.ndarray"),
}


@pytest.mark.parametrize("attack", list(CALLS))
@pytest.mark.parametrize("protocol", [2, 4])
def test_pickles_that_call_are_refused_by_name(attack: str, protocol: int, tmp_path: Path) -> None:
    value, name = CALLS[attack]
    file = tmp_path / "ops.npy"
    file.write_bytes(npy_with(pickle.dumps(value, protocol=protocol)))
    with pytest.raises(UnsafeFileError, match=name) as raised:
        load_npy(file)
    assert str(raised.value).startswith(str(file))


def test_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    payload = pickle.dumps(Calls(os.system, f"touch {mark}"))
    (tmp_path / "a.npy").write_bytes(npy_with(payload))
    with pytest.raises(UnsafeFileError):
        load_npy(tmp_path / "a.npy")
    assert not mark.exists()


def text(word: str) -> bytes:
    return b"\x8c" + bytes([len(word)]) + word.encode()


def name(module: str, word: str) -> bytes:
    return text(module) + text(word) + b"\x93"


RECONSTRUCT = name("numpy._core.multiarray", "_reconstruct")
NDARRAY = name("numpy", "ndarray")
DTYPE_O = name("numpy", "dtype") + text("O8") + b"\x89\x88\x87R"
DTYPE_F8 = name("numpy", "dtype") + text("f8") + b"\x89\x88\x87R(K\x03" + text("<")
DTYPE_F8 += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
EMPTY_ARRAY = RECONSTRUCT + NDARRAY + b"K\x00\x85C\x01b\x87R"
HUGE = b"\x8a\x06" + (1 << 40).to_bytes(6, "little")
PROGRAMS = {
    "ndarray of a terabyte": RECONSTRUCT + NDARRAY + HUGE + b"\x85C\x01b\x87R",
    "weird class": RECONSTRUCT + name("collections", "OrderedDict") + b"K\x00\x85C\x01b\x87R",
    "weird class 2": RECONSTRUCT + name("numpy", "matrix") + b"K\x00\x85C\x01b\x87R",
    "state of a terabyte": EMPTY_ARRAY + b"(K\x01" + HUGE + b"\x85" + DTYPE_F8 + b"\x89C\x00tb",
    "negative shape": EMPTY_ARRAY + b"(K\x01J\xff\xff\xff\xff\x85" + DTYPE_F8 + b"\x89C\x00tb",
    "unbuilt array": EMPTY_ARRAY,
    "unbuilt dtype": DTYPE_O,
    "object dtype told to be bytes": EMPTY_ARRAY
    + b"(K\x01K\x01\x85"
    + DTYPE_O
    + b"(K\x03"
    + text("|")
    + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89C\x08\x41\x41\x41\x41\x41\x41\x41\x41tb",
    "BUILD of a list": b"]}b",
    "BUILD of a dict": b"}}b",
    "BUILD of a name": name("collections", "OrderedDict") + b"}b",
    "long text that is not there": b"\x8d" + struct.pack("<Q", 1 << 60),
    "long bytes that are not there": b"\x8e" + struct.pack("<Q", (1 << 63) + 5),
    "long number that is not there": b"\x8b" + struct.pack("<i", 1 << 30),
    "negative length": b"\x8b" + struct.pack("<i", -5),
    "bytearray": b"\x96" + struct.pack("<Q", 1 << 60),
    "out-of-band buffer": b"\x97",
    "extension registry": b"\x82\x01",
    "persistent id": b"K\x01Q",
    "old instance": b"(ios\nsystem\n",
    "missing memo": b"h\x05",
    "empty stack": b"R",
    "mark left": b"(K\x01\x85",
    "no stop": b"",
    "two values": b"K\x01K\x02",
    "list as key": b"}]K\x01s",
    "odd items": b"}(K\x01u",
    "a tuple of tuples as key": b"}))\x85\x85K\x01s",
    "deep tuple as a class": RECONSTRUCT + b")" + b"\x85" * 300_000 + b"K\x00\x85C\x01b\x87R",
    "a list as a name": b"]" + text("x") + b"\x93",
    "doubling lists as a call": b"".join(
        [
            b"]\x94",
            *(b"(" + b"j" + struct.pack("<I", n) + b"j" + struct.pack("<I", n) + b"l\x94" for n in range(60)),
        ]
    )
    + b")R",
    "a dtype of text": name("numpy", "dtype")
    + b"X"
    + struct.pack("<I", 300_000)
    + b"i4," * 100_000
    + b"\x85R",
    "a key of a million bits": b"}\x8b" + struct.pack("<i", 1 << 17) + b"\x01" * (1 << 17) + b"Ns",
    "utf-8": b"\x8c\x02\xff\xff",
    "deep import": name("os.path", "os.system"),
    "dotted name": name("builtins", "set.__class__"),
}


@pytest.mark.parametrize("attack", list(PROGRAMS))
def test_crafted_programs_are_refused(attack: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy_with(b"\x80\x04" + PROGRAMS[attack] + b"."))
    began = time.monotonic()
    with pytest.raises(UnsafeFileError):
        load_npy(tmp_path / "a.npy")
    assert time.monotonic() - began < 5


def test_copies_beyond_what_the_file_brings_are_refused() -> None:
    step = name("_codecs", "encode") + b"h\x00" + text("latin1") + b"\x86R"
    long_text = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"\x940"
    with pytest.raises(RefusedPickleError, match="memory"):
        read_plain_pickle(b"\x80\x04" + long_text + b"](" + step * 100 + b"e.")


def test_object_arrays_nested_beyond_reason_are_refused() -> None:
    data = pickle.dumps(nested(None, 100), protocol=4)
    assert read_plain_pickle(data).shape == (1,)
    opened = EMPTY_ARRAY + b"(K\x01K\x01\x85" + DTYPE_O + b"(K\x03" + text("|")
    opened += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]"
    data = b"\x80\x04" + opened * 1500 + b"N" + b"atb" * 1500 + b"."
    with pytest.raises(RefusedPickleError, match="1000"):
        read_plain_pickle(data)


def test_an_array_that_holds_itself_is_refused() -> None:
    box = np.empty(1, dtype=object)
    box[0] = box
    with pytest.raises(RefusedPickleError, match="itself"):
        read_plain_pickle(pickle.dumps(box, protocol=4))


def test_a_memo_index_of_billions_costs_nothing() -> None:
    began = time.monotonic()
    assert read_plain_pickle(b"\x80\x02K\x01r\xff\xff\xff\xff.") == 1
    assert time.monotonic() - began < 1


def test_random_damage_never_raises_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = pickle.dumps(PLAIN, protocol=4)
    refused = 0
    for _ in range(2000):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), size=3):
            damaged[place] = rng.integers(0, 256)
        try:
            read_plain_pickle(bytes(damaged))
        except RefusedPickleError:
            refused += 1
    assert refused > 500


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (npy_header("<f8", "(1000000000000,)"), InputFileError, "8000000000000 bytes"),
        (npy_header("<f8", "(3,)", b"\0" * 20), InputFileError, "24 bytes"),
        (npy_header("|V0", "(1000000000000,)"), UnsafeFileError, "no size"),
        (npy_header("<f8", "(-1,)"), UnsafeFileError, "shape"),
        (npy_header("<f8", "(True,)", b"\0" * 8), UnsafeFileError, "shape"),
        (npy_header("<f8", "(1,)")[:30], InputFileError, "not a .npy"),
        (npy_header("<f8", "__import__('os')"), InputFileError, "not a .npy"),
        (b"\x93NUMPY\x09\x00" + b"\0" * 40, InputFileError, "version"),
        (b"PK\x03\x04" + b"\0" * 40, InputFileError, "not a .npy"),
        (b"", InputFileError, "not a .npy"),
        (
            npy_header("<f8", "((("),
            InputFileError,
            "not a .npy",
        ),
    ],
)
def test_headers_that_lie(data: bytes, error: type[Exception], words: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    for read in (load_npy, open_npy):
        with pytest.raises(error, match=words):
            read(tmp_path / "a.npy")


def test_records_with_objects_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([(1, None)], dtype=[("a", "i4"), ("b", "O")]), allow_pickle=True)
    (tmp_path / "a.npy").write_bytes(stream.getvalue())
    for read in (load_npy, open_npy):
        with pytest.raises(UnsafeFileError, match="objects"):
            read(tmp_path / "a.npy")


def test_limits_and_missing_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(1000))
    with pytest.raises(UnsafeFileError, match="more than the 100"):
        load_npy(tmp_path / "a.npy", max_bytes=100)
    for read in (load_npy, open_npy):
        with pytest.raises(InputFileError, match="cannot be read"):
            read(tmp_path / "b.npy")
    (tmp_path / "c.npy").write_bytes(npy_with(pickle.dumps(np.array([1, 2], dtype=object)), "(3,)"))
    with pytest.raises(InputFileError, match="header"):
        load_npy(tmp_path / "c.npy")
    with pytest.raises(UnsafeFileError, match="Python objects"):
        open_npy(tmp_path / "c.npy")
