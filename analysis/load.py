"""Recordings in NWB files, as measuring needs them: traces by type, ROIs, windows, drugs and origin.

Traces are found by neurodata type, not by name, since writers differ. Data stay in the file until asked for.
Read by plain h5py, after the guard has looked at the file: opening with pynwb takes seconds per session.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.nwb_tables import (
    RoiTable,
    WindowSpan,
    neurodata_type,
    read_administrations,
    read_rois,
    read_windows,
)
from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.errors import InputFileError, IssuesError
from nwbswitch.schemas.file_guard import open_hdf5
from nwbswitch.schemas.files import sha256_file
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.nwb_text import COMPANION_PREFIX, DATASET_PREFIX, SIMULATED, text, texts

if TYPE_CHECKING:
    import h5py

Floats = NDArray[np.float64]

CONTAINERS = ("Fluorescence", "DfOverF")
SERIES_TYPE = "RoiResponseSeries"
SEGMENTATION_NAME = "PlaneSegmentation"
SECOND_CHANNEL_WORDS = ("secondchannel", "second_channel")
NEUROPIL_WORDS = ("neuropil", "fneu", "npil", "background")
DECONVOLVED_WORDS = ("deconv", "spike", "spks", "event", "inferred")
IGNORED_WORDS = ("baseline", "denoised")
DEMIXED_WORDS = ("demixed",)
"""Names of traces without background: at rest they are near zero, so that they are not divided by that."""
DFF_WORDS = ("dff", "dfof", "df_f", "dfoverf", "df_over_f", "deltaf")
CENSORED_WORDS = ("badframes", "bad_frames", "motion_censored", "censored_frames")
"""Names of boolean series that mark frames to leave out."""


@dataclass(frozen=True, slots=True)
class Series:
    """One matrix of traces in an open file."""

    dataset: h5py.Dataset
    object_path: str
    time_first: bool
    """Whether the matrix is (frames, ROIs), as NWB wants; else (ROIs, frames)."""
    conversion: float
    offset: float

    @property
    def n_rois(self) -> int:
        """Number of traces."""
        return int(self.dataset.shape[1 if self.time_first else 0]) if self.dataset.ndim == 2 else 1

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.dataset.shape[0 if self.time_first else -1])

    def read(self, rois: slice) -> Floats:
        """Return traces in the file's unit, shape (ROIs, frames): data x conversion + offset."""
        if self.dataset.ndim == 1:
            values = self.dataset[()][None]
        else:
            values = self.dataset[:, rois].T if self.time_first else self.dataset[rois]
        return np.ascontiguousarray(values, dtype=np.float64) * self.conversion + self.offset


@dataclass(frozen=True, slots=True)
class Plane:
    """The traces of one plane segmentation on one clock."""

    name: str
    fluorescence: Series
    is_dff: bool
    """Whether the traces are dF/F already."""
    is_demixed: bool
    """Whether the traces lack the background, so that there is no resting fluorescence to divide by."""
    neuropil: Series | None
    deconvolved: Series | None
    time_s: Floats
    """Time of each frame on the session clock, shape (frames,), s."""
    rate_hz: float
    rows: NDArray[np.int64]
    """Row of the plane segmentation of each trace, shape (ROIs,)."""
    rois: RoiTable
    region: str
    censored: NDArray[np.bool_]
    """Frames marked as spoilt by motion, shape (frames,)."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording session; its planes can be read while the file is open."""

    path: Path
    digest: str
    dataset: str
    subject_id: str
    session_id: str
    start_time: datetime
    simulated: bool
    administrations: tuple[Administration, ...]
    windows: tuple[WindowSpan, ...]
    planes: tuple[Plane, ...]
    issues: tuple[Issue, ...]


