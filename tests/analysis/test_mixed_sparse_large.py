"""The sparse factor of many crossed effects: its derivatives, its order, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
from dense_deviance import dense
from scipy.sparse import csr_array, eye_array, random_array

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.model_frame import ModelFrame, model_frame
from nwbswitch.analysis.mixed.optimum import optimise
from nwbswitch.analysis.sparse import design as sparse_design
from nwbswitch.analysis.sparse.fill import elimination_order, meeting
from nwbswitch.analysis.sparse.model import sparse_deviance
from nwbswitch.schemas.errors import FitError


def chained(n: int = 150, seed: int = 5) -> ModelFrame:
    """Return rows whose groups h meet only their neighbours, and all of which meet the groups k."""
    rng = np.random.default_rng(seed)
    along = np.arange(n) * 20 // n
    table = pd.DataFrame({"x": rng.normal(size=n), "g": np.arange(n) * 40 // n})
    table["h"] = along + rng.integers(0, 2, n)
    table["k"] = rng.integers(0, 3, n)
    table["y"] = rng.normal(size=n) + rng.normal(size=21)[table["h"]] + rng.normal(size=40)[table["g"]]
    return model_frame(table, read_formula("y ~ x + (1 | g) + (1 + x | h) + (1 | k)"), nested=False)


@pytest.fixture
def nothing_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_design, "DENSE_EFFECTS", 0)


SINGULAR = (
    [np.array([[0.4]]), np.array([[0.5, 0.2], [0.2, 0.3]]), np.array([[0.2]])],
    [np.array([[0.0]]), np.array([[0.5, 0.2], [0.2, 0.08]]), np.array([[0.2]])],
    [np.array([[0.4]]), np.zeros((2, 2)), np.array([[0.0]])],
)


@pytest.mark.usefixtures("nothing_in_full")
@pytest.mark.parametrize("psi", SINGULAR, ids=["inside", "boundary", "zero"])
def test_a_sparse_factor_gives_the_derivatives_of_v_written_out(psi):
    frame = chained()
    _, deviance = sparse_deviance(frame)
    _, oracle = dense(frame)
    for method in ("reml", "ml"):
        ours, theirs = deviance.evaluate(psi, method=method), oracle.evaluate(psi, method=method)
        assert ours.criterion == pytest.approx(theirs.criterion, rel=1e-12)
        for mine, other in zip(ours.gradient, theirs.gradient, strict=True):
            assert np.allclose(mine, other, rtol=1e-9, atol=1e-9)
    found, expected = deviance.curvature(psi), oracle.curvature(psi)
    assert np.allclose(found.log_det_first, expected.log_det_first, rtol=1e-11)
    size = np.abs(expected.log_det_second).max()
    # Differences of fourth order: about nine digits.
    assert np.abs(found.log_det_second - expected.log_det_second).max() < 2e-8 * size
    y = (slice(None), -1, -1)
    assert np.allclose(found.first[y], expected.first[y], rtol=1e-9)
    assert np.allclose(found.second[:, :, -1, -1], expected.second[:, :, -1, -1], rtol=1e-9)
    means = deviance.effects(psi, np.zeros(2))
    for mine, other in zip(means, oracle.effects(psi, np.zeros(2)), strict=True):
        assert np.allclose(mine, other, rtol=1e-9, atol=1e-12)


def test_a_sparse_factor_ends_where_a_full_one_does(monkeypatch):
    frame = chained()
    full = optimise(sparse_deviance(frame)[1], method="reml")
    monkeypatch.setattr(sparse_design, "DENSE_EFFECTS", 0)
    sparse = optimise(sparse_deviance(frame)[1], method="reml")
    assert sparse.converged
    assert sparse.evaluation.criterion == pytest.approx(full.evaluation.criterion, rel=1e-11)
    assert sparse.theta == pytest.approx(full.theta, abs=1e-6)


def filled(matrix: np.ndarray) -> int:
    """Return how many places a Cholesky factor of a positive definite matrix fills."""
    return int(np.sum(np.abs(np.linalg.cholesky(matrix)) > 1e-13))


@pytest.mark.parametrize("shape", ["scattered", "banded", "arrow"])
def test_a_factor_fills_no_more_than_was_foretold(shape):
    rng = np.random.default_rng(8)
    n = 120
    if shape == "scattered":
        half = random_array((n, n), density=0.01, rng=rng, data_sampler=lambda size: rng.normal(size=size))
    elif shape == "banded":
        chain = rng.permutation(n)
        half = csr_array((rng.normal(size=n - 1), (chain[1:], chain[:-1])), shape=(n, n))
    else:
        half = csr_array((rng.normal(size=n - 1), (np.full(n - 1, 5), np.delete(np.arange(n), 5))), (n, n))
    matrix = csr_array(half + half.T + 50.0 * eye_array(n))
    pattern = csr_array((np.ones(matrix.nnz, dtype=np.int8), matrix.indices, matrix.indptr), matrix.shape)
    order, bound = elimination_order(pattern)
    assert sorted(order.tolist()) == list(range(n))
    assert filled(matrix.toarray()[np.ix_(order, order)]) <= bound
    if shape != "scattered":
        assert bound < 4 * n


def test_columns_meet_in_a_group():
    others = csr_array(np.array([[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0]]))
    found = meeting(np.array([0, 0, 1]), 2, others, limit=100)
    assert found is not None
    expected = [[1, 1, 0, 1], [1, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]]
    assert found.toarray().tolist() == expected
    assert meeting(np.array([0, 0, 1]), 2, others, limit=5) is None


def test_what_would_not_fit_into_memory_is_refused_by_name(monkeypatch):
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"y": rng.normal(size=3000)})
    for name in ("student", "teacher"):
        table[name] = rng.integers(0, 700 if name == "teacher" else 900, 3000)
    frame = model_frame(table, read_formula("y ~ 1 + (1 | student) + (1 | teacher)"), nested=False)
    monkeypatch.setattr(sparse_design, "DENSE_EFFECTS", 100)
    monkeypatch.setattr(sparse_design, "LARGEST_FACTOR", 50_000)
    with pytest.raises(FitError, match=r"'student' \(\d+ groups of 1\), 'teacher' .* once 'student' is elim"):
        sparse_deviance(frame)
