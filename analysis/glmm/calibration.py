"""How often tests of yes/no outcomes and of counts reject, on simulated sessions with a known truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd

from nwbswitch.analysis.gee.covariance import Covariance
from nwbswitch.analysis.gee.fit import fit_binomial_gee, fit_counts_gee
from nwbswitch.analysis.glmm.animal_logit import animal_logit_test
from nwbswitch.analysis.glmm.fit import fit_binomial
from nwbswitch.analysis.inference.wald import ClusterDdf

ALPHA: Final = 0.05
TESTS: Final = (
    "chi-square over neurons",
    "GLMM Laplace z",
    "GLMM Laplace t",
    "GEE robust z",
    "GEE bias-reduced t",
    "GEE Kauermann-Carroll t",
    "animal-logit t",
    "animal-logit permutation",
)
COUNT_TESTS: Final = (
    "neurons as clusters, z",
    "GEE robust z",
    "GEE bias-reduced t",
    "GEE Kauermann-Carroll t",
    "animal log-rate t",
)
Outcome = Literal["yes-no", "counts"]


@dataclass(frozen=True, slots=True)
class SessionDesign:
    """Arms between animals; logits scatter between animals and between sessions (SD, log odds).

    Neurons per session are negative binomial with ``neurons_mean`` and size ``neurons_size``, at least
    ``neurons_least``. ``effect`` is the log odds ratio of the second arm, or the log rate ratio of counts,
    whose logarithms scatter with the same SDs.
    """

    animals_per_arm: int
    sessions_per_animal: int = 2
    neurons_mean: float = 50.0
    neurons_size: float = 4.0
    neurons_least: int = 10
    logit_intercept: float = -1.5
    animal_sd: float = 0.6
    session_sd: float = 0.3
    effect: float = 0.0


@dataclass(frozen=True, slots=True)
class _Sessions:
    """Animal, arm, number of neurons and shift of the predictor of every session."""

    animal: np.ndarray
    arm: np.ndarray
    neurons: np.ndarray
    shift: np.ndarray


def _sessions(design: SessionDesign, rng: np.random.Generator) -> _Sessions:
    n_animals = 2 * design.animals_per_arm
    animal = np.repeat(np.arange(n_animals), design.sessions_per_animal)
    treated = animal >= design.animals_per_arm
    share = design.neurons_size / (design.neurons_size + design.neurons_mean)
    drawn = rng.negative_binomial(design.neurons_size, share, len(animal))
    shift = (
        design.effect * treated
        + rng.normal(0.0, design.animal_sd, n_animals)[animal]
        + rng.normal(0.0, design.session_sd, len(animal))
    )
    arm = np.where(treated, "drug", "control")
    return _Sessions(animal, arm, np.maximum(design.neurons_least, drawn), shift)


def simulated_sessions(design: SessionDesign, rng: np.random.Generator) -> pd.DataFrame:
    """Return one row per session: animal, session, arm, yes, n."""
    made = _sessions(design, rng)
    probability = 1.0 / (1.0 + np.exp(-design.logit_intercept - made.shift))
    return pd.DataFrame(
        {
            "animal": made.animal,
            "session": np.arange(len(made.animal)),
            "arm": made.arm,
            "yes": rng.binomial(made.neurons, probability),
            "n": made.neurons,
        }
    )


def simulated_neurons(design: SessionDesign, rng: np.random.Generator) -> pd.DataFrame:
    """Return one row per neuron: animal, session, neuron, arm, events, minutes.

    Neurons have 0.5 events per minute on average, gamma distributed with CV 1.5, over 5 to 15 minutes.
    """
    made = _sessions(design, rng)
    session = np.repeat(np.arange(len(made.animal)), made.neurons)
    minutes = rng.uniform(5.0, 15.0, len(made.animal))[session]
    shape = 1.0 / 1.5**2
    rates = 0.5 * np.exp(made.shift)[session] * rng.gamma(shape, 1.0 / shape, len(session))
    return pd.DataFrame(
        {
            "animal": made.animal[session],
            "session": session,
            "neuron": np.arange(len(session)),
            "arm": made.arm[session],
            "events": rng.poisson(rates * minutes),
            "minutes": minutes,
        }
    )


def p_values(sessions: pd.DataFrame) -> dict[str, float]:
    """Return the P of every test of `TESTS` for one set of `simulated_sessions`."""
    from scipy.stats import chi2_contingency, norm

    counts = sessions.assign(no=sessions["n"] - sessions["yes"]).groupby("arm")[["yes", "no"]].sum()
    mixed = fit_binomial(sessions, "cbind(yes, n - yes) ~ arm + (1 | animal) + (1 | session)").fixed[1]
    formula = "cbind(yes, n - yes) ~ arm"
    robust = fit_binomial_gee(sessions, formula, groups="animal", cov="robust", ddf="none").fixed[1]
    reduced = fit_binomial_gee(sessions, formula, groups="animal").fixed[1]
    rooted = fit_binomial_gee(sessions, formula, groups="animal", cov="kauermann-carroll").fixed[1]
    animals = animal_logit_test(sessions, formula, animal="animal")
    values = (
        float(chi2_contingency(counts.to_numpy(), correction=False).pvalue),
        2.0 * float(norm.sf(abs(mixed.t))),
        mixed.p,
        robust.p,
        reduced.p,
        rooted.p,
        animals.p_t,
        animals.p_permutation,
    )
    return dict(zip(TESTS, values, strict=True))


def count_p_values(neurons: pd.DataFrame) -> dict[str, float]:
    """Return the P of every test of `COUNT_TESTS` for one set of `simulated_neurons`."""
    from scipy.stats import ttest_ind

    def by_equations(groups: str, cov: Covariance, ddf: ClusterDdf) -> float:
        fit = fit_counts_gee(neurons, "events ~ arm", groups=groups, exposure="minutes", cov=cov, ddf=ddf)
        return fit.fixed[1].p

    sums = neurons.groupby(["arm", "animal"], as_index=False)[["events", "minutes"]].sum()
    rates = np.log((sums["events"].to_numpy() + 0.5) / sums["minutes"].to_numpy())
    treated = sums["arm"].to_numpy() == "drug"
    values = (
        by_equations("neuron", "robust", "none"),
        by_equations("animal", "robust", "none"),
        by_equations("animal", "bias-reduced", "clusters"),
        by_equations("animal", "kauermann-carroll", "clusters"),
        float(ttest_ind(rates[treated], rates[~treated]).pvalue),
    )
    return dict(zip(COUNT_TESTS, values, strict=True))


def rejection_rates(
    design: SessionDesign, *, n_sets: int, seed: int = 0, outcome: Outcome = "yes-no"
) -> pd.DataFrame:
    """Return test, share of sets with P <= 0.05, and its Monte-Carlo standard error.

    A P that is not a number (a permutation that could not reach 5 %) does not reject.
    """
    rng = np.random.default_rng([seed, design.animals_per_arm])
    if outcome == "counts":
        rows = [count_p_values(simulated_neurons(design, rng)) for _ in range(n_sets)]
    else:
        rows = [p_values(simulated_sessions(design, rng)) for _ in range(n_sets)]
    share = (pd.DataFrame(rows) <= ALPHA).mean()
    error = np.sqrt(share * (1.0 - share) / n_sets)
    return pd.DataFrame({"test": share.index, "rejected": share.to_numpy(), "mc_se": error.to_numpy()})
