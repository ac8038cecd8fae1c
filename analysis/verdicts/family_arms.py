"""What an arm has for each family of estimands: pooled values with their jackknife, and animals' own.

Both classes answer the same questions, `FamilyArm` from sums that add and `TransitionArm` from tables of
counts, where every value is a fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.estimands.counts import Contrast, Floats, SessionCounts, WindowCounts, by_animal
from nwbswitch.analysis.estimands.families import Family, paired_windows
from nwbswitch.analysis.estimands.primary import OK
from nwbswitch.analysis.estimands.transitions import NAMES, RateTable, enough_blocks, rate_table, transitions

N_GROUPS = 20
"""Groups of neurons that are left out in turn for an animal's own standard error."""
MAX_FITS = 25
"""Groups of animals that are left out in turn where every value is a fit."""

Groups = Mapping[tuple[str, str], NDArray[np.intp]]
"""Group of every neuron by animal and session; a neuron that is followed has one group."""


@dataclass(frozen=True, slots=True)
class Replicates:
    """A value with the values without each animal (or group of animals); NaN with fewer than two."""

    value: float
    left: Floats
    status: str


@dataclass(frozen=True, slots=True)
class Members:
    """Sessions and neurons of one animal that contribute."""

    n_sessions: int
    neurons: frozenset[str]


def neuron_groups(sessions: Sequence[SessionCounts]) -> Groups:
    """Return a group for every neuron, at random, the same wherever its tracking id is seen again."""
    found: dict[tuple[str, str], NDArray[np.intp]] = {}
    for animal, own in by_animal(sessions).items():
        names, place = np.unique(np.concatenate([each.identity for each in own]), return_inverse=True)
        group = np.random.default_rng(0).permutation(names.size) % N_GROUPS
        ends = np.cumsum([each.identity.size for each in own])[:-1]
        for session, part in zip(own, np.split(group[place.ravel()], ends), strict=True):
            found[animal, session.session] = part
    return found


@dataclass(frozen=True, slots=True)
class FamilyArm:
    """Sums of one family in one arm and contrast.

    Attributes
    ----------
    members
        By animal, sorted by name.
    sums
        Shape (animals, sums).
    left
        The same without each group of the animal's neurons, shape (animals, groups, sums).
    """

    family: Family
    members: dict[str, Members]
    sums: Floats
    left: Floats

    @classmethod
    def of(
        cls, family: Family, sessions: Sequence[SessionCounts], contrast: Contrast, groups: Groups
    ) -> FamilyArm:
        """Return the sums of all animals that have both windows of the contrast."""
        members, sums, left = {}, [], []
        for animal, used in _animals(sessions, contrast):
            own_sums, own_left, neurons = [], [], set()
            for session, before, after, chosen in used:
                terms = family.terms(before, after)
                total = terms.sum(axis=0)
                group = groups[animal, session.session][chosen]
                member = (group == np.arange(N_GROUPS)[:, None]).astype(float)
                own_sums.append(family.close(total))
                own_left.append(family.close(total - member @ terms))
                neurons.update(session.identity[chosen].tolist())
            members[animal] = Members(len(used), frozenset(neurons))
            sums.append(np.sum(own_sums, axis=0))
            left.append(np.sum(own_left, axis=0))
        return cls(family, members, np.array(sums), np.array(left))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the estimands."""
        return tuple(self.family.estimands)

    def rows(self, animals: Sequence[str]) -> Floats:
        """Return the sums of these animals, shape (animals, sums)."""
        places = list(self.members)
        return self.sums[[places.index(animal) for animal in animals]]

    def pooled(self, animals: Sequence[str]) -> dict[str, Replicates]:
        """Return the values of these animals together."""
        sums = self.rows(animals)
        total = sums.sum(axis=0)
        found = {}
        for name, statistic in self.family.estimands.items():
            state = self.family.status(name, total)
            left = statistic(total - sums) if len(sums) > 1 else np.full(len(sums), math.nan)
            found[name] = Replicates(float(statistic(total)) if state == OK else math.nan, left, state)
        return found

    def own(self, animal: str) -> dict[str, Replicates]:
        """Return the values of one animal, with those without each group of its neurons."""
        place = list(self.members).index(animal)
        found = {}
        for name, statistic in self.family.estimands.items():
            state = self.family.status(name, self.sums[place])
            value = float(statistic(self.sums[place])) if state == OK else math.nan
            found[name] = Replicates(value, statistic(self.left[place]), state)
        return found

    def own_variance(self, name: str, animal: str) -> float:
        """Return the variance over neurons that the sums of one animal hold, NaN where they hold none."""
        variance = self.family.variances.get(name)
        return math.nan if variance is None else float(variance(self.rows([animal])[0]))


@dataclass(frozen=True, slots=True)
class TransitionArm:
    """Counts of one arm and contrast from which transitions are fitted.

    Attributes
    ----------
    members
        By animal, sorted by name; an animal without a neuron that has enough blocks stays, with none.
    """

    members: dict[str, Members]
    table: RateTable

    @classmethod
    def of(cls, sessions: Sequence[SessionCounts], contrast: Contrast) -> TransitionArm:
        """Return the counts of all animals that have both windows of the contrast."""
        members, groups = {}, []
        for animal, used in _animals(sessions, contrast):
            neurons: set[str] = set()
            for session, before, after, chosen in used:
                neurons.update(session.identity[chosen][enough_blocks(before, after)].tolist())
            members[animal] = Members(len(used), frozenset(neurons))
            groups.append([(before, after) for _, before, after, _ in used])
        return cls(members, rate_table(groups))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the estimands."""
        return NAMES

    def pooled(self, animals: Sequence[str]) -> dict[str, Replicates]:
        """Return the values of these animals together."""
        places = list(self.members)
        chosen = np.array([places.index(animal) for animal in animals], dtype=np.intp)
        group = np.arange(chosen.size) % MAX_FITS
        n_left = min(chosen.size, MAX_FITS)
        values, state = transitions(self.table, chosen)
        left = np.full((n_left, len(NAMES)), math.nan)
        if n_left > 1 and state == OK:
            left = np.array([transitions(self.table, chosen[group != out])[0] for out in range(n_left)])
        return {name: Replicates(float(values[i]), left[:, i], state) for i, name in enumerate(NAMES)}

    def own(self, animal: str) -> dict[str, Replicates]:
        """Return the values of one animal; fits of its neurons are not repeated."""
        values, state = transitions(self.table, np.array([list(self.members).index(animal)]))
        none = np.full(1, math.nan)
        return {name: Replicates(float(values[i]), none, state) for i, name in enumerate(NAMES)}

    def own_variance(self, name: str, animal: str) -> float:
        """Return NaN: nothing says how an animal's own transitions vary."""
        return math.nan


_Used = tuple[SessionCounts, WindowCounts, WindowCounts, NDArray[np.bool_]]


def _animals(sessions: Sequence[SessionCounts], contrast: Contrast) -> Iterator[tuple[str, list[_Used]]]:
    for animal, own in by_animal(sessions).items():
        paired = [(session, paired_windows(session, contrast)) for session in own]
        used = [(session, *windows) for session, windows in paired if windows is not None]
        if used:
            yield animal, used
