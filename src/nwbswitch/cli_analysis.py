"""The commands that analyse NWB files: each is a thin call of the public function of the same name."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Literal, cast

import click

from nwbswitch.cli_options import (
    FOLDER,
    INPUT,
    OUTPUT,
    emit,
    json_option,
    overwrite_option,
    parallel,
    report_issues,
    seed_option,
    wrong_argument_is_wrong_usage,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from nwbswitch.analysis.access.byte_cache import CacheSettings
    from nwbswitch.analysis.session_cells import Modality


def _cache(folder: Path | None, gb: float) -> CacheSettings | None:
    from nwbswitch.analysis.access.byte_cache import CacheSettings, user_cache

    usual = user_cache()
    if folder is None and usual is None:
        return None
    if folder is not None and gb > 0:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder):
                pass
        except OSError as error:
            problem = f"{folder} cannot be written: {error.strerror}. --cache-gb 0 keeps nothing."
            raise click.BadParameter(problem, param_hint="'--cache'") from error
    return CacheSettings(folder or cast("CacheSettings", usual).folder, int(gb * 1e9))


def _coefficient(context: click.Context, option: click.Parameter, given: str) -> float | Literal["fit"]:
    if given == "fit":
        return "fit"
    try:
        return float(given)
    except ValueError as error:
        raise click.BadParameter("expected a number from 0 to 1, or fit") from error


@click.command()
@click.argument("sources", nargs=-1, required=True)
@click.option("-o", "--out", type=OUTPUT, required=True, help="Cells table to write (.parquet).")
@click.option("--overrides", type=INPUT, help="What files leave open, such as windows and drugs (.yaml).")
@click.option("--modality", type=click.Choice(("all", "calcium", "spikes")), default="all", show_default=True)
@click.option("--block-s", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True)
@click.option("--threshold-sd", type=click.FloatRange(min=0, min_open=True), default=3.0, show_default=True)
@click.option(
    "--neuropil-coefficient", callback=_coefficient, default="0.7", show_default=True, metavar="NUMBER|fit"
)
@click.option(
    "--events", type=click.Choice(("crossing", "deconvolution")), default="crossing", show_default=True
)
@click.option(
    "--decay-s",
    type=click.FloatRange(min=0, min_open=True),
    help="Decay for deconvolution; default: that of the indicator that the file states.",
)
@click.option(
    "--spikes",
    type=click.Choice(("counted", "as_calcium")),
    default="counted",
    show_default=True,
    help="Count spikes, or the events that calcium imaging would have shown of them.",
)
@click.option(
    "--max-shift-um",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Leave frames out that motion moved further than this.",
)
@click.option(
    "--frames",
    type=click.Choice(("all", "still", "matched")),
    default="all",
    show_default=True,
    help="Frames that count: all, still ones, or those matched for movement between the windows.",
)
@click.option(
    "--instance", default="dandi", show_default=True, metavar="NAME|URL", help="The archive of dandi:ID."
)
@click.option("--cache", type=FOLDER, help="Where bytes of far files are kept; default: the user's cache.")
@click.option(
    "--cache-gb",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Largest size of the cache; 0 adds nothing to it.",
)
@parallel
@overwrite_option
def measure(
    sources: tuple[str, ...],
    out: Path,
    overrides: Path | None,
    modality: Modality,
    block_s: float,
    threshold_sd: float,
    neuropil_coefficient: float | Literal["fit"],
    events: Literal["crossing", "deconvolution"],
    decay_s: float | None,
    spikes: Literal["counted", "as_calcium"],
    max_shift_um: float,
    frames: Literal["all", "still", "matched"],
    instance: str,
    cache: Path | None,
    cache_gb: float,
    workers: int,
    executor: Executor | None,
    overwrite: bool,
) -> int:
    """Measure every neuron of NWB recordings in every analysis window; one row per neuron and block.

    SOURCES are files, folders, patterns, dandi:001326@draft, dandi:001326@0.240101.1234/sub-*/*.nwb, or
    addresses (https://...).
    """
    from nwbswitch.analysis.measure import measure as run_measure

    with wrong_argument_is_wrong_usage():
        result = run_measure(
            sources,
            out=out,
            block_s=block_s,
            threshold_sd=threshold_sd,
            neuropil_coefficient=neuropil_coefficient,
            events=events,
            decay_s=decay_s,
            spikes=spikes,
            max_shift_um=max_shift_um,
            frames=frames,
            modality=modality,
            overrides=overrides,
            instance=instance,
            cache=_cache(cache, cache_gb),
            workers=workers,
            executor=executor,
            overwrite=overwrite,
        )
    report_issues(result.issues)
    click.echo(result.summary())
    return int(not result.ok)


@click.command()
@click.argument("cells", type=INPUT)
@click.option(
    "-o",
    "--out",
    type=OUTPUT,
    help="Estimates to write (.csv or .parquet); result.json is written beside them.",
)
@click.option("--reference", help="Arm to compare with; default: saline or vehicle.")
@click.option("--margin", type=click.FloatRange(0, 1, min_open=True), default=0.25, show_default=True)
@click.option(
    "--k",
    type=click.IntRange(min=1),
    multiple=True,
    help="Detection limit of tau_c in events, once for each limit of the sweep; default: from the data.",
)
@click.option("--cell-type", help="Cell type of the primary analysis; default: excitatory, or the only one.")
@click.option(
    "--resamples",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Bootstrap resamples for intervals of animals and sessions, at least 39; 0 is none.",
)
@click.option(
    "--interval", type=click.Choice(("percentile", "basic")), default="percentile", show_default=True
)
@seed_option
@parallel
@overwrite_option
@json_option
def switch(
    cells: Path,
    out: Path | None,
    reference: str | None,
    margin: float,
    k: tuple[int, ...],
    cell_type: str | None,
    resamples: int,
    interval: Literal["percentile", "basic"],
    seed: int,
    workers: int,
    executor: Executor | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Estimate the switch from a cells table: estimands, controls and a verdict per arm."""
    from nwbswitch.analysis.runs.results_folder import estimate_switch

    with wrong_argument_is_wrong_usage():
        result = estimate_switch(
            cells,
            out,
            reference=reference,
            margin=margin,
            k=k or None,
            cell_type=cell_type,
            resamples=resamples,
            interval=interval,
            seed=seed,
            workers=workers,
            executor=executor,
            overwrite=overwrite,
        )
    emit(result.as_dict(), as_json, result.summary())


@click.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-o", "--out", type=OUTPUT, required=True, help="HTML file to write.")
@click.option("--figures", type=FOLDER, help="Also write every figure into this folder, as SVG and PDF.")
@overwrite_option
def report(results: Path, out: Path, figures: Path | None, overwrite: bool) -> None:
    """Write a self-contained HTML report of a results folder and print its path."""
    from nwbswitch.analysis.reporting.report import report as run_report

    click.echo(run_report(results, out, overwrite=overwrite, figures=figures))
