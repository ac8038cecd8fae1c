"""The command that plans experiments: a thin call of the public function of the same name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nwbswitch.cli_options import INPUT, OUTPUT, emit, json_option, overwrite_option, parallel

if TYPE_CHECKING:
    from concurrent.futures import Executor


def _print_example(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from nwbswitch.analysis.power.design_file import EXAMPLE

    click.echo(EXAMPLE, nl=False)
    context.exit()


@click.command()
@click.argument("design", type=INPUT)
@click.option(
    "--example",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_example,
    help="Print a commented DESIGN to begin with, and exit.",
)
@click.option("-o", "--out", type=OUTPUT, help="Also write the JSON to this file.")
@parallel
@overwrite_option
@json_option
def power(
    design: Path,
    out: Path | None,
    workers: int,
    executor: Executor | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Tell how many animals, sessions and neurons an experiment needs.

    DESIGN is a YAML file: what is planned, how large the effect is thought to be, and how much animals,
    sessions and neurons scatter, stated or taken from a pilot's fit. Every combination is simulated and
    analysed by the mixed model of the formula.
    """
    from nwbswitch.analysis.power.power import power as run_power

    result = run_power(design, out=out, workers=workers, executor=executor, overwrite=overwrite)
    emit(result.as_dict(), as_json, result.summary())
