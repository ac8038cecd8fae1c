"""Models of a table on disk, kept with the record of how they were made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbswitch.analysis.runs.results_folder import refuse_other_work, save_result, table_work
from nwbswitch.analysis.table_file import read_table
from nwbswitch.schemas.errors import ExistingOutputError

if TYPE_CHECKING:
    from nwbswitch.analysis.fit_questions import Family, FitQuestions, Robust
    from nwbswitch.analysis.fit_report import FitReport
    from nwbswitch.analysis.formulas.coding import Contrasts
    from nwbswitch.analysis.glmm.result import BinomialFit
    from nwbswitch.analysis.inference.anova import AnovaType
    from nwbswitch.analysis.inference.contrasts import ContrastMethod
    from nwbswitch.analysis.inference.inference import Ddf
    from nwbswitch.analysis.inference.multiplicity import Adjust
    from nwbswitch.analysis.meta_analysis.estimate import Test
    from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
    from nwbswitch.analysis.meta_analysis.tau2 import Method as MetaMethod
    from nwbswitch.analysis.mixed.deviance import Method
    from nwbswitch.analysis.mixed.prepare import Engine
    from nwbswitch.analysis.mixed.result import MixedFit


def fit_table(
    table: Path,
    formula: str,
    *,
    out: Path | None = None,
    where: str | None = None,
    weights: str | None = None,
    contrasts: Contrasts = "treatment",
    family: Family = "gaussian",
    trials: str | None = None,
    method: Method | None = None,
    ddf: Ddf | None = None,
    engine: Engine = "auto",
    anova: AnovaType = "III",
    robust: Robust | None = None,
    permutation: str | None = None,
    equivalence: str | None = None,
    margin: float | None = None,
    marginal_means: str | None = None,
    by: str | None = None,
    contrast: ContrastMethod | None = None,
    adjust: Adjust | None = None,
    profile: bool = False,
    bootstrap: int | None = None,
    seed: int = 0,
    workers: int = 1,
    plots: Path | None = None,
    overwrite: bool = False,
) -> FitReport:
    """Fit a mixed model to a table file, answer questions about it, and keep the result in ``out``.

    Parameters
    ----------
    table
        Table (.csv, .tsv, .parquet), or a file or folder of summaries.
    formula, where, weights, contrasts, engine
        As in `mixed.fit.fit`.
    out
        JSON file to write.
    family, trials
        ``binomial`` fits yes/no counts by `glmm.fit.fit_binomial`.
    method, ddf
        As in `mixed.fit.fit` (``reml`` and ``kenward-roger`` by default). A binomial model is fitted by
        Laplace's approximation; its degrees of freedom are those of clusters unless ``ddf`` is ``none``.
    anova, robust, permutation, equivalence, margin, marginal_means, by, contrast, adjust, profile, bootstrap
        What is asked beyond the coefficients, see `fit_questions.FitQuestions`.
    seed
        Of permutation and bootstrap.
    workers
        Processes for the bootstrap; they change no number.
    plots
        Page of diagnostics to write (.png, .svg, .pdf).
    overwrite
        Replace outputs that were made differently.

    Raises
    ------
    ExistingOutputError
        If ``out`` or ``plots`` holds something else and ``overwrite`` is false.
    ValueError
        If questions do not go together or do not fit the model.
    """
    from nwbswitch.analysis.fit_answers import answers
    from nwbswitch.analysis.fit_questions import FitQuestions
    from nwbswitch.analysis.fit_report import FitReport

    questions = FitQuestions(
        anova=anova,
        robust=robust,
        permutation=permutation,
        equivalence=equivalence,
        margin=margin,
        marginal_means=marginal_means,
        by=by,
        contrast=contrast,
        adjust=adjust,
        profile=profile,
        bootstrap=bootstrap,
        seed=seed,
        workers=workers,
        plots=plots,
    )
    work = None
    if out is not None:
        parameters = {
            "formula": formula,
            "where": where,
            "weights": weights,
            "contrasts": contrasts,
            "family": family,
            "trials": trials,
            "method": method,
            "ddf": ddf,
            "engine": engine,
            **questions.parameters(),
        }
        work = table_work("fit", table, parameters, seed=questions.seed_used)
        if out.exists() and not overwrite:
            refuse_other_work(out, work)
    report: FitReport
    match family:
        case "gaussian":
            if trials is not None:
                raise ValueError("trials needs family='binomial'.")
            found = _gaussian(table, formula, where, weights, contrasts, method, ddf, engine)
            report = FitReport(found, answers(found, questions), anova)
            if plots is not None:
                _save_plots(found, plots, profile=profile, overwrite=overwrite)
        case "binomial":
            _require_binomial(table, weights, method, ddf, engine, questions)
            report = FitReport(_binomial(table, formula, where, contrasts, trials, ddf))
        case _:
            raise ValueError(f"family is {family!r}; available are gaussian, binomial.")
    if out is not None and work is not None:
        save_result(out, report.as_dict(), work=work, overwrite=overwrite)
    return report


def _gaussian(
    table: Path,
    formula: str,
    where: str | None,
    weights: str | None,
    contrasts: Contrasts,
    method: Method | None,
    ddf: Ddf | None,
    engine: Engine,
) -> MixedFit:
    from nwbswitch.analysis.mixed.fit import fit

    return fit(
        table,
        formula,
        where=where,
        weights=weights,
        contrasts=contrasts,
        method=method or "reml",
        ddf=ddf or "kenward-roger",
        engine=engine,
    )


def _binomial(
    table: Path,
    formula: str,
    where: str | None,
    contrasts: Contrasts,
    trials: str | None,
    ddf: Ddf | None,
) -> BinomialFit:
    from nwbswitch.analysis.glmm.fit import fit_binomial

    return fit_binomial(
        read_table(table),
        formula,
        trials=trials,
        where=where,
        ddf="none" if ddf == "none" else "clusters",
        contrasts=contrasts,
    )


def _require_binomial(
    table: Path,
    weights: str | None,
    method: Method | None,
    ddf: Ddf | None,
    engine: Engine,
    questions: FitQuestions,
) -> None:
    """Raise ValueError if something is asked that a binomial model does not answer."""
    from nwbswitch.analysis.summaries.summarise import holds_summaries

    if holds_summaries(table):
        raise ValueError("family='binomial' is fitted to rows; these summaries are of a gaussian model.")
    given: dict[str, Any] = {"weights": weights, "method": method}
    given["engine"] = None if engine == "auto" else engine
    given["ddf"] = None if ddf == "none" else ddf
    asked = [name for name, value in given.items() if value is not None] + list(questions.asked())
    if asked:
        raise ValueError(f"{', '.join(asked)}: not with family='binomial'; ask it of a gaussian model.")


def _save_plots(fit: MixedFit, plots: Path, *, profile: bool, overwrite: bool) -> None:
    """Write the page of diagnostics; the same page may be there already."""
    from tempfile import TemporaryDirectory

    from nwbswitch.schemas.files import replaced

    with TemporaryDirectory() as folder:
        made = fit.diagnostics().plot(Path(folder) / plots.name, profile=profile).read_bytes()
    if plots.exists() and not overwrite and plots.read_bytes() != made:
        raise ExistingOutputError(f"{plots} is another picture. Choose another file or give --overwrite.")
    with replaced(plots) as partial:
        partial.write_bytes(made)


def pool_table(
    table: Path,
    *,
    effect: str,
    variance: str,
    out: Path | None = None,
    method: MetaMethod = "reml",
    test: Test = "knha",
    moderators: str | None = None,
    where: str | None = None,
    slab: str | None = None,
    overwrite: bool = False,
) -> MetaFit:
    """Pool the effects in a table file and keep the result in ``out``; arguments as in `meta.meta`.

    Raises
    ------
    ExistingOutputError
        If ``out`` holds the result of other work and ``overwrite`` is false.
    """
    from nwbswitch.analysis.meta_analysis.meta import meta

    result = meta(
        read_table(table),
        effect=effect,
        variance=variance,
        method=method,
        test=test,
        moderators=moderators,
        where=where,
        slab=slab,
    )
    if out is not None:
        parameters = {
            "effect": effect,
            "variance": variance,
            "method": method,
            "test": test,
            "moderators": moderators,
            "where": where,
            "slab": slab,
        }
        save_result(out, result.as_dict(), work=table_work("meta", table, parameters), overwrite=overwrite)
    return result
