"""The command that finds recordings by drug."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nwbswitch.cli_options import (
    OUTPUT,
    emit,
    json_option,
    overwrite_option,
    parallel,
    wrong_argument_is_wrong_usage,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor

_DOSE = click.FloatRange(min=0)


@click.command()
@click.option("--drug", required=True, metavar="NAME", help="Substance: its name or a synonym.")
@click.option("--species", metavar="NAME", help="Latin or common name, e.g. 'Mus musculus' or mouse.")
@click.option("--modality", type=click.Choice(("ophys", "ecephys", "behavior")))
@click.option("--region", metavar="NAME", help="Allen acronym or name; what lies within it is found too.")
@click.option("--since", metavar="DATE", help="Files archived since then: 2023, 2023-05 or 2023-05-04.")
@click.option("--route", metavar="NAME", help="Route of administration, e.g. i.p.")
@click.option("--dose-min", type=_DOSE, help="Least dose, mg/kg.")
@click.option("--dose-max", type=_DOSE, help="Largest dose, mg/kg.")
@click.option(
    "--dandiset", "dandisets", multiple=True, metavar="ID", help="Only this dandiset; may be repeated."
)
@click.option(
    "--deep", is_flag=True, help="Look into files of dandisets whose texts do not name the drug, too."
)
@click.option("--limit", type=click.IntRange(min=0), help="Read at most so many files in this run.")
@click.option("--dry-run", is_flag=True, help="Read no file; say how many there are and what that takes.")
@click.option("--offline", is_flag=True, help="Answer from the catalogue; ask nobody.")
@click.option("--rescan", is_flag=True, help="Read files again that were read or refused before.")
@click.option("--embargoed", is_flag=True, help="Also embargoed dandisets that your API key opens.")
@click.option(
    "--instance", default="dandi", show_default=True, metavar="NAME|URL", help="Which archive to ask."
)
@click.option("--catalogue", type=OUTPUT, help="File of the catalogue; default: in the cache folder.")
@click.option("-o", "--out", type=OUTPUT, help="Write the recordings to this file (.csv).")
@parallel
@overwrite_option
@json_option
def find(
    drug: str,
    species: str | None,
    modality: str | None,
    region: str | None,
    since: str | None,
    route: str | None,
    dose_min: float | None,
    dose_max: float | None,
    dandisets: tuple[str, ...],
    deep: bool,
    limit: int | None,
    dry_run: bool,
    offline: bool,
    rescan: bool,
    embargoed: bool,
    instance: str,
    catalogue: Path | None,
    out: Path | None,
    workers: int,
    executor: Executor | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Find recordings in an archive that hold a drug, and say whether the switch can be estimated.

    What was learnt is kept in a catalogue: the same command goes on where it was stopped, and asks only
    for what is new.
    """
    from nwbswitch.analysis.catalogue.find import find as run_find

    with wrong_argument_is_wrong_usage():
        result = run_find(
            drug,
            species=species,
            modality=modality,
            region=region,
            since=since,
            route=route,
            dose_min=dose_min,
            dose_max=dose_max,
            dandisets=dandisets,
            deep=deep,
            limit=limit,
            dry_run=dry_run,
            offline=offline,
            rescan=rescan,
            embargoed=embargoed,
            instance=instance,
            catalogue=catalogue,
            out=out,
            workers=workers,
            executor=executor,
            overwrite=overwrite,
        )
    emit(result.as_dict(), as_json, result.summary(), result.issues)
    return int(not result.ok)
