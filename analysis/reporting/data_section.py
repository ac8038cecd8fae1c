"""Data used and left out: the flow of recordings, and animals by arm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.figures import switch_figures as figures
from nwbswitch.analysis.figures.flow_figures import ArmFlow, flow_figure
from nwbswitch.analysis.reporting.blocks import Block, Folded, Picture, Pictures, Section, Table, Text
from nwbswitch.analysis.reporting.printed_numbers import NONE, counted, known, whole
from nwbswitch.analysis.runs.results_folder import Results

_MAX_ROWS = 2000
"""More sessions than this stay in the table to download."""
_NOT_STATED = "not stated"


def data_section(results: Results) -> Section:
    """Return what was found, left out and analysed, as a figure and as tables."""
    result = results.result
    sessions = results.sessions
    left_out = {} if sessions is None else _left_out(sessions)
    n_left_out = sum(left_out.values())
    n_found = result["n_sessions"] + n_left_out if sessions is None else len(sessions)
    # Sessions of the cells table without neurons of the type in question are used for other types only.
    without = n_found - n_left_out - result["n_sessions"]
    if without > 0:
        left_out[f"no {result['cell_type']} neurons"] = without
    arms = [
        ArmFlow(name, arm["n_sessions"], arm["n_animals"], arm["n_neurons"])
        for name in results.arms
        for arm in [result["arms"][name]]
    ]
    figure = flow_figure(
        n_found,
        left_out,
        arms,
        cell_type=result["cell_type"],
        n_animals=result["n_animals"],
        n_analysed=result["n_sessions"],
        colours=figures.arm_colours(results.arms, results.reference),
    )
    spoken = "; ".join(
        f"{arm.arm}: {counted(arm.n_sessions, 'session')} of {counted(arm.n_animals, 'animal')}, "
        f"{whole(arm.n_neurons)} neurons"
        for arm in arms
    )
    reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
    picture = Picture(
        "flow",
        figure,
        f"{counted(n_found, 'recording session')} found, {whole(sum(left_out.values()))} left out"
        + (f" ({reasons})" if reasons else "")
        + f". {spoken}.",
        "From the recordings that were found to what is analysed; a neuron counts once, by tracking id.",
    )
    blocks: list[Block] = [Pictures([picture])]
    if sessions is None:
        blocks.append(
            Text(
                "The folder has no sessions.csv: sessions that were left out before measuring are not "
                "known here.",
                "soft",
            )
        )
    else:
        blocks += [_arms_table(sessions), Folded("Every recording session", [_sessions_table(sessions)])]
    gist = f"{whole(result['n_sessions'])} of {counted(n_found, 'session')} analysed"
    return Section("data", "Data used and left out", gist, blocks)


def _left_out(sessions: pd.DataFrame) -> dict[str, int]:
    reasons = sessions.loc[~sessions["included"], "exclusion"].replace("", "reason not stated")
    return {str(reason): int(count) for reason, count in reasons.value_counts().items()}


def _arms_table(sessions: pd.DataFrame) -> Table:
    rows = []
    for arm, own in sessions.groupby("arm", sort=True):
        used = own[own["included"]]
        animals = used.drop_duplicates(["dataset", "animal"])
        n_out = int((~own["included"]).sum())
        rows.append(
            [
                str(arm) or "none",
                str(len(animals)),
                str(len(used)),
                whole(used["n_neurons"].sum()),
                _counts(animals["sex"]),
                _range(used["age_days"]),
                _clock_range(used["time_of_day_h"]),
                _counts(used["batch"]),
                _counts(used["anaesthesia"]),
                str(n_out),
            ]
        )
    head = [
        "Arm",
        "Animals",
        "Sessions",
        "Neurons",
        "Sex",
        "Age (d)",
        "Time of day",
        "Batch",
        "Anaesthesia",
        "Left out",
    ]
    return Table(
        "Animals by arm. Neurons of all types; ages and times of day as median (range) over sessions.",
        head,
        rows,
    )


def _sessions_table(sessions: pd.DataFrame) -> Table:
    ordered = sessions.sort_values(["dataset", "animal", "order", "session"])
    rows = [_session_row(row) for row in ordered.head(_MAX_ROWS).to_dict("records")]
    more = len(ordered) - len(rows)
    tones = ["open" if row[-1] != "yes" else "" for row in rows]
    return Table(
        f"Recording sessions.{f' {more} more are in the table to download.' if more else ''}",
        [
            "Animal",
            "Session",
            "Arm",
            "Genotype",
            "Sex",
            "Order",
            "Age (d)",
            "Weight (g)",
            "Time of day",
            "Neurons",
            "Analysed",
        ],
        rows,
        n_words=5,
        tones=tones,
    )


def _session_row(row: dict[Any, Any]) -> list[str]:
    return [
        row["animal"],
        row["session"],
        row["arm"] or "none",
        row["genotype"] or NONE,
        row["sex"] or NONE,
        str(row["order"]),
        _decimal(row["age_days"]),
        _decimal(row["weight_g"]),
        _clock(row["time_of_day_h"]),
        whole(row["n_neurons"]),
        "yes" if row["included"] else f"no: {row['exclusion'] or 'reason not stated'}",
    ]


def _counts(values: pd.Series) -> str:
    shown = values.replace("", _NOT_STATED).value_counts()
    parts = [f"{count} {value}" for value, count in shown.items()]
    return ", ".join(parts[:4]) + (f", {len(parts) - 4} others" if len(parts) > 4 else "") or NONE


def _range(values: pd.Series) -> str:
    found = values.dropna().to_numpy(dtype=float)
    if not len(found):
        return _NOT_STATED
    low, high = found.min(), found.max()
    return f"{low:.0f}" if low == high else f"{np.median(found):.0f} ({low:.0f} to {high:.0f})"


def _clock_range(values: pd.Series) -> str:
    found = values.dropna().to_numpy(dtype=float)
    if not len(found):
        return _NOT_STATED
    low, high = _clock(found.min()), _clock(found.max())
    return low if low == high else f"{_clock(float(np.median(found)))} ({low} to {high})"


def _clock(hours: float) -> str:
    if not known(hours):
        return NONE
    minutes = round(hours * 60) % (24 * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _decimal(value: float) -> str:
    return f"{value:.0f}" if known(value) else NONE
