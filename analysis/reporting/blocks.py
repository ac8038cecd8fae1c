"""What a page is made of: sections of paragraphs, lists, figures and tables, in plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nwbswitch.analysis.figures.svg_elements import svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    tone: str = ""
    """``soft``, ``bad`` or ``code``; plain when empty."""
    kind: ClassVar[str] = "text"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading inside a section."""

    text: str
    note: str = ""
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: Sequence[str]
    tone: str = ""
    kind: ClassVar[str] = "bullets"


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with its words.

    Attributes
    ----------
    name
        Of its files and identifiers, unique within the page: letters, digits and ``_``.
    figure
        The matplotlib figure.
    description
        What it shows, for those who do not see it.
    caption
        What stands under it.
    cell_type
        The type of neuron it shows, by which it can be hidden; empty for what always shows.
    wide
        Whether it keeps its size on a narrow screen, where it is moved sideways inside its frame.
    """

    name: str
    figure: Figure
    description: str
    caption: str = ""
    cell_type: str = ""
    wide: bool = False

    @property
    def svg(self) -> str:
        """The figure as an element of the page."""
        return svg(self.figure, description=self.description, name=self.name)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Figures beside each other."""

    pictures: Sequence[Picture]
    kind: ClassVar[str] = "pictures"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first ``n_words`` columns hold words, the others numbers. The first names the row."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_words: int = 1
    tones: Sequence[str] = ()
    """The tone of the row's last word: ``passed``, ``failed``, ``open`` or nothing; one per row, or none."""
    cell_type: str = ""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True, slots=True)
class Code:
    """Text as it is, in a fixed pitch."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True, slots=True)
class Link:
    """A file to take away, held in the page itself, or another page beside this one."""

    name: str
    words: str
    address: str
    held: bool = True
    """Whether the page itself holds it."""


@dataclass(frozen=True, slots=True)
class Links:
    """Files to take away, or pages to go to."""

    links: Sequence[Link]
    kind: ClassVar[str] = "links"


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks behind a line that opens them."""

    title: str
    blocks: Sequence[Block]
    kind: ClassVar[str] = "folded"


Block = Text | Heading | Bullets | Pictures | Table | Code | Links | Folded


@dataclass(frozen=True, slots=True)
class Section:
    """A folded part of the page.

    Attributes
    ----------
    key
        Its identifier in addresses.
    title
        Its heading.
    gist
        What it says, in a few words beside the heading.
    blocks
        What is in it.
    """

    key: str
    title: str
    gist: str
    blocks: Sequence[Block]


def pictures_in(blocks: Sequence[Block]) -> list[Picture]:
    """Return all figures of blocks, those of folded ones too."""
    found: list[Picture] = []
    for block in blocks:
        if isinstance(block, Pictures):
            found += block.pictures
        elif isinstance(block, Folded):
            found += pictures_in(block.blocks)
    return found


def figure_name(*parts: str) -> str:
    """Return parts as the name of a figure's files: letters, digits and ``_``."""
    joined = "_".join(parts).lower()
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in joined)
