"""Activity of the neurons of one table of spikes or events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nwbswitch.analysis.access.arrays import Arrays
from nwbswitch.analysis.activity.blocks import blocks_of
from nwbswitch.analysis.activity.cell_rows import Basis, Measured, cell_rows
from nwbswitch.analysis.activity.pieces import plan_of
from nwbswitch.analysis.activity.point_runs import require_whole_table
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.activity.spike_counts import counts_in_blocks, observed_s
from nwbswitch.analysis.activity.spike_traces import SpikeTraces
from nwbswitch.analysis.activity.tallies import measured_of
from nwbswitch.analysis.activity.trace_activity import measure_traces
from nwbswitch.analysis.reading.clocks import TIME_TOLERANCE_S
from nwbswitch.analysis.reading.outline import PointKind, Points, WindowSpan
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Issue, Place, issue

if TYPE_CHECKING:
    import pandas as pd

SLACK_S = 1.0
"""Windows that reach this far beyond what was observed are not worth a word."""


def measure_points(
    points: Points,
    windows: Sequence[WindowSpan],
    arrays: Arrays,
    recipe: Recipe,
    *,
    name: str,
    issues: list[Issue],
) -> pd.DataFrame:
    """Return the rows of one table of spikes or events: columns that belong to neuron and block.

    Spikes count as they are, or, with ``recipe.spikes`` as ``as_calcium``, as the events that a calcium
    recording of them would have shown. Exposure is the time that was observed. Times are read in one pass
    and in flat memory.

    Parameters
    ----------
    points, windows
        Of the outline of the recording.
    arrays
        Reads its times.
    recipe
        Parameters.
    name
        What messages call the file.
    issues
        Receives findings: windows beyond what was observed, neurons left out.

    Raises
    ------
    IssuesError
        If spikes are to be thinned and no window tells the noise.
    InputFileError
        If times cannot be read or do not fit their neurons.
    """
    place = Place(name, item=points.times.object_path)
    require_whole_table(points, name=name)
    if not points.observed_start_s:
        problem = f"Nothing says when the neurons of {points.name} were recorded; they are left out."
        issues.append(issue("suspect-times", problem, place=place, remedy="State it in the overrides."))
        windows = ()
    _check_extent(points, windows, place, issues)
    thinned = points.kind is PointKind.SPIKES and recipe.spikes == "as_calcium"
    if thinned and windows:
        return _thinned(points, windows, arrays, recipe, name=name, place=place, issues=issues)
    blocks = blocks_of(windows, recipe.block_s)
    rows = np.flatnonzero(points.neurons.accepted)
    counts = counts_in_blocks(points, windows, recipe.block_s, arrays, name=name)[rows]
    unknown = np.full(counts.shape, np.nan)
    measured = Measured(
        exposure_s=np.broadcast_to(observed_s(points, blocks), counts.shape),
        n_events=counts.astype(np.float64),
        n_negative=np.zeros(counts.shape),
        activity=unknown,
        mean_dff=unknown,
        noise=unknown,
    )
    are_spikes = points.kind is PointKind.SPIKES
    basis = _basis(points, "spikes" if are_spikes else "calcium", "spikes" if are_spikes else "file_events")
    min_exposure_s = recipe.min_block_share * recipe.block_s - TIME_TOLERANCE_S
    return cell_rows(points.neurons, rows, blocks, measured, basis, min_exposure_s=min_exposure_s)


def _thinned(
    points: Points,
    windows: Sequence[WindowSpan],
    arrays: Arrays,
    recipe: Recipe,
    *,
    name: str,
    place: Place,
    issues: list[Issue],
) -> pd.DataFrame:
    """Return rows with the events that a calcium recording of the spikes would have shown."""
    plan = plan_of(windows, points.observed_start_s[0], points.observed_stop_s[-1], recipe)
    if not plan.baseline:
        problem = "No window baseline or pseudo_baseline was observed, so there is no level for events."
        remedy = "Name a baseline window inside the recording, or count spikes as they are."
        raise IssuesError([issue("no-epochs", problem, place=place, remedy=remedy)])
    source = SpikeTraces(points, arrays, recipe, name=name)
    activity = measure_traces(source, plan, recipe, recipe.calcium.transient.constants_s[1])
    usable = activity.usable
    if not usable.all():
        problem = f"{(~usable).sum()} accepted units never rest, so that calcium events have no level."
        issues.append(
            issue("neuron-left-out", problem, place=place, remedy="Count their spikes as they are.")
        )
    return cell_rows(
        points.neurons,
        source.rows[usable],
        plan.blocks,
        measured_of(activity.tallies, usable, source.rate_hz, with_dff=False, with_amount=False),
        _basis(points, "spikes", "spikes_as_calcium"),
        min_exposure_s=recipe.min_block_share * recipe.block_s - 0.5 / source.rate_hz,
    )


def _basis(points: Points, modality: str, event_basis: str) -> Basis:
    return Basis(points.name, points.times.object_path, modality, event_basis, indicator="")


def _check_extent(points: Points, windows: Sequence[WindowSpan], place: Place, issues: list[Issue]) -> None:
    for span in windows:
        begin_s, end_s = points.observed_start_s[0], points.observed_stop_s[-1]
        if span.start_s < begin_s - SLACK_S or span.stop_s > end_s + SLACK_S:
            problem = (
                f"The window {span.window} goes from {span.start_s:g} to {span.stop_s:g} s, "
                f"what was observed from {begin_s:g} to {end_s:g} s."
            )
            remedy = "Only the part inside was measured; correct the windows."
            issues.append(issue("epoch-outside-recording", problem, place=place, remedy=remedy))
