"""What pydantic finds in a study, said in the words of the study file."""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.streams import FORMATS
from nwbswitch.schemas.study import Session
from nwbswitch.schemas.study_document import StudyHeader
from nwbswitch.schemas.study_positions import KeyPath, Places, item_text, place_of
from nwbswitch.schemas.substance import Substance

_SHOWN = 60


def findings(error: ValidationError, places: Places, *, prefix: KeyPath = ()) -> list[Issue]:
    """Return one issue for each thing that a model refuses, at the line where it was written.

    Parameters
    ----------
    error
        From `Session`, `StudyHeader` or `Administration`.
    places
        Places of the values that were validated.
    prefix
        Path of the validated value within ``places``.
    """
    details = error.errors(include_url=False)
    inner = {detail["loc"][:size] for detail in details for size in range(len(detail["loc"]))}
    # A list whose entries are refused is also called too short.
    kept = [each for each in details if not (each["type"] == "too_short" and each["loc"] in inner)]
    return [_finding(each, places, prefix, error.title) for each in kept]


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


def _finding(detail: Any, places: Places, prefix: KeyPath, title: str) -> Issue:
    raw: KeyPath = tuple(detail["loc"])
    path = raw
    if raw[:1] == ("streams",) and len(raw) > 2 and raw[2] in FORMATS:
        path = (*raw[:2], *raw[3:])
    full = (*prefix, *path)
    name = item_text(path)
    value = detail["input"]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            parent = place_of(places, full[:-1])
            message = f"{name} is not given."
            return issue("missing-value", message, place=parent, remedy=_meaning(raw, title))
        case "extra_forbidden":
            place = place_of(places, full)
            known = _fields(raw[:-1], title)
            return unknown_key(str(path[-1]), place, known, within=item_text(path[:-1]))
        case "union_tag_not_found":
            message = f"{name} does not say its format."
            remedy = f"Formats: {', '.join(FORMATS)}."
            return issue("missing-value", message, place=place_of(places, full), remedy=remedy)
        case "union_tag_invalid":
            word = str(context.get("tag", ""))
            remedy = nearest(word, FORMATS) or f"Formats: {', '.join(FORMATS)}."
            place = place_of(places, (*full, "format"))
            return issue("unknown-word", f"{name} has the format {shown(word)}.", place=place, remedy=remedy)
        case "enum" | "literal_error":
            expected = str(context.get("expected", ""))
            words = [each for each in expected.replace(" or ", ", ").replace("'", "").split(", ") if each]
            remedy = nearest(str(value), words) or f"Expected {expected}."
            place = place_of(places, full)
            return issue("unknown-word", f"{name} is {shown(value)}.", place=place, remedy=remedy)
        case _:
            message = _expectation(str(detail["type"]), str(detail["msg"]))
            text = f"{name or 'The entry'} is {shown(value)}; {message}."
            return issue("wrong-value", text, place=place_of(places, full), remedy=_meaning(raw, title))


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
    text = message.removeprefix("Value error, ")
    for start in ("Input should be ", "String should ", "Tuple should "):
        if text.startswith(start):
            text = f"expected {text.removeprefix(start)}"
    return _EXPECTED.get(kind, text)


_ROOTS: dict[str, type[BaseModel]] = {
    each.__name__: each for each in (Session, StudyHeader, Administration, Substance)
}


def _model(path: KeyPath, title: str) -> type[BaseModel] | None:
    """Return the model whose fields lie directly below ``path``."""
    return _below(_ROOTS.get(title, Session), path)


def _below(kind: Any, path: KeyPath) -> type[BaseModel] | None:
    """Return the model that a path into an annotated type leads to."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(path[0])) if path else None
        return kind if not path else _below(field.annotation, path[1:]) if field else None
    members = [each for each in get_args(kind) if each is not NoneType and each is not Ellipsis]
    origin = get_origin(kind)
    if origin in (dict, list, tuple):
        return _below(members[-1], path[1:]) if path else None
    if path and path[0] in FORMATS:
        return _below(FORMATS[str(path[0])], path[1:])
    if origin is Annotated:
        return _below(members[0], path)
    found = [each for each in (_below(member, path) for member in members) if each is not None]
    return found[0] if len(found) == 1 else None


def _fields(path: KeyPath, title: str) -> list[str]:
    model = _model(path, title)
    return list(model.model_fields) if model else []


def _meaning(path: KeyPath, title: str) -> str:
    """Return the description of a field, as the remedy of a missing or wrong value."""
    model = _model(path[:-1], title) if path else None
    field = model.model_fields.get(str(path[-1])) if model else None
    return field.description or "" if field else ""
