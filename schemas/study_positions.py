"""YAML as plain text values, with the line of every key and value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.issues import Issue, Place, issue

KeyPath = tuple[str | int, ...]
Places = dict[KeyPath, Place]

MAX_BYTES = 5_000_000
MAX_ALIASES = 100
MAX_VALUES = 100_000

_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}"
    for name in ("null", "bool", "int", "float", "timestamp", "str", "seq", "map", "merge", "value")
}
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_NULL_TAG = "tag:yaml.org,2002:null"
_MERGE_TAG = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: mappings, lists, text and None; places by key path; what was wrong in it."""

    value: Any
    places: Places
    issues: tuple[Issue, ...]


def place_of(places: Places, path: KeyPath) -> Place:
    """Return the place of the value at ``path``, or of the innermost one around it that is known."""
    for length in range(len(path), -1, -1):
        if path[:length] in places:
            return places[path[:length]]
    return Place()


def moved(places: Places, start: KeyPath, to: KeyPath = ()) -> Places:
    """Return the places below ``start``, with ``start`` in their paths replaced by ``to``."""
    size = len(start)
    return {to + path[size:]: place for path, place in places.items() if path[:size] == start}


def item_text(path: KeyPath) -> str:
    """Return a key path as users write it: ``sessions[3].imaging.depth_um`` (lists count from 1)."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_text(path: Path, *, max_bytes: int = MAX_BYTES) -> str:
    """Return the text of a UTF-8 file of reasonable size.

    Raises
    ------
    StudyError
        When the file is missing, too large, binary or in another encoding.
    """
    if not path.is_file():
        what = "is a folder, where a file was expected" if path.is_dir() else "is not there"
        raise StudyError([issue("missing-file", f"The file {what}.", place=Place(path))])
    try:
        if path.stat().st_size > max_bytes:
            message = f"The file is larger than {max_bytes / 1e6:g} MB."
            raise StudyError([issue("unreadable-file", message, place=Place(path))])
        data = path.read_bytes()
    except OSError as error:
        message = f"The file cannot be read: {error.strerror or error}."
        raise StudyError([issue("unreadable-file", message, place=Place(path))]) from error
    remedy = "Save it as text in UTF-8."
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        found = issue("unreadable-file", "The file is in UTF-16.", place=Place(path), remedy=remedy)
        raise StudyError([found])
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        found = issue("unreadable-file", "The file is not text.", place=Place(path, line), remedy=remedy)
        raise StudyError([found])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"The file is not UTF-8 (byte 0x{data[error.start]:02x})."
        found = issue("unreadable-file", message, place=Place(path, line), remedy=remedy)
        raise StudyError([found]) from error


def read_yaml(path: Path) -> Document:
    """Return a YAML file as text values with places.

    Plain words are left as they are written (``012`` stays ``012``, ``no`` stays ``no``), since the models
    know which fields are numbers; only ``null`` and nothing at all become None.

    Raises
    ------
    StudyError
        When the file cannot be parsed. Duplicate keys and the like are reported in the result.
    """
    text = read_text(path)
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        problem = " ".join(filter(None, (error.context, error.problem)))
        remedy = (
            "Indent with spaces." if "\\t" in problem else "Compare the indentation with the lines around it."
        )
        found = issue("yaml-syntax", f"{problem}.", place=Place(path, line), remedy=remedy)
        raise StudyError([found]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"Character {error.character!r} is not allowed in YAML."
        raise StudyError([issue("yaml-syntax", message, place=Place(path, line))]) from error
    except RecursionError as error:
        message = "The file nests too deep."
        raise StudyError([issue("yaml-syntax", message, place=Place(path))]) from error
    except ValueError as error:
        message = f"The file cannot be parsed: {str(error)[:200]}."
        raise StudyError([issue("yaml-syntax", message, place=Place(path))]) from error
    finally:
        if loader is not None:
            loader.dispose()
    return _Reader(path).document(node)


class _Loader(yaml.SafeLoader):
    """PyYAML's composer with limits to values, and to aliases, which can stand for billions of them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._aliases = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._aliases += self.check_event(yaml.AliasEvent)
        self._nodes += 1
        if self._aliases > MAX_ALIASES or self._nodes > MAX_VALUES:
            many = f"{MAX_ALIASES} aliases" if self._aliases > MAX_ALIASES else f"{MAX_VALUES} values"
            raise yaml.MarkedYAMLError(problem=f"more than {many}", problem_mark=self.get_mark())
        return super().compose_node(parent, index)


class _Reader:
    """Walks the node graph once and keeps values, places and issues."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.places: Places = {}
        self.issues: list[Issue] = []
        self.count = 0
        self.open: set[int] = set()

    def document(self, node: yaml.Node | None) -> Document:
        value = None if node is None else self.value(node, ())
        self.places[()] = Place(self.file, 1)
        return Document(value, self.places, tuple(self.issues))

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        place = Place(self.file, node.start_mark.line + 1, item_text(path))
        self.places.setdefault(path, place)
        self.count += 1
        if self.count > MAX_VALUES or id(node) in self.open:
            why = "An alias refers to itself." if id(node) in self.open else f"More than {MAX_VALUES} values."
            raise StudyError([issue("yaml-syntax", why, place=place)])
        if node.tag not in _PLAIN_TAGS:
            message = f"The tag {node.tag!r} is not used in study files."
            self.issues.append(
                issue("yaml-syntax", message, place=place, remedy="Write the value without it.")
            )
            return None
        if isinstance(node, yaml.ScalarNode):
            if _NO_TEXT.search(node.value):
                message = "The value holds a character that no text has (NUL or half of a pair)."
                self.issues.append(issue("wrong-value", message, place=place, remedy="Remove it."))
                return _NO_TEXT.sub("", node.value)
            return None if node.tag == _NULL_TAG and node.style is None else node.value
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, path)
            return [self.value(each, (*path, position)) for position, each in enumerate(node.value)]
        finally:
            self.open.discard(id(node))

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE_TAG:
                sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for source in sources:
                    value = self.value(source, path)
                    if isinstance(value, dict):
                        inherited = {**value, **inherited}
                    else:
                        message = "'<<' takes a mapping, or a list of mappings."
                        self.issues.append(issue("yaml-syntax", message, place=Place(self.file, line)))
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                message = "A key must be a word, not a list or mapping."
                self.issues.append(
                    issue("yaml-syntax", message, place=Place(self.file, line, item_text(path)))
                )
                continue
            key = _NO_TEXT.sub("", str(key_node.value))
            place = Place(self.file, line, item_text((*path, key)))
            if key in result:
                first = self.places[(*path, key)].line
                message = f"The key {key!r} is given twice; the first is in line {first}."
                self.issues.append(issue("duplicate-id", message, place=place, remedy="Keep one."))
                continue
            if key in inherited:
                for stale in moved(self.places, (*path, key), (*path, key)):
                    del self.places[stale]
            self.places[(*path, key)] = place
            result[key] = self.value(value_node, (*path, key))
        return {**inherited, **result}
