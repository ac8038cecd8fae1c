"""Which part of a recording is handed over: planes or tables of spikes, neurons, a span of time, how much."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.arrays import Arrays
from nwbswitch.analysis.reading.outline import NeuronTable, Outline, Plane, Points, Trace
from nwbswitch.schemas.issues import nearest
from nwbswitch.schemas.progress import readable_bytes

if TYPE_CHECKING:
    from nwbswitch.analysis.sources import Source

Matrix = Literal["traces", "neuropil", "deconvolved"]
MATRICES: tuple[Matrix, ...] = ("traces", "neuropil", "deconvolved")
MAX_BYTES = 2 << 30
"""What is handed over without being asked for twice: 2 GiB."""
MAX_TEXT_BYTES = 64 << 20
"""Of one column of texts, all as wide as the longest."""

Rois = Literal["all", "accepted"] | Collection[int]
Rows = NDArray[np.int64]


class Recorded(Protocol):
    """A recording that is open: where it is, its outline, and what reads its samples."""

    @property
    def source(self) -> Source:
        """Where it is."""
        ...

    @property
    def outline(self) -> Outline:
        """All but the samples."""
        ...

    @property
    def arrays(self) -> Arrays:
        """The samples."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """What is wanted of a recording.

    Attributes
    ----------
    names
        Planes and tables of spikes or events; None for all.
    rois
        ``all``, ``accepted``, or rows of the one table that ``names`` leaves.
    start_s, stop_s
        The span, s on the session clock; None for the ends of the recording.
    matrices
        Which matrices of each plane.
    max_bytes
        Most bytes of all numbers together.
    """

    names: Collection[str] | None = None
    rois: Rois = "all"
    start_s: float | None = None
    stop_s: float | None = None
    matrices: Collection[Matrix] = MATRICES
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        """Check what can be checked without the recording."""
        if isinstance(self.names, str):
            raise TypeError("names is a list of names, not one text")
        if isinstance(self.rois, str) and self.rois not in ("all", "accepted"):
            raise ValueError(f"rois is 'all', 'accepted' or a list of rows, not {self.rois!r}")
        unknown = [each for each in self.matrices if each not in MATRICES]
        if unknown:
            raise ValueError(f"matrices are {', '.join(MATRICES)}, not {unknown[0]!r}")
        start_s, stop_s = self.span_s
        if not stop_s > start_s:
            raise ValueError(f"stop_s ({stop_s:g}) must come after start_s ({start_s:g})")

    @property
    def span_s(self) -> tuple[float, float]:
        """The span, infinite where it is open."""
        start_s = -math.inf if self.start_s is None else float(self.start_s)
        return start_s, math.inf if self.stop_s is None else float(self.stop_s)


def parts_by_name(outline: Outline) -> dict[str, Plane | Points]:
    """Return planes and tables of points by name; where several have one name, by their path in the file."""
    parts: list[Plane | Points] = [*outline.planes, *outline.points]
    count = Counter(each.name for each in parts)
    return {each.name if count[each.name] == 1 else _path(each): each for each in parts}


def _path(part: Plane | Points) -> str:
    return (part.traces.array if isinstance(part, Plane) else part.times).object_path


def chosen_parts(outline: Outline, choice: Choice) -> dict[str, Plane | Points]:
    """Return the planes and tables of points that are wanted.

    Raises
    ------
    ValueError
        For a name that is not there, and for rows when several tables have them.
    """
    parts = parts_by_name(outline)
    for name in choice.names or ():
        if name not in parts:
            hint = nearest(name, parts) or f"There are {', '.join(parts) or 'none'}."
            raise ValueError(f"the recording has no plane or table of units {name!r}. {hint}")
    chosen = {name: part for name, part in parts.items() if choice.names is None or name in choice.names}
    if not isinstance(choice.rois, str) and len(chosen) != 1:
        raise ValueError(f"rows of which table? Give one of {', '.join(chosen)} in names, beside rois.")
    return chosen


def shared_tables(parts: Iterable[Plane | Points]) -> frozenset[str]:
    """Return the paths of tables of units that stand in several parts, by when their units were recorded.

    Each part has the rows of all; only those that are accepted are sure to be its own.
    """
    count = Counter(part.times.object_path for part in parts if isinstance(part, Points))
    return frozenset(path for path, n in count.items() if n > 1)


def chosen_columns(name: str, part: Plane | Points, rois: Rois) -> Rows:
    """Return the positions of the wanted neurons: traces of a plane, rows of a table of points.

    Raises
    ------
    ValueError
        For a row that has no trace, or is named twice.
    """
    rows = part.rows if isinstance(part, Plane) else np.arange(len(part.neurons.accepted))
    if rois == "all":
        return np.arange(len(rows))
    if isinstance(rois, str):
        return np.flatnonzero(np.asarray(part.neurons.accepted, dtype=bool)[rows])
    place = {row: index for index, row in enumerate(rows.tolist())}
    wanted = [int(row) for row in rois]
    if len(set(wanted)) < len(wanted):
        raise ValueError("rois names a row twice")
    missing = [row for row in wanted if row not in place]
    if missing:
        raise ValueError(f"{name} has no row {missing[0]} with activity; it has {len(place)} of them")
    return np.array([place[row] for row in wanted], dtype=np.int64)


def wanted_matrices(plane: Plane, choice: Choice) -> dict[Matrix, Trace]:
    """Return the matrices of a plane that are wanted and there, all of one shape."""
    held: dict[Matrix, Trace | None] = {
        "traces": plane.traces,
        "neuropil": plane.neuropil,
        "deconvolved": plane.deconvolved,
    }
    shape = (plane.traces.n_frames, plane.traces.n_rois)
    return {
        name: trace
        for name, trace in held.items()
        if trace is not None and name in choice.matrices and (trace.n_frames, trace.n_rois) == shape
    }


def neuron_columns(neurons: NeuronTable, rows: Rows) -> dict[str, NDArray[Any]]:
    """Return what is known of these rows, one array (n,) for each fact: accepted, cell_type, region, ..."""
    return {each.name: _array(getattr(neurons, each.name))[rows] for each in fields(NeuronTable)}


def _array(values: tuple[Any, ...]) -> NDArray[Any]:
    """Return values as an array; texts as objects where one that is long would make all of them wide."""
    widest = max((len(each) for each in values if isinstance(each, str)), default=0)
    return np.array(values, dtype=object if 4 * widest * len(values) > MAX_TEXT_BYTES else None)


def check_size(sizes: Mapping[str, int], max_bytes: int) -> None:
    """Raise when the numbers of all parts, bytes by name, are more than is wanted.

    Raises
    ------
    ValueError
        Naming the largest part, and the arguments that make it smaller.
    """
    total = sum(sizes.values())
    if total > max_bytes:
        largest = max(sizes, key=lambda name: sizes[name])
        raise ValueError(
            f"what is asked for takes {readable_bytes(total)} (most of it {largest}), more than "
            f"max_bytes, {readable_bytes(max_bytes)}. Give start_s and stop_s, rois, names or matrices, or "
            "a larger max_bytes."
        )
