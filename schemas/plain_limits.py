"""What a pickle may ask for: limits, and the errors for what lies beyond them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np

MAX_NESTABLE = 1000
"""Most object arrays and record dtypes in one pickle: numpy frees nested ones by recursion on the C stack."""
MAX_NESTING = 200
MAX_KEY_BITS = 128
MAX_KEY_PARTS = 64
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


def need(condition: bool, name: str) -> None:
    """Refuse a call that has another form than numpy's ``save`` gives it."""
    if not condition:
        raise RefusedPickleError(f"{name} is called in a way that plain data never needs")


def check_nesting(value: Any, *, most: int, parts: tuple[type, ...]) -> None:
    """Refuse a value that holds itself or a mere part, is nested too deep, or is far larger than its pickle.

    A list of ten references to a list of ten references, and so on, is small in memory, but whoever walks
    through it never ends.
    """
    most = max(1 << 20, 16 * most)
    extents: dict[int, tuple[int, int]] = {}
    path: list[tuple[Any, Any, int, int]] = []
    current, inner, depth, size = value, iter(_held(value)), 0, 1
    busy = {id(value)}
    if isinstance(value, parts):
        raise RefusedPickleError(f"it is a {type(value).__name__.lower()} and no value")
    while True:
        for child in inner:
            if not isinstance(child, _HOLDERS):
                size += 1
                if isinstance(child, parts):
                    raise RefusedPickleError(f"a {type(child).__name__.lower()} in it is no value")
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
