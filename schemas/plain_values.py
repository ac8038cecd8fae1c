"""The plain values that a pickle may describe, made by functions of this module and by nothing else.

`CONSTRUCTORS` is the whole list of names that a pickle may call; `built_dtype` and `built_array` make what
numpy would make from a pickled state, without believing the sizes and flags in it.
"""

from __future__ import annotations

import datetime
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_NESTABLE = 1000
"""Most object arrays and record dtypes in one pickle: numpy frees nested ones by recursion on the C stack."""
MAX_KEY_BITS = 128
MAX_KEY_PARTS = 64
MAX_DIMENSIONS = 64
MAX_DTYPE_TEXT = 64
MAX_NESTING = 200
_SLACK_BYTES = 1 << 20
_KEY_TYPES = (
    str,
    bytes,
    int,
    float,
    complex,
    type(None),
    datetime.date,
    datetime.time,
    datetime.timedelta,
    PurePath,
)
_HOLDERS = (dict, list, tuple, np.ndarray)


class RefusedPickleError(ValueError):
    """A pickle that holds more than plain data, is damaged, or asks for more memory than it brings."""


@dataclass(frozen=True, slots=True)
class Name:
    """A global name in a pickle; it stands for nothing until it is found in `CONSTRUCTORS`."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Unbuilt:
    """An array or dtype between its two halves: the call that makes it and the state that fills it."""

    kind: str
    text: str = ""
    memo_keys: list[int] = field(default_factory=list)


class Budget:
    """What may still be made: an honest pickle uses each of its bytes about once and nests little."""

    def __init__(self, size: int) -> None:
        self._left = 4 * size + _SLACK_BYTES
        self._nestable = MAX_NESTABLE

    def nest(self) -> None:
        self._nestable -= 1
        if self._nestable < 0:
            raise RefusedPickleError(f"it has more than {MAX_NESTABLE} arrays of objects or record types")

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise RefusedPickleError("it unpacks to far more memory than it brings")


ARRAY_NAMES = {Name(module, "ndarray") for module in ("numpy", "numpy.core.multiarray")}


def checked_key(value: Any) -> Any:
    """Return a dictionary key or set member that is flat and short.

    Hashing nested tuples can exhaust the C stack, and a long key that is used often costs hours.
    """
    parts = value if type(value) is tuple else (value,)
    for each in parts:
        long = isinstance(each, int) and each.bit_length() > MAX_KEY_BITS
        if long or len(parts) > MAX_KEY_PARTS or not isinstance(each, (*_KEY_TYPES, np.generic)):
            raise RefusedPickleError(f"a key is a {type(each).__name__} that is no plain key")
    return value


def check_nesting(value: Any, *, most: int) -> None:
    """Refuse a value that holds itself, is nested too deep, or is far larger written out than its pickle.

    A list of ten references to a list of ten references, and so on, is small in memory, but whoever walks
    through it never ends.
    """
    most = max(1 << 20, 16 * most)
    extents: dict[int, tuple[int, int]] = {}
    path: list[tuple[Any, Any, int, int]] = []
    current, inner, depth, size = value, iter(_held(value)), 0, 1
    busy = {id(value)}
    while True:
        for child in inner:
            if not isinstance(child, _HOLDERS):
                size += 1
                continue
            known = extents.get(id(child))
            if known is None:
                if id(child) in busy:
                    raise RefusedPickleError("a container holds itself")
                if len(path) > MAX_NESTING:
                    raise RefusedPickleError(f"it nests containers more than {MAX_NESTING} deep")
                path.append((current, inner, depth, size))
                busy.add(id(child))
                current, inner, depth, size = child, iter(_held(child)), 0, 1
                break
            depth, size = max(depth, known[0]), size + known[1]
        else:
            depth += 1
            if depth + len(path) > MAX_NESTING:
                raise RefusedPickleError(f"it nests containers more than {MAX_NESTING} deep")
            if size > most:
                raise RefusedPickleError("it unpacks to far more values than it brings")
            extents[id(current)] = (depth, size)
            busy.discard(id(current))
            if not path:
                return
            inside = (depth, size)
            current, inner, depth, size = path.pop()
            depth, size = max(depth, inside[0]), size + inside[1]


def _held(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, np.ndarray):
        return value.flat if value.dtype.hasobject else ()
    return value if isinstance(value, list | tuple) else ()


def need(condition: bool, name: str) -> None:
    """Refuse a call that has another form than numpy's ``save`` gives it."""
    if not condition:
        raise RefusedPickleError(f"{name} is called in a way that plain data never needs")


def _are_sizes(shape: Any) -> bool:
    if not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS:
        return False
    return all(type(n) is int and 0 <= n < 1 << 62 for n in shape)


def _reconstruct(budget: Budget, *arguments: Any) -> Unbuilt:
    need(
        len(arguments) == 3
        and isinstance(arguments[0], Name)
        and arguments[0] in ARRAY_NAMES
        and arguments[1] == (0,),
        "numpy's _reconstruct",
    )
    return Unbuilt("array")


