"""Which data sets can say whether a finding replicates, and why the others cannot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwbswitch.analysis.runs.pooled_animals import compared_arms
from nwbswitch.schemas.errors import InputFileError

MAX_REASONS = 6
CANDIDATE_COLUMNS = ("dandiset", "estimable", "why_not_words", "subject")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One data set that was looked at.

    Attributes
    ----------
    dataset
        Its name.
    eligible
        Whether it has a verdict on the drug against a reference.
    reasons
        Why not, in words; empty when it is.
    analysed
        Whether it was analysed here, or is known from a search only.
    lab
        Its laboratory; empty when not stated.
    arm, reference
        What was compared with what.
    n_animals
        Animals of the arm.
    verdict
        Word of the verdict; empty when it was not analysed.
    estimate, se, ci_low, ci_high
        Excess remapping M of the arm, with its 95 % interval; NaN where there is none.
    """

    dataset: str
    eligible: bool
    reasons: tuple[str, ...]
    analysed: bool
    lab: str = ""
    arm: str = ""
    reference: str = ""
    n_animals: int = 0
    verdict: str = ""
    estimate: float = math.nan
    se: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan


def judged(
    dataset: str, result: Mapping[str, Any] | None, *, arm: str | None, lab: str, problems: tuple[str, ...]
) -> Candidate:
    """Return what an analysed data set can say.

    Parameters
    ----------
    dataset
        Its name.
    result
        Content of its ``result.json``; None when nothing could be measured.
    arm
        Arm of the primary test; by default the only one that is compared with a reference.
    lab
        Its laboratory.
    problems
        Why nothing could be measured.
    """
    if result is None:
        told = problems[:MAX_REASONS] or ("no recording could be measured",)
        return Candidate(dataset, False, told, True, lab)
    references = compared_arms(result)
    tested = [name for name in references if name not in references.values()]
    chosen = arm if arm is not None else tested[0] if len(tested) == 1 else None
    if not references:
        return Candidate(dataset, False, ("no saline or vehicle arm to compare with",), True, lab)
    if chosen is None or chosen not in references:
        names = ", ".join(tested) or "none"
        wanted = (
            f"no arm {arm!r} with a reference" if arm else "which arm is meant is not stated (switch.arm)"
        )
        return Candidate(dataset, False, (f"{wanted}; its tested arms are {names}",), True, lab)
    reference = references[chosen]
    found = result["arms"][chosen]
    numbers = found["estimands"].get("M") or {}
    reasons = []
    if found["verdict"] == "not_enough_animals":
        reasons.append(f"{_animals(found['n_animals'])} only, which is too few for a verdict")
    if numbers.get("estimate") is None or numbers.get("se") is None:
        reasons.append(f"M against {reference}: {numbers.get('status', 'not estimable')}")
    return Candidate(
        dataset,
        not reasons,
        tuple(reasons),
        True,
        lab,
        chosen,
        reference,
        found["n_animals"],
        found["verdict"],
        *(_number(numbers.get(name)) for name in ("estimate", "se", "ci_low", "ci_high")),
    )


def known_candidates(path: Path) -> list[Candidate]:
    """Return the data sets in a table of ``nwbswitch find``, each with why it cannot be used.

    Raises
    ------
    InputFileError
        If the file is no such table.
    """
    from nwbswitch.analysis.table_file import read_table

    table = read_table(path, text=CANDIDATE_COLUMNS)
    if missing := [name for name in CANDIDATE_COLUMNS if name not in table.columns]:
        problem = f"has no column {missing[0]!r}."
        raise InputFileError(path, problem, "Give the table that nwbswitch find -o wrote.")
    found = []
    for dataset, rows in table.groupby("dandiset", sort=True):
        usable = rows["estimable"].astype(str).str.casefold().isin(("true", "1", "yes"))
        words = rows.loc[~usable, "why_not_words"].astype(str)
        counts = words[words != ""].value_counts()
        reasons = tuple(f"{text} ({n} recordings)" for text, n in counts.items())
        if usable.any():
            n = rows.loc[usable, "subject"].nunique()
            are = "is" if n == 1 else "are"
            reasons = (f"{_animals(n)} could be estimated and {are} not part of this analysis", *reasons)
        found.append(Candidate(str(dataset), False, reasons[:MAX_REASONS], False))
    return found


def _animals(n: int) -> str:
    return f"{n} animal{'s' * (n != 1)}"


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
