"""Recordings as pandas tables: traces wide or long, spikes, neurons, windows, drugs and their evidence."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nwbswitch.analysis.handover.drug_rows import drug_rows
from nwbswitch.analysis.handover.selection import MATRICES, MAX_BYTES, Choice, Matrix, Recorded, Rois
from nwbswitch.analysis.handover.values import PlaneValues, PointValues, read_values
from nwbswitch.analysis.reading.outline import Outline

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["wide", "long"]
LONG_BYTES = 16
"""Time and neuron beside each value of a long table."""


@dataclass(frozen=True, slots=True)
class PandasTables:
    """One recording session as tables; planes and tables of units by their name.

    Attributes
    ----------
    traces, neuropil, deconvolved
        Wide: index ``time_s`` and one column per neuron, named by its row of the plane segmentation. Long:
        columns ``neuron``, ``time_s`` and ``value``, one neuron after the other.
    times
        Spikes or events: columns ``neuron`` and ``time_s``.
    neurons
        What is known of each neuron, index ``neuron``.
    windows
        Analysis windows: columns ``window``, ``start_s`` and ``stop_s``.
    administrations
        The drug log with the columns of the stored table, times in s on the session clock.
    evidence
        Where each value of the drug log stands in the file, and how sure it is.
    left_out
        What could not be handed over, in words.
    """

    traces: Mapping[str, pd.DataFrame]
    neuropil: Mapping[str, pd.DataFrame]
    deconvolved: Mapping[str, pd.DataFrame]
    times: Mapping[str, pd.DataFrame]
    neurons: Mapping[str, pd.DataFrame]
    windows: pd.DataFrame
    administrations: pd.DataFrame
    evidence: pd.DataFrame
    left_out: tuple[str, ...]


def to_pandas(
    recording: Recorded,
    *,
    form: Form = "wide",
    names: Collection[str] | None = None,
    rois: Rois = "all",
    start_s: float | None = None,
    stop_s: float | None = None,
    matrices: Collection[Matrix] = MATRICES,
    max_bytes: int = MAX_BYTES,
) -> PandasTables:
    """Return a recording as pandas tables.

    Samples are in the unit of the file (data times conversion plus offset), times in s on the session
    clock. Windows and drugs are those of the whole session, whatever the span.

    Parameters
    ----------
    recording
        An open recording.
    form
        Whether traces have one column per neuron or one row per value.
    names
        Planes and tables of spikes or events; all by default.
    rois
        ``all``, ``accepted``, or rows of the one table in ``names``.
    start_s, stop_s
        Span, s on the session clock: from the first until before the second.
    matrices
        Of ``traces``, ``neuropil`` and ``deconvolved``, those that are wanted.
    max_bytes
        Most bytes of all numbers together; nothing is read when there are more.

    Raises
    ------
    ValueError
        For names or rows that are not there, and for more than ``max_bytes``.
    InputFileError
        When samples cannot be read.
    """
    if form not in ("wide", "long"):
        raise ValueError(f"form is 'wide' or 'long', not {form!r}")
    choice = Choice(names, rois, start_s, stop_s, matrices, max_bytes)
    values = read_values(recording, choice, value_bytes=LONG_BYTES if form == "long" else 0)
    parts: dict[str, PlaneValues | PointValues] = {**values.planes, **values.points}
    table = _wide if form == "wide" else _long
    by_matrix: dict[Matrix, dict[str, pd.DataFrame]] = {
        matrix: {
            name: table(plane, plane.matrices[matrix])
            for name, plane in values.planes.items()
            if matrix in plane.matrices
        }
        for matrix in MATRICES
    }
    return PandasTables(
        **by_matrix,
        times={name: _times(each) for name, each in values.points.items()},
        neurons={name: _neurons(each) for name, each in parts.items()},
        windows=_windows(recording.outline),
        administrations=_administrations(recording.outline),
        evidence=_evidence(recording.outline),
        left_out=values.left_out,
    )


def _wide(plane: PlaneValues, values: Any) -> pd.DataFrame:
    import pandas as pd

    time_s = pd.Index(plane.time_s, name="time_s")
    return pd.DataFrame(values, index=time_s, columns=pd.Index(plane.rows, name="neuron"), copy=False)


def _long(plane: PlaneValues, values: Any) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "neuron": np.repeat(plane.rows, len(plane.time_s)),
            "time_s": np.tile(plane.time_s, len(plane.rows)),
            "value": values.ravel(order="F"),
        },
        copy=False,
    )


def _times(points: PointValues) -> pd.DataFrame:
    import pandas as pd

    counts = [len(each) for each in points.times_s]
    times_s = np.concatenate(points.times_s) if counts else np.empty(0)
    return pd.DataFrame({"neuron": np.repeat(points.rows, counts), "time_s": times_s})


def _neurons(part: PlaneValues | PointValues) -> pd.DataFrame:
    import pandas as pd

    index = pd.Index(part.rows, name="neuron")
    return pd.DataFrame({name: _column(each) for name, each in part.neurons.items()}, index=index)


def _column(values: Any) -> Any:
    import pandas as pd

    return pd.array(values.tolist(), dtype="str") if values.dtype.kind == "U" else values


def _windows(outline: Outline) -> pd.DataFrame:
    import pandas as pd

    rows = [(each.window.value, each.start_s, each.stop_s) for each in outline.windows]
    frame = pd.DataFrame(rows, columns=["window", "start_s", "stop_s"])
    return frame.astype({"window": "str", "start_s": float, "stop_s": float})


def _administrations(outline: Outline) -> pd.DataFrame:
    import pandas as pd

    rows = drug_rows(outline.administrations)
    frame = pd.DataFrame(rows, columns=None if rows else ["timestamp", "duration", "substance"])
    words = {name: "str" for name in frame if rows and isinstance(rows[0][str(name)], str)}
    return frame.astype(words)


def _evidence(outline: Outline) -> pd.DataFrame:
    import pandas as pd

    columns = ["administration", "field", "value", "place", "quote", "confidence"]
    rows = [{**asdict(each), "confidence": each.confidence.value} for each in outline.evidence]
    return pd.DataFrame(rows, columns=columns)
