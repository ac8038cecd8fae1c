"""Tables, columns and indexes of pandas as pickles describe them (1.5 to 3), made by its public classes.

pandas pickles its inner blocks. Only their arrays, places and labels are taken over, each length is compared,
and extension types other than text and times without a zone are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.plain_limits import Budget, Name, RefusedPickleError, Unbuilt, checked_key, need

MAX_RANGE = 1 << 31
_UNITS = {7: "s", 8: "ms", 9: "us", 10: "ns"}
_FREQUENCIES = ("Day", "Hour", "Minute", "Second", "Milli", "Micro", "Nano")


@dataclass(frozen=True, slots=True)
class Block:
    """Some columns of a table: values of shape (columns, rows), or one column."""

    values: NDArray[Any]
    places: slice | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Manager:
    """The blocks of a table with the labels of columns and rows, or of a series with those of its rows."""

    blocks: tuple[Block, ...]
    axes: tuple[Any, ...]


PARTS = (Block, Manager, Name, Unbuilt)
"""What may stand inside a pickle, but is no value of its own."""


def _table(budget: Budget, *arguments: Any) -> Unbuilt:
    need(arguments == (), "pandas.DataFrame")
    return Unbuilt("table")


def _series(budget: Budget, *arguments: Any) -> Unbuilt:
    need(arguments == (), "pandas.Series")
    return Unbuilt("series")


def _manager(budget: Budget, *arguments: Any) -> Unbuilt | Manager:
    if not arguments:
        return Unbuilt("manager")
    need(
        len(arguments) == 2
        and isinstance(arguments[0], tuple)
        and all(isinstance(each, Block) for each in arguments[0])
        and isinstance(arguments[1], list),
        "pandas' BlockManager",
    )
    return Manager(arguments[0], tuple(arguments[1]))


def _block(budget: Budget, *arguments: Any) -> Block:
    need(len(arguments) == 3, "pandas' _unpickle_block")
    return _checked_block(arguments[0], arguments[1])


def _checked_block(values: Any, places: Any) -> Block:
    whole = isinstance(places, np.ndarray) and places.dtype.kind == "i" and places.ndim == 1
    need(isinstance(values, np.ndarray) and (whole or isinstance(places, slice)), "pandas' _unpickle_block")
    return Block(values, places)


def _index(budget: Budget, *arguments: Any) -> Any:
    import pandas

    need(
        len(arguments) == 2 and isinstance(arguments[0], Name) and type(arguments[1]) is dict,
        "pandas' _new_Index",
    )
    kind, state = arguments[0].name, arguments[1]
    name = checked_key(state.get("name"))
    if kind == "RangeIndex":
        start, stop, step = bounds = [state.get(each) for each in ("start", "stop", "step")]
        need(all(type(each) is int and abs(each) < 1 << 62 for each in bounds) and step != 0, kind)
        need(len(range(start, stop, step)) <= MAX_RANGE, kind)
        return pandas.RangeIndex(start, stop, step, name=name)
    if kind == "MultiIndex":
        return _multi_index(budget, state)
    data = state.get("data")
    need(isinstance(data, np.ndarray) and data.ndim == 1, kind)
    budget.spend(data.nbytes)
    if kind == "DatetimeIndex":
        need(data.dtype.kind == "M", kind)
        return pandas.DatetimeIndex(data, name=name)
    need(kind.endswith("Index") and data.dtype.kind in "biufOMm", kind)
    if data.dtype.hasobject:
        for each in data:
            checked_key(each)
    return pandas.Index(data, name=name, tupleize_cols=False)


def _multi_index(budget: Budget, state: dict[Any, Any]) -> Any:
    import pandas

    levels: Any
    codes: Any
    names: Any
    levels, codes, names = (state.get(each) for each in ("levels", "codes", "names"))
    need(
        isinstance(levels, list)
        and isinstance(codes, list)
        and isinstance(names, list)
        and 0 < len(levels) == len(codes) == len(names) <= 64
        and all(isinstance(each, pandas.Index) for each in levels)
        and all(isinstance(each, np.ndarray) and each.dtype.kind == "i" and each.ndim == 1 for each in codes),
        "pandas.MultiIndex",
    )
    budget.spend(sum(8 * each.size for each in codes))
    names = [checked_key(each) for each in names]
    return pandas.MultiIndex(levels=levels, codes=codes, names=names, verify_integrity=True)


def _backed(budget: Budget, *arguments: Any) -> Unbuilt:
    need(
        len(arguments) == 3 and isinstance(arguments[0], Name) and arguments[2] is None,
        "pandas' NDArrayBacked",
    )
    return Unbuilt("backed")


def _text_dtype(budget: Budget, *arguments: Any) -> Unbuilt | None:
    return None if arguments else Unbuilt("text dtype")


def _texts(budget: Budget, *arguments: Any) -> Unbuilt:
    need(arguments == (), "pandas' ArrowStringArray")
    return Unbuilt("texts")


def _arrow_type(budget: Budget, *arguments: Any) -> str:
    need(len(arguments) == 1 and arguments[0] in ("string", "large_string"), "pyarrow's type_for_alias")
    return str(arguments[0])


def _arrow_buffer(budget: Budget, *arguments: Any) -> bytes:
    need(len(arguments) == 1 and isinstance(arguments[0], bytes | bytearray), "pyarrow's py_buffer")
    return bytes(arguments[0])


def _arrow_texts(budget: Budget, *arguments: Any) -> NDArray[Any]:
    """Make the texts of an Arrow array: type, length, nulls, offset, [validity, offsets, bytes], ..."""
    need(
        len(arguments) == 1 and isinstance(arguments[0], tuple) and len(arguments[0]) == 7, "pyarrow's array"
    )
    kind, length, _, offset, buffers, children, dictionary = arguments[0]
    need(
        kind in ("string", "large_string")
        and type(length) is int
        and type(offset) is int
        and length >= 0 <= offset
        and isinstance(buffers, list)
        and len(buffers) == 3
        and all(each is None or isinstance(each, bytes) for each in buffers)
        and not children
        and dictionary is None,
        "pyarrow's array",
    )
    valid, places, data = buffers
    dtype = np.dtype("<i8" if kind == "large_string" else "<i4")
    end = offset + length
    need(not length or len(places or b"") >= dtype.itemsize * (end + 1), "pyarrow's array")
    need(valid is None or 8 * len(valid) >= end, "pyarrow's array")
    budget.nest()
    budget.spend(64 * length)
    texts = np.empty(length, dtype=object)
    if length:
        bounds = np.frombuffer(places, dtype, count=end + 1)[offset:]
        data = data or b""
        need(
            bounds[0] >= 0 and bool((np.diff(bounds) >= 0).all()) and bounds[-1] <= len(data),
            "pyarrow's array",
        )
        texts[:] = [
            data[a:b].decode("utf-8") for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        ]
    if valid is not None:
        here = np.unpackbits(np.frombuffer(valid, "u1"), bitorder="little")[offset:end]
        texts[here == 0] = None
    return texts


def _chunked_texts(budget: Budget, *arguments: Any) -> NDArray[Any]:
    need(
        len(arguments) == 2
        and isinstance(arguments[0], list)
        and all(isinstance(each, np.ndarray) and each.dtype == object for each in arguments[0]),
        "pyarrow's chunked_array",
    )
    budget.nest()
    budget.spend(sum(each.nbytes for each in arguments[0]))
    return np.concatenate([np.empty(0, dtype=object), *arguments[0]])


def _timestamp(budget: Budget, *arguments: Any) -> Any:
    import pandas

    unit: Any = _UNITS.get(arguments[3] if len(arguments) == 4 else 10)
    need(
        len(arguments) in (3, 4) and type(arguments[0]) is int and arguments[2] is None and unit is not None,
        "pandas.Timestamp",
    )
    return pandas.Timestamp(np.datetime64(arguments[0], unit))


def _timedelta(budget: Budget, *arguments: Any) -> Any:
    import pandas

    unit: Any = _UNITS.get(arguments[1]) if len(arguments) == 2 else None
    need(unit is not None and type(arguments[0]) is int, "pandas.Timedelta")
    return pandas.Timedelta(np.timedelta64(arguments[0], unit))


def _no_time(budget: Budget, *arguments: Any) -> Any:
    import pandas

    return pandas.NaT


def _frequency(budget: Budget, *arguments: Any) -> None:
    return None


def built_table(budget: Budget, state: Any) -> Any:
    """Return the table of a state; each column has exactly one place and as many values as there are rows."""
    import pandas

    manager = state.get("_mgr") if type(state) is dict else None
    if not isinstance(manager, Manager) or len(manager.axes) != 2:
        raise RefusedPickleError("a table has no blocks")
    labels, rows = manager.axes
    need(isinstance(labels, pandas.Index) and isinstance(rows, pandas.Index), "pandas.DataFrame")
    columns: dict[int, NDArray[Any]] = {}
    for block in manager.blocks:
        budget.spend(block.values.nbytes)
        values = block.values if block.values.ndim == 2 else block.values.reshape(1, -1)
        places = _places(block.places, len(labels))
        need(values.shape == (len(places), len(rows)), "pandas.DataFrame")
        columns.update(zip(places, values, strict=True))
    total = sum(len(_places(block.places, len(labels))) for block in manager.blocks)
    need(len(columns) == total == len(labels), "pandas.DataFrame")
    if (
        len(manager.blocks) == 1
        and manager.blocks[0].values.ndim == 2
        and list(columns) == list(range(total))
    ):
        return pandas.DataFrame(manager.blocks[0].values.T, index=rows, columns=labels, copy=True)
    frame = pandas.DataFrame({place: columns[place] for place in range(total)}, index=rows)
    frame.columns = labels
    return frame


def _places(places: slice | NDArray[Any], count: int) -> list[int]:
    found = (
        list(range(*places.indices(count))) if isinstance(places, slice) else [int(each) for each in places]
    )
    need(all(0 <= each < count for each in found), "pandas.DataFrame")
    return found


def built_series(budget: Budget, state: Any) -> Any:
    """Return the series of a state."""
    import pandas

    manager = state.get("_mgr") if type(state) is dict else None
    if not isinstance(manager, Manager) or len(manager.axes) != 1 or len(manager.blocks) != 1:
        raise RefusedPickleError("a series has no block")
    values, (rows,) = manager.blocks[0].values, manager.axes
    need(isinstance(rows, pandas.Index) and values.shape == (len(rows),), "pandas.Series")
    budget.spend(values.nbytes)
    name = checked_key(state.get("_name", state.get("name")))
    return pandas.Series(values, index=rows, name=name, copy=True)


def built_manager(budget: Budget, state: Any) -> Manager:
    """Return the blocks of the long form of a state, which says them twice."""
    need(isinstance(state, tuple) and len(state) == 4 and type(state[3]) is dict, "pandas' BlockManager")
    inner = state[3].get("0.14.1")
    need(
        type(inner) is dict
        and isinstance(inner.get("axes"), list)
        and isinstance(inner.get("blocks"), list)
        and all(type(each) is dict for each in inner["blocks"]),
        "pandas' BlockManager",
    )
    blocks = tuple(_checked_block(each.get("values"), each.get("mgr_locs")) for each in inner["blocks"])
    return Manager(blocks, tuple(inner["axes"]))


def built_backed(budget: Budget, state: Any) -> NDArray[Any]:
    """Return the array inside an extension array of times or text."""
    arrays = [each for each in state if isinstance(each, np.ndarray)] if isinstance(state, tuple) else []
    need(len(arrays) == 1 and arrays[0].dtype.kind in "MmO", "pandas' NDArrayBacked")
    array: NDArray[Any] = arrays[0]
    return array


def built_texts(budget: Budget, state: Any) -> NDArray[Any]:
    """Return the array inside an extension array of text that Arrow holds."""
    array = state.get("_pa_array") if type(state) is dict else None
    if not isinstance(array, np.ndarray):
        raise RefusedPickleError("an array of text has no values")
    return array


BUILDERS: dict[str, Callable[[Budget, Any], Any]] = {
    "table": built_table,
    "series": built_series,
    "manager": built_manager,
    "backed": built_backed,
    "texts": built_texts,
    "text dtype": lambda budget, state: None,
}

_MENTIONED = {
    "pandas": ("Index", "RangeIndex", "MultiIndex", "DatetimeIndex", "NA"),
    "pandas._libs.missing": ("NA",),
    "pandas.core.indexes.base": ("Index",),
    "pandas.core.indexes.range": ("RangeIndex",),
    "pandas.core.indexes.multi": ("MultiIndex",),
    "pandas.core.indexes.datetimes": ("DatetimeIndex",),
    "pandas.core.indexes.numeric": ("Int64Index", "UInt64Index", "Float64Index"),
    "pandas.arrays": ("DatetimeArray", "TimedeltaArray", "StringArray"),
    "pandas.core.arrays.datetimes": ("DatetimeArray",),
    "pandas.core.arrays.timedeltas": ("TimedeltaArray",),
    "pandas.core.arrays.string_": ("StringArray",),
}
MARKERS = frozenset(Name(module, name) for module, names in _MENTIONED.items() for name in names)

CONSTRUCTORS: dict[Name, Callable[..., Any]] = {
    Name("pandas", "DataFrame"): _table,
    Name("pandas.core.frame", "DataFrame"): _table,
    Name("pandas", "Series"): _series,
    Name("pandas.core.series", "Series"): _series,
    Name("pandas.core.internals.managers", "BlockManager"): _manager,
    Name("pandas.core.internals.managers", "SingleBlockManager"): _manager,
    Name("pandas._libs.internals", "_unpickle_block"): _block,
    Name("pandas.core.indexes.base", "_new_Index"): _index,
    Name("pandas.core.indexes.datetimes", "_new_DatetimeIndex"): _index,
    Name("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"): _backed,
    Name("pandas", "StringDtype"): _text_dtype,
    Name("pandas.core.arrays.string_", "StringDtype"): _text_dtype,
    Name("pandas.arrays", "ArrowStringArray"): _texts,
    Name("pandas.core.arrays.string_arrow", "ArrowStringArray"): _texts,
    Name("pyarrow.lib", "type_for_alias"): _arrow_type,
    Name("pyarrow.lib", "py_buffer"): _arrow_buffer,
    Name("pyarrow.lib", "_restore_array"): _arrow_texts,
    Name("pyarrow.lib", "chunked_array"): _chunked_texts,
    Name("pandas._libs.tslibs.timestamps", "_unpickle_timestamp"): _timestamp,
    Name("pandas._libs.tslibs.timedeltas", "_timedelta_unpickle"): _timedelta,
    Name("pandas._libs.tslibs.nattype", "_nat_unpickle"): _no_time,
    Name("pandas._libs.tslibs.nattype", "__nat_unpickle"): _no_time,
    **{Name("pandas._libs.tslibs.offsets", each): _frequency for each in _FREQUENCIES},
}
