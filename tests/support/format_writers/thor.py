"""ThorImage folders: Experiment.xml, and the recording as TIFF files or as a raw file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
from format_writers.ome_tiff import block, ome_xml, pixels_xml, write_pages


def write_experiment(
    folder: Path,
    *,
    height: int,
    width: int,
    frames: int,
    channels: Sequence[str] = ("ChanA",),
    mask: int | None = None,
    steps: int = 1,
    flyback: int = 0,
    averaged: int = 1,
    rate_hz: float = 30.0,
    streaming: bool = True,
    timepoints: int = 1,
    interval_s: float = 0.0,
    status: str | None = "Complete",
    only_enabled: str | None = None,
    date: str = '<Date date="07/29/2026 12:52:07" uTime="1785297127" />',
    lsm: str = 'pixelSizeUM="2.93" widthUM="9.0" heightUM="10.0"',
) -> Path:
    """Write an Experiment.xml as ThorImage 3 and 4 do; settings of modes not in use keep odd values."""
    folder.mkdir(parents=True, exist_ok=True)
    mask = (1 << len(channels)) - 1 if mask is None else mask
    waves = "".join(f'<Wavelength name="{name}" exposureTimeMS="0" />' for name in channels)
    fast = int(streaming and steps > 1)
    stale_steps = steps if steps > 1 else 61 if streaming else 1
    raw = "" if only_enabled is None else f'<RawData onlyEnabledChannels="{only_enabled}" />'
    ended = "" if status is None else f'<ExperimentStatus value="{status}" />'
    text = f"""<?xml version="1.0"?>
<ThorImageExperiment>
  {date}
  <Software version="4.1.2020.6101" />
  <Modality name="Multiphoton" primaryDetectorType="1" />
  <Camera name="None" width="1392" height="1040" />
  <Wavelengths nyquistExWavelengthNM="0" nyquistEmWavelengthNM="0">{waves}<ChannelEnable Set="{mask}" />
  </Wavelengths>
  <ZStage name="ThorZPiezo" enable="1" steps="{stale_steps}" stepSizeUM="5" />
  <Timelapse timepoints="{timepoints}" intervalSec="{interval_s}" triggerMode="0" />
  <LSM name="ResonanceGalvo" pixelX="{width}" pixelY="{height}" channel="{mask}"
    averageMode="{int(averaged > 1)}" averageNum="{averaged if averaged > 1 else 10}"
    frameRate="{rate_hz}" {lsm} />
  <Streaming enable="{int(streaming)}" frames="{frames}" rawData="1" zFastEnable="{fast}" zFastMode="1"
    flybackFrames="{flyback if fast else 3}" previewIndex="1" />
  {raw}
  <CaptureMode mode="{int(streaming)}" />
  {ended}
</ThorImageExperiment>
"""
    (folder / "Experiment.xml").write_text(text, encoding="utf-8")
    return folder


def write_raw(folder: Path, stack: np.ndarray, *, name: str = "Image_0001_0001.raw") -> None:
    """Write a stack (frames, channels, height, width) as the raw file."""
    (folder / name).write_bytes(stack.astype("<u2").tobytes())


def write_tiffs(
    folder: Path, stack: np.ndarray, *, channels: Sequence[str] = ("ChanA",), delta_t: Sequence[float] = ()
) -> None:
    """Write a stack (time, plane, channel, height, width) as one file per image, and the previews."""
    for t, volume in enumerate(stack):
        for z, images in enumerate(volume):
            for name, image in zip(channels, images, strict=True):
                text = (
                    f'<?xml version="1.0"?><OME><Plane DeltaT="{delta_t[t]}" TheT="{t}"/></OME>'
                    if delta_t
                    else None
                )
                tifffile.imwrite(
                    folder / f"{name}_0001_0001_{z + 1:04d}_{t + 1:04d}.tif",
                    image,
                    description=text,
                    metadata=None,
                    photometric="minisblack",
                    compression="lzw",
                )
    for name in channels:
        preview = np.zeros((3, *stack.shape[3:]), np.uint16)
        tifffile.imwrite(folder / f"{name}_Preview.tif", preview, photometric="minisblack")


def write_container(folder: Path, stack: np.ndarray) -> None:
    """Write a stack (time, plane, channel, height, width) as the OME-TIFF of one region."""
    name = "Image_scan_1_region_0_0.tif"
    blocks = "".join(
        block(name, "urn:1", page=page, c=c, z=z, t=t)
        for page, (t, z, c) in enumerate(np.ndindex(*stack.shape[:3]))
    )
    text = ome_xml(pixels_xml(stack.shape, blocks=blocks, TimeIncrement="0"), own="urn:1")
    write_pages(folder / name, stack.reshape(-1, *stack.shape[3:]), text)
