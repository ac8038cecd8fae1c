"""Arithmetic and conditions on the columns of a table, from text that may be hostile.

The text is parsed with `ast` and walked: only the nodes, operators and functions listed here exist, so
there is no attribute access, no call of anything else, and no Python name but a column's. Missing values
follow three-valued logic (Kleene 1952): a comparison with a missing value is missing, and a row is kept
only where the condition is certainly true.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from nwbswitch.schemas.errors import FormulaError
from nwbswitch.schemas.issues import nearest

MAX_CHARACTERS: Final = 2000
_FORBIDDEN: Final = "may hold column names, numbers, texts, arithmetic, comparisons, and, or, not, in"


@dataclass(frozen=True, slots=True)
class Values:
    """One value per row (or a constant, length 1): ``data`` and where it is missing."""

    data: np.ndarray
    missing: np.ndarray

    @property
    def kind(self) -> str:
        """``number``, ``truth`` or ``text``."""
        return {"f": "number", "b": "truth"}.get(self.data.dtype.kind, "text")


def _standardised(x: np.ndarray) -> np.ndarray:
    present = x[np.isfinite(x)]
    spread = present.std(ddof=1) if present.size > 1 else np.nan
    return np.asarray((x - present.mean()) / spread) if present.size else x


FUNCTIONS: Final[dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "scale": _standardised,
    "sqrt": np.sqrt,
    "I": np.asarray,
}
_ARITHMETIC: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.Mod: np.mod,
}
_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}


def shortened(text: str, *, characters: int = 80) -> str:
    """Return ``text`` cut to ``characters`` for a message."""
    return text if len(text) <= characters else text[: characters - 3] + "..."


def column_values(column: pd.Series) -> Values:
    """Return a table's column as `Values`: numbers as float64, truth values, everything else as text."""
    missing = np.asarray(column.isna(), dtype=bool)
    if pd.api.types.is_bool_dtype(column.dtype):
        return Values(column.fillna(value=False).to_numpy(dtype=bool), missing)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return Values(column.to_numpy(dtype=np.float64, na_value=np.nan), missing)
    text = column.astype(object).where(~missing, "").astype(str)
    return Values(text.to_numpy(dtype=object), missing)


def evaluate(text: str, frame: pd.DataFrame, *, what: str = "The expression") -> Values:
    """Return the value of ``text`` for every row of ``frame``.

    Parameters
    ----------
    text
        Expression; a column whose name is not a plain word stands in backticks.
    frame
        The table; it is not changed.
    what
        Subject of the error messages.

    Raises
    ------
    FormulaError
        If the text is too long, cannot be read, holds anything that is not listed in this module, names
        an unknown column, or mixes text with numbers.
    """
    tree, quoted = _parsed(text, what)
    walker = _Walker(frame, quoted, what, text)
    with np.errstate(all="ignore"):
        try:
            result = walker.value(tree)
        except RecursionError:
            raise FormulaError(f"{what} {shortened(text)!r} is nested too deeply.") from None
    size = len(frame)
    return Values(
        np.broadcast_to(result.data, (size,)).copy(), np.broadcast_to(result.missing, (size,)).copy()
    )


def columns_used(text: str) -> tuple[str, ...]:
    """Return the names of the columns in ``text``, each once, in the order of their appearance.

    Raises
    ------
    FormulaError
        If the text is too long or cannot be read.
    """
    tree, quoted = _parsed(text, "The expression")
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in called]
    names.sort(key=lambda node: (node.lineno, node.col_offset))
    return tuple(dict.fromkeys(quoted.get(node.id, node.id) for node in names))


def rows_where(text: str, frame: pd.DataFrame) -> np.ndarray:
    """Return a (rows,) boolean array: where the condition ``text`` is certainly true.

    Raises
    ------
    FormulaError
        As `evaluate`, or if the text is not a condition.
    """
    what = "The condition (where)"
    result = evaluate(text, frame, what=what)
    if result.kind != "truth":
        raise FormulaError(
            f"{what} {shortened(text)!r} gives {result.kind}s, expected true or false for every row."
        )
    return np.asarray(result.data & ~result.missing)


def _parsed(text: str, what: str) -> tuple[ast.expr, dict[str, str]]:
    if len(text) > MAX_CHARACTERS:
        raise FormulaError(f"{what} has {len(text)} characters; at most {MAX_CHARACTERS} are read.")
    quoted: dict[str, str] = {}

    def placeholder(match: re.Match[str]) -> str:
        name = f"quoted_column_{len(quoted)}_"
        quoted[name] = match.group(1)
        return name

    plain = re.sub(r"`([^`]*)`", placeholder, text)
    try:
        return ast.parse(plain.strip(), mode="eval").body, quoted
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise FormulaError(
            f"{what} {shortened(text)!r} cannot be read ({reason}). It {_FORBIDDEN}, "
            "e.g. \"rate > 0 and arm == 'saline'\"."
        ) from None


