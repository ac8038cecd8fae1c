"""Rows of the exploratory estimands, for animals and arms, and against the reference.

The animal is the unit: sums of animals are pooled by ratio of sums, with a jackknife over animals (Efron and
Tibshirani 1993, eq. 11.5), and between two groups of animals with the degrees of freedom of Welch 1947
(Biometrika 34:28-35). An animal's own standard error is a delete-a-group jackknife over its neurons, or the
variance that its sums hold. P values come from exchanging the arms within animals, or dealing the animals
anew, only where the number of animals can support one, and only for estimands that test one thing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nwbswitch.analysis.estimands.counts import DRUG, PSEUDO, Contrast, Floats, SessionCounts
from nwbswitch.analysis.estimands.families import Family, Statistic
from nwbswitch.analysis.estimands.instrumental import INSTRUMENTAL
from nwbswitch.analysis.estimands.log_rates import LOG_RATES
from nwbswitch.analysis.estimands.naive import NAIVE
from nwbswitch.analysis.estimands.overlap import OVERLAP
from nwbswitch.analysis.estimands.primary import OK
from nwbswitch.analysis.estimands.transitions import NAMES as TRANSITIONS
from nwbswitch.analysis.verdicts.arm_analysis import ArmResult, arm_key
from nwbswitch.analysis.verdicts.contrasts import FRAGILE, ONE_ANIMAL, Difference
from nwbswitch.analysis.verdicts.estimates_table import EstimateRow
from nwbswitch.analysis.verdicts.family_arms import (
    FamilyArm,
    Members,
    Replicates,
    TransitionArm,
    neuron_groups,
)
from nwbswitch.analysis.verdicts.pooling import Estimate, permutation_p, relabelled_totals, swapped_totals

FAMILIES: dict[str, Family] = {
    "overlap": OVERLAP,
    "instrumental": INSTRUMENTAL,
    "log_rates": LOG_RATES,
    "naive": NAIVE,
}
EXPLORATORY: tuple[str, ...] = (
    *(name for family in FAMILIES.values() for name in family.estimands),
    *TRANSITIONS,
)
"""Names of all exploratory estimands, in the order of the rows."""


@dataclass(frozen=True, slots=True)
class _Heading:
    """What the rows of one contrast of one arm share."""

    dataset: str
    cell_type: str
    arm: str
    simulated: bool
    contrast: str


def exploratory_rows(
    by_type: Mapping[str, Mapping[str, ArmResult]], *, dataset: str, simulated: bool, seed: int = 0
) -> list[EstimateRow]:
    """Return the rows of all exploratory estimands, by cell type and arm.

    Parameters
    ----------
    by_type
        Results by cell type and arm, with their sessions.
    dataset, simulated
        Of every row.
    seed
        Of permutations that are too many to list.

    Returns
    -------
    list
        Levels arm and animal; contrasts drug, pseudo and that against the reference, of animals only where
        they are compared with themselves. The role is exploratory.
    """
    rows: list[EstimateRow] = []
    for cell_type, arms in by_type.items():
        values = _Values(arms.values())
        for name, arm in arms.items():
            headings = {
                contrast: _Heading(dataset, cell_type, name, simulated, contrast)
                for contrast in (DRUG.name, PSEUDO.name, arm.contrast_name)
            }
            rows += _rows_of_arm(arm, values, headings, seed)
    return rows


_Sums = FamilyArm | TransitionArm
_Counts = tuple[int, int, int]
"""Animals, sessions and neurons."""


class _Arm:
    """One family in one arm and contrast; what was estimated once is kept."""

    def __init__(self, sums: _Sums) -> None:
        self.sums = sums
        self._pooled: dict[tuple[str, ...], dict[str, Replicates]] = {}
        self._own: dict[str, dict[str, Replicates]] = {}

    @property
    def members(self) -> dict[str, Members]:
        """Animals with what they contribute."""
        return self.sums.members

    def pooled(self, animals: Sequence[str]) -> dict[str, Replicates]:
        """Return the values of these animals together."""
        key = tuple(animals)
        if key not in self._pooled:
            self._pooled[key] = self.sums.pooled(animals)
        return self._pooled[key]

    def own(self, animal: str) -> dict[str, Replicates]:
        """Return the values of one animal."""
        if animal not in self._own:
            self._own[animal] = self.sums.own(animal)
        return self._own[animal]


class _Values:
    """All families in all arms of one cell type; sums of an arm are made once."""

    def __init__(self, arms: Iterable[ArmResult]) -> None:
        sessions = [each for arm in arms for each in (*arm.sessions, *arm.compared_sessions)]
        self._groups = neuron_groups(list({(each.animal, each.session): each for each in sessions}.values()))
        self._made: dict[tuple[str, str], list[_Arm]] = {}

    def of(self, sessions: Sequence[SessionCounts], contrast: Contrast) -> list[_Arm]:
        """Return every family for the sessions of one arm."""
        key = (arm_key(sessions[0]) if sessions else "", contrast.name)
        if key not in self._made:
            sums: list[_Sums] = [
                FamilyArm.of(family, sessions, contrast, self._groups) for family in FAMILIES.values()
            ]
            self._made[key] = [_Arm(each) for each in (*sums, TransitionArm.of(sessions, contrast))]
        return self._made[key]


def _rows_of_arm(
    arm: ArmResult, values: _Values, headings: Mapping[str, _Heading], seed: int
) -> Iterator[EstimateRow]:
    for contrast in (DRUG, PSEUDO):
        for own in values.of(arm.sessions, contrast):
            yield from _own_rows(headings[contrast.name], own)
    if arm.difference is None:
        return
    others = values.of(arm.compared_sessions, arm.compared_contrast)
    for one, two in zip(values.of(arm.sessions, DRUG), others, strict=True):
        yield from _difference_rows(headings[arm.contrast_name], one, two, arm.difference, seed)


def _own_rows(heading: _Heading, arm: _Arm) -> Iterator[EstimateRow]:
    animals = list(arm.members)
    if not animals:
        return
    counts = _counts(arm.members.items())
    for name, found in arm.pooled(animals).items():
        yield _row(heading, "", name, _pooled(found.value, found.left, found.status, counts))
    for animal in animals:
        counts = _counts([(animal, arm.members[animal])])
        for name, found in arm.own(animal).items():
            variance = arm.sums.own_variance(name, animal)
            se = math.sqrt(variance) if math.isfinite(variance) else _spread(found.left)
            yield _row(heading, animal, name, _own(found.value, se, found.status, counts))


def _difference_rows(
    heading: _Heading, one: _Arm, two: _Arm, difference: Difference, seed: int
) -> Iterator[EstimateRow]:
    animals = [name for name in difference.animals if name in one.members]
    others = [name for name in difference.others if name in two.members]
    within = difference.design == "within"
    if within:
        animals = others = [name for name in animals if name in two.members]
    if not animals or not others:
        return
    both = [*((name, one.members[name]) for name in animals), *((name, two.members[name]) for name in others)]
    counts = _counts(both)
    first, second = one.pooled(animals), two.pooled(others)
    totals = _totals(one.sums, two.sums, animals, others, within, seed)
    for name in one.sums.names:
        a, b = first[name], second[name]
        state = next((each.status for each in (a, b) if each.status != OK), OK)
        value = a.value - b.value
        if within:
            pooled = _pooled(value, a.left - b.left, state, counts)
        else:
            pooled = _between(value, a.left, b.left, state, counts, _shared(animals, others))
        if isinstance(one.sums, FamilyArm) and name in one.sums.family.tested and pooled.estimable:
            p = permutation_p(_two_parts(one.sums.family.estimands[name]), totals)
            pooled = replace(pooled, p=p)
        yield _row(heading, "", name, pooled)
    for animal in animals if within else ():
        counts = _counts([(animal, one.members[animal]), (animal, two.members[animal])])
        own, other = one.own(animal), two.own(animal)
        for name in one.sums.names:
            a, b = own[name], other[name]
            state = next((each.status for each in (a, b) if each.status != OK), OK)
            variance = one.sums.own_variance(name, animal) + two.sums.own_variance(name, animal)
            se = math.sqrt(variance) if math.isfinite(variance) else _spread(a.left - b.left)
            yield _row(heading, animal, name, _own(a.value - b.value, se, state, counts))


def _totals(
    one: _Sums, two: _Sums, animals: Sequence[str], others: Sequence[str], within: bool, seed: int
) -> Floats | None:
    """Return the totals of both arms under all exchanges of labels; None where there are none to test."""
    if not (isinstance(one, FamilyArm) and isinstance(two, FamilyArm) and one.family.tested):
        return None
    first, second = one.rows(animals), two.rows(others)
    if within:
        return swapped_totals(np.stack([first, second], axis=1), seed=seed)
    if _shared(animals, others):
        return None
    return relabelled_totals(first[:, None], second[:, None], seed=seed)


def _shared(animals: Sequence[str], others: Sequence[str]) -> list[tuple[int, int]]:
    return [(i, others.index(name)) for i, name in enumerate(animals) if name in others]


def _two_parts(statistic: Statistic) -> Statistic:
    return lambda sums: np.asarray(statistic(sums[..., 0, :]) - statistic(sums[..., 1, :]))


def _spread(left: Floats) -> float:
    """Return the jackknife standard error from the values without each part; NaN where one is missing."""
    n = left.size
    if n < 2:
        return math.nan
    return math.sqrt((n - 1) / n * float(((left - left.mean()) ** 2).sum()))


def _counts(members: Iterable[tuple[str, Members]]) -> _Counts:
    neurons: dict[str, frozenset[str]] = {}
    n_sessions = 0
    for animal, each in members:
        neurons[animal] = neurons.get(animal, frozenset()) | each.neurons
        n_sessions += each.n_sessions
    return len(neurons), n_sessions, sum(map(len, neurons.values()))


def _pooled(value: float, left: Floats, state: str, counts: _Counts) -> Estimate:
    return _estimate(value, _spread(left), float(left.size - 1), state, counts)


def _between(
    value: float,
    left: Floats,
    other: Floats,
    state: str,
    counts: _Counts,
    shared: list[tuple[int, int]],
) -> Estimate:
    variances = [_spread(each) ** 2 for each in (left, other)]
    total = sum(variances)
    df = float(min(left.size, other.size) - 1)
    if math.isfinite(total) and total > 0:
        parts = zip(variances, (left, other), strict=True)
        df = total**2 / sum(variance**2 / (each.size - 1) for variance, each in parts)
    u, w = (math.sqrt((each.size - 1) / each.size) * (each.mean() - each) for each in (left, other))
    grouped = any(i >= u.size or j >= w.size for i, j in shared)
    covariance = 0.0 if grouped else float(sum(u[i] * w[j] for i, j in shared))
    se = math.sqrt(max(total - 2 * covariance, 0.0)) if math.isfinite(total) else math.nan
    return _estimate(value, se, df, state, counts)


def _estimate(value: float, se: float, df: float, state: str, counts: _Counts) -> Estimate:
    if state != OK:
        return Estimate(math.nan, math.nan, math.nan, math.nan, state, *counts)
    if not math.isfinite(se):
        word = ONE_ANIMAL if df < 1 else FRAGILE
        return Estimate(value, math.nan, math.nan, math.nan, word, *counts)
    return Estimate(value, se, df, math.nan, OK, *counts)


def _own(value: float, se: float, state: str, counts: _Counts) -> Estimate:
    if state != OK:
        value = se = math.nan
    return Estimate(value, se, math.nan, math.nan, state, *counts)


def _row(heading: _Heading, animal: str, name: str, estimate: Estimate) -> EstimateRow:
    low, high = (math.nan, math.nan) if animal else estimate.interval()
    return EstimateRow(
        dataset=heading.dataset,
        arm=heading.arm,
        cell_type=heading.cell_type,
        contrast=heading.contrast,
        level="animal" if animal else "arm",
        animal=animal,
        estimand=name,
        k=0,
        estimate=estimate.estimate,
        se=estimate.se,
        ci_low=low,
        ci_high=high,
        df=estimate.df,
        p=estimate.p,
        n_animals=estimate.n_animals,
        n_sessions=estimate.n_sessions,
        n_neurons=estimate.n_neurons,
        status=estimate.status,
        simulated=heading.simulated,
        role="exploratory",
    )
