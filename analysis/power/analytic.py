"""Power of a t test of the animals' means: a check of the simulation, and what limits a design.

In a balanced design with one estimate per animal the test of the interaction is a t test. With n animals
per arm, S sessions each, N neurons and T measurements of each in a window, an animal's mean change has
variance tau_a^2 + tau_s^2 / S + s^2 / (S N), where tau are the slope SDs of animals and sessions and
s^2 = tau_n^2 + sigma^2 (1 + 1 / (w - 1)) / T for one neuron's change over w windows of which the first is
the baseline. Between animals the difference of two means of n animals has t with 2 n - 2 degrees of freedom
and non-centrality delta / sqrt((2 / n)(tau_a^2 + tau_s^2 / S + s^2 / (S N))).

In a crossover with S_1 sessions with the drug and S_0 without, the animal's own slope cancels in its
difference, which has mean delta and variance tau_r^2 + (1 / S_1 + 1 / S_0)(tau_s^2 + s^2 / N), tau_r being
the SD of the animals' responses; the mean over n animals has t with n - 1 degrees of freedom and
non-centrality delta / sqrt(variance / n). Power of the t test: Cohen 1988, chapter 2, by the noncentral t
distribution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nwbswitch.analysis.power.components import Components
from nwbswitch.analysis.power.simulation import Layout, NeuronCounts


@dataclass(frozen=True, slots=True)
class Check:
    """Power by the t test on animals' means.

    ``se`` is the standard error of the effect; ``animal_share``, ``session_share`` and ``neuron_share``
    are the parts of its square that animals, sessions, and neurons with their measurements make.
    """

    power: float
    ncp: float
    df: int
    se: float
    animal_share: float
    session_share: float
    neuron_share: float


def analytic_power(layout: Layout, components: Components, *, effect: float, alpha: float) -> Check:
    """Return the power of a two-sided t test of the animals' means.

    With one animal per arm (or one in all) there are no degrees of freedom: the power is not a number.
    """
    from scipy.stats import nct, t

    c = components
    change = (
        c.neuron_slope_sd**2 + c.residual_sd**2 * (1.0 + 1.0 / (layout.windows - 1)) / layout.rows_per_window
    )
    neuron = change * layout.neurons.mean_inverse()
    if layout.kind == "between":
        parts = (c.animal_slope_sd**2, c.session_slope_sd**2 / layout.sessions, neuron / layout.sessions)
        scale, df = 2.0 / layout.animals, 2 * layout.animals - 2
        parts = (parts[0] + c.animal_response_sd**2 / 2.0, *parts[1:])
    else:
        half = layout.sessions // 2
        inverse = 1.0 / half + 1.0 / (layout.sessions - half)
        parts = (c.animal_response_sd**2, inverse * c.session_slope_sd**2, inverse * neuron)
        scale, df = 1.0 / layout.animals, layout.animals - 1
    total = sum(parts)
    shares = [part / total for part in parts]
    se = (scale * total) ** 0.5
    ncp = abs(effect) / se
    power = float("nan")
    if df > 0:
        limit = float(t.ppf(1.0 - alpha / 2.0, df))
        power = float(nct.sf(limit, df, ncp) + nct.cdf(-limit, df, ncp))
    return Check(power, ncp, df, se, *shares)


@dataclass(frozen=True, slots=True)
class Gains:
    """Power by the t test if one number of a design were doubled, or neurons were without end."""

    animals: float
    sessions: float
    neurons: float
    endless_neurons: float


def gains(layout: Layout, components: Components, *, effect: float, alpha: float) -> Gains:
    """Return what more animals, sessions or neurons would do for the power of a design."""

    def at(changed: Layout) -> float:
        return analytic_power(changed, components, effect=effect, alpha=alpha).power

    counts = layout.neurons
    more = replace(counts, mean=2.0 * counts.mean, sd=2.0 * counts.sd, minimum=2 * counts.minimum)
    return Gains(
        animals=at(replace(layout, animals=2 * layout.animals)),
        sessions=at(replace(layout, sessions=2 * layout.sessions)),
        neurons=at(replace(layout, neurons=more)),
        endless_neurons=at(replace(layout, neurons=NeuronCounts(1e12))),
    )
