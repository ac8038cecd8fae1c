"""Digests of inputs beside the writing: never far ahead of it, stopped with it, and honest about change."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from nwbswitch.converters import conversion_inputs
from nwbswitch.converters.conversion_files import Input
from nwbswitch.converters.conversion_inputs import FileState, InputDigests, content_digest
from nwbswitch.schemas.errors import InputFileError

MB = 1 << 20


@pytest.fixture
def files(tmp_path: Path) -> list[Input]:
    found = []
    for name, size in (("a", 3 * MB + 5), ("b", 40), ("c", 8 * MB)):
        (tmp_path / name).write_bytes(os.urandom(size))
        found.append(Input(f"s/{name}", tmp_path / name, copied=name != "b"))
    return found


def test_states_hold_names_sizes_and_digests(files: list[Input]) -> None:
    with InputDigests(files) as digests:
        states = digests.states()
    assert [each.name for each in states] == ["s/a", "s/b", "s/c"]
    assert [each.size for each in states] == [3 * MB + 5, 40, 8 * MB]
    assert states[0].sha256 == hashlib.sha256(files[0].path.read_bytes()).hexdigest()
    assert states[1].sha256 == ""
    assert digests.size == 11 * MB + 5


def _settled(digests: InputDigests) -> int:
    last = -1
    while last != digests._read:
        last = digests._read
        time.sleep(0.1)
    return last


def test_reading_stays_near_the_writing(files: list[Input], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion_inputs, "LEAD_BYTES", 2 * MB)
    with InputDigests(files) as digests:
        assert _settled(digests) == 2 * MB
        digests.follow(1, 2)
        assert abs(_settled(digests) - (2 + 11 / 2) * MB) <= MB
        digests.follow(2, 2)
        assert len(digests.states()) == 3


def test_a_failed_writing_ends_the_reading(files: list[Input], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion_inputs, "LEAD_BYTES", MB)
    digests = InputDigests(files)

    def fail() -> None:
        with digests:
            _settled(digests)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not digests._thread.is_alive()
    assert digests._read <= 2 * MB


def test_a_file_that_changes_is_refused(files: list[Input]) -> None:
    with InputDigests(files) as digests:
        files[2].path.write_bytes(b"shorter")
        with pytest.raises(InputFileError, match=r"c: changed while it was read"):
            digests.states()


def test_a_file_that_vanishes_is_named(files: list[Input], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion_inputs, "LEAD_BYTES", MB)
    with InputDigests(files) as digests:
        _settled(digests)
        files[2].path.unlink()
        with pytest.raises(InputFileError, match=r"c: is not there"):
            digests.states()
    with pytest.raises(InputFileError, match=r"c: is not there"):
        InputDigests(files)


def test_a_glance_tells_what_it_can(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1234")
    state = FileState.of(path, name="a")
    assert state.at_a_glance(path) is True
    os.utime(path, (1, 1))
    assert state.at_a_glance(path) is None
    path.write_bytes(b"12345")
    assert state.at_a_glance(path) is False
    path.unlink()
    assert state.at_a_glance(path) is False


def test_a_folder_has_one_digest_of_names_and_contents(tmp_path: Path) -> None:
    def folder(name: str, *files: tuple[str, str]) -> str:
        for inside, text in files:
            (tmp_path / name / inside).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / inside).write_text(text)
        return content_digest(tmp_path / name)

    first = folder("a", ("x/0", "1"), ("y", "2"))
    assert folder("b", ("y", "2"), ("x/0", "1")) == first
    assert folder("c", ("x/0", "1"), ("z", "2")) != first
    assert folder("d", ("x/0", "1"), ("y", "3")) != first
    state = FileState.of(tmp_path / "a", name="a")
    assert state.size == 2
    assert state.at_a_glance(tmp_path / "a") is True
