"""Which specifications of an analysis are tried: the one of the plan, and those around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Literal

from nwbswitch.schemas.analysis_plan import (
    MAX_SPECIFICATIONS,
    MeasurePlan,
    RobustnessPlan,
    n_specifications,
)

Frames = Literal["all", "still", "matched"]
ALL = "all"


@dataclass(frozen=True, slots=True)
class Specification:
    """One way to analyse the same recordings.

    Attributes
    ----------
    threshold_sd, neuropil_coefficient, frames
        How neurons are measured.
    window_s
        Length of the windows, s: what lies nearest to the administration; 0 for all of them.
    roi_set
        ``all``, ``anatomical``, ``tracked`` or ``detected_k``.
    k
        Detection limit of tau_c; 0 for the sweep of the plan.
    """

    threshold_sd: float
    neuropil_coefficient: float | Literal["fit"]
    frames: Frames = "all"
    window_s: float = 0.0
    roi_set: str = ALL
    k: int = 0

    @property
    def measured(self) -> tuple[float, float | Literal["fit"], Frames]:
        """What decides the measurement; specifications that share it share their cells."""
        return self.threshold_sd, self.neuropil_coefficient, self.frames


def planned(measure: MeasurePlan) -> Specification:
    """Return the specification of the plan itself."""
    return Specification(measure.threshold_sd, measure.neuropil_coefficient, measure.frames)


def specifications(measure: MeasurePlan, asked: RobustnessPlan) -> list[Specification]:
    """Return the specifications to try, the one of the plan first and each once, sorted by what is measured.

    Raises
    ------
    ValueError
        When there are more than `MAX_SPECIFICATIONS`, or a set of ROIs is none.
    """
    for each in asked.roi_sets:
        detected_limit(each)
    own = planned(measure)
    choices: dict[str, Sequence[object]] = {
        "threshold_sd": asked.threshold_sd,
        "neuropil_coefficient": asked.neuropil_coefficient,
        "frames": asked.frames,
        "window_s": asked.window_s,
        "roi_set": asked.roi_sets,
        "k": asked.k,
    }
    with_own = {name: list(dict.fromkeys([getattr(own, name), *values])) for name, values in choices.items()}
    if (n := n_specifications(measure, asked)) > MAX_SPECIFICATIONS:
        raise ValueError(f"these are {n} specifications; at most {MAX_SPECIFICATIONS} are run")
    if asked.crossed:
        combinations = product(*(with_own[each.name] for each in fields(Specification)))
        return _by_measurement(own, [Specification(*values) for values in combinations])
    varied = [replace(own, **{name: value}) for name, values in with_own.items() for value in values[1:]]
    return _by_measurement(own, [own, *varied])


def _by_measurement(own: Specification, chosen: Sequence[Specification]) -> list[Specification]:
    places = {each: place for place, each in enumerate(dict.fromkeys(each.measured for each in chosen))}
    return sorted(
        chosen, key=lambda each: (each != own, each.measured != own.measured, places[each.measured])
    )


def detected_limit(roi_set: str) -> int | None:
    """Return the limit of a set ``detected_k`` of ROIs, None for a set that has none.

    Raises
    ------
    ValueError
        When there is no such set.
    """
    if roi_set in (ALL, "anatomical", "tracked"):
        return None
    name, _, limit = roi_set.partition("_")
    if name == "detected" and limit.isdecimal() and 0 < int(limit) < 1_000_000:
        return int(limit)
    known = "all, anatomical, tracked, or detected_k such as detected_20"
    raise ValueError(f"there is no set of ROIs {roi_set!r}; known are {known}")
