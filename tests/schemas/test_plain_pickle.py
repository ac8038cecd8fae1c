"""Pickles of every protocol, of pandas and of PyTables, and the ones that want more than to be read."""

from __future__ import annotations

import datetime
import functools
import os
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from refusals import refusal

from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.file_guard import load_pickle, open_hdf5, read_pickle_bytes
from nwbswitch.schemas.plain_pickle import RefusedPickleError, read_plain_pickle

REFERENCE = Path(__file__).parents[1] / "reference" / "pandas_pickles"
PROTOCOLS = range(6)

VALUES: dict[str, Any] = {
    "numbers": [
        0,
        1,
        -1,
        255,
        256,
        70_000,
        -(1 << 31),
        1 << 80,
        -(1 << 80),
        1.5,
        -0.0,
        float("inf"),
        True,
        False,
    ],
    "texts": ["", "a", "µ", "日本", "a\nb", "back\\slash", "q'\"", "\x00", "\U0001f42d", "x" * 300],
    "bytes": [b"", b"\x00\xff", b"x" * 300],
    "containers": {
        "a": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "b": {1, 2},
        "c": frozenset("x"),
        3: None,
    },
    "dates": [datetime.date(2026, 3, 1), datetime.timedelta(seconds=1.5), slice(1, None, 2), 1 + 2j],
}


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("key", list(VALUES))
def test_plain_values_of_every_protocol(key: str, protocol: int) -> None:
    value = [VALUES[key], VALUES[key]]
    found = read_plain_pickle(pickle.dumps(value, protocol))
    assert repr(found) == repr(value)
    assert found == value
    assert found[0] is found[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">i2").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
        np.arange(10)[::3],
        np.zeros((0, 3)),
        np.array(["a", "bc"]),
        np.array([{"x": 1}, None], dtype=object),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.float32(2.5),
        np.datetime64("2026-03-01"),
    ],
)
def test_arrays_of_every_protocol(array: Any, protocol: int) -> None:
    found = read_plain_pickle(pickle.dumps(array, protocol))
    assert type(found) is type(array)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)
    if isinstance(array, np.ndarray):
        found[...] = array  # an array is the caller's own


# ---- pandas -----------------------------------------------------------------------------------------------

COLUMNS = pd.MultiIndex.from_product(
    [["scorer"], ["nose", "tail"], ["x", "y", "likelihood"]], names=["scorer", "bodyparts", "coords"]
)
TABLES = {
    "poses": pd.DataFrame(np.arange(12.0).reshape(2, 6), columns=COLUMNS, index=["a/1.png", "a/2.png"]),
    "mixed": pd.DataFrame(
        {
            "count": [1, 2, 3],
            "dose": [1.5, np.nan, 2],
            "drug": ["saline", "ketamine", None],
            "time": pd.to_datetime(["2020-01-01", "2020-01-02", None]),
            "kept": [True, False, True],
        },
        index=pd.RangeIndex(3, name="trial"),
    ),
    "series": pd.Series([1.0, 2.0], name="rate", index=pd.Index([4, 7])),
}


def assert_same(found: Any, expected: Any, **options: Any) -> None:
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, **options)
    elif isinstance(expected, pd.Series):
        pd.testing.assert_series_equal(found, expected, **options)
    else:
        pd.testing.assert_index_equal(found, expected, exact="equiv")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        *TABLES.values(),
        pd.DataFrame(),
        TABLES["mixed"][["dose", "count", "kept"]].astype({"count": float}),
        TABLES["mixed"]["drug"],
        COLUMNS,
        pd.Index(["a", "µ", "日本", ""], name="n"),
        pd.Index([1, 5]),
        pd.RangeIndex(10, 0, -2),
        pd.to_datetime(["2026-03-01", "2026-03-02"]),
        pd.Series(["a", None, "c"] * 20)[3:],
        pd.concat([pd.Series(["a"]), pd.Series(["b", None])]),
    ],
)
def test_tables_of_pandas(value: Any, protocol: int) -> None:
    assert_same(read_plain_pickle(pickle.dumps(value, protocol)), value)


