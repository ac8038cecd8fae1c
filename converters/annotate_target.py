"""An NWB file that is to be annotated, as plain h5py sees it: who, when, and what it already holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.drug_log import EPOCHS_NAME, TABLE_NAME
from nwbswitch.schemas.errors import InputFileError, IssuesError
from nwbswitch.schemas.file_guard import open_hdf5
from nwbswitch.schemas.issues import Place, issue, nearest
from nwbswitch.schemas.nwb_text import ACCEPTED_NAMES, text, texts

if TYPE_CHECKING:
    import h5py

LOG_PATH = f"events/{TABLE_NAME}"
EPOCHS_PATH = f"intervals/{EPOCHS_NAME}"
LABEL_COLUMNS = (
    "cell_type",
    "cell_type_evidence",
    "cell_type_confidence",
    "tracking_id",
    "tracking_score",
)
MAX_ROWS = 1_000_000

Columns = Mapping[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Plane:
    """A plane segmentation: its path in the file, its ROIs, and the labels it already has."""

    path: str
    n_rois: int
    accepted: NDArray[np.bool_] | None
    labels: Columns

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Target:
    """What an NWB file says of itself and what of our tables it holds, None where it holds none."""

    path: Path
    subject_id: str
    session_id: str
    schema_version: str
    drug_log: Columns | None
    windows: Columns | None
    pharmacology: str
    keywords: tuple[str, ...]
    planes: tuple[Plane, ...]

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def plane(self, name: str | None) -> Plane:
        """Return the plane segmentation of that name or path, or the only one.

        Raises
        ------
        IssuesError
            When there is none, or several and no name tells which.
        """
        names = [plane.name for plane in self.planes]
        unique = [plane.name if names.count(plane.name) == 1 else plane.path for plane in self.planes]
        if not self.planes:
            problem = "The file has no plane segmentation, so there are no ROIs to label."
            raise IssuesError([issue("wrong-value", problem, place=Place(self.path))])
        if name is None:
            if len(self.planes) == 1:
                return self.planes[0]
            problem = f"The file has {len(self.planes)} plane segmentations: {', '.join(unique)}."
            remedy = "Say which one is meant with plane (--plane NAME)."
            raise IssuesError([issue("ambiguous-file", problem, place=Place(self.path), remedy=remedy)])
        found = [plane for plane in self.planes if name.strip("/") in (plane.name, plane.path)]
        if len(found) == 1:
            return found[0]
        problem = f"There is no plane segmentation {name!r}."
        if found:
            problem = f"There are {len(found)} plane segmentations {name!r}."
        remedy = nearest(name, unique) or f"There are {', '.join(unique)}."
        if found:
            remedy = f"Give one of the paths {', '.join(plane.path for plane in found)}."
        raise IssuesError([issue("unknown-word", problem, place=Place(self.path), remedy=remedy)])


def read_target(path: Path) -> Target:
    """Return what an NWB file holds, after the guard has looked at it.

    Raises
    ------
    InputFileError
        A file that is unsafe, damaged, no NWB 2 file, or a link to one.
    """
    if path.is_symlink():
        problem = "is a link, and a link would be replaced by a file."
        raise InputFileError(path, problem, "Name the file itself, or copy it first.")
    if path.is_dir():
        raise InputFileError(path, "is a folder; NWB files in HDF5 are annotated.")
    if path.is_file() and not path.stat().st_mode & 0o222:
        raise InputFileError(
            path, "is write-protected.", "Give yourself permission to write, or copy it first."
        )
    with open_hdf5(path) as file:
        version = nwb_version(file, path)
        general = file.get("general")
        return Target(
            path=path,
            subject_id=text(file.get("general/subject/subject_id")),
            session_id=text(file.get("general/session_id")),
            schema_version=version,
            drug_log=columns_of(file.get(LOG_PATH)),
            windows=columns_of(file.get(EPOCHS_PATH)),
            pharmacology=text(None if general is None else general.get("pharmacology")),
            keywords=texts(None if general is None else general.get("keywords")),
            planes=tuple(_planes(file)),
        )


def nwb_version(file: h5py.File, path: Path) -> str:
    """Return the version of NWB 2 that a file states.

    Raises
    ------
    InputFileError
        When it states none, or is NWB 1.
    """
    stated = file.attrs.get("nwb_version")
    if stated is None:
        problem = "is no NWB 2 file: it does not state nwb_version."
        if "nwb_version" in file:
            problem = f"is an NWB file of version {text(file['nwb_version'])[:40]}; version 2 is needed."
        raise InputFileError(path, problem, "Convert the raw data again.")
    return text(stated)


def columns_of(group: Any) -> Columns | None:
    """Return the one-dimensional columns of a table as plain values, without its ids; None without one."""
    if group is None or not hasattr(group, "items"):
        return None
    found = {}
    for name, node in group.items():
        values = column_values(node)
        if values is not None and name != "id":
            found[str(name)] = values
    return found


def column_values(node: Any) -> list[Any] | None:
    """Return a column as plain values, or None when it is none."""
    if not hasattr(node, "shape") or len(node.shape) != 1 or node.shape[0] > MAX_ROWS:
        return None
    return [text(value) if isinstance(value, bytes) else value for value in node[()].tolist()]


def _planes(file: h5py.File) -> Iterator[Plane]:
    import h5py

    found: list[str] = []

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Group) and text(node.attrs.get("neurodata_type")) == "PlaneSegmentation":
            found.append(name)

    if "processing" in file:
        file["processing"].visititems(visit)
    for name in found:
        group = file["processing"][name]
        n_rois = int(group["id"].shape[0]) if "id" in group else 0
        labels = {each: column_values(group[each]) for each in LABEL_COLUMNS if each in group}
        yield Plane(
            path=f"processing/{name}",
            n_rois=n_rois,
            accepted=_accepted(group, n_rois),
            labels={each: values for each, values in labels.items() if values is not None},
        )


def _accepted(group: h5py.Group, n_rois: int) -> NDArray[np.bool_] | None:
    node = next((group[name] for name in ACCEPTED_NAMES if name in group), None)
    if node is None or not hasattr(node, "shape") or node.shape[:1] != (n_rois,) or len(node.shape) > 2:
        return None
    values = np.asarray(node[()], dtype=float)
    flags: NDArray[np.bool_] = (values[:, 0] if values.ndim == 2 else values) > 0.5
    return flags
