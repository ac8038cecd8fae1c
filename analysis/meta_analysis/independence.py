"""What one row of a table of effects is, and whether its rows can be independent."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from nwbswitch.analysis.meta_analysis.meta_text import plural

_LEVELS = ("animal", "session")
_RANDOM = "For rows that belong together give random, e.g. '~ 1 | dataset/animal'."


def unit_of(source: pd.DataFrame) -> str:
    """Return animal or session where the column ``level`` says so for every row, else study."""
    if "level" in source.columns:
        said = set(source["level"].astype(str))
        for level in _LEVELS:
            if said == {level}:
                return level
    return "study"


def dependence_warnings(source: pd.DataFrame, unit: str) -> list[str]:
    """Return a sentence for every way in which rows of an estimates table are no independent effects.

    Parameters
    ----------
    source
        The rows that are pooled; tables without a column ``dataset`` say nothing.
    unit
        What one row is.
    """
    if "dataset" not in source.columns:
        return []
    found = []
    for name in ("estimand", "cell_type", "contrast"):
        if name in source.columns and source[name].nunique(dropna=False) > 1:
            kinds = _listed(sorted(map(str, source[name].unique())))
            found.append(
                f"Rows of several kinds are pooled as one effect ({name}: {kinds}). Choose with where."
            )
    n_datasets = source["dataset"].nunique(dropna=False)
    if unit in _LEVELS and n_datasets > 1:
        found.append(
            f"{plural(unit).capitalize()} of {n_datasets} datasets are pooled as if they were one sample. "
            f"{_RANDOM}"
        )
    keys = ["dataset", *[name for name in _LEVELS if unit in _LEVELS and name in source.columns]]
    if unit == "animal":
        keys = [name for name in keys if name != "session"]
    repeated = source[source.duplicated(keys, keep=False)]
    if len(repeated):
        whose = _listed(sorted({str(each) for each in repeated[keys[-1]]}))
        found.append(f"Several rows come from one {keys[-1]} ({whose}); they are not independent. {_RANDOM}")
    return found


def _listed(names: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