@pytest.mark.parametrize("version", ["1.5.3", "2.2.3"])
@pytest.mark.parametrize("name", list(TABLES))
def test_tables_that_older_pandas_has_written(name: str, version: str) -> None:
    found = load_pickle(REFERENCE / f"{name}_{version}.pkl")
    expected = TABLES[name]
    if name == "mixed":  # pandas counted time in nanoseconds then
        expected = expected.astype({"time": "datetime64[ns]"})
    assert_same(found, expected, check_dtype=False, check_index_type=False)


@pytest.mark.parametrize("value", [pd.Timestamp("2026-03-01 12:00"), pd.Timedelta("1.5s"), pd.NaT])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_times_of_pandas(value: Any, protocol: int) -> None:
    found = read_plain_pickle(pickle.dumps([value], protocol))[0]
    assert found is value or found == value


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (pd.Series(["a"], dtype="category"), r"pandas.*Categorical"),
        (pd.Series([1, None], dtype="Int64"), r"pandas.*IntegerArray"),
        (pd.Series([1], index=pd.period_range("2020", periods=1)), r"pandas.*Period"),
        (pd.NA, "no value"),
        (pd.Index, "no value"),
    ],
)
def test_other_parts_of_pandas_are_named(value: Any, name: str) -> None:
    with pytest.raises(RefusedPickleError, match=name):
        read_plain_pickle(pickle.dumps(value, 4))


def text(word: str) -> bytes:
    return b"\x8c" + bytes([len(word)]) + word.encode()


def name(module: str, word: str) -> bytes:
    return text(module) + text(word) + b"\x93"


def whole(number: int) -> bytes:
    return b"\x8a\x08" + number.to_bytes(8, "little", signed=True)


NEW_INDEX = name("pandas.core.indexes.base", "_new_Index")
MANAGER = name("pandas.core.internals.managers", "BlockManager")


def index(kind: str, **state: bytes) -> bytes:
    items = b"".join(text(key) + value for key, value in state.items())
    return NEW_INDEX + name("pandas", kind) + b"}(" + items + b"u\x86R"


def saved(value: Any) -> bytes:
    """Return the pickle of a value without its frame, for use inside another."""
    return pickle._dumps(value, 3)[2:-1]  # type: ignore[attr-defined]


