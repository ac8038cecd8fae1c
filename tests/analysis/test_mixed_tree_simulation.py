"""Simulated summaries have the distribution of summaries of simulated rows.

Tolerances: means and covariances of all statistics are compared by z values; the largest of some
thousands of z values stays below 5.5 with probability above 0.999 if both sides agree.
"""

from dataclasses import replace

import numpy as np
import pytest
from dense_models import DenseModel, followed_neurons, nested, nested_table
from row_tree import summarise
from scipy.stats import ks_2samp

from nwbswitch.analysis.mixed.optimum import optimise
from nwbswitch.analysis.summaries.kinds import pseudo_inverse
from nwbswitch.analysis.trees.tree import Tree
from nwbswitch.schemas.errors import FitError

LIMIT = 5.5
SIGMA = 0.7
FORMULAS = {
    "one level": "y ~ x + (x|animal)",
    "intercepts": "y ~ x + (1|animal/session/neuron)",
    "slopes held as sums": "y ~ x + (1 + x|animal:session:neuron) + (x|animal)",
    "slopes held one by one": "y ~ 1 + (1 + z|animal:session:neuron) + (1|animal:session) + (1|animal)",
}


def model(name: str) -> tuple[Tree, DenseModel]:
    if name in FORMULAS:
        table = nested_table()
        if name == "slopes held as sums":
            table = table.loc[table.index.repeat(2)].reset_index(drop=True)
            table["x"] = table["rep"] % 2
        return nested(table, FORMULAS[name])
    return followed_neurons(slope="slope" in name)


def statistics_of(tree: Tree) -> np.ndarray:
    """What a summary holds of the response, in one row."""
    summary = tree.summary
    parts = [summary.within[:, :, -1].ravel()]
    if summary.products is not None:
        parts.append(summary.products[:, :, :, -1, :].ravel())
    if summary.slopes is not None:
        parts.append(summary.slopes[:, -1].ravel())
    return np.concatenate(parts)


def statistics_of_rows(tree: Tree, dense: DenseModel, Y: np.ndarray) -> np.ndarray:
    """The same of many responses (rows, draws), each summed from its rows: (draws, statistics)."""
    summary, draws = tree.summary, Y.shape[1]
    X = tree.columns.matrix[:, :-1]
    x, k = X.shape[1], summary.kinds.shape[1]
    within = np.zeros((summary.n_parents, x + 1, draws))
    if k == 0:
        order = tree.groups_order[0]
        for parent, group in enumerate(order):
            rows = dense.codes[0] == group
            within[parent, :x] = X[rows].T @ Y[rows]
            within[parent, x] = (Y[rows] ** 2).sum(axis=0)
        return within.reshape(-1, draws).T
    order = tree.groups_order[0] if tree.groups_order else np.arange(dense.codes[0].max() + 1)
    per_parent = np.bincount(summary.parent, weights=summary.count).astype(int)
    parent_of = np.repeat(np.arange(summary.n_parents), per_parent)
    n_cells = len(summary.parent)
    sums = np.zeros((n_cells, x + 1, k, k, draws))
    single = np.zeros((len(order), k, draws))
    for position, group in enumerate(order):
        rows = dense.codes[0] == group
        Z, parent = dense.Z[0][rows], parent_of[position]
        A = Z.T @ Z
        D_y, D_x = Z.T @ Y[rows], X[rows].T @ Z
        rest = Y[rows] - Z @ pseudo_inverse(A[None])[0] @ D_y
        within[parent, :x] += X[rows].T @ rest
        within[parent, x] += (rest**2).sum(axis=0)
        kind = int(np.argmin(np.abs(summary.kinds - A).sum(axis=(1, 2))))
        single[position] = D_y
        if summary.products is not None:
            cell = int(np.flatnonzero((summary.parent == parent) & (summary.kind == kind))[0])
            sums[cell, :x] += D_x[:, :, None, None] * D_y
            sums[cell, x] += D_y[:, None] * D_y
    rest_of_them = sums if summary.products is not None else single
    return np.concatenate([within.reshape(-1, draws), rest_of_them.reshape(-1, draws)]).T


