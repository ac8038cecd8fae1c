"""`time_courses`: G, SW and rho* in sliding windows after the administration, and their features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nwbswitch.analysis.estimands.counts import DRUG, Floats, SessionCounts, by_animal
from nwbswitch.analysis.estimands.course_curves import (
    COURSES,
    REST,
    AnimalCourses,
    Curve,
    arm_curve,
    band,
    difference_curve,
    interval_status,
)
from nwbswitch.analysis.estimands.course_features import course_features
from nwbswitch.analysis.estimands.course_sums import (
    LAYOUT,
    AfterBlocks,
    Grid,
    after_blocks,
    course_sums,
    sliding_grid,
)
from nwbswitch.analysis.estimands.pairing import paired_animals
from nwbswitch.schemas.result_tables import COURSE_FEATURES, SESSIONS, TIME_COURSES

NO_DRUG = "none"
"""Name of the arm of recordings without any administration."""


@dataclass(frozen=True, slots=True)
class _Heading:
    """What all rows of one contrast of one arm share."""

    dataset: str
    arm: str
    cell_type: str
    contrast: str
    simulated: bool


def time_courses(
    sessions: Sequence[SessionCounts],
    *,
    reference: str | Mapping[str, str] | None,
    sessions_table: pd.DataFrame | None = None,
    width_s: float = 300.0,
    step_s: float = 60.0,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the time courses of one data set and their features.

    Everything recorded in the windows drug, washout and recovery is compared with the baseline of the same
    session. Neurons are selected on the halves of the baseline only. A reference is compared at the same
    lag, within animals when at least two, and half of those of the arm, have both.

    Parameters
    ----------
    sessions
        Sessions of one data set, of any cell types.
    reference
        Arm that all others are compared with, or one for each arm by name; None compares nothing.
    sessions_table
        Columns of ``SESSIONS``: its ``administration_s`` is time zero; of other sessions it is the start
        of the drug window.
    width_s, step_s
        Width of the sliding window and time between two, s.
    seed
        Of the signs of the simultaneous band when there are too many animals to list all.

    Returns
    -------
    courses
        Columns of ``TIME_COURSES``, rows of arms with intervals at each time (``ci_low``, ``ci_high``) and
        simultaneously (``band_low``, ``band_high``), and of animals. No row for a time before the first or
        after the last that the arm has.
    features
        Columns of ``COURSE_FEATURES``, of arms only: no band says when a single animal leaves rest.

    Raises
    ------
    ValueError
        When an argument is out of range, the sessions are of several data sets, or the starts of blocks are
        not known.
    TableError
        When the sessions table does not fit its specification, or starts of blocks are not finite.
    """
    for name, value in (("width_s", width_s), ("step_s", step_s)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be above 0 s, not {value!r}")
    datasets = sorted({session.dataset for session in sessions})
    if len(datasets) > 1:
        raise ValueError(f"time courses are of one data set, not of {len(datasets)}: {', '.join(datasets)}")
    references = _references(sessions, reference)
    zeros_s = _administrations_s(sessions_table, datasets)
    blocks = [after_blocks(session, zeros_s) for session in sessions]
    ends_s = [float((each.start_s + each.length_s).max()) for each in blocks if each is not None]
    tables: tuple[list[pd.DataFrame], list[pd.DataFrame]] = ([], [])
    if ends_s:
        grid = sliding_grid(max(ends_s), width_s=width_s, step_s=step_s)
        for cell_type in sorted({session.cell_type for session in sessions}):
            pairs = zip(sessions, blocks, strict=True)
            own = [(session, each) for session, each in pairs if session.cell_type == cell_type]
            for kind, found in zip(tables, _of_type(cell_type, own, grid, references, seed), strict=True):
                kind += found
    courses, features = (
        spec.checked(pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(spec.names)))
        for spec, found in zip((TIME_COURSES, COURSE_FEATURES), tables, strict=True)
    )
    return courses, features


def _arm_of(session: SessionCounts) -> str:
    return session.arm or NO_DRUG


def _references(
    sessions: Sequence[SessionCounts], reference: str | Mapping[str, str] | None
) -> dict[str, str]:
    """Return the reference of each arm that has one."""
    arms = sorted({_arm_of(session) for session in sessions})
    if reference is None:
        return {}
    if isinstance(reference, str):
        reference = dict.fromkeys(arms, reference)
    for name in sorted(set(reference.values())):
        if name not in arms:
            raise ValueError(f"no arm {name!r} in these sessions; the arms are {', '.join(arms)}")
    return {arm: name for arm, name in reference.items() if arm != name}


def _administrations_s(table: pd.DataFrame | None, datasets: Sequence[str]) -> dict[tuple[str, str], float]:
    if table is None:
        return {}
    table = SESSIONS.checked(table)
    table = table[table["dataset"].isin(datasets) & np.isfinite(table["administration_s"])]
    keys = zip(table["animal"], table["session"], strict=True)
    return dict(zip(keys, table["administration_s"].astype(float), strict=True))


_Found = tuple[list[pd.DataFrame], list[pd.DataFrame]]


