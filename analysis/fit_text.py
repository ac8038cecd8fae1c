"""Numbers and tables as text for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def columns_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of a table, the first column to the left and the others to the right."""
    table = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def number_text(value: float, *, digits: int = 5) -> str:
    """Return a number with ``digits`` significant digits, or a dash if there is none."""
    if not np.isfinite(value):
        return "-"
    return f"{value:#.{digits}g}".rstrip(".") if value else "0"


def df_text(value: float) -> str:
    """Return degrees of freedom."""
    return f"{value:.1f}" if np.isfinite(value) else "inf"


def p_text(value: float) -> str:
    """Return a P value as papers print it."""
    if not np.isfinite(value):
        return "-"
    return "<.0001" if value < 1e-4 else f"{value:.4f}".lstrip("0")
