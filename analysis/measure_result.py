"""What measuring gives: the cells table, how much it holds, and what was found on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from nwbswitch.schemas.issues import Issue, has_errors
from nwbswitch.schemas.tables import CELLS


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was measured; a neuron counts in each recording session."""

    blocks: int = 0
    neurons: int = 0
    sessions: int = 0
    animals: int = 0


@dataclass(frozen=True, slots=True)
class MeasureResult:
    """The cells table and what was found on the way."""

    issues: tuple[Issue, ...] = ()
    out: Path | None = None
    clocks: pd.DataFrame | None = None
    """Columns of `nwbswitch.schemas.clock_table.CLOCKS`; None when no source holds a clock table."""
    counts: Counts = Counts()
    held: pd.DataFrame | None = field(default=None, repr=False)
    """The table itself when it was not written to ``out``."""
    sessions: pd.DataFrame | None = field(default=None, repr=False)
    """All sessions, those left out too; columns of `nwbswitch.schemas.result_tables.SESSIONS`."""

    @property
    def cells(self) -> pd.DataFrame:
        """The table, with the columns of `nwbswitch.schemas.tables.CELLS`; read anew from ``out``."""
        if self.held is not None or self.out is None:
            return self.held if self.held is not None else pd.DataFrame()
        from nwbswitch.analysis.table_file import read_table

        return CELLS.checked(read_table(self.out), file=self.out)

    @property
    def ok(self) -> bool:
        """Whether every session could be measured."""
        return not has_errors(self.issues)

    def summary(self) -> str:
        """Return what was measured in one line."""
        n = self.counts
        where = f" in {self.out}" if self.out else ""
        return (
            f"{n.blocks} blocks of {n.neurons} neurons in {_several(n.sessions, 'recording session')} "
            f"of {_several(n.animals, 'animal')} (a neuron counts in each session){where}"
        )


def _several(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
