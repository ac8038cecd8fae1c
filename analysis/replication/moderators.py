"""What is known of each data set, by which effects may differ: from its sessions, its cells and the plan."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from nwbswitch.analysis.meta_analysis.moderator_table import moderator_table, with_moderators
from nwbswitch.analysis.runs.results_folder import CELLS_FILE
from nwbswitch.analysis.table_file import distinct_rows
from nwbswitch.schemas.result_tables import SESSIONS_FILE

_COLUMNS = (
    "dataset",
    "animal",
    "session",
    "arm",
    "region",
    "layer",
    "modality",
    "indicator",
    "roi_basis",
    "depth_um",
    "window",
    "block",
    "start_s",
)


def effects_with_moderators(effects: pd.DataFrame, folders: dict[str, Path]) -> pd.DataFrame:
    """Return effects with drug class, dose, route, anaesthesia, area, layer, modality and window.

    Parameters
    ----------
    effects
        Columns dataset and arm, and what the plan states of the data set; what it states stays.
    folders
        Results of each data set.
    """
    from nwbswitch.analysis.session_tables import read_sessions_table

    tables = []
    for dataset, folder in folders.items():
        if not (folder / SESSIONS_FILE).exists():
            continue
        sessions = read_sessions_table(folder / SESSIONS_FILE)
        cells = distinct_rows(folder / CELLS_FILE, _COLUMNS)
        tables.append(moderator_table(sessions, cells).assign(dataset=dataset))
    if not tables:
        return effects
    known = pd.concat(tables, ignore_index=True)
    return with_moderators(effects, known.drop(columns=[*set(known) & set(effects) - {"dataset", "arm"}]))