def _dtype(budget: Budget, *arguments: Any) -> Unbuilt:
    need(
        1 <= len(arguments) <= 3 and isinstance(arguments[0], str) and len(arguments[0]) <= MAX_DTYPE_TEXT,
        "numpy.dtype",
    )
    return Unbuilt("dtype", arguments[0])


def _from_buffer(budget: Budget, *arguments: Any) -> NDArray[Any]:
    """Make the array of protocol 5: bytes, dtype, shape, order and, lately, the order of the axes."""
    need(
        len(arguments) in (4, 5)
        and isinstance(arguments[0], bytes | bytearray)
        and isinstance(arguments[1], np.dtype)
        and not arguments[1].hasobject
        and arguments[3] in ("C", "F", "K"),
        "numpy's _frombuffer",
    )
    data, dtype, shape, order = arguments[:4]
    array = built_array(budget, shape, dtype, bytes(data), fortran=order == "F")
    axes = arguments[4] if len(arguments) == 5 else None
    if order != "K" or axes is None:
        return array
    need(isinstance(axes, tuple) and sorted(axes) == list(range(array.ndim)), "numpy's _frombuffer")
    return array.transpose(axes)


def _scalar(budget: Budget, *arguments: Any) -> Any:
    need(
        len(arguments) == 2 and isinstance(arguments[0], np.dtype) and isinstance(arguments[1], bytes),
        "numpy's scalar",
    )
    return built_array(budget, (), arguments[0], arguments[1], fortran=False)[()]


def _encode(budget: Budget, *arguments: Any) -> bytes:
    need(
        len(arguments) in (1, 2)
        and isinstance(arguments[0], str)
        and arguments[1:] in ((), ("latin1",), ("latin-1",)),
        "_codecs.encode",
    )
    budget.spend(len(arguments[0]))
    return str(arguments[0]).encode("latin1")


def _bytes(budget: Budget, *arguments: Any) -> bytes:
    need(arguments == (), "bytes")
    return b""


def _set(budget: Budget, *arguments: Any) -> set[Any]:
    return {checked_key(each) for each in _items(budget, arguments)}


def _frozenset(budget: Budget, *arguments: Any) -> frozenset[Any]:
    return frozenset(checked_key(each) for each in _items(budget, arguments))


def _list(budget: Budget, *arguments: Any) -> list[Any]:
    return list(_items(budget, arguments))


def _tuple(budget: Budget, *arguments: Any) -> tuple[Any, ...]:
    return tuple(_items(budget, arguments))


def _items(budget: Budget, arguments: tuple[Any, ...]) -> list[Any] | tuple[Any, ...]:
    if not arguments:
        return ()
    (items,) = arguments
    if not isinstance(items, list | tuple):
        raise RefusedPickleError("a container is made from something that is not a list")
    budget.spend(32 * len(items))
    return items


def _dict(budget: Budget, *arguments: Any) -> dict[Any, Any]:
    return {checked_key(key): value for key, value in _items(budget, arguments)}


def _ordered_dict(budget: Budget, *arguments: Any) -> OrderedDict[Any, Any]:
    return OrderedDict((checked_key(key), value) for key, value in _items(budget, arguments))


def _slice(budget: Budget, *arguments: Any) -> slice:
    return slice(*arguments)


def _complex(budget: Budget, *arguments: Any) -> complex:
    need(len(arguments) == 2 and all(isinstance(each, int | float) for each in arguments), "complex")
    return complex(*arguments)


def _datetime(budget: Budget, *arguments: Any) -> datetime.datetime:
    return datetime.datetime(*arguments)


def _date(budget: Budget, *arguments: Any) -> datetime.date:
    return datetime.date(*arguments)


def _time(budget: Budget, *arguments: Any) -> datetime.time:
    return datetime.time(*arguments)


def _timedelta(budget: Budget, *arguments: Any) -> datetime.timedelta:
    return datetime.timedelta(*arguments)


def _timezone(budget: Budget, *arguments: Any) -> datetime.timezone:
    return datetime.timezone(*arguments)


def _path(kind: type[PurePath]) -> Callable[..., PurePath]:
    def build(budget: Budget, *parts: Any) -> PurePath:
        need(all(isinstance(part, str) for part in parts), "a path")
        budget.spend(sum(map(len, parts)))
        return kind(*parts)

    return build


_POSIX, _WINDOWS = _path(PurePosixPath), _path(PureWindowsPath)

