"""Outlines in the cache that were changed by hand: made anew or refused, never followed into a crash."""

from __future__ import annotations

import base64
import json
import random
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_recording import MEASURED_BLOCK_S, small_recording, stamped

from nwbswitch.analysis.access.byte_cache import ByteCache
from nwbswitch.analysis.activity.plane import measure_plane
from nwbswitch.analysis.activity.points import measure_points
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.reading.outline import OUTLINES
from nwbswitch.analysis.reading.outline_cache import _entry, kept_outline
from nwbswitch.analysis.reading.recording import identity_of, open_recording
from nwbswitch.analysis.sources import Source, find_sources
from nwbswitch.schemas.errors import NwbswitchError
from nwbswitch.schemas.overrides import Override

HUGE = 1 << 62
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 7, 1e300, -0.5, HUGE, 1 << 100, "", "x", "/", "nan", [], [[]], {}, {"a": 1}),
    *([-1], [0, 0], [HUGE, HUGE], "O", "V1000000000", "|S4294967295", "<M8[s]", "<f8", "<U9", "../x"),
)


@pytest.fixture
def cache(tmp_path: Path) -> ByteCache:
    return ByteCache(tmp_path / "cache")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    path = small_recording(tmp_path / "sub-m1_ses-1.nwb")
    with h5py.File(path, "r+") as file:
        stamped(file, np.arange(1200) / 10)
    (source,) = find_sources(path)
    return source


def tables(source: Source, cache: ByteCache) -> list[str]:
    issues: list[Any] = []
    with open_recording(source, cache=cache) as recording:
        own = (recording.outline.windows, recording.arrays, Recipe(block_s=MEASURED_BLOCK_S))
        found = [measure_plane(each, *own, name="a", issues=issues) for each in recording.outline.planes]
        found += [measure_points(each, *own, name="a", issues=issues) for each in recording.outline.points]
    return [each.to_csv() for each in found]


def stored(source: Source, cache: ByteCache) -> Any:
    text = cache.text(identity_of(source), _entry(source.name, Override()))
    assert text is not None
    return json.loads(zlib.decompress(base64.b64decode(text)))


def put(source: Source, cache: ByteCache, outline: Any) -> None:
    packed = zlib.compress(json.dumps(outline).encode(), 1)
    text = base64.b64encode(packed).decode()
    cache.keep_text(identity_of(source), _entry(source.name, Override()), text)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from places(each, (*path, key))


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return copy


def of_arrays(outline: Any) -> list[tuple[Any, ...]]:
    """Return the places that say what is read and where."""
    own = ("planes", "points", "windows")
    return [path for path in places(outline) if path[0] in own and "neurons" not in path]


@pytest.mark.parametrize("seed", range(4))
def test_any_value_may_be_changed(source: Source, cache: ByteCache, seed: int) -> None:
    tables(source, cache)
    outline = stored(source, cache)
    rng = random.Random(seed)
    known, others = of_arrays(outline), list(places(outline))
    for _ in range(50):
        path = rng.choice(known if rng.random() < 0.8 else others)
        put(source, cache, changed(outline, path, rng.choice(ODD)))
        with suppress(NwbswitchError):
            tables(source, cache)


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("planes", 0, "rows"), "no base64"),
        (("planes", 0, "rows"), 5),
        (("planes", 0, "rows"), base64.b64encode(zlib.compress(bytes(17))).decode()),
        (("planes", 0, "rows"), base64.b64encode(zlib.compress(bytes(80))).decode()),
        (("planes", 0, "rows"), base64.b64encode(b"no deflate").decode()),
        (("planes", 0, "neurons", "accepted"), [True]),
        (("planes", 0, "traces", "array", "dtype"), "O"),
        (("planes", 0, "traces", "array", "dtype"), "<V1000000000"),
        (("planes", 0, "traces", "array", "chunk_shape"), [0, 0]),
        (("planes", 0, "traces", "array", "shape"), [1200]),
        (("planes", 0, "traces", "array", "shape"), [-1200, -3]),
        (("planes", 0, "traces", "array", "shape"), [HUGE, 3]),
        (("planes", 0, "traces", "array", "filters"), ["gzip"] * 100),
        (("planes", 0, "traces", "time_first"), False),
        (("planes", 0, "clock", "n_frames"), HUGE),
        (("planes", 0, "clock", "rate_hz"), 0.0),
        (("planes", 0, "clock", "knot_frames"), 0),
        (("planes", 0, "clock", "knots_s"), []),
        (("planes", 0, "clock", "stamps", "shape"), [3]),
        (("points", 0, "neurons", "region"), []),
        (("points", 0, "observed_stop_s"), []),
        (("points", 0, "owners"), None),
        (("version",), 0),
        (("start_time",), "soon"),
    ],
)
def test_what_does_not_fit_together_is_made_anew(
    source: Source, cache: ByteCache, path: tuple[Any, ...], to: Any
) -> None:
    expected = tables(source, cache)
    outline = stored(source, cache)
    if path == ("points", 0, "owners"):
        path, outline = ("points", 0, "ends"), changed(outline, path, None)
        to = None
    put(source, cache, changed(outline, path, to))
    own = {"name": source.name, "override": Override()}
    assert kept_outline(cache, identity_of(source), **own) is None
    assert tables(source, cache) == expected
    assert stored(source, cache) == json.loads(
        OUTLINES.dump_json(kept_outline(cache, identity_of(source), **own))
    )


def test_a_text_that_unpacks_without_end_is_made_anew(
    source: Source, cache: ByteCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tables(source, cache)
    packed = zlib.compress(b"[" * 5_000_000, 9)
    text = base64.b64encode(packed).decode()
    cache.keep_text(identity_of(source), _entry(source.name, Override()), text)
    assert tables(source, cache) == expected
    monkeypatch.setattr("nwbswitch.analysis.reading.outline_cache.MAX_JSON_BYTES", 1000)
    assert tables(source, cache) == expected
