"""What pydantic finds in a study, said in the words of the study file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.roi_labels import SOURCES
from nwbswitch.schemas.streams import FORMATS
from nwbswitch.schemas.study import Session
from nwbswitch.schemas.study_document import LoggedAdministration, StudyHeader
from nwbswitch.schemas.study_positions import KeyPath, Places, item_text, place_of
from nwbswitch.schemas.substance import Substance

_SHOWN = 60


def findings(
    error: ValidationError, places: Places, *, prefix: KeyPath = (), root: type[BaseModel] | None = None
) -> list[Issue]:
    """Return one issue for each thing that a model refuses, at the line where it was written.

    Parameters
    ----------
    error
        From ``root``.
    places
        Places of the values that were validated.
    prefix
        Path of the validated value within ``places``.
    root
        The model that was validated; by default one of `Session`, `StudyHeader`, `Administration` and
        `Substance`, by the name that the error states.
    """
    model = root or _ROOTS.get(error.title, Session)
    details = error.errors(include_url=False)
    inner = {detail["loc"][:size] for detail in details for size in range(len(detail["loc"]))}
    # A list whose entries are refused is also called too short.
    kept = [each for each in details if not (each["type"] == "too_short" and each["loc"] in inner)]
    found = [_finding(each, places, prefix, model) for each in kept]
    # Each type of a union refuses the value on its own: the first one speaks for all.
    return list({(each.place, each.message.partition("; ")[0]): each for each in reversed(found)}.values())[
        ::-1
    ]


def unknown_key(key: str, place: Place, known: Iterable[str], *, within: str = "") -> Issue:
    """Return the finding for a key that is not among ``known``."""
    words = list(known)
    where = f" in {within}" if within else ""
    remedy = nearest(key, words) or f"Known are {', '.join(words)}."
    return issue("unknown-key", f"There is no key {key!r}{where}.", place=place, remedy=remedy)


def shown(value: object) -> str:
    """Return a value as it is quoted in a message, cut to a readable length."""
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _finding(detail: Any, places: Places, prefix: KeyPath, root: type[BaseModel]) -> Issue:
    raw: KeyPath = tuple(each for each in detail["loc"] if not _is_branch(each))
    path = _written(raw)
    full = (*prefix, *path)
    name = item_text(path)
    value = detail["input"]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            parent = place_of(places, full[:-1])
            message = f"{name} is not given."
            return issue("missing-value", message, place=parent, remedy=_meaning(raw, root))
        case "extra_forbidden":
            place = place_of(places, full)
            known = _fields(raw[:-1], root)
            return unknown_key(str(path[-1]), place, known, within=item_text(path[:-1]))
        case "union_tag_not_found":
            key, words = _kinds(path)
            message = f"{name} does not say its {key}."
            remedy = f"{key.capitalize()}s: {', '.join(words)}."
            return issue("missing-value", message, place=place_of(places, full), remedy=remedy)
        case "union_tag_invalid":
            key, words = _kinds(path)
            word = str(context.get("tag", ""))
            remedy = nearest(word, words) or f"{key.capitalize()}s: {', '.join(words)}."
            place = place_of(places, (*full, key))
            return issue("unknown-word", f"{name} has the {key} {shown(word)}.", place=place, remedy=remedy)
        case "enum" | "literal_error":
            expected = str(context.get("expected", ""))
            choices = [each for each in expected.replace(" or ", ", ").replace("'", "").split(", ") if each]
            remedy = nearest(str(value), choices) or f"Expected {expected}."
            place = place_of(places, full)
            return issue("unknown-word", f"{name} is {shown(value)}.", place=place, remedy=remedy)
        case _:
            message = _expectation(str(detail["type"]), str(detail["msg"]))
            is_whole = detail["type"] == "value_error" and isinstance(value, dict)
            said = f"{name or 'The entry'}: " if is_whole else f"{name or 'The entry'} is {shown(value)}; "
            text = said + message + ("" if message.endswith((".", "?")) else ".")
            return issue("wrong-value", text, place=place_of(places, full), remedy=_meaning(raw, root))


def _is_branch(part: str | int) -> bool:
    """Whether a part of a location is pydantic's name for a type of a union, not one of the study file."""
    return isinstance(part, str) and re.fullmatch(r"[a-z-]+\[.*\]", part, re.DOTALL) is not None


def _written(path: KeyPath) -> KeyPath:
    """Return a path without the formats and sources by which a model was chosen."""
    kept: list[str | int] = []
    for part in path:
        is_format = len(kept) == 2 and kept[0] == "streams" and part in FORMATS
        is_source = bool(kept) and part in SOURCES.get(str(kept[-1]), ())
        if not (is_format or is_source):
            kept.append(part)
    return tuple(kept)


def _kinds(path: KeyPath) -> tuple[str, tuple[str, ...]]:
    """Return the key by which a model is chosen at a path, and the words it may have."""
    sources = SOURCES.get(str(path[-1]), ()) if len(path) > 2 else ()
    return ("source", sources) if sources else ("format", tuple(FORMATS))


_EXPECTED = {
    "bool_parsing": "expected true or false",
    "float_parsing": "expected a number",
    "int_parsing": "expected a whole number",
    "model_type": "expected a mapping",
    "dict_type": "expected a mapping",
    "model_attributes_type": "expected a mapping",
    "tuple_type": "expected a list",
    "string_type": "expected text",
    "path_type": "expected a path",
    "string_pattern_mismatch": "expected another form",
}


def _expectation(kind: str, message: str) -> str:
    """Return what pydantic expected, in the words of YAML instead of Python."""
    if kind == "too_short":
        return "expected at least one entry"
    text = message.removeprefix("Value error, ")
    for start in ("Input should be ", "String should ", "Tuple should "):
        if text.startswith(start):
            text = f"expected {text.removeprefix(start)}"
    return _EXPECTED.get(kind, text)


_ROOTS: dict[str, type[BaseModel]] = {
    Administration.__name__: LoggedAdministration,
    **{each.__name__: each for each in (Session, StudyHeader, Substance)},
}


def _below(kind: Any, path: KeyPath) -> type[BaseModel] | None:
    """Return the model that a path into an annotated type leads to."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(path[0])) if path else None
        return kind if not path else _below(field.annotation, path[1:]) if field else None
    members = [each for each in get_args(kind) if each is not NoneType and each is not Ellipsis]
    origin = get_origin(kind)
    if origin in (dict, list, tuple):
        return _below(members[-1], path[1:]) if path else None
    chosen = [each for each in members if path and _is_chosen_by(each, path[0])]
    if chosen:
        return _below(chosen[0], path[1:])
    if origin is Annotated:
        return _below(members[0], path)
    found = [each for each in (_below(member, path) for member in members) if each is not None]
    return found[0] if len(found) == 1 else None


def _is_chosen_by(kind: Any, word: str | int) -> bool:
    """Whether a model is the one of a union that a format or source chooses."""
    return (
        isinstance(kind, type)
        and issubclass(kind, BaseModel)
        and any(
            get_origin(field.annotation) is Literal and get_args(field.annotation) == (word,)
            for field in kind.model_fields.values()
        )
    )


def _fields(path: KeyPath, root: type[BaseModel]) -> list[str]:
    model = _below(root, path)
    return list(model.model_fields) if model else []


def _meaning(path: KeyPath, root: type[BaseModel]) -> str:
    """Return the description of a field, as the remedy of a missing or wrong value."""
    model = _below(root, path[:-1]) if path else None
    field = model.model_fields.get(str(path[-1])) if model else None
    return field.description or "" if field else ""
