"""Activity of the neurons of one imaging plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nwbswitch.analysis.access.arrays import Arrays
from nwbswitch.analysis.activity.cell_rows import Basis, cell_rows
from nwbswitch.analysis.activity.pieces import plan_of
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.activity.tallies import measured_of
from nwbswitch.analysis.activity.trace_activity import GAP, measure_traces
from nwbswitch.analysis.activity.trace_source import PlaneTraces
from nwbswitch.analysis.activity.transients import TRANSIENTS, transient_of
from nwbswitch.analysis.activity.valid_frames import usable_censors
from nwbswitch.analysis.reading.outline import ActivityKind, Plane, WindowSpan
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Issue, Place, issue

if TYPE_CHECKING:
    import pandas as pd

WITHOUT_DFF = (ActivityKind.DEMIXED, ActivityKind.DENOISED, ActivityKind.DECONVOLVED)
"""Kinds of traces whose unit is not dF/F, so that their mean and noise would mislead."""
MAX_RATE_HZ = 5_000.0
"""Beyond what any camera or scanner images neurons with; a rate above it is a mistake."""


def measure_plane(
    plane: Plane,
    windows: Sequence[WindowSpan],
    arrays: Arrays,
    recipe: Recipe,
    *,
    name: str,
    issues: list[Issue],
) -> pd.DataFrame:
    """Return the rows of one plane: those columns of the cells table that belong to neuron and block.

    An event is an upward crossing, by dF/F, of a multiple of the neuron's baseline noise, one absolute level
    per neuron in every window. Only windows and a margin around them are read, piece by piece, so that
    memory depends neither on the length of the recording nor on that of the windows.

    Parameters
    ----------
    plane, windows
        Of the outline of the recording.
    arrays
        Reads its samples.
    recipe
        Parameters.
    name
        What messages call the file.
    issues
        Receives findings: windows beyond the recording, neurons and frames left out.

    Raises
    ------
    IssuesError
        If no window tells the noise, or the frame rate or indicator cannot be worked with.
    MissingExtraError
        For deconvolution without its package.
    InputFileError
        If samples cannot be read.
    """
    place = Place(name, item=plane.traces.array.object_path)
    rate_hz, kind = plane.clock.rate_hz, plane.traces.kind
    if not 0 < rate_hz <= MAX_RATE_HZ:
        problem = f"The frame rate is {rate_hz:g} Hz, expected at most {MAX_RATE_HZ:g} Hz."
        raise IssuesError([issue("wrong-value", problem, place=place, remedy="State it in the overrides.")])
    _check_extent(plane, windows, place, issues)
    plan = plan_of(windows, plane.clock.start_s, plane.clock.stop_s, recipe)
    if not plan.baseline and kind is not ActivityKind.DECONVOLVED:
        problem = "No frame lies in a window baseline or pseudo_baseline, so the noise is unknown."
        remedy = "Name a baseline window inside the recording."
        raise IssuesError([issue("no-epochs", problem, place=place, remedy=remedy)])
    _doubts(plane, recipe, place, issues)
    source = PlaneTraces(
        plane,
        arrays,
        recipe,
        censors=usable_censors(plane, place, issues),
        with_neuropil=_takes_neuropil(plane) and recipe.neuropil_coefficient != 0,
    )
    decay_s = _decay_s(plane, recipe, place)
    activity = measure_traces(source, plan, recipe, decay_s)
    activity.shares.report(place, issues)
    usable = activity.usable
    if not usable.all():
        problem = f"{(~usable).sum()} accepted neurons have no noise or no positive fluorescence at rest."
        remedy = "They are left out of the table; look at their traces."
        issues.append(issue("neuron-left-out", problem, place=place, remedy=remedy))
    if activity.n_unfitted:
        problem = f"The neuropil of {activity.n_unfitted} neurons fluctuates too little to tell their share."
        remedy = "For them the coefficient is 0.7."
        issues.append(issue("neuropil-unfitted", problem, place=place, remedy=remedy))
    deconvolved = kind is ActivityKind.DECONVOLVED
    crossing = recipe.events == "crossing"
    return cell_rows(
        plane.neurons,
        source.rows[usable],
        plan.blocks,
        measured_of(
            activity.tallies,
            usable,
            rate_hz,
            with_dff=kind not in WITHOUT_DFF,
            with_amount=deconvolved or not crossing or plane.deconvolved is not None,
        ),
        Basis(
            plane=plane.name,
            object_path=plane.traces.array.object_path,
            modality="calcium",
            event_basis="deconvolved" if deconvolved else recipe.events,
            indicator=plane.indicator,
        ),
        min_exposure_s=recipe.min_block_share * recipe.block_s - 0.5 / rate_hz,
    )


def _takes_neuropil(plane: Plane) -> bool:
    return plane.traces.kind is ActivityKind.RAW and not plane.neuropil_subtracted


def _check_extent(plane: Plane, windows: Sequence[WindowSpan], place: Place, issues: list[Issue]) -> None:
    begin_s, end_s = plane.clock.start_s, plane.clock.stop_s
    slack_s = GAP / plane.clock.rate_hz
    for span in windows:
        if span.start_s < begin_s - slack_s or span.stop_s > end_s + slack_s:
            problem = (
                f"The window {span.window} goes from {span.start_s:g} to {span.stop_s:g} s, "
                f"the traces from {begin_s:g} to {end_s:g} s."
            )
            remedy = "Only the part inside was measured; correct the windows."
            issues.append(issue("epoch-outside-recording", problem, place=place, remedy=remedy))


def _doubts(plane: Plane, recipe: Recipe, place: Place, issues: list[Issue]) -> None:
    """Report what the kind of the traces leaves doubtful."""
    if plane.neuropil_subtracted and plane.traces.kind is ActivityKind.RAW and recipe.neuropil_coefficient:
        problem = "The file says that the neuropil is subtracted from the traces already."
        issues.append(issue("neuropil-subtracted", problem, place=place, remedy="It was not done again."))
    if plane.traces.kind is ActivityKind.DECONVOLVED:
        problem = "Events are rises from zero of traces that were deconvolved elsewhere."
        remedy = "Nobody knows the least of them that was kept: compare them with no other recordings."
        issues.append(issue("events-doubtful", problem, place=place, remedy=remedy))
    if plane.traces.kind is ActivityKind.DENOISED:
        problem = "Events are told by the noise of traces from which noise was removed."
        remedy = "Give the traces from before denoising, or compare with no other recordings."
        issues.append(issue("events-doubtful", problem, place=place, remedy=remedy))


def _decay_s(plane: Plane, recipe: Recipe, place: Place) -> float | None:
    """Return the decay constant for deconvolution, of the recipe or of the indicator."""
    if recipe.events == "crossing" or recipe.decay_s is not None:
        return recipe.decay_s
    transient = transient_of(plane.indicator)
    if transient is None:
        problem = f"Deconvolution needs the decay of the indicator, which is stated as {plane.indicator!r}."
        known = ", ".join(each.indicator for each in TRANSIENTS.values())
        remedy = f"Give decay_s, or state one of {known} in the overrides."
        raise IssuesError([issue("missing-value", problem, place=place, remedy=remedy)])
    return transient.constants_s[1]
