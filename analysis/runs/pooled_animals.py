"""The animals of one data set pooled, as a second way beside the ratio of sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nwbswitch.analysis.runs.models import pool_table
from nwbswitch.analysis.runs.results_folder import ESTIMATES_FILE, META_FILE, RESULT, read_json
from nwbswitch.schemas.analysis_plan import MetaPlan
from nwbswitch.schemas.errors import FitError


def compared_arms(result: Mapping[str, Any]) -> dict[str, str]:
    """Return the reference of each arm that is compared with another arm, as ``result.json`` has it."""
    arms = result["arms"]
    return {arm: held["reference"] for arm, held in arms.items() if held["reference"] in arms}


def pool_animals(
    folder: Path, asked: MetaPlan, *, arm: str | None, overwrite: bool, say: Callable[[str], None]
) -> None:
    """Pool the animals' excess remapping M of the tested arm, or say why they are not.

    Parameters
    ----------
    folder
        Results of the data set.
    asked
        How to pool.
    arm
        Arm of the primary test; None for the only one there is.
    overwrite
        Replace what was pooled of other numbers.
    say
        Receives the reason.
    """
    result = read_json(folder / RESULT)
    references = compared_arms(result)
    tested = [name for name in references if name not in references.values()]
    if not tested:
        (folder / META_FILE).unlink(missing_ok=True)
        return
    try:
        chosen = _chosen(arm, tested)
        contrast = f"vs_{references[chosen]}"
        where = {"level": "animal", "contrast": contrast, "arm": chosen, "estimand": "M"}
        if not _is_there(folder / ESTIMATES_FILE, where):
            raise FitError(f"{chosen} and {references[chosen]} are not compared within animals.")
        pool_table(
            folder / ESTIMATES_FILE,
            effect="estimate",
            variance="se**2",
            where=" and ".join(
                f"{name} == {value!r}" for name, value in {**where, "cell_type": result["cell_type"]}.items()
            ),
            slab="animal",
            method=asked.method,
            test=asked.test,
            out=folder / META_FILE,
            overwrite=overwrite,
        )
    except FitError as error:
        (folder / META_FILE).unlink(missing_ok=True)
        say(f"{folder.name}: the animals are not pooled: {error}")


def _chosen(arm: str | None, tested: list[str]) -> str:
    if arm in tested:
        return str(arm)
    if arm is None and len(tested) == 1:
        return tested[0]
    named = "several arms are compared" if arm is None else f"no arm {arm!r} is compared with a reference"
    raise FitError(f"{named}; name one of {', '.join(tested)} as switch.arm of the plan.")


def _is_there(estimates: Path, wanted: dict[str, str]) -> bool:
    from nwbswitch.analysis.table_file import read_table

    held = read_table(estimates, text=list(wanted), columns=list(wanted))
    return bool((held[list(wanted)] == pd.Series(wanted)).all(axis=1).any())
