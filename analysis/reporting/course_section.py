"""Time courses: when the effect begins, where it is largest, when half of it is gone."""

from __future__ import annotations

from nwbswitch.analysis.reporting.blocks import Section
from nwbswitch.analysis.runs.results_folder import Results


def course_section(results: Results) -> Section | None:
    """Return the time courses with their features; None when there are none."""
    return None