CONSTRUCTORS: dict[Name, Callable[..., Any]] = {
    Name("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    Name("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    Name("numpy.core.multiarray", "scalar"): _scalar,
    Name("numpy._core.multiarray", "scalar"): _scalar,
    Name("numpy.core.numeric", "_frombuffer"): _from_buffer,
    Name("numpy._core.numeric", "_frombuffer"): _from_buffer,
    Name("numpy", "dtype"): _dtype,
    Name("_codecs", "encode"): _encode,
    Name("builtins", "bytes"): _bytes,
    Name("__builtin__", "bytes"): _bytes,
    Name("builtins", "set"): _set,
    Name("__builtin__", "set"): _set,
    Name("builtins", "frozenset"): _frozenset,
    Name("__builtin__", "frozenset"): _frozenset,
    Name("builtins", "list"): _list,
    Name("__builtin__", "list"): _list,
    Name("pandas.core.indexes.frozen", "FrozenList"): _list,
    Name("builtins", "tuple"): _tuple,
    Name("builtins", "dict"): _dict,
    Name("builtins", "slice"): _slice,
    Name("__builtin__", "slice"): _slice,
    Name("builtins", "complex"): _complex,
    Name("__builtin__", "complex"): _complex,
    Name("collections", "OrderedDict"): _ordered_dict,
    Name("datetime", "datetime"): _datetime,
    Name("datetime", "date"): _date,
    Name("datetime", "time"): _time,
    Name("datetime", "timedelta"): _timedelta,
    Name("datetime", "timezone"): _timezone,
    Name("pathlib", "PosixPath"): _POSIX,
    Name("pathlib", "PurePosixPath"): _POSIX,
    Name("pathlib", "WindowsPath"): _WINDOWS,
    Name("pathlib", "PureWindowsPath"): _WINDOWS,
    Name("pathlib._local", "PosixPath"): _POSIX,
    Name("pathlib._local", "PurePosixPath"): _POSIX,
    Name("pathlib._local", "WindowsPath"): _WINDOWS,
    Name("pathlib._local", "PureWindowsPath"): _WINDOWS,
}


def built_dtype(budget: Budget, text: str, state: Any) -> np.dtype[Any]:
    """Return the dtype that ``numpy.dtype.__reduce__`` described, made anew instead of by its state.

    numpy's own state setter trusts the flags it is given, so that an object dtype can be passed off as
    numbers; here flags are ignored and only byte order, field names, offsets and units are taken over.
    """
    need(isinstance(state, tuple) and len(state) >= 8, "numpy.dtype")
    order, subarray, names, fields, itemsize = state[1:6]
    dtype: np.dtype[Any]
    if subarray is not None or names is not None:
        budget.nest()
    if subarray is not None:
        base, shape = subarray
        need(isinstance(base, np.dtype) and _are_sizes(shape), "numpy.dtype")
        dtype = np.dtype((base, shape))
    elif names is not None:
        need(
            type(fields) is dict
            and isinstance(names, tuple)
            and all(isinstance(each, str) for each in names),
            "numpy.dtype",
        )
        entries = [fields[name] for name in names]
        need(
            type(itemsize) is int
            and all(isinstance(each[0], np.dtype) and type(each[1]) is int for each in entries),
            "numpy.dtype",
        )
        dtype = np.dtype(
            {
                "names": list(names),
                "formats": [entry[0] for entry in entries],
                "offsets": [entry[1] for entry in entries],
                "itemsize": itemsize,
            }
        )
    elif text[:1] in "Mm" and len(state) == 9 and state[8]:
        unit, number = state[8][1][:2]
        unit = unit.decode() if isinstance(unit, bytes) else unit
        need(isinstance(unit, str) and len(unit) <= MAX_DTYPE_TEXT and type(number) is int, "numpy.dtype")
        dtype = np.dtype(f"{text[0]}8" if unit == "generic" else f"{text[0]}8[{number}{unit}]")
    else:
        dtype = np.dtype(text)
    need(isinstance(order, str) and len(order) == 1, "numpy.dtype")
    if dtype.hasobject and dtype != np.dtype(object):
        raise RefusedPickleError("a record dtype holds objects")
    return dtype if order in ("|", "=") or dtype.names else dtype.newbyteorder(order)


def built_array(
    budget: Budget, shape: tuple[int, ...], dtype: np.dtype[Any], data: Any, *, fortran: bool
) -> NDArray[Any]:
    """Return the array whose size the data themselves prove; nothing is allocated on a promise."""
    if not _are_sizes(shape):
        raise RefusedPickleError("an array has an impossible shape")
    count = math.prod(shape)
    if dtype.hasobject:
        need(isinstance(data, list) and len(data) == count, "an array of objects")
        budget.nest()
        budget.spend(8 * count)
        flat = np.empty(count, dtype=object)
        for position, value in enumerate(data):
            flat[position] = value
        return flat.reshape(shape, order="F" if fortran else "C")
    if isinstance(data, str):
        data = data.encode("latin1")
    if not isinstance(data, bytes) or len(data) != count * dtype.itemsize or dtype.itemsize == 0 < count:
        raise RefusedPickleError(f"an array of shape {shape} and type {dtype} does not fit its data")
    budget.spend(len(data))
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C").copy(order="K")