def responses(dense: DenseModel, psi: list[np.ndarray], b: np.ndarray, draws: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(dense.covariance(psi))
    return (dense.W[:, :-1] @ b)[:, None] + SIGMA * root @ rng.normal(size=(len(root), draws))


def z_values(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    difference = first.mean(axis=0) - second.mean(axis=0)
    error = np.sqrt(first.var(axis=0) / len(first) + second.var(axis=0) / len(second))
    seen = error > 1e-12
    assert np.abs(difference[~seen]).max(initial=0.0) < 1e-10
    return difference[seen] / error[seen]


@pytest.mark.parametrize("name", [*FORMULAS, "followed", "followed with a slope"])
def test_means_and_covariances(name):
    tree, dense = model(name)
    psi = dense.random_psi(3)
    psi[-1][:] = 0.0
    psi[-1][0, 0] = 0.8
    b = np.random.default_rng(4).normal(size=tree.n_fixed)
    rng = np.random.default_rng(5)
    ours = np.stack([statistics_of(tree.simulated(psi, b, SIGMA, rng)) for _ in range(3_000)])
    rows = statistics_of_rows(tree, dense, responses(dense, psi, b, 10_000, 6))
    assert ours.shape[1] == rows.shape[1]
    assert np.abs(z_values(ours, rows)).max() < LIMIT
    centre, size = rows.mean(axis=0), rows.std(axis=0)
    varying = np.flatnonzero(size > 1e-10)
    chosen = varying[np.linspace(0, len(varying) - 1, min(len(varying), 60)).astype(int)]
    i, j = np.tril_indices(len(chosen))
    ours, rows = ((each - centre)[:, chosen] / size[chosen] for each in (ours, rows))
    assert np.abs(z_values(ours[:, i] * ours[:, j], rows[:, i] * rows[:, j])).max() < LIMIT


@pytest.mark.parametrize("name", [*FORMULAS, "followed"])
def test_what_is_not_the_response_stays(name):
    tree, _ = model(name)
    psi = [np.eye(sum(sizes)) for sizes in tree.block_sizes]
    drawn = tree.simulated(psi, np.zeros(tree.n_fixed), 1.0, np.random.default_rng(0))
    assert np.array_equal(drawn.summary.within[:, :-1, :-1], tree.summary.within[:, :-1, :-1])
    assert np.allclose(drawn.summary.within, drawn.summary.within.transpose(0, 2, 1), atol=1e-14)
    if tree.summary.products is not None:
        both = drawn.summary.products
        assert np.array_equal(both[:, :-1, :, :-1], tree.summary.products[:, :-1, :, :-1])
        assert np.allclose(both, both.transpose(0, 3, 4, 1, 2), atol=1e-13)
    at = drawn.curvature(psi)
    assert np.linalg.eigvalsh(at.root)[0] > 0.0
    assert drawn.columns is tree.columns
    assert drawn.cluster_labels == tree.cluster_labels


def test_without_noise_the_response_is_its_mean():
    tree, dense = model("intercepts")
    b = np.array([0.3, -2.0])
    drawn = tree.simulated([np.zeros((1, 1))] * 3, b, 0.0, np.random.default_rng(0))
    expected = statistics_of_rows(tree, dense, (dense.W[:, :-1] @ b)[:, None])[0]
    assert np.allclose(statistics_of(drawn), expected, atol=1e-12)


def test_fitted_variance_under_the_null_has_the_distribution_of_fits_to_rows():
    """REML estimates, the animal variance being zero: Kolmogorov-Smirnov, two samples of 150 at P > .001."""
    tree, dense = model("intercepts")
    psi = [np.array([[0.5]]), np.array([[0.3]]), np.zeros((1, 1))]
    b, rng, n, start = np.array([0.3, -0.2]), np.random.default_rng(7), 150, np.full(3, 0.5)
    ours = [optimise(tree.simulated(psi, b, SIGMA, rng), method="reml", start=start) for _ in range(n)]
    position = np.argsort(tree.groups_order[0])[dense.codes[0]]
    animal_of = dense.codes[1][
        np.array([np.flatnonzero(position == g)[0] for g in range(position.max() + 1)])
    ]
    parent = np.argsort(tree.groups_order[1])[animal_of]
    theirs = []
    for y in responses(dense, psi, b, n, 8).T:
        W = np.concatenate([tree.columns.matrix[:, :-1], y[:, None]], axis=1)
        summary = summarise(W, dense.Z[0], position, parent, tree.summary.n_parents)
        theirs.append(optimise(replace(tree, summary=summary), method="reml", start=start))
    for parameter in range(3):
        pair = [[best.theta[parameter] for best in side] for side in (ours, theirs)]
        assert ks_2samp(*pair).pvalue > 1e-3


def test_summaries_that_do_not_count_rows_are_refused():
    tree, _ = model("intercepts")
    uncounted = replace(tree, summary=replace(tree.summary, rows=None))
    with pytest.raises(FitError, match="do not count the rows"):
        uncounted.simulated([np.eye(1)] * 3, np.zeros(2), 1.0, np.random.default_rng(0))
