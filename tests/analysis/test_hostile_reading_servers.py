"""Servers that lie, drip or once sent damaged bytes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
from range_server import Answer, RangeServer, Request

from nwbswitch.analysis.access import array_reader, begun_answers
from nwbswitch.analysis.access.array_reader import ArrayReader
from nwbswitch.analysis.access.byte_cache import ByteCache
from nwbswitch.analysis.access.cached_bytes import CachedBytes
from nwbswitch.analysis.access.http_bytes import HttpBytes
from nwbswitch.analysis.access.http_limits import HttpLimits
from nwbswitch.analysis.access.http_route import Location
from nwbswitch.analysis.access.local_bytes import LocalBytes
from nwbswitch.analysis.access.stored_array import StoredArray
from nwbswitch.analysis.access.stored_dataset import stored_array
from nwbswitch.analysis.archive import open_archive
from nwbswitch.schemas.errors import InputFileError

HASTY = HttpLimits(tries=1, patience_s=5.0, pause_s=0.01, silence_s=2.0)
DATA = np.random.default_rng(0).normal(size=(400, 8)).astype("f4")


def array_file(path: Path, data: np.ndarray = DATA, **options: object) -> StoredArray:
    options = {"chunks": (100, 8), "compression": "gzip", "fletcher32": True, **options}
    with h5py.File(path, "w") as file:
        return stored_array(file.create_dataset("x", data=data, **options))


def read(reader: ArrayReader, array: StoredArray) -> np.ndarray:
    (values,) = reader.read_many([(array, tuple(slice(0, n) for n in array.shape))])
    return values


# ---- answers that drip ------------------------------------------------------------------------------------


@contextmanager
def dripping(head: bytes) -> Iterator[str]:
    """Answer every request with a head that goes on for ever, a byte every few ms."""
    listener = socket.create_server(("127.0.0.1", 0))
    is_over = threading.Event()

    def drip(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(65536)
            client.sendall(head)
            while not is_over.wait(0.02):
                client.sendall(b"x")

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        is_over.set()
        listener.close()


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 206 OK\r\nETag: ", b"HTTP/1.1 302 OK\r\nLocation: http://"])
def test_a_head_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(begun_answers, "BEGIN_S", 0.5)
    began_s = time.monotonic()
    with dripping(head) as url:
        far = HttpBytes(lambda renew: Location(f"{url}/a.nwb"), name="a.nwb", limits=HASTY)
        with pytest.raises(InputFileError, match="could not be read"):
            far.read(0, 10)
    assert time.monotonic() - began_s < 4


def test_an_archive_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(begun_answers, "BEGIN_S", 0.1)
    monkeypatch.setattr("dandi.consts.REQUEST_RETRIES", 0, raising=False)
    monkeypatch.setattr("dandi.dandiapi.REQUEST_RETRIES", 0, raising=False)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    began_s = time.monotonic()
    with (
        dripping(b"HTTP/1.1 200 OK\r\nContent-Type: ") as url,
        open_archive(f"{url}/api", interval_s=0) as archive,
        pytest.raises(InputFileError, match="does not answer"),
    ):
        archive.dandiset("000123")
    assert time.monotonic() - began_s < 10


# ---- versions ---------------------------------------------------------------------------------------------


def test_a_version_that_is_known_has_to_be_stated() -> None:
    with RangeServer(validators=("last-modified",)) as server:
        url = server.add("a.nwb", b"0123456789")
        known = HttpBytes(lambda renew: Location(url, size=10, etag='"abc"'), name="a.nwb", limits=HASTY)
        with pytest.raises(InputFileError, match="does not say which version"):
            known.read(0, 10)
        unknown = HttpBytes(lambda renew: Location(url), name="a.nwb", limits=HASTY)
        assert unknown.read(0, 10) == b"0123456789"


@pytest.mark.parametrize("encoding", ["multipart/byteranges; boundary=x", "application/octet-stream"])
def test_parts_in_several_pieces_are_refused(encoding: str) -> None:
    def answer(request: Request) -> Answer:
        body = b"--x\r\nContent-Range: bytes 0-9/10\r\n\r\n0123456789\r\n--x--\r\n"
        return Answer(206, body, {"ETag": '"a"', "Content-Type": encoding})

    with RangeServer() as server:
        server.route("/", answer)
        far = HttpBytes(lambda renew: Location(f"{server.url}/a"), name="a.nwb", limits=HASTY)
        with pytest.raises(InputFileError, match="which bytes are sent"):
            far.read(0, 10)


# ---- bytes that came damaged ------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"fletcher32": False}, {"compression": None}])
def test_what_came_damaged_and_was_kept_is_asked_for_again(
    tmp_path: Path, options: dict[str, object]
) -> None:
    """A proxy damages a chunk once; the server has it whole."""
    path = tmp_path / "a.nwb"
    array = array_file(path, **options)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for offset, size in zip(array.offsets, array.sizes, strict=True):
        damaged[offset + size // 2] ^= 0xFF
    cache = ByteCache(tmp_path / "cache")
    with RangeServer() as server:
        url = server.add("a.nwb", bytes(damaged), etag='"1"')

        def opened() -> CachedBytes:
            far = HttpBytes(lambda renew: Location(url), name="a.nwb", limits=HASTY)
            return CachedBytes(far, cache, "k")

        with ArrayReader(opened()) as reader, pytest.raises(InputFileError, match="is damaged in /x"):
            read(reader, array)
        server.replace("a.nwb", whole, etag='"1"')
        for _ in range(2):
            with ArrayReader(opened()) as reader:
                np.testing.assert_array_equal(read(reader, array), DATA)
        server.clear()
        with ArrayReader(opened()) as reader:
            np.testing.assert_array_equal(read(reader, array), DATA)
        assert server.n_bytes == 0


# ---- memory -----------------------------------------------------------------------------------------------


def test_large_chunks_are_unpacked_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve threads that each unpack a gigabyte of zeros would need twelve."""
    array = array_file(tmp_path / "a.nwb", np.zeros((400, 8), "f4"))
    unpack = array_reader.decoded
    at_once, most = 0, 0

    def slow(*arguments: object, **options: object) -> object:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.05)
        at_once -= 1
        return unpack(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(array_reader, "decoded", slow)
    monkeypatch.setattr(array_reader, "GROUP_BYTES", 1)
    for limit, together in ((1000, 1), (1 << 20, 4)):
        monkeypatch.setattr(array_reader, "LARGE_BYTES", limit)
        most = 0
        with ArrayReader(LocalBytes(tmp_path / "a.nwb"), threads=4) as reader:
            read(reader, array)
        assert most == together
