"""How each format is recognised by the look of a file or folder; nothing large is read.

A signature returns the keys of the study file that the content gives, a list of such mappings where one path
holds several recordings (e.g. planes), or None when the path is something else.
"""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nwbswitch.schemas.file_guard import open_hdf5

Keys = dict[str, Any]
Signature = Callable[[Path], "Keys | list[Keys] | None"]

_HEAD_BYTES = 1 << 16
_TIFF = (".tif", ".tiff", ".btf")
_HDF5 = (".h5", ".hdf5", ".hdf")
_TIME = re.compile(r"(time|timestamps?|t|seconds)(_?(s|sec|seconds))?", re.IGNORECASE)
_MILLISECONDS = re.compile(r"(time|timestamps?|t)_?(ms|us|ns)", re.IGNORECASE)
_QUANTITY = {
    "speed": re.compile(r"speed|velocity|running", re.IGNORECASE),
    "distance": re.compile(r"distance", re.IGNORECASE),
    "position": re.compile(r"position|angle", re.IGNORECASE),
}
_UNITS = {
    "_cm_s": "cm/s",
    "_cm_per_s": "cm/s",
    "_m_s": "m/s",
    "_m_per_s": "m/s",
    "_mm_s": "mm/s",
    "_rad_s": "rad/s",
    "_cm": "cm",
    "_mm": "mm",
    "_m": "m",
    "_rad": "rad",
    "_deg": "deg",
}


def _suite2p(path: Path) -> list[Keys] | None:
    base = path / "suite2p" if (path / "suite2p").is_dir() and path.name != "suite2p" else path
    if base != path:
        return None
    planes = sorted(each for each in path.glob("plane*") if (each / "F.npy").is_file())
    if len(planes) > 1:
        return [{"plane": int(each.name.removeprefix("plane"))} for each in planes if each.name[5:].isdigit()]
    if planes or ((path / "F.npy").is_file() and (path / "stat.npy").is_file()):
        return [{}]
    return None


def _thor(path: Path) -> Keys | None:
    if not (path / "Experiment.xml").is_file():
        return None
    return {} if any(path.glob("Chan*.tif*")) or any(path.glob("Image_*.raw")) else None


def _bruker(path: Path) -> Keys | None:
    for each in path.glob("*.xml"):
        if b"<PVScan" in _head(each):
            return {}
    return None


def _minian(path: Path) -> Keys | None:
    return {} if (path / "A.zarr").is_dir() and (path / "C.zarr").is_dir() else None


def _scanbox(path: Path) -> Keys | None:
    return {} if path.suffix.lower() == ".sbx" and path.with_suffix(".mat").is_file() else None


def _by_suffix(suffix: str) -> Signature:
    return lambda path: {} if path.suffix.lower() == suffix else None


def _inscopix(kind: str) -> Signature:
    def signature(path: Path) -> Keys | None:
        if path.suffix.lower() != ".isxd":
            return None
        from nwbswitch.converters.imaging.inscopix_footer import read_footer

        return {} if ("CellNames" in read_footer(path)[0]) == (kind == "cells") else None

    return signature


def _tiff(kind: str) -> Signature:
    def signature(path: Path) -> Keys | None:
        if path.suffix.lower() not in _TIFF:
            return None
        import tifffile

        from nwbswitch.converters.imaging.tiff_pages import reading

        with reading(path, step="read this as a TIFF"), tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            software = page.tags["Software"].value if "Software" in page.tags else ""
            text = f"{software}\n{page.description[:_HEAD_BYTES]}"
        found = "tiff_movie"
        if "scanimage.SI" in text or "SI." in text[:4000] or "state.acq" in text:
            found = "scanimage"
        elif "<OME" in text:
            found = "ome_tiff"
        return {} if found == kind else None

    return signature


def _hdf5(test: Callable[[Any], Keys | None]) -> Signature:
    def signature(path: Path) -> Keys | None:
        if path.suffix.lower() not in _HDF5:
            return None
        with open_hdf5(path) as file:
            return test(file)

    return signature


