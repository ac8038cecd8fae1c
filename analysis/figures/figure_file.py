"""A figure as a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbswitch.schemas.errors import ExistingOutputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, path: Path, *, overwrite: bool) -> None:
    """Write a figure as its suffix says; the same figure may be there already.

    Raises
    ------
    ExistingOutputError
        If another one is there and ``overwrite`` is false.
    ValueError
        For a suffix other than .svg, .pdf and .png.
    """
    from tempfile import TemporaryDirectory

    import matplotlib as mpl

    from nwbswitch.schemas.files import replaced

    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("svg", "pdf", "png"):
        raise ValueError(f"{path.name} is no figure file; expected .svg, .pdf or .png.")
    # Without dates and random names the file of the same figure is the same.
    metadata: dict[str, Any] = {
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None},
        "png": {},
    }[kind]
    with TemporaryDirectory() as folder, mpl.rc_context({"svg.hashsalt": "nwbswitch", "pdf.fonttype": 42}):
        made = Path(folder) / "figure"
        figure.savefig(made, format=kind, metadata=metadata, dpi=200)
        content = made.read_bytes()
    if path.exists() and not overwrite and path.read_bytes() != content:
        raise ExistingOutputError(f"{path} is another figure. Choose another file or give --overwrite.")
    with replaced(path) as partial:
        partial.write_bytes(content)
