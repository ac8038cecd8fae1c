"""The engine for crossed groups against V written out; clusters, draws, sizes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from dense_deviance import dense

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.model_frame import ModelFrame, model_frame
from nwbswitch.analysis.mixed.optimum import optimise
from nwbswitch.analysis.mixed.theta import psi_of
from nwbswitch.analysis.sparse import design as sparse_design
from nwbswitch.analysis.sparse import parts as sparse_parts
from nwbswitch.analysis.sparse import slopes as sparse_slopes
from nwbswitch.analysis.sparse.model import sparse_deviance
from nwbswitch.schemas.errors import FitError


def frame_of(table: pd.DataFrame, formula: str, weights: str | None = None) -> ModelFrame:
    return model_frame(table, read_formula(formula), nested=False, weights=weights)


def crossed_table(n: int = 120, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), "z": rng.normal(size=n) + 3.0})
    for name, groups in (("g", 20), ("h", 9), ("k", 6)):
        table[name] = rng.permutation(np.arange(n) % groups)
    return table


def apart_table() -> pd.DataFrame:
    """Groups crossed inside each of three labs that share none."""
    table = crossed_table()
    lab = np.arange(len(table)) // 40
    for name in ("g", "h", "k"):
        most = {"g": 5, "h": 4, "k": 2}[name]
        table[name] = [f"{a}_{b % most}" for a, b in zip(lab, table[name], strict=True)]
    return table


FORMULAS = (
    "y ~ x + (1 + x | g) + (1 | h) + (1 + x + z || k)",
    "y ~ x + (1 | g) + (1 + x | h)",
    "y ~ 1 + (1 + x + z | g) + (0 + x | h) + (1 | k)",
    "y ~ x + (1 + x | g)",
)


def covariances(frame: ModelFrame, singular: int | None, seed: int = 1) -> list[np.ndarray]:
    rng, found = np.random.default_rng(seed), []
    for position, level in enumerate(frame.levels):
        sizes = [block.matrix.shape[1] for block in level.blocks]
        psi, first = np.zeros((sum(sizes), sum(sizes))), 0
        for size in sizes:
            root = rng.normal(size=(size, max(size - 1, 0) if position == singular else size))
            psi[first : first + size, first : first + size] = root @ root.T
            first += size
        found.append(psi)
    return found


def relative(found: Any, expected: Any) -> float:
    return float(np.abs(np.asarray(found) - expected).max() / max(np.abs(expected).max(), 1e-300))


@pytest.fixture(params=["full", "sparse places", "small parts"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "sparse places":
        monkeypatch.setattr(sparse_slopes, "SMALL", 0)
        monkeypatch.setattr(sparse_slopes, "FILLED", 2.0)
        monkeypatch.setattr(sparse_slopes, "PIECE", 200)
    if request.param == "small parts":
        monkeypatch.setattr(sparse_parts, "PART_SIZE", 0)


@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("singular", [None, 0, 1])
@pytest.mark.parametrize("table", [crossed_table(), apart_table()], ids=["crossed", "apart"])
def test_every_number_is_that_of_v_written_out(formula, singular, table):
    frame = frame_of(table, formula)
    _, deviance = sparse_deviance(frame)
    _, oracle = dense(frame)
    psi = covariances(frame, singular)
    # Rounding: V has a condition of up to 1e4 here, and both sides lose as many digits.
    for method in ("reml", "ml"):
        ours, theirs = deviance.evaluate(psi, method=method), oracle.evaluate(psi, method=method)
        assert ours.criterion == pytest.approx(theirs.criterion, rel=1e-12)
        for mine, other in zip(ours.gradient, theirs.gradient, strict=True):
            assert relative(mine, other) < 1e-9
        fixed = deviance.evaluate(psi, method=method, precision=0.7)
        assert fixed.criterion == pytest.approx(
            oracle.evaluate(psi, method=method, precision=0.7).criterion, rel=1e-12
        )
    found, expected = deviance.curvature(psi), oracle.curvature(psi)
    back = np.eye(len(found.root))
    back[:-1, :-1] = np.linalg.solve(oracle.scaling.fixed.T, deviance.scaling.fixed.T).T
    assert found.log_det == pytest.approx(expected.log_det, rel=1e-12)
    assert relative(found.log_det_first, expected.log_det_first) < 1e-10
    assert relative(found.log_det_second, expected.log_det_second) < 1e-10
    turn = np.linalg.solve(back, np.eye(len(back)))
    assert relative(turn.T @ found.root @ turn, expected.root) < 1e-10
    assert relative(turn.T @ found.first @ turn, expected.first) < 1e-10
    assert relative(turn.T @ found.second @ turn, expected.second) < 1e-10


@pytest.mark.usefixtures("storage")
def test_conditional_means_are_those_of_v_written_out():
    frame = frame_of(crossed_table(), FORMULAS[0])
    _, deviance = sparse_deviance(frame)
    _, oracle = dense(frame)
    psi = covariances(frame, None)
    means = deviance.effects(psi, np.zeros(deviance.n_fixed))
    for mine, other in zip(means, oracle.effects(psi, np.zeros(oracle.n_fixed)), strict=True):
        assert relative(mine, other) < 1e-10


def test_rows_that_hang_together_have_no_clusters():
    _, deviance = sparse_deviance(frame_of(crossed_table(), FORMULAS[1]))
    psi = [np.eye(sum(sizes)) for sizes in deviance.block_sizes]
    with pytest.raises(FitError, match="'g' and 'h' are crossed and all rows hang together"):
        deviance.cluster_sums(psi)
    with pytest.raises(FitError, match="no independent clusters"):
        deviance.without_cluster(0)


@pytest.mark.usefixtures("storage")
def test_rows_that_fall_apart_are_clusters():
    table = apart_table()
    frame = frame_of(table, "y ~ x + (1 + x | g) + (1 | h)")
    _, deviance = sparse_deviance(frame)
    _, oracle = dense(frame)
    psi = covariances(frame, None)
    found = deviance.cluster_sums(psi)
    assert found.group == "h"
    assert len(found.labels) == 3
    assert found.labels[0].startswith("0_0, 0_1, 0_2 and 1 more")
    assert found.n_rows.tolist() == [40, 40, 40]
    V, W = oracle.V(psi), deviance.rows.columns
    for position in range(3):
        own = np.arange(40) + 40 * position
        expected = W[own].T @ np.linalg.solve(V[np.ix_(own, own)], W[own])
        assert relative(found.sums[position], expected) < 1e-11
    smaller = deviance.without_cluster(1)
    left = np.flatnonzero(np.arange(120) // 40 != 1)
    root = W[left].T @ np.linalg.solve(V[np.ix_(left, left)], W[left])
    assert relative(smaller.curvature(psi).root, root) < 1e-11
    assert smaller.cluster_sums(psi).labels == (found.labels[0], found.labels[2])
    with pytest.raises(ValueError, match="no cluster 3"):
        deviance.without_cluster(3)


def test_a_cluster_that_alone_tells_an_effect_cannot_be_left_out():
    table = apart_table()
    table["only"] = np.where(np.arange(120) < 40, table["x"], 0.0)
    _, deviance = sparse_deviance(frame_of(table, "y ~ only + (1 | g) + (1 | h)"))
    with pytest.raises(FitError, match="cannot all be estimated"):
        deviance.without_cluster(0)
    assert deviance.without_cluster(1).n_rows == 80


@pytest.mark.usefixtures("storage")
def test_drawn_responses_have_the_model_s_moments():
    frame = frame_of(apart_table(), "y ~ x + (1 + x | g) + (1 | h)")
    _, deviance = sparse_deviance(frame)
    _, oracle = dense(frame)
    psi, b, rng = covariances(frame, None), np.array([2.0, -1.0]), np.random.default_rng(4)
    draws = [deviance.simulated(psi, b, 1.5, rng) for _ in range(100)]
    one = draws[0]
    W = one.rows.columns
    assert relative(one.curvature(psi).root, W.T @ np.linalg.solve(oracle.V(psi), W)) < 1e-11
    roots = np.array([draw.curvature(psi).root for draw in draws])
    # y'V^-1 y - its fitted part is 2.25 chi-square on n - p; generalised least squares finds b.
    fits = np.array([np.linalg.solve(root[:2, :2], root[:2, 2]) for root in roots])
    rest = np.array([root[2, 2] - root[:2, 2] @ fit for root, fit in zip(roots, fits, strict=True)])
    assert rest.mean() == pytest.approx(2.25 * 118, abs=4.0 * 2.25 * np.sqrt(2 * 118 / 100))
    spread = 1.5 * np.sqrt(np.diagonal(np.linalg.inv(roots[0][:2, :2])))
    assert np.all(np.abs(fits.mean(axis=0) - b) < 4.0 * spread / 10.0)
    assert fits.std(axis=0) == pytest.approx(spread, rel=0.25)


def test_too_many_crossed_effects_are_refused_before_they_are_held(monkeypatch):
    monkeypatch.setattr(sparse_design, "DENSE_EFFECTS", 10)
    monkeypatch.setattr(sparse_design, "LARGEST_FACTOR", 30)
    with pytest.raises(FitError, match=r"'g' \(20 groups of 1\), 'h' \(9 groups of 2\) are too large"):
        sparse_deviance(frame_of(crossed_table(), FORMULAS[1]))


def test_effects_a_thousand_times_the_residual_cost_no_convergence():
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"g": rng.integers(0, 30, 400), "h": rng.integers(0, 20, 400)})
    table["y"] = (
        1e-3 * rng.normal(size=400) + rng.normal(size=30)[table["g"]] + rng.normal(size=20)[table["h"]]
    )
    frame = frame_of(table, "y ~ 1 + (1 | g) + (1 | h)")
    _, deviance = sparse_deviance(frame)
    optimum = optimise(deviance, method="reml")
    assert optimum.converged
    expected = dense(frame)[1].evaluate(psi_of(deviance, optimum.theta), method="reml")
    # V has a condition of 1e8, and the oracle inverts it.
    assert optimum.evaluation.criterion == pytest.approx(expected.criterion, rel=1e-8)
    assert optimum.evaluation.residual == pytest.approx(expected.residual, rel=1e-6)


@pytest.mark.parametrize("size", [1e300, 1e-160])
def test_a_response_whose_squares_cannot_be_held_is_refused(size):
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"a": np.arange(60) % 6, "b": np.arange(60) % 10, "y": rng.normal(size=60) * size})
    with pytest.raises(FitError, match="another unit"):
        fit(table, "y ~ 1 + (1 | a) + (1 | b)", engine="sparse")
