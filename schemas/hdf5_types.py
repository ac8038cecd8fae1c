"""Types of HDF5 values: which are flat, and which the library itself does not survive."""

from __future__ import annotations

from typing import Any

FLAT_CLASSES = frozenset((0, 1, 2, 3, 4, 5, 8))
"""HDF5's numbers of whole numbers, floats, times, texts, bit fields, opaque values and enumerations."""
MAX_TYPE_DEPTH = 32
_BITS = 3
"""Where an encoded type has its bit field: after two bytes of version, and class with version."""


class ImpossibleTypeError(ValueError):
    """A type that the HDF5 File Format Specification does not know."""


def check_type(kind: Any, depth: int = 0) -> None:
    """Refuse values of variable length that are neither sequences nor texts, or hold others, and deep types.

    Reading values of the former crashes the library (2.0 and before), which takes the kind on trust: it is
    the lower half of the bit field (HDF5 File Format Specification 3.0, IV.A.2.d, class 9).

    Raises
    ------
    ImpossibleTypeError
        When there is such a type in ``kind``, a low-level type of h5py.
    """
    import h5py

    if depth > MAX_TYPE_DEPTH:
        raise ImpossibleTypeError("a type is nested too deep")
    place = kind.get_class()
    if place == h5py.h5t.VLEN:
        if kind.encode()[_BITS] & 0x0F:
            raise ImpossibleTypeError("values of variable length are neither sequences nor texts")
        inner = kind.get_super()
        if inner.detect_class(h5py.h5t.VLEN) or (
            inner.get_class() == h5py.h5t.STRING and inner.is_variable_str()
        ):
            raise ImpossibleTypeError("values of variable length hold others")
        check_type(inner, depth + 1)
    elif place == h5py.h5t.ARRAY:
        check_type(kind.get_super(), depth + 1)
    elif place == h5py.h5t.COMPOUND:
        for position in range(kind.get_nmembers()):
            check_type(kind.get_member_type(position), depth + 1)