def _of_type(
    cell_type: str,
    sessions: Sequence[tuple[SessionCounts, AfterBlocks | None]],
    grid: Grid,
    references: Mapping[str, str],
    seed: int,
) -> _Found:
    simulated = any(session.simulated for session, _ in sessions)
    dataset = sessions[0][0].dataset
    arms = {}
    for arm in sorted({_arm_of(session) for session, _ in sessions}):
        courses = _animal_courses([pair for pair in sessions if _arm_of(pair[0]) == arm], grid)
        if courses.present.any():
            arms[arm] = courses
    rows: list[pd.DataFrame] = []
    features: list[pd.DataFrame] = []
    for arm, own in arms.items():
        heading = _Heading(dataset, arm, cell_type, DRUG.name, simulated)
        for estimand in COURSES:
            pooled = _pooled(heading, grid, arm_curve(own, estimand), estimand, REST[estimand], seed)
            rows.append(pooled[0])
            features.append(pooled[1])
            for animal in own.animals:
                rows.append(
                    _animal_rows(heading, grid, arm_curve(own.of([animal]), estimand), estimand, animal)
                )
        if references.get(arm) not in arms:
            continue
        reference = references[arm]
        heading = _Heading(dataset, arm, cell_type, f"vs_{reference}", simulated)
        one, two, within = _compared(own, arms[reference])
        for estimand in COURSES:
            curve = difference_curve(one, two, estimand, within=within)
            pooled = _pooled(heading, grid, curve, estimand, 0.0, seed)
            rows.append(pooled[0])
            features.append(pooled[1])
            for animal in one.animals if within else ():
                curve = difference_curve(one.of([animal]), two.of([animal]), estimand, within=True)
                rows.append(_animal_rows(heading, grid, curve, estimand, animal))
    return [each for each in rows if len(each)], features


def _animal_courses(
    sessions: Sequence[tuple[SessionCounts, AfterBlocks | None]], grid: Grid
) -> AnimalCourses:
    blocks = {session.session + "\n" + session.animal: after for session, after in sessions}
    names, sums, present = [], [], []
    for animal, own in by_animal(session for session, _ in sessions).items():
        total = np.zeros((grid.starts_s.size, LAYOUT.size))
        there = np.zeros(grid.starts_s.size, dtype=bool)
        for session in own:
            after = blocks[session.session + "\n" + animal]
            if after is not None:
                found, here = course_sums(session, after, grid)
                total += found
                there |= here
        if there.any():
            names.append(animal)
            sums.append(total)
            present.append(there)
    shape = (0, grid.starts_s.size)
    if not names:
        return AnimalCourses((), np.zeros((*shape, LAYOUT.size)), np.zeros(shape, dtype=bool))
    return AnimalCourses(tuple(names), np.stack(sums), np.stack(present))


def _compared(arm: AnimalCourses, other: AnimalCourses) -> tuple[AnimalCourses, AnimalCourses, bool]:
    """Return the animals that are compared, by the rule of differences between arms."""
    common = paired_animals(arm.animals, other.animals)
    if common:
        return arm.of(common), other.of(common), True
    return arm, other, False


def _pooled(
    heading: _Heading, grid: Grid, curve: Curve, estimand: str, rest: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    uncertainty = band(curve, seed=seed)
    values, half, wide = curve.values, uncertainty.half_interval, uncertainty.half_band
    numbers = {
        "se": uncertainty.se,
        "ci_low": values - half,
        "ci_high": values + half,
        "band_low": values - wide,
        "band_high": values + wide,
    }
    words = interval_status(curve, uncertainty)
    rows = _frame(heading, "arm", "", estimand, grid, curve, words, numbers)
    found = course_features(grid.centres_s, curve, uncertainty, rest=rest)
    features = pd.DataFrame(
        {
            "dataset": heading.dataset,
            "arm": heading.arm,
            "cell_type": heading.cell_type,
            "contrast": heading.contrast,
            "level": "arm",
            "animal": "",
            "estimand": estimand,
            "feature": [each.name for each in found],
            "estimate": [each.estimate for each in found],
            "ci_low": [each.ci_low for each in found],
            "ci_high": [each.ci_high for each in found],
            "n_animals": int(curve.n_animals.max(initial=0)),
            "status": [each.status for each in found],
            "simulated": heading.simulated,
        }
    )
    return rows, features


def _animal_rows(heading: _Heading, grid: Grid, curve: Curve, estimand: str, animal: str) -> pd.DataFrame:
    none = np.full(curve.values.size, math.nan)
    numbers = dict.fromkeys(("se", "ci_low", "ci_high", "band_low", "band_high"), none)
    return _frame(heading, "animal", animal, estimand, grid, curve, curve.statuses, numbers)


def _frame(
    heading: _Heading,
    level: str,
    animal: str,
    estimand: str,
    grid: Grid,
    curve: Curve,
    words: Sequence[str],
    numbers: Mapping[str, Floats],
) -> pd.DataFrame:
    """Return the rows from the first to the last time at which anything was recorded."""
    there = np.flatnonzero(curve.n_animals > 0)
    kept = slice(there[0], there[-1] + 1) if there.size else slice(0)
    return pd.DataFrame(
        {
            "dataset": heading.dataset,
            "arm": heading.arm,
            "cell_type": heading.cell_type,
            "contrast": heading.contrast,
            "level": level,
            "animal": animal,
            "estimand": estimand,
            "time_s": grid.centres_s[kept],
            "width_s": grid.width_s,
            "estimate": curve.values[kept],
            **{name: values[kept] for name, values in numbers.items()},
            "n_animals": curve.n_animals[kept].astype(np.int64),
            "status": list(words[kept]),
            "simulated": heading.simulated,
        }
    )