RANGE = index("RangeIndex", start=whole(0), stop=whole(2), step=whole(1), name=b"N")
PROGRAMS = {
    "a range of 2^60": index("RangeIndex", start=whole(0), stop=whole(1 << 60), step=whole(1)),
    "a range without a step": index("RangeIndex", start=whole(0), stop=whole(1), step=whole(0)),
    "codes beyond the levels": index(
        "MultiIndex",
        levels=b"](" + RANGE + b"e",
        codes=saved([np.array([5], np.int8)]),
        names=b"](Ne",
    ),
    "an index of lists": index("Index", data=saved(np.array([{"a": 1}, None], dtype=object))),
    "a table that is no table": name("pandas", "DataFrame") + b")\x81}b",
    "a manager of nothing": MANAGER + b"]]\x86R",
    "two columns in one place": name("pandas", "DataFrame")
    + b")\x81}("
    + text("_mgr")
    + MANAGER
    + b"("
    + (
        name("pandas._libs.internals", "_unpickle_block")
        + saved(np.zeros((1, 2)))
        + saved(slice(0, 1, 1))
        + b"K\x02\x87R"
    )
    * 2
    + b"t]("
    + RANGE * 2
    + b"e\x86Rub",
    "too few rows": name("pandas", "DataFrame")
    + b")\x81}("
    + text("_mgr")
    + MANAGER
    + name("pandas._libs.internals", "_unpickle_block")
    + saved(np.zeros((2, 1)))
    + saved(slice(0, 2, 1))
    + b"K\x02\x87R\x85]("
    + RANGE * 2
    + b"e\x86Rub",
    "texts beyond their bytes": name("pyarrow.lib", "_restore_array")
    + saved((("large_string", 1, 0, 0, [None, np.array([0, 1 << 40]).tobytes(), b"x"], [], None),))
    + b"R",
    "texts of 2^60": name("pyarrow.lib", "_restore_array")
    + saved((("large_string", 1 << 60, 0, 0, [None, b"\0" * 16, b""], [], None),))
    + b"R",
    "texts that run backwards": name("pyarrow.lib", "_restore_array")
    + saved((("large_string", 2, 0, 0, [None, np.array([0, 5, 1]).tobytes(), b"abcdef"], [], None),))
    + b"R",
    "texts that begin before": name("pyarrow.lib", "_restore_array")
    + saved((("large_string", 1, 0, 0, [None, np.array([-9, 1]).tobytes(), b"abcdef"], [], None),))
    + b"R",
    "texts with too few flags": name("pyarrow.lib", "_restore_array")
    + saved((("string", 9, 0, 0, [b"\xff", bytes(40), b""], [], None),))
    + b"R",
    "numbers of Arrow": name("pyarrow.lib", "type_for_alias") + text("int64") + b"\x85R",
    "a buffer of an address": name("pyarrow.lib", "py_buffer") + whole(1 << 40) + b"\x85R",
    "a foreign buffer": name("pyarrow.lib", "foreign_buffer") + whole(1 << 40) + whole(8) + b"\x86R",
    "a timestamp of a text": name("pandas._libs.tslibs.timestamps", "_unpickle_timestamp")
    + saved(("now", None, None, 10))
    + b"R",
    "an axis order that is none": name("numpy._core.numeric", "_frombuffer")
    + b"("
    + saved(bytes(8))
    + saved(np.dtype("f8"))
    + saved((1,))
    + text("K")
    + saved((7,))
    + b"tR",
    "a buffer of objects": name("numpy._core.numeric", "_frombuffer")
    + b"("
    + saved(bytes(8))
    + saved(np.dtype(object))
    + saved((1,))
    + text("C")
    + b"tR",
    "a bytearray of 2^60": name("builtins", "bytearray") + whole(1 << 60) + b"\x85R",
    "a text without quotes": b"Sabc\n",
    "a number of a million digits": b"I" + b"9" * 1_000_000 + b"\n",
    "a long number of a million digits": b"L" + b"9" * 1_000_000 + b"L\n",
    "a slice of lists": name("builtins", "slice") + b"]]]\x87R",
    "an instance of the old kind": b"(ios\nsystem\n",
    "an object of the old kind": b"(cos\nsystem\no",
    "a persistent object": b"Pname\n",
}


