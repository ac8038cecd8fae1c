"""The pages of one TIFF file as images of one size and type, read by number."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.imaging.movie import MAX_FRAME_BYTES
from nwbswitch.converters.imaging.open_files import OpenFiles
from nwbswitch.converters.imaging.raw_frames import open_raw, read_into
from nwbswitch.converters.imaging.tiff_directory import IN_PIECES, Note, PageLayout, read_page_table
from nwbswitch.converters.imaging.tiff_layout import check_grey, form, in_words, is_plain, stored_dtype
from nwbswitch.schemas.errors import InputFileError, MissingExtraError, NwbswitchError, UnsafeFileError
from nwbswitch.schemas.tiff_tags import DESCRIPTION, Directory, read_directory

if TYPE_CHECKING:
    import tifffile

# zlib cannot compress by more than 1032:1 (RFC 1951), LZW by about 1400:1.
MAX_COMPRESSION_RATIO = 2000

_STRIP_OFFSETS, _STRIP_BYTES = 273, 279


class _Handle:
    """An open file, and what tifffile makes of it where pixels must be decoded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stream = open_raw(path)
        self._tiff: tifffile.TiffFile | None = None

    @property
    def tiff(self) -> tifffile.TiffFile:
        if self._tiff is None:
            import tifffile

            # The flags keep tifffile from reading all pages, and from parsing XML.
            self._tiff = tifffile.TiffFile(
                self.path, is_scanimage=False, is_lsm=False, is_ome=False, is_ndpi=False
            )
        return self._tiff

    def close(self) -> None:
        self.stream.close()
        if self._tiff is not None:
            self._tiff.close()


_OPEN: OpenFiles[_Handle] = OpenFiles()


