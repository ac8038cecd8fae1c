"""Columns of tables in NWB files, as plain values; what cannot be one value per row is a finding."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.reading.stored_values import (
    REPLACED,
    dataset_at,
    fits,
    neurodata_type,
    plain,
    pointed,
    stated,
    text_of,
)
from nwbswitch.schemas.issues import Issue, Place, issue

if TYPE_CHECKING:
    import h5py

MAX_ROWS = 1_000_000
MAX_COLUMN_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class Column:
    """One column: texts as str objects, or booleans or numbers, one per row."""

    name: str
    values: NDArray[Any]
    description: str

    @property
    def is_text(self) -> bool:
        """Whether its values are texts."""
        return self.values.dtype.kind == "O"

    def words(self) -> list[str]:
        """Return its values as texts, empty where they state nothing; whole numbers without a point."""
        if self.is_text:
            return [stated(value) for value in self.values]
        if self.values.dtype.kind == "f":
            return [_number(value) for value in self.values.tolist()]
        return [str(value) for value in self.values.tolist()]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of an open file and where findings about it go."""

    nwb: h5py.File
    group: h5py.Group
    n_rows: int
    source: str
    """What messages call the file."""
    found: list[Issue]

    def place(self, column: str = "") -> Place:
        """Return where the table or one of its columns is."""
        return Place(self.source, item=f"{self.group.name}/{column}".rstrip("/"))

    def find(self, code: str, message: str, *, column: str = "", remedy: str = "") -> None:
        """Add a finding."""
        self.found.append(issue(code, message, place=self.place(column), remedy=remedy))

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield each column's name as it is stored, and in lower case with underscores."""
        for name in self.group:
            yield name, folded(name)

    def holds_text(self, name: str) -> bool:
        """Return whether a column holds texts, or numbers that stand for texts."""
        dataset = dataset_at(self.group, name)
        if dataset is None:
            return False
        return _text_type(dataset) is not None or neurodata_type(dataset) == "EnumData"

    def column(self, name: str, *, first_of: int = 1) -> Column | None:
        """Return a column, or None with a finding where it has not one usable value per row.

        Parameters
        ----------
        name
            Name of the column as it is stored.
        first_of
            Widest row of which the first value may be taken, for columns such as (flag, probability).
        """
        problem = self._problem(name, first_of)
        if problem:
            self.find("unusable-column", f"The column {name!r} is not used: {problem}.", column=name)
            return None
        dataset = self.group[name]
        try:
            values = dataset[()] if dataset.ndim == 1 else dataset[:, 0]
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            problem = f"The column {name!r} is not used: it cannot be read ({str(error)[:120]})."
            self.find("unusable-column", problem, column=name)
            return None
        values = self._plain(name, np.asarray(values))
        words = self._elements(dataset)
        if words is not None:
            if values.dtype.kind not in "iu" or (
                values.size and not 0 <= values.min() <= values.max() < len(words)
            ):
                problem = f"The column {name!r} is not used: it counts beyond the values that it names."
                self.find("unusable-column", problem, column=name)
                return None
            values = np.array(words, dtype=object)[values]
        return Column(name, values, text_of(dataset.attrs.get("description")))

    def _problem(self, name: str, first_of: int) -> str:
        dataset = dataset_at(self.group, name)
        if dataset is None:
            return "it is no dataset"
        if dataset_at(self.group, f"{name}_index") is not None:
            return "it holds several values per row"
        shape = dataset.shape
        width = shape[1] if len(shape) == 2 else 1
        if len(shape) not in (1, 2) or not 0 < width <= first_of:
            return f"its shape is {shape}"
        if shape[0] != self.n_rows:
            return f"it has {shape[0]} values for {self.n_rows} rows"
        kind = dataset.dtype
        if kind.kind not in "biufSO" or kind.fields:
            return f"it holds {kind}"
        if kind.kind == "O" and _text_type(dataset) is None:
            return "it holds neither texts nor numbers"
        if shape[0] > MAX_ROWS or math.prod(shape) * kind.itemsize > MAX_COLUMN_BYTES:
            return f"it is too large ({shape[0]} rows of {kind.itemsize} bytes)"
        return ""

    def _plain(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        if values.dtype.kind not in "SO":
            return values
        words = [plain(value) for value in values.tolist()]
        damaged = sum(REPLACED in word for word in words)
        if damaged:
            problem = f"{damaged} of {len(words)} texts in the column {name!r} are not UTF-8."
            self.find("damaged-text", problem, column=name)
        found = np.empty(len(words), dtype=object)
        found[:] = words
        return found

    def _elements(self, dataset: h5py.Dataset) -> list[str] | None:
        """Return the words that the numbers of an enumerated column stand for."""
        if neurodata_type(dataset) != "EnumData":
            return None
        target = pointed(self.nwb, dataset.attrs.get("elements"))
        if (
            target is None
            or getattr(target, "ndim", 0) != 1
            or target.shape[0] > MAX_ROWS
            or not fits(target)
        ):
            return []
        return [plain(value) for value in target[()].tolist()]


def folded(name: str) -> str:
    """Return a column's name in lower case, words joined by underscores."""
    return "_".join(name.casefold().replace("-", " ").replace("_", " ").split())


def first_lines(values: Iterable[str], *, most: int = 5) -> str:
    """Return a few different values for a message."""
    different = list(dict.fromkeys(values))
    shown = ", ".join(repr(each[:40]) for each in different[:most])
    return shown + (f" and {len(different) - most} more" if len(different) > most else "")


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    return str(int(value)) if math.isfinite(value) and value.is_integer() else repr(value)


def _text_type(dataset: h5py.Dataset) -> Any:
    import h5py

    return h5py.check_string_dtype(dataset.dtype)
