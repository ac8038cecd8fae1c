"""The command line: each command is a thin call of the public function of the same name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from nwbswitch.cli_options import (
    FOLDER,
    INPUT,
    OUTPUT,
    PATH,
    emit,
    json_option,
    overwrite_option,
    parallel,
    report_issues,
    say,
    seed_option,
    wrong_argument_is_wrong_usage,
)
from nwbswitch.schemas.version import __version__

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from nwbswitch.analysis.meta import Test as MetaTest
    from nwbswitch.analysis.meta_tau2 import Method as MetaMethod

_WORLDS = ("null", "drift", "gain", "reshuffle", "swap", "switch")
_TAU2 = ("ee", "dl", "pm", "reml", "ml", "he", "hs", "sj", "eb")

_ROWS_OF_ONE_ARM = (
    "Rows to use, e.g. \"estimand == 'M' and level == 'animal' and arm == 'ketamine' "
    "and contrast == 'vs_saline'\"."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="nwbswitch")
def commands() -> None:
    """Convert drug-challenge experiments to NWB and estimate what the drug did to the network.

    Exit status: 0 done, 1 findings of error severity, 2 wrong usage.
    """


@commands.command()
@click.argument("out", type=FOLDER)
@click.option(
    "--world", type=click.Choice(_WORLDS), default="switch", show_default=True, help="What the drug does."
)
@click.option("--animals", type=click.IntRange(min=1), default=12, show_default=True)
@seed_option
@click.option(
    "--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Processes for sessions."
)
@overwrite_option
def demo(out: Path, world: str, animals: int, seed: int, workers: int, overwrite: bool) -> None:
    """Make a simulated raw study in OUT and take it all the way to OUT/report.html."""
    from nwbswitch.demo import demo as run_demo

    report_path = run_demo(
        out, world=world, animals=animals, seed=seed, workers=workers, overwrite=overwrite, say=say
    )
    click.echo(report_path)


@commands.command()
@click.argument("study", type=INPUT)
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder for the NWB files.")
@click.option("--session", "sessions", multiple=True, help="Only this session id; may be repeated.")
@click.option("--stub", is_flag=True, help="Only the first frames of every stream, to try a study out.")
@click.option(
    "--dry-run", is_flag=True, help="Show the plan, about how large the files will be, and write nothing."
)
@click.option(
    "--backend",
    type=click.Choice(("hdf5", "zarr")),
    default="hdf5",
    show_default=True,
    help="Zarr is for work on local disks; it cannot be published.",
)
@click.option(
    "--space-check/--no-space-check",
    default=True,
    help="Refuse to begin what will clearly not fit on the disk.  [default: on]",
)
@parallel
@click.option("--overwrite", is_flag=True, help="Replace files that were made differently; others stay.")
@json_option
def convert(
    study: Path,
    out: Path,
    sessions: tuple[str, ...],
    stub: bool,
    dry_run: bool,
    backend: Literal["hdf5", "zarr"],
    space_check: bool,
    workers: int,
    executor: Executor | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Convert every session of STUDY (a study.yaml) to NWB.

    The same command goes on where it was stopped: files that were made from the same content and the same
    statements are left as they are. What each was made from, and a log of each session, are kept in
    OUT/.nwbswitch.
    """
    from nwbswitch.converters.convert import convert as run_convert

    result = run_convert(
        study,
        out,
        sessions=sessions or None,
        workers=workers,
        executor=executor,
        overwrite=overwrite,
        dry_run=dry_run,
        stub=stub,
        backend=backend,
        space_check=space_check,
    )
    # The summary tells why sessions failed.
    emit(result.as_dict(), as_json, result.summary(), result.issues if as_json else result.warnings)
    return int(not result.ok)


@commands.command()
@click.argument("paths", type=PATH, nargs=-1, required=True)
@click.option(
    "-o", "--out", type=OUTPUT, help="JSON file for the findings; unchanged files are not checked again."
)
@click.option("--notes", is_flag=True, help="Show notes too: suggestions and known false alarms.")
@parallel
@json_option
def check(
    paths: tuple[Path, ...],
    out: Path | None,
    notes: bool,
    workers: int,
    executor: Executor | None,
    as_json: bool,
) -> int:
    """Check NWB files (or folders of them) with pynwb, nwbinspector and our own rules."""
    from nwbswitch.converters.check import check as run_check

    result = run_check(paths, out=out, workers=workers, executor=executor)
    shown = [each for each in result.issues if notes or each.severity != "note"]
    emit(result.as_dict(), as_json, result.summary(), shown)
    return int(not result.ok)


