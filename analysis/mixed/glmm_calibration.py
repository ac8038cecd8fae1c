"""How often tests of yes/no outcomes reject, on simulated sessions with a known truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.gee.fit import fit_binomial_gee
from nwbswitch.analysis.mixed.animal_logit import animal_logit_test
from nwbswitch.analysis.mixed.glmm_fit import fit_binomial

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


@dataclass(frozen=True, slots=True)
class SessionDesign:
    """Arms between animals; logits scatter between animals and between sessions (SD, log odds).

    Neurons per session are negative binomial with ``neurons_mean`` and size ``neurons_size``, at least
    ``neurons_least``. ``effect`` is the log odds ratio of the second arm.
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


def simulated_sessions(design: SessionDesign, rng: np.random.Generator) -> pd.DataFrame:
    """Return one row per session: animal, session, arm, yes, n."""
    n_animals = 2 * design.animals_per_arm
    animal = np.repeat(np.arange(n_animals), design.sessions_per_animal)
    treated = animal >= design.animals_per_arm
    share = design.neurons_size / (design.neurons_size + design.neurons_mean)
    neurons = np.maximum(design.neurons_least, rng.negative_binomial(design.neurons_size, share, len(animal)))
    logit = (
        design.logit_intercept
        + design.effect * treated
        + rng.normal(0.0, design.animal_sd, n_animals)[animal]
        + rng.normal(0.0, design.session_sd, len(animal))
    )
    return pd.DataFrame(
        {
            "animal": animal,
            "session": np.arange(len(animal)),
            "arm": np.where(treated, "drug", "control"),
            "yes": rng.binomial(neurons, 1.0 / (1.0 + np.exp(-logit))),
            "n": neurons,
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


def rejection_rates(design: SessionDesign, *, n_sets: int, seed: int = 0) -> pd.DataFrame:
    """Return test, share of sets with P <= 0.05, and its Monte-Carlo standard error.

    A P that is not a number (a permutation that could not reach 5 %) does not reject.
    """
    rng = np.random.default_rng([seed, design.animals_per_arm])
    found = pd.DataFrame([p_values(simulated_sessions(design, rng)) for _ in range(n_sets)])
    share = (found <= ALPHA).mean()
    error = np.sqrt(share * (1.0 - share) / n_sets)
    return pd.DataFrame({"test": share.index, "rejected": share.to_numpy(), "mc_se": error.to_numpy()})
