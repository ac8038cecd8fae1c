"""Outlines kept beside the bytes of far files, so that a file that was read once is not opened again."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib

from pydantic_core import PydanticSerializationError

from nwbswitch.analysis.access.byte_cache import ByteCache
from nwbswitch.analysis.reading.outline import OUTLINE_VERSION, OUTLINES, Outline
from nwbswitch.analysis.reading.outline_checks import is_consistent
from nwbswitch.schemas.overrides import Override
from nwbswitch.schemas.version import __version__

MAX_JSON_BYTES = 512 << 20


def kept_outline(cache: ByteCache, identity: str, *, name: str, override: Override) -> Outline | None:
    """Return the outline that was kept, or None without one, or with one that is damaged or of old.

    Parameters
    ----------
    cache
        Where it was kept.
    identity
        Names one version of one file.
    name
        The source's name, which findings and names of animals and sessions may come from.
    override
        What was stated of it.
    """
    text = cache.text(identity, _entry(name, override))
    if text is None:
        return None
    try:
        unpack = zlib.decompressobj()
        json = unpack.decompress(base64.b64decode(text, validate=True), MAX_JSON_BYTES)
        outline = OUTLINES.validate_json(json) if unpack.eof else None
    except (ValueError, binascii.Error, zlib.error):
        return None
    if outline is None or outline.version != OUTLINE_VERSION or not is_consistent(outline):
        return None
    return outline


def keep_outline(cache: ByteCache, identity: str, outline: Outline, *, name: str, override: Override) -> None:
    """Keep an outline for `kept_outline`."""
    try:
        packed = zlib.compress(OUTLINES.dump_json(outline), 1)
    except PydanticSerializationError:
        # Names in the file are not UTF-8, which JSON cannot hold.
        return
    cache.keep_text(identity, _entry(name, override), base64.b64encode(packed).decode("ascii"))


def _entry(name: str, override: Override) -> str:
    """Return what an outline depends on besides the file."""
    facts = ("outline", str(OUTLINE_VERSION), __version__, override.digest, name)
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()