@commands.command()
@click.argument("files", type=PATH, nargs=-1, required=True)
@click.option("--drug-log", type=str, help="Table of administrations (.csv, .xlsx, .xlsx#Sheet).")
@click.option("--epochs", type=str, help="Table of analysis windows: window, start_s, stop_s, relative_to.")
@click.option("--cell-types", type=str, help="Table with a row per ROI, or a YAML file that names a source.")
@click.option("--tracking", type=str, help="Table, or a YAML file that names a tracking result.")
@click.option("--plane", help="Plane segmentation that the labels are for, when a file has several.")
@click.option("--subject-id", help="Subject in the tables, for one file that does not state it.")
@click.option("--session-id", help="Session in the tables, for one file that does not state it.")
@click.option("--overwrite", is_flag=True, help="Replace what a file holds when it differs.")
@click.option("--dry-run", is_flag=True, help="Say what would change and change nothing.")
@json_option
def annotate(
    files: tuple[Path, ...],
    drug_log: str | None,
    epochs: str | None,
    cell_types: str | None,
    tracking: str | None,
    plane: str | None,
    subject_id: str | None,
    session_id: str | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Add drug log, analysis windows, cell types or tracking to NWB FILES; recordings are not touched."""
    from nwbswitch.converters.annotate import annotate as run_annotate

    with wrong_argument_is_wrong_usage():
        result = run_annotate(
            files,
            drug_log=drug_log,
            epochs=epochs,
            cell_types=cell_types,
            tracking=tracking,
            plane=plane,
            subject_id=subject_id,
            session_id=session_id,
            overwrite=overwrite,
            dry_run=dry_run,
        )
    emit(result.as_dict(), as_json, result.summary(), result.issues)
    return int(not result.ok)


@commands.command()
@click.argument("sources", type=PATH, nargs=-1, required=True)
@click.option("-o", "--out", type=OUTPUT, required=True, help="Cells table to write (.parquet).")
@click.option("--block-s", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True)
@click.option("--threshold-sd", type=click.FloatRange(min=0, min_open=True), default=3.0, show_default=True)
@click.option("--neuropil-coefficient", type=click.FloatRange(0, 1), default=0.7, show_default=True)
@parallel
@overwrite_option
def measure(
    sources: tuple[Path, ...],
    out: Path,
    block_s: float,
    threshold_sd: float,
    neuropil_coefficient: float,
    workers: int,
    executor: Executor | None,
    overwrite: bool,
) -> int:
    """Measure every neuron of NWB files in every analysis window; one row per neuron and block."""
    from nwbswitch.analysis.measure import measure as run_measure

    with wrong_argument_is_wrong_usage():
        result = run_measure(
            sources,
            out=out,
            block_s=block_s,
            threshold_sd=threshold_sd,
            neuropil_coefficient=neuropil_coefficient,
            workers=workers,
            executor=executor,
            overwrite=overwrite,
        )
    report_issues(result.issues)
    click.echo(result.summary())
    return int(not result.ok)


@commands.command()
@click.argument("cells", type=INPUT)
@click.option("-o", "--out", type=OUTPUT, help="Estimates to write (.csv); result.json is written beside it.")
@click.option("--reference", help="Arm to compare with; default: saline or vehicle.")
@click.option("--margin", type=click.FloatRange(0, 1, min_open=True), default=0.25, show_default=True)
@click.option("--cell-type", help="Cell type of the primary analysis; default: excitatory, or the only one.")
@seed_option
@overwrite_option
@json_option
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

    with wrong_argument_is_wrong_usage():
        result = estimate_switch(
            cells,
            out,
            reference=reference,
            margin=margin,
            cell_type=cell_type,
            seed=seed,
            overwrite=overwrite,
        )
    emit(result.as_dict(), as_json, result.summary())


@commands.command()
@click.argument("table", type=INPUT)
@click.option("--formula", required=True, help="lme4 formula, e.g. 'y ~ arm*window + (1 + window | animal)'.")
@click.option("--where", help="Rows to use, e.g. \"cell_type == 'excitatory' and rate < 8\".")
@click.option("--method", type=click.Choice(("reml", "ml")), default="reml", show_default=True)
@click.option(
    "--ddf", type=click.Choice(("satterthwaite", "none")), default="satterthwaite", show_default=True
)
@click.option("-o", "--out", type=OUTPUT, help="Also write the JSON to this file.")
@overwrite_option
@json_option
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
    emit(result.as_dict(), as_json, result.summary())


@commands.command()
@click.argument("table", type=INPUT)
@click.option("--effect", required=True, help="Column with the effects, or an expression of columns.")
@click.option("--variance", required=True, help="Column with their sampling variances, or e.g. 'se**2'.")
@click.option(
    "--method", type=click.Choice(_TAU2), default="reml", show_default=True, help="Estimator of tau2."
)
@click.option("--test", type=click.Choice(("z", "t", "knha")), default="knha", show_default=True)
@click.option("--moderators", help="Right side of a formula, e.g. 'dose + route'.")
@click.option("--where", help=_ROWS_OF_ONE_ARM)
@click.option("--slab", help="Column with the labels of the studies.")
@click.option("-o", "--out", type=OUTPUT, help="Also write the JSON to this file.")
@overwrite_option
@json_option
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
    emit(result.as_dict(), as_json, result.summary())


@commands.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-o", "--out", type=OUTPUT, required=True, help="HTML file to write.")
@overwrite_option
def report(results: Path, out: Path, overwrite: bool) -> None:
    """Write a self-contained HTML report of a results folder and print its path."""
    from nwbswitch.analysis.report import report as run_report

    click.echo(run_report(results, out, overwrite=overwrite))
