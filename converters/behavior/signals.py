"""A measured signal as a series of the behavior module: units, names and the container it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdmf.data_utils import GenericDataChunkIterator
from numpy.typing import NDArray

from nwbswitch.converters.nwb_modules import behavior_module, container
from nwbswitch.converters.timing import Timing
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.stored_names import plain_name as plain_name
from nwbswitch.schemas.study_checks import NO_UNIT, SIGNAL_UNITS
from nwbswitch.schemas.units import convert, parse_unit

if TYPE_CHECKING:
    from pynwb import NWBFile, TimeSeries

# NWB's word for a unit that is not known.
NOT_AVAILABLE = "n.a."
NWB_UNITS = {"m": "meters", "rad": "radians", "V": "volts", "s": "seconds"}
"""What NWB calls an SI unit; others keep their UCUM symbol."""
SI_UNITS = ("m/s", "rad/s", "m", "rad", "m2", "V", "A", "s", "Hz", "Cel", "Pa", "kg", "g", "N", "1")
"""Units that a signal is brought to by its conversion, one per dimension."""


@dataclass(frozen=True, slots=True)
class MeasuredSignal:
    """One signal: its name in the file, what it measures, its values as read and their unit."""

    name: str
    data: NDArray[Any] | GenericDataChunkIterator
    unit: str
    conversion: float
    description: str
    comments: str
    is_position: bool = False


def add_signal(nwbfile: NWBFile, signal: MeasuredSignal, timing: Timing, *, stop: int | None = None) -> None:
    """Add a series to BehavioralTimeSeries, or to Position, of the behavior module."""
    from pynwb import TimeSeries
    from pynwb.behavior import BehavioralTimeSeries, Position, SpatialSeries

    fields: dict[str, Any] = {
        "name": plain_name(signal.name),
        "description": signal.description,
        "data": signal.data,
        "unit": signal.unit,
        "conversion": signal.conversion,
        "comments": signal.comments,
        **timing.series_fields(stop),
    }
    module = behavior_module(nwbfile)
    if signal.is_position:
        frame = "Along the track; zero as defined by the source."
        container(module, Position).add_spatial_series(SpatialSeries(reference_frame=frame, **fields))
    else:
        series: TimeSeries = TimeSeries(**fields)
        container(module, BehavioralTimeSeries).add_timeseries(series)


def nwb_unit(path: Path, item: str, unit: str, quantity: str = "") -> tuple[str, float, str]:
    """Return NWB's unit of a signal, the factor that leads to it, and a sentence that says so.

    Raises
    ------
    TableError
        ``bad-unit`` for what is no UCUM unit or does not measure the quantity.
    """
    if unit == NO_UNIT:
        return NOT_AVAILABLE, 1.0, "The source does not state the unit of this signal."
    wanted = SIGNAL_UNITS.get(quantity, SI_UNITS)
    try:
        parse_unit(unit)
    except ValueError as error:
        raise _bad_unit(path, item, unit, quantity, str(error)) from error
    reasons = []
    for target in wanted:
        try:
            factor = convert(1.0, unit, target)
        except ValueError as error:
            reasons.append(str(error))
            continue
        found = NWB_UNITS.get(target, target)
        return found, factor, f"Values as read, in {unit}; data times conversion is in {found}."
    if quantity in SIGNAL_UNITS:
        raise _bad_unit(path, item, unit, quantity, reasons[0])
    return unit, 1.0, f"Values as read, in {unit}."


def _bad_unit(path: Path, item: str, unit: str, quantity: str, reason: str) -> TableError:
    problem = f"{unit!r} is no unit of {quantity or 'a signal'}: {reason}"
    example = SIGNAL_UNITS.get(quantity, SI_UNITS)[0]
    remedy = f"Expected e.g. {example}, or {NO_UNIT!r} if not known."
    return TableError([issue("bad-unit", problem, place=Place(path, item=item), remedy=remedy)])
