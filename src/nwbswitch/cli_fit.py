"""The command that fits mixed models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from nwbswitch.cli_options import (
    OUTPUT,
    GroupedCommand,
    emit,
    json_option,
    overwrite_option,
    seed_option,
    wrong_argument_is_wrong_usage,
)

if TYPE_CHECKING:
    from nwbswitch.analysis.fit_questions import Family, Robust
    from nwbswitch.analysis.formulas.coding import Contrasts
    from nwbswitch.analysis.inference.anova import AnovaType
    from nwbswitch.analysis.inference.contrasts import ContrastMethod
    from nwbswitch.analysis.inference.inference import Ddf
    from nwbswitch.analysis.inference.multiplicity import Adjust
    from nwbswitch.analysis.mixed.deviance import Method
    from nwbswitch.analysis.mixed.prepare import Engine
    from nwbswitch.analysis.mixed.result_tables import Format

_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Model": ("formula", "where", "weights", "contrasts", "family", "trials", "method", "engine"),
    "Tests": ("ddf", "anova", "robust", "permutation", "equivalence", "margin"),
    "Marginal means": ("marginal_means", "by", "contrast", "adjust"),
    "Intervals": ("profile", "bootstrap", "seed", "workers"),
    "Output": ("format", "plots", "out", "overwrite", "as_json"),
}


@click.command(cls=GroupedCommand, groups=_GROUPS)
@click.argument("table", type=click.Path(path_type=Path, exists=True), metavar="TABLE|DIR")
@click.option("--formula", required=True, help="lme4 formula, e.g. 'y ~ arm*window + (1 + window | animal)'.")
@click.option("--where", help="Rows to use, e.g. \"cell_type == 'excitatory' and rate < 8\".")
@click.option("--weights", metavar="COLUMN", help="Row weights: the residual variance is divided by them.")
@click.option(
    "--contrasts",
    type=click.Choice(("treatment", "sum")),
    default="treatment",
    show_default=True,
    help="Coding of factors: against the first level, or as deviations that sum to zero.",
)
@click.option(
    "--family",
    type=click.Choice(("gaussian", "binomial")),
    default="gaussian",
    show_default=True,
    help="binomial: yes/no counts by a logistic mixed model.",
)
@click.option(
    "--trials",
    metavar="COLUMN",
    help="With --family binomial: the denominators, if the response is a proportion.",
)
@click.option("--method", type=click.Choice(("reml", "ml")), help="Criterion; default: reml.")
@click.option(
    "--engine",
    type=click.Choice(("auto", "nested", "sparse")),
    default="auto",
    show_default=True,
    help="auto: nested where groups are nested, else sparse.",
)
@click.option(
    "--ddf",
    type=click.Choice(("kenward-roger", "satterthwaite", "none")),
    help="Degrees of freedom, none: z tests; default: kenward-roger, with binomial those of clusters.",
)
@click.option("--anova", type=click.Choice(("I", "II", "III")), default="III", show_default=True)
@click.option("--robust", type=click.Choice(("CR2",)), help="Also cluster-robust standard errors.")
@click.option(
    "--permutation", metavar="TERM", help="Also a permutation test of TERM over the outermost groups."
)
@click.option("--equivalence", metavar="TERM", help="Also test that coefficient TERM lies inside the margin.")
@click.option("--margin", type=click.FloatRange(min=0, min_open=True), help="Margin of --equivalence.")
@click.option(
    "--marginal-means", metavar="SPEC", help="Means of the levels of SPEC, e.g. 'drug' or 'drug:epoch'."
)
@click.option("--by", metavar="VAR", help="Marginal means and contrasts within each level of VAR.")
@click.option(
    "--contrast",
    type=click.Choice(("pairwise", "revpairwise", "trt.vs.ctrl", "eff", "consec", "poly")),
    help="Contrasts of the marginal means.",
)
@click.option(
    "--adjust",
    type=click.Choice(("none", "tukey", "mvt", "dunnett", "holm", "bonferroni", "sidak", "scheffe", "fdr")),
    help="Correction for several contrasts; default: as emmeans chooses.",
)
@click.option("--profile", is_flag=True, help="Profile-likelihood intervals of variances and fixed effects.")
@click.option(
    "--bootstrap", type=click.IntRange(min=2), metavar="N", help="Intervals from N parametric bootstrap fits."
)
@seed_option
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes for --bootstrap."
)
@click.option(
    "--format",
    type=click.Choice(("text", "markdown", "latex")),
    default="text",
    show_default=True,
    help="Of the tables that are printed.",
)
@click.option("--plots", type=OUTPUT, metavar="FILE", help="Write a page of diagnostics (.png, .svg, .pdf).")
@click.option("-o", "--out", type=OUTPUT, help="Also write the JSON to this file.")
@overwrite_option
@json_option
def fit(
    table: Path,
    formula: str,
    where: str | None,
    weights: str | None,
    contrasts: Contrasts,
    family: Family,
    trials: str | None,
    method: Method | None,
    engine: Engine,
    ddf: Ddf | None,
    anova: AnovaType,
    robust: Robust | None,
    permutation: str | None,
    equivalence: str | None,
    margin: float | None,
    marginal_means: str | None,
    by: str | None,
    contrast: ContrastMethod | None,
    adjust: Adjust | None,
    profile: bool,
    bootstrap: int | None,
    seed: int,
    workers: int,
    format: Format,  # noqa: A002
    plots: Path | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Fit a mixed model to TABLE (.csv, .tsv or .parquet), or to a folder DIR of summaries."""
    from nwbswitch.analysis.runs.models import fit_table

    with wrong_argument_is_wrong_usage():
        found = fit_table(
            table,
            formula,
            out=out,
            where=where,
            weights=weights,
            contrasts=contrasts,
            family=family,
            trials=trials,
            method=method,
            engine=engine,
            ddf=ddf,
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
            overwrite=overwrite,
        )
    emit(found.as_dict(), as_json, found.summary(format=format))
