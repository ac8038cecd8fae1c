"""What the directory of a TIFF page says about its pixels."""

from __future__ import annotations

from pathlib import Path

from nwbswitch.converters.imaging.tiff_directory import PageLayout
from nwbswitch.schemas.errors import InputFileError

_GREY = (0, 1)
_KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}
"""Kind of number by SampleFormat; 4 is undefined, which all readers take for unsigned."""
_WIDTHS = {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}


def form(layout: PageLayout) -> tuple[int, ...]:
    """Return what the pages of a movie have in common."""
    return (
        layout.height,
        layout.width,
        layout.bits,
        layout.samples,
        layout.photometric,
        layout.sample_format,
    )


def in_words(layout: PageLayout) -> str:
    """Return shape and bits as an error names them."""
    return f"{layout.height}x{layout.width} of {layout.bits} bits"


def stored_dtype(layout: PageLayout) -> str | None:
    """Return the numpy dtype of a page's numbers; None when numpy has none."""
    kind = _KINDS.get(layout.sample_format, "")
    return f"{kind}{layout.bits // 8}" if layout.bits in _WIDTHS.get(kind, ()) else None


def is_plain(layout: PageLayout) -> bool:
    """Return whether the bytes of a page are its pixels."""
    return (
        layout.compression == 1
        and layout.fill_order == 1
        and not layout.tile_width
        and layout.predictor == 1
        and stored_dtype(layout) is not None
    )


def check_grey(path: Path, number: int, layout: PageLayout) -> None:
    """Raise InputFileError unless a page holds one grey value per pixel."""
    if layout.samples != 1:
        raise InputFileError(
            path,
            f"page {number} has {layout.samples} samples per pixel (colour or alpha).",
            "A calcium movie has one; export it as grey values.",
        )
    if layout.photometric not in _GREY:
        import tifffile

        try:
            name = tifffile.PHOTOMETRIC(layout.photometric).name.lower()
        except ValueError:
            name = f"unknown ({layout.photometric})"
        raise InputFileError(
            path,
            f"page {number} holds {name} colours.",
            "Export it as grey values (ImageJ: Image > Lookup Tables > Grays).",
        )
    if not layout.width or not layout.height:
        raise InputFileError(
            path, f"page {number} is empty ({layout.height}x{layout.width}).", "Export the movie again."
        )
