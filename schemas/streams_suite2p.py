"""Suite2p output, as a study file describes it."""

from __future__ import annotations

from typing import ClassVar, Literal

from nwbswitch.schemas.stream_base import RoiStream


class Suite2pFolder(RoiStream):
    """A Suite2p output folder: the one that holds plane0, or a plane folder itself."""

    folder_patterns: ClassVar[tuple[str, ...]] = ("**/*.npy",)

    format: Literal["suite2p"]
