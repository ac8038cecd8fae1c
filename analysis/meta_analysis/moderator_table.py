"""What studies differ in, from their sessions: the moderators of a meta-analysis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nwbswitch.analysis.designs.held_sessions import Held, held_sessions
from nwbswitch.schemas.doses import dose_mg_per_kg_free_base
from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.result_tables import SESSIONS
from nwbswitch.schemas.substances import substance_of

_FACTS = ("region", "layer", "modality", "indicator", "roi_basis")
MODERATORS = (
    "drug", "drug_class", "dose_mg_per_kg", "route", "anaesthesia", "species", "female_share", "age_days",
    "area", "layer", "modality", "indicator", "roi_basis", "depth_um", "window_start_s", "window_s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Given:
    """What decides the arm of one session."""

    drug: str
    drug_class: str
    dose_mg_per_kg: float
    route: str


def moderator_table(sessions: pd.DataFrame, cells: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return one row per dataset and arm with its moderators, to be joined to effects.

    Parameters
    ----------
    sessions
        Table with the columns of ``SESSIONS``, of one or several datasets; it is not changed. Sessions that
        are not included do not count.
    cells
        Table of cells, or its distinct rows of dataset, session, arm, region, layer, modality, indicator,
        roi_basis, depth_um, window, start_s and exposure_s, whichever there are.

    Returns
    -------
    DataFrame
        dataset, arm, n_sessions, n_animals and the `MODERATORS`: names of the substances as in the
        vocabulary (several given together joined by +), their class in the vocabulary, the dose in mg of
        free base per kg as the mean over animals, route, anaesthesia, share of females, age; and from the
        cells area, layer, modality, indicator, ROI basis, mean depth, and start (from the administration)
        and length of the drug window, s. Empty text or nan where it is not stated or, for a dose, not
        settled by the log. Different values in one arm are joined by ``; ``, which makes a level of its
        own.

    Raises
    ------
    TableError
        If a table does not fit its specification.
    """
    table = SESSIONS.checked(sessions)
    rows = []
    for dataset, own in table[table["included"]].groupby("dataset", sort=True):
        held = held_sessions(own.reset_index(drop=True))[0]
        for arm in sorted({each.arm for each in held}):
            rows.append(_arm_row(str(dataset), arm, [each for each in held if each.arm == arm]))
    columns = ["dataset", "arm", "n_sessions", "n_animals", *MODERATORS[:8]]
    found = pd.DataFrame(rows, columns=columns)
    if cells is None:
        text = dict.fromkeys(("area", *_FACTS[1:]), "")
        return found.assign(**text, depth_um=float("nan"), window_start_s=float("nan"), window_s=float("nan"))
    return found.merge(_cell_facts(cells, table), on=["dataset", "arm"], how="left")


def with_moderators(effects: pd.DataFrame, moderators: pd.DataFrame) -> pd.DataFrame:
    """Return effects with the moderators of their dataset and arm.

    Empty text becomes missing, so that a row without a moderator of the formula is left out and counted.

    Raises
    ------
    TableError
        If a dataset and arm stands twice among the moderators.
    """
    double = moderators[moderators.duplicated(["dataset", "arm"])]
    if len(double):
        row = double.iloc[0]
        problem = f"The moderators hold {row['dataset']} {row['arm']} more than once."
        raise TableError([issue("bad-cell", problem, place=Place(item="moderators"))])
    joined = effects.merge(moderators, on=["dataset", "arm"], how="left", suffixes=("", "_of_arm"))
    here = [name for name in MODERATORS if name in joined.columns]
    text = [name for name in here if not pd.api.types.is_numeric_dtype(joined[name])]
    return joined.assign(**{name: joined[name].where(joined[name] != "", None) for name in text})


def _arm_row(dataset: str, arm: str, held: Sequence[Held]) -> tuple[object, ...]:
    given = [_given(each.deciding) for each in held]
    animals = {each.animal: each for each in held}
    known = [each.sex for each in animals.values() if each.sex in ("M", "F")]
    female = known.count("F") / len(known) if known else float("nan")
    return (
        dataset,
        arm,
        len(held),
        len(animals),
        _joined(each.drug for each in given),
        _joined(each.drug_class for each in given),
        _mean_over_animals([(one.animal, two.dose_mg_per_kg) for one, two in zip(held, given, strict=True)]),
        _joined(each.route for each in given),
        _joined(each.anaesthesia for each in held),
        _joined(each.species for each in held),
        female,
        _mean_over_animals([(each.animal, each.age_days) for each in held]),
    )


def _given(rows: Sequence[Administration]) -> _Given:
    found = [substance_of(row) for row in rows]
    names = [row.substance if each is None else each.name for row, each in zip(rows, found, strict=True)]
    classes = ["" if each is None else each.drug_class for each in found]
    dose = dose_mg_per_kg_free_base(rows[0]) if len(rows) == 1 and not rows[0].is_control else None
    return _Given(
        " + ".join(dict.fromkeys(names)),
        " + ".join(dict.fromkeys(classes)) if all(classes) else "",
        float("nan") if dose is None else dose,
        _joined(row.route for row in rows),
    )


def _joined(words: Iterable[str]) -> str:
    return "; ".join(sorted({word for word in words if word}))


def _mean_over_animals(values: Sequence[tuple[str, float]]) -> float:
    """Return the mean of the animals' means; nan if any value is not known."""
    numbers = pd.DataFrame(values, columns=["animal", "value"])
    if not len(numbers) or not np.isfinite(numbers["value"]).all():
        return float("nan")
    return float(numbers.groupby("animal")["value"].mean().mean())


def _cell_facts(cells: pd.DataFrame, sessions: pd.DataFrame) -> pd.DataFrame:
    for name in ("dataset", "arm"):
        if name not in cells.columns:
            problem = f"The cells have no column {name!r}."
            raise TableError([issue("bad-cell", problem, place=Place(item=f"cells.{name}"))])
    rows = []
    for (dataset, arm), own in cells.groupby(["dataset", "arm"], sort=True):
        words = {name: _joined(own[name].astype(str).unique()) if name in own else "" for name in _FACTS}
        depth = float(own["depth_um"].mean()) if "depth_um" in own else float("nan")
        start, length = _window(own, sessions[sessions["dataset"] == dataset])
        rows.append((dataset, arm, *words.values(), depth, start, length))
    columns = ["dataset", "arm", "area", *_FACTS[1:], "depth_um", "window_start_s", "window_s"]
    return pd.DataFrame(rows, columns=columns)


def _window(own: pd.DataFrame, sessions: pd.DataFrame) -> tuple[float, float]:
    """Return start of the drug window from the administration and its length, means over sessions, s."""
    nan = float("nan")
    if not {"window", "session", "animal", "start_s", "block"} <= set(own.columns):
        return nan, nan
    drug = own[own["window"] == "drug"]
    if not len(drug):
        return nan, nan
    blocks = drug.drop_duplicates(["animal", "session", "block"])
    spans = blocks.groupby(["animal", "session"])["start_s"].agg(["min", "max", "size"]).reset_index()
    joined = spans.merge(
        sessions[["animal", "session", "administration_s"]], on=["animal", "session"], how="left"
    )
    start = float((joined["min"] - joined["administration_s"]).mean(skipna=False))
    several = joined[joined["size"] > 1]
    if not len(several):
        return start, nan
    # Blocks follow each other: the length is the way from first to last start and one block more.
    way = several["max"] - several["min"]
    return start, float((way * several["size"] / (several["size"] - 1)).mean())
