"""The plain values that a pickle may describe, made by functions of this package and by nothing else.

`CONSTRUCTORS` is the whole list of names that a pickle may call, `MARKERS` the names it may only mention.
"""

from __future__ import annotations

import datetime
from collections import OrderedDict
from collections.abc import Callable
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from nwbswitch.schemas import plain_arrays, plain_pandas
from nwbswitch.schemas.plain_limits import Budget, Name, RefusedPickleError, Unbuilt, checked_key, need


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


def _bytearray(budget: Budget, *arguments: Any) -> bytearray:
    need(len(arguments) == 1 and isinstance(arguments[0], bytes), "builtins.bytearray")
    budget.spend(len(arguments[0]))
    return bytearray(arguments[0])


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
    need(all(each is None or isinstance(each, int) for each in arguments), "builtins.slice")
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
    Name("numpy.core.multiarray", "_reconstruct"): plain_arrays.make_array,
    Name("numpy._core.multiarray", "_reconstruct"): plain_arrays.make_array,
    Name("numpy.core.multiarray", "scalar"): plain_arrays.make_scalar,
    Name("numpy._core.multiarray", "scalar"): plain_arrays.make_scalar,
    Name("numpy.core.numeric", "_frombuffer"): plain_arrays.make_array_from_buffer,
    Name("numpy._core.numeric", "_frombuffer"): plain_arrays.make_array_from_buffer,
    Name("numpy", "dtype"): plain_arrays.make_dtype,
    Name("_codecs", "encode"): _encode,
    Name("builtins", "bytearray"): _bytearray,
    Name("__builtin__", "bytearray"): _bytearray,
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
    **plain_pandas.CONSTRUCTORS,
}

MARKERS = plain_arrays.ARRAY_NAMES | plain_pandas.MARKERS


def built(budget: Budget, target: Unbuilt, state: Any) -> Any:
    """Return the value that a state makes of what a call has begun."""
    if target.kind == "dtype":
        return plain_arrays.built_dtype(budget, target.text, state)
    if target.kind == "array":
        return plain_arrays.built_array_of_state(budget, state)
    return plain_pandas.BUILDERS[target.kind](budget, state)
