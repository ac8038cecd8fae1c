"""Arrays, scalars and dtypes as a pickle describes them, made without believing the sizes and flags in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.plain_limits import Budget, Name, RefusedPickleError, Unbuilt, need

MAX_DIMENSIONS = 64
MAX_DTYPE_TEXT = 64
ARRAY_NAMES = frozenset(Name(module, "ndarray") for module in ("numpy", "numpy.core.multiarray"))


def _are_sizes(shape: Any) -> bool:
    if not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS:
        return False
    return all(type(n) is int and 0 <= n < 1 << 62 for n in shape)


def make_array(budget: Budget, *arguments: Any) -> Unbuilt:
    """Begin the array that numpy's ``_reconstruct`` begins."""
    need(
        len(arguments) == 3
        and isinstance(arguments[0], Name)
        and arguments[0] in ARRAY_NAMES
        and arguments[1] == (0,),
        "numpy's _reconstruct",
    )
    return Unbuilt("array")


def make_dtype(budget: Budget, *arguments: Any) -> Unbuilt:
    """Begin the dtype that ``numpy.dtype`` begins."""
    need(
        1 <= len(arguments) <= 3 and isinstance(arguments[0], str) and len(arguments[0]) <= MAX_DTYPE_TEXT,
        "numpy.dtype",
    )
    return Unbuilt("dtype", arguments[0])


def make_array_from_buffer(budget: Budget, *arguments: Any) -> NDArray[Any]:
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


def make_scalar(budget: Budget, *arguments: Any) -> Any:
    """Make the scalar of a dtype and its bytes."""
    need(
        len(arguments) == 2 and isinstance(arguments[0], np.dtype) and isinstance(arguments[1], bytes),
        "numpy's scalar",
    )
    return built_array(budget, (), arguments[0], arguments[1], fortran=False)[()]


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


def built_array_of_state(budget: Budget, state: Any) -> NDArray[Any]:
    """Return the array of a state of ``numpy.ndarray``: version, shape, dtype, order and data."""
    need(isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], np.dtype), "an array's state")
    return built_array(budget, state[1], state[2], state[4], fortran=bool(state[3]))