def _stack(file: Any) -> Keys | None:
    import h5py

    found: list[str] = []

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and 3 <= node.ndim <= 5 and node.dtype.kind in "uif":
            found.append(name)

    file.visititems(visit)
    return {"dataset": found[0]} if len(found) == 1 else None


def _deeplabcut(path: Path) -> list[Keys] | Keys | None:
    """One recording per animal; labels for training, which have no likelihood, are none."""
    if path.suffix.lower() not in (".h5", ".csv"):
        return None
    if path.suffix.lower() == ".csv":
        return _pose_csv("deeplabcut")(path)
    with open_hdf5(path) as file:
        if not any("pandas_type" in group.attrs for group in file.values()):
            return None
    from nwbswitch.converters.behavior.pandas_table import PandasTable

    table = PandasTable(path)
    table.close()
    if table.index is None or "likelihood" not in {label[-1] for label in table.labels}:
        return None
    return _per_animal([label[1] for label in table.labels if len(label) == 4])


def _per_animal(animals: list[str], key: str = "individual") -> list[Keys] | Keys:
    names = list(dict.fromkeys(animals))
    return [{key: name} for name in names] if len(names) > 1 else {}


def _sleap(path: Path) -> list[Keys] | Keys | None:
    """One recording per track, of labels or of an analysis file."""
    if path.suffix.lower() not in (".slp", ".h5"):
        return None
    with open_hdf5(path) as file:
        if "tracks" in file and "node_names" in file:
            names = file["track_names"][()] if "track_names" in file else ()
            words = [name.decode("utf-8", "replace") for name in names if isinstance(name, bytes)]
            return _per_animal(words, "track")
        if "frames" not in file or "pred_points" not in file:
            return None
        from nwbswitch.converters.behavior.sleap_labels import track_names

        return _per_animal(track_names(file, path), "track")


def _mat(*names: str) -> Signature:
    def signature(path: Path) -> Keys | None:
        if path.suffix.lower() != ".mat":
            return None
        from nwbswitch.schemas.mat_guard import mat_variables

        return {} if set(names) & set(mat_variables(path)) else None

    return signature


def _bpod(path: Path) -> list[Keys] | Keys | None:
    """SessionData of Bpod, or the trials that iblrig writes, a line of JSON each."""
    if path.suffix.lower() == ".jsonable":
        return {} if b'"behavior_data"' in _head(path) else None
    return _mat("SessionData")(path)


def _bpod_encoder(path: Path) -> Keys | None:
    return {} if path.suffix.lower() == ".ssv" and "encoderPositions" in path.name else None


def _roi_zip(path: Path) -> Keys | None:
    if path.suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        return {} if any(name.lower().endswith(".roi") for name in archive.namelist()[:10]) else None


def _facemap(path: Path) -> Keys | None:
    return {} if path.name.endswith("_proc.npy") else None


def _pose_csv(kind: str) -> Signature:
    def signature(path: Path) -> list[Keys] | Keys | None:
        rows = [row for row in _csv_head(path, 5) if row]
        header = [row[0] for row in rows]
        several = header[:4] == ["scorer", "individuals", "bodyparts", "coords"]
        if not several and header[:3] != ["scorer", "bodyparts", "coords"]:
            return None
        coords, first = (rows[3], header[4:5]) if several else (rows[2], header[3:4])
        if "likelihood" not in coords or not (first and first[0].isdecimal()):
            return None
        found = "deeplabcut" if several or "DLC" in "".join(rows[0]) else "lightning_pose"
        if found != kind:
            return None
        return _per_animal(rows[1][1:]) if several else {}

    return signature


