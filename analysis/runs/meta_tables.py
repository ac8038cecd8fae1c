"""Meta-analyses of tables on disk: published numbers, effects, or estimates of several data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nwbswitch.analysis.runs.results_folder import refuse_other_work, save_result
from nwbswitch.analysis.table_file import read_table
from nwbswitch.schemas.errors import FitError, InputFileError
from nwbswitch.schemas.tables import ESTIMATES

if TYPE_CHECKING:
    import numpy as np

    from nwbswitch.analysis.meta_analysis.effect_sizes import EffectSizes, Measure
    from nwbswitch.analysis.meta_analysis.effect_sizes_means import VType
    from nwbswitch.analysis.meta_analysis.estimate import Test
    from nwbswitch.analysis.meta_analysis.known_covariance import KnownCovariance
    from nwbswitch.analysis.meta_analysis.meta_questions import MetaQuestions, MetaReport
    from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
    from nwbswitch.analysis.meta_analysis.multilevel_charts import Struct
    from nwbswitch.analysis.meta_analysis.multilevel_result import MultilevelFit
    from nwbswitch.analysis.meta_analysis.study_effects import StudyEffects
    from nwbswitch.analysis.meta_analysis.tau2 import Method

MAX_MATRIX_BYTES = 64 << 20
_ESTIMATES_SIGNS = {"dataset", "level", "estimand", "contrast", "estimate", "se"}


def meta_tables(
    tables: Sequence[Path],
    *,
    effect: str | None = None,
    variance: str | None = None,
    measure: Measure | None = None,
    columns: Mapping[str, str] | None = None,
    vtype: VType = "LS",
    estimands: Sequence[str] = (),
    arm: str | None = None,
    contrast: str = "vs_saline",
    cell_type: str | None = None,
    method: Method = "reml",
    test: Test | None = None,
    moderators: str | None = None,
    weights: str | None = None,
    where: str | None = None,
    slab: str | None = None,
    level: float = 0.95,
    random: Sequence[str] = (),
    struct: Struct = "UN",
    V: Path | None = None,
    rho: float | None = None,
    questions: MetaQuestions | None = None,
    forest: Path | None = None,
    subgroups: str | None = None,
    funnel: Path | None = None,
    out: Path | None = None,
    overwrite: bool = False,
) -> MetaReport:
    """Pool the effects in table files, answer questions about them, and keep the result in ``out``.

    Parameters
    ----------
    tables
        Tables (.csv, .tsv, .parquet), put below each other.
    effect, variance
        As in `meta.meta`; by default ``estimate`` and ``se**2`` of estimates tables, ``yi`` and ``vi`` of
        others.
    measure, columns, vtype
        Compute effect sizes first, as in `effect_sizes.effect_sizes`.
    estimands, arm, contrast, cell_type
        Effects of data sets from their estimates tables, as in `study_effects.study_effects`; several
        estimands are pooled together, with their covariance.
    method, test, moderators, weights, where, slab, level
        As in `meta.meta`. With ``random`` the method is reml or ml, and the test z or t.
    random, struct
        As in `multilevel.multilevel`.
    V
        File with the sampling covariance of the rows, a matrix of numbers without header (.csv).
    rho
        Correlation of sampling errors inside a cluster (``questions.cluster``).
    questions
        What is asked beyond the coefficients.
    forest, subgroups, funnel
        Figures to write (.svg, .pdf, .png), the first with a column of groups.
    out
        JSON file to write.
    overwrite
        Replace outputs that were made differently.

    Raises
    ------
    ExistingOutputError
        If an output holds something else and ``overwrite`` is false.
    ValueError
        If what is asked does not go together.
    """
    from nwbswitch.analysis.meta_analysis.effect_sizes import effect_sizes, require_effects
    from nwbswitch.analysis.meta_analysis.meta_questions import MetaQuestions, answered

    questions = questions or MetaQuestions()
    parameters = {
        "effect": effect,
        "variance": variance,
        "measure": measure,
        "columns": dict(columns or {}),
        "vtype": vtype,
        "estimands": list(estimands),
        "arm": arm,
        "contrast": contrast,
        "cell_type": cell_type,
        "method": method,
        "test": test,
        "moderators": moderators,
        "weights": weights,
        "where": where,
        "slab": slab,
        "level": level,
        "random": list(random),
        "struct": struct,
        "rho": rho,
        **questions.parameters(),
    }
    _require_together(measure, columns, estimands, arm, cell_type, random, V, rho, weights, questions)
    data, is_estimates = read_tables(tables)
    work = _work(tables, V, parameters, questions)
    if out is not None and out.exists() and not overwrite:
        refuse_other_work(out, work)
    sizes: EffectSizes | None = None
    effects: StudyEffects | None = None
    if measure is not None:
        sizes = require_effects(
            effect_sizes(data, measure=measure, columns=columns, vtype=vtype, level=level, slab=slab)
        )
        data, slab = sizes.effects, slab or "label"
    elif estimands:
        effects = _study_effects(data, is_estimates, estimands, arm, contrast, cell_type)
        data, slab = effects.rows, slab or "dataset"
    usual = ("estimate", "se**2") if is_estimates and effects is None else ("yi", "vi")
    asked = effect or usual[0], variance or usual[1]
    fit: MetaFit | MultilevelFit
    if random or (effects is not None and len(estimands) > 1):
        fit, data = _multilevel(
            data,
            asked,
            effects,
            random,
            struct,
            V,
            rho,
            questions.cluster,
            moderators,
            method,
            test,
            where,
            slab,
            level,
        )
    else:
        from nwbswitch.analysis.meta_analysis.meta import meta

        if slab is None and is_estimates:
            slab = "dataset"
        fit = meta(
            data,
            effect=asked[0],
            variance=asked[1],
            method=method,
            test=test or "knha",
            moderators=moderators,
            weights=weights,
            where=where,
            slab=slab,
            level=level,
        )
    report = answered(fit, questions, sizes=sizes, effects=effects, source=data)
    if forest is not None:
        _draw_forest(report.fit, forest, subgroups, asked[0], overwrite=overwrite)
    if funnel is not None:
        report = _draw_funnel(report, funnel, asked[0], overwrite=overwrite)
    if out is not None:
        save_result(out, report.as_dict(), work=work, overwrite=overwrite)
    return report


def read_tables(tables: Sequence[Path]) -> tuple[pd.DataFrame, bool]:
    """Return the tables below each other, and whether they are estimates of data sets.

    Raises
    ------
    InputFileError
        If a table cannot be read, or only some of several are estimates.
    ValueError
        If there is no table.
    """
    if not tables:
        raise ValueError("There is no table to pool.")
    frames = [read_table(path, text=ESTIMATES.text_names) for path in tables]
    are = [set(frame.columns) >= _ESTIMATES_SIGNS for frame in frames]
    if any(are) and not all(are):
        raise InputFileError(
            tables[are.index(False)],
            "is no table of estimates, but another of the tables is.",
            "Give estimates of data sets, or other tables, not both.",
        )
    if not all(are):
        frames = [read_table(path) for path in tables]
    return (frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)), all(are)


def _require_together(
    measure: str | None,
    columns: Mapping[str, str] | None,
    estimands: Sequence[str],
    arm: str | None,
    cell_type: str | None,
    random: Sequence[str],
    V: Path | None,
    rho: float | None,
    weights: str | None,
    questions: MetaQuestions,
) -> None:
    """Raise ValueError if what is asked does not go together."""
    if columns and measure is None:
        raise ValueError("columns belong to effect sizes: say which measure.")
    if measure is not None and estimands:
        raise ValueError(
            "measure computes effect sizes from a table, estimands are effects; give one of them."
        )
    if (arm is not None or cell_type is not None) and not estimands:
        raise ValueError("arm and cell_type choose effects of estimands; name the estimand, or use where.")
    if (V is not None or rho is not None) and not random:
        raise ValueError(
            "V and rho are the covariance of dependent effects; give random, e.g. '~ 1 | lab/study'."
        )
    if V is not None and (rho is not None or measure is not None):
        raise ValueError("V has a row for each row of the table: give it without rho and without measure.")
    if rho is not None and questions.cluster is None:
        raise ValueError("rho needs cluster: the column inside which sampling errors are correlated.")
    if weights is not None and random:
        raise ValueError("weights are of independent effects; leave random out.")


def _study_effects(
    data: pd.DataFrame,
    is_estimates: bool,
    estimands: Sequence[str],
    arm: str | None,
    contrast: str,
    cell_type: str | None,
) -> StudyEffects:
    from nwbswitch.analysis.meta_analysis.study_effects import study_effects

    if not is_estimates:
        raise ValueError("estimands are taken from estimates tables (estimates.csv of nwbswitch switch).")
    return study_effects(data, estimands=estimands, contrast=contrast, arm=arm, cell_type=cell_type)


def _multilevel(
    data: pd.DataFrame,
    asked: tuple[str, str],
    effects: StudyEffects | None,
    random: Sequence[str],
    struct: Struct,
    V: Path | None,
    rho: float | None,
    cluster: str | None,
    moderators: str | None,
    method: Method,
    test: Test | None,
    where: str | None,
    slab: str | None,
    level: float,
) -> tuple[MultilevelFit, pd.DataFrame]:
    """Return the multilevel fit, and the table whose rows it counts."""
    from nwbswitch.analysis.formulas.expressions import rows_where
    from nwbswitch.analysis.meta_analysis.known_covariance import known_covariance
    from nwbswitch.analysis.meta_analysis.meta import with_column
    from nwbswitch.analysis.meta_analysis.multilevel import multilevel

    if method not in ("reml", "ml"):
        raise ValueError(f"method is {method!r}; dependent effects are pooled by reml or ml.")
    if test not in (None, "z", "t"):
        raise ValueError(f"test is {test!r}; dependent effects have z or t.")
    if effects is not None and not random:
        if where is not None:
            raise ValueError("where does not go with several estimands; choose arm, contrast and cell type.")
        return effects.pool(struct=struct, moderators=moderators, method=method, level=level), effects.rows
    effect, variance = asked
    known: KnownCovariance | np.ndarray | None = None if effects is None else effects.V
    if V is not None:
        known = read_matrix(V, len(data))
    elif rho is not None:
        assert cluster is not None
        data = with_column(data, variance)
        if where is not None:
            data, where = data.iloc[rows_where(where, data)].reset_index(drop=True), None
        data = data[data[variance].notna()].reset_index(drop=True)
        known = known_covariance(data, variance=variance, cluster=cluster, rho=rho)
    fit = multilevel(
        data,
        effect=effect,
        variance=variance if known is None else None,
        V=known,
        random=list(random),
        struct=struct,
        moderators=moderators,
        method=method,
        test="z" if test == "z" else "t",
        where=where,
        slab=slab,
        level=level,
    )
    return fit, data


def read_matrix(path: Path, n: int) -> np.ndarray:
    """Return the square matrix of ``n`` rows in a file of comma-separated numbers.

    Raises
    ------
    InputFileError
        If the file is missing, too large, no matrix of numbers, or of another size.
    """
    import numpy as np

    if not path.is_file():
        raise InputFileError(path, "no such file.")
    if path.stat().st_size > MAX_MATRIX_BYTES:
        raise InputFileError(path, "a matrix of more than 64 MiB of text.")
    try:
        found = np.loadtxt(path, delimiter=",", ndmin=2, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputFileError(path, f"is no matrix of numbers without header ({reason}).") from error
    if found.shape != (n, n):
        raise InputFileError(
            path, f"holds {found.shape[0]} rows of {found.shape[1]}; the table has {n} rows."
        )
    return np.asarray(found)


def _work(
    tables: Sequence[Path], V: Path | None, parameters: dict[str, Any], questions: MetaQuestions
) -> dict[str, Any]:
    """Return the record of the work, known by the digests of its files in their order."""
    from nwbswitch.schemas.files import sha256_file
    from nwbswitch.schemas.provenance import record

    files = [*tables, *([V] if V is not None else [])]
    inputs = {f"{place + 1} {path.name}": sha256_file(path) for place, path in enumerate(files)}
    if len(files) == 1:
        inputs = {files[0].name: sha256_file(files[0])}
    seed = questions.seed if questions.permutation else None
    return record(command="meta", parameters=parameters, inputs=inputs, seed=seed)


def _draw_forest(
    fit: MetaFit | MultilevelFit, path: Path, subgroups: str | None, effect: str, *, overwrite: bool
) -> None:
    from nwbswitch.analysis.figures.figure_file import save_figure
    from nwbswitch.analysis.figures.meta_figures import forest_figure
    from nwbswitch.analysis.meta_analysis.forest import forest_data

    save_figure(
        forest_figure(forest_data(_univariate(fit), subgroups=subgroups), xlabel=effect),
        path,
        overwrite=overwrite,
    )


def _draw_funnel(report: MetaReport, path: Path, effect: str, *, overwrite: bool) -> MetaReport:
    """Write the funnel plot, or return the report with the reason why there is none."""
    from nwbswitch.analysis.figures.figure_file import save_figure
    from nwbswitch.analysis.figures.meta_figures import funnel_figure
    from nwbswitch.analysis.meta_analysis.funnel import funnel_data

    filled = report.small_study.filled[0] if report.small_study is not None else None
    try:
        data = funnel_data(_univariate(report.fit), filled=filled)
    except FitError as error:
        return replace(report, refused=(*report.refused, ("funnel", str(error))))
    save_figure(funnel_figure(data, xlabel=effect), path, overwrite=overwrite)
    return report


def _univariate(fit: MetaFit | MultilevelFit) -> MetaFit:
    from nwbswitch.analysis.meta_analysis.meta_result import MetaFit

    if not isinstance(fit, MetaFit):
        raise ValueError("forest and funnel are of independent effects; leave random out.")
    return fit
