"""What the whole analysis makes of many simulated studies: words, controls and estimates."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass

import numpy as np

from nwbswitch.analysis.estimands.counts import SessionCounts
from nwbswitch.analysis.simulation.count_studies import Design, simulate_study
from nwbswitch.analysis.simulation.scenarios import Scenario
from nwbswitch.analysis.simulation.static_rois import simulate_static
from nwbswitch.analysis.verdicts.arm_analysis import ArmResult, analyse_arms
from nwbswitch.analysis.verdicts.controls import Outcome
from nwbswitch.analysis.verdicts.verdict import MARGIN
from nwbswitch.schemas.errors import NwbswitchError
from nwbswitch.schemas.jobs import run_jobs

AGAINST_SALINE = ("G", "R_act", "R_sil", "SW", "M")
OF_THE_DRUG = ("rho_star", "tau_c")
PART = 25
"""Studies of one job."""


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """How studies are simulated and analysed.

    Parameters
    ----------
    scenario
        The truth.
    n_animals
        Animals per arm.
    n_neurons
        Neurons per animal before detection, taken in turn.
    window_s, lag_s
        Length of a window and time between the starts of compared windows, s.
    design, shared_share
        As in `simulate_study`.
    margin, draws
        As in the analysis.
    static_rois
        ROIs per session whose marker reports no activity, for the control N4.
    """

    scenario: Scenario
    n_animals: int
    n_neurons: tuple[int, ...] = (60,)
    window_s: float = 600.0
    lag_s: float = 720.0
    design: Design = "crossover"
    shared_share: float = 1.0
    margin: float = MARGIN
    draws: int = 10
    static_rois: int = 0


@dataclass(frozen=True, slots=True)
class StudyOutcome:
    """One simulated study.

    Attributes
    ----------
    word, reference_word
        Verdict of the drug and of the reference.
    controls
        Name and outcome of each negative control of the drug.
    estimates
        G, R_act, R_sil, SW and M against the reference, rho_star and tau_c of the drug; tau_c at the
        largest k of its sweep. NaN where not estimable.
    """

    word: str
    reference_word: str
    controls: tuple[tuple[str, str], ...]
    estimates: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Part:
    plan: StudyPlan
    seed: tuple[int, ...]
    count: int

    def __str__(self) -> str:
        return f"{self.plan.n_animals} animals, part {self.seed[-1] + 1}"


def simulate_outcomes(
    plan: StudyPlan,
    *,
    repetitions: int,
    seed: int = 0,
    workers: int = 1,
    executor: Executor | None = None,
    quiet: bool = True,
) -> list[StudyOutcome]:
    """Return the outcomes of simulated studies.

    The random numbers depend on the seed and the plan alone, not on the number of workers.

    Raises
    ------
    NwbswitchError
        When a study could not be analysed.
    """
    key = zlib.crc32(repr(sorted(asdict(plan).items())).encode())
    parts = [
        _Part(plan, (seed, key, place), min(PART, repetitions - place * PART))
        for place in range(math.ceil(repetitions / PART))
    ]
    done = run_jobs(_outcomes, parts, label="studies", workers=workers, executor=executor, quiet=quiet)
    found: list[StudyOutcome] = []
    for outcome in done:
        if outcome.value is None:
            raise NwbswitchError(f"simulated studies of {plan}: {outcome.reason}")
        found.extend(outcome.value)
    return found


def _outcomes(part: _Part) -> list[StudyOutcome]:
    plan, rng = part.plan, np.random.default_rng(part.seed)
    found = []
    for _ in range(part.count):
        study = simulate_study(
            plan.scenario,
            n_animals=plan.n_animals,
            n_neurons=plan.n_neurons,
            window_s=plan.window_s,
            lag_s=plan.lag_s,
            design=plan.design,
            shared_share=plan.shared_share,
            rng=rng,
        )
        static: list[SessionCounts] = []
        if plan.static_rois:
            static = simulate_static(study, plan.scenario, n_rois=plan.static_rois, rng=rng)
        arms = analyse_arms(
            study,
            reference="saline",
            margin=plan.margin,
            limits=None,
            draws=plan.draws,
            seed=part.seed[0],
            static=static,
        )
        found.append(study_outcome(arms["ketamine"], arms["saline"]))
    return found


def study_outcome(drug: ArmResult, reference: ArmResult) -> StudyOutcome:
    """Return what is kept of one analysed study."""
    estimates = {}
    for name in AGAINST_SALINE:
        found = drug.difference.estimates.get((name, 0)) if drug.difference else None
        estimates[name] = found.estimate if found else math.nan
    for name in OF_THE_DRUG:
        key = max((key for key in drug.drug_estimates if key[0] == name), default=None)
        estimates[name] = drug.drug_estimates[key].estimate if key else math.nan
    return StudyOutcome(
        drug.verdict.word.value,
        reference.verdict.word.value,
        tuple((each.name, each.outcome.value) for each in drug.controls),
        estimates,
    )


def word_shares(outcomes: Sequence[StudyOutcome]) -> dict[str, float]:
    """Return the share of each verdict, the most frequent first."""
    return _shares(Counter(each.word for each in outcomes), len(outcomes))


def failed_shares(outcomes: Sequence[StudyOutcome]) -> dict[str, float]:
    """Return the share of studies in which each negative control failed, by its name; 0 are left out."""
    failed = [{name for name, found in each.controls if found == Outcome.FAILED.value} for each in outcomes]
    return _shares(Counter(name for names in failed for name in names), len(outcomes))


def share_se(share: float, n: int) -> float:
    """Return the Monte-Carlo standard error of a share of ``n`` studies."""
    return math.sqrt(max(share * (1 - share), 0.0) / n)


def _shares(counter: Counter[str], total: int) -> dict[str, float]:
    return {word: count / total for word, count in counter.most_common()}