@contextmanager
def open_recording(path: Path | str, *, digest: str | None = None) -> Iterator[Recording]:
    """Open an NWB file for measuring.

    Parameters
    ----------
    path
        The file.
    digest
        Its SHA-256, where it is known already; else it is computed.

    Raises
    ------
    UnsafeFileError, InputFileError
        For a file that is refused, damaged or not NWB 2.
    IssuesError
        ``no-activity`` without fluorescence, ``no-epochs`` without windows, and everything that keeps the
        traces from being placed in time or assigned to an animal.
    """
    path = Path(path)
    with open_hdf5(path) as nwb:
        try:
            recording = _recording(nwb, path, digest or sha256_file(path))
        except (KeyError, OSError, RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise InputFileError(path, f"cannot be read as NWB: {str(error)[:300]}.") from error
        yield recording


def _recording(nwb: h5py.File, path: Path, digest: str) -> Recording:
    if not text(nwb.attrs.get("nwb_version")).startswith("2"):
        raise InputFileError(path, "is HDF5 but not NWB 2.", "Older NWB must be converted first.")
    found: list[Issue] = []
    planes = _planes(nwb, path, found)
    windows = read_windows(nwb, path)
    keywords = texts(nwb.get("general/keywords"))
    administrations = read_administrations(nwb, path)
    if not administrations:
        problem = "The file holds no drug log; its arm is empty."
        found.append(issue("no-drug-log", problem, place=Place(path), remedy="Annotate it with a drug log."))
    return Recording(
        path=path,
        digest=digest,
        dataset=_dataset(keywords, path),
        subject_id=_subject(nwb, path),
        session_id=text(nwb.get("general/session_id")) or _name_part(path, "ses-") or path.stem,
        start_time=_start_time(nwb, path),
        simulated=SIMULATED in keywords or SIMULATED in text(nwb.get("session_description")),
        administrations=administrations,
        windows=windows,
        planes=planes,
        issues=tuple(found),
    )


def _dataset(keywords: tuple[str, ...], path: Path) -> str:
    stated = [word.removeprefix(DATASET_PREFIX) for word in keywords if word.startswith(DATASET_PREFIX)]
    parent = path.resolve().parent
    return stated[0] if stated else (parent.parent if parent.name.startswith("sub-") else parent).name


def _subject(nwb: h5py.File, path: Path) -> str:
    subject = text(nwb.get("general/subject/subject_id")) or _name_part(path, "sub-")
    if not subject:
        problem = "Neither the file nor its name says which animal it is from; the animal is the unit."
        place = Place(path, item="/general/subject/subject_id")
        raise IssuesError([issue("missing-value", problem, place=place)])
    return subject


def _name_part(path: Path, prefix: str) -> str:
    parts = [part for part in path.stem.split("_") if part.startswith(prefix)]
    return parts[0].removeprefix(prefix) if parts else ""


def _start_time(nwb: h5py.File, path: Path) -> datetime:
    stated = text(nwb.get("session_start_time"))
    try:
        start = datetime.fromisoformat(stated)
    except ValueError as error:
        problem = f"The start of the session is {stated!r}, which is no ISO 8601 time."
        place = Place(path, item="/session_start_time")
        raise IssuesError([issue("wrong-value", problem, place=place)]) from error
    return start if start.tzinfo else start.replace(tzinfo=UTC)


def _planes(nwb: h5py.File, path: Path, found: list[Issue]) -> tuple[Plane, ...]:
    by_plane: dict[str, list[tuple[str, h5py.Group]]] = {}
    for container, series in _series_groups(nwb):
        by_plane.setdefault(_segmentation_path(nwb, series), []).append((container, series))
    planes = []
    unused: list[str] = []
    for segmentation, members in sorted(by_plane.items()):
        roles: dict[str, h5py.Group] = {}
        suffix = _suffix(segmentation)
        names = [(_plain_name(str(series.name), suffix), container, series) for container, series in members]
        for name, container, series in sorted(names, key=lambda each: (_rank(each[0]), str(each[2].name))):
            roles.setdefault(_role(container, name), series)
        role = next((each for each in ("raw", "dff", "demixed") if each in roles), None)
        if role is not None:
            planes.append(_plane(nwb, path, segmentation, roles, role, found))
        unused += [name for name, _, _ in names if role is None]
    planes = [plane for plane in planes if plane.fluorescence.n_rois and plane.fluorescence.n_frames]
    if not planes:
        keywords = texts(nwb.get("general/keywords"))
        if not unused and any(word.startswith(COMPANION_PREFIX) for word in keywords):
            problem = "The file holds raw movies only; its companion holds what is measured."
            raise IssuesError([issue("raw-file", problem, place=Place(path))])
        problem = f"The file holds no fluorescence traces (a {SERIES_TYPE} in {' or '.join(CONTAINERS)})."
        remedy = ""
        if unused:
            problem = f"Of traces the file holds {', '.join(sorted(set(unused)))} only, which have no noise."
            remedy = "Events are told from noise: give the traces from before denoising and deconvolution."
        raise IssuesError([issue("no-activity", problem, place=Place(path), remedy=remedy)])
    return tuple(planes)


def _series_groups(nwb: h5py.File) -> list[tuple[str, h5py.Group]]:
    """Return every RoiResponseSeries with the type of the container it is in."""
    import h5py

    groups: list[tuple[str, h5py.Group]] = []

    def visit(_: str, node: Any) -> None:
        if isinstance(node, h5py.Group) and neurodata_type(node) == SERIES_TYPE and "data" in node:
            groups.append((neurodata_type(node.parent), node))

    for top in ("processing", "acquisition", "analysis"):
        if top in nwb:
            nwb[top].visititems(visit)
    return groups


def _segmentation_path(nwb: h5py.File, series: h5py.Group) -> str:
    region = series.get("rois")
    reference = None if region is None else region.attrs.get("table")
    return "" if not reference else str(nwb[reference].name)


def _suffix(segmentation: str) -> str:
    """Return what tells the series of a plane from those of others: RoiResponseSeries_a, Neuropil_a, ..."""
    return segmentation.rpartition("/")[2].removeprefix(SEGMENTATION_NAME).lower()


def _plain_name(path: str, suffix: str) -> str:
    """Return the name of a series in lower case without the suffix of its plane, whose words mean nothing."""
    last = path.rpartition("/")[2].lower()
    return last.removesuffix(suffix) or last


def _rank(name: str) -> int:
    """Order series of one role: the default name first, then one called raw, then the others."""
    return 0 if name == SERIES_TYPE.lower() else 1 if "raw" in name else 2


def _role(container: str, name: str) -> str:
    for role, words in (
        ("second channel", SECOND_CHANNEL_WORDS),
        ("neuropil", NEUROPIL_WORDS),
        ("deconvolved", DECONVOLVED_WORDS),
        ("ignored", IGNORED_WORDS),
        ("demixed", DEMIXED_WORDS),
    ):
        if any(word in name for word in words):
            return role
    return "dff" if container == "DfOverF" or any(word in name for word in DFF_WORDS) else "raw"


def _plane(
    nwb: h5py.File,
    path: Path,
    segmentation: str,
    roles: dict[str, h5py.Group],
    role: str,
    found: list[Issue],
) -> Plane:
    traces = roles[role]
    region = traces.get("rois")
    rows = None if region is None else np.asarray(region[()], dtype=np.int64).ravel()
    main = _series(traces, path, rows, found)
    time_s, rate_hz = _clock(traces, main.n_frames, path)
    n_rois = main.n_rois
    rows = np.arange(n_rois, dtype=np.int64) if rows is None else rows
    table = nwb[segmentation] if segmentation else None
    n_rows = int(rows.max()) + 1 if rows.size else 0
    if table is not None and "id" in table:
        n_rows = max(n_rows, int(table["id"].shape[0]))
    others: dict[str, Series | None] = {}
    for other in ("neuropil", "deconvolved"):
        series = _series(roles[other], path, rows, found) if other in roles else None
        if series is not None and (series.n_rois, series.n_frames) != (n_rois, main.n_frames):
            shapes = f"{series.n_frames} x {series.n_rois} for {main.n_frames} x {n_rois} of {traces.name}"
            _refuse("length-differs", f"It has {shapes}.", Place(path, item=series.object_path))
        others[other] = series
    return Plane(
        name=segmentation.rpartition("/")[2] or "plane",
        fluorescence=main,
        is_dff=role == "dff",
        is_demixed=role == "demixed",
        neuropil=others["neuropil"],
        deconvolved=others["deconvolved"],
        time_s=time_s,
        rate_hz=rate_hz,
        rows=rows,
        rois=read_rois({} if table is None else table, n_rows),
        region=_region(table),
        censored=_censored(nwb, main.n_frames, _suffix(segmentation)),
    )


def _series(group: h5py.Group, path: Path, rows: NDArray[np.int64] | None, found: list[Issue]) -> Series:
    data = group["data"]
    place = Place(path, item=str(group.name))
    if data.ndim not in (1, 2):
        _refuse("length-differs", f"It has {data.ndim} dimensions; traces have two.", place)
    if data.dtype.kind not in "iuf":
        _refuse("wrong-value", f"It holds {data.dtype}, not numbers.", place)
    shape = (int(data.shape[0]), int(data.shape[1]) if data.ndim == 2 else 1)
    time_first = True
    if rows is not None and shape[1] != rows.size:
        if data.ndim == 1 or shape[0] != rows.size:
            _refuse("length-differs", f"It has shape {shape} for {rows.size} ROIs.", place)
        time_first = False
        problem = f"The traces of shape {shape} are stored ROIs first; NWB wants frames first."
        found.append(issue("traces-transposed", problem, place=place, remedy="Read as meant; mend the file."))
    conversion, offset = (
        float(data.attrs.get(name, default)) for name, default in (("conversion", 1), ("offset", 0))
    )
    if not (np.isfinite(conversion) and np.isfinite(offset) and conversion):
        _refuse("wrong-value", f"conversion is {conversion}, offset {offset}.", place)
    return Series(data, str(group.name), time_first, conversion, offset)


def _clock(group: h5py.Group, n_frames: int, path: Path) -> tuple[Floats, float]:
    """Return the time of each frame, s, and the frame rate, Hz: the median one with timestamps."""
    place = Place(path, item=str(group.name))
    if "timestamps" in group:
        stamps = group["timestamps"]
        if stamps.shape != (n_frames,):
            _refuse("length-differs", f"It has {stamps.shape[0]} timestamps for {n_frames} frames.", place)
        time_s = np.asarray(stamps[()], dtype=np.float64)
        steps = np.diff(time_s)
        if n_frames < 2 or not (np.isfinite(time_s).all() and (steps > 0).all()):
            _refuse("wrong-value", "Its timestamps do not increase.", place)
        return time_s, float(1 / np.median(steps))
    start = group.get("starting_time")
    rate_hz = float(start.attrs.get("rate", 0)) if start is not None else 0.0
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        _refuse("wrong-value", f"Its rate is {rate_hz:g} Hz and it has no timestamps.", place)
    return float(start[()]) + np.arange(n_frames) / rate_hz, rate_hz


def _region(segmentation: h5py.Group | None) -> str:
    if segmentation is None or "imaging_plane" not in segmentation:
        return "unknown"
    return text(segmentation["imaging_plane"].get("location")) or "unknown"


def _censored(nwb: h5py.File, n_frames: int, suffix: str) -> NDArray[np.bool_]:
    """Return frames that a boolean series of this plane or of all marks as spoilt; none by default."""
    import h5py

    marked = np.zeros(n_frames, dtype=bool)

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Group) and _plain_name(name, suffix) in CENSORED_WORDS and "data" in node:
            data = node["data"]
            if data.shape == (n_frames,) and data.dtype.kind in "biu":
                np.logical_or(marked, data[()] > 0, out=marked)

    if "processing" in nwb:
        nwb["processing"].visititems(visit)
    return marked


def _refuse(code: str, problem: str, place: Place) -> NoReturn:
    raise IssuesError([issue(code, problem, place=place)])