def _wheel_csv(path: Path) -> Keys | None:
    rows = _csv_head(path, 2)
    if len(rows) < 2:
        return None
    header = [name.strip() for name in rows[0]]
    signals = []
    for name in header:
        quantity = next((each for each, pattern in _QUANTITY.items() if pattern.search(name)), None)
        if quantity is not None and _is_number(rows[1][header.index(name)]):
            unit = next((unit for end, unit in _UNITS.items() if name.lower().endswith(end)), "n/a")
            signals.append({"column": name, "quantity": quantity, "unit": unit})
    time = next((name for name in header if _TIME.fullmatch(name)), None)
    if not signals or any(_MILLISECONDS.fullmatch(name) for name in header):
        return None
    return {**({"time_column": time} if time else {}), "signals": signals}


def _video(path: Path) -> Keys | None:
    """Videos with the points drawn in, which DeepLabCut makes, are no recordings."""
    if path.suffix.lower() not in (".avi", ".mp4", ".m4v", ".mov") or path.stem.endswith("_labeled"):
        return None
    return {}


def _medpc(path: Path) -> Keys | None:
    if path.suffix.lower() not in ("", ".txt", ".mpc"):
        return None
    head = _head(path)
    if b"Start Date:" not in head or b"MSN:" not in head:
        return None
    from nwbswitch.converters.behavior.medpc_file import read_medpc

    recordings = read_medpc(path)
    if len(recordings) > 1:
        subjects = ", ".join(each.header.get("Subject", "?") for each in recordings[:20])
        raise ValueError(
            f"pools {len(recordings)} recordings of MED-PC (Subject {subjects}): write a stream of format "
            "medpc with select and events for each session."
        )
    arrays = recordings[0].arrays
    times = [name for name, each in arrays.items() if len(each) > 1 and (each[1:] > each[:-1]).all()]
    if not times:
        raise ValueError("is of MED-PC, but no array in it increases as times do.")
    return {"events": {name: f"event {name}" for name in times}}


FOLDER_SIGNATURES: Mapping[str, Signature] = {
    "suite2p": _suite2p,
    "thor": _thor,
    "bruker": _bruker,
    "minian": _minian,
}

FILE_SIGNATURES: Mapping[str, Signature] = {
    "scanbox": _scanbox,
    "femtonics": _by_suffix(".mesc"),
    "inscopix": _inscopix("movie"),
    "inscopix_cells": _inscopix("cells"),
    "scanimage": _tiff("scanimage"),
    "ome_tiff": _tiff("ome_tiff"),
    "tiff_movie": _tiff("tiff_movie"),
    "caiman": _hdf5(lambda file: {} if "estimates" in file else None),
    "deeplabcut": _deeplabcut,
    "facemap_keypoints": _hdf5(lambda file: {} if "Facemap" in file else None),
    "facemap": _facemap,
    "sleap": _sleap,
    "hdf5_stack": _hdf5(_stack),
    "extract": _mat("output"),
    "cnmfe": _mat("neuron", "results"),
    "bpod": _bpod,
    "bpod_encoder": _bpod_encoder,
    "imagej_rois": _roi_zip,
    "lightning_pose": _pose_csv("lightning_pose"),
    "wheel_csv": _wheel_csv,
    "video": _video,
    "medpc": _medpc,
}


def companion(path: Path) -> bool:
    """Return whether a file belongs to a recording beside it or only describes, so that nobody misses it."""
    if path.suffix.lower() in (".md", ".txt", ".json", ".yaml", ".yml", ".pdf", ".xml", ".env"):
        return True
    return path.suffix.lower() == ".mat" and path.with_suffix(".sbx").is_file()


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_HEAD_BYTES)


def _csv_head(path: Path, n_rows: int) -> list[list[str]]:
    """Return the first rows of a CSV file; none when it is none."""
    if path.suffix.lower() != ".csv":
        return []
    text = _head(path).decode("utf-8-sig", errors="replace")
    try:
        return list(csv.reader(text.splitlines()))[:n_rows]
    except csv.Error:
        return []


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return not text.strip()
    return True
