"""A recording as it is measured at like movement: with frames that are left out for it marked as spoilt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nwbswitch.analysis.activity.movement_frames import left_out_for_movement, without_spans
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.reading.outline import Outline, Points, SpoiltSpans
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Place, issue

if TYPE_CHECKING:
    from nwbswitch.analysis.reading.recording import Recording


def at_like_movement(recording: Recording, recipe: Recipe) -> Outline:
    """Return the outline of a recording with what the recipe leaves out for movement.

    Raises
    ------
    IssuesError
        If frames are to be chosen by movement and the file holds no speed.
    """
    outline = recording.outline
    if recipe.frames == "all":
        return outline
    movement = recording.movement()
    if movement is None:
        problem = f"frames is {recipe.frames!r}, and the file holds no series of speed in a unit of speed."
        remedy = "Measure all frames, or add the running speed to the file."
        raise IssuesError(
            [issue("movement-unknown", problem, place=Place(recording.source.name), remedy=remedy)]
        )
    spoilt = left_out_for_movement(
        movement,
        outline.windows,
        recording.arrays,
        frames=recipe.frames,
        session=f"{outline.dataset}/{outline.subject.subject_id}/{outline.session_id}",
    )
    return replace(
        outline,
        planes=tuple(replace(each, censors=(*each.censors, spoilt)) for each in outline.planes),
        points=tuple(_without(each, spoilt) for each in outline.points),
    )


def _without(points: Points, spoilt: SpoiltSpans) -> Points:
    starts, stops = without_spans(points.observed_start_s, points.observed_stop_s, spoilt)
    return replace(points, observed_start_s=starts, observed_stop_s=stops)