@pytest.mark.parametrize("attack", list(PROGRAMS))
def test_crafted_programs_are_refused(attack: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04" + PROGRAMS[attack] + b".")
    with refusal(path, "holds a pickle that is not read"):
        load_pickle(path)


def test_the_same_parts_in_order_are_a_table() -> None:
    """What the attacks above are made of is right where nothing is wrong with it."""
    block = (
        name("pandas._libs.internals", "_unpickle_block") + saved(np.zeros((2, 2))) + saved(slice(0, 2, 1))
    )
    program = name("pandas", "DataFrame") + b")\x81}(" + text("_mgr") + MANAGER + block + b"K\x02\x87R\x85]("
    found = read_plain_pickle(b"\x80\x04" + program + RANGE * 2 + b"e\x86Rub.")
    assert_same(found, pd.DataFrame(np.zeros((2, 2))))
    texts = saved((("string", 2, 1, 0, [b"\x01", np.array([0, 2, 2], "<i4").tobytes(), b"ab"], [], None),))
    found = read_plain_pickle(b"\x80\x04" + name("pyarrow.lib", "_restore_array") + texts + b"R.")
    assert found.tolist() == ["ab", None]


# ---- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Calls(os.system, "true"), r"(posix|nt)\.system"),
        (functools.partial(print, 1), r"functools\.partial"),
        (Calls(eval, "1"), r"eval"),
        (Calls(np.load, "x"), r"numpy.*load"),
        (Calls(np.memmap, "x"), r"memmap"),
        (Calls(pd.read_pickle, "x"), r"read_pickle"),
        (Calls(pd.eval, "1"), r"pandas.*eval"),
        (np.random.default_rng(1), r"numpy\.random"),
        ({"deep": [(Calls(os.system, "true"),)]}, r"system"),
    ],
)
def test_pickles_that_call_are_refused_by_name(value: Any, words: str, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "meta.pickle"
    path.write_bytes(pickle.dumps(value, protocol))
    with refusal(path, words):
        load_pickle(path)


@pytest.mark.parametrize("opened", [b"\x85" * 100_000, b"\x85\x94" * 100_000, b"\x85" * 201])
def test_tuples_nested_without_end_are_refused(opened: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04)" + opened + b".")
    with refusal(path, "200 deep"):
        load_pickle(path)


def test_lists_and_dictionaries_nested_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    for opened, closed in ((b"]", b"a"), (b"}K\x01", b"s")):
        path.write_bytes(b"\x80\x04" + opened * 30_000 + b"N" + closed * 30_000 + b".")
        with refusal(path, "200 deep"):
            load_pickle(path)


def test_what_holds_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    listed: list[Any] = []
    listed.append({"a": listed})
    path.write_bytes(pickle.dumps(listed, 4))
    with refusal(path, "holds itself"):
        load_pickle(path)


def test_laughing_lists_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    value: Any = ["ha"]
    for _ in range(30):
        value = [value] * 10
    path.write_bytes(pickle.dumps(value, 4))
    with refusal(path, "far more values than it brings"):
        load_pickle(path)


def test_shared_values_within_reason_are_read() -> None:
    value = [list(range(1000))] * 50
    assert read_plain_pickle(pickle.dumps(value, 4)) == value


def test_metadata_as_deeplabcut_writes_it(tmp_path: Path) -> None:
    data = {
        "start": 1_700_000_000.5,
        "Scorer": "DLC_resnet50",
        "DLC-model-config file": {
            "all_joints": [[0], [1]],
            "mean_pixel": [123.68, 116.779, 103.939],
            "net": None,
        },
        "fps": 30.0,
        "frame_dimensions": (480, 640),
        "nframes": np.int64(2330),
        "cropping_parameters": [0, 640, 0, 480],
    }
    path = tmp_path / "video_meta.pickle"
    path.write_bytes(pickle.dumps({"data": data}, pickle.HIGHEST_PROTOCOL))
    assert load_pickle(path) == {"data": data}
    with refusal(path, "more than the 10"):
        load_pickle(path, max_bytes=10)
    with refusal(tmp_path / "none.pkl", "cannot be read", InputFileError):
        load_pickle(tmp_path / "none.pkl")


def test_labels_in_the_attributes_of_a_real_table_of_poses(shared: Path) -> None:
    path = next((shared / "data" / "dlc_openfield").glob("*.h5"))
    with open_hdf5(path) as file:
        node = file["df_with_missing"]
        axes = read_pickle_bytes(node.attrs["non_index_axes"], path, "/df_with_missing non_index_axes")
        assert read_pickle_bytes(node.attrs["values_cols"], path) == ["values_block_0"]
        assert read_pickle_bytes(node.attrs["index_cols"], path) == [(0, "index")]
        names = read_pickle_bytes(node.attrs["info"], path)[1]["names"]
    assert names == ["scorer", "bodyparts", "coords"]
    assert axes[0][0] == 1
    assert axes[0][1][:3] == [
        ("DLC_resnet50_openfieldAug20shuffle1_30000", "snout", each) for each in ("x", "y", "likelihood")
    ]


def test_attributes_that_call_are_refused_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "poses.h5"
    with h5py.File(path, "w") as file:
        file.attrs["non_index_axes"] = np.bytes_(pickle.dumps(Calls(os.system, "true"), 0))
    with open_hdf5(path) as file, refusal(path, "at /table non_index_axes .*system"):
        read_pickle_bytes(file.attrs["non_index_axes"], path, "/table non_index_axes")


def test_random_damage_never_raises_anything_else() -> None:
    rng = np.random.default_rng(7)
    refused = 0
    for protocol in (0, 4, 5):
        data = pickle.dumps([VALUES, TABLES["mixed"], TABLES["poses"]], protocol)
        for _ in range(500):
            damaged = bytearray(data)
            for place in rng.integers(0, len(data), size=3):
                damaged[place] = rng.integers(0, 256)
            try:
                read_plain_pickle(bytes(damaged))
            except RefusedPickleError:
                refused += 1
    assert refused > 300
