"""What a permutation test over clusters starts from: their normal equations, and who they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.tested_contrasts import tested_contrasts
from nwbswitch.analysis.resampling.cluster_summaries import (
    ClusterDesign,
    cluster_design,
    in_model_columns,
    own_values,
)
from nwbswitch.analysis.resampling.label_free_weights import label_free_psi
from nwbswitch.analysis.resampling.permutation_result import Weights

Nuisance = Literal["auto", "strata", "residuals"]


@dataclass(frozen=True, slots=True)
class PreparedClusters:
    """The tested contrasts ``rows`` (r, p), and what clusters say.

    ``A`` (clusters, p, p) and ``right`` (clusters, p) are normal equations of each cluster for the response
    without ``offset`` (p,), the weights being in them.
    """

    model: Model
    names: tuple[str, ...]
    rows: np.ndarray
    within: bool
    A: np.ndarray
    right: np.ndarray
    offset: np.ndarray
    design: ClusterDesign
    group: str
    labels: tuple[str, ...]
    nuisance: Nuisance
    weights: Weights
    max_arrangements: int
    seed: int
    notes: tuple[str, ...]


def prepared_clusters(
    model: Model,
    deviance: Deviance,
    tested: str | np.ndarray,
    *,
    nuisance: Nuisance,
    weights: Weights,
    max_arrangements: int,
    seed: int,
) -> PreparedClusters:
    """Return what a permutation of clusters needs and what does not depend on the null value.

    Raises
    ------
    FitError
        If there are no independent clusters.
    ValueError
        For an argument that does not exist or fit; those are of `permutation_test`.
    """
    if nuisance not in get_args(Nuisance):
        raise ValueError(f"nuisance is {nuisance!r}; available are {', '.join(get_args(Nuisance))}.")
    if weights not in get_args(Weights):
        raise ValueError(f"weights is {weights!r}; available are {', '.join(get_args(Weights))}.")
    if max_arrangements < 100:
        raise ValueError(f"max_arrangements is {max_arrangements}; it must be at least 100.")
    names, rows = tested_contrasts(model, tested)
    nothing = [np.zeros((sum(sizes), sum(sizes))) for sizes in deviance.block_sizes]
    sums = deviance.cluster_sums(nothing)
    A, right = in_model_columns(sums, deviance.scaling)
    design = cluster_design(A)
    within = not np.isnan(own_values(A, right, rows)).any(axis=1).all()
    notes: tuple[str, ...] = ()
    if weights == "model":
        psi = label_free_psi(model, deviance, rows, design, within=within)
        if psi is None:
            weights = "rows"
            notes = ("Rows weigh the same within clusters: a random term holds the tested variable.",)
        else:
            A, right = in_model_columns(deviance.cluster_sums(psi), deviance.scaling)
    return PreparedClusters(
        model=model,
        names=names,
        rows=rows,
        within=within,
        A=A,
        right=right,
        offset=deviance.scaling.offset,
        design=design,
        group=sums.group,
        labels=sums.labels,
        nuisance=nuisance,
        weights=weights,
        max_arrangements=max_arrangements,
        seed=seed,
        notes=notes,
    )
