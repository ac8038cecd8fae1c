"""The microscope and the imaging plane that movies and traces share, in neuroconv's metadata form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pynwb import NWBFile
    from pynwb.ophys import ImagingPlane

DEVICE_KEY = "microscope"
PLANE_KEY = "imaging_plane"

_ENTRY: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[^/]*$"}, "description": {"type": "string"}},
}


def default_plane_metadata() -> dict[str, Any]:
    """Return the metadata of a plane about which nothing is known; the study file says more."""
    return {
        "Devices": {DEVICE_KEY: {"name": "Microscope", "description": "Microscope, not described further."}},
        "Ophys": {
            "ImagingPlanes": {
                PLANE_KEY: {
                    "name": "ImagingPlane",
                    "description": "Imaging plane, not described further.",
                    "device_metadata_key": DEVICE_KEY,
                    "excitation_lambda": float("nan"),
                    "indicator": "unknown",
                    "location": "unknown",
                    "optical_channel": [
                        {
                            "name": "OpticalChannel",
                            "description": "Emission channel, not described further.",
                            "emission_lambda": float("nan"),
                        }
                    ],
                }
            }
        },
    }


def with_ophys(schema: Mapping[str, Any], *blocks: str) -> dict[str, Any]:
    """Return a metadata schema with ``Ophys.ImagingPlanes`` and further registries of named objects added."""
    registries = {
        name: {"type": "object", "additionalProperties": _ENTRY} for name in ("ImagingPlanes", *blocks)
    }
    properties = {**schema["properties"], "Ophys": {"type": "object", "properties": registries}}
    return {**schema, "properties": properties}


def entry(metadata: Mapping[str, Any], block: str, key: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return one entry of a registry below ``metadata["Ophys"]``, completed by its defaults."""
    return {**defaults, **metadata.get("Ophys", {}).get(block, {}).get(key, {})}


def imaging_plane(nwbfile: NWBFile, metadata: Mapping[str, Any], *, key: str = PLANE_KEY) -> ImagingPlane:
    """Return the imaging plane under ``key``, made together with its microscope when it is not there yet."""
    from pynwb.ophys import OpticalChannel

    defaults = default_plane_metadata()
    fields = entry(metadata, "ImagingPlanes", key, defaults["Ophys"]["ImagingPlanes"][PLANE_KEY])
    if fields["name"] in nwbfile.imaging_planes:
        return nwbfile.imaging_planes[fields["name"]]
    device_key = fields.pop("device_metadata_key")
    device = metadata.get("Devices", {}).get(device_key, defaults["Devices"][DEVICE_KEY])
    channels = [OpticalChannel(**channel) for channel in fields.pop("optical_channel")]
    return nwbfile.create_imaging_plane(
        device=nwbfile.devices.get(device["name"]) or nwbfile.create_device(**device),
        optical_channel=channels,
        **fields,
    )
