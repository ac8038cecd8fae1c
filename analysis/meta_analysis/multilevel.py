"""Multilevel and multivariate meta-analysis of effects with known sampling covariance.

The model is y = X beta + Z u + e with Cov(e) = V known: random intercepts of nested or crossed groups
(Konstantopoulos 2011, Res Synth Methods 2:61-76, for three levels) and effects of the levels of an inner
factor, such as several estimands, that are correlated within groups (Berkey et al. 1998, Stat Med
17:2537-2550).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.multilevel_charts import Struct
from nwbswitch.analysis.meta_analysis.multilevel_frame import effect_frame
from nwbswitch.analysis.meta_analysis.multilevel_likelihood import Method
from nwbswitch.analysis.meta_analysis.multilevel_model import multilevel_model
from nwbswitch.analysis.meta_analysis.multilevel_result import Dfs, MultilevelFit, Test, multilevel_fit
from nwbswitch.analysis.meta_analysis.multilevel_search import search

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from nwbswitch.analysis.meta_analysis.known_covariance import KnownCovariance


def multilevel(
    data: pd.DataFrame,
    *,
    effect: str,
    variance: str | None = None,
    V: KnownCovariance | np.ndarray | csr_array | None = None,
    random: str | Sequence[str] = "~ 1 | study",
    struct: Struct | Sequence[Struct] = "UN",
    moderators: str | None = None,
    method: Method = "reml",
    test: Test = "t",
    dfs: Dfs = "between",
    where: str | None = None,
    slab: str | None = None,
    level: float = 0.95,
) -> MultilevelFit:
    """Pool effects that depend on each other, or regress them on moderators.

    Parameters
    ----------
    data
        One row per effect; it is not changed. Rows with missing values are left out and counted.
    effect
        Column with the effects, or an expression of columns.
    variance
        Column with their sampling variances (squared standard errors), or an expression such as ``"se**2"``,
        where sampling errors are independent.
    V
        Their sampling covariance (rows, rows) where they are not, a row for each row of ``data``: from
        `known_covariance.known_covariance`, `study_effects.study_effects`, or a matrix.
    random
        Random terms: ``"~ 1 | lab/study"`` for intercepts of labs and of studies in labs, to any depth;
        ``"~ estimand | study"`` for effects of each estimand that are correlated within a study.
    struct
        Covariance of the levels of an inner factor: ``UN``, ``CS``, ``DIAG`` or ``ID``; one for each term
        with an inner factor, or one for all.
    moderators
        Right side of a formula, e.g. ``"estimand + dose"``.
    method
        ``reml`` or ``ml``.
    test, dfs
        ``z``, or ``t`` with ``between``, ``contain`` or ``residual`` degrees of freedom. ``contain`` is that
        of metafor: for a column that is constant within the groups of a term, groups minus coefficients, the
        fewest of all terms, else rows minus coefficients (``residual``). ``between`` differs only with an
        inner factor: a column that belongs to one of its levels has the groups with that level minus
        the coefficients of that level, as many as the level has in a meta-analysis of its own.
    where
        Condition that chooses rows.
    slab
        Column with labels of the rows.
    level
        Of all intervals.

    Raises
    ------
    FormulaError
        For a column that is not there, or a formula that cannot be read.
    FitError
        For data that cannot hold the model; the message names the column, group or rows.
    ValueError
        For a method, test, structure or level that does not exist, or not exactly one of variance and V.
    """
    for name, value, known in (
        ("method", method, get_args(Method)),
        ("test", test, get_args(Test)),
        ("dfs", dfs, get_args(Dfs)),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}; available are {', '.join(known)}.")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; expected a number between 0 and 1, e.g. 0.95.")
    asked = tuple(random) if isinstance(random, Sequence) and not isinstance(random, str) else (random,)
    if not asked:
        raise ValueError("There is no random term; give e.g. random='~ 1 | study'.")
    frame = effect_frame(
        data,
        effect=effect,
        variance=variance,
        V=V,
        random=asked,
        moderators=moderators,
        where=where,
        slab=slab,
    )
    model = multilevel_model(frame, struct=struct, method=method)
    optimum = search(model.data, model.chart, method)
    return multilevel_fit(model, optimum, random=asked, test=test, dfs=dfs, level=level)
