"""The command that pools effects over studies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from nwbswitch.cli_options import (
    INPUT,
    OUTPUT,
    GroupedCommand,
    emit,
    json_option,
    overwrite_option,
    seed_option,
    wrong_argument_is_wrong_usage,
)

if TYPE_CHECKING:
    from nwbswitch.analysis.meta_analysis.effect_sizes import Measure
    from nwbswitch.analysis.meta_analysis.effect_sizes_means import VType
    from nwbswitch.analysis.meta_analysis.estimate import Test
    from nwbswitch.analysis.meta_analysis.meta_questions import RobustKind
    from nwbswitch.analysis.meta_analysis.multilevel_charts import Struct
    from nwbswitch.analysis.meta_analysis.tau2 import Method

_TAU2 = ("ee", "dl", "pm", "reml", "ml", "he", "hs", "hsk", "sj", "eb", "genq")
_MEASURES = (
    "MD", "SMD", "SMDH", "ROM", "MC", "SMCC", "SMCR", "ROMC",
    "OR", "RR", "RD", "PLO", "IRR", "COR", "ZCOR", "GEN",
)  # fmt: skip
_GROUPS = {
    "Effects": (
        "effect", "variance", "measure", "columns", "vtype", "estimand", "arm", "contrast", "cell_type",
    ),
    "Rows": ("where", "slab"),
    "Model": ("method", "test", "moderators", "weights", "random", "struct", "v", "rho", "level"),
    "Sensitivity": (
        "leave_one_out", "leave_out", "cumulative", "influence", "small_study", "permutation", "robust",
        "cluster", "seed",
    ),
    "Output": ("forest", "subgroups", "funnel", "out", "overwrite", "as_json"),
}  # fmt: skip
_ROWS = (
    "Rows to use, e.g. \"estimand == 'M' and level == 'animal' and arm == 'ketamine' "
    "and contrast == 'vs_saline'\"."
)


def _columns(context: click.Context, option: click.Parameter, given: str | None) -> dict[str, str] | None:
    """Return the roles of columns from ``m1i=ketamine mean,n1i=n``."""
    if given is None:
        return None
    found = {}
    for part in given.split(","):
        role, equals, name = part.partition("=")
        if not equals or not role.strip() or not name.strip():
            raise click.BadParameter(f"{part.strip()!r} is no ROLE=COLUMN, such as m1i=mean_ketamine")
        found[role.strip()] = name.strip()
    return found


@click.command(cls=GroupedCommand, groups=_GROUPS)
@click.argument("tables", type=INPUT, nargs=-1, required=True, metavar="TABLE...")
@click.option(
    "--effect",
    help="Column with the effects, or an expression of columns; default: yi, or estimate of estimates.",
)
@click.option("--variance", help="Their sampling variances; default: vi, or se**2 of estimates.")
@click.option("--measure", type=click.Choice(_MEASURES), help="Compute effect sizes from published numbers.")
@click.option(
    "--columns",
    callback=_columns,
    metavar="ROLE=COLUMN,...",
    help="Which column is what for --measure, e.g. m1i=mean_ketamine,sd1i=sd_ketamine.",
)
@click.option(
    "--vtype",
    type=click.Choice(("LS", "LS2", "UB", "HO")),
    default="LS",
    show_default=True,
    help="Kind of sampling variance of --measure.",
)
@click.option("--estimand", multiple=True, help="Pool this estimand of estimates tables; several: together.")
@click.option("--arm", help="With --estimand: the arm; default: all that have the contrast.")
@click.option("--contrast", default="vs_saline", show_default=True, help="With --estimand.")
@click.option("--cell-type", help="With --estimand: the cell type; default: all.")
@click.option("--where", help=_ROWS)
@click.option("--slab", help="Column with the labels of the studies.")
@click.option(
    "--method", type=click.Choice(_TAU2), default="reml", show_default=True, help="Estimator of tau2."
)
@click.option(
    "--test",
    type=click.Choice(("z", "t", "knha", "adhoc")),
    help="Default: knha (Knapp and Hartung), and t with --random.",
)
@click.option("--moderators", help="Right side of a formula, e.g. 'dose + route'.")
@click.option("--weights", metavar="COLUMN", help="Weights of the studies, instead of inverse variances.")
@click.option(
    "--random",
    multiple=True,
    metavar="TERM",
    help="Random term of effects that depend on each other, e.g. '~ 1 | lab/study'; may be repeated.",
)
@click.option(
    "--struct", type=click.Choice(("UN", "CS", "DIAG", "ID")), default="UN", show_default=True,
    help="Covariance of an inner factor of --random.",
)  # fmt: skip
@click.option("--V", "v", type=INPUT, metavar="FILE", help="Sampling covariance of the rows: numbers (.csv).")
@click.option(
    "--rho", type=click.FloatRange(-1, 1), help="Correlation of sampling errors inside a --cluster."
)
@click.option(
    "--level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Of all intervals, those in the table of --measure too.",
)
@click.option("--leave-one-out", is_flag=True, help="Also without each study.")
@click.option("--leave-out", metavar="COLUMN", help="Also without each lab: all studies of one COLUMN value.")
@click.option("--cumulative", metavar="COLUMN", help="Also as studies came in, in the order of COLUMN.")
@click.option("--influence", is_flag=True, help="Also what each study does to the fit.")
@click.option("--small-study", is_flag=True, help="Also small-study effects; refused below 10 studies.")
@click.option("--permutation", is_flag=True, help="Also permutation tests, exact for few studies.")
@click.option(
    "--robust",
    type=click.Choice(("CR0", "CR1", "CR1p", "CR2"), case_sensitive=False),
    help="Also cluster-robust standard errors.",
)
@click.option("--cluster", metavar="COLUMN", help="What is independent, for --robust and --rho.")
@seed_option
@click.option("--forest", type=OUTPUT, metavar="FILE", help="Write a forest plot (.svg, .pdf, .png).")
@click.option("--subgroups", metavar="COLUMN", help="Groups of the forest plot, each pooled.")
@click.option("--funnel", type=OUTPUT, metavar="FILE", help="Write a funnel plot (.svg, .pdf, .png).")
@click.option("-o", "--out", type=OUTPUT, help="Also write the JSON to this file.")
@overwrite_option
@json_option
def meta(
    tables: tuple[Path, ...],
    effect: str | None,
    variance: str | None,
    measure: Measure | None,
    columns: dict[str, str] | None,
    vtype: VType,
    estimand: tuple[str, ...],
    arm: str | None,
    contrast: str,
    cell_type: str | None,
    where: str | None,
    slab: str | None,
    method: Method,
    test: Test | None,
    moderators: str | None,
    weights: str | None,
    random: tuple[str, ...],
    struct: Struct,
    v: Path | None,
    rho: float | None,
    level: float,
    leave_one_out: bool,
    leave_out: str | None,
    cumulative: str | None,
    influence: bool,
    small_study: bool,
    permutation: bool,
    robust: str | None,
    cluster: str | None,
    seed: int,
    forest: Path | None,
    subgroups: str | None,
    funnel: Path | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Pool effects over studies by meta-analysis or meta-regression.

    TABLE holds effects with their variances, or published numbers (--measure), or is the estimates.csv of a
    data set; several are put below each other. Exit status 1: something that was asked for is refused.
    """
    from nwbswitch.analysis.meta_analysis.meta_questions import MetaQuestions
    from nwbswitch.analysis.runs.meta_tables import meta_tables

    questions = MetaQuestions(
        leave_one_out=leave_one_out,
        leave_out=leave_out,
        cumulative=cumulative,
        influence=influence,
        small_study=small_study,
        permutation=permutation,
        robust=cast("RobustKind | None", robust),
        cluster=cluster,
        seed=seed,
    )
    with wrong_argument_is_wrong_usage():
        found = meta_tables(
            tables,
            effect=effect,
            variance=variance,
            measure=measure,
            columns=columns,
            vtype=vtype,
            estimands=estimand,
            arm=arm,
            contrast=contrast,
            cell_type=cell_type,
            method=method,
            test=test,
            moderators=moderators,
            weights=weights,
            where=where,
            slab=slab,
            level=level,
            random=random,
            struct=struct,
            V=v,
            rho=rho,
            questions=questions,
            forest=forest,
            subgroups=subgroups,
            funnel=funnel,
            out=out,
            overwrite=overwrite,
        )
    emit(found.as_dict(), as_json, found.summary())
    return int(bool(found.refused))
