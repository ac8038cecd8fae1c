"""Crossover at animal level: the difference from the reference with the order of sessions taken out.

With D the value of an animal under the drug minus that under the reference, tau the effect of the drug and pi
what the later session adds to the earlier one, E(D) = tau - pi where the drug came first and tau + pi where
it came second. Half the sum of the two means is tau, half their difference (second minus first) pi, both with
the standard error s/2 sqrt(1/n1 + 1/n2), s the pooled standard deviation of D and n1 + n2 - 2 degrees of
freedom (Hills and Armitage 1979, Br J Clin Pharmacol 8:7-20). P values are exact permutations of the order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nwbswitch.analysis.designs.held_sessions import Held
from nwbswitch.analysis.plain_values import plain
from nwbswitch.analysis.verdicts.pooling import Estimate, permutation_p, relabelled_totals
from nwbswitch.schemas.tables import ESTIMATES

Floats = NDArray[np.float64]
PLAIN_ESTIMANDS = ("G", "R_act", "R_sil", "SW", "rho_star", "M", "tau_c")
BOTH_ORDERS = "needs animals in both orders, and three or more"
NO_VALUES = "no animal has a value"


@dataclass(frozen=True, slots=True)
class OrderAdjusted:
    """A difference within animals, plain and with the order taken out.

    ``plain`` is the mean over animals whatever their order, ``adjusted`` and ``period`` (later minus earlier
    session) are as in the module's text. NaN, with the reason in their status, where the orders allow none.
    """

    plain: Estimate
    adjusted: Estimate
    period: Estimate
    n_first: int
    n_second: int


def order_adjusted(differences: Sequence[float] | Floats, drug_first: Sequence[bool]) -> OrderAdjusted:
    """Return the effect of the drug and of the period from the animals' differences.

    Parameters
    ----------
    differences
        Drug minus reference of each animal; finite.
    drug_first
        Whether the drug came before the reference.

    Raises
    ------
    ValueError
        For values that are not finite, or as many orders as there are not animals.
    """
    values = np.asarray(differences, dtype=np.float64)
    first = np.asarray(drug_first, dtype=bool)
    if values.ndim != 1 or values.shape != first.shape:
        raise ValueError(f"{values.size} differences and {first.size} orders do not belong together")
    if not np.isfinite(values).all():
        raise ValueError("differences must be finite; leave animals without a value out and count them")
    n, n_first = values.size, int(first.sum())
    return OrderAdjusted(
        _mean(values), *_adjusted(values[first], values[~first]), n_first=n_first, n_second=n - n_first
    )


def _mean(values: Floats) -> Estimate:
    n = values.size
    if n == 0:
        return Estimate(math.nan, status=NO_VALUES)
    if n == 1:
        return Estimate(float(values[0]), status="no interval: needs >= 2 animals", n_animals=1)
    return Estimate(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n), float(n - 1), n_animals=n)


def _adjusted(first: Floats, second: Floats) -> tuple[Estimate, Estimate]:
    n1, n2 = first.size, second.size
    if n1 < 1 or n2 < 1 or n1 + n2 < 3:
        nothing = Estimate(math.nan, status=BOTH_ORDERS, n_animals=n1 + n2)
        return nothing, nothing
    df = n1 + n2 - 2
    spread = float(((first - first.mean()) ** 2).sum() + ((second - second.mean()) ** 2).sum())
    se = 0.5 * math.sqrt(spread / df * (1 / n1 + 1 / n2))
    tau = float(first.mean() + second.mean()) / 2
    period = float(second.mean() - first.mean()) / 2
    return (
        Estimate(tau, se, float(df), _relabelled(first, -second), n_animals=n1 + n2),
        Estimate(period, se, float(df), _relabelled(first, second), n_animals=n1 + n2),
    )


def _relabelled(one: Floats, two: Floats) -> float:
    """Return the exact two-sided P of a difference in means; NaN where none below 5 % is possible."""
    n_one, n_two = one.size, two.size

    def difference(totals: Floats) -> Floats:
        return np.asarray(totals[..., 0, 0] / n_one - totals[..., 1, 0] / n_two)

    totals = relabelled_totals(one[:, None, None], two[:, None, None])
    return permutation_p(difference, totals)


@dataclass(frozen=True, slots=True, repr=False)
class Crossover:
    """Order-adjusted differences of the arms of one study that are compared within animals."""

    rows: tuple[Mapping[str, Any], ...]

    def __repr__(self) -> str:
        return f"<Crossover: {len(self.rows)} rows>"

    def table(self) -> pd.DataFrame:
        """Return one row per arm, cell type and estimand.

        Columns: arm, reference, cell_type, estimand, k, n_drug_first, n_drug_second, n_undefined (animals
        without a value), pooled (the estimate of the analysis with its interval), plain (mean of the
        animals), adjusted, p_adjusted and period, each with ci_low and ci_high, p_period and status.
        """
        return pd.DataFrame(list(self.rows))

    def summary(self) -> str:
        """Return the rows as text."""
        if not self.rows:
            return "No arm is compared with another within animals."
        lines = []
        for row in self.rows:
            name = f"{row['estimand']} (k = {row['k']})" if row["k"] else str(row["estimand"])
            head = f"{row['arm']} against {row['reference']}, {row['cell_type']}, {name}: "
            if row["status"] != "ok" and not math.isfinite(row["adjusted"]):
                lines.append(f"{head}{row['status']}.")
                continue
            lines.append(
                f"{head}plain {row['plain']:.3g}, adjusted for order {row['adjusted']:.3g} "
                f"(95 % {row['adjusted_ci_low']:.3g} to {row['adjusted_ci_high']:.3g}); later minus earlier "
                f"session {row['period']:.3g} ({row['period_ci_low']:.3g} to {row['period_ci_high']:.3g})."
            )
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found: dict[str, Any] = plain({"rows": [dict(row) for row in self.rows]})
        return found


def crossover(estimates: pd.DataFrame, held: Sequence[Held]) -> Crossover:
    """Return every difference within animals with the order of the sessions taken out.

    The animals' differences weigh the same, whatever their number of neurons; the pooled estimate beside
    them is a ratio of sums over animals.

    Parameters
    ----------
    estimates
        Columns of ``ESTIMATES``, with rows of animals.
    held
        Sessions in their arms, ``held`` of a `nwbswitch.analysis.designs.design.Design`. An animal whose
        sessions of both arms began in the same places on average is left out and counted as undefined.
    """
    estimates = ESTIMATES.checked(estimates)
    ranks: dict[tuple[str, str], list[int]] = {}
    for each in held:
        ranks.setdefault((each.arm, each.animal), []).append(each.order)
    rows = []
    chosen = estimates[
        estimates["contrast"].str.startswith("vs_")
        & (estimates["contrast"] != "vs_pseudo")
        & estimates["estimand"].isin(PLAIN_ESTIMANDS)
    ]
    keys = ["arm", "contrast", "cell_type", "estimand", "k"]
    for _, own in chosen.groupby(keys, sort=True):
        arm, contrast, cell_type, estimand, k = own[keys].iloc[0]
        animals = own[own["level"] == "animal"]
        if len(animals):
            reference = str(contrast).removeprefix("vs_")
            head = {
                "arm": arm,
                "reference": reference,
                "cell_type": cell_type,
                "estimand": estimand,
                "k": int(k),
            }
            rows.append({**head, **_row(own, animals, str(arm), reference, ranks)})
    return Crossover(tuple(rows))


def _row(
    own: pd.DataFrame,
    animals: pd.DataFrame,
    arm: str,
    reference: str,
    ranks: Mapping[tuple[str, str], Sequence[int]],
) -> dict[str, Any]:
    values, first, undefined = [], [], 0
    for animal, value in zip(animals["animal"], animals["estimate"], strict=True):
        one, two = ranks.get((arm, str(animal)), ()), ranks.get((reference, str(animal)), ())
        gap = sum(one) / len(one) - sum(two) / len(two) if one and two else 0.0
        if gap == 0 or not math.isfinite(value):
            undefined += 1
            continue
        values.append(float(value))
        first.append(gap < 0)
    found = order_adjusted(values, first)
    pooled = own[own["level"] == "arm"]
    status = found.adjusted.status
    if undefined:
        status += f"; {undefined} of {len(animals)} animals have no value or no order"
    row: dict[str, Any] = {
        "n_drug_first": found.n_first,
        "n_drug_second": found.n_second,
        "n_undefined": undefined,
    }
    for name in ("estimate", "ci_low", "ci_high"):
        row["pooled" if name == "estimate" else f"pooled_{name}"] = (
            float(pooled[name].iloc[0]) if len(pooled) else math.nan
        )
    for name, each in (("plain", found.plain), ("adjusted", found.adjusted), ("period", found.period)):
        low, high = each.interval()
        row |= {name: each.estimate, f"{name}_ci_low": low, f"{name}_ci_high": high}
    return {**row, "p_adjusted": found.adjusted.p, "p_period": found.period.p, "status": status}
