"""Scanbox recordings as Neurolabware's microscope software writes them.

The fields of ``info`` and the order of bytes are those that its reader ``sbxread`` goes by, versions 1 to 3.
MATLAB saves whole numbers in integers, as here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

RESONANCE_HZ = 7930.0


def scanbox_info(
    rows: int, columns: int, pmts: tuple[int, ...] = (0,), *, version: int = 2, bidirectional: bool = False
) -> dict[str, Any]:
    """Return the struct of a recording."""
    info: dict[str, Any] = {
        "resfreq": RESONANCE_HZ,
        "postTriggerSamples": 5000,
        "recordsPerBuffer": rows // (2 if bidirectional else 1),
        "bytesPerBuffer": rows * columns * 4,
        "scanmode": 0 if bidirectional else 1,
        "sz": np.array([rows, columns]),
        "otwave": np.empty((0, 0)),
        "volscan": 0,
        "messages": np.array(["start", "stop"], object),
        "config": {"lines": rows, "frames": 0, "magnification": 2, "knobby": {"pos": {"x": 1.0}}},
        "frame": np.arange(4.0)[:, None],
    }
    if version >= 2:
        info["scanbox_version"] = version
    if version < 3:
        info["channels"] = {(0, 1): 1, (0,): 2, (1,): 3}[pmts]
    else:
        saved = np.array([each in pmts for each in range(4)])
        info |= {"channels": -1, "chan": {"nchan": len(pmts), "save": saved}}
    return info


def write_scanbox(
    path: Path,
    movie: np.ndarray,
    *,
    pmts: tuple[int, ...] = (0,),
    version: int = 2,
    bidirectional: bool = False,
    changes: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
    tail: bytes = b"",
) -> Path:
    """Write ``movie`` (frames, rows, columns, PMTs) of brightness as .sbx and .mat; return the .sbx file."""
    _, rows, columns, n_pmts = movie.shape
    assert n_pmts == len(pmts)
    path.write_bytes((65535 - movie.astype(np.uint16)).astype("<u2").tobytes() + tail)
    info = scanbox_info(rows, columns, pmts, version=version, bidirectional=bidirectional) | (changes or {})
    savemat(path.with_suffix(".mat"), {"info": {key: info[key] for key in info if key not in without}})
    return path
