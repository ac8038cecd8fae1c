"""The tree against the covariance matrix of all rows: criterion, clusters and conditional means."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import row_tree
from dense_models import DenseModel, followed_neurons, nested, nested_table
from row_tree import summarise

from nwbswitch.analysis.mixed.optimum import optimise, psi_of
from nwbswitch.analysis.trees.bottom import Columns
from nwbswitch.analysis.trees.tree import CrossedLevel, Tree
from nwbswitch.schemas.errors import FitError

REFERENCE = Path(__file__).resolve().parents[1] / "reference" / "mixed_models.json"
FORMULAS = [
    "y ~ x + (1|animal)",
    "y ~ x + (x|lab/animal) + (1|lab:animal:session) + (1|animal:session:neuron)",
    "y ~ 1 + (1 + z|animal:session:neuron) + (x||animal)",
]
NAMES = [*FORMULAS, "followed", "followed with slopes"]


def model(name: str) -> tuple[Tree, DenseModel]:
    if name.startswith("followed"):
        return followed_neurons(slope="slopes" in name)
    return nested(nested_table(animals=4), name)


def dense_criterion(dense: DenseModel, psi: list[np.ndarray], tree: Tree, method: str) -> float:
    V, p = dense.covariance(psi), tree.n_fixed
    root = dense.W.T @ np.linalg.solve(V, dense.W)
    F = root[:p, :p]
    residual = root[-1, -1] - root[-1, :p] @ np.linalg.solve(F, root[:p, -1])
    reml = method == "reml"
    nu = tree.n_rows - (p if reml else 0)
    value = np.linalg.slogdet(V)[1] + nu * (1 + np.log(2 * np.pi * residual / nu * tree.columns.scale**2))
    return value + (np.linalg.slogdet(F)[1] + tree.log_det_fixed if reml else 0.0)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", NAMES)
def test_criterion(name, method):
    tree, dense = model(name)
    psi = dense.random_psi(4)
    found = tree.evaluate(psi, method=method).criterion
    assert found == pytest.approx(dense_criterion(dense, psi, tree, method), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_the_curvature(name):
    tree, dense = model(name)
    psi = dense.random_psi(4)
    found = tree.evaluate(psi, method="reml", precision=0.8)
    at = tree.curvature(psi)
    p = tree.n_fixed
    u = np.r_[-found.coefficients, 1.0]
    residual = np.einsum("i,rij,j->r", u, at.first, u)
    log_det = np.einsum("ij,rji->r", np.linalg.inv(at.root[:p, :p]), at.first[:, :p, :p])
    expected = at.log_det_first + 0.8 * residual + log_det
    ours = []
    for gradient, sizes in zip(found.gradient, tree.block_sizes, strict=True):
        first = 0
        for size in sizes:
            part = gradient[first : first + size, first : first + size]
            ours += [part[i, j] * (1 if i == j else 2) for j in range(size) for i in range(j, size)]
            first += size
    assert np.allclose(ours, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_cluster_sums_are_those_of_the_rows_of_each_cluster(name):
    tree, dense = model(name)
    psi = dense.random_psi(4)
    found = tree.cluster_sums(psi)
    V, outermost = dense.covariance(psi), dense.codes[-1]
    assert found.group in ("animal", "lab", "")
    assert len(found.sums) == len(found.labels) == outermost.max() + 1
    assert np.allclose(found.sums.sum(axis=0), tree.curvature(psi).root, rtol=1e-10, atol=1e-12)
    for cluster, own in enumerate(found.sums):
        rows = outermost == cluster
        expected = dense.W[rows].T @ np.linalg.solve(V[np.ix_(rows, rows)], dense.W[rows])
        assert np.allclose(own, expected, rtol=1e-9, atol=1e-11)
        assert found.n_rows[cluster] == rows.sum()


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_without_a_cluster_is_the_model_of_the_other_rows(name, position):
    tree, dense = model(name)
    psi = dense.random_psi(4)
    smaller = tree.without_cluster(position)
    rows = dense.codes[-1] != position
    rest = DenseModel(dense.W[rows], [Z[rows] for Z in dense.Z], [c[rows] for c in dense.codes], dense.sizes)
    assert smaller.n_rows == rows.sum()
    found = smaller.evaluate(psi, method="reml").criterion
    assert found == pytest.approx(dense_criterion(rest, psi, smaller, "reml"), rel=1e-10)
    assert (
        smaller.cluster_sums(psi).n_rows.tolist()
        == np.delete(tree.cluster_sums(psi).n_rows, position).tolist()
    )
    for own, all_of_them in zip(smaller.groups_order, tree.groups_order, strict=True):
        assert set(own) < set(all_of_them)


@pytest.mark.parametrize("name", NAMES)
def test_conditional_means(name):
    tree, dense = model(name)
    psi = dense.random_psi(4)
    b = np.random.default_rng(2).normal(size=tree.n_fixed)
    weighted = np.linalg.solve(dense.covariance(psi), dense.W @ np.r_[-b, 1.0])
    found = tree.effects(psi, b)
    assert len(found) == len(psi)
    for level, (own, Z, codes) in enumerate(zip(found, dense.Z, dense.codes, strict=True)):
        labels = np.unique(codes)
        expected = np.array([psi[level] @ Z[codes == g].T @ weighted[codes == g] for g in labels])
        order = tree.groups_order[level] if tree.groups_order else np.arange(len(labels))
        if own is None:
            assert level == 0
            assert tree.summary.products is not None
        else:
            assert np.allclose(own, expected[order], rtol=1e-9, atol=1e-11)


def test_innermost_groups_held_one_by_one_have_conditional_means():
    tree, _ = model(FORMULAS[2])
    assert tree.summary.slopes is not None
    assert tree.effects([np.eye(2), np.eye(2)], np.zeros(1))[0].shape == (len(tree.summary.slopes), 2)


def test_many_groups_of_one_level_are_not_told_apart(monkeypatch):
    monkeypatch.setattr(row_tree, "HELD_ONE_BY_ONE", 3)
    tree, dense = model(FORMULAS[0])
    psi = dense.random_psi(4)
    found = tree.evaluate(psi, method="ml").criterion
    assert found == pytest.approx(dense_criterion(dense, psi, tree, "ml"), rel=1e-12)
    with pytest.raises(FitError, match="cannot be taken one by one"):
        tree.cluster_sums(psi)
    with pytest.raises(FitError, match="cannot be taken one by one"):
        tree.without_cluster(0)


def test_a_cluster_without_which_an_arm_is_empty_is_named():
    table = nested_table(animals=4)
    table["arm"] = np.where(table["animal"] == 2, "drug", "saline")
    tree, _ = nested(table, "y ~ arm + (1|animal/session)")
    assert tree.without_cluster(0).n_rows < tree.n_rows
    with pytest.raises(FitError, match="Without animal '2' the fixed effects cannot all be estimated"):
        tree.without_cluster(2)
    with pytest.raises(ValueError, match="numbered 0 to 3"):
        tree.without_cluster(4)


def test_holders_without_effects_of_their_own_are_clusters():
    tree, dense = followed_neurons(animal_effects=False)
    psi = dense.random_psi(4)
    found = tree.evaluate(psi, method="reml").criterion
    assert found == pytest.approx(dense_criterion(dense, psi, tree, "reml"), rel=1e-12)
    animal = dense.codes[1] // 3
    sums = tree.cluster_sums(psi)
    V = dense.covariance(psi)
    for cluster in range(3):
        rows = animal == cluster
        expected = dense.W[rows].T @ np.linalg.solve(V[np.ix_(rows, rows)], dense.W[rows])
        assert np.allclose(sums.sums[cluster], expected, rtol=1e-9, atol=1e-11)
        assert sums.n_rows[cluster] == rows.sum()
    rows = animal != 1
    rest = DenseModel(dense.W[rows], [Z[rows] for Z in dense.Z], [c[rows] for c in dense.codes], dense.sizes)
    smaller = tree.without_cluster(1)
    found = smaller.evaluate(psi, method="reml").criterion
    assert found == pytest.approx(dense_criterion(rest, psi, smaller, "reml"), rel=1e-10)
    drawn = tree.simulated(psi, np.zeros(2), 1.0, np.random.default_rng(0))
    assert np.linalg.eigvalsh(drawn.curvature(psi).root)[0] > 0.0
    assert len(tree.effects(psi, np.zeros(2))[1]) == 8


@pytest.fixture(scope="module")
def penicillin() -> Tree:
    """Plates as the innermost groups, the six samples as local columns of the one holder."""
    table = pd.DataFrame(json.loads(REFERENCE.read_text())["models"]["Penicillin"]["data"])
    n = len(table)
    y = table["diameter"].to_numpy(dtype=float)
    Q = np.full((n, 1), 1.0 / np.sqrt(n))
    offset = Q.T @ y
    y = y - Q @ offset
    scale = float(np.sqrt(y @ y / n))
    sample, plate = (pd.factorize(table[name], sort=True)[0] for name in ("sample", "plate"))
    W = np.concatenate([Q, np.eye(6)[sample], y[:, None] / scale], axis=1)
    fixed = np.array([[np.sqrt(n)]])
    nothing = np.zeros(1, dtype=np.int64)
    columns = Columns(W, fixed, offset / np.sqrt(n), scale, (), (np.ones(1), np.ones(1)))
    summary = summarise(W, np.ones((n, 1)), plate, np.zeros(24, dtype=np.int64), 1)
    level = CrossedLevel(1 + np.arange(6)[:, None], np.array([6]), nothing, nothing)
    return Tree(summary, (level,), columns, n, 1, ((1,), (1,)), float(np.log(n)), ())


def test_penicillin(penicillin):
    answer = json.loads(REFERENCE.read_text())["models"]["Penicillin"]["reml"]
    best = optimise(penicillin, method="reml")
    assert best.converged
    assert best.evaluation.criterion == pytest.approx(answer["criterion"], abs=1e-8)
    assert best.evaluation.criterion == pytest.approx(330.8606, abs=1e-4)
    sigma = np.sqrt(best.evaluation.residual / (penicillin.n_rows - 1)) * penicillin.columns.scale
    sds = {row["grp"]: row["sdcor"] for row in answer["varcorr"]}
    assert best.theta * sigma == pytest.approx([sds["plate"], sds["sample"]], rel=1e-5)
    effects = penicillin.effects(psi_of(penicillin, best.theta), best.evaluation.coefficients)
    assert effects[1].shape == (6, 1)
    assert effects[1].sum() == pytest.approx(0.0, abs=1e-9)


def test_a_factor_crossed_with_all_others_leaves_no_clusters(penicillin):
    with pytest.raises(FitError, match="no independent clusters"):
        penicillin.cluster_sums([np.eye(1), np.eye(1)])
