"""MAT-files of MATLAB 7.3 (``-v7.3``), which are HDF5 files with conventions.

The conventions are not published by MathWorks; they are those that MATLAB's own files show: the attribute
``MATLAB_class`` names the class, ``MATLAB_empty`` says that the data are the dimensions, ``MATLAB_sparse`` is
the number of rows of a sparse matrix, cells are references into ``/#refs#``, arrays are stored transposed,
complex numbers have the fields ``real`` and ``imag``, and text is UTF-16 code units.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import UnsafeFileError
from nwbswitch.schemas.mat_values import (
    MAX_DIMENSIONS,
    MAX_RATIO,
    NUMBERS,
    SUSPECT_BYTES,
    MatBudget,
    MatOpaque,
    MatVariable,
    arranged,
    checked_shape,
    damaged,
    sparse_value,
    text_value,
)

if TYPE_CHECKING:
    import h5py

MAX_ATTRIBUTE_BYTES = 4096
_CLASS_OF_DTYPE = {f"{code[0]}{code[1]}": name for name, code in NUMBERS.items()}


class MatV73:
    """An open MAT-file of version 7.3."""

    def __init__(self, file: Path, handle: h5py.File, budget: MatBudget) -> None:
        self._file = file
        self._handle = handle
        self._budget = budget
        self._names = [name for name in handle if isinstance(name, str) and not name.startswith("#")]

    @property
    def variables(self) -> dict[str, MatVariable]:
        """Shape and class of each variable."""
        return {name: self._described(self._handle[name]) for name in self._names}

    def read(self, name: str) -> Any:
        """Return the value of a variable, or of a field: ``struct.field``."""
        return self._value(self.find(name), 0)

    def find(self, name: str) -> Any:
        """Return the dataset or group of a variable or field."""
        node: Any = self._handle
        for position, part in enumerate(name.split(".")):
            if position and not self._is_single_struct(node):
                raise KeyError(part)
            node = node[part]
        return node

    def fields(self, name: str) -> dict[str, MatVariable]:
        """Return shape and class of each field of a single struct; nothing for other values."""
        node = self.find(name)
        return {each: self._described(node[each]) for each in node} if self._is_single_struct(node) else {}

    def _is_single_struct(self, node: Any) -> bool:
        import h5py

        return (
            isinstance(node, h5py.Group)
            and self.class_of(node) == "struct"
            and self._reference_fields(node) is None
        )

    def check_window(self, node: Any) -> None:
        """Refuse a dataset that is no array of numbers."""
        if self.class_of(node) not in (*NUMBERS, "logical") or _attribute(node, "MATLAB_empty"):
            raise damaged(self._file, f"{node.name} is no array of numbers with values")

    def class_of(self, node: Any) -> str:
        """Return MATLAB's class of a dataset or group, ``sparse`` for sparse matrices."""
        import h5py

        if _attribute(node, "MATLAB_sparse") is not None:
            return "sparse"
        stated = _attribute(node, "MATLAB_class")
        decode = _attribute(node, "MATLAB_object_decode")
        if stated is not None:
            return "opaque:" + str(stated) if decode else str(stated)
        if isinstance(node, h5py.Group):
            return "struct"
        if not isinstance(node, h5py.Dataset):
            return "opaque:datatype"
        if h5py.check_ref_dtype(node.dtype) is h5py.Reference:
            return "cell"
        if _is_complex(node.dtype):
            return _CLASS_OF_DTYPE[f"f{node.dtype['real'].itemsize}"]
        return _CLASS_OF_DTYPE.get(f"{node.dtype.kind}{node.dtype.itemsize}", f"opaque:{node.dtype}")

    def _described(self, node: Any) -> MatVariable:
        import h5py

        kind = self.class_of(node)
        if kind == "sparse":
            columns = self._part(node, "jc").size - 1
            return MatVariable((int(_attribute(node, "MATLAB_sparse")), columns), kind)
        if isinstance(node, h5py.Group):
            fields = self._reference_fields(node) if kind == "struct" else None
            shape = (1, 1) if fields is None else _matlab_shape(next(iter(fields.values())).shape)
            return MatVariable(shape if kind == "struct" else (), kind.removeprefix("opaque:"))
        if kind.startswith("opaque:") or not isinstance(node, h5py.Dataset) or node.shape is None:
            return MatVariable((), kind.removeprefix("opaque:"))
        shape = self._empty_shape(node) if _attribute(node, "MATLAB_empty") else _matlab_shape(node.shape)
        return MatVariable(shape, kind)

    def _value(self, node: Any, depth: int) -> Any:
        import h5py

        self._budget.count(1, depth)
        kind = self.class_of(node)
        if kind == "sparse":
            return self._sparse(node)
        if isinstance(node, h5py.Group):
            return self._struct(node, depth) if kind == "struct" else _opaque(kind)
        if not isinstance(node, h5py.Dataset) or node.shape is None:
            return MatOpaque(kind)
        shape = self._empty_shape(node) if _attribute(node, "MATLAB_empty") else None
        if kind == "cell":
            return [] if shape else self._cell(node, depth)
        if kind == "char":
            return "" if shape else self._text(node)
        if kind == "struct" and shape:
            self._budget.count(math.prod(shape), depth)
            items: list[Any] = [{} for _ in range(math.prod(shape))]
            return items[0] if len(items) == 1 else arranged(items, shape)
        if kind in NUMBERS or kind == "logical":
            dtype = np.dtype(bool) if kind == "logical" else np.dtype(NUMBERS[kind])
            return np.empty(shape, dtype, order="F") if shape else self._numbers(node, dtype)
        return _opaque(kind)

    def _numbers(self, node: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        values = self._data(node)
        if values.dtype.kind not in "iufc":
            raise damaged(self._file, f"{node.name} holds {values.dtype}, which are no numbers")
        if values.dtype.kind != "c":
            values = values.astype(dtype, copy=False)
        return values.T if values.ndim > 1 else values.reshape(-1, 1)

    def _data(self, node: Any) -> NDArray[Any]:
        """Read a dataset whole, in the file's order of dimensions, when its size can be believed."""
        stated = node.size * node.dtype.itemsize
        self._budget.spend(stated)
        if stated > SUSPECT_BYTES and stated > MAX_RATIO * node.id.get_storage_size():
            raise UnsafeFileError(
                self._file, f"states {stated} bytes for {node.name} and does not store them."
            )
        values: NDArray[Any] = np.asarray(node[()])
        return as_numbers(values)

    def _text(self, node: Any) -> str | list[str]:
        values = self._data(node)
        if values.dtype.kind not in "iu":
            raise damaged(self._file, f"the text {node.name} holds {values.dtype}")
        self._budget.spend(8 * values.size)
        return text_value(self._file, values.ravel().astype(np.uint16), _matlab_shape(values.shape))

    def _cell(self, node: Any, depth: int) -> list[Any]:
        self._budget.count(node.size, depth)
        shape = _matlab_shape(node.shape)
        return arranged([self._referred(each, depth) for each in self._references(node)], shape)

    def _references(self, node: Any) -> list[Any]:
        import h5py

        if h5py.check_ref_dtype(node.dtype) is not h5py.Reference:
            raise damaged(self._file, f"{node.name} holds {node.dtype}, where references were expected")
        # The file's order is the reverse of MATLAB's, so that its C order is MATLAB's column-major order.
        return list(self._data(node).ravel())

    def _referred(self, reference: Any, depth: int) -> Any:
        if not reference:
            return np.empty((0, 0))
        return self._value(self._handle[reference], depth + 1)

    def _reference_fields(self, node: Any) -> dict[str, Any] | None:
        """Return the fields of an array of structs; those of a single struct have a class of their own."""
        import h5py

        fields = {name: node[name] for name in node}
        for each in fields.values():
            if not isinstance(each, h5py.Dataset) or _attribute(each, "MATLAB_class") is not None:
                return None
            if each.shape is None or h5py.check_ref_dtype(each.dtype) is not h5py.Reference:
                return None
        return fields or None

    def _struct(self, node: Any, depth: int) -> Any:
        self._budget.count(len(node), depth)
        fields = self._reference_fields(node)
        if fields is None:
            return {name: self._value(node[name], depth + 1) for name in node}
        shapes = {each.shape for each in fields.values()}
        if len(shapes) != 1:
            raise damaged(self._file, f"the fields of the structs {node.name} differ in shape")
        shape = _matlab_shape(shapes.pop())
        self._budget.count(math.prod(shape) * len(fields), depth)
        items: list[Any] = [{} for _ in range(math.prod(shape))]
        for name, field in fields.items():
            for item, reference in zip(items, self._references(field), strict=True):
                item[name] = self._referred(reference, depth)
        return items[0] if len(items) == 1 else arranged(items, shape)

    def _sparse(self, node: Any) -> Any:
        starts = self._data(self._part(node, "jc")).ravel()
        rows, data = np.empty(0, np.uint64), np.empty(0)
        if "ir" in node and "data" in node:
            rows, data = (self._data(self._part(node, each)).ravel() for each in ("ir", "data"))
        if data.dtype.kind not in "iufc":
            raise damaged(self._file, f"{node.name} holds {data.dtype}, which are no numbers")
        self._budget.spend(16 * rows.size + 8 * starts.size)
        if _attribute(node, "MATLAB_class") == "logical":
            data = data.astype(bool)
        shape = (int(_attribute(node, "MATLAB_sparse")), max(starts.size - 1, 0))
        return sparse_value(self._file, data, rows, starts, checked_shape(self._file, shape))

    def _part(self, node: Any, name: str) -> Any:
        """Return a dataset of a sparse matrix."""
        import h5py

        part = node[name] if isinstance(node, h5py.Group) else None
        if not isinstance(part, h5py.Dataset) or part.shape is None:
            raise damaged(self._file, f"the sparse matrix {node.name} has no {name}")
        return part

    def _empty_shape(self, node: Any) -> tuple[int, ...]:
        if node.size > MAX_DIMENSIONS or node.dtype.kind not in "iu":
            raise damaged(self._file, f"the empty {node.name} states no dimensions")
        return checked_shape(self._file, np.ravel(node[()]).tolist())


def as_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Return complex numbers where the file has pairs, and native byte order."""
    if _is_complex(values.dtype):
        values = values["real"] + values["imag"] * values["imag"].dtype.type(1) * 1j
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return values


def _is_complex(dtype: np.dtype[Any]) -> bool:
    return dtype.names == ("real", "imag") and all(dtype[each].kind == "f" for each in dtype.names)


def _matlab_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(reversed(shape)) if len(shape) > 1 else (math.prod(shape), 1)


def _opaque(kind: str) -> MatOpaque:
    return MatOpaque(kind.removeprefix("opaque:"))


def _attribute(node: Any, name: str) -> Any:
    """Return a short attribute as text or a whole number, or nothing."""
    import h5py

    if not h5py.h5a.exists(node.id, name.encode()):
        return None
    attribute = h5py.h5a.open(node.id, name.encode())
    count = attribute.get_space().get_simple_extent_npoints()
    if count != 1 or attribute.get_type().get_size() > MAX_ATTRIBUTE_BYTES:
        return None
    found = np.empty(attribute.shape, attribute.dtype)
    attribute.read(found)
    value = found.item() if found.size == 1 else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str | int) else None
