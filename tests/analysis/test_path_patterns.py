from __future__ import annotations

import pytest

from nwbswitch.analysis.path_patterns import has_pattern, matches_pattern, wider_pattern


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("sub-*/*.nwb", "sub-1/a.nwb", True),
        ("sub-*/*.nwb", "sub-1/ses-1/a.nwb", False),
        ("*.nwb", "sub-1/a.nwb", False),
        ("**/*.nwb", "a.nwb", True),
        ("**/*.nwb", "sub-1/ses-1/a.nwb", True),
        ("sub-1/**", "sub-1/ses-1/a.nwb", True),
        ("sub-1**", "sub-10/a.nwb", True),
        ("sub-1/**/a.nwb", "sub-1/a.nwb", True),
        ("sub-1/**/a.nwb", "sub-1/x/y/a.nwb", True),
        ("sub-?/a.nwb", "sub-1/a.nwb", True),
        ("sub-?a.nwb", "sub-/a.nwb", False),
        ("sub-[12]/a.nwb", "sub-2/a.nwb", True),
        ("sub-[!12]/a.nwb", "sub-2/a.nwb", False),
        ("sub-[1-3]/a.nwb", "sub-2/a.nwb", True),
        ("sub-[!1]a.nwb", "sub-/a.nwb", False),
        ("sub-[]]/a.nwb", "sub-]/a.nwb", True),
        ("sub-[1/a.nwb", "sub-[1/a.nwb", True),
        ("SUB-1/*.nwb", "sub-1/a.nwb", False),
        ("a+b(1).nwb", "a+b(1).nwb", True),
        ("a.nwb", "aXnwb", False),
    ],
)
def test_what_matches(pattern: str, path: str, matches: bool) -> None:
    assert matches_pattern(path, pattern) is matches


@pytest.mark.parametrize(
    ("pattern", "wider"),
    [
        ("sub-*/*.nwb", "sub-*/*.nwb"),
        ("**/*.nwb", "*.nwb"),
        ("sub-?/a[12].nwb", "sub-*/a*.nwb"),
        ("sub-1/**", "sub-1/*"),
        ("sub-[]]x.nwb", "sub-*x.nwb"),
        ("sub-[1/a.nwb", "sub-*1/a.nwb"),
        ("a.nwb", "a.nwb"),
    ],
)
def test_the_wider_pattern_has_stars_only(pattern: str, wider: str) -> None:
    assert wider_pattern(pattern) == wider
    assert has_pattern(pattern) == (pattern != "a.nwb")
