"""Animals and sessions of raw folders that are sorted by date."""

from __future__ import annotations

from pathlib import Path

import pytest

from nwbswitch.converters.survey.sessions import guess_sessions
from nwbswitch.converters.survey.sightings import Sighting


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["20260301_m1/x.tif", "20260301_m2/x.tif"], [("m1", "20260301"), ("m2", "20260301")]),
        (["2026-03-01/m1/x.tif", "2026-03-08/m1/x.tif"], [("m1", "2026-03-01"), ("m1", "2026-03-08")]),
        (["m1/2026-03-01/x.tif", "m2/2026-03-01/x.tif"], [("m1", "2026-03-01"), ("m2", "2026-03-01")]),
        (
            ["m1/2026-03-01/run1/x.tif", "m2/2026-03-01/run1/x.tif"],
            [("m1", "2026-03-01-run1"), ("m2", "2026-03-01-run1")],
        ),
        (
            ["m1/2026-03-01/run1/x.tif", "m1/2026-03-01/run2/x.tif"],
            [("m1", "2026-03-01-run1"), ("m1", "2026-03-01-run2")],
        ),
        (
            ["pilot/2026-03-01/ket7/x.tif", "pilot/2026-03-01/ket8/x.tif"],
            [("ket7", "2026-03-01"), ("ket8", "2026-03-01")],
        ),
        (
            ["2026-03-01/m1/run1/x.tif", "2026-03-08/m1/run1/x.tif"],
            [("m1", "2026-03-01-run1"), ("m1", "2026-03-08-run1")],
        ),
        (
            ["2026-03-01_m1/run1/x.tif", "2026-03-01_m1/run2/x.tif"],
            [("m1", "2026-03-01-run1"), ("m1", "2026-03-01-run2")],
        ),
        (["2026-03-01/x.tif", "2026-03-08/x.tif"], [("subject1", "2026-03-01"), ("subject1", "2026-03-08")]),
        (
            ["20260301_001/x.tif", "20260301_002/x.tif"],
            [("subject1", "20260301-001"), ("subject1", "20260301-002")],
        ),
        (
            ["2026-03-01/run1/x.tif", "2026-03-08/run1/x.tif"],
            [("subject1", "2026-03-01-run1"), ("subject1", "2026-03-08-run1")],
        ),
    ],
)
def test_a_date_is_a_session_and_no_animal(paths: list[str], expected: list[tuple[str, str]]) -> None:
    found = guess_sessions([Sighting("tiff_movie", Path(path)) for path in paths])
    assert [(each.subject_id, each.session_id) for each in found] == expected
    assert all(each.day is not None for each in found)
