"""Which files an OME-TIFF names: it may be one of many, or leave its description to a companion file."""

from __future__ import annotations

from pathlib import Path

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.path_guard import inside
from nwbswitch.schemas.tiff_tags import first_description
from nwbswitch.schemas.xml_guard import read_xml

_MARKS = (b"<?xml", b"<OME", b"<!--")
_MAX_COMMENT = 1 << 16


def ome_text(path: Path, description: bytes) -> bytes:
    """Return the OME-XML of a description; old writers put it into a comment.

    Raises
    ------
    InputFileError
        When the description is none.
    """
    text = description.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text.startswith(_MARKS) or b"OME" not in text[:_MAX_COMMENT]:
        raise InputFileError(
            path, "has no OME-XML in its first page.", "Use format: tiff_movie for plain TIFF files."
        )
    if text.startswith(b"<!--") and text[4:].lstrip().startswith((b"<?xml", b"<OME")):
        text = text[4:].lstrip().partition(b"-->")[0]
    return text


def named_beside(path: Path, name: str) -> Path:
    """Return the file that an OME-TIFF names, which must be in its folder.

    Raises
    ------
    UnsafeFileError
        When the name leads out of the folder, by .., as an absolute path or by a link.
    """
    try:
        return inside(path.parent, name)
    except UnsafeFileError as error:
        raise UnsafeFileError(
            path, f"names the file {name[:200]!r}, which {error.problem}", "Put the files of a set together."
        ) from error


def ome_files(path: Path) -> tuple[Path, ...]:
    """Return the file, its companion and the other files of its set that are there.

    A file that cannot be read stands alone: its reader says what is wrong with it.
    """
    found = {path: None}
    try:
        root = read_xml(ome_text(path, first_description(path)), name=path)
        for element in root.iter():
            name = element.get("FileName") or element.get("MetadataFile")
            if name and element.tag.rpartition("}")[2] in ("UUID", "BinaryOnly"):
                beside = named_beside(path, name)
                if beside.is_file() and not beside.samefile(path):
                    found[beside] = None
    except InputFileError:
        return (path,)
    return tuple(found)
