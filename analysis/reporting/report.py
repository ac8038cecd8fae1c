"""One self-contained HTML page from a folder of results."""

from __future__ import annotations

from importlib.resources import files as package_files
from pathlib import Path

from nwbswitch.analysis.reporting.page import page
from nwbswitch.analysis.runs.results_folder import (
    CELLS_FILE,
    CLOCKS_FILE,
    ESTIMATES_FILE,
    FIT_FILE,
    META_FILE,
    RESULT,
    Results,
    read_results,
)
from nwbswitch.schemas.errors import ExistingOutputError
from nwbswitch.schemas.files import digest, replaced, sha256_file


def report(results: Path | str, out: Path | str, *, overwrite: bool = False) -> Path:
    """Write the report of a results folder and return its path.

    Parameters
    ----------
    results
        Folder with ``cells.parquet``, ``estimates.csv`` and ``result.json``; ``fit.json``, ``meta.json``
        and ``clock_alignment.csv`` are shown when they are there.
    out
        HTML file to write.
    overwrite
        Replace a report of other results. The same results may always be written again.

    Raises
    ------
    InputFileError
        If a file of the folder is missing or damaged.
    ExistingOutputError
        If ``out`` is another report and ``overwrite`` is false.
    """
    if not isinstance(results, str | Path):
        raise TypeError(f"results must be the path of a results folder, not {type(results).__name__}")
    folder, target = Path(results), Path(out)
    results_digest = _digest(folder)
    if target.exists() and not overwrite:
        if results_digest in target.read_text(encoding="utf-8", errors="replace"):
            return target
        raise ExistingOutputError(f"{target} is another report. Choose another name or give --overwrite.")
    text = render(read_results(folder), results_digest=results_digest)
    with replaced(target) as partial:
        partial.write_text(text, encoding="utf-8")
    return target


def _digest(folder: Path) -> str:
    names = (RESULT, CELLS_FILE, ESTIMATES_FILE, FIT_FILE, META_FILE, CLOCKS_FILE)
    return digest({name: sha256_file(folder / name) for name in names if (folder / name).is_file()})


def render(results: Results, *, results_digest: str = "") -> str:
    """Return the HTML page; all text in it is escaped."""
    from jinja2 import Environment, StrictUndefined

    template = package_files("nwbswitch.analysis").joinpath("templates/report.html.j2").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(page=page(results), digest=results_digest)
