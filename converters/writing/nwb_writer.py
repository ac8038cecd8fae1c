"""Writes an NWB file: the skeleton by pynwb, the large data chunk by chunk, all of it read back."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import h5py
from pynwb import NWBFile

from nwbswitch.converters.writing.chunk_codec import codec
from nwbswitch.converters.writing.chunk_writer import (
    Progress,
    StoredChunk,
    chunk_writer,
    not_as_written,
)
from nwbswitch.converters.writing.report import DatasetReport, WriteReport
from nwbswitch.converters.writing.skeleton import SkeletonIO


def write_nwb(
    nwbfile: NWBFile,
    path: Path | str,
    *,
    threads: int | None = None,
    verify: bool = True,
    backend: Literal["hdf5", "zarr"] = "hdf5",
    progress: Progress | None = None,
) -> WriteReport:
    """Write an NWB file, its large data compressed on all cores, and read it back.

    Parameters
    ----------
    nwbfile : NWBFile
        Large data are instances of GenericDataChunkIterator or numpy arrays.
    path : Path
        The file; what is there is replaced. Nothing is removed on an error: write into
        `nwbswitch.schemas.files.replaced`.
    threads : int, optional
        Number of threads that compress; one per core by default.
    verify : bool
        Read everything back and compare it with the source.
    backend : {"hdf5", "zarr"}
        Zarr needs the extra ``zarr``; DANDI publishes HDF5 only.
    progress : callable, optional
        Called with the number of bytes done and in all.
    """
    started = time.perf_counter()
    path = Path(path)
    if backend != "hdf5":
        raise ValueError(f"backend must be 'hdf5', not {backend!r}")
    io = SkeletonIO(path)
    try:
        io.write(nwbfile)
        total = sum(source.nbytes for _, source in io.allocated)
        with chunk_writer(threads=threads, verify=verify, progress=progress, total_bytes=total) as writer:
            futures = [(dataset, source, writer.fill(dataset, source)) for dataset, source in io.allocated]
        stored = [
            (dataset.name, source, [each.result() for each in chunks]) for dataset, source, chunks in futures
        ]
        io.close()
    except BaseException:
        with suppress(Exception):
            io.close()
        raise
    if verify:
        _compare_stored(path, {name: chunks for name, _, chunks in stored})
    return WriteReport(
        path,
        tuple(
            DatasetReport(
                name,
                source.shape,
                str(source.dtype),
                source.chunks,
                source.nbytes,
                sum(each.size for each in chunks),
            )
            for name, source, chunks in stored
        ),
        codec().name,
        verify,
        time.perf_counter() - started,
    )


def _compare_stored(path: Path, stored: dict[str, list[StoredChunk]]) -> None:
    with h5py.File(path, "r") as file, path.open("rb") as stream:
        for name, chunks in stored.items():
            dataset = file[name]
            if dataset.id.get_num_chunks() != len(chunks):
                raise not_as_written(path, name, (0,))
            for chunk in chunks:
                found = dataset.id.get_chunk_info_by_coord(chunk.offset)
                stream.seek(found.byte_offset)
                content = stream.read(found.size)
                if found.filter_mask or codec().crc32(content) != chunk.crc32:
                    raise not_as_written(path, name, chunk.offset)
