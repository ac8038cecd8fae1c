"""Derivatives carried through the tree against those of the covariance matrix of all rows."""

import time
import tracemalloc

import numpy as np
import pytest
from dense_models import DenseModel, followed_neurons, nested, nested_table
from large_tree import large_tree

from nwbswitch.analysis.mixed.optimum import optimise, psi_of
from nwbswitch.analysis.trees import curvature as tree_curvature
from nwbswitch.analysis.trees.tree import Tree

FORMULAS = [
    "y ~ x + (1|animal)",
    "y ~ x + z + (1|lab/animal/session/neuron)",
    "y ~ x + (x|animal) + (1|animal:session) + (1|animal:session:neuron)",
    "y ~ x + (x||animal) + (0+z|animal:session)",
    "y ~ 1 + (1 + z|animal:session:neuron) + (x|animal)",
    "y ~ x + (x + z|animal) + (0 + x|animal:session) + (1|animal:session)",
]


def model(name: str) -> tuple[Tree, DenseModel]:
    if name == "followed":
        return followed_neurons()
    if name == "followed with slopes":
        return followed_neurons(slope=True)
    return nested(nested_table(), name)


def check(tree: Tree, dense: DenseModel, psi: list[np.ndarray]) -> None:
    found = tree.curvature(psi)
    V = dense.covariance(psi)
    inverse = np.linalg.inv(V)
    G = dense.directions()
    size = np.abs(np.linalg.inv(V)).max()
    left = [inverse @ each for each in G]
    base = inverse @ dense.W
    assert np.allclose(found.root, dense.W.T @ base, rtol=1e-9, atol=1e-9 * size)
    assert found.log_det == pytest.approx(np.linalg.slogdet(V)[1], rel=1e-9, abs=1e-9)
    assert found.first.shape == (len(G), *found.root.shape)
    for r in range(len(G)):
        assert np.allclose(found.first[r], -base.T @ G[r] @ base, rtol=1e-9, atol=1e-9 * size)
        assert found.log_det_first[r] == pytest.approx(np.trace(left[r]), rel=1e-9, abs=1e-9)
        for s in range(len(G)):
            both = base.T @ (G[r] @ left[s] + G[s] @ left[r]) @ base
            assert np.allclose(found.second[r, s], both, rtol=1e-9, atol=1e-9 * np.abs(both).max())
            expected = -np.trace(left[r] @ left[s])
            assert found.log_det_second[r, s] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", [*FORMULAS, "followed", "followed with slopes"])
def test_inside(name):
    tree, dense = model(name)
    check(tree, dense, dense.random_psi(1))


@pytest.mark.parametrize("name", [*FORMULAS, "followed", "followed with slopes"])
def test_on_the_boundary(name):
    tree, dense = model(name)
    check(tree, dense, [0.0 * psi for psi in dense.random_psi(1)])
    rank_one = [np.diag(np.r_[1.0, np.zeros(len(psi) - 1)]) for psi in dense.random_psi(1)]
    check(tree, dense, rank_one)


@pytest.mark.parametrize("name", [*FORMULAS, "followed", "followed with slopes"])
def test_a_little_outside(name):
    tree, dense = model(name)
    check(tree, dense, [psi - 1e-3 * np.eye(len(psi)) for psi in dense.random_psi(1, size=0.01)])


@pytest.mark.parametrize("name", [FORMULAS[2], FORMULAS[4], "followed with slopes"])
def test_the_size_of_pieces_does_not_matter(name, monkeypatch):
    tree, dense = model(name)
    psi = dense.random_psi(2)
    whole = tree.curvature(psi)
    monkeypatch.setattr(tree_curvature, "PIECE", 500)
    pieces = tree.curvature(psi)
    assert np.allclose(pieces.second, whole.second, rtol=1e-12, atol=1e-12)
    assert np.allclose(pieces.log_det_second, whole.log_det_second, rtol=1e-12)


def test_ten_thousand_sessions():
    """13 variance parameters over 5 levels and 20 million rows: time, memory, and estimates near the truth.

    The limits are some ten times what was measured (0.1 s and 40 MB; 3 s for the fit), for slow machines.
    """
    tree, psi = large_tree(labs=100, animals=2_000, sessions=10_000, neurons=1_000, seed=1)
    tracemalloc.start()
    found = tree.curvature(psi)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6
    assert found.second.shape == (13, 13, 5, 5)
    began = time.process_time()
    tree.curvature(psi)
    assert time.process_time() - began < 2.0
    began = time.process_time()
    best = optimise(tree, method="reml")
    assert time.process_time() - began < 10.0
    assert best.converged
    information = 0.5 * -tree.curvature(psi_of(tree, best.theta)).log_det_second
    error = np.sqrt(np.diagonal(np.linalg.inv(information)))
    estimates = np.concatenate([p[np.tril_indices(len(p))] for p in psi_of(tree, best.theta)])
    truth = np.concatenate([p[np.tril_indices(len(p))] for p in psi])
    order = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 9, 11, 12]  # parameters go by columns, these by rows
    assert np.all(np.abs(estimates - truth)[order] < 5.0 * error)
