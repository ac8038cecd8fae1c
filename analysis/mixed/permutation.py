"""Permutation tests over animals, or whatever the outermost independent groups are.

Each cluster is reduced to numbers of its own (`cluster_summaries`): generalised least squares on its rows.
An effect that is constant in clusters (drug between animals) becomes a linear model of these numbers over
clusters, and clusters are dealt anew to the designs. An effect that every cluster has itself (drug
alternating by session in an animal) becomes one contrast per cluster, and its signs are flipped.

Exactness. Dealing anew is exact if clusters are exchangeable under the null hypothesis, whatever the
distribution. With effects besides the tested one that differ between clusters (sex, a third arm) clusters
are dealt only within strata in which these are the same, which is exact again, or, where strata would leave
fewer than 20 ways, residuals of the null model are dealt (Freedman and Lane 1983), which is approximate.
Flipping signs is exact if the contrasts are symmetric about the null value, as they are if the labels within
each cluster could as well be exchanged. Weights within clusters do not depend on the labels: they are those
of the model without the tested variable, its inner variances estimated with any effects of the outermost
groups taken out.

All arrangements are enumerated if they are few, else sampled and P is (b + 1) / (m + 1) (Phipson and Smyth
2010). The statistic is the squared t, or F, of the linear model over clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np

from nwbswitch.analysis.mixed.arrangements import (
    all_deals,
    all_signs,
    n_deals,
    some_deals,
    some_signs,
)
from nwbswitch.analysis.mixed.cluster_regression import ClusterRegression, same_rows
from nwbswitch.analysis.mixed.cluster_summaries import (
    ClusterDesign,
    cluster_design,
    in_model_columns,
    own_values,
)
from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.optimum import psi_of, theta_gradient, theta_layout
from nwbswitch.analysis.mixed.permutation_result import PermutationTest, Weights
from nwbswitch.analysis.mixed.restricted import restricted
from nwbswitch.analysis.mixed.tested_contrasts import tested_contrasts
from nwbswitch.schemas.errors import FitError

Nuisance = Literal["auto", "strata", "residuals"]
# Strata that leave fewer ways than this cannot reach P = .05.
FEW: Final = 20
# Variance, relative to the residual's, of effects that are to have no bounds.
UNBOUNDED: Final = 1e6
# Rounding must not make the given arrangement rarer than its mirror image.
TIE: Final = 1e-9


def permutation_test(
    model: Model,
    deviance: Deviance,
    tested: str | np.ndarray,
    *,
    null: float = 0.0,
    nuisance: Nuisance = "auto",
    weights: Weights = "model",
    max_arrangements: int = 20_000,
    seed: int = 0,
) -> PermutationTest:
    """Return the permutation test over the outermost groups of a fixed effect.

    Parameters
    ----------
    model, deviance
        The model; its own fit is not needed.
    tested
        Name of a term (all its coefficients at once) or of a coefficient, or contrasts (r, p) or (p,).
    null
        Value of the contrast under the null hypothesis; other than 0 for one contrast only.
    nuisance
        What to do about other effects that differ between clusters: deal within ``strata`` where they are
        the same, deal ``residuals``, or ``auto`` for strata if at least 20 ways are left.
    weights
        ``model``: of rows within a cluster as in the model; ``rows``: equal.
    max_arrangements
        So many are enumerated at most; if there are more, so many are sampled.
    seed
        Of the sample.

    Raises
    ------
    FitError
        If there are no independent clusters, too few, or the effect is neither constant in clusters nor
        present in at least two.
    ValueError
        For an argument that does not exist or fit.
    """
    if nuisance not in get_args(Nuisance):
        raise ValueError(f"nuisance is {nuisance!r}; available are {', '.join(get_args(Nuisance))}.")
    if weights not in get_args(Weights):
        raise ValueError(f"weights is {weights!r}; available are {', '.join(get_args(Weights))}.")
    if max_arrangements < 100:
        raise ValueError(f"max_arrangements is {max_arrangements}; it must be at least 100.")
    names, rows = tested_contrasts(model, tested)
    if null != 0.0 and len(rows) > 1:
        raise ValueError("A null value other than 0 needs one contrast, not several.")
    nothing = [np.zeros((sum(sizes), sum(sizes))) for sizes in deviance.block_sizes]
    plain_sums = deviance.cluster_sums(nothing)
    A, right = in_model_columns(plain_sums, deviance.scaling)
    design = cluster_design(A)
    within = not np.isnan(own_values(A, right, rows)).any(axis=1).all()
    notes: list[str] = []
    if weights == "model":
        psi = _label_free(model, deviance, rows, design, within=within)
        if psi is None:
            weights = "rows"
            notes.append("Rows weigh the same within clusters: a random term holds the tested variable.")
        else:
            A, right = in_model_columns(deviance.cluster_sums(psi), deviance.scaling)
    common = _Common(
        model, names, rows, null, plain_sums.group, plain_sums.labels, weights, max_arrangements, seed, notes
    )
    offset = deviance.scaling.offset
    if within:
        return _within(common, own_values(A, right, rows) + rows @ offset)
    return _between(common, A, right, offset, design, nuisance)


@dataclass(frozen=True, slots=True)
class _Common:
    """What both kinds of test need."""

    model: Model
    names: tuple[str, ...]
    rows: np.ndarray
    null: float
    group: str
    labels: tuple[str, ...]
    weights: Weights
    max_arrangements: int
    seed: int
    notes: list[str]


def _label_free(
    model: Model, deviance: Deviance, rows: np.ndarray, design: ClusterDesign, *, within: bool
) -> list[np.ndarray] | None:
    """Return Psi of a fit without the labels, zero at the outermost level; None if there is no such fit.

    The labels are all columns with a multiple of their own between clusters, and those of a tested variable
    that is in no inner random term within clusters.
    """
    columns = np.flatnonzero(np.any(rows != 0.0, axis=0))
    inner = {
        name for level in model.levels[:-1] for block in level.blocks for term in block.terms for name in term
    }
    variables = [frozenset(model.terms[model.term_of[i]]) for i in range(len(model.names))]
    if within:
        shared = frozenset.intersection(*(variables[i] for i in columns)) - inner
        if not shared:
            return None
        dropped = [i for i in range(len(variables)) if shared <= variables[i]]
    else:
        dropped = [i for i in range(len(variables)) if design.base[i] != i]
        labels = {name for i in columns for name in variables[i] - variables[design.base[i]]}
        if labels & inner:
            return None
    held = restricted(deviance, np.eye(len(variables))[dropped], np.zeros(len(dropped)))
    return _inner_psi(held)


def _inner_psi(deviance: Deviance) -> list[np.ndarray]:
    """Return the most likely Psi of the inner levels if effects of the outermost have no bounds."""
    from scipy.optimize import minimize

    layout = theta_layout(deviance)
    inner = np.array([level < len(deviance.block_sizes) - 1 for level, _, _ in layout], dtype=bool)
    k = sum(deviance.block_sizes[-1])
    theta = np.array([0.5 if row == column else 0.0 for _, row, column in layout])

    def value(own: np.ndarray) -> tuple[float, np.ndarray]:
        theta[inner] = own
        psi = psi_of(deviance, theta)
        psi[-1] = UNBOUNDED * np.eye(k)
        found = deviance.evaluate(psi, method="ml")
        return found.criterion, theta_gradient(deviance, theta, found.gradient)[inner]

    if inner.any():
        search: Any = minimize  # the stubs know no function that returns its gradient too
        options = {"ftol": 1e-13, "gtol": 1e-6}
        theta[inner] = search(value, theta[inner], jac=True, method="L-BFGS-B", options=options).x
    psi = psi_of(deviance, theta)
    psi[-1] = np.zeros((k, k))
    return psi


def _within(common: _Common, contrasts: np.ndarray) -> PermutationTest:
    kept = ~np.isnan(contrasts).any(axis=1)
    values = contrasts[kept] - common.null
    n, r = values.shape
    if n <= r:
        raise FitError(
            f"Only {n} {common.group} have {', '.join(common.names)} within them; more than {r} are needed."
        )
    total = values.T @ values
    if np.linalg.matrix_rank(total) < r:
        raise FitError(
            f"{', '.join(common.names)} do not vary between {common.group}: nothing can be tested."
        )
    inverse = np.linalg.inv(total)

    def statistics(signs: np.ndarray) -> np.ndarray:
        mean = signs @ values / n
        share = np.einsum("ni,ij,nj->n", mean, inverse, mean) * n
        # Hotelling's T^2 over r; share is a squared correlation, 1 for values that are all the same.
        with np.errstate(divide="ignore"):
            return np.asarray((n - 1.0) * share / np.maximum(1.0 - share, 0.0) / r)

    enumerated = 2**n <= common.max_arrangements
    if enumerated:
        found = statistics(all_signs(n))
    else:
        rng = np.random.default_rng(common.seed)
        found = np.append(
            statistics(np.ones((1, n))), statistics(some_signs(n, common.max_arrangements, rng))
        )
    return _result(
        common,
        kind="within",
        found=found,
        ways=2**n,
        enumerated=enumerated,
        exact=True,
        estimates=contrasts[kept].mean(axis=0),
        kept=kept,
        value_names=common.names,
        values=contrasts[kept],
        strata=np.zeros(n, dtype=np.int64),
    )


def _between(
    common: _Common,
    A: np.ndarray,
    right: np.ndarray,
    offset: np.ndarray,
    design: ClusterDesign,
    nuisance: Nuisance,
) -> PermutationTest:
    model, rows = common.model, common.rows
    columns = np.flatnonzero(np.any(rows != 0.0, axis=0))
    alone = [model.names[i] for i in columns if design.base[i] == i]
    if alone:
        raise FitError(
            f"{alone[0]} has no counterpart in the other {common.group} to deal labels against. If it is "
            "constant within them, write the formula with an intercept and all main effects (a * b)."
        )
    bases = np.flatnonzero(design.base == np.arange(len(design.base)))
    used = np.unique(design.base[columns])
    wanted = np.eye(len(bases))[np.searchsorted(bases, used)]
    values = own_values(A[:, bases[:, None], bases], right[:, bases], wanted)
    kept = ~np.isnan(values).any(axis=1)
    values = values[kept]
    for position, base in enumerate(used):
        own = design.base == base
        values[:, position] += design.multiples[kept][:, own] @ offset[own]
    regression = ClusterRegression.of(values, rows, design, used, kept, common.null)
    n = len(values)
    if n <= max(matrix.shape[1] for matrix in regression.designs):
        raise FitError(
            f"{n} {common.group} are too few to test {', '.join(common.names)} beside the other effects."
        )
    kinds = same_rows(np.concatenate(regression.designs, axis=1))
    strata = same_rows(np.concatenate(regression.nulls, axis=1))
    notes = common.notes
    exact = True
    if strata.max() > 0:
        ways = n_deals(strata, kinds)
        if nuisance == "residuals" or (nuisance == "auto" and ways < FEW):
            strata, exact = np.zeros_like(strata), False
            notes.append(
                "Residuals of the model without the tested effect were dealt, since other effects differ "
                f"between {common.group} (within strata of them there are {ways} ways)."
            )
        else:
            notes.append(f"Dealt within {strata.max() + 1} strata of the other effects.")
    ways = n_deals(strata, kinds)
    enumerated = ways <= common.max_arrangements
    if enumerated:
        found = regression.statistics(all_deals(strata, kinds))
    else:
        rng = np.random.default_rng(common.seed)
        sampled = some_deals(strata, common.max_arrangements, rng)
        found = regression.statistics(np.concatenate([np.arange(n)[None], sampled]))
    return _result(
        common,
        kind="between",
        found=found,
        ways=ways,
        enumerated=enumerated,
        exact=exact,
        estimates=regression.estimates(),
        kept=kept,
        value_names=tuple(model.names[i] for i in used),
        values=values,
        strata=strata,
    )


def _result(
    common: _Common,
    *,
    kind: Literal["between", "within"],
    found: np.ndarray,
    ways: int,
    enumerated: bool,
    exact: bool,
    estimates: np.ndarray,
    kept: np.ndarray,
    value_names: tuple[str, ...],
    values: np.ndarray,
    strata: np.ndarray,
) -> PermutationTest:
    """Return the test from the statistics of all arrangements, the given one first."""
    notes = common.notes
    at_least = ~(found < found[0] * (1.0 - TIE))
    p = float(at_least.mean())
    largest = ~(found < found.max() * (1.0 - TIE))
    smallest = float(largest.mean()) if enumerated else max(1.0 / len(found), 1.0 / ways)
    if ways == 1:
        p = smallest = float("nan")
        notes.append("There is one arrangement only, so there is no P value.")
    elif smallest > 0.05:
        notes.append(f"With these {common.group} no P below {smallest:.3g} can come out.")
    labels = np.array(common.labels, dtype=object)
    if not kept.all():
        notes.append(f"{int((~kept).sum())} {common.group} were left out: they do not have the effect.")
    return PermutationTest(
        tested=common.names,
        kind=kind,
        group=common.group,
        estimates=estimates,
        statistic=float(found[0]),
        p=p,
        smallest_p=smallest,
        n_arrangements=len(found) if enumerated else len(found) - 1,
        enumerated=enumerated,
        exact=exact,
        weights=common.weights,
        seed=common.seed,
        labels=tuple(labels[kept].tolist()),
        value_names=value_names,
        values=values,
        strata=strata,
        left_out=tuple(labels[~kept].tolist()),
        notes=tuple(notes),
    )
