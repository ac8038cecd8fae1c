"""How a guard must refuse: with our error, naming the file, in a moment and without much memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

MAX_SECONDS = 2.0
"""Process time while memory is traced, which makes it up to four times as long."""
MAX_BYTES = 200_000_000


@contextmanager
def refusal(
    path: Path, words: str, error: type[InputFileError] = UnsafeFileError
) -> Iterator[pytest.ExceptionInfo[InputFileError]]:
    """Expect a refusal of ``path`` that says ``words`` and costs next to nothing."""
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(error, match=words) as raised:
            yield raised
        took = time.process_time() - began
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(raised.value).startswith(str(path))
    assert len(str(raised.value)) < 1000
    assert took < MAX_SECONDS
    assert peak < MAX_BYTES
