"""The command line: each command is a thin call of the public function of the same name."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from nwbswitch.schemas.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nwbswitch.analysis.meta import Test as MetaTest
    from nwbswitch.analysis.meta_tau2 import Method as MetaMethod
    from nwbswitch.schemas.issues import Issue

_PATH = click.Path(path_type=Path)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_INPUT = click.Path(path_type=Path, dir_okay=False, exists=True)
_OUTPUT = click.Path(path_type=Path, dir_okay=False)
_WORLDS = ("null", "drift", "gain", "reshuffle", "swap", "switch")
_TAU2 = ("ee", "dl", "pm", "reml", "ml", "he", "hs", "sj", "eb")

_ROWS_OF_ONE_ARM = (
    "Rows to use, e.g. \"estimand == 'M' and level == 'animal' and arm == 'ketamine' "
    "and contrast == 'vs_saline'\"."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
_overwrite = click.option("--overwrite", is_flag=True, help="Replace an existing output.")
_workers = click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes for sessions."
)
_seed = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="nwbswitch")
def commands() -> None:
    """Convert drug-challenge experiments to NWB and estimate what the drug did to the network.

    Exit status: 0 done, 1 findings of error severity, 2 wrong usage.
    """


@commands.command()
@click.argument("out", type=_FOLDER)
@click.option(
    "--world", type=click.Choice(_WORLDS), default="switch", show_default=True, help="What the drug does."
)
@click.option("--animals", type=click.IntRange(min=1), default=12, show_default=True)
@_seed
@click.option(
    "--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Processes for sessions."
)
@_overwrite
def demo(out: Path, world: str, animals: int, seed: int, workers: int, overwrite: bool) -> None:
    """Make a simulated raw study in OUT and take it all the way to OUT/report.html."""
    from nwbswitch.demo import demo as run_demo

    report_path = run_demo(
        out, world=world, animals=animals, seed=seed, workers=workers, overwrite=overwrite, say=_say
    )
    click.echo(report_path)


@commands.command()
@click.argument("study", type=_INPUT)
@click.option("-o", "--out", type=_FOLDER, required=True, help="Folder for the NWB files.")
@click.option("--session", "sessions", multiple=True, help="Only this session id; may be repeated.")
@click.option("--stub", is_flag=True, help="Only the first frames of every stream, to try a study out.")
@click.option("--dry-run", is_flag=True, help="Show the plan and write nothing.")
@_workers
@_overwrite
@_json
def convert(
    study: Path,
    out: Path,
    sessions: tuple[str, ...],
    stub: bool,
    dry_run: bool,
    workers: int,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Convert every session of STUDY (a study.yaml) to one NWB file each."""
    from nwbswitch.converters.convert import convert as run_convert

    result = run_convert(
        study,
        out,
        sessions=sessions or None,
        workers=workers,
        overwrite=overwrite,
        dry_run=dry_run,
        stub=stub,
    )
    # The summary tells why sessions failed.
    _emit(result.as_dict(), as_json, result.summary(), result.issues if as_json else result.warnings)
    return int(not result.ok)


@commands.command()
@click.argument("paths", type=_PATH, nargs=-1, required=True)
@click.option(
    "-o", "--out", type=_OUTPUT, help="JSON file for the findings; unchanged files are not checked again."
)
@click.option("--notes", is_flag=True, help="Show notes too: suggestions and known false alarms.")
@_workers
@_json
def check(paths: tuple[Path, ...], out: Path | None, notes: bool, workers: int, as_json: bool) -> int:
    """Check NWB files (or folders of them) with pynwb, nwbinspector and our own rules."""
    from nwbswitch.converters.check import check as run_check

    result = run_check(paths, out=out, workers=workers)
    shown = [each for each in result.issues if notes or each.severity != "note"]
    _emit(result.as_dict(), as_json, result.summary(), shown)
    return int(not result.ok)


@commands.command()
@click.argument("sources", type=_PATH, nargs=-1, required=True)
@click.option("-o", "--out", type=_OUTPUT, required=True, help="Cells table to write (.parquet).")
@click.option("--block-s", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True)
@click.option("--threshold-sd", type=click.FloatRange(min=0, min_open=True), default=3.0, show_default=True)
@click.option("--neuropil-coefficient", type=click.FloatRange(0, 1), default=0.7, show_default=True)
@_workers
@_overwrite
def measure(
    sources: tuple[Path, ...],
    out: Path,
    block_s: float,
    threshold_sd: float,
    neuropil_coefficient: float,
    workers: int,
    overwrite: bool,
) -> int:
    """Measure every neuron of NWB files in every analysis window; one row per neuron and block."""
    from nwbswitch.analysis.measure import measure as run_measure

    with _wrong_argument_is_wrong_usage():
        result = run_measure(
            sources,
            out=out,
            block_s=block_s,
            threshold_sd=threshold_sd,
            neuropil_coefficient=neuropil_coefficient,
            workers=workers,
            overwrite=overwrite,
        )
    _report_issues(result.issues)
    click.echo(result.summary())
    return int(not result.ok)


