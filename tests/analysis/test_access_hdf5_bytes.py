"""HDF5 files far away: opened in few requests, and refused before bytes of samples are asked for."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
from near_files import near
from range_server import Fault, RangeServer
from recording_files import LAYOUTS, make_nwbfile, make_traces, write_recording
from refusals import refusal

from nwbswitch.analysis.access.array_reader import ArrayReader
from nwbswitch.analysis.access.byte_cache import ByteCache
from nwbswitch.analysis.access.cached_bytes import CachedBytes
from nwbswitch.analysis.access.hdf5_bytes import open_hdf5_bytes
from nwbswitch.analysis.access.http_bytes import HttpBytes
from nwbswitch.analysis.access.http_limits import HttpLimits
from nwbswitch.analysis.access.http_route import Location
from nwbswitch.analysis.access.range_file import HEAD_BYTES, TAIL_BYTES
from nwbswitch.analysis.access.stored_dataset import stored_array
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

QUICK = HttpLimits(pause_s=0.01, tries=3, silence_s=1)
SAMPLES = 8 << 20
SERIES = ("RoiResponseSeries", "Neuropil")


@pytest.fixture
def server() -> Iterator[RangeServer]:
    with RangeServer() as running:
        yield running


def far(server: RangeServer, path: Path) -> HttpBytes:
    url = server.add(path.name, path)
    return HttpBytes(lambda renew: Location(url), name=str(path), limits=QUICK)


# ---- honest files -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=LAYOUTS)
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the layout of one tool, with 100 ROIs and 6000 frames."""
    if request.param == "neuroconv":
        pytest.importorskip("neuroconv", reason="neuroconv is not installed")
    path = tmp_path_factory.mktemp("layouts") / f"{request.param}.nwb"
    return write_recording(path, make_nwbfile(make_traces(6000, 100), minutes=1), request.param)


def test_files_of_every_tool_open_in_few_requests_and_bytes(recording: Path, server: RangeServer) -> None:
    source = far(server, recording)
    with open_hdf5_bytes(source) as file:
        arrays = [stored_array(file[f"processing/ophys/Fluorescence/{name}/data"]) for name in SERIES]
    assert server.n_requests <= 8
    assert server.n_bytes <= HEAD_BYTES + TAIL_BYTES + 600_000
    server.clear()
    windows = [(slice(1200, 3000), slice(0, 100)), (slice(3000, 4800), slice(0, 100))]
    with ArrayReader(source) as reader:
        found = reader.read_many([(array, window) for array in arrays for window in windows])
    with h5py.File(recording) as file:
        for name, (one, other) in zip(SERIES, (found[:2], found[2:]), strict=True):
            data = file[f"processing/ophys/Fluorescence/{name}/data"]
            assert np.array_equal(one, data[1200:3000])
            assert np.array_equal(other, data[3000:4800])
    assert server.n_bytes <= 1.3 * sum(touched_bytes(array, 1200, 4800) for array in arrays)


