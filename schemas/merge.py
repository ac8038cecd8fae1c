"""How settings of a study, a subject and a session become one: the narrower one wins, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(base: Any, override: Any) -> Any:
    """Return ``base`` with ``override`` laid over it; neither is changed, and nothing mutable is shared.

    Mappings merge key by key, at every depth. Everything else replaces: a list is taken whole, never joined
    with or compared to the list it replaces. ``None`` as the value of a key removes that key, and a mapping
    laid over something that is not a mapping starts from nothing.

    Examples
    --------
    >>> merged({"a": {"x": 1, "y": 2}, "b": [1, 1]}, {"a": {"y": 3}, "b": [2, 2]})
    {'a': {'x': 1, 'y': 3}, 'b': [2, 2]}
    >>> merged({"a": 1, "b": 2}, {"b": None})
    {'a': 1}
    """
    if isinstance(override, Mapping):
        kept = dict(base) if isinstance(base, Mapping) else {}
        result = {key: _copied(value) for key, value in kept.items() if key not in override}
        for key, value in override.items():
            if value is not None:
                result[key] = merged(kept.get(key), value)
        return {key: result[key] for key in (*kept, *override) if key in result}
    return _copied(override)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(each) for each in value]
    return value
