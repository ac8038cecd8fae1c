"""What the disk said comes out of whatever wraps it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from nwbswitch.converters.writing.disk_errors import disk_errors
from nwbswitch.schemas.errors import InputFileError

OUT = Path("out.nwb")


def _wrapped(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "Can't write data"), errno.ENOSPC),
        (
            RuntimeError(f"Can't decrement id ref count (file write failed, errno = {errno.ENOSPC})"),
            errno.ENOSPC,
        ),
        (_wrapped(Exception("Could not create dataset"), OSError(errno.EIO, "failed")), errno.EIO),
    ],
)
def test_errors_of_the_disk_get_number_and_path(error, number):
    with pytest.raises(OSError, match=OUT.name) as caught, disk_errors(OUT):
        raise error
    assert caught.value.errno == number
    assert caught.value.filename == str(OUT)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left", "other.nwb"),
        OSError("no number"),
        OSError(errno.EAGAIN, "unable to lock file, errno = 11"),
        ValueError("a wrong argument"),
        _wrapped(InputFileError("in.tif", "is damaged."), OSError(errno.EIO, "failed")),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_pass_as_they_are(error):
    with pytest.raises(type(error)) as caught, disk_errors(OUT):
        raise error
    assert caught.value is error
