"""Depths below the surface of the brain: columns, words and coordinates that say their unit and origin."""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.reading.columns import Table
from nwbswitch.schemas.overrides import FILL_IN, proposal

MAX_DEPTH_UM = 10_000.0
"""Deeper than any brain of a rodent: such numbers are of another unit or origin."""
UM_PER_UNIT: dict[str, float] = {
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers"), 1.0),
    **dict.fromkeys(("micrometre", "micrometres"), 1.0),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimeters"), 1e4),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1e6),
    **dict.fromkeys(("nm", "nanometer", "nanometers"), 1e-3),
}
"""Micrometres in one unit of length, as files write units."""

_NUMBER = r"(?<![\d.])(?<!\d[-–])(?<!to )-?(?P<value>\d+(?:\.\d+)?)"
_UNIT = r"\s*(?P<unit>µm|μm|um|microns?|micromet(?:er|re)s?|mm|millimet(?:er|re)s?)(?![A-Za-z])"
_SURFACE = r"(?:pia|pial|dura|surface|brain surface|cortical surface)"
_PATTERNS = (
    re.compile(rf"\bdepth\b(?! of f)[^\d\n;]{{0,24}}?{_NUMBER}{_UNIT}", re.IGNORECASE),
    re.compile(
        rf"{_NUMBER}{_UNIT}\s*(?:in\s+)?"
        rf"(?:deep\b|depth\b(?! of f)|(?:below|under|beneath|from)\s+(?:the\s+)?\w*\s?{_SURFACE})",
        re.IGNORECASE,
    ),
    re.compile(rf"\bdepth[_ ]?\(?(?P<unit>um|µm|μm|mm)\)?\s*[:=]\s*{_NUMBER}(?![\d.])", re.IGNORECASE),
)
_OTHER_ORIGIN = re.compile(r"\bbregma\b|\bDV\b|dorso-?ventral|probe tip|\btip\b", re.IGNORECASE)
_FROM_SURFACE = re.compile(r"\b(?:pia|pial|dura|surface)\b", re.IGNORECASE)
DEPTH_COLUMNS = frozenset({"depth", "imaging_depth", "roi_depth", "cell_depth", "cortical_depth", "z_depth"})
"""Columns of depths that do not name their unit, by their folded names."""


def depths_in(words: str) -> tuple[float, ...]:
    """Return the depths below the surface that words state with their unit, um; empty where they state none.

    Several different ones are several readings. Numbers without a unit, ranges and coordinates from bregma
    are no depths.
    """
    text = words[:2000]
    if _OTHER_ORIGIN.search(text) and not _FROM_SURFACE.search(text):
        return ()
    found = {
        round(float(match["value"]) * UM_PER_UNIT[match["unit"].casefold()], 3)
        for pattern in _PATTERNS
        for match in pattern.finditer(text)
    }
    return tuple(sorted(each for each in found if 0 <= each <= MAX_DEPTH_UM))


def is_from_surface(words: str) -> bool:
    """Return whether a reference frame counts depth from the surface of the brain."""
    return _FROM_SURFACE.search(words) is not None and re.search(r"\bbregma\b", words, re.IGNORECASE) is None


def depths_of(table: Table) -> NDArray[np.float64]:
    """Return the depth of each row below the surface, um; NaN where no column states it with its unit."""
    usable = []
    for name, folded_name in table.names():
        if folded_name != "depth_um" and folded_name not in DEPTH_COLUMNS:
            continue
        column = table.column(name)
        if column is None:
            continue
        unit_um = 1.0 if folded_name == "depth_um" else _unit(table, name, column.description)
        if column.is_text or unit_um is None:
            problem = (
                f"The column {name!r} does not say in which unit it counts from the surface of the brain."
            )
            rule = {"depth_um": FILL_IN}
            table.find("unclear-value", problem, column=name, remedy=proposal(table.source, rule))
            continue
        depth_um = np.abs(column.values.astype(np.float64)) * unit_um
        depth_um[~(depth_um <= MAX_DEPTH_UM)] = math.nan
        usable.append((name, depth_um))
    if not usable:
        return np.full(table.n_rows, math.nan)
    name, first = usable[0]
    if any(not np.allclose(first, other, equal_nan=True) for _, other in usable[1:]):
        names = " and ".join(repr(each) for each, _ in usable)
        problem = f"The columns {names} state different depths; none is used."
        rule = {"depth_um": FILL_IN}
        table.find("unclear-value", problem, column=name, remedy=proposal(table.source, rule))
        return np.full(table.n_rows, math.nan)
    return first


def _unit(table: Table, name: str, description: str) -> float | None:
    """Return um per unit of a column whose unit and description say so, or None."""
    from nwbswitch.analysis.reading.stored_values import stated

    unit = stated(table.group[name].attrs.get("unit"))
    words = re.findall(r"µm|μm|[A-Za-z]+", description)
    units = {UM_PER_UNIT[word] for word in words if word in UM_PER_UNIT and word not in ("m", "cm")}
    if unit.casefold() in UM_PER_UNIT:
        units = {UM_PER_UNIT[unit.casefold()]}
    return units.pop() if len(units) == 1 and is_from_surface(description) else None
