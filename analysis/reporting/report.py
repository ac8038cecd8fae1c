"""One self-contained HTML page from a folder of results."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from importlib.resources import files as package_files
from pathlib import Path
from urllib.parse import quote

from nwbswitch.analysis.figures.svg_elements import write_figure
from nwbswitch.analysis.reporting.page import Page, models_page, page, replication_page
from nwbswitch.analysis.runs.results_folder import (
    CELLS_FILE,
    CLOCKS_FILE,
    DESIGN_FILE,
    ESTIMATES_FILE,
    FIT_FILE,
    META_FILE,
    META_FOLDER,
    MODELS_FOLDER,
    PLAN_FILE,
    REPLICATION_FILE,
    RESULT,
    read_metas,
    read_models,
    read_plan,
    read_replication,
    read_results,
)
from nwbswitch.schemas.errors import ExistingOutputError
from nwbswitch.schemas.files import digest, replaced, sha256_file
from nwbswitch.schemas.result_tables import RESULT_TABLES


def report(
    results: Path | str, out: Path | str, *, overwrite: bool = False, figures: Path | str | None = None
) -> Path:
    """Write the report of a results folder and return its path.

    Parameters
    ----------
    results
        Folder with ``cells.parquet``, ``estimates.csv`` and ``result.json``, with ``replication.json``, or
        with models only; everything else that a run leaves there is shown when it is there.
    out
        HTML file to write.
    overwrite
        Replace a report of other results. The same results may always be written again.
    figures
        Folder for every figure of the page as SVG and PDF with text as text, for a paper. Figures of the
        same names are replaced.

    Raises
    ------
    InputFileError
        If a file of the folder is missing or damaged.
    TableError
        If a table of it lacks columns or holds other values.
    ExistingOutputError
        If ``out`` is another report and ``overwrite`` is false.
    """
    if not isinstance(results, str | Path):
        raise TypeError(f"results must be the path of a results folder, not {type(results).__name__}")
    folder, target = Path(results), Path(out)
    results_digest = _digest(folder)
    there = target.exists() and not overwrite
    if there and results_digest not in target.read_text(encoding="utf-8", errors="replace"):
        raise ExistingOutputError(f"{target} is another report. Choose another name or give --overwrite.")
    if there and figures is None:
        return target
    made = _page(folder, target)
    if not there:
        text = render(made, results_digest=results_digest)
        with replaced(target) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
    if figures is not None:
        for picture in made.pictures:
            write_figure(picture.figure, figures, picture.name)
    return target


def _page(folder: Path, target: Path) -> Page:
    several = read_replication(folder)
    if several is not None and not (folder / RESULT).exists():
        return replication_page(several, read_metas(folder), pages=_pages_of_datasets(folder, target))
    models = {} if (folder / RESULT).exists() else read_models(folder)
    if models:
        return models_page(models, read_plan(folder))
    return page(read_results(folder))


def _pages_of_datasets(folder: Path, target: Path) -> dict[str, str]:
    """Return the addresses of the pages that a run left beside this one, relative to it, by data set."""
    found = sorted(folder.glob("datasets/*/report.html"))
    base = target.absolute().parent
    return {
        path.parent.name: quote(Path(os.path.relpath(path.absolute(), base)).as_posix()) for path in found
    }


def _digest(folder: Path) -> str:
    names = [
        RESULT,
        CELLS_FILE,
        ESTIMATES_FILE,
        FIT_FILE,
        META_FILE,
        CLOCKS_FILE,
        REPLICATION_FILE,
        PLAN_FILE,
        DESIGN_FILE,
    ]
    names += [f"{name}.csv" for name in RESULT_TABLES]
    several = [path for part in (MODELS_FOLDER, META_FOLDER) for path in (folder / part).glob("*.json")]
    paths = [*(folder / name for name in names), *sorted(several)]
    return digest(
        {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths if path.is_file()}
    )


def render(made: Page, *, results_digest: str = "") -> str:
    """Return the HTML page; all text in it is escaped, and only its own style and script may act."""
    from jinja2 import Environment, StrictUndefined

    style, script, template = (_template(name) for name in ("report.css", "report.js", "report.html.j2"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        page=made,
        digest=results_digest,
        style=style,
        script=script,
        policy=(
            f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; "
            "base-uri 'none'; form-action 'none'"
        ),
        animals=_script_json(made.animals),
    )


def _template(name: str) -> str:
    found = package_files("nwbswitch.analysis").joinpath(f"templates/{name}").read_text("utf-8")
    return found.replace("\r\n", "\n")


def _source(text: str) -> str:
    """Return the digest by which a content security policy knows a script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _script_json(value: object) -> str:
    """Return JSON that no text in it can break out of a ``script`` element."""
    text = json.dumps(value, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
