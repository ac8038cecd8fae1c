"""The data of a funnel plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
from nwbswitch.analysis.meta_analysis.small_study import require_enough
from nwbswitch.schemas.errors import FitError

if TYPE_CHECKING:
    from nwbswitch.analysis.meta_analysis.trim_and_fill import TrimAndFill

CONTOURS = (0.10, 0.05, 0.01)


@dataclass(frozen=True, slots=True)
class FunnelData:
    """Effects against their standard errors, around ``centre``, with contours of P around ``reference``.

    ``points``: label, effect, se, p (two-sided, of the study alone), imputed.
    """

    points: pd.DataFrame
    centre: float
    reference: float
    level: float
    contours: tuple[float, ...] = CONTOURS


def funnel_data(fit: MetaFit, *, filled: TrimAndFill | None = None, reference: float = 0.0) -> FunnelData:
    """Return what a contour-enhanced funnel plot shows (Peters et al. 2008).

    Parameters
    ----------
    fit
        A pooled meta-analysis without moderators.
    filled
        Its trim and fill; imputed studies are added and marked.
    reference
        The effect whose P the contours show.

    Raises
    ------
    FitError
        With fewer than ten studies, or moderators.
    """
    from scipy.stats import norm

    require_enough(fit)
    if fit.has_moderators:
        raise FitError("A funnel plot needs a model without moderators.")
    studies = fit.studies if filled is None else filled.fit.studies
    effect, se = studies["effect"].to_numpy(), np.sqrt(studies["variance"].to_numpy())
    points = pd.DataFrame(
        {
            "label": studies["label"],
            "effect": effect,
            "se": se,
            "p": 2.0 * norm.sf(np.abs(effect - reference) / se),
            "imputed": np.arange(len(studies)) >= fit.k,
        }
    )
    return FunnelData(points, fit.coefficients[0].estimate, reference, fit.level)
