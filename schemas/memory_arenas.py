"""How many pools glibc's allocator keeps memory of threads in."""

from __future__ import annotations

import ctypes
import sys

_M_ARENA_MAX = -8
_FEW = 2


def use_few_arenas() -> None:
    """Let all threads of this process share two arenas; elsewhere than on glibc, do nothing.

    By default every thread gets memory of its own and hardly gives it back: a process in which 16 threads
    fetched and unpacked 14 recordings, one after the other, grew from 445 to 760 MB; so it stays at 423 MB.
    Arenas that threads have already got stay. See mallopt(3), M_ARENA_MAX.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _FEW)
