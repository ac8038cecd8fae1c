"""HDF5 files that keep to themselves: no other file is read, no plug-in loaded, no size believed untested."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.hdf5_ahead import Prefetch, read_ahead
from nwbswitch.schemas.hdf5_lengths import UnreadableLengthsError, stated_lengths
from nwbswitch.schemas.hdf5_references import TooManyReferencesError, has_references, referred
from nwbswitch.schemas.hdf5_structures import BrokenFileError, EndlessFileError
from nwbswitch.schemas.hdf5_trees import FileTrees
from nwbswitch.schemas.hdf5_types import FLAT_CLASSES, ImpossibleTypeError, check_type

if TYPE_CHECKING:
    import h5py

MAX_DEPTH = 64
MAX_OBJECTS = 500_000
MAX_LINKS = 2_000_000
MAX_ATTRIBUTE_BYTES = 64 << 20
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

    Every object is visited once, along hard links and along references, which can lead to objects that no
    link names. Of the data only references and the lengths of values of variable length are read.

    Raises
    ------
    UnsafeFileError
        For external links, external storage, virtual datasets, links of unknown kinds, too deep or too many
        objects, indexes without an end, and datasets that state far more bytes than the file holds.
    InputFileError
        When the file is missing, truncated, not HDF5, or compressed by a filter that needs a plug-in.
    """
    with open_hdf5(path):
        pass


