"""The clock table of an NWB file: a core DynamicTable that any reader opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nwbswitch.schemas.clock_table import (
    CLOCK_COLUMNS,
    MODULE_DESCRIPTION,
    MODULE_NAME,
    TABLE_DESCRIPTION,
    TABLE_NAME,
    ClockQuality,
)

if TYPE_CHECKING:
    from hdmf.common import DynamicTable
    from pynwb import NWBFile


def add_clock_table(nwbfile: NWBFile, rows: Sequence[ClockQuality]) -> None:
    """Add the table clock_alignment to the processing module synchronization; nothing without rows.

    Parameters
    ----------
    nwbfile
        Receives the table.
    rows
        One per stream.
    """
    if not rows:
        return
    if MODULE_NAME in nwbfile.processing:
        module = nwbfile.processing[MODULE_NAME]
    else:
        module = nwbfile.create_processing_module(name=MODULE_NAME, description=MODULE_DESCRIPTION)
    module.add(clock_table(rows))


def clock_table(rows: Sequence[ClockQuality]) -> DynamicTable:
    """Return the table, one row per stream."""
    from hdmf.common import DynamicTable, VectorData

    kinds = {"str": str, "float": float, "int": int}
    columns = [
        VectorData(
            name=column.name,
            description=column.meaning + (f" Unit: {column.unit}." if column.unit else ""),
            data=[kinds[column.dtype](getattr(row, column.name)) for row in rows],
        )
        for column in CLOCK_COLUMNS
    ]
    return DynamicTable(name=TABLE_NAME, description=TABLE_DESCRIPTION, columns=columns)
