"""Copies of files with a few bytes changed, cut or repeated, the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def mutated(original: bytes, count: int, *, seed: int) -> Iterator[bytes]:
    """Yield ``count`` damaged copies."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        copy = bytearray(original)
        kind = rng.integers(0, 6)
        at = int(rng.integers(0, len(copy)))
        length = int(rng.integers(1, 64))
        if kind <= 2:
            for place in rng.integers(0, len(copy), int(rng.integers(1, 9))):
                copy[place] ^= int(rng.integers(1, 256))
        elif kind == 3:
            copy[at : at + length] = bytes(min(length, len(copy) - at))
        elif kind == 4:
            source = int(rng.integers(0, len(copy) - length))
            copy[at : at + length] = copy[source : source + length][: len(copy) - at]
        else:
            del copy[at:]
        yield bytes(copy)
