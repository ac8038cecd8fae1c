"""Tables of results as plain text, Markdown and LaTeX, with the digits that papers print."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from nwbswitch.analysis.fit_text import columns_text, df_text, number_text, p_text

Format = Literal["text", "markdown", "latex"]

_HEADS: Final[Mapping[str, str]] = {
    "se": "SE",
    "sd": "SD",
    "p": "P",
    "f": "F",
    "num_df": "df 1",
    "den_df": "df 2",
    "sum_sq": "sum Sq",
    "mean_sq": "mean Sq",
    "term_1": "term 1",
    "term_2": "term 2",
    "aic": "AIC",
    "bic": "BIC",
    "log_likelihood": "log-likelihood",
}
_CELLS: Final[Mapping[str, Callable[[float], str]]] = {
    "se": lambda value: number_text(value, digits=4),
    "df": df_text,
    "den_df": df_text,
    "t": lambda value: number_text(value, digits=4),
    "z": lambda value: number_text(value, digits=4),
    "f": lambda value: number_text(value, digits=4),
    "correlation": lambda value: number_text(value, digits=3),
}
_LATEX: Final[Mapping[str, str]] = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}
_ITALIC: Final = ("t", "z", "F", "P")
_NUMBER: Final = re.compile(r"<?[-+]?(\d+\.?\d*|\.\d+)(e[-+]\d+)?")


@dataclass(frozen=True, slots=True)
class ShownTable:
    """Cells of a table as text; ``numeric`` marks the columns that stand to the right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]


def shown_table(frame: pd.DataFrame, *, level: float = 0.95) -> ShownTable:
    """Return the cells of a table of results.

    ``ci_low`` and ``ci_high`` become one column, a P value is printed as papers do, degrees of freedom have
    one digit after the point, other numbers five significant digits.
    """
    header, numeric, columns = [], [], []
    for name in map(str, frame.columns):
        if name == "ci_high" and "ci_low" in frame:
            continue
        if name == "ci_low" and "ci_high" in frame:
            header.append(f"{100.0 * level:g} % CI")
            numeric.append(True)
            ends = zip(frame["ci_low"], frame["ci_high"], strict=True)
            columns.append(
                [f"[{number_text(low, digits=4)}, {number_text(high, digits=4)}]" for low, high in ends]
            )
            continue
        header.append(_HEADS.get(name, name.replace("_", " ")))
        numeric.append(bool(pd.api.types.is_numeric_dtype(frame[name])))
        columns.append([_cell(name, value) for value in frame[name]])
    return ShownTable(tuple(header), tuple(zip(*columns, strict=True)), tuple(numeric))


def _cell(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if name == "p" or name.startswith("p_"):
            return p_text(value)
        if name in _CELLS:
            return _CELLS[name](value)
        return str(int(value)) if float(value).is_integer() and abs(value) < 1e9 else number_text(value)
    if value is None or value is pd.NA:
        return "-"
    return " ".join(str(value).split())


def table_text(frame: pd.DataFrame, *, format: Format = "text", level: float = 0.95) -> str:  # noqa: A002
    """Return a table of results in one of three formats; LaTeX needs the package booktabs."""
    shown = shown_table(frame, level=level)
    match format:
        case "text":
            return "\n".join(columns_text(shown.header, shown.rows))
        case "markdown":
            return _markdown(shown)
        case "latex":
            return _latex(shown)
    raise ValueError(f"format is {format!r}; available are text, markdown, latex.")


def to_markdown(frame: pd.DataFrame, *, level: float = 0.95) -> str:
    """Return a table of results as a Markdown pipe table."""
    return table_text(frame, format="markdown", level=level)


def to_latex(frame: pd.DataFrame, *, level: float = 0.95) -> str:
    """Return a table of results as a LaTeX tabular with the rules of booktabs."""
    return table_text(frame, format="latex", level=level)


def _markdown(shown: ShownTable) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(map(_markdown_text, cells))} |"

    rule = "| " + " | ".join("---:" if each else ":---" for each in shown.numeric) + " |"
    return "\n".join([line(shown.header), rule, *map(line, shown.rows)])


def _markdown_text(text: str) -> str:
    return re.sub(r"([\\|*_`<>$~])", r"\\\1", text)


def _latex(shown: ShownTable) -> str:
    def line(cells: Sequence[str]) -> str:
        return " & ".join(cells) + r" \\"

    header = [f"${name}$" if name in _ITALIC else latex_text(name) for name in shown.header]
    rows = [
        [
            _latex_number(cell) if right else latex_text(cell)
            for cell, right in zip(row, shown.numeric, strict=True)
        ]
        for row in shown.rows
    ]
    columns = "".join("r" if each else "l" for each in shown.numeric)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            line(header),
            r"\midrule",
            *map(line, rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _latex_number(text: str) -> str:
    """Return numbers in mathematical type, so that a minus is a minus."""

    def mathematical(found: re.Match[str]) -> str:
        head, _, power = found[0].partition("e")
        return f"${head}" + (rf" \times 10^{{{int(power)}}}" if power else "") + "$"

    return _NUMBER.sub(mathematical, text) if text != "-" else "--"


def latex_text(text: str) -> str:
    """Return text in which nothing is a command of LaTeX."""
    return "".join(_LATEX.get(each, each) for each in text)
