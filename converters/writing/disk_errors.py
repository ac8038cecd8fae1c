"""What the disk said, dug out of the errors that HDF5, h5py and hdmf wrap around it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nwbswitch.schemas.errors import NwbswitchError

_OF_THE_DISK = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS", "EACCES", "EPERM", "ENODEV", "ESTALE")
    if hasattr(errno, name)
)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise a plain OSError with its number for a full or failing disk, whatever wraps it."""
    try:
        yield
    except NwbswitchError:
        raise
    except Exception as error:
        number = _number(error)
        if number is None or (isinstance(error, OSError) and error.filename):
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _number(error: BaseException) -> int | None:
    seen: BaseException | None = error
    while seen is not None:
        number = seen.errno if isinstance(seen, OSError) else None
        # HDF5 states it in the text where h5py raises another type, as at closing.
        if number is None and (found := re.search(r"errno = (\d+)", str(seen))):
            number = int(found[1])
        if number in _OF_THE_DISK:
            return number
        seen = seen.__cause__ or seen.__context__
    return None
