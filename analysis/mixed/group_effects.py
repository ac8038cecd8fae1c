"""Conditional means of the random effects (BLUPs), group by group, in the model's units.

They are the mode of the effects given the response at the estimated covariances (Bates et al. 2015,
equation 54). An engine gives those of the levels it kept group by group; the innermost ones follow from
the rows, where there are rows: b = Psi (I + A Psi)^-1 Z'r with A = Z'Z and r what the fixed effects and
the outer levels leave of the group's response; row weights W make that Z'WZ and Z'Wr.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.model import BlockFacts, LevelFacts, Model
from nwbswitch.analysis.mixed.model_frame import Level, ModelFrame
from nwbswitch.analysis.mixed.optimum import Optimum, psi_of


@dataclass(frozen=True, slots=True)
class BlockEffects:
    """Conditional means (groups, k) of the effects of one bar, and the groups' labels."""

    level: LevelFacts
    block: BlockFacts
    labels: tuple[str, ...]
    values: np.ndarray


def level_effects(
    model: Model, deviance: Deviance, optimum: Optimum, rows: ModelFrame | None
) -> tuple[np.ndarray | None, ...]:
    """Return per level the (groups, k) conditional means in the model's units, in the order of its labels.

    A level is None if only sums over its groups were kept and there are no rows.
    """
    scaling = deviance.scaling
    psi = psi_of(deviance, optimum.theta)
    found = deviance.effects(psi, optimum.evaluation.coefficients)
    values = [
        None if own is None else scaling.scale * own / sizes
        for own, sizes in zip(found, scaling.effect_scales, strict=True)
    ]
    if rows is not None and values and values[0] is None and all(each is not None for each in values[1:]):
        outer = tuple(values)
        rest = rows.response - population_fit(deviance, optimum, rows) - effects_fit(model, rows, outer)
        values[0] = _innermost(rows, rest, psi[0], scaling.effect_scales[0])
        order = group_positions(model.levels[0], rows.levels[0])
        placed = np.empty_like(values[0])
        placed[order] = values[0]
        values[0] = placed
    return tuple(values)


def population_fit(deviance: Deviance, optimum: Optimum, rows: ModelFrame) -> np.ndarray:
    """Return X b on the rows of the fit."""
    scaling = deviance.scaling
    estimates = scaling.offset + scaling.scale * np.linalg.solve(
        scaling.fixed, optimum.evaluation.coefficients
    )
    return np.asarray(rows.fixed.matrix @ estimates)


def effects_fit(model: Model, rows: ModelFrame, effects: tuple[np.ndarray | None, ...]) -> np.ndarray:
    """Return the sum of Z b over the levels that have effects, on the rows of the fit."""
    total = np.zeros(rows.n_rows)
    for facts, level, values in zip(model.levels, rows.levels, effects, strict=True):
        if values is not None:
            own = values[group_positions(facts, level)][level.codes]
            total += np.einsum("ij,ij->i", _columns(level), own)
    return total


def group_positions(facts: LevelFacts, level: Level) -> np.ndarray:
    """Return where each group of the rows stands among the labels of the model."""
    if facts.labels is None or facts.labels == level.labels:
        return np.arange(level.n_groups)
    place = {label: position for position, label in enumerate(facts.labels)}
    return np.array([place[label] for label in level.labels], dtype=np.int64)


def _columns(level: Level) -> np.ndarray:
    return np.concatenate([block.matrix for block in level.blocks], axis=1)


def _innermost(rows: ModelFrame, rest: np.ndarray, psi: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    level = rows.levels[0]
    Z = _columns(level) / sizes
    weighted = Z if rows.weights is None else Z * rows.weights[:, None]
    n, k = level.n_groups, Z.shape[1]
    A = np.empty((n, k, k))
    for i in range(k):
        for j in range(i + 1):
            A[:, i, j] = A[:, j, i] = np.bincount(level.codes, weighted[:, i] * Z[:, j], n)
    along = np.stack([np.bincount(level.codes, weighted[:, i] * rest, n) for i in range(k)], axis=1)
    solved = np.linalg.solve(np.eye(k) + A @ psi, along[:, :, None])[:, :, 0]
    return np.asarray(solved @ psi / sizes)


def block_effects(
    model: Model, deviance: Deviance, optimum: Optimum, rows: ModelFrame | None = None
) -> list[BlockEffects]:
    """Return the conditional means of every bar that has them."""
    found = []
    for level, values in zip(model.levels, level_effects(model, deviance, optimum, rows), strict=True):
        if values is None:
            continue
        labels, first = level.labels or tuple(map(str, range(1, len(values) + 1))), 0
        for block in level.blocks:
            part = slice(first, first + len(block.names))
            first = part.stop
            found.append(BlockEffects(level, block, labels, values[:, part]))
    return found


def effects_table(
    model: Model, deviance: Deviance, optimum: Optimum, rows: ModelFrame | None = None
) -> pd.DataFrame:
    """Return one row per group and effect: group, level, term, estimate.

    Groups of which only sums were kept, such as the neurons of a fit from summaries, have no rows.
    """
    parts = [
        pd.DataFrame(
            {
                "group": each.block.label,
                "level": np.tile(np.array(each.labels, dtype=object), len(each.block.names)),
                "term": np.repeat(np.array(each.block.names, dtype=object), len(each.values)),
                "estimate": each.values.T.ravel(),
            }
        )
        for each in block_effects(model, deviance, optimum, rows)
    ]
    columns = ["group", "level", "term", "estimate"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
