"""Containers of an NWB file that several streams share: made by the first of them, found by the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neuroconv.tools.nwb_helpers import get_module

if TYPE_CHECKING:
    from pynwb import NWBFile

BEHAVIOR = "Behaviour of the animal."


def container(module: Any, kind: type) -> Any:
    """Return the module's container of this type, made when it is not there yet."""
    if kind.__name__ not in module.data_interfaces:
        module.add(kind(name=kind.__name__))
    return module[kind.__name__]


def behavior_module(nwbfile: NWBFile) -> Any:
    """Return the processing module behavior."""
    return get_module(nwbfile, "behavior", BEHAVIOR)
