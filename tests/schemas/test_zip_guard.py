"""ZIP archives of data are read, archives that lie or lead astray are refused."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from refusals import refusal

from nwbswitch.schemas.errors import InputFileError, NwbswitchError, UnsafeFileError
from nwbswitch.schemas.file_guard import load_npz
from nwbswitch.schemas.zip_guard import ZipMember, open_zip


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "RoiSet.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("more")
        archive.writestr("0001-0010-0020.roi", b"Iout" + bytes(60))
        archive.writestr("more/µ.roi", b"Iout" * 1000)
        archive.writestr("stored.roi", b"Iout", zipfile.ZIP_STORED)
        archive.writestr("empty", b"")
    return path


def build(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def patched(path: Path, *, central: dict[int, bytes], local: dict[int, bytes] | None = None) -> Path:
    """Overwrite bytes of the first entry of the directory, and of the first local header."""
    data = bytearray(path.read_bytes())
    for start, changes in ((data.index(b"PK\x01\x02"), central), (0, local or {})):
        for offset, value in changes.items():
            data[start + offset : start + offset + len(value)] = value
    path.write_bytes(data)
    return path


# ---- honest archives --------------------------------------------------------------------------------------


def test_members_are_read(made: Path) -> None:
    with open_zip(made) as archive:
        assert archive.members == (
            ZipMember("0001-0010-0020.roi", 64),
            ZipMember("more/µ.roi", 4000),
            ZipMember("stored.roi", 4),
            ZipMember("empty", 0),
        )
        with zipfile.ZipFile(made) as expected:
            for member in archive.members:
                assert archive.read(member.name) == expected.read(member.name)
        with pytest.raises(KeyError):
            archive.read("none")


def test_zip64_comments_and_streamed_members(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        """A stream that cannot seek, so that sizes follow the data."""

        def __init__(self, path: Path) -> None:
            self.stream = path.open("wb")

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            return self.stream.write(data)

        def close(self) -> None:
            self.stream.close()

    with zipfile.ZipFile(Pipe(tmp_path / "a.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"made by a test"
        with archive.open("a", "w", force_zip64=True) as member:
            member.write(b"x" * 1000)
        archive.writestr("b", b"y")
    with open_zip(tmp_path / "a.zip") as archive:
        assert archive.read("a") == b"x" * 1000
        assert archive.read("b") == b"y"


def test_names_that_only_look_odd(tmp_path: Path) -> None:
    path = build(
        tmp_path / "a.zip", ("cell: 1.roi", b"1"), ("Cell: 1.roi", b"2"), ("set\\..a", b"3"), ("..b", b"4")
    )
    with open_zip(path) as archive:
        assert [member.name for member in archive.members] == ["cell: 1.roi", "Cell: 1.roi", "set/..a", "..b"]
        assert archive.read("set/..a") == b"3"


def test_an_error_of_the_caller_is_not_blamed_on_the_file(made: Path) -> None:
    with pytest.raises(OSError, match="mine"), open_zip(made):
        raise OSError("mine")


# ---- attacks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/etc/passwd",
        "C:/evil",
        "C:evil",
        "a\\..\\evil",
        "\\\\host\\share",
        "..",
        "a\x00b",
        "a\nb",
        "/",
    ],
)
def test_names_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    path = build(tmp_path / "a.zip", ("x" * len(name.encode()), b"data"))
    path.write_bytes(path.read_bytes().replace(b"x" * len(name.encode()), name.encode()))
    with refusal(path, "outside the archive"), open_zip(path):
        pass


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_special_files_are_refused(kind: int, tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    path = build(tmp_path / "a.zip", (info, b"/etc/passwd"))
    with refusal(path, "link or another special file"), open_zip(path):
        pass


@pytest.mark.parametrize("names", [("a", "a"), ("dir/", "dir"), ("dir/a", "dir\\a")])
def test_one_name_twice_is_refused(names: tuple[str, str], tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate") if names == ("a", "a") else nullcontext():
        path = build(tmp_path / "a.zip", *((name, b"1") for name in names))
    with refusal(path, "twice"), open_zip(path):
        pass


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = patched(build(tmp_path / "a.zip", ("a", b"data")), central={8: b"\x01\x00"})
    with refusal(path, "encrypted"), open_zip(path):
        pass


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_named(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("a", b"x" * 100)
    with (
        refusal(tmp_path / "a.zip", "another method than deflate", InputFileError),
        open_zip(tmp_path / "a.zip"),
    ):
        pass


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    path = build(tmp_path / "a.zip", ("a", bytes(20_000_000)))
    with refusal(path, "states 20000000 bytes for 'a'"), open_zip(path):
        pass
    with open_zip(path, max_ratio=1100) as archive:
        assert len(archive.read("a")) == 20_000_000


def test_many_members_are_refused_by_their_sum(tmp_path: Path) -> None:
    path = build(tmp_path / "a.zip", *((str(number), bytes(1000)) for number in range(50)))
    with refusal(path, "states 50000 bytes, more than the 40000"), open_zip(path, max_bytes=40_000):
        pass
    with refusal(path, "50 members"), open_zip(path, max_members=49):
        pass


def test_a_giant_directory_is_not_read(tmp_path: Path) -> None:
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *(0,) * 6, 0, 0, 0, 1, *(0,) * 4, 0, 0) + b"a"
    count = 1_000_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, count * len(entry), 0, 0)
    (tmp_path / "a.zip").write_bytes(entry * count + end)
    with refusal(tmp_path / "a.zip", "directory of 47000000 bytes"), open_zip(tmp_path / "a.zip"):
        pass


@pytest.mark.parametrize("stated", [100, 5_000_000])
def test_a_header_that_lies_about_the_size_gives_no_more_than_it_states(stated: int, tmp_path: Path) -> None:
    path = build(tmp_path / "a.zip", ("a", bytes(50_000_000)))
    size = struct.pack("<L", stated)
    patched(path, central={24: size}, local={22: size})
    with open_zip(path, max_ratio=1100) as archive:
        assert archive.members[0].size == stated
        with refusal(path, "cannot be read as a ZIP", InputFileError):
            archive.read("a")


def test_a_lying_size_whose_checksum_fits_gives_the_stated_bytes(tmp_path: Path) -> None:
    path = build(tmp_path / "a.zip", ("a", bytes(50_000_000)))
    size, crc = struct.pack("<L", 100), struct.pack("<L", zlib.crc32(bytes(100)))
    patched(path, central={24: size, 16: crc}, local={22: size, 14: crc})
    with open_zip(path) as archive:
        assert archive.read("a") == bytes(100)


def test_a_size_that_is_not_reached_is_damage(tmp_path: Path) -> None:
    path = build(tmp_path / "a.zip", ("a", b"0123456789"))
    patched(path, central={24: struct.pack("<L", 500)}, local={22: struct.pack("<L", 500)})
    with open_zip(path) as archive, refusal(path, "member 'a'", InputFileError):
        archive.read("a")


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    """The quoted-overlap bomb of Fifield (2019) and its plain form: every entry uses one kernel."""
    kernel = zlib.compress(bytes(1_000_000), 9, wbits=-15)
    crc = zlib.crc32(bytes(1_000_000))
    body = (
        struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 33, crc, len(kernel), 1_000_000, 1, 0)
        + b"a"
        + kernel
    )
    directory = b"".join(
        struct.pack(
            "<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 33, crc, len(kernel), 1_000_000, 5, *(0,) * 4, 0, 0
        )
        + b"%05d" % number
        for number in range(1000)
    )
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1000, 1000, len(directory), len(body), 0)
    (tmp_path / "a.zip").write_bytes(body + directory + end)
    with refusal(tmp_path / "a.zip", "share bytes"), open_zip(tmp_path / "a.zip"):
        pass


def test_members_that_reach_into_the_directory_are_refused(tmp_path: Path) -> None:
    path = build(tmp_path / "a.zip", ("a", b"0123456789"))
    patched(path, central={20: struct.pack("<L", 60), 24: struct.pack("<L", 60)})
    with refusal(path, "share bytes"), open_zip(path):
        pass


def test_a_name_that_differs_before_the_data_is_damage(tmp_path: Path) -> None:
    path = build(tmp_path / "a.zip", ("a", b"data"))
    patched(path, central={}, local={30: b"b"})
    with open_zip(path) as archive, refusal(path, "differ", InputFileError):
        archive.read("a")


@pytest.mark.parametrize("kept", [0, 10, 100, -1])
def test_truncated_archives(made: Path, kept: int) -> None:
    made.write_bytes(made.read_bytes()[:kept])
    with refusal(made, "cannot be read as a ZIP", InputFileError), open_zip(made):
        pass


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "not a file"), (tmp_path / "none.zip", "not there")):
        with refusal(path, words, InputFileError), open_zip(path):
            pass


def test_random_damage_never_raises_anything_else(made: Path) -> None:
    rng = np.random.default_rng(3)
    data = made.read_bytes()
    refused = 0
    for _ in range(1000):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), size=3):
            damaged[place] = rng.integers(0, 256)
        made.write_bytes(damaged)
        try:
            with open_zip(made) as archive:
                for member in archive.members:
                    assert len(archive.read(member.name)) == member.size
        except NwbswitchError:
            refused += 1
    assert refused > 300


# ---- .npz -------------------------------------------------------------------------------------------------


def test_arrays_of_an_npz(tmp_path: Path) -> None:
    arrays = {
        "zeros": np.zeros((1000, 2000)),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "none": np.zeros((0, 3), np.int16),
        "scalar": np.float32(3),
        "objects": np.array({"a": [1, 2]}, dtype=object),
    }
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = load_npz(tmp_path / "a.npz")
    assert list(found) == list(arrays)
    assert found["objects"] == {"a": [1, 2]}
    for name in ("zeros", "fortran", "none", "scalar"):
        assert found[name].dtype == arrays[name].dtype
        assert np.array_equal(found[name], arrays[name])
    assert found["fortran"].flags.f_contiguous
    assert list(load_npz(tmp_path / "a.npz", ["none"])) == ["none"]
    with refusal(tmp_path / "a.npz", "no array missing; it has zeros", InputFileError):
        load_npz(tmp_path / "a.npz", ["missing"])
    with refusal(tmp_path / "a.npz", "more than the 1000000"):
        load_npz(tmp_path / "a.npz", max_bytes=1_000_000)


def test_an_npz_of_code_is_refused(tmp_path: Path) -> None:
    import os

    class Calls:
        def __reduce__(self) -> object:
            return os.system, ("true",)

    np.savez(tmp_path / "a.npz", a=np.array([Calls()], dtype=object))
    with refusal(tmp_path / "a.npz", "system"):
        load_npz(tmp_path / "a.npz")
    build(tmp_path / "b.npz", ("a.npy", b"no array"))
    with pytest.raises(InputFileError, match="not a .npy") as raised:
        load_npz(tmp_path / "b.npz")
    assert not isinstance(raised.value, UnsafeFileError)
