"""XML that says only what it contains: no document type, no entities, no other files, bounded size and depth.

Every known way in which XML reads other files or grows in memory (external entities, "billion laughs",
quadratic blow-up, external DTDs; see the table in the documentation of Python's ``xml`` package) needs a
document type declaration. Files of instruments have none, so one is refused as soon as the parser meets it,
before anything in it is read. Python's own parser says so through its ``doctype`` hook, which is what
defusedxml does too; sizes and depth, which that package leaves open, are limited here.

Characters that XML 1.0 forbids, raw or as references such as ``&#x1;`` (Prairie View writes them), and bytes
that are not UTF-8 become U+FFFD: no mark-up can arise from that.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

MAX_XML_BYTES = 256 << 20
MAX_STREAM_BYTES = 8 << 30
MAX_DEPTH = 256
MAX_PARTS = 4_000_000
"""Most elements and attributes held at once."""
MAX_TOKEN = 16 << 20
_CHUNK = 1 << 20
_HEAD = 256
_LONGEST_REFERENCE = 12

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "utf-16": "utf-8",  # .NET writes this word into files that are UTF-8; real UTF-16 has its mark
    "iso-8859-1": "latin-1",
    "windows-1252": "cp1252",
}
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCE = re.compile(r"&#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,8}));")
_REPLACEMENT = "&#xFFFD;"


def read_xml(
    source: Path | str | bytes, *, max_bytes: int = MAX_XML_BYTES, name: Path | str | None = None
) -> Element:
    """Return the root element of an XML file, or of XML text in memory.

    Parameters
    ----------
    source
        A path, or the text itself as bytes.
    max_bytes
        Largest text that is read; larger files are for `iterate_xml`.
    name
        How errors call text that is given as bytes: usually the file it was taken from.

    Raises
    ------
    UnsafeFileError
        For a document type declaration, too many bytes, elements or levels.
    InputFileError
        When the file is missing or not well-formed.
    """
    if isinstance(source, bytes):
        file = Path(name or "XML text")
        _check_size(file, len(source), max_bytes)
        text = "".join(_texts([source], file))
    else:
        file = Path(source)
        with _opened(file, max_bytes) as stream:
            text = "".join(_texts(_chunks(file, stream), file))
    target = _Tree(file)
    parser = XMLParser(target=target)  # noqa: S314 - the target refuses document types
    try:
        # In one piece: older expat starts over on every piece of an unfinished token (CVE-2023-52425).
        parser.feed(text)
        root: Element = parser.close()
    except (ParseError, ValueError) as error:
        raise _not_well_formed(file, error) from error
    return root


def iterate_xml(
    path: Path | str,
    tags: Collection[str],
    *,
    openings: Collection[str] = (),
    max_bytes: int = MAX_STREAM_BYTES,
) -> Iterator[Element]:
    """Yield the complete elements called ``tags`` in the order in which they end; nothing else is kept.

    Memory use depends on the largest yielded element, not on the file.

    Parameters
    ----------
    path
        The file.
    tags
        Names of elements, ``{namespace}name`` where there is one. An element inside a wanted element stays in
        it and is not yielded a second time.
    openings
        Names of elements of which only the start tag is wanted: each is yielded as an element with attributes
        and without content when it begins, so before anything inside it.
    max_bytes
        Largest file that is read.

    Raises
    ------
    UnsafeFileError, InputFileError
        As `read_xml`; a fault is met only when the reading arrives there.
    """
    file = Path(path)
    picker = _Picker(file, frozenset(tags), frozenset(openings))
    parser = XMLParser(target=picker)  # noqa: S314 - the target refuses document types
    waiting = 0
    with _opened(file, max_bytes) as stream:
        for text in _texts(_chunks(file, stream), file):
            steps = picker.steps
            try:
                parser.feed(text)
            except (ParseError, ValueError) as error:
                raise _not_well_formed(file, error) from error
            waiting = waiting + len(text) if picker.steps == steps else 0
            if waiting > MAX_TOKEN:
                raise UnsafeFileError(file, f"has a tag or comment of more than {MAX_TOKEN} characters.")
            yield from picker.taken()
    try:
        parser.close()
    except (ParseError, ValueError) as error:
        raise _not_well_formed(file, error) from error
    yield from picker.taken()


class _Limits:
    """What every target refuses."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.depth = 0
        self.parts = 0

    def enter(self, attributes: int) -> None:
        self.depth += 1
        self.parts += 1 + attributes
        if self.depth > MAX_DEPTH:
            raise UnsafeFileError(self.file, f"nests elements more than {MAX_DEPTH} deep.")
        if self.parts > MAX_PARTS:
            raise UnsafeFileError(self.file, f"has more than {MAX_PARTS} elements and attributes.")

    def refuse_doctype(self) -> None:
        raise UnsafeFileError(
            self.file,
            "has a document type declaration (DOCTYPE), which can read other files or exhaust memory.",
            "Files of instruments have none; remove it if the file is your own.",
        )


