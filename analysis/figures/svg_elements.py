"""A matplotlib figure as an ``<svg>`` element of a page, or as SVG and PDF files for a paper.

The element asks for nothing: no file, no network, no style sheet; text stays text in the page's own font.
Artists whose gid is made by `animal_gid` carry the attribute ``data-animal``, by which a page can point
them out in every figure at once.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, tostring

from nwbswitch.schemas.files import replaced
from nwbswitch.schemas.safe_text import safe_line
from nwbswitch.schemas.xml_guard import read_xml

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ANIMAL = "animal="
_NAMESPACE = re.compile(r"^\{[^}]*\}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_LONG_NUMBER = re.compile(r"(-?\d+\.\d\d)\d+")
"""A hundredth of a point is finer than any print."""
_FONT_SIZE = re.compile(r"([\d.]+)px")
# What matplotlib writes as style and SVG knows as attributes; attributes need no leave of a page's policy.
_PRESENTATION = frozenset(
    {
        "fill",
        "fill-opacity",
        "font-size",
        "font-style",
        "font-weight",
        "opacity",
        "stroke",
        "stroke-dasharray",
        "stroke-dashoffset",
        "stroke-linecap",
        "stroke-linejoin",
        "stroke-miterlimit",
        "stroke-opacity",
        "stroke-width",
        "text-anchor",
    }
)


def animal_gid(animal: str) -> str:
    """Return the gid of an artist that shows one animal."""
    return _ANIMAL + safe_line(animal)


def short_name(name: str, length: int = 26) -> str:
    """Return a name in one line that fits a figure: of a long one the beginning and the end."""
    line = safe_line(name)
    if len(line) <= length:
        return line
    end = length // 3
    return f"{line[: length - end - 1]}…{line[-end:]}"


@contextmanager
def plain_text() -> Iterator[None]:
    """Make matplotlib show text as it is written: a ``$`` in a name starts no formula."""
    import matplotlib as mpl

    with mpl.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def svg(figure: Figure, *, description: str, name: str = "figure") -> str:
    """Return a figure as an ``<svg>`` element with a text alternative.

    Parameters
    ----------
    figure
        The figure.
    description
        What it shows, for those who do not see it.
    name
        Prefix of identifiers inside the element, unique within the page; letters, digits and ``_``.
    """
    buffer = io.BytesIO()
    _save(figure, buffer, "svg")
    data = buffer.getvalue()
    root = read_xml(data[data.index(b"<svg") :], name=name)
    _clean(root, name)
    width, height = figure.get_size_inches() * 72
    root.attrib.clear()
    root.attrib.update(
        {
            "role": "img",
            "aria-label": safe_line(description),
            "viewBox": f"0 0 {width:g} {height:g}",
            "width": f"{width * 4 / 3:.0f}",
            "height": f"{height * 4 / 3:.0f}",
        }
    )
    return tostring(root, encoding="unicode")


def write_figure(figure: Figure, folder: Path | str, name: str) -> tuple[Path, Path]:
    """Write a figure as ``name.svg`` and ``name.pdf`` with text as text; return both paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}.svg", folder / f"{name}.pdf"
    for path in paths:
        with replaced(path) as partial:
            _save(figure, partial, path.suffix[1:])
    return paths


def _save(figure: Figure, target: io.BytesIO | Path, kind: str) -> None:
    import matplotlib as mpl

    # An empty date keeps files of the same figure the same.
    dated = {"Date": None, "Creator": None} if kind == "svg" else {"CreationDate": None}
    settings = mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nwbswitch", "pdf.fonttype": 42})
    with settings, plain_text():
        figure.savefig(target, format=kind, metadata=dated)


def _clean(root: Element, name: str) -> None:
    """Take out what a page does not need, and make what is left safe to stand beside other figures."""
    used = {each: f"{name}-{place}" for place, each in enumerate(sorted(_references(root)))}
    for parent in list(root.iter()):
        for child in list(parent):
            if _NAMESPACE.sub("", str(child.tag)) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = _NAMESPACE.sub("", str(element.tag))
        kept = {}
        for key, value in element.attrib.items():
            match _NAMESPACE.sub("", key):
                case "id" if value.startswith(_ANIMAL):
                    kept["data-animal"] = value.removeprefix(_ANIMAL)
                case "id":
                    if value in used:
                        kept["id"] = used[value]
                case "href" if value.startswith("#"):
                    kept["href"] = f"#{used[value[1:]]}"
                case "style":
                    kept.update(_attributes(value))
                case "clip-path":
                    kept["clip-path"] = _REFERENCE.sub(lambda found: f"url(#{used[found[1]]})", value)
                case ("d" | "x" | "y") as drawn:
                    kept[drawn] = _LONG_NUMBER.sub(r"\1", value).strip()
                case plain:
                    kept[plain] = value
        element.attrib.clear()
        element.attrib.update(kept)
        if element.text is not None and not element.text.strip():
            element.text = None
        element.tail = None


def _references(root: Element) -> set[str]:
    found = set()
    for element in root.iter():
        for key, value in element.attrib.items():
            if key.endswith("href"):
                found.add(value.removeprefix("#"))
            elif key == "clip-path":
                found.update(_REFERENCE.findall(value))
    return found


def _attributes(style: str) -> dict[str, str]:
    found = {}
    for part in style.split(";"):
        key, _, value = (piece.strip() for piece in part.partition(":"))
        if key == "font":
            if size := _FONT_SIZE.search(value):
                found["font-size"] = size[1]
            if "bold" in value or re.search(r"\b[67]00\b", value):
                found["font-weight"] = "600"
        elif key == "font-size":
            found["font-size"] = value.removesuffix("px")
        elif key in _PRESENTATION:
            found[key] = value
    return found
