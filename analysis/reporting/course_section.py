"""Time courses: when the effect begins, where it is largest, when half of it is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nwbswitch.analysis.estimands.course_features import FROM_THE_START
from nwbswitch.analysis.figures.course_figures import time_course_figure
from nwbswitch.analysis.figures.switch_figures import LABELS
from nwbswitch.analysis.reporting.blocks import (
    Block,
    Folded,
    Picture,
    Pictures,
    Section,
    Table,
    Text,
    figure_name,
)
from nwbswitch.analysis.reporting.printed_numbers import NONE, known, short, signed
from nwbswitch.analysis.reporting.verdict_sections import tested_first
from nwbswitch.analysis.runs.results_folder import Results

_ESTIMANDS = ("rho_star", "SW", "G")
_WIDTH_IN, _HEIGHT_IN = 4.5, 2.9
"""Two beside each other on a page."""
_FEATURES = {
    "onset_s": "Onset (min)",
    "peak_s": "Peak at (min)",
    "peak": "Peak",
    "half_recovery_s": "Half-recovery (min)",
}


def course_section(results: Results) -> Section:
    """Return the time courses with onset, peak and half-recovery; a sentence when there are none."""
    title, courses = "Time courses", results.time_courses
    if courses is None or courses.empty:
        words = "Time courses were not made here. A run of a plan makes them, unless the plan says none."
        return Section("courses", title, "not made", [Text(words)])
    cell_type = results.result["cell_type"]
    own = courses[courses["cell_type"] == cell_type]
    features = results.course_features
    if features is not None:
        features = features[features["cell_type"] == cell_type]
    width = own["width_s"].max() / 60
    blocks: list[Block] = [
        Text(
            f"Sliding windows of {short(width)} minutes against the baseline; time 0 is the administration. "
            "Thin lines are animals, thick lines all animals. The shade is the 95 % band over all times, or, "
            "lighter and with fewer than six animals, the interval at each time. Ticks on a curve are onset "
            "and half-recovery, the diamond is the peak, with 95 % intervals."
        )
    ]
    drawn = [
        picture
        for estimand in _ESTIMANDS
        for picture in [_picture(results, own, features, estimand, "drug")]
        if picture is not None
    ]
    blocks.append(Pictures(drawn) if drawn else Text("No estimand has a time course of this cell type."))
    if features is not None and (table := _features(results, features)) is not None:
        blocks.append(table)
    contrasts = sorted({name for name in own["contrast"] if name.startswith("vs_")})
    for place, contrast in enumerate(contrasts):
        against = [
            picture
            for estimand in _ESTIMANDS
            for picture in [_picture(results, own, features, estimand, contrast, place=place)]
            if picture is not None
        ]
        blocks.append(Folded(f"Minus {contrast.removeprefix('vs_')}", [Pictures(against)]))
    gist = "" if features is None else _gist(results, features)
    return Section("courses", title, gist, blocks)


def _picture(
    results: Results,
    courses: pd.DataFrame,
    features: pd.DataFrame | None,
    estimand: str,
    contrast: str,
    *,
    place: int = 0,
) -> Picture | None:
    rows = courses[(courses["estimand"] == estimand) & (courses["contrast"] == contrast)]
    if rows.empty:
        return None
    there = set(rows["arm"])
    figure = time_course_figure(
        rows,
        estimand,
        arms=[arm for arm in results.arms if arm in there],
        reference=results.reference,
        contrast=contrast,
        features=features,
    )
    figure.set_size_inches(_WIDTH_IN, _HEIGHT_IN)
    words = "" if contrast == "drug" else f" minus {contrast.removeprefix('vs_')}"
    return Picture(
        figure_name("course", estimand, "" if contrast == "drug" else f"difference_{place}"),
        figure,
        f"{LABELS[estimand]}{words} over time, every animal, {' and '.join(sorted(there))}.",
    )


def _features(results: Results, features: pd.DataFrame) -> Table | None:
    found: dict[tuple[str, str, str], dict[str, Mapping[Any, Any]]] = {}
    for row in features[features["level"] == "arm"].to_dict("records"):
        key = row["arm"], row["contrast"], row["estimand"]
        found.setdefault(key, {})[row["feature"]] = row
    order = {arm: place for place, arm in enumerate(tested_first(results))}
    rows = [
        [
            arm if contrast == "drug" else f"{arm} minus {contrast.removeprefix('vs_')}",
            LABELS.get(estimand, estimand),
            *_row(own),
        ]
        for (arm, contrast, estimand), own in sorted(
            found.items(), key=lambda item: (order.get(item[0][0], len(order)), item[0])
        )
    ]
    if not rows:
        return None
    head = ["Arm", "Estimand", *_FEATURES.values()]
    words = "Onset, peak and half-recovery of all animals (95 % CI). ≤: at or before the first window."
    return Table(words, head, rows, n_words=2)


def _row(features: Mapping[str, Mapping[Any, Any]]) -> list[str]:
    """Return the features of one course; why there is none is said once."""
    said: set[str] = set()
    shown = []
    for name in _FEATURES:
        text = _feature(features.get(name), name)
        shown.append(NONE if text in said else text)
        if name in features and not known(features[name]["estimate"]):
            said.add(text)
    return shown


def _feature(row: Mapping[Any, Any] | None, name: str) -> str:
    if row is None:
        return NONE
    if not known(row["estimate"]):
        return str(row["status"]).partition(":")[0]
    shown = _minutes if name.endswith("_s") else signed
    text = ("≤ " if row["status"] == FROM_THE_START else "") + shown(row["estimate"])
    if known(row["ci_low"]) and known(row["ci_high"]):
        text += f" ({shown(row['ci_low'])} to {shown(row['ci_high'])})"
    return text


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}".replace("-0.0", "0.0").replace("-", "\u2212")


def _gist(results: Results, features: pd.DataFrame) -> str:
    """Return the onset of the effect in the first tested arm, where there is one."""
    arm = tested_first(results)[0]
    own = features[
        (features["level"] == "arm")
        & (features["arm"] == arm)
        & (features["feature"] == "onset_s")
        & features["estimate"].notna()
    ]
    for estimand in _ESTIMANDS:
        rows = own[own["estimand"] == estimand].sort_values("contrast", ascending=False)
        if len(rows):
            start = _minutes(rows["estimate"].iloc[0])
            when = "by" if rows["status"].iloc[0] == FROM_THE_START else "from"
            return f"{arm}: {LABELS[estimand]} changes {when} minute {start}"
    return "no onset found"
