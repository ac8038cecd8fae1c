"""Pickles of plain data, read without running anything in them.

A pickle is a program for a small stack machine. `read_plain_pickle` is that machine with the dangerous part
left out: a name in the pickle is only looked up in `CONSTRUCTORS`, a literal table of functions of this
module, and no method of any object is called on the pickle's behalf. What numpy's ``save`` makes of
dictionaries, lists, numbers, text, dates, paths and arrays is read; anything else is refused by name.

The opcodes are those of protocols 2 to 4 as documented in Python's ``pickletools`` module; numpy writes no
others.
"""

from __future__ import annotations

import datetime
import math
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_OPERATIONS = 50_000_000
MAX_NESTABLE = 1000
"""Most object arrays and record dtypes in one pickle: numpy frees nested ones by recursion on the C stack."""
_SLACK_BYTES = 1 << 20
_Key = (
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


class RefusedPickleError(ValueError):
    """A pickle that holds more than plain data, is damaged, or asks for more memory than it brings."""


@dataclass(frozen=True, slots=True)
class _Name:
    """A global name in a pickle; it stands for nothing until it is found in `CONSTRUCTORS`."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class _Unbuilt:
    """An array or dtype between its two halves: the call that makes it and the state that fills it."""

    kind: str
    text: str = ""
    memo_keys: list[int] = field(default_factory=list)


class _Budget:
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


_MARK = object()
_ARRAY_NAMES = {_Name(module, "ndarray") for module in ("numpy", "numpy.core.multiarray")}


def _checked_key(value: Any) -> Any:
    """Return a dictionary key or set member that is flat; hashing nested tuples can exhaust the C stack."""
    for each in value if type(value) is tuple else (value,):
        if not isinstance(each, (*_Key, np.generic)):
            raise RefusedPickleError(f"a key is a {type(each).__name__}")
    return value


def _need(condition: bool, name: str) -> None:
    if not condition:
        raise RefusedPickleError(f"{name} is called in a way that plain data never needs")


def _reconstruct(budget: _Budget, *arguments: Any) -> _Unbuilt:
    _need(
        len(arguments) == 3 and arguments[0] in _ARRAY_NAMES and arguments[1] == (0,), "numpy's _reconstruct"
    )
    return _Unbuilt("array")


def _dtype(budget: _Budget, *arguments: Any) -> _Unbuilt:
    _need(1 <= len(arguments) <= 3 and isinstance(arguments[0], str), "numpy.dtype")
    return _Unbuilt("dtype", arguments[0])


def _scalar(budget: _Budget, *arguments: Any) -> Any:
    _need(
        len(arguments) == 2 and isinstance(arguments[0], np.dtype) and isinstance(arguments[1], bytes),
        "numpy's scalar",
    )
    return _array(budget, (), arguments[0], arguments[1], fortran=False)[()]


def _encode(budget: _Budget, *arguments: Any) -> bytes:
    _need(
        len(arguments) in (1, 2)
        and isinstance(arguments[0], str)
        and arguments[1:] in ((), ("latin1",), ("latin-1",)),
        "_codecs.encode",
    )
    budget.spend(len(arguments[0]))
    return str(arguments[0]).encode("latin1")


def _bytes(budget: _Budget, *arguments: Any) -> bytes:
    _need(arguments == (), "bytes")
    return b""


def _set(budget: _Budget, *arguments: Any) -> set[Any]:
    return {_checked_key(each) for each in _items(budget, arguments)}


def _frozenset(budget: _Budget, *arguments: Any) -> frozenset[Any]:
    return frozenset(_checked_key(each) for each in _items(budget, arguments))


def _list(budget: _Budget, *arguments: Any) -> list[Any]:
    return list(_items(budget, arguments))


def _tuple(budget: _Budget, *arguments: Any) -> tuple[Any, ...]:
    return tuple(_items(budget, arguments))


def _items(budget: _Budget, arguments: tuple[Any, ...]) -> list[Any] | tuple[Any, ...]:
    if not arguments:
        return ()
    (items,) = arguments
    if not isinstance(items, list | tuple):
        raise RefusedPickleError("a container is made from something that is not a list")
    budget.spend(32 * len(items))
    return items


def _dict(budget: _Budget, *arguments: Any) -> dict[Any, Any]:
    return {_checked_key(key): value for key, value in _items(budget, arguments)}


def _ordered_dict(budget: _Budget, *arguments: Any) -> OrderedDict[Any, Any]:
    return OrderedDict((_checked_key(key), value) for key, value in _items(budget, arguments))


def _slice(budget: _Budget, *arguments: Any) -> slice:
    return slice(*arguments)


def _complex(budget: _Budget, *arguments: Any) -> complex:
    _need(len(arguments) == 2 and all(isinstance(each, int | float) for each in arguments), "complex")
    return complex(*arguments)


def _datetime(budget: _Budget, *arguments: Any) -> datetime.datetime:
    return datetime.datetime(*arguments)


def _date(budget: _Budget, *arguments: Any) -> datetime.date:
    return datetime.date(*arguments)


def _time(budget: _Budget, *arguments: Any) -> datetime.time:
    return datetime.time(*arguments)


def _timedelta(budget: _Budget, *arguments: Any) -> datetime.timedelta:
    return datetime.timedelta(*arguments)


def _timezone(budget: _Budget, *arguments: Any) -> datetime.timezone:
    return datetime.timezone(*arguments)


def _path(kind: type[PurePath]) -> Callable[..., PurePath]:
    def build(budget: _Budget, *parts: Any) -> PurePath:
        _need(all(isinstance(part, str) for part in parts), "a path")
        budget.spend(sum(map(len, parts)))
        return kind(*parts)

    return build


_POSIX, _WINDOWS = _path(PurePosixPath), _path(PureWindowsPath)

CONSTRUCTORS: dict[_Name, Callable[..., Any]] = {
    _Name("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    _Name("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    _Name("numpy.core.multiarray", "scalar"): _scalar,
    _Name("numpy._core.multiarray", "scalar"): _scalar,
    _Name("numpy", "dtype"): _dtype,
    _Name("_codecs", "encode"): _encode,
    _Name("builtins", "bytes"): _bytes,
    _Name("__builtin__", "bytes"): _bytes,
    _Name("builtins", "set"): _set,
    _Name("__builtin__", "set"): _set,
    _Name("builtins", "frozenset"): _frozenset,
    _Name("__builtin__", "frozenset"): _frozenset,
    _Name("builtins", "list"): _list,
    _Name("builtins", "tuple"): _tuple,
    _Name("builtins", "dict"): _dict,
    _Name("builtins", "slice"): _slice,
    _Name("__builtin__", "slice"): _slice,
    _Name("builtins", "complex"): _complex,
    _Name("__builtin__", "complex"): _complex,
    _Name("collections", "OrderedDict"): _ordered_dict,
    _Name("datetime", "datetime"): _datetime,
    _Name("datetime", "date"): _date,
    _Name("datetime", "time"): _time,
    _Name("datetime", "timedelta"): _timedelta,
    _Name("datetime", "timezone"): _timezone,
    _Name("pathlib", "PosixPath"): _POSIX,
    _Name("pathlib", "PurePosixPath"): _POSIX,
    _Name("pathlib", "WindowsPath"): _WINDOWS,
    _Name("pathlib", "PureWindowsPath"): _WINDOWS,
    _Name("pathlib._local", "PosixPath"): _POSIX,
    _Name("pathlib._local", "PurePosixPath"): _POSIX,
    _Name("pathlib._local", "WindowsPath"): _WINDOWS,
    _Name("pathlib._local", "PureWindowsPath"): _WINDOWS,
}


def _built_dtype(budget: _Budget, text: str, state: Any) -> np.dtype[Any]:
    """Return the dtype that ``numpy.dtype.__reduce__`` described, made anew instead of by its state.

    numpy's own state setter trusts the flags it is given, so that an object dtype can be passed off as
    numbers; here flags are ignored and only byte order, field names, offsets and units are taken over.
    """
    _need(isinstance(state, tuple) and len(state) >= 8, "numpy.dtype")
    order, subarray, names, fields, itemsize = state[1:6]
    dtype: np.dtype[Any]
    if subarray is not None or names is not None:
        budget.nest()
    if subarray is not None:
        base, shape = subarray
        _need(isinstance(base, np.dtype), "numpy.dtype")
        dtype = np.dtype((base, shape))
    elif names is not None:
        entries = [fields[name] for name in names]
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
        unit = unit.decode() if isinstance(unit, bytes) else str(unit)
        dtype = np.dtype(f"{text[0]}8" if unit == "generic" else f"{text[0]}8[{number}{unit}]")
    else:
        dtype = np.dtype(text)
    if dtype.hasobject and dtype != np.dtype(object):
        raise RefusedPickleError("a record dtype holds objects")
    return dtype if order in ("|", "=") or dtype.names else dtype.newbyteorder(order)


def _array(
    budget: _Budget, shape: tuple[int, ...], dtype: np.dtype[Any], data: Any, *, fortran: bool
) -> NDArray[Any]:
    """Return the array whose size the data themselves prove; nothing is allocated on a promise."""
    if not (isinstance(shape, tuple) and all(type(n) is int and 0 <= n < 1 << 62 for n in shape)):
        raise RefusedPickleError(f"an array has the shape {shape!r}")
    count = math.prod(shape)
    if dtype.hasobject:
        _need(isinstance(data, list) and len(data) == count, "an array of objects")
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


class _Machine:
    """The stack, the memo and the position in the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.budget = _Budget(len(data))
        self.unbuilt = 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self.data):
            raise RefusedPickleError("it ends too early")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def number(self, form: struct.Struct) -> Any:
        return form.unpack(self.take(form.size))[0]

    def line(self) -> str:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise RefusedPickleError("it ends too early")
        return self.take(end + 1 - self.at)[:-1].decode("utf-8")

    def since_mark(self) -> list[Any]:
        for position in range(len(self.stack) - 1, -1, -1):
            if self.stack[position] is _MARK:
                items = self.stack[position + 1 :]
                del self.stack[position:]
                return items
        raise RefusedPickleError("a mark is missing")

    def gather(self, size: int) -> tuple[Any, ...]:
        if len(self.stack) < size:
            raise RefusedPickleError("its stack runs empty")
        items = tuple(self.stack[-size:])
        del self.stack[-size:]
        if any(each is _MARK for each in items):
            raise RefusedPickleError("a mark is out of place")
        return items

    def get(self, key: int) -> Any:
        value = self.memo[key]
        if isinstance(value, _Unbuilt):
            raise RefusedPickleError("an array holds itself")
        return value

    def put(self, key: int) -> None:
        value = self.stack[-1]
        if isinstance(value, _Unbuilt):
            value.memo_keys.append(key)
        self.memo[key] = value

    def call(self) -> None:
        name, arguments = self.gather(2)
        constructor = CONSTRUCTORS.get(name) if isinstance(name, _Name) else None
        if constructor is None or not isinstance(arguments, tuple):
            raise RefusedPickleError(f"it calls {name}")
        value = constructor(self.budget, *arguments)
        self.unbuilt += isinstance(value, _Unbuilt)
        self.stack.append(value)

    def build(self) -> None:
        target, state = self.gather(2)
        value: Any
        if not isinstance(target, _Unbuilt):
            raise RefusedPickleError(f"it sets the state of a {type(target).__name__}")
        if target.kind == "dtype":
            value = _built_dtype(self.budget, target.text, state)
        else:
            _need(
                isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], np.dtype),
                "an array's state",
            )
            value = _array(self.budget, state[1], state[2], state[4], fortran=bool(state[3]))
        for key in target.memo_keys:
            self.memo[key] = value
        self.unbuilt -= 1
        self.stack.append(value)

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise RefusedPickleError(f"it appends to a {type(target).__name__}")
        target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict and type(target) is not OrderedDict:
            raise RefusedPickleError(f"it sets items of a {type(target).__name__}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[_checked_key(key)] = value

    def add(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not set:
            raise RefusedPickleError(f"it adds to a {type(target).__name__}")
        target.update(map(_checked_key, values))

    def stack_global(self) -> None:
        module, name = self.gather(2)
        self.global_name(module, name)

    def global_name(self, module: Any, name: Any) -> None:
        word = _Name(str(module), str(name))
        if word not in CONSTRUCTORS and word not in _ARRAY_NAMES:
            raise RefusedPickleError(f"it names {word}, which plain data do not need")
        self.stack.append(word)


_U1, _U2, _I4, _U4, _U8, _F8 = (struct.Struct(form) for form in ("<B", "<H", "<i", "<I", "<Q", ">d"))


def _text(m: _Machine, form: struct.Struct) -> str:
    return m.take(m.number(form)).decode("utf-8", "surrogatepass")


def _old_text(m: _Machine, form: struct.Struct) -> str:
    return m.take(m.number(form)).decode("latin1")


def _long(m: _Machine, form: struct.Struct) -> int:
    return int.from_bytes(m.take(m.number(form)), "little", signed=True)


def _push(read: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    def step(m: _Machine) -> None:
        m.stack.append(read(m))

    return step


OPERATIONS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.take(1),  # PROTO
    b"\x95": lambda m: m.take(8),  # FRAME
    b"(": _push(lambda m: _MARK),
    b"N": _push(lambda m: None),
    b"\x88": _push(lambda m: True),
    b"\x89": _push(lambda m: False),
    b"J": _push(lambda m: m.number(_I4)),
    b"K": _push(lambda m: m.number(_U1)),
    b"M": _push(lambda m: m.number(_U2)),
    b"G": _push(lambda m: m.number(_F8)),
    b"\x8a": _push(lambda m: _long(m, _U1)),
    b"\x8b": _push(lambda m: _long(m, _I4)),
    b"X": _push(lambda m: _text(m, _U4)),
    b"\x8c": _push(lambda m: _text(m, _U1)),
    b"\x8d": _push(lambda m: _text(m, _U8)),
    b"U": _push(lambda m: _old_text(m, _U1)),
    b"T": _push(lambda m: _old_text(m, _I4)),
    b"B": _push(lambda m: m.take(m.number(_U4))),
    b"C": _push(lambda m: m.take(m.number(_U1))),
    b"\x8e": _push(lambda m: m.take(m.number(_U8))),
    b"]": _push(lambda m: []),
    b"}": _push(lambda m: {}),
    b")": _push(lambda m: ()),
    b"\x8f": _push(lambda m: set()),
    b"t": _push(lambda m: tuple(m.since_mark())),
    b"l": _push(lambda m: m.since_mark()),
    b"\x91": _push(lambda m: frozenset(map(_checked_key, m.since_mark()))),
    b"\x85": _push(lambda m: m.gather(1)),
    b"\x86": _push(lambda m: m.gather(2)),
    b"\x87": _push(lambda m: m.gather(3)),
    b"a": lambda m: m.append(list(m.gather(1))),
    b"e": lambda m: m.append(m.since_mark()),
    b"s": lambda m: m.set_items(list(m.gather(2))),
    b"u": lambda m: m.set_items(m.since_mark()),
    b"\x90": lambda m: m.add(m.since_mark()),
    b"q": lambda m: m.put(m.number(_U1)),
    b"r": lambda m: m.put(m.number(_U4)),
    b"\x94": lambda m: m.put(len(m.memo)),
    b"h": _push(lambda m: m.get(m.number(_U1))),
    b"j": _push(lambda m: m.get(m.number(_U4))),
    b"c": lambda m: m.global_name(m.line(), m.line()),
    b"\x93": lambda m: m.stack_global(),
    b"R": lambda m: m.call(),
    b"\x81": lambda m: m.call(),  # NEWOBJ: the same two operands
    b"b": lambda m: m.build(),
    b"0": lambda m: m.gather(1),
}


def read_plain_pickle(data: bytes) -> Any:
    """Return the plain value that ``data`` describes.

    Raises
    ------
    RefusedPickleError
        Naming the global or the operation that plain data do not need, or what is damaged.
    """
    machine = _Machine(data)
    try:
        for _ in range(MAX_OPERATIONS):
            code = machine.take(1)
            if code == b".":
                break
            operation = OPERATIONS.get(code)
            if operation is None:
                raise RefusedPickleError(f"it uses the operation {code!r}, which plain data do not need")
            operation(machine)
        else:
            raise RefusedPickleError(f"it has more than {MAX_OPERATIONS} steps")
    except RefusedPickleError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise RefusedPickleError(f"it is damaged ({type(error).__name__}: {str(error)[:200]})") from error
    if machine.unbuilt or len(machine.stack) != 1:
        raise RefusedPickleError("it is damaged (something is left unfinished)")
    return machine.stack[0]
