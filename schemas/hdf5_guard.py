"""HDF5 files that keep to themselves: no other file is read, no plug-in loaded, no size believed untested."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

if TYPE_CHECKING:
    import h5py

MAX_DEPTH = 64
MAX_OBJECTS = 500_000
MAX_RATIO = 1100
"""Deflate cannot exceed 1032:1 (zlib's technical details), so nothing real unpacks further than this."""
MIN_SUSPECT_BYTES = 1 << 30
"""Below this a dataset may be all fill value: it fits in memory in any case."""

BUILT_IN_FILTERS = {
    1: "gzip",
    2: "shuffle",
    3: "fletcher32",
    4: "szip",
    5: "nbit",
    6: "scaleoffset",
    32000: "lzf",
}
PLUGIN_FILTERS = {
    307: "bzip2",
    32001: "Blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32013: "ZFP",
    32015: "Zstandard",
    32026: "Blosc2",
}


def check_hdf5(path: Path | str) -> None:
    """Refuse an HDF5 file that reaches outside itself or states sizes it cannot hold.

    Every object is visited once, hard links only; no data are read.

    Raises
    ------
    UnsafeFileError
        For external links, external storage, virtual datasets, links of unknown kinds, too deep or too many
        objects, and datasets that state far more bytes than the file holds.
    InputFileError
        When the file is missing, truncated, not HDF5, or compressed by a filter that needs a plug-in.
    """
    with open_hdf5(path):
        pass


@contextmanager
def open_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading after checking it as `check_hdf5` does, by the same handle."""
    import h5py

    file = Path(path)
    if not file.is_file():
        raise InputFileError(file, "is not there." if not file.exists() else "is not a file.")
    try:
        handle = h5py.File(file, "r")
    except OSError as error:
        reason = str(error).partition("(")[2].rpartition(")")[0] or str(error)
        raise InputFileError(
            file,
            f"cannot be opened as HDF5: {reason}.",
            "The copy may be incomplete, or it is another format.",
        ) from error
    with handle:
        try:
            _walk(handle, file, size=file.stat().st_size)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
            raise InputFileError(file, f"is damaged: {str(error)[:300]}.") from error
        yield handle


def _walk(handle: h5py.File, file: Path, *, size: int) -> None:
    import h5py

    seen: set[tuple[int, Any]] = set()
    todo: list[tuple[Any, str, int]] = [(handle["/"].id, "", 0)]
    while todo:
        group, prefix, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise UnsafeFileError(file, f"nests groups more than {MAX_DEPTH} deep, at {prefix[:80]}.")
        names: list[bytes] = []
        group.links.iterate(names.append)
        for name in names:
            where = f"{prefix}/{name.decode('utf-8', 'replace')}"
            kind = group.links.get_info(name).type
            if kind == h5py.h5l.TYPE_SOFT:
                continue
            if kind != h5py.h5l.TYPE_HARD:
                target = "another file" if kind == h5py.h5l.TYPE_EXTERNAL else f"a link of kind {kind}"
                raise UnsafeFileError(
                    file, f"has a link at {where} to {target}.", "Copy the data into the file."
                )
            node = h5py.h5o.open(group, name)
            info = h5py.h5o.get_info(node)
            key = (info.fileno, info.addr)
            if key in seen:
                continue
            seen.add(key)
            if len(seen) > MAX_OBJECTS:
                raise UnsafeFileError(file, f"holds more than {MAX_OBJECTS} objects.")
            if isinstance(node, h5py.h5g.GroupID):
                todo.append((node, where, depth + 1))
            elif isinstance(node, h5py.h5d.DatasetID):
                _check_dataset(node, where, file, size=size)


def _check_dataset(dataset: Any, where: str, file: Path, *, size: int) -> None:
    import h5py

    plan = dataset.get_create_plist()
    layout = plan.get_layout()
    if layout == h5py.h5d.VIRTUAL:
        raise UnsafeFileError(file, f"has a virtual dataset at {where}, whose data lie in other files.")
    if plan.get_external_count():
        raise UnsafeFileError(file, f"keeps the data of {where} in another file (external storage).")
    for position in range(plan.get_nfilters()):
        code = plan.get_filter(position)[0]
        if code not in BUILT_IN_FILTERS:
            name = PLUGIN_FILTERS.get(code, f"number {code}")
            raise InputFileError(
                file,
                f"compresses {where} with the filter {name}, which needs a plug-in.",
                "Repack the file with gzip, for example with h5repack -f GZIP=4.",
            )
    itemsize = dataset.get_type().get_size()
    stated = math.prod(dataset.shape or ()) * itemsize if dataset.shape is not None else 0
    if layout == h5py.h5d.CHUNKED:
        stated = max(stated, math.prod(plan.get_chunk()) * itemsize)
    stored = min(dataset.get_storage_size(), size)
    if stated > MIN_SUSPECT_BYTES and stated > MAX_RATIO * stored:
        raise UnsafeFileError(
            file, f"states {stated} bytes for {where} but stores {stored}; no compression reaches that."
        )
