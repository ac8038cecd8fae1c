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

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.resampling.arrangements import (
    all_deals,
    all_signs,
    n_deals,
    some_deals,
    some_signs,
)
from nwbswitch.analysis.resampling.cluster_regression import ClusterRegression, same_rows
from nwbswitch.analysis.resampling.cluster_summaries import own_values
from nwbswitch.analysis.resampling.permutation_result import PermutationTest, Weights
from nwbswitch.analysis.resampling.prepared_clusters import Nuisance, PreparedClusters, prepared_clusters
from nwbswitch.schemas.errors import FitError

# Strata that leave fewer ways than this cannot reach P = .05.
FEW: Final = 20
# Rounding must not make the given arrangement rarer than its mirror image.
TIE: Final = 1e-9
_HALVINGS: Final = 30


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
    prepared = prepared_clusters(
        model,
        deviance,
        tested,
        nuisance=nuisance,
        weights=weights,
        max_arrangements=max_arrangements,
        seed=seed,
    )
    if null != 0.0 and len(prepared.rows) > 1:
        raise ValueError("A null value other than 0 needs one contrast, not several.")
    return _tested(prepared, null)


def permutation_interval(
    model: Model,
    deviance: Deviance,
    tested: str | np.ndarray,
    *,
    level: float = 0.95,
    nuisance: Nuisance = "auto",
    weights: Weights = "model",
    max_arrangements: int = 20_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the values of one contrast that `permutation_test` does not reject at 1 - ``level``.

    With so few arrangements that no value can be rejected, the limits are infinite. The interval is exact
    where the test is, for an effect that adds the same to every cluster (Ernst 2004).

    Raises
    ------
    FitError
        As `permutation_test`.
    ValueError
        As `permutation_test`, for several contrasts at once, or a level that is not between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; it must be between 0 and 1.")
    prepared = prepared_clusters(
        model,
        deviance,
        tested,
        nuisance=nuisance,
        weights=weights,
        max_arrangements=max_arrangements,
        seed=seed,
    )
    if len(prepared.rows) > 1:
        raise ValueError(f"An interval is for one contrast, not for {', '.join(prepared.names)} at once.")
    at_zero = _tested(prepared, 0.0)
    alpha = 1.0 - level
    # No value is rejected if even the most extreme arrangement is not.
    if not at_zero.smallest_p <= alpha * (1.0 + TIE):
        return -np.inf, np.inf
    center = float(at_zero.estimates[0])
    spread = float(np.abs(at_zero.values).max() + np.ptp(at_zero.values, axis=0).max()) or 1.0

    def rejected(value: float) -> bool:
        return _tested(prepared, value).p <= alpha * (1.0 + TIE)

    limits = []
    for sign in (-1.0, 1.0):
        inside, outside = 0.0, 0.1 * spread
        while not rejected(center + sign * outside):
            inside, outside = outside, 2.0 * outside
            if outside > 1e6 * spread:
                return -np.inf, np.inf
        for _ in range(_HALVINGS):
            middle = 0.5 * (inside + outside)
            if rejected(center + sign * middle):
                outside = middle
            else:
                inside = middle
        limits.append(center + sign * outside)
    return limits[0], limits[1]


def _tested(prepared: PreparedClusters, null: float) -> PermutationTest:
    return _within(prepared, null) if prepared.within else _between(prepared, null)


def _within(common: PreparedClusters, null: float) -> PermutationTest:
    contrasts = own_values(common.A, common.right, common.rows) + common.rows @ common.offset
    kept = ~np.isnan(contrasts).any(axis=1)
    values = contrasts[kept] - null
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


def _between(common: PreparedClusters, null: float) -> PermutationTest:
    model, rows, design, nuisance = common.model, common.rows, common.design, common.nuisance
    A, right, offset = common.A, common.right, common.offset
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
    regression = ClusterRegression.of(values, rows, design, used, kept, null)
    n = len(values)
    if n <= max(matrix.shape[1] for matrix in regression.designs):
        raise FitError(
            f"{n} {common.group} are too few to test {', '.join(common.names)} beside the other effects."
        )
    kinds = same_rows(np.concatenate(regression.designs, axis=1))
    strata = same_rows(np.concatenate(regression.nulls, axis=1))
    notes, exact = [], True
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
        more_notes=notes,
    )


def _result(
    common: PreparedClusters,
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
    more_notes: Sequence[str] = (),
) -> PermutationTest:
    """Return the test from the statistics of all arrangements, the given one first."""
    notes = [*common.notes, *more_notes]
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
