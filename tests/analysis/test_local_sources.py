from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from nwbswitch.analysis.local_sources import is_zarr, local_paths, same_file
from nwbswitch.schemas.errors import InputFileError, IssuesError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "sub-2/b.nwb",
        "sub-1/ses-1/a.nwb",
        "sub-1/notes.txt",
        "top.NWB",
        ".hidden/c.nwb",
        "sub-2/.partial-1f3a5b7c-d.nwb",
        "store.nwb.zarr/.zgroup",
        "store.nwb.zarr/inside.nwb",
        "movie.zarr/.zgroup",
        "empty/.keep",
        "sub[3]/e.nwb",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def below(folder: Path, found: list[Path]) -> list[str]:
    return [each.relative_to(folder).as_posix() for each in found]


def test_a_folder_holds_files_at_any_depth_in_order(folder: Path) -> None:
    assert below(folder, local_paths(folder)) == [
        "store.nwb.zarr",
        "sub-1/ses-1/a.nwb",
        "sub-2/b.nwb",
        "sub[3]/e.nwb",
        "top.NWB",
    ]
    assert is_zarr(folder / "store.nwb.zarr")


def test_a_file_is_taken_whatever_its_name(folder: Path) -> None:
    assert local_paths(folder / "sub-1" / "notes.txt") == [folder / "sub-1" / "notes.txt"]
    assert local_paths(str(folder / "sub[3]" / "e.nwb")) == [folder / "sub[3]" / "e.nwb"], "no pattern"


def test_paths_stay_as_they_are_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert local_paths("sub-2") == [Path("sub-2/b.nwb")]
    assert local_paths("*/*.nwb") == [Path("sub-2/b.nwb"), Path("sub[3]/e.nwb")]
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert local_paths("~/sub-2") == [folder / "sub-2" / "b.nwb"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("sub-*", ["sub-1/ses-1/a.nwb", "sub-2/b.nwb"]),
        ("sub-?/*.nwb", ["sub-2/b.nwb"]),
        ("**/*.nwb", ["sub-1/ses-1/a.nwb", "sub-2/b.nwb", "sub[3]/e.nwb"]),
        ("*.zarr", ["store.nwb.zarr"]),
        (".hid*/*.nwb", [".hidden/c.nwb"]),
    ],
)
def test_patterns(folder: Path, pattern: str, found: list[str]) -> None:
    assert below(folder, local_paths(f"{folder}/{pattern}")) == found


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sub-2/bb.nwb", r"no such file or folder\. Did you mean .*b\.nwb"),
        ("sub-22/b.nwb", r"no such file or folder\. Did you mean .*sub-2"),
        ("zzz", r"is there, zzz is not in it"),
        ("empty", r"The folder holds no NWB file\. .*empty is empty"),
        ("sub-*/*.h5", r"matches no NWB file\. .* holds .*sub-1, sub-2"),
        ("sub-1/*.txt", r"matches no NWB file, but 1 others"),
        ("nowhere/*.nwb", r"matches no NWB file\..* nowhere is not in it"),
    ],
)
def test_what_is_not_there_is_said_with_what_is_like_it(folder: Path, name: str, words: str) -> None:
    with pytest.raises(IssuesError, match=words) as raised:
        local_paths(folder / name)
    assert [each.code for each in raised.value.issues] == ["no-source"]


def test_the_folder_that_lacks_a_file_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(IssuesError, match=rf"The folder {re.escape(str(folder))} is there, zzz is not in it"):
        local_paths("zzz")


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_to_files_are_followed_and_those_to_folders_are_not(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "far.nwb").write_bytes(b"far")
    links = folder / "links"
    links.mkdir()
    (links / "far.nwb").symlink_to(outside / "deep" / "far.nwb")
    (links / "same.nwb").symlink_to(folder / "sub-2" / "b.nwb")
    (links / "gone.nwb").symlink_to(outside / "nothing")
    (links / "loop").symlink_to(folder, target_is_directory=True)
    (links / "away").symlink_to(outside, target_is_directory=True)
    assert below(folder, local_paths(links)) == ["links/far.nwb", "links/gone.nwb", "links/same.nwb"]
    assert below(folder, local_paths(f"{folder}/**/far.nwb")) == ["links/far.nwb"]
    assert local_paths(links / "away") == [links / "away" / "deep" / "far.nwb"], "given by its link"
    assert local_paths(links / "gone.nwb") == [links / "gone.nwb"], "to open it says that it is missing"
    assert same_file(links / "same.nwb") == same_file(folder / "sub-2" / "b.nwb")
    assert same_file(links / "gone.nwb") != same_file(links / "far.nwb")


def test_a_folder_that_cannot_be_read_is_no_empty_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def failing(path: str | Path) -> object:
        if str(path).endswith("ses-1"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(InputFileError, match=r"ses-1: the folder cannot be read: Permission denied"):
        local_paths(folder)
