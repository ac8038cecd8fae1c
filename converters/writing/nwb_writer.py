"""Writes an NWB file: the skeleton by pynwb, the large data chunk by chunk, all of them read back."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nwbswitch.converters.writing.report import DatasetReport, WriteReport

if TYPE_CHECKING:
    from pynwb import NWBFile

    from nwbswitch.converters.writing.chunk_writer import Progress


def write_nwb(
    nwbfile: NWBFile,
    path: Path | str,
    *,
    threads: int | None = None,
    verify: bool = True,
    backend: Literal["hdf5", "zarr"] = "hdf5",
    progress: Progress | None = None,
) -> WriteReport:
    """Write an NWB file as pynwb does, its large data compressed on several cores and read back.

    Large data are instances of GenericDataChunkIterator and numpy arrays of numbers above 64 KiB, in any
    object. In HDF5 they are stored in chunks with the filters shuffle and gzip, which every reader has. Data
    in an H5DataIO, and what has no fixed size (texts, references, iterators of unknown length), pynwb writes.

    Parameters
    ----------
    nwbfile : NWBFile
        Is left as it was, and its GenericDataChunkIterators unused: it can be written again.
    path : Path
        The file, or the folder for Zarr. What is there is replaced, and what was begun is left on an error:
        write into `nwbswitch.schemas.files.replaced`.
    threads : int, optional
        Number of threads that compress; by default one per core, up to 8. Two more read and write.
    verify : bool
        Read back what was written chunk by chunk and compare it with its source, byte by byte.
    backend : {"hdf5", "zarr"}
        Zarr (version 2, by hdmf-zarr) is for work on local disks: DANDI publishes HDF5 only.
    progress : callable, optional
        Called with the number of bytes stored and in all.

    Raises
    ------
    InputFileError
        The file does not hold what was written to it.
    NwbswitchError
        An iterator delivers something else than it declared.
    MissingExtraError
        hdmf-zarr is not installed and ``backend`` is "zarr".
    OSError
        The disk is full or cannot be written to.
    ValueError
        A wrong argument, or ``nwbfile`` was read from another file: export that one.

    Notes
    -----
    Time is linear in the number of bytes: every element is read once, in the order of the chunks. Memory is
    bounded by about 0.3 GB above that of pynwb, whatever the length of the recording.
    """
    if backend not in ("hdf5", "zarr"):
        raise ValueError(f"backend must be 'hdf5' or 'zarr', not {backend!r}")
    origin = nwbfile.container_source
    if origin is not None and Path(origin).absolute() != Path(path).absolute():
        raise ValueError(f"This NWBFile belongs to {origin}; export it from there instead of writing it.")
    started = time.perf_counter()
    if backend == "zarr":
        from nwbswitch.converters.writing.zarr_folder import write_zarr

        datasets = write_zarr(nwbfile, Path(path), threads=threads, verify=verify, progress=progress)
        name = "zarr"
    else:
        from nwbswitch.converters.writing.chunk_codec import codec

        datasets = _write_hdf5(nwbfile, Path(path), threads=threads, verify=verify, progress=progress)
        name = codec().name
    return WriteReport(Path(path), datasets, name, verify, time.perf_counter() - started)


def _write_hdf5(
    nwbfile: NWBFile, path: Path, *, threads: int | None, verify: bool, progress: Progress | None
) -> tuple[DatasetReport, ...]:
    from nwbswitch.converters.writing.chunk_writer import chunk_writer
    from nwbswitch.converters.writing.disk_errors import disk_errors
    from nwbswitch.converters.writing.hdf5_target import Hdf5Target, compare_stored
    from nwbswitch.converters.writing.skeleton import SkeletonIO, unmarked

    with disk_errors(path):
        io = SkeletonIO(path)
    try:
        with disk_errors(path), unmarked(nwbfile):
            io.write(nwbfile)
        targets = [(Hdf5Target.of(path, dataset, verify=verify), source) for dataset, source in io.allocated]
        total_bytes = sum(source.nbytes for _, source in targets)
        with chunk_writer(
            threads=threads,
            chunk_bytes=max((source.chunk_bytes for _, source in targets), default=0),
            total_bytes=total_bytes,
            progress=progress,
        ) as writer:
            for target, source in targets:
                writer.fill(target, source)
        reports = tuple(
            DatasetReport(
                target.name,
                source.shape,
                str(source.dtype),
                source.chunks,
                source.nbytes,
                sum(chunk.size for chunk in target.written),
            )
            for target, source in targets
        )
        with disk_errors(path):
            io.close()
    except BaseException:
        # A file that could not be written cannot be closed in order either; the first error counts.
        with suppress(Exception):
            io.close()
        raise
    if verify:
        compare_stored(
            path, {report.name: target.written for report, (target, _) in zip(reports, targets, strict=True)}
        )
    return reports
