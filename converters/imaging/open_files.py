"""A bounded number of open files, however many files a movie has."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

MAX_OPEN = 64
"""Below what any system lets a process open, with room for the writers."""


class Closable(Protocol):
    """Whatever holds a file."""

    def close(self) -> None:
        """Let go of it."""


Handle = TypeVar("Handle", bound=Closable)


class OpenFiles(Generic[Handle]):
    """Handles by key; the one not used for longest is closed when there are too many.

    A process made by fork opens its own: two processes must not share the position in a file.
    """

    def __init__(self, limit: int = MAX_OPEN) -> None:
        self._limit = limit
        self._handles: OrderedDict[tuple[int, Hashable], Handle] = OrderedDict()

    def __len__(self) -> int:
        return len(self._handles)

    def get(self, key: Hashable, opened: Callable[[], Handle]) -> Handle:
        """Return the handle of ``key``, opened now if it is not open."""
        own = (os.getpid(), key)
        if own in self._handles:
            self._handles.move_to_end(own)
            return self._handles[own]
        while len(self._handles) >= self._limit:
            self._handles.popitem(last=False)[1].close()
        handle = self._handles[own] = opened()
        return handle

    def close(self, key: Hashable) -> None:
        """Close the handle of ``key`` if it is open."""
        handle = self._handles.pop((os.getpid(), key), None)
        if handle is not None:
            handle.close()
