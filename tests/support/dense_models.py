"""Small mixed models with the covariance of all rows written out in full, to check engines against."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from row_tree import deviance_function, summarise

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.model_frame import model_frame
from nwbswitch.analysis.trees.bottom import Columns
from nwbswitch.analysis.trees.tree import CrossedLevel, Tree, UpperLevel


@dataclass(frozen=True)
class DenseModel:
    """Rows of W = [Q, y], and per level the rows of Z, the group of each row and the sizes of blocks."""

    W: np.ndarray
    Z: list[np.ndarray]
    codes: list[np.ndarray]
    sizes: list[tuple[int, ...]]

    def covariance(self, psi: list[np.ndarray]) -> np.ndarray:
        V = np.eye(len(self.W))
        for Z, codes, own in zip(self.Z, self.codes, psi, strict=True):
            V += (Z @ own @ Z.T) * (codes[:, None] == codes)
        return V

    def directions(self) -> list[np.ndarray]:
        """d V per parameter: lower triangles of blocks by columns, innermost level first."""
        found = []
        for level, sizes in enumerate(self.sizes):
            first = 0
            for size in sizes:
                for column in range(first, first + size):
                    for row in range(column, first + size):
                        G = np.zeros((sum(sizes), sum(sizes)))
                        G[row, column] = G[column, row] = 1.0
                        psi = [np.zeros((sum(each), sum(each))) for each in self.sizes]
                        psi[level] = G
                        found.append(self.covariance(psi) - np.eye(len(self.W)))
                first += size
        return found

    def random_psi(self, seed: int, size: float = 1.0) -> list[np.ndarray]:
        """A positive definite Psi per level, with the zeros between blocks."""
        rng, found = np.random.default_rng(seed), []
        for sizes in self.sizes:
            psi, first = np.zeros((sum(sizes), sum(sizes))), 0
            for k in sizes:
                root = size * rng.normal(size=(k, k))
                psi[first : first + k, first : first + k] = root @ root.T
                first += k
            found.append(psi)
        return found


def nested_table(seed: int = 3, *, animals: int = 3) -> pd.DataFrame:
    """Animals, sessions and neurons with few rows each, unbalanced, a factor and two covariates."""
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([range(animals), range(2), range(3), range(4)])
    table = index.to_frame(index=False, name=["animal", "session", "neuron", "rep"])
    table = table[rng.uniform(size=len(table)) < 0.8].reset_index(drop=True)
    table["lab"] = table["animal"] // 2
    table["x"] = rng.integers(0, 2, len(table))
    table["z"] = rng.normal(3.0, 1.0, len(table))
    table["y"] = (
        rng.normal(size=animals)[table["animal"]]
        + rng.normal(size=2 * animals)[2 * table["animal"] + table["session"]]
        + 0.5 * table["x"]
        + rng.normal(size=len(table))
    )
    return table.sample(frac=1.0, random_state=seed).reset_index(drop=True)


def nested(table: pd.DataFrame, formula: str) -> tuple[Tree, DenseModel]:
    """The tree of a formula, and the same model in full."""
    frame = model_frame(table, read_formula(formula))
    tree = deviance_function(frame)
    W = tree.columns.matrix[:, np.r_[: tree.n_fixed, -1]]
    Z = [
        np.concatenate([block.matrix for block in level.blocks], axis=1) / scale
        for level, scale in zip(frame.levels, tree.columns.effect_scales, strict=True)
    ]
    return tree, DenseModel(W, Z, [level.codes for level in frame.levels], list(tree.block_sizes))


def followed_neurons(
    seed: int = 5,
    *,
    animals: int = 3,
    sessions: int = 3,
    neurons: int = 3,
    slope: bool = False,
    animal_effects: bool = True,
) -> tuple[Tree, DenseModel]:
    """Neurons followed over the sessions of their animal: crossed inside it, the last animal short of one.

    Levels are neuron, session (with a slope of x if ``slope``) and, unless they have no effects of their own,
    animal; W = [Q, local columns, y].
    """
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([range(animals), range(sessions), range(neurons), range(2)])
    table = index.to_frame(index=False, name=["animal", "session", "neuron", "rep"])
    table = table[rng.uniform(size=len(table)) < 0.85]
    table = table[(table["animal"] < animals - 1) | (table["session"] < sessions - 1)]
    table = table.reset_index(drop=True)
    n = len(table)
    x = rng.normal(size=n)
    y = rng.normal(size=animals)[table["animal"]] + 0.3 * x + rng.normal(size=n)
    neuron = pd.factorize(table["animal"] * 100 + table["neuron"], sort=True)[0]
    y += rng.normal(size=neuron.max() + 1)[neuron]
    X = np.stack([np.ones(n), x], axis=1)
    Q, fixed = np.linalg.qr(X)
    offset = Q.T @ y
    y = y - Q @ offset
    scale = float(np.sqrt(y @ y / n))
    effects = np.stack([np.ones(n), x], axis=1) if slope else np.ones((n, 1))
    session = table["session"].to_numpy()
    k = effects.shape[1]
    local = np.zeros((n, sessions, k))
    local[np.arange(n), session] = effects
    W = np.concatenate([Q, local.reshape(n, -1), y[:, None] / scale], axis=1)
    animal = table["animal"].to_numpy()
    animal_of_neuron = np.zeros(neuron.max() + 1, dtype=np.int64)
    animal_of_neuron[neuron] = animal
    Z = np.ones((n, 1))
    summary = summarise(W, Z, neuron, animal_of_neuron, animals)
    intercept = np.zeros((3, 1))
    intercept[:2] = np.linalg.lstsq(Q, np.ones((n, 1)), rcond=None)[0]
    here, all_of_them = np.arange(animals), np.zeros(animals, dtype=np.int64)
    sizes = np.array([sessions] * (animals - 1) + [sessions - 1])
    places, first = 2 + np.arange(sessions * k).reshape(sessions, k), np.zeros(1, dtype=np.int64)
    upper: tuple[CrossedLevel | UpperLevel, ...] = (
        CrossedLevel(places, sizes, here, here),
        UpperLevel(intercept, first, all_of_them),
    )
    blocks: tuple[tuple[int, ...], ...] = ((1,), (k,), (1,))
    codes = [neuron, animal * sessions + session, animal]
    dense = DenseModel(W[:, [0, 1, -1]], [Z, effects, Z], codes, list(blocks))
    if not animal_effects:
        upper, blocks = (CrossedLevel(places, sizes, first, all_of_them),), blocks[:2]
        dense = DenseModel(dense.W, dense.Z[:2], codes[:2], list(blocks))
    ones = np.ones(1)
    columns = Columns(W, fixed, np.linalg.solve(fixed, offset), scale, (), (ones, np.ones(k), ones))
    log_det = 2.0 * float(np.linalg.slogdet(fixed)[1])
    return Tree(summary, upper, columns, n, 2, blocks, log_det, ()), dense
