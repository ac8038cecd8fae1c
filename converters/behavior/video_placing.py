"""Where a video stands beside its NWB file, and how it gets there.

External files have paths relative to the NWB file, in a folder beside it: so both move together, `dandi
upload` takes them along, and no folder of the lab is named in the file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from nwbswitch.converters.behavior.signals import plain_name
from nwbswitch.schemas.errors import ExistingOutputError
from nwbswitch.schemas.files import replaced

if TYPE_CHECKING:
    from pynwb import NWBFile

Placing = Literal["link", "copy", "none"]
END_BYTES = 1 << 20


def external_names(nwbfile: NWBFile, key: str, paths: Sequence[Path]) -> tuple[PurePosixPath, ...]:
    """Return the paths of videos relative to the NWB file: ``sub-X_ses-Y_image/<key>.avi``."""
    subject = nwbfile.subject.subject_id if nwbfile.subject is not None else None
    entities = [
        f"{word}-{_part(each)}" for word, each in (("sub", subject), ("ses", nwbfile.session_id)) if each
    ]
    folder = PurePosixPath("_".join([*entities, "image"]))
    numbers = [""] if len(paths) == 1 else [f"_{number}" for number in range(len(paths))]
    return tuple(
        folder / f"{_part(key)}{number}{path.suffix.lower()}"
        for number, path in zip(numbers, paths, strict=True)
    )


def _part(name: str) -> str:
    return plain_name(name).replace("\\", "_").strip(".") or "_"


def place_video(source: Path, place: Path, how: Placing) -> None:
    """Bring a video to its place; one that is there already stays when it is the same.

    A link is a hard link, which costs no space and cannot dangle, or a symbolic one to another disk.

    Raises
    ------
    ExistingOutputError
        Another file is there.
    OSError
        The disk is full or takes no links.
    """
    if how == "none":
        return
    if place.exists():
        if place.samefile(source) or fingerprint(place) == fingerprint(source):
            return
        raise ExistingOutputError(
            f"{place} is there and is another video than {source}. Remove or rename it."
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    if how == "copy":
        with replaced(place) as partial:
            shutil.copyfile(source, partial)
        return
    place.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), place)
    except OSError:
        place.symlink_to(source.resolve())


def fingerprint(path: Path) -> tuple[int, str]:
    """Return the bytes of a file and the SHA-256 of its first and last MiB, which is quick for any length."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        ends = stream.read(END_BYTES)
        stream.seek(max(size - END_BYTES, len(ends)))
        ends += stream.read(END_BYTES)
    return size, sha256(ends).hexdigest()
