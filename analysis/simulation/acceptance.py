"""What the verdict must keep to in simulated studies, and whether it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nwbswitch.analysis.simulation.count_studies import Design
from nwbswitch.analysis.simulation.scenarios import SCENARIOS
from nwbswitch.analysis.simulation.study_outcomes import StudyOutcome, StudyPlan, share_se
from nwbswitch.analysis.verdicts.verdict import Word

Bound = Literal["at most", "at least"]

MAX_FALSE = 0.05
MIN_POWER = 0.90
NEURONS = 60
NEURONS_BEFORE_DETECTION = 84
"""Of which about 60 are detected in the scenarios with activity-dependent detection."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """The share of a word in a scenario that is allowed or needed."""

    scenario: str
    n_animals: int
    word: Word
    bound: Bound
    limit: float

    def holds(self, share: float) -> bool:
        """Return whether a share keeps to it."""
        return share <= self.limit if self.bound == "at most" else share >= self.limit


@dataclass(frozen=True, slots=True)
class Layout:
    """A design of the simulated studies."""

    name: str
    design: Design = "crossover"
    shared_share: float = 1.0
    sizes: tuple[float, ...] = (1.0,)
    """Neurons of the animals in turn, in units of the usual number."""

    def plan(self, scenario: str, n_animals: int) -> StudyPlan:
        """Return the plan of studies with about 60 neurons per animal after detection."""
        truth = SCENARIOS[scenario]
        usual = NEURONS_BEFORE_DETECTION if truth.min_events else NEURONS
        return StudyPlan(
            truth,
            n_animals,
            n_neurons=tuple(round(usual * size) for size in self.sizes),
            design=self.design,
            shared_share=self.shared_share,
        )


LAYOUTS = (
    Layout("crossover"),
    Layout("crossover, half of the neurons the same", shared_share=0.5),
    Layout("crossover, other neurons", shared_share=0.0),
    Layout("crossover, unequal animals", sizes=(0.25, 0.5, 0.75, 1.0, 1.5, 2.0)),
    Layout("between animals", design="between"),
)
"""Designs that the requirements are checked in; unequal animals have 15 to 120 neurons."""

WITHOUT_SWITCH = (
    "no effect",
    "drift",
    "gain",
    "gain, false events",
    "slow fluctuation",
    "reshuffle",
    "reshuffle, detected",
    "reshuffle, soft detection",
    "reshuffle, fluctuation",
)
PARTLY = ("swap", "swap, detected")
WITH_SWITCH = ("switch", "switch, detected", "switch, soft detection")

REQUIREMENTS: tuple[Requirement, ...] = (
    *(Requirement(name, n, Word.SWITCH, "at most", MAX_FALSE) for name in WITHOUT_SWITCH for n in (6, 12)),
    *(Requirement(name, 3, Word.SWITCH, "at most", 0.0) for name in (*WITHOUT_SWITCH, *PARTLY, *WITH_SWITCH)),
    *(Requirement(name, n, Word.RESHUFFLE, "at most", MAX_FALSE) for name in PARTLY for n in (6, 12)),
    *(Requirement(name, n, Word.SWITCH, "at most", MAX_FALSE) for name in PARTLY for n in (6, 12)),
    *(Requirement(name, n, Word.SWITCH, "at least", MIN_POWER) for name in WITH_SWITCH for n in (6, 12)),
)
"""False switches and false reshuffles at most 5 %, a switch found in at least 90 %, none with 3 animals."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A requirement with the share that was found."""

    requirement: Requirement
    share: float
    se: float
    n_studies: int

    @property
    def held(self) -> bool:
        """Whether the share keeps to the limit."""
        return self.requirement.holds(self.share)


def judged(requirement: Requirement, outcomes: Sequence[StudyOutcome]) -> Judgement:
    """Return how a requirement fares in simulated studies of its scenario and size."""
    n = len(outcomes)
    share = sum(each.word == requirement.word.value for each in outcomes) / n
    return Judgement(requirement, share, share_se(share, n), n)
