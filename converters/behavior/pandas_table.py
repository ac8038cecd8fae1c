"""Tables that pandas wrote into HDF5, in its "fixed" and "table" formats, read without PyTables.

The layout is that of ``pandas.io.pytables``: attributes of the group say which of the two it is. Column
labels of a "table" are pickles in attributes, which are read by the guard for plain pickles and never run;
those of "fixed" are arrays of levels and codes.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.file_guard import open_hdf5, read_pickle_bytes

MAX_COLUMNS = 30_000
MAX_BLOCKS = 64
MAX_LEVELS = 8


class PandasTable:
    """A data frame with labelled columns.

    Parameters
    ----------
    path
        The file; it must hold one data frame.

    Raises
    ------
    InputFileError
        No data frame, several, or one in a layout that pandas does not write.
    UnsafeFileError
        Labels that are more than plain text.
    """

    labels: list[tuple[str, ...]]
    """Labels of each column, outermost first."""
    index: NDArray[Any] | None
    """Numbers of the rows (n,); None when rows are named otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts: list[tuple[Any, str | None, int, bool]] = []
        self.labels = []
        self._open = ExitStack()
        try:
            file = self._open.enter_context(open_hdf5(path))
            kind, group = self._frame(file)
            if kind == "frame_table":
                self._open_table(group)
            else:
                self._open_fixed(group)
            if len(self.labels) > MAX_COLUMNS:
                raise self._odd(f"{len(self.labels)} columns")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.close()
            raise self._odd(f"{type(error).__name__}: {str(error)[:200]}") from error
        except BaseException:
            self.close()
            raise

    def _odd(self, what: str) -> InputFileError:
        return InputFileError(
            self.path, f"holds a data frame in a layout that pandas does not write ({what})."
        )

    def _frame(self, file: Any) -> tuple[str, Any]:
        import h5py

        found = [
            (_text(group.attrs["pandas_type"]), group)
            for group in file.values()
            if isinstance(group, h5py.Group) and "pandas_type" in group.attrs
        ]
        frames = [each for each in found if each[0] in ("frame", "frame_table")]
        if len(frames) != 1:
            names = ", ".join(group.name for _, group in frames)
            raise InputFileError(
                self.path,
                f"holds {len(frames) or 'no'} data frames {names}".rstrip() + "; one is expected.",
                "Name the file that the tracking program wrote.",
            )
        return frames[0]

    def _open_table(self, group: Any) -> None:
        table = group["table"]
        fields = table.dtype.names or ()
        self.n = int(table.shape[0])
        self.index = table.fields("index")[()] if "index" in fields else None
        if self.index is not None and self.index.dtype.kind not in "iu":
            self.index = None
        for name in (each for each in fields if each.startswith("values_block_")):
            where = f"{group.name}/table@{name}_kind"
            labels = read_pickle_bytes(bytes(table.attrs[f"{name}_kind"]), self.path, where)
            field = table.dtype[name]
            width = int(np.prod(field.shape, dtype=np.int64))
            self._add(labels, (table, name, width, False), field.base.kind)

    def _open_fixed(self, group: Any) -> None:
        n_blocks = int(group.attrs["nblocks"])
        if not 0 < n_blocks <= MAX_BLOCKS:
            raise ValueError(f"{n_blocks} blocks")
        index = group.get("axis1")
        self.index = index[()] if index is not None and index.dtype.kind in "iu" else None
        for block in range(n_blocks):
            values = group[f"block{block}_values"]
            transposed = bool(values.attrs.get("transposed", 0))
            # "transposed" tells that the array lies rows first, unlike blocks in memory.
            rows, width = values.shape if transposed else values.shape[::-1]
            if block and rows != self.n:
                raise ValueError("blocks of different length")
            self.n = int(rows)
            labels = self._levels(group, f"block{block}_items")
            self._add(labels, (values, None, int(width), not transposed), values.dtype.kind)

    def _levels(self, group: Any, name: str) -> list[tuple[str, ...]]:
        """Return labels that are stored as the values of each level and a code per column."""
        if _text(group.attrs.get(f"{name}_variety", "")) != "multi":
            raise ValueError("columns without levels")
        encoding = _text(group.attrs.get("encoding", "UTF-8"))
        count = int(group.attrs[f"{name}_nlevels"])
        if not 0 < count <= MAX_LEVELS or encoding.lower().replace("-", "") not in (
            "utf8",
            "ascii",
            "latin1",
        ):
            raise ValueError(f"{count} levels in {encoding}")
        columns = []
        for level in range(count):
            values = group[f"{name}_level{level}"][()]
            codes = group[f"{name}_label{level}"][()]
            if values.dtype.kind != "S" or codes.dtype.kind not in "iu" or codes.ndim != 1:
                raise ValueError(f"labels of type {values.dtype}")
            if len(codes) > MAX_COLUMNS or (codes < 0).any() or (codes >= len(values)).any():
                raise ValueError("labels out of range")
            words = [value.decode(encoding) for value in values]
            columns.append([words[code] for code in codes])
        return list(zip(*columns, strict=True))

    def _add(self, labels: Any, part: tuple[Any, str | None, int, bool], kind: str) -> None:
        if not isinstance(labels, list) or len(labels) != part[2] or kind not in "fiu":
            raise ValueError("values and their labels do not fit")
        for label in labels:
            if not isinstance(label, tuple) or not all(isinstance(word, str) for word in label):
                raise ValueError(f"a column called {str(label)[:80]}")
        self.labels += labels
        self._parts.append(part)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that holds every value."""
        kinds = [source.dtype[name].base if name else source.dtype for source, name, _, _ in self._parts]
        return np.result_type(*kinds, np.float32)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start`` to ``stop``, shape (rows, columns)."""
        parts = []
        for source, name, width, turned in self._parts:
            if name is not None:
                values = source.fields(name)[start:stop]
            else:
                values = source[:, start:stop].T if turned else source[start:stop]
            parts.append(values.reshape(-1, width))
        return np.concatenate(parts, axis=1)

    def close(self) -> None:
        """Close the file."""
        self._open.close()


def _text(value: Any) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
