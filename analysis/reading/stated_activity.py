"""What overrides state of the activity of one plane."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nwbswitch.schemas.overrides import Activity


def activity_of(
    stated: Sequence[Activity], segmentation_path: str, series_paths: Iterable[str], *, series: str = ""
) -> Activity:
    """Return all that is stated of a plane, or of one series of it, as one entry.

    What is stated of a series holds for the others of its plane, its neuropil say, that no entry names.

    An entry is about a plane when it names it by its path or the last part of that, when it names a series
    of it, or when it names neither; of several that say something about one thing the last one counts.
    """
    paths = set(series_paths)
    named = {entry.series for entry in stated if entry.series}
    said: dict[str, object] = {}
    for entry in stated:
        by_plane = is_about(entry, segmentation_path)
        by_series = entry.series in paths and (series not in named or entry.series == series)
        if (by_plane and not entry.series) or by_series or not (entry.plane or entry.series):
            said |= entry.model_dump(exclude_unset=True)
    return Activity().model_copy(update=said)


def is_about(entry: Activity, segmentation_path: str) -> bool:
    """Return whether an entry names a plane segmentation."""
    last = segmentation_path.rpartition("/")[2]
    return bool(entry.plane) and entry.plane.strip("/") in (segmentation_path.strip("/"), last)
