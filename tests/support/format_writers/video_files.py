"""Small AVI and MP4 files whose frames are a few bytes each: nothing to see, but the tables are real."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a RIFF chunk."""
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def riff_list(kind: bytes, data: bytes, name: bytes = b"LIST") -> bytes:
    """Return a RIFF list."""
    return chunk(name, kind + data)


def write_avi(
    path: Path,
    sizes: Sequence[int],
    *,
    rate: tuple[int, int] = (30, 1),
    stated: int | None = None,
    index: bool = True,
    absolute: bool = False,
    large: int | None = None,
) -> Path:
    """Write an AVI with frames of these sizes, and a track of sound.

    ``stated`` is the number of frames in the header. With ``large`` the frames are in segments of that many,
    as OpenDML has them.
    """
    n = len(sizes) if stated is None else stated
    segments = (
        [list(sizes)]
        if large is None
        else [list(sizes[at : at + large]) for at in range(0, len(sizes), large)]
    )
    avih = struct.pack("<10I16x", 33333, 0, 0, 16, n if large is None else len(segments[0]), 0, 2, 0, 64, 48)
    strh = struct.pack("<4s4s10I8x", b"vids", b"MJPG", 0, 0, 0, rate[1], rate[0], 0, n, 0, 0, 0)
    strf = struct.pack("<IiiHH4s20x", 40, 64, 48, 1, 24, b"MJPG")
    sound = riff_list(b"strl", chunk(b"strh", struct.pack("<4s44x", b"auds").ljust(56, b"\0")))

    def header(indx: bytes) -> bytes:
        odml = riff_list(b"odml", chunk(b"dmlh", struct.pack("<I", n))) if large else b""
        strl = riff_list(b"strl", chunk(b"strh", strh) + chunk(b"strf", strf) + indx)
        return riff_list(b"hdrl", chunk(b"avih", avih) + sound + strl + odml)

    def super_index(parts: Sequence[tuple[int, int, int]]) -> bytes:
        body = struct.pack("<HBBI4s12x", 4, 0, 0, len(parts), b"01dc")
        return chunk(b"indx", body + b"".join(struct.pack("<QII", *part) for part in parts))

    if large is None:
        data, rows = b"", b""
        start = 12 + len(header(b"")) + 8
        for size in sizes:
            place = 4 + len(data) + (start if absolute else 0)
            rows += struct.pack("<4sIII", b"01dc", 16, place, size)
            data += chunk(b"01dc", b"x" * size) + chunk(b"00wb", b"sound")
            rows += struct.pack("<4sIII", b"00wb", 16, place, 5)
        body = header(b"") + riff_list(b"movi", data) + (chunk(b"idx1", rows) if index else b"")
        path.write_bytes(riff_list(b"AVI ", body, b"RIFF"))
        return path
    out, parts = b"", []
    head = header(super_index([(0, 0, 0)] * len(segments)))
    for number, part in enumerate(segments):
        lead = 12 + (len(head) if not number else 0) + 12
        base, at, entries, data = len(out) + lead, 0, b"", b""
        for size in part:
            entries += struct.pack("<II", at + 8, size)
            data += chunk(b"01dc", b"x" * size)
            at = len(data)
        ix = chunk(b"ix01", struct.pack("<HBBI4sQI", 2, 0, 1, len(part), b"01dc", base, 0) + entries)
        parts.append((base + len(data), len(ix), len(part)))
        body = riff_list(b"movi", data + ix)
        out += riff_list(b"AVIX" if number else b"AVI ", (b"" if number else head) + body, b"RIFF")
    out = out.replace(super_index([(0, 0, 0)] * len(segments)), super_index(parts))
    path.write_bytes(out)
    return path


def box(name: bytes, data: bytes) -> bytes:
    """Return a box of an MP4 file."""
    return struct.pack(">I4s", 8 + len(data), name) + data


def table(name: bytes, rows: Sequence[Sequence[int]], form: str, before: bytes = b"") -> bytes:
    """Return a box with a table."""
    body = b"".join(struct.pack(form, *row) for row in rows)
    return box(name, b"\0" * 4 + before + struct.pack(">I", len(rows)) + body)


def write_mp4(
    path: Path,
    sizes: Sequence[int],
    *,
    timescale: int = 12800,
    durations: Sequence[int] | None = None,
    shifts: Sequence[int] | None = None,
    start: int | None = None,
    per_chunk: int = 7,
    fragments: bool = False,
    tables: bool = True,
) -> Path:
    """Write an MP4 with frames of these sizes.

    ``durations`` and ``shifts`` are of each frame in units of ``timescale``; ``start`` is that of the edit
    list.
    """
    n = len(sizes)
    durations = [512] * n if durations is None else durations
    head = box(b"ftyp", b"isom\0\0\2\0isomiso2mp41")
    places, at = [], len(head) + 8
    for first in range(0, n, per_chunk):
        places.append([at])
        at += sum(sizes[first : first + per_chunk])
    full, rest = divmod(n, per_chunk)
    runs = [[1, per_chunk, 1]] * bool(full) + [[full + 1, rest, 1]] * bool(rest)
    entry = struct.pack(">I4s6xH16xHH50x", 86, b"avc1", 1, 64, 48)
    stbl = box(b"stsd", b"\0" * 4 + struct.pack(">I", 1) + entry)
    stbl += table(b"stts", [[1, each] for each in durations], ">II")
    if shifts is not None:
        stbl += table(b"ctts", [[1, each] for each in shifts], ">Ii")
    stbl += table(b"stsc", runs, ">III") + table(b"stsz", [[each] for each in sizes], ">I", b"\0" * 4)
    stbl += table(b"stco", places, ">I")
    mdhd = box(b"mdhd", struct.pack(">4x8xII4x", timescale, sum(durations)))
    hdlr = box(b"hdlr", b"\0" * 8 + b"vide" + b"\0" * 13)
    edits = b"" if start is None else box(b"edts", table(b"elst", [[sum(durations), start, 0x10000]], ">Iii"))
    trak = box(
        b"trak",
        box(b"tkhd", b"\0" * 84) + edits + box(b"mdia", mdhd + hdlr + box(b"minf", box(b"stbl", stbl))),
    )
    moov = box(b"moov", box(b"mvhd", b"\0" * 100) + trak + (box(b"mvex", b"") if fragments else b""))
    path.write_bytes(head + box(b"mdat", b"x" * sum(sizes)) + (moov if tables else b""))
    return path
