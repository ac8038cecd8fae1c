"""Results of an earlier plan in the same folder, which must not be taken for those of this one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from nwbswitch.analysis.runs.results_folder import (
    CELLS_FILE,
    CLOCKS_FILE,
    COURSES_FILE,
    DESIGN_FILE,
    ESTIMATES_FILE,
    FEATURES_FILE,
    FIT_FILE,
    META_FILE,
    META_FOLDER,
    MODELS_FOLDER,
    RATES_FILE,
    REPLICATION_FILE,
    RESULT,
    SPECIFICATIONS_FILE,
)
from nwbswitch.analysis.runs.run_record import RECORD
from nwbswitch.schemas.result_tables import SESSIONS_FILE

REPORT_FILE = "report.html"
DATASETS = "datasets"
MADE = (
    RESULT, ESTIMATES_FILE, RATES_FILE, DESIGN_FILE, COURSES_FILE, FEATURES_FILE, SPECIFICATIONS_FILE,
    FIT_FILE, META_FILE, REPLICATION_FILE, RECORD, REPORT_FILE,
    f"{MODELS_FOLDER}/*.json", f"{META_FOLDER}/*.json",
)  # fmt: skip
"""What is written after the measurement."""


def remove_results(folder: Path) -> None:
    """Remove what was made of measured cells; the cells stay."""
    _remove(folder, MADE)


def remove_earlier(folder: Path, *, datasets: Collection[str], cells_here: bool) -> None:
    """Remove all results of an earlier plan, and nothing that is not ours.

    Parameters
    ----------
    folder
        Folder of the results.
    datasets
        Data sets of the new plan; their cells stay, since it may use them again.
    cells_here
        Whether cells in the folder itself are those of the new plan.
    """
    remove_results(folder)
    for own in (each for each in (folder / DATASETS).glob("*") if each.is_dir()):
        remove_results(own)
        if own.name not in datasets:
            _remove(own, (CELLS_FILE, SESSIONS_FILE, CLOCKS_FILE))
    if not cells_here:
        _remove(folder, (CELLS_FILE, SESSIONS_FILE, CLOCKS_FILE))


def _remove(folder: Path, names: Collection[str]) -> None:
    for name in names:
        for path in folder.glob(name):
            path.unlink(missing_ok=True)
