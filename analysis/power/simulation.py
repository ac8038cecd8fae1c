"""Simulated experiments as cross-products per session, without ever making their rows.

Neurons of a session share their windows, so what the likelihood needs of a session are the mean of its
neurons in every window, the scatter of the neurons' window means about it, and the squares left inside
windows. For normal effects these three are independent with known distributions: normal, Wishart (Bartlett
1933, Proceedings of the Royal Society of Edinburgh 53:260-283) and chi-squared. Drawing them costs the same
for ten neurons and for ten million, and nothing is approximated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np

from nwbswitch.analysis.formulas.coding import Coded
from nwbswitch.analysis.power.components import Components
from nwbswitch.analysis.summaries.unit_summaries import (
    SUMMARY_VERSION,
    Definition,
    InnerEffect,
    LocalColumn,
    UnitSummaries,
)

Kind = Literal["between", "crossover"]
ANIMAL: Final = "animal"
SESSION: Final = "session"
NEURON: Final = "neuron"
DRUG: Final = "drug"
EPOCH: Final = "epoch"
RESPONSE: Final = "y"


@dataclass(frozen=True, slots=True)
class NeuronCounts:
    """Numbers of neurons per session: ``mean``, or gamma distributed about it and at least ``minimum``."""

    mean: float
    sd: float = 0.0
    minimum: int = 2

    def draw(self, n_sessions: int, rng: np.random.Generator) -> np.ndarray:
        """Return the number of neurons of each of ``n_sessions``."""
        if self.sd == 0.0:
            return np.full(n_sessions, round(self.mean))
        shape = (self.mean / self.sd) ** 2
        drawn = rng.gamma(shape, self.mean / shape, n_sessions)
        return np.maximum(np.rint(drawn).astype(np.int64), self.minimum)

    def mean_inverse(self) -> float:
        """Return the mean of 1 / neurons: what averaging over neurons leaves of their variance."""
        if self.sd == 0.0:
            return 1.0 / round(self.mean)
        return float(np.mean(1.0 / self.draw(100_000, np.random.default_rng(0))))


@dataclass(frozen=True)
class Layout:
    """One design: animals in arms, sessions in animals, and windows in sessions.

    ``animals`` counts those of one arm (between), or all (crossover, where sessions alternate between the
    arms and every second animal begins with the drug). The first window is the baseline, all others are
    with the drug (or what stands for it in the control arm); ``rows_per_window`` measurements are made of
    every neuron in each.
    """

    kind: Kind
    animals: int
    sessions: int
    neurons: NeuronCounts
    windows: int = 2
    rows_per_window: int = 1

    @property
    def n_animals(self) -> int:
        """All animals."""
        return 2 * self.animals if self.kind == "between" else self.animals

    @property
    def n_sessions(self) -> int:
        """All sessions."""
        return self.n_animals * self.sessions

    @cached_property
    def animal(self) -> np.ndarray:
        """Animal of every session."""
        return np.repeat(np.arange(self.n_animals), self.sessions)

    @cached_property
    def drug(self) -> np.ndarray:
        """Arm of every session: 1 with the drug."""
        if self.kind == "between":
            return np.asarray(self.animal % 2)
        return np.asarray((np.tile(np.arange(self.sessions), self.n_animals) + self.animal) % 2)

    @cached_property
    def epoch(self) -> np.ndarray:
        """Epoch of every window: 0 at baseline, else 1."""
        return (np.arange(self.windows) > 0).astype(float)


@dataclass(frozen=True, slots=True)
class Moments:
    """What is known of the sessions: n neurons each, measured in w windows.

    ``means`` (sessions, w) are over neurons and measurements; ``scatter`` (sessions, w, w) are the
    cross-products of the neurons' window means about them; ``inside`` (sessions,) the squares of
    measurements about their neuron's window mean.
    """

    neurons: np.ndarray
    means: np.ndarray
    scatter: np.ndarray
    inside: np.ndarray


def draw_moments(
    layout: Layout, components: Components, *, effect: float, rng: np.random.Generator
) -> Moments:
    """Return the moments of one simulated experiment.

    ``effect`` is how much more the outcome changes from baseline with the drug than without. Other fixed
    effects are 0: the test of the interaction does not depend on them.
    """
    c, e, T = components, layout.epoch, layout.rows_per_window
    neurons = layout.neurons.draw(layout.n_sessions, rng)
    animals = _pairs(layout.n_animals, c.animal_intercept_sd, c.animal_slope_sd, c.animal_correlation, rng)
    sessions = _pairs(
        layout.n_sessions, c.session_intercept_sd, c.session_slope_sd, c.session_correlation, rng
    )
    response = effect + c.animal_response_sd * rng.standard_normal(layout.n_animals)
    start = animals[layout.animal, 0] + sessions[:, 0]
    change = animals[layout.animal, 1] + sessions[:, 1] + response[layout.animal] * layout.drug
    spread = _neuron_covariance(components, e, T)
    root = np.linalg.cholesky(spread)
    noise = rng.standard_normal((layout.n_sessions, layout.windows)) @ root.T
    means = start[:, None] + change[:, None] * e + noise / np.sqrt(neurons)[:, None]
    scatter = root @ _standard_wishart(neurons - 1, layout.windows, rng) @ root.T
    free = neurons * layout.windows * (T - 1)
    inside = np.zeros(layout.n_sessions)
    if T > 1:
        inside = c.residual_sd**2 * rng.chisquare(free)
    return Moments(neurons, means, scatter, inside)


def summaries_of(moments: Moments, layout: Layout, *, with_slope: bool) -> UnitSummaries:
    """Return the cross-products of the sessions, as if they had been summed from rows.

    Parameters
    ----------
    moments
        The sessions.
    layout
        Their design.
    with_slope
        Whether the model gives neurons a random slope of the epoch beside their intercept.
    """
    n, T, M, G = moments.neurons.astype(float), layout.rows_per_window, moments.means, moments.scatter
    X = np.column_stack([np.ones(layout.windows), layout.epoch])
    Z = X if with_slope else X[:, :1]
    m, k = 3, Z.shape[1]
    A = T * Z.T @ Z
    D_x = T * X.T @ Z  # W'Z of one neuron, the part that is the same for all
    hat = Z @ np.linalg.inv(A) @ Z.T * T
    left = np.eye(layout.windows) - hat  # what a neuron's effects leave of its window means
    second = n[:, None, None] * M[:, :, None] * M[:, None, :] + G
    within = np.zeros((len(n), m, m))
    within[:, :2, :2] = n[:, None, None] * (T * X.T @ left @ X)
    within[:, :2, 2] = within[:, 2, :2] = T * n[:, None] * (M @ left @ X)
    within[:, 2, 2] = T * np.einsum("vw,swv->s", left, second) + moments.inside
    # A column that the neurons' effects reproduce leaves nothing, not a rounding error.
    gone = np.abs(left @ X).max(axis=0) < 1e-12
    within[:, np.r_[gone, False]] = 0.0
    within[:, :, np.r_[gone, False]] = 0.0
    D_y = T * M @ Z  # mean over neurons
    products = np.empty((len(n), m, k, m, k))
    products[:, :2, :, :2, :] = n[:, None, None, None, None] * np.multiply.outer(D_x, D_x)
    mixed = n[:, None, None, None] * D_x[None, :, :, None] * D_y[:, None, None, :]
    products[:, :2, :, 2, :] = mixed
    products[:, 2, :, :2, :] = mixed.transpose(0, 3, 1, 2)
    products[:, 2, :, 2, :] = T**2 * Z.T @ second @ Z
    names = ("(Intercept)", EPOCH)[:k]
    effects = tuple(
        InnerEffect(NEURON, name, () if i == 0 else (EPOCH,), ((_COLUMNS[i], 1.0),))
        for i, name in enumerate(names)
    )
    never = np.zeros(len(n), dtype=bool)
    labels = tuple(f"{each:06d}" for each in range(len(n)))
    return UnitSummaries(
        definition=Definition(SUMMARY_VERSION, RESPONSE, NEURON, SESSION, effects, "", ""),
        columns=_COLUMNS,
        levels={},
        groups={
            SESSION: Coded(SESSION, never, codes=np.arange(len(n)), levels=labels),
            ANIMAL: Coded(ANIMAL, never, codes=layout.animal, levels=labels[: layout.n_animals]),
        },
        values={DRUG: Coded(DRUG, never, numbers=layout.drug.astype(float))},
        n_rows=moments.neurons * layout.windows * T,
        centres=np.zeros((len(n), m)),
        within=within,
        kinds=A[None],
        cell_unit=np.arange(len(n)),
        cell_kind=np.zeros(len(n), dtype=np.int64),
        cell_count=n,
        products=products,
        slopes=None,
        n_missing=0,
        n_excluded=0,
        ranges={EPOCH: (0.0, 1.0)},
    )


_COLUMNS: Final = (LocalColumn(), LocalColumn(numbers=(EPOCH,)))


def _pairs(
    count: int, sd: float, slope_sd: float, correlation: float, rng: np.random.Generator
) -> np.ndarray:
    drawn = rng.standard_normal((count, 2))
    slope = correlation * drawn[:, 0] + np.sqrt(1.0 - correlation**2) * drawn[:, 1]
    return np.column_stack([sd * drawn[:, 0], slope_sd * slope])


def _neuron_covariance(components: Components, epoch: np.ndarray, rows_per_window: int) -> np.ndarray:
    """Return the covariance of one neuron's window means about those of its session."""
    c = components
    X = np.column_stack([np.ones(len(epoch)), epoch])
    across = c.neuron_correlation * c.neuron_sd * c.neuron_slope_sd
    effects = np.array([[c.neuron_sd**2, across], [across, c.neuron_slope_sd**2]])
    return np.asarray(X @ effects @ X.T + np.eye(len(epoch)) * c.residual_sd**2 / rows_per_window)


def _standard_wishart(df: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return draws (sessions, size, size) with unit scale and each its own degrees of freedom.

    Bartlett's factor needs df >= size; fewer degrees of freedom are drawn as sums of squares.
    """
    factor = np.zeros((len(df), size, size))
    for i in range(size):
        factor[:, i, i] = np.sqrt(rng.chisquare(np.maximum(df - i, 1)))
        factor[:, i, :i] = rng.standard_normal((len(df), i))
    found = factor @ factor.transpose(0, 2, 1)
    for place in np.flatnonzero(df < size):
        rows = rng.standard_normal((int(df[place]), size))
        found[place] = rows.T @ rows
    return found
