"""Prairie View TSeries folders: the XML of versions 5.2 to 5.8, and TIFF files of one or many pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

PERIOD_S = 0.05


def write_tseries(
    folder: Path,
    stack: np.ndarray,
    *,
    kind: str = "TSeries Timed Element",
    cycles: int = 1,
    many_pages: bool = False,
    names: Sequence[str] = ("Ch1", "Ch2"),
    resets: bool = False,
    gap_s: float = 0.0,
    times_s: Sequence[float] | None = None,
    date: str = "5/1/2023 2:30:05 PM",
    clock: str = "14:30:05.1234567",
    both_ways: bool = False,
    depths: Sequence[float] = (),
    with_times: bool = True,
) -> Path:
    """Write a stack (frames, channels, height, width) whose frames are divided among cycles.

    With ``both_ways`` every second cycle of a volumetric series is written in reverse order of depths.
    """
    folder.mkdir(parents=True)
    n, n_channels = stack.shape[:2]
    times = np.arange(n) * PERIOD_S if times_s is None else np.asarray(times_s, dtype=float)
    parts = np.array_split(np.arange(n), cycles)
    sequences, buffers = [], {}
    for cycle, part in enumerate(parts, 1):
        order = part[::-1] if both_ways and cycle % 2 == 0 else part
        frames = []
        for index, (row, at) in enumerate(zip(order, part, strict=True), 1):
            absolute = times[at] + gap_s * (cycle - 1) + 1.5
            relative = times[at] - times[part[0]] if resets else times[at] + gap_s * (cycle - 1)
            files = []
            for channel in range(n_channels):
                page = index if many_pages else 1
                name = (
                    f"{folder.name}_Cycle{cycle:05d}_Ch{channel + 1}_{1 if many_pages else index:06d}.ome.tif"
                )
                files.append(
                    f'<File channel="{channel + 1}" channelName="{names[channel]}" page="{page}" '
                    f'filename="{name}" />'
                )
                buffers.setdefault(name, []).append(stack[row, channel])
            stamps = f'relativeTime="{relative:.9f}" absoluteTime="{absolute:.9f}"' if with_times else ""
            frames.append(
                f'<Frame {stamps} index="{index}" parameterSet="CurrentSettings">{"".join(files)}'
                f'<ExtraParameters lastGoodFrame="0" />{_depth(depths, row - part[0])}</Frame>'
            )
        sequences.append(
            f'<Sequence type="{kind}" cycle="{cycle}" time="{clock}" bidirectionalZ="{both_ways}">'
            f"<MarkPoints /><PVStateShard />{''.join(frames)}</Sequence>"
        )
    for name, pages in buffers.items():
        tifffile.imwrite(folder / name, np.array(pages), photometric="minisblack", metadata=None)
    text = f"""<?xml version="1.0" encoding="utf-8"?>
<PVScan version="5.5.64.500" date="{date}" notes="&#x1;">
  <PVStateShard>
    <PVStateValue key="framePeriod" value="{PERIOD_S}" />
    <PVStateValue key="linesPerFrame" value="{stack.shape[2]}" />
    <PVStateValue key="micronsPerPixel">
      <IndexedValue index="XAxis" value="1.25" />
      <IndexedValue index="YAxis" value="1.5" />
      <IndexedValue index="ZAxis" value="5" />
    </PVStateValue>
  </PVStateShard>
  {"".join(sequences)}
</PVScan>
"""
    (folder / f"{folder.name}.xml").write_text(text, encoding="utf-8")
    (folder / f"{folder.name}.env").write_text('<Environment version="5.5.64.500" />', encoding="utf-8")
    return folder


def _depth(depths: Sequence[float], plane: int) -> str:
    if not len(depths):
        return "<PVStateShard />"
    return (
        '<PVStateShard><PVStateValue key="positionCurrent"><SubindexedValues index="ZAxis">'
        '<SubindexedValue subindex="0" value="-9" description="Focus" />'
        f'<SubindexedValue subindex="1" value="{depths[plane]}" description="Piezo" />'
        "</SubindexedValues></PVStateValue></PVStateShard>"
    )
