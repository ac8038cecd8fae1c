"""Estimates of an arm, and of an arm against its reference, at animal level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nwbswitch.analysis.estimands.animal_sums import AnimalSums
from nwbswitch.analysis.estimands.pairing import paired_animals
from nwbswitch.analysis.estimands.primary import OK, Key, Layout, evaluate, keys, status
from nwbswitch.analysis.verdicts.pooling import (
    Estimate,
    Statistic,
    jackknife,
    jackknife_between,
    permutation_p,
    relabelled_totals,
    sign_flip,
    swapped_totals,
)

ONE_ANIMAL = "no interval: needs >= 2 animals"
FRAGILE = "no interval: undefined without one of the animals"
_NO_P = ("naive_down", "naive_up", "naive_p_active_after_silent", "naive_corr")


@dataclass(frozen=True, slots=True)
class Difference:
    """Estimates of an arm minus those of its reference.

    ``design`` says whether the same animals are compared with themselves; ``animals`` are those of the
    arm, ``others`` those of the reference (the same within animals).
    """

    estimates: dict[Key, Estimate]
    design: Literal["within", "between"]
    animals: tuple[str, ...]
    others: tuple[str, ...]
    n_left_out: int

    @property
    def n_smaller(self) -> int:
        """Animals of the smaller group."""
        return min(len(self.animals), len(self.others))

    @property
    def shared(self) -> list[tuple[int, int]]:
        """Places (among animals, among others) of animals that are in both groups."""
        return shared_places(self.animals, self.others)


def shared_places(animals: Sequence[str], others: Sequence[str]) -> list[tuple[int, int]]:
    """Return the places of animals that are in both groups."""
    there = {name: place for place, name in enumerate(others)}
    return [(place, there[name]) for place, name in enumerate(animals) if name in there]


def arm_estimates(arm: AnimalSums, *, seed: int = 0) -> dict[Key, Estimate]:
    """Return the pooled estimates of one arm."""
    counts = (len(arm.animals), sum(arm.n_sessions), sum(map(len, arm.neurons)))
    total = arm.sums.sum(axis=0)
    found = {}
    for key in keys(arm.layout):
        state = status(key[0], total, arm.layout, limit=key[1])
        pooled = jackknife(_one_part(key, arm.layout), arm.sums[:, None]) if state == OK else None
        p = math.nan if pooled is None else _p_within(key, arm, seed)
        found[key] = _estimate(pooled, p, state, counts)
    return found


def _one_part(key: Key, layout: Layout) -> Statistic:
    return lambda sums: evaluate(key, sums[..., 0, :], layout)


def _two_parts(key: Key, layout: Layout) -> Statistic:
    return lambda sums: evaluate(key, sums[..., 0, :], layout) - evaluate(key, sums[..., 1, :], layout)


def _p_within(key: Key, arm: AnimalSums, seed: int) -> float:
    """Return the sign-flip P over animals.

    rho* and tau_c flip their numerators, which are defined in every animal and symmetric around 0 where
    the pooled ratio is 0.
    """
    name, limit = key
    if name in _NO_P:
        return math.nan
    if name == "rho_star":
        values = arm.layout.covariance(arm.sums)[:, 0]
    elif name == "tau_c":
        values = arm.layout.pairs(arm.sums)[:, arm.layout.limits.index(limit), 0]
    else:
        values = evaluate(key, arm.sums, arm.layout)
    return sign_flip(values, seed=seed)


def difference_estimates(
    arm: AnimalSums,
    reference: AnimalSums,
    *,
    names: Sequence[str] | None = None,
    permute: bool = True,
    seed: int = 0,
) -> Difference:
    """Return the estimates of an arm minus its reference, and M = rho*_reference - rho*_arm.

    Within animals or between groups as `paired_animals` says; within animals those without the reference
    are left out and counted, and between groups animals in both lend their covariance. Without
    ``permute`` there are intervals and no P, which is enough for a control. ``names`` restricts the
    estimands; M is there with rho_star.
    """
    common = paired_animals(arm.animals, reference.animals)
    within = bool(common)
    animals, others = (common, common) if within else (arm.animals, reference.animals)
    one, two = arm.rows(animals), reference.rows(others)
    counts = (
        len(set(animals) | set(others)),
        _sessions(arm, animals) + _sessions(reference, others),
        len(_neurons(arm, animals) | _neurons(reference, others)),
    )
    layout, plain = arm.layout, arm.layout.expected()
    shared = [] if within else shared_places(animals, others)
    totals = None
    averaged = [layout.averaged(each) for each in (one, two)] if permute else []
    if permute and within:
        totals = swapped_totals(np.concatenate(averaged, axis=1), seed=seed)
    elif permute:
        totals = relabelled_totals(*averaged, shared=shared, seed=seed)
    found = {}
    for key in keys(layout) if names is None else [(name, 0) for name in names]:
        states = [status(key[0], each.sum(axis=0)[0], layout, limit=key[1]) for each in (one, two)]
        state = next((each for each in states if each != OK), OK)
        pooled, p = None, math.nan
        if state == OK:
            if within:
                pooled = jackknife(_two_parts(key, layout), np.concatenate([one, two], axis=1))
            else:
                pooled = jackknife_between(_one_part(key, layout), one, two, shared)
            if totals is not None and key[0] not in _NO_P:
                p = permutation_p(_two_parts(key, plain), totals)
        found[key] = _estimate(pooled, p, state, counts)
    if ("rho_star", 0) in found:
        rho = found["rho_star", 0]
        found["M", 0] = replace(rho, estimate=-rho.estimate)
    left_out = len(set(arm.animals) | set(reference.animals)) - len(set(animals) | set(others))
    return Difference(found, "within" if within else "between", animals, others, left_out)


def _sessions(arm: AnimalSums, animals: Sequence[str]) -> int:
    return sum(n for name, n in zip(arm.animals, arm.n_sessions, strict=True) if name in animals)


def _neurons(arm: AnimalSums, animals: Sequence[str]) -> set[tuple[str, str]]:
    own = zip(arm.animals, arm.neurons, strict=True)
    return {(animal, neuron) for animal, neurons in own if animal in animals for neuron in neurons}


def _estimate(
    pooled: tuple[float, float, float] | None, p: float, state: str, counts: tuple[int, int, int]
) -> Estimate:
    if pooled is None:
        return Estimate(math.nan, math.nan, math.nan, math.nan, state, *counts)
    estimate, se, df = pooled
    if not math.isfinite(se):
        state = ONE_ANIMAL if counts[0] < 2 or math.isnan(df) else FRAGILE
        return Estimate(estimate, math.nan, math.nan, math.nan, state, *counts)
    return Estimate(estimate, se, df, p, state, *counts)
