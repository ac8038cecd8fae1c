"""How much each animal moves each estimate of a study: jackknife influence values.

Leaving animal a out of n changes a pooled estimate to t_a; its influence is sqrt((n - 1) / n) (mean of t -
t_a), so that the sum of squares is the jackknife variance (Efron and Tibshirani 1993, equation 11.5), and
the sum of products of two estimates that share animals is their covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nwbswitch.analysis.estimands.animal_sums import AnimalSums
from nwbswitch.analysis.estimands.primary import Key, evaluate

if TYPE_CHECKING:
    from nwbswitch.analysis.verdicts.arm_analysis import ArmResult
    from nwbswitch.analysis.verdicts.switch_result import SwitchResult

COLUMNS = ("dataset", "arm", "cell_type", "contrast", "estimand", "k", "animal", "influence")


def influence_table(result: SwitchResult, *, estimands: Sequence[str] = ("SW", "rho_star")) -> pd.DataFrame:
    """Return the influence of every animal on the pooled estimates of every arm.

    Parameters
    ----------
    result
        Of `switch`.
    estimands
        Names; ``M`` for the excess remapping of a difference, ``tau_c`` for all detection limits.

    Returns
    -------
    DataFrame
        dataset, arm, cell_type, contrast (drug or vs_*), estimand, k, animal, influence. An estimate that is
        undefined without one of the animals has no rows.
    """
    rows = []
    for cell_type, arms in result.by_cell_type.items():
        for name, arm in arms.items():
            for contrast in ("drug", arm.contrast_name):
                for asked in estimands:
                    for key in _keys(arm, asked):
                        found = arm_influence(arm, key, contrast=contrast)
                        head = (result.dataset, name, cell_type, contrast, *key)
                        rows += [(*head, animal, value) for animal, value in found.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _keys(arm: ArmResult, name: str) -> list[Key]:
    if name != "tau_c":
        return [(name, 0)]
    return [] if arm.layout is None else [(name, k) for k in arm.layout.limits]


def arm_influence(arm: ArmResult, key: Key, *, contrast: str) -> dict[str, float]:
    """Return the influence of each animal on one estimate of an arm; empty where there is no estimate.

    Parameters
    ----------
    arm
        Result of one arm.
    key
        Estimand and detection limit.
    contrast
        ``drug`` for the arm alone, else the name of its difference from the reference.
    """
    sign = -1.0 if key[0] == "M" else 1.0
    key = ("rho_star", 0) if key[0] == "M" else key
    if contrast == "drug":
        if arm.drug is None or sign < 0.0:
            return {}
        return _finite(_influence(arm.drug, arm.drug.animals, key))
    difference = arm.difference
    if difference is None or arm.drug is None or arm.compared is None:
        return {}
    if difference.design == "within":
        one, two = arm.drug.rows(difference.animals)[:, 0], arm.compared.rows(difference.others)[:, 0]
        layout = arm.drug.layout
        left = [evaluate(key, each.sum(axis=0) - each, layout) for each in (one, two)]
        values = _centred(left[0] - left[1])
        found = dict(zip(difference.animals, values.tolist(), strict=True))
    else:
        found = _influence(arm.drug, difference.animals, key)
        for animal, value in _influence(arm.compared, difference.others, key).items():
            found[animal] = found.get(animal, 0.0) - value
    return _finite({animal: sign * value for animal, value in found.items()})


def _influence(sums: AnimalSums, animals: Sequence[str], key: Key) -> dict[str, float]:
    own = sums.rows(animals)[:, 0]
    left = np.asarray(evaluate(key, own.sum(axis=0) - own, sums.layout))
    return dict(zip(animals, _centred(left).tolist(), strict=True))


def _centred(left: np.ndarray) -> np.ndarray:
    n = len(left)
    return np.asarray(np.sqrt((n - 1.0) / n) * (left.mean() - left)) if n > 1 else np.full(n, np.nan)


def _finite(found: dict[str, float]) -> dict[str, float]:
    return found if all(np.isfinite(value) for value in found.values()) else {}
