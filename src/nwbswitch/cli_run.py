"""The commands around the plan of an analysis: freeze it, run it, repeat it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nwbswitch.cli_options import (
    FOLDER,
    INPUT,
    emit,
    json_option,
    overwrite_option,
    parallel,
    say,
    wrong_argument_is_wrong_usage,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor


@click.command()
@click.argument("plan", type=INPUT, required=False)
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder for tables, report and record.")
@click.option("--repeat", type=INPUT, help="The record.json of an earlier run, in place of a plan.")
@click.option("--blind", is_flag=True, help="Code the arms; the key is kept beside the results.")
@parallel
@overwrite_option
@json_option
def run(
    plan: Path | None,
    out: Path,
    repeat: Path | None,
    blind: bool,
    workers: int,
    executor: Executor | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Run the analysis that PLAN (an analysis.yaml) states, from recordings to the report.

    The same command goes on where it was stopped. OUT/record.json tells what every number came from;
    --repeat runs it again and says what changed: inputs, software or numbers.
    """
    from nwbswitch.analysis.runs.run import run as run_plan

    with wrong_argument_is_wrong_usage():
        result = run_plan(
            plan,
            out,
            repeat=repeat,
            blind=blind,
            workers=workers,
            executor=executor,
            overwrite=overwrite,
            say=say,
        )
    emit(result.as_dict(), as_json, result.summary(), result.issues)
    return int(not result.ok)


@click.command()
@click.argument("plan", type=INPUT)
@overwrite_option
@json_option
def freeze(plan: Path, overwrite: bool, as_json: bool) -> None:
    """Freeze PLAN (an analysis.yaml): keep its digest and content beside it, before the arms are known.

    Every later report says whether the plan was frozen, and what changed since.
    """
    from nwbswitch.analysis.runs.freezing import freeze as freeze_plan

    status = freeze_plan(plan, overwrite=overwrite)
    emit(status.as_dict(), as_json, f"{status.sentence}\nDigest: {status.digest}")
