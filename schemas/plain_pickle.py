"""Pickles of plain data, read without running anything in them.

A pickle is a program for a small stack machine. `read_plain_pickle` is that machine with the dangerous part
left out: a name in the pickle is only looked up in `plain_values.CONSTRUCTORS`, a literal table of functions,
and no method of any object is called on the pickle's behalf. Dictionaries, lists, numbers, text, dates, paths
and arrays are read; anything else is refused by name.

The opcodes are those of protocols 0 to 5 as documented in Python's ``pickletools`` module, without the ones
that make objects of classes (PyTables writes attributes in protocol 0, numpy and pandas write 2 to 5).
"""

from __future__ import annotations

import codecs
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nwbswitch.schemas.errors import UnsafeFileError
from nwbswitch.schemas.plain_limits import (
    Budget,
    Name,
    RefusedPickleError,
    Unbuilt,
    check_nesting,
    checked_key,
)
from nwbswitch.schemas.plain_pandas import PARTS
from nwbswitch.schemas.plain_values import CONSTRUCTORS, MARKERS, built

__all__ = ["RefusedPickleError", "read_pickle_bytes", "read_plain_pickle"]

MAX_OPERATIONS = 50_000_000
MAX_NAME = 200

_MARK = object()


class _Machine:
    """The stack, the memo and the position in the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.budget = Budget(len(data))
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

    def bytes_line(self) -> bytes:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise RefusedPickleError("it ends too early")
        return self.take(end + 1 - self.at)[:-1]

    def line(self) -> str:
        return self.bytes_line().decode("utf-8")

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
        if isinstance(value, Unbuilt):
            raise RefusedPickleError("an array holds itself")
        return value

    def put(self, key: int) -> None:
        value = self.stack[-1]
        if isinstance(value, Unbuilt):
            value.memo_keys.append(key)
        self.memo[key] = value

    def call(self) -> None:
        name, arguments = self.gather(2)
        constructor = CONSTRUCTORS.get(name) if isinstance(name, Name) else None
        if constructor is None or not isinstance(arguments, tuple):
            what = str(name) if isinstance(name, Name) else f"a {type(name).__name__}"
            raise RefusedPickleError(f"it calls {what}")
        value = constructor(self.budget, *arguments)
        self.unbuilt += isinstance(value, Unbuilt)
        self.stack.append(value)

    def build(self) -> None:
        target, state = self.gather(2)
        if not isinstance(target, Unbuilt):
            raise RefusedPickleError(f"it sets the state of a {type(target).__name__}")
        value = built(self.budget, target, state)
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
            target[checked_key(key)] = value

    def add(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not set:
            raise RefusedPickleError(f"it adds to a {type(target).__name__}")
        target.update(map(checked_key, values))

    def stack_global(self) -> None:
        module, name = self.gather(2)
        self.global_name(module, name)

    def global_name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise RefusedPickleError("it is damaged (a name is not text)")
        word = Name(module[:MAX_NAME], name[:MAX_NAME])
        if word not in CONSTRUCTORS and word not in MARKERS:
            raise RefusedPickleError(f"it names {word}, which plain data do not need")
        self.stack.append(word)


_U1, _U2, _I4, _U4, _U8, _F8 = (struct.Struct(form) for form in ("<B", "<H", "<i", "<I", "<Q", ">d"))


def _text(m: _Machine, form: struct.Struct) -> str:
    return m.take(m.number(form)).decode("utf-8", "surrogatepass")


def _old_text(m: _Machine, form: struct.Struct) -> str:
    return m.take(m.number(form)).decode("latin1")


def _quoted_text(m: _Machine) -> str:
    line = m.bytes_line().strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise RefusedPickleError("it is damaged (a text has no quotes)")
    return codecs.escape_decode(line[1:-1])[0].decode("latin1")


def _whole(m: _Machine) -> int | bool:
    line = m.line()
    return line == "01" if line in ("00", "01") else int(line)


def _pairs(m: _Machine) -> dict[Any, Any]:
    items = m.since_mark()
    return {checked_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


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
    b"I": _push(_whole),
    b"L": _push(lambda m: int(m.line().rstrip("L"))),
    b"F": _push(lambda m: float(m.line())),
    b"S": _push(_quoted_text),
    b"V": _push(lambda m: m.bytes_line().decode("raw-unicode-escape")),
    b"d": _push(_pairs),
    b"p": lambda m: m.put(int(m.line())),
    b"g": _push(lambda m: m.get(int(m.line()))),
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
    b"\x96": _push(lambda m: bytearray(m.take(m.number(_U8)))),
    b"]": _push(lambda m: []),
    b"}": _push(lambda m: {}),
    b")": _push(lambda m: ()),
    b"\x8f": _push(lambda m: set()),
    b"t": _push(lambda m: tuple(m.since_mark())),
    b"l": _push(lambda m: m.since_mark()),
    b"\x91": _push(lambda m: frozenset(map(checked_key, m.since_mark()))),
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
    check_nesting(machine.stack[0], most=len(data), parts=PARTS)
    return machine.stack[0]


def read_pickle_bytes(data: bytes, file: Path | str, where: str = "") -> Any:
    """Return the plain value of a pickle that a file holds or is, such as an attribute written by PyTables.

    Parameters
    ----------
    data
        The pickle.
    file, where
        How errors call it: the file, and the place in the file where it matters.

    Raises
    ------
    UnsafeFileError
        When the pickle asks for code, for too much memory, or is damaged.
    """
    try:
        return read_plain_pickle(bytes(data))
    except RefusedPickleError as error:
        raise UnsafeFileError(
            file,
            f"holds a pickle{' at ' * bool(where)}{where} that is not read: {error}.",
            "Only plain data are accepted.",
        ) from error
