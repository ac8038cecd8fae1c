"""Which requests bring many byte ranges: neighbours together, large ones in pieces, and cut again after."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from nwbswitch.analysis.access.byte_source import ByteRange
from nwbswitch.schemas.errors import InputFileError

GAP_BYTES = 64 << 10
"""Bytes between two ranges that cost less than another request."""
PIECE_BYTES = 8 << 20
"""Larger requests are split, so that several connections share them and a broken one loses little."""


def check_ranges(ranges: Sequence[ByteRange], *, size: int, name: str) -> None:
    """Refuse ranges that do not lie in a file of ``size`` bytes.

    Raises
    ------
    InputFileError
        Naming the file and the first range beyond its end.
    ValueError
        For negative numbers.
    """
    for offset, length in ranges:
        if offset < 0 or length < 0:
            raise ValueError(f"a byte range cannot begin at {offset} or have {length} bytes")
        if offset + length > size:
            raise InputFileError(
                name, f"ends early: bytes {offset} to {offset + length} are needed, it has {size}."
            )


def planned(
    ranges: Sequence[ByteRange], *, gap: int = GAP_BYTES, piece: int = PIECE_BYTES
) -> list[ByteRange]:
    """Return what to ask for, by offset and without overlap, such that every range is covered."""
    runs: list[list[int]] = []
    for offset, length in sorted(each for each in ranges if each[1]):
        if runs and offset <= runs[-1][1] + gap:
            runs[-1][1] = max(runs[-1][1], offset + length)
        else:
            runs.append([offset, offset + length])
    asked: list[ByteRange] = []
    for start, stop in runs:
        pieces = -(-(stop - start) // piece)
        edges = [start + (stop - start) * number // pieces for number in range(pieces + 1)]
        asked += [(begin, end - begin) for begin, end in pairwise(edges)]
    return asked


def cut(ranges: Sequence[ByteRange], asked: Sequence[ByteRange], found: Sequence[bytes]) -> list[bytes]:
    """Return the bytes of each range from the answers to what was `planned`."""
    starts = [offset for offset, _ in asked]
    parts: list[bytes] = []
    for offset, length in ranges:
        stop = offset + length
        pieces: list[bytes] = []
        place = bisect_right(starts, offset) - 1
        while offset < stop:
            start = starts[place]
            piece = found[place][offset - start : stop - start]
            pieces.append(piece)
            offset += len(piece)
            place += 1
        parts.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))
    return parts


def wasted(ranges: Sequence[ByteRange], asked: Sequence[ByteRange]) -> int:
    """Return how many bytes are asked for that no range needs."""
    needed = planned(ranges, gap=0, piece=max((length for _, length in asked), default=1))
    return sum(length for _, length in asked) - sum(length for _, length in needed)
