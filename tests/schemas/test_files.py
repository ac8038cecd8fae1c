"""Files appear whole or not at all; digests tell contents apart and are the same in every run."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.files import (
    digest,
    free_bytes,
    locked,
    remove_partials,
    replaced,
    require_writable,
    sha256_file,
    write_json,
)


def test_replaced_writes_whole(tmp_path: Path) -> None:
    final = tmp_path / "new" / "sub-a.nwb"
    with replaced(final) as partial:
        assert partial.parent == final.parent
        assert partial.suffix == ".nwb"
        partial.write_text("x")
        assert not final.exists()
    assert final.read_text() == "x"
    assert [each.name for each in final.parent.iterdir()] == ["sub-a.nwb"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    final = tmp_path / "a.txt"
    final.write_text("old")

    def write() -> None:
        with replaced(final) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert final.read_text() == "old"
    assert list(tmp_path.iterdir()) == [final]


def test_writing_nothing_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    final.write_text("old")
    with pytest.raises(FileNotFoundError), replaced(final):
        pass
    assert final.read_text() == "old"


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    with replaced(final) as one, replaced(final) as two:
        assert one != two
        one.write_text("1")
        two.write_text("2")
    assert final.read_text() == "1"
    assert list(tmp_path.iterdir()) == [final]


def test_remove_partials(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    keep = tmp_path / "deep" / "kept.txt"
    keep.write_text("x")
    for name in (".partial-1f3a-a.nwb", "deep/.partial-00-b.csv"):
        (tmp_path / name).write_text("x")
    remove_partials(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [keep]


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_sha256_file(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "a").write_bytes(content[:size])
    assert sha256_file(tmp_path / "a") == hashlib.sha256(content[:size]).hexdigest()


def test_digest_does_not_depend_on_order() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest([1, 2]) != digest([2, 1])
    assert digest({"a": 1}) != digest({"a": "1"})
    assert digest(Path("x") / "y") == digest("x/y".replace("/", os.sep))


def test_digest_tells_long_arrays_apart() -> None:
    one = np.arange(5000)
    other = one.copy()
    other[2500] = 0
    assert digest(one) != digest(other)
    assert digest(one) == digest(one.tolist())


def test_digest_is_the_same_in_another_run() -> None:
    code = "from nwbswitch.schemas.files import digest; print(digest({'words': {'a', 'b', 'c', 'd', 'e'}}))"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert runs == {digest({"words": ["a", "b", "c", "d", "e"]}) + "\n"}


def test_digest_refuses_what_has_no_stable_text() -> None:
    with pytest.raises(TypeError, match="object"):
        digest({"a": object()})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": float("nan"), "b": [float("inf"), -float("inf"), 1.5]}, {"a": None, "b": [None, None, 1.5]}),
        ({"x": np.float32(0.5), "n": np.int64(3), "t": np.bool_(True)}, {"x": 0.5, "n": 3, "t": True}),
        ({"v": np.array([1.0, np.nan])}, {"v": [1.0, None]}),
        ({1: (1, 2)}, {"1": [1, 2]}),
        ({"p": Path("a"), "d": datetime(2026, 1, 2)}, {"p": "a", "d": "2026-01-02 00:00:00"}),
        (None, None),
    ],
)
def test_write_json(tmp_path: Path, value: Any, expected: Any) -> None:
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == expected
    assert text.endswith("\n")


def test_write_json_keeps_long_arrays_whole_and_letters_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"v": np.arange(3000), "µ": "é"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert len(json.loads(text)["v"]) == 3000
    assert "é" in text


def test_the_same_content_leaves_the_file_and_its_date(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("same")
    before = path.stat()
    with replaced(path) as partial:
        partial.write_text("same")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    with replaced(path) as partial:
        partial.write_text("else")
    assert path.read_text() == "else"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_remove_partials_leaves_folders_of_others(tmp_path: Path) -> None:
    kept = [tmp_path / ".partial-mine", tmp_path / "a.zarr" / ".partial-0a1b2c3d-x"]
    for folder in (*kept, tmp_path / "deep" / ".partial-0a1b2c3d-a.nwb.zarr" / "inside"):
        folder.mkdir(parents=True)
        (folder / "chunk").write_text("x")
    remove_partials(tmp_path)
    assert all((folder / "chunk").is_file() for folder in kept)
    assert list((tmp_path / "deep").iterdir()) == []


@pytest.mark.parametrize("before", ["nothing", "a folder", "a file"])
def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path, before: str) -> None:
    final = tmp_path / "a.nwb.zarr"
    if before == "a folder":
        (final / "old").mkdir(parents=True)
    elif before == "a file":
        final.write_text("old")

    def write(*, whole: bool) -> None:
        with replaced(final) as partial:
            (partial / "group").mkdir(parents=True)
            (partial / "group" / "chunk").write_text("new")
            if not whole:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        write(whole=False)
    assert (final / "old").is_dir() == (before == "a folder")
    assert final.is_file() == (before == "a file")
    write(whole=True)
    assert (final / "group" / "chunk").read_text() == "new"
    assert not (final / "old").exists()
    assert [each.name for each in tmp_path.iterdir()] == ["a.nwb.zarr"]


def test_free_space_is_that_of_the_disk_a_new_folder_will_be_on(tmp_path: Path) -> None:
    free = free_bytes(tmp_path / "new" / "deep")
    assert abs(free - shutil.disk_usage(tmp_path).free) < 1 << 30
    assert not (tmp_path / "new").exists()


def test_reading_for_a_digest_can_be_held_up_and_stopped(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(3 << 20))
    asked: list[int] = []

    def stop(n_bytes: int) -> None:
        asked.append(n_bytes)
        if len(asked) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        sha256_file(tmp_path / "a", before=stop)
    assert asked == [1 << 20] * 3


def test_sha256_file_refuses_what_may_never_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(InputFileError, match="is not a file"):
            sha256_file(path)
    with pytest.raises(InputFileError, match="is not there"):
        sha256_file(tmp_path / "nothing")


def test_names_that_are_no_utf8_can_be_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"bad\xff.nwb")
    write_json(tmp_path / "a.json", {"file": name})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"file": name}


def test_a_locked_file_is_held_until_its_process_ends(tmp_path: Path) -> None:
    code = """
import sys, time
from nwbswitch.schemas.files import locked
with locked(sys.argv[1]):
    print(flush=True)
    time.sleep(60)
"""
    path = tmp_path / "deep" / "lock"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BlockingIOError), locked(path):
            pass
        other.kill()
    with locked(path):
        pass


def test_a_place_that_cannot_be_written_is_named_before_the_work(tmp_path) -> None:
    require_writable(tmp_path / "new" / "deep" / "x.parquet")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputFileError, match="is a file"):
        require_writable(tmp_path / "file" / "x.parquet")


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda *arguments: False)
    with pytest.raises(InputFileError, match="no permission"):
        require_writable(tmp_path / "x.parquet")


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as raised, replaced(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert raised.value.filename == str(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []
