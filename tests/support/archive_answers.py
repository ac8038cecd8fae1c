"""How dandi-archive words its answers: lists in pages, dandisets and versions, refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from archive_content import StoredDandiset, StoredVersion
from loopback import Answer, Heard

SUMMARY_OPERATORS = {"species": "species", "approach": "approach", "technique": "measurementTechnique"}

TRUE = ("t", "y", "yes", "true", "on", "1")
FALSE = ("f", "n", "no", "false", "off", "0")


@dataclass
class Refused(Exception):
    """An answer that is no success."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


def page(request: Heard, url: str, things: Sequence[Any], show: Callable[[Any], Any], *, lazy: bool) -> Any:
    """Return one page as Django REST framework numbers them; a lazy one counts on the first page only.

    ``url`` is that of the request without its query.
    """
    size = whole(request.query.get("page_size", ""), 100, most=1000)
    number = whole(request.query.get("page", "1"), 0)
    last = max(1, -(-len(things) // size))
    if number < 1 or (number > last and not lazy):
        raise Refused(404, {"detail": "Invalid page."})

    def link(to: int) -> str:
        query = {name: value for name, value in request.query.items() if name != "page"}
        query |= {"page": str(to)} if to > 1 else {}
        return f"{url}?{urlencode(sorted(query.items()))}" if query else url

    start = (number - 1) * size
    return {
        "count": len(things) if number == 1 or not lazy else None,
        "next": link(number + 1) if start + size < len(things) else None,
        "previous": link(number - 1) if number > 1 else None,
        "results": [show(each) for each in things[start : start + size]],
    }


def matches(search: str, versions: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether the metadata of a version holds every word; ``species:mouse`` looks into its summary."""
    if search.count('"') % 2:
        raise Refused(400, {"search": "Unbalanced quote in search query."})
    held = list(versions)
    words = []
    for key, quoted, text, bare in re.findall(r'([a-z_]+):"([^"]*)"|"([^"]*)"|(\S+)', search):
        name, colon, value = (key, ":", quoted) if key else bare.partition(":")
        if text or not colon:
            words.append((text or bare).casefold())
            continue
        if name not in SUMMARY_OPERATORS:
            raise Refused(400, {"search": f'Unknown search operator "{name}".'})
        summaries = [each["assetsSummary"].get(SUMMARY_OPERATORS[name], []) for each in held]
        if not any(value.casefold() in item["name"].casefold() for items in summaries for item in items):
            return False
    texts = [json.dumps(each).casefold() for each in held]
    return any(all(word in text for word in words) for text in texts)


def dandiset_json(dandiset: StoredDandiset, version: Callable[[StoredVersion], Any]) -> dict[str, Any]:
    """Return a dandiset with its draft and its most recent published version."""
    published = dandiset.published
    return {
        **short_dandiset_json(dandiset),
        "most_recent_published_version": version(published) if published else None,
        "draft_version": version(dandiset.draft),
    }


def short_dandiset_json(dandiset: StoredDandiset) -> dict[str, Any]:
    """Return a dandiset as its versions name it."""
    return {
        "identifier": dandiset.identifier,
        "created": time_text(dandiset.created),
        "modified": time_text(dandiset.draft.modified),
        "contact_person": "Doe, Jane",
        "embargo_status": dandiset.embargo_status,
        "star_count": 0,
        "is_starred": False,
    }


def listed_version_json(version: StoredVersion) -> dict[str, Any]:
    """Return a version as lists of dandisets show it."""
    return {
        "version": version.version,
        "name": version.name,
        "asset_count": len(version.assets),
        "size": version.size,
        "status": version.status,
        "created": time_text(version.created),
        "modified": time_text(version.modified),
    }


def version_json(version: StoredVersion) -> dict[str, Any]:
    """Return a version as its dandiset shows it."""
    return {**listed_version_json(version), "active_uploads": 0, "release_notes": ""}


def newest(dandiset: StoredDandiset) -> StoredVersion:
    return max(dandiset.versions.values(), key=lambda each: each.created)


def ordered(dandisets: Sequence[StoredDandiset], ordering: str) -> list[StoredDandiset]:
    keys: dict[str, Callable[[StoredDandiset], Any]] = {
        "id": lambda each: each.identifier,
        "name": lambda each: newest(each).name,
        "modified": lambda each: newest(each).modified,
        "size": lambda each: newest(each).size,
    }
    key = keys.get(ordering.removeprefix("-"), lambda each: each.created)
    reverse = ordering.startswith("-") and ordering.removeprefix("-") in keys
    return sorted(dandisets, key=key, reverse=reverse)


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})


def time_text(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def flag(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Return a parameter that is true or false, in any of the words that the archive takes for it."""
    text = query.get(name, "").casefold()
    if text and text not in TRUE + FALSE:
        raise Refused(400, {name: ["Must be a valid boolean."]})
    return text in TRUE if text else default


def whole(text: str, default: int, *, most: int | None = None) -> int:
    number = int(text) if text.isdecimal() and int(text) > 0 else default
    return number if most is None else min(number, most)