class TiffPages:
    """The pages of a file; no file stays open for longer than others need the room.

    Parameters
    ----------
    path
        TIFF or BigTIFF.
    note
        Called with the beginning (2 kB) of the description of each page, in order.

    Attributes
    ----------
    n_pages, height, width, dtype
        Number and shape of the pages; dtype of what is read, in the byte order of this machine.

    Raises
    ------
    InputFileError
        Saying what is odd about the file: no pages, colour, pages of different shape, missing bytes.
    UnsafeFileError
        The file declares pages that its bytes cannot hold.
    """

    def __init__(self, path: Path, *, note: Note | None = None) -> None:
        self.path = Path(path)
        try:
            with reading(self.path, step="open it"):
                self.size = self.path.stat().st_size
                self.table = read_page_table(self.path, self._handle().stream, note=note)
            self.n_pages = len(self.table)
            layout = self._common_layout()
            self._nbytes = layout.nbytes
            self._plain = np.array([is_plain(each) for each in self.table.layouts])
            if stored_dtype(layout) is None or not self._plain.all():
                self.height, self.width, self._stored = self._as_tifffile_sees_it()
            else:
                self.height, self.width = layout.height, layout.width
                self._stored = np.dtype(stored_dtype(layout))
                self._check_size(1, layout.nbytes, self.size)
            self._check_ends()
        except BaseException:
            self.close()
            raise
        # NWB has no 16-bit floating-point numbers; 32 bits hold all their values.
        self.dtype = np.dtype(np.float32) if self._stored == np.float16 else self._stored
        self._foreign = self._stored.itemsize > 1 and (self.table.form.order == "<") != (
            sys.byteorder == "little"
        )

    def _common_layout(self) -> PageLayout:
        first = self.table.layouts[0]
        for kind, each in enumerate(self.table.layouts):
            number = int(np.argmax(self.table.kinds == kind)) + 1
            check_grey(self.path, number, each)
            if form(each) != form(first):
                raise InputFileError(
                    self.path,
                    f"its {self.n_pages} pages differ in shape or type: page {number} is {in_words(each)}, "
                    f"page 1 {in_words(first)}.",
                    "A movie needs equal pages; split the file.",
                )
        return first

    def _as_tifffile_sees_it(self) -> tuple[int, int, np.dtype[Any]]:
        for number in {0, self.n_pages - 1}:
            with reading(self.path, step=f"read page {number + 1}"):
                page = self._page(number)
                self._check_page(page, number)
        return int(page.shape[0]), int(page.shape[1]), np.dtype(page.dtype).newbyteorder("=")

    def _check_ends(self) -> None:
        """Refuse a page in one piece whose bytes are not there, or too few."""
        one = self.table.starts != IN_PIECES
        ends = self.table.starts + self.table.sizes
        short = one & ((ends > self.size) | (self.table.starts < 0) | (self.table.sizes < 0))
        if short.any():
            self._refuse_short(int(np.argmax(short)), int(ends[np.argmax(short)]))
        few = one & self._plain[self.table.kinds] & (self.table.sizes < self._nbytes)
        if few.any():
            number = int(np.argmax(few))
            raise InputFileError(
                self.path,
                f"page {number + 1} needs {self._nbytes} bytes but states {self.table.sizes[number]}.",
                "Copy or export it again.",
            )
        if self._plain[self.table.kinds[-1]] and self.table.starts[-1] == IN_PIECES:
            self._start(self._handle(), self.n_pages - 1)

    def _refuse_short(self, number: int, end: int) -> None:
        raise InputFileError(
            self.path,
            f"page {number + 1} is cut short: it ends at byte {end}, the file at {self.size}.",
            "Copy or export it again.",
        )

    def _handle(self) -> _Handle:
        return _OPEN.get(self, lambda: _Handle(self.path))

    def read(
        self, numbers: Sequence[int] | NDArray[Any], *, rows: tuple[int, int] | None = None
    ) -> NDArray[Any]:
        """Return pages by number, counted from 0, as an array (pages, height, width).

        With ``rows`` only those from the first to before the second are read: (pages, rows, width).

        Raises
        ------
        InputFileError
            Naming the page that cannot be read.
        """
        wanted = np.asarray(numbers, dtype=np.int64)
        top, bottom = (0, self.height) if rows is None else rows
        pages: NDArray[Any] = np.empty((len(wanted), bottom - top, self.width), self._stored)
        if pages.size:
            self._read(wanted, pages, whole=rows is None, top=top)
        return pages.astype(self.dtype, copy=False)

    def _read(self, wanted: NDArray[Any], pages: NDArray[Any], *, whole: bool, top: int) -> None:
        handle = self._handle()
        skipped = top * self.width * self._stored.itemsize
        plain = self._plain[self.table.kinds[wanted]]
        starts = self.table.starts[wanted]
        together = whole and plain.all() and (starts != IN_PIECES).all()
        if together and (np.diff(starts) == self._nbytes).all():
            self._fill(handle.stream, int(starts[0]), pages)
            return
        for place, (number, start, as_stored) in enumerate(
            zip(wanted.tolist(), starts.tolist(), plain.tolist(), strict=True)
        ):
            if as_stored and start == IN_PIECES:
                start = self._start(handle, number)
            if as_stored and start != IN_PIECES:
                self._fill(handle.stream, start + skipped, pages[place])
            else:
                pages[place] = self._decoded(number)[top : top + pages.shape[1]]

    def _fill(self, stream: FileIO, start: int, target: NDArray[Any]) -> None:
        """Read ``target`` from ``start`` on, as it is stored."""
        read_into(stream, self.path, start, target.reshape(-1))
        if self._foreign:
            target.byteswap(inplace=True)

    def _start(self, handle: _Handle, number: int) -> int:
        """Return where the strips of a page begin if they follow each other without gaps."""
        with reading(self.path, step=f"read page {number + 1}"):
            tags = self._directory(handle.stream, number)
            offsets = tags.numbers(handle.stream, _STRIP_OFFSETS)
            counts = tags.numbers(handle.stream, _STRIP_BYTES)
            if not len(offsets) or len(offsets) != len(counts):
                return IN_PIECES
            if (offsets[1:] != (offsets + counts)[:-1]).any():
                return IN_PIECES
            if int(counts.sum()) < self._nbytes:
                raise InputFileError(
                    self.path,
                    f"page {number + 1} needs {self._nbytes} bytes but states {counts.sum()}.",
                    "Copy or export it again.",
                )
            if int(offsets[0]) + self._nbytes > self.size:
                self._refuse_short(number, int(offsets[0]) + self._nbytes)
            return int(offsets[0])

    def _decoded(self, number: int) -> NDArray[Any]:
        with reading(self.path, step=f"read page {number + 1}"):
            page = self._page(number)
            self._check_page(page, number)
            image: NDArray[Any] = page.asarray()
        if image.shape != (self.height, self.width) or image.dtype.newbyteorder("=") != self._stored:
            raise InputFileError(
                self.path,
                f"page {number + 1} is {image.shape} {image.dtype}, page 1 {(self.height, self.width)} "
                f"{self._stored}.",
                "A movie needs equal pages; split the file.",
            )
        return image

    def _page(self, number: int) -> Any:
        import tifffile

        tiff = self._handle().tiff
        tiff.filehandle.seek(int(self.table.directories[number]))
        return tifffile.TiffPage(tiff, index=number)

    def _check_page(self, page: Any, number: int) -> None:
        """Refuse a page that tifffile cannot decode, or whose bytes are not there."""
        name = f"page {number + 1}"
        if page.dtype is None or page.dtype.kind not in "uif" or page.bitspersample == 1:
            raise InputFileError(
                self.path,
                f"{name} has {page.bitspersample} bits per pixel, which is no number that NWB stores.",
                "Export it with 8, 16 or 32 bits.",
            )
        if len(page.shape) != 2 or 0 in page.shape:
            raise InputFileError(
                self.path, f"{name} has the shape {page.shape}.", "A movie has images of one channel."
            )
        stored = sum(page.databytecounts)
        end = max((a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)
        if end > self.size:
            self._refuse_short(number, end)
        self._check_size(number + 1, page.nbytes, stored)

    def _check_size(self, number: int, declared: int, stored: int) -> None:
        if declared > MAX_FRAME_BYTES or declared > MAX_COMPRESSION_RATIO * max(stored, 1):
            raise UnsafeFileError(
                self.path,
                f"page {number} declares {declared} bytes out of {stored} stored ones.",
                f"At most {MAX_FRAME_BYTES} bytes per frame are read.",
            )

    def text(self, number: int = 0, *, code: int = DESCRIPTION) -> bytes:
        """Return a text tag of a page, by default its description; b"" where there is none."""
        with reading(self.path, step=f"read page {number + 1}"):
            stream = self._handle().stream
            tags = self._directory(stream, number)
            return tags.text(stream, code)

    def has(self, code: int) -> bool:
        """Return whether the first page has a tag."""
        return self.count(code) > 0

    def count(self, code: int) -> int:
        """Return how many values a tag of the first page has; 0 when it is absent."""
        with reading(self.path, step="read page 1"):
            return self._directory(self._handle().stream, 0).count(code)

    def spread(self, n_images: int) -> None:
        """Take the bytes behind the start of the only page as ``n_images`` images without gaps.

        ImageJ beyond 4 GB and MetaMorph keep their images so.

        Raises
        ------
        InputFileError
            When they are not there.
        """
        if n_images == self.n_pages:
            return
        start = int(self.table.starts[0])
        if self._plain[0] and start == IN_PIECES:
            start = self._start(self._handle(), 0)
        needed = start + n_images * self._nbytes
        if not self._plain[0] or start == IN_PIECES or needed > self.size:
            raise InputFileError(
                self.path,
                f"its description promises {n_images} images, but it holds 1 page and {self.size} bytes.",
                "The file may be cut short; copy or export it again.",
            )
        each = np.arange(n_images, dtype=np.int64)
        self.table = replace(
            self.table,
            directories=np.broadcast_to(self.table.directories, n_images),
            starts=start + each * self._nbytes,
            sizes=np.full(n_images, self._nbytes),
            kinds=np.zeros(n_images, np.uint16),
        )
        self.n_pages = n_images

    def _directory(self, stream: FileIO, number: int) -> Directory:
        position = int(self.table.directories[number])
        return read_directory(self.path, stream, self.table.form, position, page=number + 1)

    def close(self) -> None:
        """Close the file; reading opens it again."""
        _OPEN.close(self)


@contextmanager
def reading(path: Path, *, step: str) -> Iterator[None]:
    """Turn whatever reading an odd file raises into an error that names the file; tifffile logs nothing."""
    logger = logging.getLogger("tifffile")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    except NwbswitchError:
        raise
    except MemoryError as error:
        raise UnsafeFileError(path, f"could not {step}: not enough memory.") from error
    except OSError as error:
        raise InputFileError(path, f"could not {step}: {error.strerror or error}.") from error
    except Exception as error:
        remedy = "Open it in ImageJ to see whether it is damaged."
        if "requires the 'imagecodecs'" in str(error):
            if find_spec("imagecodecs") is None:
                raise MissingExtraError("imagecodecs", "convert") from error
            remedy = "Export it without compression."
        raise InputFileError(path, f"could not {step}: {str(error)[:200]}.", remedy) from error
    finally:
        logger.disabled = was_disabled