def touched_bytes(array: object, start: int, stop: int) -> int:
    """Return the stored bytes of the chunks that frames touch; without chunks, of the frames."""
    if array.chunk_shape == array.shape and not array.filters:
        return (stop - start) * array.shape[1] * np.dtype(array.dtype).itemsize
    sizes = array.sizes.reshape(array.grid)
    return int(sizes[start // array.chunk_shape[0] : -(-stop // array.chunk_shape[0])].sum())


def test_a_second_look_asks_for_nothing(recording: Path, server: RangeServer, tmp_path: Path) -> None:
    for again in (False, True):
        server.clear()
        source = HttpBytes(
            lambda renew: Location(server.add("a", recording)), name="a", size=recording.stat().st_size
        )
        cached = CachedBytes(source, ByteCache(tmp_path), "asset etag")
        with open_hdf5_bytes(cached) as file:
            array = stored_array(file["processing/ophys/Fluorescence/Neuropil/data"])
            expected = file["processing/ophys/Fluorescence/Neuropil/data"][100:300]
        found = ArrayReader(cached).read_many([(array, (slice(100, 300), slice(0, 100)))])[0]
        assert np.array_equal(found, expected)
        assert bool(server.n_requests) != again


def test_a_movie_of_many_chunks_is_opened_without_its_frames(server: RangeServer, tmp_path: Path) -> None:
    path = tmp_path / "movie.nwb"
    with h5py.File(path, "w") as file:
        movie = file.create_dataset("acquisition/movie/data", (20_000, 20, 20), "u1", chunks=(1, 20, 20))
        for frame in range(20_000):
            movie.id.write_direct_chunk((frame, 0, 0), bytes(400))
    source = far(server, path)
    with open_hdf5_bytes(source) as file:
        array = stored_array(file["acquisition/movie/data"])
    assert array.offsets.size == 20_000
    assert array.offsets.min() > 0
    assert server.n_requests < 100


@pytest.mark.parametrize("trouble", [Fault.status(500), Fault.truncated(10), Fault.reset()])
def test_troubles_on_the_way_are_not_seen(recording: Path, server: RangeServer, trouble: Fault) -> None:
    source = far(server, recording)
    server.plan(trouble)
    with open_hdf5_bytes(source) as file:
        assert file["general/subject/species"].asstr()[()] == "Mus musculus"


# ---- failures that h5py takes for something else ----------------------------------------------------------


def keywords(source: HttpBytes) -> list[bytes]:
    with open_hdf5_bytes(source) as file:
        return file["general/keywords"][()].tolist()


def test_a_server_that_fails_for_good_is_the_error_whatever_h5py_makes_of_it(
    recording: Path, server: RangeServer
) -> None:
    assert keywords(far(server, recording)) == [b"ketamine", b"two-photon"]
    for number in range(server.n_requests):
        server.clear()
        server.at_request(number + 1, lambda: server.plan(*[Fault.status(503)] * 50))
        words = "could not be read: the server answers 503"
        with pytest.raises(InputFileError, match=words) as raised:
            keywords(far(server, recording))
        assert not isinstance(raised.value, UnsafeFileError)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A file that is not fetched whole when it is opened."""
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        file.create_dataset("big", data=np.random.default_rng(0).random(2_000_000))
        file.create_dataset("small", data=np.arange(10))
    return tmp_path / "a.nwb"


def test_a_failure_that_the_caller_overlooks_is_raised_at_the_end(wide: Path, server: RangeServer) -> None:
    seen = []

    def overlook(source: HttpBytes) -> None:
        with open_hdf5_bytes(source) as file:
            server.plan(*[Fault.status(500)] * 3)
            with suppress(OSError, InputFileError):
                file["big"][1_000_000:1_000_100]
            seen.append(file["small"][3])

    with pytest.raises(InputFileError, match="answers 500"):
        overlook(far(server, wide))
    assert seen == [3]


def test_a_file_that_changes_while_it_is_open(wide: Path, server: RangeServer) -> None:
    def change_far(source: HttpBytes) -> None:
        with open_hdf5_bytes(source) as file:
            server.replace(wide.name, wide, etag='"another"')
            file["big"][1_000_000:1_000_100]

    with pytest.raises(InputFileError, match="changed while it was read"):
        change_far(far(server, wide))
    with pytest.raises(InputFileError, match="changed while it was read"), open_hdf5_bytes(near(wide)):
        wide.write_bytes(wide.read_bytes() + b"x")


def test_an_error_of_the_caller_is_not_blamed_on_the_file(recording: Path, server: RangeServer) -> None:
    for source in (far(server, recording), near(recording)):
        with pytest.raises(KeyError, match="mine"), open_hdf5_bytes(source):
            raise KeyError("mine")


# ---- hostile files ----------------------------------------------------------------------------------------


def external_link(file: h5py.File) -> None:
    file["acquisition/out"] = h5py.ExternalLink("/etc/passwd", "/")


def external_storage(file: h5py.File) -> None:
    file.create_dataset("deep/raw", (64,), "u1", external=[("/etc/passwd", 0, 64)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file.create_virtual_dataset("v", layout)


def terabytes(file: h5py.File) -> None:
    file.create_dataset("big", (1_000_000, 1_000_000), "f8", chunks=(1000, 1000), compression="gzip")


def never_written(file: h5py.File) -> None:
    file.create_dataset("big", (1 << 40,), "f8")


def deep(file: h5py.File) -> None:
    file.create_group("/".join(["g"] * 200))


def one_text_for_all(file: h5py.File) -> None:
    texts = file.create_dataset("s", (20_000,), dtype=h5py.string_dtype())
    texts[0] = "x" * 1_000_000
    first = np.zeros(1, dtype="V16")
    place = texts.id.get_offset()
    file.flush()
    with Path(file.filename).open("rb+") as stream:
        stream.seek(place)
        first = stream.read(16)
        stream.seek(place)
        stream.write(first * 20_000)


ATTACKS: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "external link": (external_link, "to another file"),
    "external storage": (external_storage, "external storage"),
    "virtual": (virtual, "virtual dataset"),
    "terabytes": (terabytes, "8000000000000 bytes for /big"),
    "never written": (never_written, "no compression reaches that"),
    "deep": (deep, "nests groups more than 64 deep"),
    "one text for all": (one_text_for_all, "bytes of variable length at /s"),
}


@pytest.mark.parametrize(("attack", "words"), ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_an_attack_is_refused_before_samples_are_asked_for(
    attack: Callable[[h5py.File], None], words: str, first: bool, tmp_path: Path, server: RangeServer
) -> None:
    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        if first:
            attack(file)
        for number in range(4):
            file[f"acquisition/samples{number}"] = np.random.default_rng(number).random(SAMPLES // 8)
        if not first:
            attack(file)
    source = far(server, path)
    with refusal(path, words), open_hdf5_bytes(source):
        pytest.fail("the file was opened")
    assert server.n_bytes < HEAD_BYTES + TAIL_BYTES + 1_000_000 < SAMPLES
    with refusal(path, words), open_hdf5_bytes(near(path)):
        pytest.fail("the file was opened")


def test_what_only_a_reference_leads_to_is_checked_far_away_too(tmp_path: Path, server: RangeServer) -> None:
    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        file["known"] = np.arange(3)
        file["samples"] = np.random.default_rng(0).random(SAMPLES // 8)
        raw = file.create_dataset("group/raw", (64,), "u1", external=[("/etc/passwd", 0, 64)])
        file.create_dataset("r", data=np.array([raw.ref, file["known"].ref], dtype=h5py.ref_dtype))
        place = int(h5py.h5o.get_info(raw.id).addr)
        other = int(h5py.h5o.get_info(file["known"].id).addr)
    octets = bytearray(path.read_bytes())
    name = octets.index(b"raw\0")
    assert octets.count(struct.pack("<Q", place)) == 2
    entries = [octets.find(struct.pack("<Q", place)), octets.rfind(struct.pack("<Q", place))]
    link = min(entries, key=lambda at: abs(at - name))
    struct.pack_into("<Q", octets, link, other)
    path.write_bytes(octets)
    with refusal(path, r"\(by reference\) in another file"), open_hdf5_bytes(far(server, path)):
        pytest.fail("the file was opened")
    assert server.n_bytes < 2_000_000


def test_trees_that_lead_back_are_refused_far_away_too(tmp_path: Path, server: RangeServer) -> None:
    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=np.arange(1000), chunks=(1,))
        file["samples"] = np.random.default_rng(0).random(SAMPLES // 8)
    octets = bytearray(path.read_bytes())
    tree = octets.index(b"TREE\x01\x01")
    struct.pack_into("<Q", octets, tree + 24 + 24, tree)
    path.write_bytes(octets)
    with refusal(path, "twice"), open_hdf5_bytes(far(server, path)):
        pytest.fail("the file was opened")


def test_names_and_texts_that_are_no_utf8_pass(tmp_path: Path, server: RangeServer) -> None:
    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        h5py.h5g.create(file.id, b"gr\xfc\xdfe")
        file.attrs["t"] = np.bytes_(b"\xff\xfe")
        file.create_dataset("texts", data=np.array([b"\xff", b"ok"], dtype="S5"))
    with open_hdf5_bytes(far(server, path)) as file:
        assert len(file) == 2
        assert file["texts"][0] == b"\xff"


@pytest.mark.parametrize("kept", [0, 7, 100, 3000])
def test_truncated_and_other_files(kept: int, tmp_path: Path, server: RangeServer) -> None:
    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        file.create_dataset("group/data", data=np.zeros((1000, 10)), chunks=(100, 10), compression="gzip")
    path.write_bytes(path.read_bytes()[:kept])
    for source in (far(server, path), near(path)):
        with refusal(path, "HDF5", InputFileError) as raised, open_hdf5_bytes(source):
            pytest.fail("the file was opened")
        assert not isinstance(raised.value, UnsafeFileError)


def test_random_damage_far_away_is_one_of_our_errors(tmp_path: Path, server: RangeServer) -> None:
    path = tmp_path / "a.nwb"
    rng = np.random.default_rng(5)
    with h5py.File(path, "w") as file:
        file.create_dataset("group/data", data=np.zeros((20, 30)), chunks=(5, 5), compression="gzip")
        file["texts"] = np.array(["a", "bc"], dtype=object)
        file["refs"] = np.array([file["group"].ref], dtype=h5py.ref_dtype)
    data = path.read_bytes()
    refused = 0
    for _ in range(100):
        octets = bytearray(data)
        for place in rng.integers(0, len(octets), rng.integers(1, 30)):
            octets[place] = rng.integers(0, 256)
        url = server.add("damaged", bytes(octets))
        source = HttpBytes(lambda renew, url=url: Location(url), name="damaged")
        try:
            with open_hdf5_bytes(source) as file:
                node = file.get("group/data")
                array = stored_array(node) if isinstance(node, h5py.Dataset) else None
            if array is not None and len(array.shape) == 2:
                ArrayReader(source).read_many([(array, (slice(0, 1), slice(0, 1)))])
        except InputFileError:
            refused += 1
    assert 20 < refused < 100