@commands.command()
@click.argument("cells", type=_INPUT)
@click.option(
    "-o", "--out", type=_OUTPUT, help="Estimates to write (.csv); result.json is written beside it."
)
@click.option("--reference", help="Arm to compare with; default: saline or vehicle.")
@click.option("--margin", type=click.FloatRange(0, 1, min_open=True), default=0.25, show_default=True)
@click.option("--cell-type", help="Cell type of the primary analysis; default: excitatory, or the only one.")
@_seed
@_overwrite
@_json
def switch(
    cells: Path,
    out: Path | None,
    reference: str | None,
    margin: float,
    cell_type: str | None,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Estimate the switch from a cells table: estimands, controls and a verdict per arm."""
    from nwbswitch.analysis.results_folder import estimate_switch

    with _wrong_argument_is_wrong_usage():
        result = estimate_switch(
            cells,
            out,
            reference=reference,
            margin=margin,
            cell_type=cell_type,
            seed=seed,
            overwrite=overwrite,
        )
    _emit(result.as_dict(), as_json, result.summary())


@commands.command()
@click.argument("table", type=_INPUT)
@click.option("--formula", required=True, help="lme4 formula, e.g. 'y ~ arm*window + (1 + window | animal)'.")
@click.option("--where", help="Rows to use, e.g. \"cell_type == 'excitatory' and rate < 8\".")
@click.option("--method", type=click.Choice(("reml", "ml")), default="reml", show_default=True)
@click.option(
    "--ddf", type=click.Choice(("satterthwaite", "none")), default="satterthwaite", show_default=True
)
@click.option("-o", "--out", type=_OUTPUT, help="Also write the JSON to this file.")
@_overwrite
@_json
def fit(
    table: Path,
    formula: str,
    where: str | None,
    method: Literal["reml", "ml"],
    ddf: Literal["satterthwaite", "none"],
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Fit a linear mixed model to TABLE (.csv or .parquet)."""
    from nwbswitch.analysis.models import fit_table

    result = fit_table(table, formula, out=out, where=where, method=method, ddf=ddf, overwrite=overwrite)
    _emit(result.as_dict(), as_json, result.summary())


@commands.command()
@click.argument("table", type=_INPUT)
@click.option("--effect", required=True, help="Column with the effects, or an expression of columns.")
@click.option("--variance", required=True, help="Column with their sampling variances, or e.g. 'se**2'.")
@click.option(
    "--method", type=click.Choice(_TAU2), default="reml", show_default=True, help="Estimator of tau2."
)
@click.option("--test", type=click.Choice(("z", "t", "knha")), default="knha", show_default=True)
@click.option("--moderators", help="Right side of a formula, e.g. 'dose + route'.")
@click.option("--where", help=_ROWS_OF_ONE_ARM)
@click.option("--slab", help="Column with the labels of the studies.")
@click.option("-o", "--out", type=_OUTPUT, help="Also write the JSON to this file.")
@_overwrite
@_json
def meta(
    table: Path,
    effect: str,
    variance: str,
    method: MetaMethod,
    test: MetaTest,
    moderators: str | None,
    where: str | None,
    slab: str | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Pool effects by a random-effects meta-analysis."""
    from nwbswitch.analysis.models import pool_table

    result = pool_table(
        table,
        effect=effect,
        variance=variance,
        out=out,
        method=method,
        test=test,
        moderators=moderators,
        where=where,
        slab=slab,
        overwrite=overwrite,
    )
    _emit(result.as_dict(), as_json, result.summary())


@commands.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-o", "--out", type=_OUTPUT, required=True, help="HTML file to write.")
@_overwrite
def report(results: Path, out: Path, overwrite: bool) -> None:
    """Write a self-contained HTML report of a results folder and print its path."""
    from nwbswitch.analysis.report import report as run_report

    click.echo(run_report(results, out, overwrite=overwrite))


@contextmanager
def _wrong_argument_is_wrong_usage() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _emit(value: dict[str, Any], as_json: bool, text: str, issues: Iterable[Issue] = ()) -> None:
    _report_issues(issues)
    if as_json:
        from nwbswitch.schemas.files import to_json

        click.echo(to_json(value))
    else:
        click.echo(text)


def _report_issues(issues: Iterable[Issue]) -> None:
    for each in issues:
        click.echo(str(each), err=True)


def _say(line: str) -> None:
    click.echo(line, err=True)
