"""A nested model of many sessions made from its cross-products, without rows."""

import numpy as np

from nwbswitch.analysis.trees.bottom import Columns, Summary
from nwbswitch.analysis.trees.tree import Tree, UpperLevel


def large_tree(
    *, labs: int, animals: int, sessions: int, neurons: int, seed: int
) -> tuple[Tree, list[np.ndarray]]:
    """Neurons in sessions in animals in labs, and the covariances its response was drawn with.

    Every neuron has two rows, before and after; X is drug * epoch with the drug between animals. Effects are
    intercepts of neurons, intercepts and epoch slopes of sessions and animals, and of labs the
    drug too. ``neurons`` is the mean number per session.
    """
    rng = np.random.default_rng(seed)
    animal_of = np.repeat(np.arange(animals), sessions // animals)
    lab_of = np.repeat(np.arange(labs), animals // labs)
    drug = (np.arange(animals) % 2).astype(float)[animal_of]
    N = rng.integers(neurons // 2, neurons * 3 // 2, size=sessions).astype(float)
    ones = np.ones(sessions)
    X = np.stack([np.stack([ones, drug, e * ones, e * drug], axis=1) for e in (0.0, 1.0)], axis=1)
    fixed = np.linalg.cholesky(np.einsum("s,sei,sej->ij", N, X, X)).T
    Q = X @ np.linalg.inv(fixed)
    D = Q.sum(axis=1)
    centred = Q - D[:, None] / 2.0
    within = np.zeros((sessions, 5, 5))
    within[:, :4, :4] = np.einsum("s,sei,sej->sij", N, centred, centred)
    products = np.zeros((sessions, 5, 1, 5, 1))
    products[:, :4, 0, :4, 0] = N[:, None, None] * D[:, :, None] * D[:, None, :]
    kinds, here, unknown = np.full((1, 1, 1), 2.0), np.arange(sessions), np.empty(0, dtype=np.int64)
    kind = np.zeros(sessions, dtype=np.int64)
    summary = Summary(within, kinds, 1.0 / kinds, here, kind, N, products, None, unknown, 2.0 * N)
    effects = np.vstack([fixed, np.zeros((1, 4))])

    def level(columns: list[int], parent: np.ndarray) -> UpperLevel:
        return UpperLevel(effects[:, columns], np.flatnonzero(np.r_[True, np.diff(parent) > 0]), parent)

    upper = (
        level([0, 2], animal_of),
        level([0, 2], lab_of),
        level([0, 1, 2], np.zeros(labs, dtype=np.int64)),
    )
    scales = tuple(np.ones(k) for k in (1, 2, 2, 3))
    columns = Columns(np.empty((0, 5)), fixed, np.zeros(4), 1.0, (), scales)
    log_det = 2.0 * float(np.linalg.slogdet(fixed)[1])
    blocks = ((1,), (2,), (2,), (3,))
    tree = Tree(summary, upper, columns, int(2 * N.sum()), 4, blocks, log_det, (), "lab")
    psi = [
        np.eye(1),
        np.array([[0.15, 0.02], [0.02, 0.05]]),
        np.array([[0.2, 0.03], [0.03, 0.1]]),
        np.diag([0.1, 0.05, 0.02]),
    ]
    return tree.simulated(psi, np.array([1.0, 0.5, -0.5, 2.0]), 1.0, rng), psi
