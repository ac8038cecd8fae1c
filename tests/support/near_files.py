"""Files on the disk that tests open and need not close."""

from __future__ import annotations

import weakref
from pathlib import Path

from nwbswitch.analysis.access.local_bytes import LocalBytes


def near(path: Path) -> LocalBytes:
    """Return the bytes of a file, closed with the last reference to them."""
    source = LocalBytes(path)
    weakref.finalize(source, source._stream.close)
    return source
