"""Simulated experiments, each analysed as the real one will be: by a mixed model and one test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from nwbswitch.analysis.formulas.formula import Formula, read_formula
from nwbswitch.analysis.power.components import Components
from nwbswitch.analysis.power.simulation import (
    ANIMAL,
    DRUG,
    EPOCH,
    NEURON,
    RESPONSE,
    SESSION,
    Layout,
    draw_moments,
    summaries_of,
)
from nwbswitch.schemas.errors import FitError, FormulaError
from nwbswitch.schemas.progress import job_progress

if TYPE_CHECKING:
    from nwbswitch.analysis.inference.inference import Ddf
    from nwbswitch.analysis.summaries.unit_summaries import UnitSummaries

TESTED: Final = (DRUG, EPOCH)
# Experiments of one job: few enough to share out, many enough that a job is not all overhead.
CHUNK: Final = 100
# A search that ended this near to the minimum (in the criterion) leaves the test as it is.
NEAR: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Analysis:
    """How an experiment is analysed: formula, degrees of freedom and level of the test."""

    formula: str
    ddf: Ddf
    alpha: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some simulated experiments of one design: job ``number`` of design ``point``."""

    point: int
    number: int
    layout: Layout
    components: Components
    effect: float
    analysis: Analysis
    count: int
    seed: int

    def __str__(self) -> str:
        layout = self.layout
        return (
            f"{layout.animals} animals, {layout.sessions} sessions, {layout.neurons.mean:g} neurons, "
            f"part {self.number + 1}"
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of some experiments: rejected, without a usable fit, and with a variance at zero."""

    experiments: int
    rejected: int
    failed: int
    singular: int


@dataclass(frozen=True, slots=True)
class EffectTest:
    """The test of drug by epoch in one experiment, with where the search ended (`Optimum.theta`)."""

    estimate: float
    se: float
    df: float
    p: float
    ci_low: float
    ci_high: float
    singular: bool
    theta: np.ndarray


def checked_formula(text: str) -> Formula:
    """Return the formula of an analysis of simulated experiments.

    Raises
    ------
    FormulaError
        If it has other variables or groups than experiments have, or lacks drug by epoch or the neurons.
    """
    formula = read_formula(text)
    effects = {name for term in formula.fixed for name in term}
    effects |= {name for bar in formula.random for term in bar.terms for name in term}
    if formula.response.name != RESPONSE:
        raise FormulaError(
            f"The formula {text!r} has the response {formula.response.name!r}; the outcome of a simulated "
            f"experiment is called {RESPONSE}."
        )
    if unknown := sorted(effects - {DRUG, EPOCH}):
        raise FormulaError(
            f"The formula {text!r} has the variable {unknown[0]!r}; simulated experiments have {DRUG} and "
            f"{EPOCH} (numbers, 0 or 1)."
        )
    for bar in formula.random:
        if bar.group_name not in (ANIMAL, SESSION, NEURON):
            raise FormulaError(
                f"The formula {text!r} has the group {bar.group_name!r}; simulated experiments have "
                f"{ANIMAL}, {SESSION} and {NEURON}."
            )
    if frozenset(TESTED) not in {frozenset(term) for term in formula.fixed}:
        raise FormulaError(f"The formula {text!r} lacks {DRUG}:{EPOCH}, whose power is asked for.")
    inner = [bar for bar in formula.random if bar.group_name == NEURON]
    if not inner or any(set(bar.terms) - {(), (EPOCH,)} for bar in inner):
        raise FormulaError(
            f"The formula {text!r} needs the neurons as (1 | {NEURON}) or (1 + {EPOCH} | {NEURON})."
        )
    if len(inner) > 1 or () not in inner[0].terms:
        raise FormulaError(f"The formula {text!r} may have one bar of {NEURON}, with an intercept.")
    return formula


def guard(formula: Formula, layout: Layout, components: Components) -> tuple[str, ...]:
    """Return the warnings of the design guard.

    Raises
    ------
    FitError
        If the design cannot hold the model.
    """
    from nwbswitch.analysis.summaries.reduce import reduced

    summaries = drawn(formula, layout, components, effect=0.0, rng=np.random.default_rng(0))
    return reduced(summaries, formula, contrasts="treatment")[0].warnings


def drawn(
    formula: Formula, layout: Layout, components: Components, *, effect: float, rng: np.random.Generator
) -> UnitSummaries:
    """Return one simulated experiment as the formula's neurons need it."""
    moments = draw_moments(layout, components, effect=effect, rng=rng)
    return summaries_of(moments, layout, with_slope=_with_slope(formula))


def effect_test(
    summaries: UnitSummaries,
    formula: Formula,
    *,
    ddf: Ddf,
    level: float = 0.95,
    start: np.ndarray | None = None,
) -> EffectTest | None:
    """Return the test of drug by epoch, or None where the search did not end near a minimum.

    Parameters
    ----------
    summaries, formula
        The experiment and its analysis.
    ddf
        Degrees of freedom.
    level
        Coverage of the interval.
    start
        Where to begin the search, of an experiment alike; the usual starts follow if that fails.
    """
    from scipy.stats import norm, t

    from nwbswitch.analysis.inference.inference import inference
    from nwbswitch.analysis.mixed.optimum import optimise
    from nwbswitch.analysis.summaries.reduce import reduced

    model, deviance = reduced(summaries, formula, contrasts="treatment")
    optimum = optimise(deviance, method="reml", start=start)
    if start is not None and not optimum.converged:
        optimum = optimise(deviance, method="reml")
    if not optimum.converged and not optimum.expected_decrease < NEAR:
        return None
    place = next(i for i, term in enumerate(model.terms) if frozenset(term) == frozenset(TESTED))
    contrast = (model.term_of == place).astype(float)
    found = inference(deviance, optimum, ddf=ddf).t_test(contrast)
    distribution = t(found.df) if np.isfinite(found.df) else norm
    half = float(distribution.ppf(0.5 + level / 2.0)) * found.se
    low, high = found.estimate - half, found.estimate + half
    singular = bool(np.any(optimum.zero))
    return EffectTest(found.estimate, found.se, found.df, found.p, low, high, singular, optimum.theta)


def run_chunk(chunk: Chunk) -> Tally:
    """Return how many of a chunk's experiments reject; its random numbers are its own."""
    formula = checked_formula(chunk.analysis.formula)
    rng = np.random.default_rng([chunk.seed, chunk.point, chunk.number])
    report = job_progress("experiments")
    rejected = failed = singular = 0
    start = None
    for done in range(chunk.count):
        summaries = drawn(formula, chunk.layout, chunk.components, effect=chunk.effect, rng=rng)
        try:
            test = effect_test(summaries, formula, ddf=chunk.analysis.ddf, start=start)
        except (FitError, np.linalg.LinAlgError):
            test = None
        if start is None and test is not None:
            start = test.theta
        failed += test is None
        rejected += test is not None and test.p < chunk.analysis.alpha
        singular += test is not None and test.singular
        report(done + 1, chunk.count)
    return Tally(chunk.count, rejected, failed, singular)


def _with_slope(formula: Formula) -> bool:
    return any((EPOCH,) in bar.terms for bar in formula.random if bar.group_name == NEURON)
