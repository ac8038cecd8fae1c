"""The command line: each command is a thin call of the public function of the same name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from nwbswitch.cli_analysis import measure, report, switch
from nwbswitch.cli_find import find
from nwbswitch.cli_fit import fit
from nwbswitch.cli_meta import meta
from nwbswitch.cli_options import (
    FOLDER,
    INPUT,
    OUTPUT,
    PATH,
    emit,
    json_option,
    overwrite_option,
    parallel,
    say,
    seed_option,
    wrong_argument_is_wrong_usage,
)
from nwbswitch.cli_power import power
from nwbswitch.cli_run import freeze, run
from nwbswitch.cli_summarise import summarise
from nwbswitch.schemas.version import __version__

if TYPE_CHECKING:
    from concurrent.futures import Executor

_WORLDS = ("null", "drift", "gain", "reshuffle", "swap", "switch")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="nwbswitch")
def commands() -> None:
    """Convert drug-challenge experiments to NWB and estimate what the drug did to the network.

    Exit status: 0 done, 1 findings of error severity, 2 wrong usage.
    """


for _command in (find, measure, switch, summarise, fit, power, meta, report, freeze, run):
    commands.add_command(_command)


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
@click.argument("raw", type=PATH)
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder for study.yaml and its tables.")
@overwrite_option
@json_option
def init(raw: Path, out: Path, overwrite: bool, as_json: bool) -> None:
    """Look into the folder RAW and write the draft of a study: what was found, and what to fill in."""
    from nwbswitch.converters.survey.init import init as run_init

    result = run_init(raw, out, overwrite=overwrite)
    emit(result.as_dict(), as_json, result.summary())


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
