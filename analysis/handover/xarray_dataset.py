"""One plane of a recording as an xarray Dataset that netCDF holds: samples, neurons, windows and drugs."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbswitch.analysis.handover.drug_rows import drug_log_json, drug_rows
from nwbswitch.analysis.handover.selection import (
    MATRICES,
    MAX_BYTES,
    Choice,
    Matrix,
    Recorded,
    Rois,
    parts_by_name,
    wanted_matrices,
)
from nwbswitch.analysis.handover.values import PlaneValues, read_values
from nwbswitch.analysis.reading.outline import Outline, Plane
from nwbswitch.schemas.errors import MissingExtraError

if TYPE_CHECKING:
    import xarray as xr

_DRUG_COLUMNS = (
    "timestamp",
    "duration",
    "substance",
    "role",
    "control_kind",
    "dose",
    "dose_unit",
    "route",
    "dose_mg_per_kg_free_base",
)


def to_xarray(
    recording: Recorded,
    *,
    plane: str | None = None,
    rois: Rois = "all",
    start_s: float | None = None,
    stop_s: float | None = None,
    matrices: Collection[Matrix] = MATRICES,
    max_bytes: int = MAX_BYTES,
) -> xr.Dataset:
    """Return one plane of a recording as a Dataset with the dimensions ``time`` and ``neuron``.

    ``time`` is in s on the session clock, ``neuron`` the row of the plane segmentation, with what is known
    of each neuron as further coordinates. Samples are in the unit of the file (data times conversion plus
    offset). Analysis windows and drugs of the whole session are variables along ``window`` and
    ``administration``; the whole drug log is JSON in the attribute ``drug_log``, for
    `nwbswitch.analysis.handover.drug_rows.drug_log_of`. Tables of spikes have no common time; they are left
    to `to_pandas` and `to_pynapple`.

    Parameters
    ----------
    recording
        An open recording.
    plane
        Name of the plane; may be left out where there is one.
    rois
        ``all``, ``accepted``, or rows of the plane segmentation.
    start_s, stop_s
        Span, s on the session clock: from the first until before the second.
    matrices
        Of ``traces``, ``neuropil`` and ``deconvolved``, those that are wanted.
    max_bytes
        Most bytes of all samples; nothing is read when there are more.

    Raises
    ------
    MissingExtraError
        xarray is not installed.
    ValueError
        For a plane, rows or matrices that are not there, a plane that has to be named, a span without
        frames, and more than ``max_bytes``.
    InputFileError
        When samples cannot be read.
    """
    try:
        import xarray as xr
    except ImportError as error:
        raise MissingExtraError("xarray", "handover") from error
    outline = recording.outline
    name = _chosen(outline, plane)
    choice = Choice((name,), rois, start_s, stop_s, matrices, max_bytes)
    values = read_values(recording, choice)
    if name not in values.planes:
        raise ValueError(f"nothing to hand over: {' '.join(values.left_out)}")
    found = values.planes[name]
    traces = wanted_matrices(found.plane, choice)
    if not traces:
        raise ValueError(f"{name} has no {' or '.join(matrices)}")
    return xr.Dataset(
        {
            **{
                matrix: (
                    ("time", "neuron"),
                    found.matrices[matrix],
                    _stated(units=trace.unit, kind=trace.kind.value, object_path=trace.array.object_path),
                )
                for matrix, trace in traces.items()
            },
            **_windows(outline),
            **_drugs(outline),
        },
        coords={
            "time": ("time", found.time_s, {"units": "s", "long_name": "time on the session clock"}),
            "neuron": ("neuron", found.rows, {"long_name": "row of the plane segmentation"}),
            **_neurons(found),
        },
        attrs=_attributes(recording, name, found.plane),
    )


def _chosen(outline: Outline, plane: str | None) -> str:
    names = [name for name, part in parts_by_name(outline).items() if isinstance(part, Plane)]
    if plane is None and len(names) == 1:
        return names[0]
    if plane in names:
        return str(plane)
    if not names:
        raise ValueError("the recording has no plane; units are handed over to pynapple and pandas")
    there = f"expected one of {', '.join(names)}"
    raise ValueError(
        f"the recording has several planes: {there}" if plane is None else f"no plane {plane!r}: {there}"
    )


def _neurons(values: PlaneValues) -> dict[str, Any]:
    units = {"depth_um": {"units": "um", "long_name": "depth below the pia"}}
    return {name: ("neuron", each, units.get(name, {})) for name, each in values.neurons.items()}


def _windows(outline: Outline) -> dict[str, Any]:
    if not outline.windows:
        return {}
    labels = np.array([each.window.value for each in outline.windows])
    edges = {
        name: ("window", np.array([getattr(each, name) for each in outline.windows]), {"units": "s"})
        for name in ("start_s", "stop_s")
    }
    return {"window": ("window", labels), **{f"window_{name}": each for name, each in edges.items()}}


def _drugs(outline: Outline) -> dict[str, Any]:
    rows = drug_rows(outline.administrations)
    units = {"timestamp": "s", "duration": "s", "dose_mg_per_kg_free_base": "mg/kg"}
    return {
        f"drug_{name}": (
            "administration",
            np.array([row[name] for row in rows]),
            _stated(units=units.get(name, "")),
        )
        for name in _DRUG_COLUMNS
        if rows
    }


def _attributes(recording: Recorded, name: str, plane: Plane) -> dict[str, str]:
    source, outline = recording.source, recording.outline
    subject = outline.subject
    return _stated(
        source=source.name,
        source_digest=source.digest,
        dandiset=source.dandiset,
        dandiset_version=source.version,
        asset_id=source.asset_id,
        dataset=outline.dataset,
        session_id=outline.session_id,
        session_start_time=outline.start_time.isoformat(),
        subject_id=subject.subject_id,
        species=subject.species,
        sex=subject.sex,
        age=subject.age,
        strain=subject.strain,
        genotype=subject.genotype,
        plane=name,
        indicator=plane.indicator,
        simulated="yes" if outline.simulated else "no",
        neuropil_subtracted="yes" if plane.neuropil_subtracted else "no",
        drug_log=drug_log_json(outline.administrations),
    )


def _stated(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
