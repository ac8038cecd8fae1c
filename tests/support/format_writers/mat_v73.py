"""MAT-files of version 7.3 as MATLAB writes them, for tests.

What MATLAB's own files show (R2007b to R2023a): a user block of 512 bytes with the text header and version
0x0200, the attribute ``MATLAB_class`` on every value, dimensions in reverse order, ``MATLAB_int_decode`` for
logical and char, ``MATLAB_empty`` with the dimensions as data, cells and arrays of structs as references into
``/#refs#``, sparse matrices as groups of ``data``, ``ir`` and ``jc`` with the attribute ``MATLAB_sparse``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse

CLASSES = {
    "f8": "double",
    "f4": "single",
    "i1": "int8",
    "u1": "uint8",
    "i2": "int16",
    "u2": "uint16",
    "i4": "int32",
    "u4": "uint32",
    "i8": "int64",
    "u8": "uint64",
}
HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Mar  2 10:00:00 2026 HDF5 schema 1.00 ."


def write_mat_v73(path: Path, variables: dict[str, Any]) -> Path:
    """Write variables: arrays, str, dict (struct), list (cell row), list of dict (struct row), sparse.

    An array of objects is a cell of that shape.
    """
    with h5py.File(path, "w", userblock_size=512) as file:
        writer = _Writer(file)
        for name, value in variables.items():
            writer.put(file, name, value)
    with path.open("r+b") as stream:
        stream.write(HEADER.ljust(116) + b"\0" * 8 + b"\x00\x02IM")
    return path


class _Writer:
    def __init__(self, file: h5py.File) -> None:
        self.file = file
        self.count = 0

    def put(self, group: h5py.Group, name: str, value: Any) -> None:
        if isinstance(value, dict):
            inner = group.create_group(name)
            self.mark(inner, "struct")
            for field, each in value.items():
                self.put(inner, field, each)
        elif isinstance(value, str):
            self.put_text(group, name, value)
        elif scipy.sparse.issparse(value):
            self.put_sparse(group, name, scipy.sparse.csc_array(value))
        elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            self.put_structs(group, name, value)
        elif isinstance(value, list):
            cell = np.empty((1, len(value)) if value else (0, 0), dtype=object)
            for position, each in enumerate(value):
                cell[0, position] = each
            self.put_cell(group, name, cell)
        elif value.dtype == object:
            self.put_cell(group, name, value)
        else:
            self.put_numbers(group, name, value)

    def mark(self, node: Any, kind: str, **attributes: Any) -> None:
        node.attrs["MATLAB_class"] = np.bytes_(kind)
        for key, value in attributes.items():
            node.attrs[f"MATLAB_{key}"] = value

    def put_empty(self, group: h5py.Group, name: str, kind: str, shape: tuple[int, ...]) -> None:
        node = group.create_dataset(name, data=np.array(shape, np.uint64))
        self.mark(node, kind, empty=np.uint8(1))

    def put_numbers(self, group: h5py.Group, name: str, value: np.ndarray) -> None:
        assert value.ndim >= 2, "every MATLAB array has two dimensions"
        logical = value.dtype == bool
        stored = value.astype(np.uint8) if logical else value
        real = stored.real.dtype
        kind = "logical" if logical else CLASSES[f"{real.kind}{real.itemsize}"]
        if not value.size:
            self.put_empty(group, name, kind, value.shape)
            return
        if np.iscomplexobj(stored):
            pairs = np.empty(stored.shape, dtype=[("real", real), ("imag", real)])
            pairs["real"], pairs["imag"] = stored.real, stored.imag
            stored = pairs
        chunks = stored.T.shape if stored.nbytes > 10_000 else None
        node = group.create_dataset(
            name, data=stored.T, chunks=chunks, compression="gzip" if chunks else None
        )
        self.mark(node, kind, **({"int_decode": np.int32(1)} if logical else {}))

    def put_text(self, group: h5py.Group, name: str, value: str) -> None:
        codes = np.frombuffer(value.encode("utf-16-le"), np.uint16)
        if not codes.size:
            self.put_empty(group, name, "char", (0, 0))
            return
        node = group.create_dataset(name, data=codes.reshape(-1, 1))
        self.mark(node, "char", int_decode=np.int32(2))

    def put_sparse(self, group: h5py.Group, name: str, value: Any) -> None:
        node = group.create_group(name)
        self.mark(node, "logical" if value.dtype == bool else "double", sparse=np.uint64(value.shape[0]))
        if value.nnz:
            node["data"] = value.data.astype(np.uint8) if value.dtype == bool else value.data
            node["ir"] = value.indices.astype(np.uint64)
        node["jc"] = value.indptr.astype(np.uint64)

    def refer(self, value: Any) -> h5py.Reference:
        refs = self.file.require_group("#refs#")
        self.count += 1
        name = f"v{self.count}"
        self.put(refs, name, value)
        return refs[name].ref

    def put_cell(self, group: h5py.Group, name: str, value: np.ndarray) -> None:
        if not value.size:
            self.put_empty(group, name, "cell", value.shape)
            return
        references = np.empty(value.T.shape, dtype=object)
        for place, each in np.ndenumerate(value.T):
            references[place] = self.refer(each)
        self.mark(group.create_dataset(name, data=references, dtype=h5py.ref_dtype), "cell")

    def put_structs(self, group: h5py.Group, name: str, value: list[dict[str, Any]]) -> None:
        node = group.create_group(name)
        self.mark(node, "struct")
        for field in value[0]:
            references = np.array([[self.refer(each[field])] for each in value], dtype=object)
            node.create_dataset(field, data=references, dtype=h5py.ref_dtype)
