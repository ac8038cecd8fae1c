"""Values of every MATLAB class as writers take them and as readers give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.io
import scipy.sparse


def same(one: Any, two: Any) -> bool:
    """Return whether two values are equal in type and content, however they are nested."""
    if scipy.sparse.issparse(one):
        return scipy.sparse.issparse(two) and one.dtype == two.dtype and same(one.toarray(), two.toarray())
    if isinstance(one, np.ndarray):
        return isinstance(two, np.ndarray) and one.dtype == two.dtype and np.array_equal(one, two)
    if isinstance(one, dict):
        return isinstance(two, dict) and one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)
    if isinstance(one, list):
        return isinstance(two, list) and len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and bool(one == two)


def grid(*rows: list[Any]) -> np.ndarray:
    """Return a cell array of MATLAB for a writer."""
    cell = np.empty((len(rows), len(rows[0])), dtype=object)
    for row, items in enumerate(rows):
        for column, item in enumerate(items):
            cell[row, column] = item
    return cell


ONE = np.array([[1.0]])
VALUES: dict[str, tuple[Any, Any]] = {
    "matrix": (np.arange(6.0).reshape(2, 3), None),
    "volume": (np.arange(24, dtype=np.float32).reshape(2, 3, 4), None),
    "scalar": (ONE, None),
    "none": (np.zeros((0, 3)), None),
    "int8": (np.array([[-1], [2]], np.int8), None),
    "uint16": (np.array([[1, 60000]], np.uint16), None),
    "int64": (np.array([[-(1 << 60), 1 << 60]], np.int64), None),
    "logical": (np.array([[True, False], [False, False]]), None),
    "complex": (np.array([[1 + 2j, 3 - 4j]]), None),
    "singles": (np.array([[1 + 2j]], np.complex64), None),
    "text": ("µm/s 日本", None),
    "empty_text": ("", None),
    "sparse": (scipy.sparse.csc_array(np.array([[0, 1.5, 0], [2.5, 0, 0]])), None),
    "sparse_empty": (scipy.sparse.csc_array((4, 3)), None),
    "cell_row": (grid(["a", ONE, grid(["b", ""])]), ["a", ONE, ["b", ""]]),
    "cell_column": (grid(["a"], [ONE]), ["a", ONE]),
    "cell_grid": (grid(["a", ONE], ["b", np.zeros((0, 0))]), [["a", ONE], ["b", np.zeros((0, 0))]]),
    "cell_none": (np.empty((0, 0), dtype=object), []),
    "struct": (
        {"x": ONE, "inner": {"t": "u", "c": grid(["v"])}},
        {"x": ONE, "inner": {"t": "u", "c": ["v"]}},
    ),
    "structs": ([{"n": ONE, "t": "a"}, {"n": np.zeros((0, 0)), "t": ""}], None),
}
EXPECTED = {name: value if expected is None else expected for name, (value, expected) in VALUES.items()}


def for_scipy(value: Any) -> Any:
    """Return what makes ``savemat`` write the MATLAB value that the 7.3 writer writes."""
    if isinstance(value, list):
        fields = list(value[0])
        records = np.empty((1, len(value)), dtype=[(field, object) for field in fields])
        for position, each in enumerate(value):
            for field in fields:
                records[field][0, position] = for_scipy(each[field])
        return records
    if isinstance(value, dict):
        return {key: for_scipy(each) for key, each in value.items()}
    if isinstance(value, np.ndarray) and value.dtype == object:
        cell = np.empty(value.shape, dtype=object)
        for place, each in np.ndenumerate(value):
            cell[place] = for_scipy(each)
        return cell
    return value
