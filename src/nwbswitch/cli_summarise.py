"""The command that sums tables for mixed models."""

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
    wrong_argument_is_wrong_usage,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor


@click.command()
@click.argument("tables", type=INPUT, nargs=-1, required=True)
@click.option("--formula", required=True, help="lme4 formula of the model to be fitted.")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of the summaries.")
@click.option("--where", help="Rows to use, e.g. \"cell_type == 'excitatory' and rate < 8\".")
@click.option("--weights", metavar="COLUMN", help="Row weights: the residual variance is divided by them.")
@parallel
@overwrite_option
@json_option
def summarise(
    tables: tuple[Path, ...],
    formula: str,
    out: Path,
    where: str | None,
    weights: str | None,
    workers: int,
    executor: Executor | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Sum TABLES (.csv or .parquet) beside the data; 'nwbswitch fit DIR' then needs no rows."""
    from nwbswitch.analysis.summaries.summarise import summarise as summarise_tables

    with wrong_argument_is_wrong_usage():
        found = summarise_tables(
            tables,
            formula,
            out=out,
            where=where,
            weights=weights,
            workers=workers,
            executor=executor,
            overwrite=overwrite,
        )
    emit(found.as_dict(), as_json, found.summary())
