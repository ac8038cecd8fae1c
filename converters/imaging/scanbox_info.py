"""What the .mat file beside a Scanbox recording says of its frames.

The fields are those that Neurolabware's ``sbxread`` uses, in each of its versions
(https://scanbox.org/2014/08/04/reading-raw-data-with-sbxread/): versions 1 and 2 state the lines by
``recordsPerBuffer`` and the PMTs by ``channels``, version 3 by ``sz`` and ``chan``. Frames of which parts are
folded (https://scanbox.org/2020/10/12/achieving-high-frame-rates-with-subframe-folding/) hold several images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.imaging.movie import MAX_FRAME_BYTES
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.mat_guard import load_mat

MAX_INFO_BYTES = 256 << 20
MAX_SIDE = 1 << 16
MAX_PMTS = 16
FIRST_COLUMNS = 796
"""Columns of an image where version 1 does not state them."""

_PMTS = {1: (0, 1), 2: (0,), 3: (1,)}


@dataclass(frozen=True, slots=True)
class ScanboxInfo:
    """Layout of an .sbx file.

    Attributes
    ----------
    rows, columns
        Pixels of an image.
    pmts
        Numbers of the recorded PMTs, in the order in which their pixels alternate.
    image_rate_hz
        Images per second, of whichever plane; None when the resonant frequency is not stated.
    n_planes
        Optotune planes that follow each other.
    images_per_frame
        Images folded into one frame of the scanner.
    n_frames
        Frames that the file says the recording has; None when it does not say.
    raw_columns
        Samples of a line before images were saved, version 1 only.
    """

    rows: int
    columns: int
    pmts: tuple[int, ...]
    image_rate_hz: float | None
    n_planes: int
    images_per_frame: int
    n_frames: int | None
    raw_columns: int | None

    @property
    def image_bytes(self) -> int:
        """Bytes of one image with the pixels of all PMTs."""
        return self.rows * self.columns * len(self.pmts) * 2


def read_info(path: Path, *, n_planes: int | None) -> ScanboxInfo:
    """Read the .mat file of a recording.

    Parameters
    ----------
    path
        The .mat file.
    n_planes
        Number of planes, where the file does not state one.

    Raises
    ------
    InputFileError
        When it is missing, or does not say what is needed to find the frames.
    UnsafeFileError
        When a frame would not fit into memory.
    """
    if not path.is_file():
        raise InputFileError(
            path, "is not there; it says how the .sbx file is laid out.", "Keep it beside the .sbx file."
        )
    info = load_mat(path, ["info"], max_bytes=MAX_INFO_BYTES)["info"]
    if not isinstance(info, dict):
        raise InputFileError(path, "holds no struct info.", "Scanbox saves one with every recording.")
    version = _number(path, info, "scanbox_version") or 1
    bidirectional = _number(path, info, "scanmode") == 0
    lines, columns = _sides(path, info, version, bidirectional)
    pmts = _pmts(path, info)
    folded = _fold(path, info, lines)
    planes = _planes(path, info, n_planes)
    if folded > 1 and planes > 1:
        raise InputFileError(
            path, f"states folded frames and {planes} planes at once; how they alternate is not documented."
        )
    resonance_hz = _number(path, info, "resfreq")
    if resonance_hz is not None and not 1 <= resonance_hz <= 1e6:
        raise InputFileError(path, f"states a resonant frequency of {resonance_hz:g} Hz.")
    image_rows = lines // folded
    last = _number(path, info, "max_idx")
    samples = _number(path, info, "postTriggerSamples")
    found = ScanboxInfo(
        rows=image_rows,
        columns=columns,
        pmts=pmts,
        image_rate_hz=None if resonance_hz is None else resonance_hz * (1 + bidirectional) / image_rows,
        n_planes=planes,
        images_per_frame=folded,
        n_frames=None if last is None or last < 0 else int(last) + 1,
        raw_columns=int(samples) if version < 2 and samples and 0 < samples <= MAX_SIDE else None,
    )
    if found.image_bytes * planes * folded > MAX_FRAME_BYTES:
        raise UnsafeFileError(path, f"declares frames of {found.image_bytes * planes * folded} bytes.")
    return found


def _number(path: Path, info: Mapping[str, Any], name: str) -> float | None:
    """Return a number of the struct; None when it is absent or empty."""
    value = info.get(name)
    if value is None or (isinstance(value, list | str) and not value):
        return None
    array = _numbers(value)
    if array is None or array.size > 1 or not np.isfinite(array).all():
        raise InputFileError(path, f"info.{name} is no number.")
    return float(array.ravel()[0]) if array.size else None


def _numbers(value: Any) -> NDArray[Any] | None:
    """Return an array of numbers as `load_mat` gives it; None for anything else."""
    return value if isinstance(value, np.ndarray) and value.dtype.kind in "buif" else None


def _whole(path: Path, value: float | None, name: str, limit: int) -> int:
    if value is None or value != int(value) or not 1 <= value <= limit:
        raise InputFileError(
            path, f"info.{name} is {'missing' if value is None else f'{value:g}'}, not 1 to {limit}."
        )
    return int(value)


def _sides(path: Path, info: Mapping[str, Any], version: float, bidirectional: bool) -> tuple[int, int]:
    sides: list[float | None] = [None, None]
    if "sz" in info:
        array = _numbers(info["sz"])
        if array is None or array.size != 2 or not np.isfinite(array).all():
            raise InputFileError(path, "info.sz is not the number of lines and of columns.")
        sides = [float(each) for each in array.ravel()]
    elif version < 2:
        sides[1] = FIRST_COLUMNS
    columns = _whole(path, sides[1], "sz(2)", MAX_SIDE)
    if version >= 3:
        return _whole(path, sides[0], "sz(1)", MAX_SIDE), columns
    records = _whole(path, _number(path, info, "recordsPerBuffer"), "recordsPerBuffer", MAX_SIDE)
    return records * (1 + bidirectional), columns


def _pmts(path: Path, info: Mapping[str, Any]) -> tuple[int, ...]:
    chan = info.get("chan")
    if isinstance(chan, dict):
        count = _whole(path, _number(path, chan, "nchan"), "chan.nchan", MAX_PMTS)
        saved = _numbers(chan.get("save"))
        if saved is not None and saved.size <= MAX_PMTS:
            numbers = tuple(int(each) for each in np.flatnonzero(saved.ravel()))
            if len(numbers) == count:
                return numbers
        return tuple(range(count))
    code = _number(path, info, "channels")
    if code not in _PMTS:
        stated = "missing" if code is None else f"{code:g}"
        raise InputFileError(
            path, f"info.channels is {stated}; 1 (both PMTs), 2 (PMT 0) and 3 (PMT 1) are known."
        )
    return _PMTS[int(code)]


def _fold(path: Path, info: Mapping[str, Any], lines: int) -> int:
    fold = _number(path, info, "fold_lines")
    if fold is None or fold <= 0:
        return 1
    rows = _whole(path, fold, "fold_lines", lines)
    if lines % rows:
        raise InputFileError(
            path, f"folds {lines} lines into images of {rows}, which does not come out even."
        )
    return lines // rows


def _planes(path: Path, info: Mapping[str, Any], given: int | None) -> int:
    volume = _number(path, info, "volscan")
    stated = set()
    if volume is None or volume > 0:
        wave, table = _numbers(info.get("otwave")), _numbers(info.get("etl_table"))
        counts = (wave.size if wave is not None else 0, len(table) if table is not None else 0)
        stated = {each for each in counts if each}
    if given is None and len(stated) > 1:
        raise InputFileError(
            path,
            f"states {' and '.join(map(str, sorted(stated)))} planes (otwave, etl_table).",
            "Give n_planes of this stream in the study file.",
        )
    if given is None and not stated and volume:
        raise InputFileError(
            path,
            "states a volume scan but no planes.",
            "Give n_planes of this stream in the study file, 1 if there was one.",
        )
    if given is not None and stated and given not in stated:
        raise InputFileError(
            path,
            f"states {' or '.join(map(str, sorted(stated)))} planes, the study {given}.",
            "Correct n_planes in the study file, or leave it out.",
        )
    planes = given or (stated.pop() if stated else 1)
    return _whole(path, planes, "otwave", 1000)
