"""ZIP archives of which nothing is unpacked to disk, and no stated size or name is believed.

Python's ``zipfile`` reads the format; this module refuses what an archive of data never has: names that leave
a folder, links, encrypted members, one name twice, members that share bytes (D. Fifield, "A better zip bomb",
WOOT 2019), and members that inflate too far. The bytes that come out are counted, whatever the header says.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

MAX_MEMBERS = 20_000
MAX_ZIP_BYTES = 2 << 30
MAX_ZIP_RATIO = 200.0
RATIO_FREE_BYTES = 1 << 20
"""Members smaller than this may be compressed at any ratio."""
_DIRECTORY_BYTES_PER_MEMBER = 256
_PIECE = 1 << 20
_LOCAL_HEADER = 30
_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    struct.error,
    UnicodeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file in the archive: its name with forward slashes, and its stated size in bytes."""

    name: str
    size: int


class ZipArchive:
    """The checked members of an open archive, folders left out; made by `open_zip`."""

    def __init__(self, file: Path, archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo]) -> None:
        self._file = file
        self._archive = archive
        self._infos = infos

    @property
    def members(self) -> tuple[ZipMember, ...]:
        """All members in the order of the archive's directory."""
        return tuple(ZipMember(name, info.file_size) for name, info in self._infos.items())

    def read(self, name: str) -> bytes:
        """Return the bytes of a member; its checksum is verified.

        Raises
        ------
        KeyError
            When there is no such member.
        InputFileError
            When the member is damaged.
        """
        info = self._infos[name]
        pieces: list[bytes] = []
        count = 0
        try:
            with self._archive.open(info) as stream:
                while piece := stream.read(_PIECE):
                    count += len(piece)
                    if count > info.file_size:
                        raise UnsafeFileError(
                            self._file, f"states a wrong size for its member {name[:80]!r}."
                        )
                    pieces.append(piece)
        except _FAULTS as error:
            raise _damaged(self._file, f"the member {name[:80]!r}: {error}") from error
        if count != info.file_size:
            raise _damaged(self._file, f"the member {name[:80]!r} has {count} of {info.file_size} bytes")
        return b"".join(pieces)


@contextmanager
def open_zip(
    path: Path | str,
    *,
    max_members: int = MAX_MEMBERS,
    max_bytes: int = MAX_ZIP_BYTES,
    max_ratio: float = MAX_ZIP_RATIO,
) -> Iterator[ZipArchive]:
    """Open a ZIP archive after checking its whole directory.

    Parameters
    ----------
    path
        The file.
    max_members
        Most members.
    max_bytes
        Most bytes of all members together, inflated.
    max_ratio
        Most inflated bytes per stored byte of a member; members below `RATIO_FREE_BYTES` are exempt.

    Raises
    ------
    UnsafeFileError
        For absolute or upward names, links, encrypted or overlapping members, one name twice, or too much.
    InputFileError
        When the file is missing, damaged, not a ZIP, or compressed by something else than deflate.
    """
    file = Path(path)
    if not file.is_file():
        raise InputFileError(file, "is not there." if not file.exists() else "is not a file.")
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(_Limited(file, max_members))
            archive = stack.enter_context(zipfile.ZipFile(stream))
            infos = _checked(file, archive, max_members, max_bytes, max_ratio)
        except _FAULTS as error:
            raise _damaged(file, str(error)) from error
        yield ZipArchive(file, archive, infos)


class _Limited(io.FileIO):
    """A file that hands out no directory which is longer than the allowed members need.

    ``zipfile`` reads the directory in one piece and makes an object of each entry before it can be counted.
    """

    def __init__(self, file: Path, max_members: int) -> None:
        super().__init__(file, "rb")
        self._file = file
        self._limit = _DIRECTORY_BYTES_PER_MEMBER * max_members + (1 << 17)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self._limit + (_PIECE << 1):
            raise UnsafeFileError(self._file, f"has a directory of {size} bytes.")
        return super().read(size) or b""


def _checked(
    file: Path, archive: zipfile.ZipFile, max_members: int, max_bytes: int, max_ratio: float
) -> dict[str, zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > max_members:
        raise UnsafeFileError(file, f"has {len(entries)} members, more than {max_members}.")
    infos: dict[str, zipfile.ZipInfo] = {}
    known: set[str] = set()
    for info in entries:
        name = _plain_name(file, info)
        if name.rstrip("/") in known:
            raise UnsafeFileError(file, f"holds the name {name[:80]!r} twice.")
        known.add(name.rstrip("/"))
        if info.flag_bits & 0x41:
            raise UnsafeFileError(
                file, f"has the encrypted member {name[:80]!r}.", "Unpack it and zip it anew."
            )
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputFileError(
                file, f"compresses {name[:80]!r} by another method than deflate.", "Zip the files anew."
            )
        if info.file_size > max(RATIO_FREE_BYTES, max_ratio * info.compress_size):
            raise UnsafeFileError(
                file, f"states {info.file_size} bytes for {name[:80]!r}, stored in {info.compress_size}."
            )
        if not name.endswith("/"):
            infos[name] = info
    total = sum(info.file_size for info in entries)
    if total > max_bytes:
        raise UnsafeFileError(file, f"states {total} bytes, more than the {max_bytes} that are read.")
    _check_places(file, archive, entries)
    return infos


def _plain_name(file: Path, info: zipfile.ZipInfo) -> str:
    # The name as it is stored: zipfile cuts at NUL. Some programs on Windows separate with backslashes.
    name = info.orig_filename.replace("\\", "/")
    parts = name.split("/")
    if (
        not name.strip("/")
        or any(ord(letter) < 32 for letter in name)
        or (name[:1].isalpha() and name[1:2] == ":")
        or name.startswith("/")
        or ".." in parts
    ):
        raise UnsafeFileError(file, f"holds the name {name[:80]!r}, which could lie outside the archive.")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnsafeFileError(file, f"holds {name[:80]!r}, which is a link or another special file.")
    return name


def _check_places(file: Path, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse members whose bytes overlap each other or the directory."""
    end = archive.start_dir
    stream = archive.fp
    for info in sorted(entries, key=lambda each: each.header_offset, reverse=True):
        if stream is None or info.header_offset < 0:
            raise _damaged(file, "a member has no place")
        stream.seek(info.header_offset)
        header = stream.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
            raise _damaged(file, f"the member {info.filename[:80]!r} is not where the directory says")
        start = info.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", header[26:30]))
        if start + info.compress_size > end:
            raise UnsafeFileError(file, f"has members that share bytes, at {info.filename[:80]!r}.")
        end = info.header_offset


def _damaged(file: Path, fault: str) -> InputFileError:
    return InputFileError(
        file, f"cannot be read as a ZIP archive: {fault[:200]}.", "The copy may be incomplete; copy it again."
    )
