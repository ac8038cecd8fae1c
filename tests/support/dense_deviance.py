"""A deviance function on its rows with V written out: slow, small, and plain enough to be an oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.deviance import (
    ClusterSums,
    Curvature,
    Evaluation,
    Method,
    Scaling,
    criterion_of,
)
from nwbswitch.analysis.mixed.model import BlockFacts, LevelFacts, Model, VariableFacts
from nwbswitch.analysis.mixed.model_frame import ModelFrame, model_frame


@dataclass(frozen=True)
class DenseDeviance:
    """Q (n, p), the scaled response (n,), and per level Z (n, k) with the group of every row."""

    Q: np.ndarray
    y: np.ndarray
    Z: tuple[np.ndarray, ...]
    codes: tuple[np.ndarray, ...]
    block_sizes: tuple[tuple[int, ...], ...]
    scaling: Scaling
    group: str
    labels: tuple[str, ...]

    @property
    def engine(self) -> str:
        return "dense"

    @property
    def n_rows(self) -> int:
        return len(self.y)

    @property
    def n_fixed(self) -> int:
        return self.Q.shape[1]

    @property
    def W(self) -> np.ndarray:
        return np.column_stack([self.Q, self.y])

    def V(self, psi: Sequence[np.ndarray]) -> np.ndarray:
        V = np.eye(self.n_rows)
        for Z, codes, own in zip(self.Z, self.codes, psi, strict=True):
            V += (codes[:, None] == codes[None, :]) * (Z @ own @ Z.T)
        return V

    def evaluate(
        self, psi: Sequence[np.ndarray], *, method: Method, precision: float | None = None
    ) -> Evaluation:
        inverse = np.linalg.inv(self.V(psi))
        root = self.W.T @ inverse @ self.W
        log_det = float(-np.linalg.slogdet(inverse)[1])
        criterion, b, residual, used = criterion_of(
            root, log_det, n_rows=self.n_rows, scaling=self.scaling, method=method, precision=precision
        )
        e = inverse @ (self.y - self.Q @ b)
        slope = inverse - used * np.outer(e, e)
        if method == "reml":
            P = inverse @ self.Q
            slope -= P @ np.linalg.solve(root[:-1, :-1], P.T)
        gradient = []
        for Z, codes in zip(self.Z, self.codes, strict=True):
            gradient.append(Z.T @ ((codes[:, None] == codes[None, :]) * slope) @ Z)
        return Evaluation(criterion, tuple(gradient), b, root[:-1, :-1], residual, log_det)

    def curvature(self, psi: Sequence[np.ndarray]) -> Curvature:
        inverse = np.linalg.inv(self.V(psi))
        G = []
        for Z, codes, sizes in zip(self.Z, self.codes, self.block_sizes, strict=True):
            same, first = codes[:, None] == codes[None, :], 0
            for size in sizes:
                for column in range(first, first + size):
                    for row in range(column, first + size):
                        one = np.outer(Z[:, row], Z[:, column])
                        G.append(same * (one if row == column else one + one.T))
                first += size
        W = self.W
        VG = [inverse @ each for each in G]
        first_ = np.array([-W.T @ vg @ inverse @ W for vg in VG])
        second = np.array([[W.T @ (r @ s + s @ r) @ inverse @ W for s in VG] for r in VG])
        traces = np.array([np.trace(vg) for vg in VG])
        pairs = np.array([[-np.sum(r * s.T) for s in VG] for r in VG])
        log_det = float(-np.linalg.slogdet(inverse)[1])
        return Curvature(W.T @ inverse @ W, first_, second, log_det, traces, pairs)

    def cluster_sums(self, psi: Sequence[np.ndarray]) -> ClusterSums:
        V, W, codes = self.V(psi), self.W, self.codes[-1]
        sums, rows = [], []
        for g in range(len(self.labels)):
            own = np.flatnonzero(codes == g)
            sums.append(W[own].T @ np.linalg.solve(V[np.ix_(own, own)], W[own]))
            rows.append(len(own))
        return ClusterSums(self.group, self.labels, np.array(sums), np.array(rows))

    def without_cluster(self, position: int) -> DenseDeviance:
        kept = self.codes[-1] != position
        labels = tuple(each for i, each in enumerate(self.labels) if i != position)
        codes = tuple(np.unique(each[kept], return_inverse=True)[1] for each in self.codes)
        Z = tuple(each[kept] for each in self.Z)
        return replace(self, Q=self.Q[kept], y=self.y[kept], Z=Z, codes=codes, labels=labels)

    def simulated(
        self, psi: Sequence[np.ndarray], coefficients: np.ndarray, sigma: float, rng: np.random.Generator
    ) -> DenseDeviance:
        noise = np.linalg.cholesky(self.V(psi)) @ rng.standard_normal(self.n_rows)
        return replace(self, y=self.Q @ coefficients + sigma * noise)

    def effects(self, psi: Sequence[np.ndarray], coefficients: np.ndarray) -> tuple[np.ndarray | None, ...]:
        e = np.linalg.solve(self.V(psi), self.y - self.Q @ coefficients)
        found = []
        for Z, codes, own in zip(self.Z, self.codes, psi, strict=True):
            sums = np.stack([(Z[codes == g].T @ e[codes == g]) for g in range(codes.max() + 1)])
            found.append(sums @ own)
        return tuple(found)


def dense(frame: ModelFrame) -> tuple[Model, DenseDeviance]:
    X = frame.fixed.matrix
    Q, fixed = np.linalg.qr(X)
    offset = np.linalg.lstsq(X, frame.response, rcond=None)[0]
    residual = frame.response - X @ offset
    scale = float(np.sqrt(np.mean(residual**2)))
    Z, sizes = [], []
    for level in frame.levels:
        own = np.concatenate([block.matrix for block in level.blocks], axis=1)
        sizes.append(np.sqrt((own**2).mean(axis=0)))
        Z.append(own / sizes[-1])
    block_sizes = tuple(tuple(block.matrix.shape[1] for block in level.blocks) for level in frame.levels)
    top = frame.levels[-1]
    deviance = DenseDeviance(
        Q,
        residual / scale,
        tuple(Z),
        tuple(level.codes for level in frame.levels),
        block_sizes,
        Scaling(fixed, offset, scale, tuple(sizes)),
        top.names[0],
        top.labels,
    )
    return model_of(frame), deviance


def model_of(frame: ModelFrame) -> Model:
    levels = tuple(
        LevelFacts(
            level.names,
            level.n_groups,
            level.labels,
            tuple(BlockFacts(b.group, b.label, b.names, b.terms) for b in level.blocks),
        )
        for level in frame.levels
    )
    variables = {
        name: VariableFacts(name, each.levels if each.is_factor else None)
        for name, each in frame.variables.items()
    }
    return Model(
        frame.formula,
        frame.fixed.names,
        frame.fixed.terms,
        frame.fixed.term_of,
        "treatment",
        variables,
        levels,
        frame.n_rows,
        frame.n_missing,
        frame.n_excluded,
    )


def dense_model(data: pd.DataFrame, formula: str) -> tuple[Model, DenseDeviance]:
    """Return the model of ``formula`` on ``data`` with its dense deviance function."""
    return dense(model_frame(data, read_formula(formula)))