@contextmanager
def open_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading after checking it as `check_hdf5` does, by the same handle."""
    file = Path(path)
    if not file.is_file():
        raise InputFileError(file, "is not there." if not file.exists() else "is not a file.")
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(file.open("rb", buffering=0))
        except OSError as error:
            raise _unopened(file, error) from error
        yield stack.enter_context(_opened(file, stream, file.stat().st_size, opened=file))


@contextmanager
def open_hdf5_stream(
    stream: BinaryIO, *, name: str, size: int, prefetch: Prefetch | None = None
) -> Iterator[h5py.File]:
    """Open an HDF5 file that lies anywhere, after checking it as `check_hdf5` does.

    Parameters
    ----------
    stream
        Its bytes, for reading and seeking. Of samples none are read while the file is checked.
    name
        What messages call it.
    size
        Its length, bytes.
    prefetch
        Told which bytes will be read soon, so that a file far away needs few round trips.
    """
    with _opened(name, stream, size, opened=stream, prefetch=prefetch) as handle:
        yield handle


@contextmanager
def _opened(
    file: Path | str, stream: BinaryIO, size: int, *, opened: Any, prefetch: Prefetch | None = None
) -> Iterator[h5py.File]:
    import h5py

    with ExitStack() as stack:
        try:
            if prefetch is not None:
                read_ahead(stream, size, prefetch)
            trees = FileTrees(stream, size)
            handle = stack.enter_context(h5py.File(opened, "r"))
        except EndlessFileError as error:
            raise _endless(file, error) from error
        except (OSError, BrokenFileError) as error:
            raise _unopened(file, error) from error
        try:
            _Walk(file, stream, size, trees).run(handle["/"].id)
        except EndlessFileError as error:
            raise _endless(file, error) from error
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
            raise InputFileError(file, f"is damaged: {str(error)[:300]}.") from error
        yield handle


def _unopened(file: Path | str, error: Exception) -> InputFileError:
    reason = str(error).partition("(")[2].rpartition(")")[0] or str(error)
    return InputFileError(
        file,
        f"cannot be opened as HDF5: {reason}.",
        "The copy may be incomplete, or it is another format.",
    )


def _endless(file: Path | str, error: EndlessFileError) -> UnsafeFileError:
    return UnsafeFileError(file, f"would exhaust the HDF5 library: {error}.")


class _Walk:
    """One visit of every object of a file."""

    def __init__(self, file: Path | str, stream: BinaryIO, size: int, trees: FileTrees) -> None:
        self.file = file
        self.stream = stream
        self.size = size
        self.trees = trees
        self.met: set[int] = set()
        self.links = 0
        self.todo: list[tuple[Any, str, int]] = []
        self.referring: list[tuple[Any, Any, str, int]] = []

    def run(self, root: Any) -> None:
        """Visit what links and references lead to, beginning at the root group."""
        self.meet(root, "/", 0)
        while self.todo or self.referring:
            if not self.todo:
                self.follow_references(*self.referring.pop())
                continue
            group, prefix, depth = self.todo.pop()
            if depth > MAX_DEPTH:
                raise UnsafeFileError(
                    self.file, f"nests groups more than {MAX_DEPTH} deep, at {prefix[:80]}."
                )
            self.follow_links(group, prefix.rstrip("/"), depth)

    def follow_links(self, group: Any, prefix: str, depth: int) -> None:
        """Meet the members of a group; soft links lead to what has a hard link too."""
        import h5py

        for name, kind in self.links_in(group):
            where = f"{prefix}/{name.decode('utf-8', 'replace')}"
            if kind == h5py.h5l.TYPE_SOFT:
                continue
            if kind != h5py.h5l.TYPE_HARD:
                target = "another file" if kind == h5py.h5l.TYPE_EXTERNAL else f"a link of kind {kind}"
                raise UnsafeFileError(
                    self.file, f"has a link at {where} to {target}.", "Copy the data into the file."
                )
            self.meet(h5py.h5o.open(group, name), where, depth + 1)

    def links_in(self, group: Any) -> list[tuple[bytes, int]]:
        """Return names and kinds of the links in a group, when there are not too many in the file."""
        found: list[tuple[bytes, int]] = []

        def take(name: bytes, link: Any) -> bool | None:
            self.links += 1
            found.append((name, link.type))
            return self.links > MAX_LINKS or None

        group.links.iterate(take, info=True)
        if self.links > MAX_LINKS:
            raise UnsafeFileError(self.file, f"holds more than {MAX_LINKS} links.")
        return found

    def meet(self, node: Any, where: str, depth: int) -> None:
        """Check an object once, whatever leads to it."""
        import h5py

        # h5o.get_info would walk through the trees, which are not checked yet.
        low, high = h5py.h5g.get_objinfo(node).objno
        address = low | high << 32
        if address in self.met:
            return
        self.met.add(address)
        if len(self.met) > MAX_OBJECTS:
            raise UnsafeFileError(self.file, f"holds more than {MAX_OBJECTS} objects.")
        self.trees.check(address)
        if isinstance(node, h5py.h5g.GroupID):
            self.todo.append((node, where, depth))
        elif isinstance(node, h5py.h5d.DatasetID):
            _check_dataset(node, where, self.file, size=self.size)
            self.check_values(node, node, where, depth)
            self.check_lengths(node, where)
        for number in range(h5py.h5a.get_num_attrs(node)):
            attribute = h5py.h5a.open(node, index=number)
            if h5py.h5a.get_info(node, index=number).data_size > MAX_ATTRIBUTE_BYTES:
                raise UnsafeFileError(
                    self.file, f"has an attribute of more than {MAX_ATTRIBUTE_BYTES} bytes."
                )
            self.check_values(node, attribute, where, depth)

    def check_lengths(self, dataset: Any, where: str) -> None:
        """Compare values of variable length with the file, where each is stored once and uncompressed."""
        try:
            stated = stated_lengths(dataset, self.stream)
        except (UnreadableLengthsError, zlib.error) as error:
            if math.prod(dataset.shape or ()) * self.size < MIN_SUSPECT_BYTES:
                return
            raise UnsafeFileError(
                self.file,
                f"stores values of variable length at {where} in a way that is not read.",
                "Repack the file with gzip, for example with h5repack -f GZIP=4.",
            ) from error
        if stated.size > self.size:
            raise UnsafeFileError(
                self.file, f"states {stated.size} bytes of variable length at {where} and holds {self.size}."
            )
        self.trees.check_heaps(stated.heaps)

    def check_values(self, owner: Any, values: Any, where: str, depth: int) -> None:
        """Check the type of a dataset or attribute; references wait until all links are followed."""
        kind = values.get_type()
        if kind.get_class() in FLAT_CLASSES:
            return
        try:
            check_type(kind)
        except ImpossibleTypeError as error:
            raise UnsafeFileError(self.file, f"would crash the HDF5 library at {where}: {error}.") from None
        if has_references(kind):
            self.referring.append((owner, values, where, depth))

    def follow_references(self, owner: Any, values: Any, where: str, depth: int) -> None:
        """Meet what no link leads to."""
        try:
            for node in referred(owner, values, self.met):
                self.meet(node, f"{where} (by reference)", depth + 1)
        except TooManyReferencesError:
            raise UnsafeFileError(self.file, f"holds too many references at {where}.") from None


def _check_dataset(dataset: Any, where: str, file: Path | str, *, size: int) -> None:
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
    # The library counts stored bytes by going through all chunks.
    stored = min(dataset.get_storage_size(), size) if stated > MIN_SUSPECT_BYTES else size
    if stated > MIN_SUSPECT_BYTES and stated > MAX_RATIO * stored:
        raise UnsafeFileError(
            file, f"states {stated} bytes for {where} but stores {stored}; no compression reaches that."
        )
