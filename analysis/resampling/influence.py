"""Influence of each independent cluster: the model fitted again without it.

``shift`` is the change of a coefficient in units of its standard error in the full fit. Cook's distance is
(b_(g) - b)' C^-1 (b_(g) - b) / p with C the covariance of the p coefficients in the full fit, the variances
estimated again too; leverage is tr(F_g F^-1) with F_g = X_g'V_g^-1 X_g, which sums to p (Demidenko and Stukel
2005, who hold the variances).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.estimates import estimates_of, sd_names
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.optimum import Optimum, psi_of
from nwbswitch.analysis.plain_values import plain
from nwbswitch.analysis.resampling.refit import refit
from nwbswitch.schemas.errors import FitError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What the fit without one cluster says.

    ``estimates`` (p,) are its coefficients, ``shifts`` their changes in standard errors, ``sds`` the
    standard deviations of all effects and of the residual. All are nan where ``reason`` says why there is
    no such fit.
    """

    level: str
    n_rows: int
    leverage: float
    cook: float
    estimates: np.ndarray
    shifts: np.ndarray
    sds: np.ndarray
    converged: bool
    singular: bool
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class Influence:
    """Fits without each cluster of ``group``, beside the ``estimates`` (p,) and ``sds`` of the full fit."""

    group: str
    names: tuple[str, ...]
    sd_names: tuple[str, ...]
    estimates: np.ndarray
    sds: np.ndarray
    left_out: tuple[LeftOut, ...]

    def __repr__(self) -> str:
        return f"<Influence of {len(self.left_out)} levels of {self.group} on {len(self.names)} coefficients>"

    def table(self) -> pd.DataFrame:
        """Return one row per cluster and coefficient: group, level, term, estimate, change, shift, reason."""
        import pandas as pd

        rows = [
            (self.group, each.level, name, value, value - full, shift, each.reason)
            for each in self.left_out
            for name, value, full, shift in zip(
                self.names, each.estimates, self.estimates, each.shifts, strict=True
            )
        ]
        names = ["group", "level", "term", "estimate", "change", "shift", "reason"]
        return pd.DataFrame(rows, columns=names)

    def clusters(self) -> pd.DataFrame:
        """Return one row per cluster: group, level, n_rows, leverage, cook, every SD, converged, reason."""
        import pandas as pd

        rows = [
            {
                "group": self.group,
                "level": each.level,
                "n_rows": each.n_rows,
                "leverage": each.leverage,
                "cook": each.cook,
                **dict(zip(self.sd_names, each.sds, strict=True)),
                "converged": each.converged,
                "singular": each.singular,
                "reason": each.reason,
            }
            for each in self.left_out
        ]
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Return the clusters with the greatest Cook's distance, as text for people."""
        table = self.clusters().sort_values("cook", ascending=False, na_position="first").head(10)
        lines = [
            f"Each {self.group} left out once, greatest Cook's distance first",
            table[["level", "n_rows", "leverage", "cook", "reason"]].to_string(
                index=False, float_format=lambda value: f"{value:.4g}"
            ),
        ]
        shifts = np.array([each.shifts for each in self.left_out])
        if np.isfinite(shifts).any():
            row, column = np.unravel_index(int(np.nanargmax(np.abs(shifts))), shifts.shape)
            lines.append(
                f"Greatest shift: {self.names[column]} by {shifts[row, column]:+.2f} standard errors "
                f"without {self.left_out[row].level}."
            )
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def leave_one_cluster_out(model: Model, deviance: Deviance, optimum: Optimum) -> Influence:
    """Return the fits without each of the outermost groups, variances estimated again.

    Raises
    ------
    FitError
        If the outermost groups are crossed.
    """
    found = deviance.cluster_sums(psi_of(deviance, optimum.theta))
    p, at = deviance.n_fixed, optimum.evaluation
    full = estimates_of(deviance, optimum.method, optimum.theta, at)
    se = np.sqrt(np.diagonal(full.vcov))
    precision = np.linalg.inv(full.vcov)
    inverse = np.linalg.inv(at.information)
    rows = []
    for position, label in enumerate(found.labels):
        leverage = float(np.trace(found.sums[position, :p, :p] @ inverse))
        n_rows = int(found.n_rows[position])
        try:
            smaller = deviance.without_cluster(position)
            again = refit(smaller, method=optimum.method, start=optimum.theta)
        except (FitError, np.linalg.LinAlgError) as error:
            lost, lost_sds = np.full(p, np.nan), np.full(len(full.sds), np.nan)
            nan = float("nan")
            rows.append(LeftOut(label, n_rows, leverage, nan, lost, lost, lost_sds, False, False, str(error)))
            continue
        left = estimates_of(smaller, again.method, again.theta, again.evaluation)
        change = left.coefficients - full.coefficients
        rows.append(
            LeftOut(
                level=label,
                n_rows=n_rows,
                leverage=leverage,
                cook=float(change @ precision @ change) / p,
                estimates=left.coefficients,
                shifts=change / se,
                sds=left.sds,
                converged=again.converged,
                singular=again.singular,
                reason="" if again.converged else "the search did not end in a minimum",
            )
        )
    return Influence(found.group, model.names, sd_names(model), full.coefficients, full.sds, tuple(rows))
