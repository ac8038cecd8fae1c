"""OME-TIFF sets as microscopes write them: one file, several files, with a companion, or of Micro-Manager."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def pixels_xml(
    shape: tuple[int, int, int, int, int],
    *,
    blocks: str,
    planes: str = "",
    channels: Sequence[str] = (),
    **attributes: str,
) -> str:
    """Return a Pixels element for images of ``shape`` (T, Z, C, Y, X)."""
    n_t, n_z, n_c, height, width = shape
    sizes = f'SizeT="{n_t}" SizeZ="{n_z}" SizeC="{n_c}" SizeY="{height}" SizeX="{width}"'
    more = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    names = "".join(
        f'<Channel ID="Channel:0:{n}" SamplesPerPixel="1" Name="{name}"/>' for n, name in enumerate(channels)
    )
    order = "" if "DimensionOrder" in attributes else 'DimensionOrder="XYCZT"'
    return f'<Pixels ID="Pixels:0" {order} Type="uint16" {sizes} {more}>{names}{blocks}{planes}</Pixels>'


def ome_xml(*images: str, own: str = "", date: str = "2023-05-01T10:00:00", head: str = "") -> str:
    """Return OME-XML around Pixels elements."""
    body = "".join(
        f'<Image ID="Image:{n}" Name="Pos{n}"><AcquisitionDate>{date}</AcquisitionDate>{pixels}</Image>'
        for n, pixels in enumerate(images)
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>{head}<OME xmlns="{NAMESPACE}" UUID="{own}">{body}</OME>'


def block(
    file: str,
    identity: str,
    *,
    page: int | None = 0,
    count: int | None = 1,
    c: int = 0,
    z: int = 0,
    t: int = 0,
) -> str:
    """Return a TiffData element."""
    place = "" if page is None else f'IFD="{page}" '
    place += "" if count is None else f'PlaneCount="{count}"'
    named = f'<UUID FileName="{file}">{identity}</UUID>' if file else ""
    return f'<TiffData FirstC="{c}" FirstZ="{z}" FirstT="{t}" {place}>{named}</TiffData>'


def write_pages(path: Path, pages: np.ndarray, text: str, *, tags: Sequence[str] = ()) -> None:
    """Write pages (n, height, width) with a description in the first and JSON of Micro-Manager in each."""
    with tifffile.TiffWriter(path) as writer:
        for number, page in enumerate(pages):
            extra = [(51123, 2, 0, tags[number], True)] if tags else []
            writer.write(
                page,
                description=text.encode() if number == 0 else None,
                metadata=None,
                contiguous=False,
                photometric="minisblack",
                extratags=extra,
                software=False,
            )


def write_set(
    folder: Path, stack: np.ndarray, *, files: int = 2, delta_t: Sequence[float] = (), **attributes: str
) -> list[Path]:
    """Write a stack (T, Z, C, Y, X) as a set of files, each with some of the time points."""
    names = [f"m_{number}.ome.tif" for number in range(files)]
    ids = [f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}" for name in names]
    parts = np.array_split(np.arange(len(stack)), files)
    per_time = stack.shape[1] * stack.shape[2]
    blocks = "".join(
        block(name, identity, count=len(part) * per_time, t=int(part[0]))
        for name, identity, part in zip(names, ids, parts, strict=True)
    )
    planes = "".join(
        f'<Plane TheC="{c}" TheZ="0" TheT="{t}" DeltaT="{value}"/>'
        for t, value in enumerate(delta_t)
        for c in range(stack.shape[2])
    )
    pixels = pixels_xml(stack.shape, blocks=blocks, planes=planes, **attributes)
    paths = []
    for name, identity, part in zip(names, ids, parts, strict=True):
        pages = stack[part].reshape(-1, *stack.shape[3:])
        write_pages(folder / name, pages, ome_xml(pixels, own=identity))
        paths.append(folder / name)
    return paths


def write_micro_manager(folder: Path, stack: np.ndarray, *, interval_ms: float = 50.0) -> Path:
    """Write a stack (T, Y, X) as Micro-Manager does: page metadata in each page, no times in its OME-XML."""
    path = folder / "m_MMStack_Pos0.ome.tif"
    identity = "urn:uuid:0b8c4b6f-0000-4000-8000-000000000001"
    shape = (len(stack), 1, 1, *stack.shape[1:])
    blocks = "".join(block(path.name, identity, page=t, t=t) for t in range(len(stack)))
    text = ome_xml(
        pixels_xml(shape, blocks=blocks, channels=["GFP"], TimeIncrement="0", TimeIncrementUnit="ms"),
        own=identity,
        date="2023-05-01 10:00:00.250 +0200",
    )
    tags = [json.dumps({"ElapsedTime-ms": 7 + interval_ms * t, "Frame": t}) for t in range(len(stack))]
    write_pages(path, stack, text, tags=tags)
    return path