class _Walker:
    """Value of each node; refuses every node that has no method here."""

    def __init__(self, frame: pd.DataFrame, quoted: dict[str, str], what: str, text: str) -> None:
        self._frame, self._quoted, self._what, self._text = frame, quoted, what, text

    def _refuse(self, problem: str) -> FormulaError:
        return FormulaError(f"{self._what} {shortened(self._text)!r} {problem}")

    def value(self, node: ast.expr) -> Values:
        match node:
            case ast.Name(id=name):
                return self._column(name)
            case ast.Constant(value=bool(value)):
                return Values(np.array([value]), np.zeros(1, bool))
            case ast.Constant(value=int(value) | float(value)):
                return self._number(value)
            case ast.Constant(value=str(value)):
                return Values(np.array([value], dtype=object), np.zeros(1, bool))
            case ast.UnaryOp():
                return self._unary(node)
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr()):
                return self._logic([node.left, node.right], conjunction=isinstance(node.op, ast.BitAnd))
            case ast.BinOp():
                return self._arithmetic(node)
            case ast.BoolOp():
                return self._logic(node.values, conjunction=isinstance(node.op, ast.And))
            case ast.Compare():
                return self._compare(node)
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]):
                return self._call(name, argument)
            case _:
                raise self._refuse(f"holds {type(node).__name__}, which is not allowed: it {_FORBIDDEN}.")

    def _number(self, value: float) -> Values:
        try:
            return Values(np.array([float(value)]), np.zeros(1, bool))
        except OverflowError:
            raise self._refuse("holds a number that is too large.") from None

    def _column(self, name: str) -> Values:
        name = self._quoted.get(name, name)
        if name not in self._frame.columns:
            hint = nearest(name, map(str, self._frame.columns))
            known = hint or f"Columns are {', '.join(map(str, self._frame.columns[:20]))}."
            raise self._refuse(f"names the column {name!r}, which the table does not have. {known}")
        if int(np.sum(self._frame.columns == name)) > 1:
            raise self._refuse(f"names the column {name!r}, which the table has more than once.")
        return column_values(self._frame[name])

    def _numeric(self, node: ast.expr) -> Values:
        found = self.value(node)
        if found.kind == "text":
            raise self._refuse(f"does arithmetic with the text {ast.unparse(node)!r}.")
        return Values(found.data.astype(np.float64), found.missing)

    def _truth(self, node: ast.expr) -> Values:
        found = self.value(node)
        if found.kind != "truth":
            raise self._refuse(f"uses the {found.kind} {ast.unparse(node)!r} as a condition.")
        return found

    def _unary(self, node: ast.UnaryOp) -> Values:
        if isinstance(node.op, ast.Not | ast.Invert):
            inner = self._truth(node.operand)
            return Values(~inner.data, inner.missing)
        inner = self._numeric(node.operand)
        return Values(-inner.data if isinstance(node.op, ast.USub) else inner.data, inner.missing)

    def _arithmetic(self, node: ast.BinOp) -> Values:
        operation = _ARITHMETIC.get(type(node.op))
        if operation is None:
            raise self._refuse(f"uses the operator {type(node.op).__name__}, which is not allowed.")
        left, right = self._numeric(node.left), self._numeric(node.right)
        return _with_nan_missing(operation(left.data, right.data), left.missing | right.missing)

    def _logic(self, nodes: list[ast.expr], *, conjunction: bool) -> Values:
        parts = [self._truth(node) for node in nodes]
        decided = np.zeros(1, bool)
        unknown = np.zeros(1, bool)
        for part in parts:
            decided = decided | ((part.data != conjunction) & ~part.missing)
            unknown = unknown | part.missing
        return Values(decided != conjunction, unknown & ~decided)

    def _compare(self, node: ast.Compare) -> Values:
        left, parts = node.left, []
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, ast.In | ast.NotIn):
                parts.append(self._member(left, right, negated=isinstance(operator, ast.NotIn)))
            else:
                parts.append(self._compared(operator, self.value(left), self.value(right)))
            left = right
        decided = np.logical_or.reduce(np.broadcast_arrays(*(~each.data & ~each.missing for each in parts)))
        unknown = np.logical_or.reduce(np.broadcast_arrays(*(each.missing for each in parts)))
        return Values(~decided, unknown & ~decided)

    def _compared(self, operator: ast.cmpop, left: Values, right: Values) -> Values:
        operation = _COMPARISONS.get(type(operator))
        if operation is None:
            raise self._refuse(f"uses {type(operator).__name__}, which is not allowed.")
        if (left.kind == "text") != (right.kind == "text"):
            raise self._refuse("compares text with a number. Text stands in quotes, numbers do not.")
        return Values(np.asarray(operation(left.data, right.data), bool), left.missing | right.missing)

    def _member(self, node: ast.expr, choices: ast.expr, *, negated: bool) -> Values:
        if not isinstance(choices, ast.List | ast.Tuple | ast.Set) or not choices.elts:
            raise self._refuse("needs a list after in, e.g. arm in ['saline', 'ketamine'].")
        left = self.value(node)
        equal = [self._compared(ast.Eq(), left, self.value(choice)) for choice in choices.elts]
        found = np.logical_or.reduce([each.data for each in equal])
        return Values(found != negated, left.missing)

    def _call(self, name: str, argument: ast.expr) -> Values:
        if name == "isna":
            inner = self.value(argument)
            return Values(inner.missing, np.zeros(1, bool))
        function = FUNCTIONS.get(name)
        if function is None:
            raise self._refuse(
                f"calls {name!r}; the functions are {', '.join(sorted(FUNCTIONS))}. "
                + nearest(name, FUNCTIONS)
            )
        if name == "I":
            return self.value(argument)
        inner = self._numeric(argument)
        return _with_nan_missing(function(inner.data), inner.missing)


def _with_nan_missing(data: np.ndarray, missing: np.ndarray) -> Values:
    return Values(data, missing | np.isnan(data))