class _Tree(TreeBuilder):
    """The standard builder with limits."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._limits = _Limits(file)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        self._limits.refuse_doctype()

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._limits.enter(len(attrs))
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._limits.depth -= 1
        return super().end(tag)


class _Picker:
    """Builds the wanted elements and forgets the rest; the hooks are those of ``XMLParser(target=...)``."""

    def __init__(self, file: Path, tags: frozenset[str], openings: frozenset[str]) -> None:
        self._limits = _Limits(file)
        self._tags = tags
        self._openings = openings
        self._builder: TreeBuilder | None = None
        self._outer = 0
        self._ready: list[Element] = []
        self.steps = 0

    def taken(self) -> list[Element]:
        ready, self._ready = self._ready, []
        return ready

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        self._limits.refuse_doctype()

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        self.steps += 1
        if self._builder is None:
            self._limits.parts = 0
            if tag in self._openings:
                self._ready.append(Element(tag, attrs))
            if tag in self._tags:
                self._builder = TreeBuilder()
                self._outer = self._limits.depth
        self._limits.enter(len(attrs))
        if self._builder is not None:
            self._builder.start(tag, attrs)

    def data(self, text: str) -> None:
        self.steps += 1
        if self._builder is not None:
            self._builder.data(text)

    def end(self, tag: str) -> None:
        self.steps += 1
        self._limits.depth -= 1
        if self._builder is not None:
            self._builder.end(tag)
            if self._limits.depth == self._outer:
                self._ready.append(self._builder.close())
                self._builder = None

    def close(self) -> None:
        pass


def _opened(file: Path, max_bytes: int) -> BinaryIO:
    try:
        if not file.is_file():
            raise InputFileError(file, "is not there." if not file.exists() else "is not a file.")
        _check_size(file, file.stat().st_size, max_bytes)
        return file.open("rb")
    except OSError as error:
        raise InputFileError(file, f"cannot be read: {error.strerror or error}.") from error


def _check_size(file: Path, size: int, limit: int) -> None:
    if size > limit:
        raise UnsafeFileError(file, f"has {size} bytes of XML, more than the {limit} that are read.")


def _chunks(file: Path, stream: BinaryIO) -> Iterator[bytes]:
    try:
        while chunk := stream.read(_CHUNK):
            yield chunk
    except OSError as error:
        raise InputFileError(file, f"cannot be read: {error.strerror or error}.") from error


def _texts(chunks: Iterator[bytes] | list[bytes], file: Path) -> Iterator[str]:
    """Decode, and replace what XML cannot hold; no character reference is cut in two."""
    decoder: codecs.IncrementalDecoder | None = None
    held = ""
    for chunk in chunks:
        if decoder is None:
            decoder = codecs.getincrementaldecoder(_encoding(chunk[:_HEAD], file))(errors="replace")
        text = held + decoder.decode(chunk)
        start = text.rfind("&", -_LONGEST_REFERENCE)
        cut = start if start >= 0 and text.find(";", start) < 0 else len(text)
        held = text[cut:]
        yield _cleaned(text[:cut])
    if decoder is not None:
        yield _cleaned(held + decoder.decode(b"", final=True))


def _encoding(head: bytes, file: Path) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    declared = _DECLARED.match(head)
    if declared is None:
        return "utf-8"
    word = declared[1].decode("ascii")
    if word.lower() not in _ENCODINGS:
        raise InputFileError(file, f"is XML in the encoding {word}, which is not read.", "Save it as UTF-8.")
    return _ENCODINGS[word.lower()]


def _cleaned(text: str) -> str:
    if "&#" in text:
        text = _REFERENCE.sub(_allowed_reference, text)
    return _FORBIDDEN.sub(_REPLACEMENT, text)


def _allowed_reference(found: re.Match[str]) -> str:
    number = int(found[1], 16) if found[1] else int(found[2])
    if number > 0x10FFFF or _FORBIDDEN.match(chr(number)):
        return _REPLACEMENT
    return found[0]


def _not_well_formed(file: Path, error: Exception) -> InputFileError:
    return InputFileError(
        file,
        f"is not well-formed XML: {str(error)[:200]}.",
        "The copy may be incomplete or edited.",
    )
