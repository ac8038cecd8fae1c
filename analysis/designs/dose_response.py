"""Dose-response: whether the drug is there, and how much more a doubling of its dose does.

The model is estimate = b0 + b1 present + b2 present (log2 dose - c) + b3 (order - mean order) + animal, with
a random intercept for animals. Saline has no logarithm of a dose: the indicator ``present`` takes it up, and
c, the mean of log2 dose over the rows with the drug, makes b1 the effect of the drug at its geometric mean
dose. Doses are those of the free base; within a session, what was given of the substance so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from nwbswitch.analysis.designs.controls import is_control_name, is_part_at_lag
from nwbswitch.analysis.designs.held_sessions import Held, held_sessions
from nwbswitch.analysis.designs.treatments import arm_of_dose, chronic, deciding_place, named_by_dose
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.doses import dose_mg_per_kg_free_base, dose_umol_per_kg
from nwbswitch.schemas.errors import FitError
from nwbswitch.schemas.result_tables import SESSIONS
from nwbswitch.schemas.tables import ESTIMATES

if TYPE_CHECKING:
    from nwbswitch.analysis.mixed.result import MixedFit

Level = Literal["session", "animal"]
ROWS = ("animal", "session", "arm", "order", "present", "dose", "log2_dose", "estimate", "se", "weight")
UNITS = ("umol/kg", "mg/kg")
MIN_DOSES = 2


@dataclass(frozen=True, slots=True)
class DoseOfArm:
    """What was given of a substance up to one arm of one session; no doses for a control."""

    animal: str
    session: str
    arm: str
    order: int
    umol_per_kg: float
    mg_per_kg: float
    present: bool
    other: str
    """Why it is no dose of this substance alone; empty when it is."""


@dataclass(frozen=True, slots=True, repr=False)
class DoseResponse:
    """A dose-response model of one estimand.

    Attributes
    ----------
    fit
        The mixed model; its formula names the columns of ``rows``.
    rows
        Columns animal, session (empty at animal level), arm, order (centred), present (0 or 1), dose,
        log2_dose (centred; 0 without the drug), estimate, se, weight.
    centre
        Geometric mean dose of the rows with the drug, in ``unit``.
    weighted
        Whether rows weigh by 1 / se^2.
    left_out
        Rows that are not in the model, with the reason.
    """

    estimand: str
    cell_type: str
    substance: str
    unit: str
    centre: float
    weighted: bool
    level: Level
    fit: MixedFit
    rows: pd.DataFrame
    left_out: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<DoseResponse of {self.estimand!r} to {self.substance}: {len(self.rows)} rows>"

    def table(self) -> pd.DataFrame:
        """Return the fixed effects, after ``meaning`` with the columns of `MixedFit.table`."""
        table = self.fit.table()
        drug = f"{self.substance} at {self.centre:.3g} {self.unit}"
        present = "present" in set(table["term"])
        meanings = {
            "(Intercept)": "without the drug" if present else drug,
            "Intercept": "without the drug" if present else drug,
            "present": drug,
            "log2_dose": "each doubling of the dose",
            "order": "each later session",
        }
        table.insert(0, "meaning", [meanings.get(str(term), str(term)) for term in table["term"]])
        return table

    def predicted(self, doses: Sequence[float]) -> pd.DataFrame:
        """Return the estimate at some doses, at the mean order: dose, estimate, ci_low, ci_high.

        Parameters
        ----------
        doses
            In ``unit``; 0 is without the drug.

        Raises
        ------
        ValueError
            For negative doses, and for 0 where no session without the drug is in the model.
        """
        from nwbswitch.analysis.mixed.coefficient import quantile_of_t

        names = list(self.fit.model.names)
        rows = []
        for dose in doses:
            if not (dose >= 0 and math.isfinite(dose)):
                raise ValueError(f"a dose is {dose}, expected 0 or more {self.unit}")
            if dose == 0 and "present" not in names:
                raise ValueError(
                    "no session without the drug is in the model, so that it says nothing of dose 0"
                )
            values = {
                "present": float(dose > 0),
                "log2_dose": math.log2(dose / self.centre) if dose else 0.0,
                "order": 0.0,
            }
            weights = np.array([values.get(name, 1.0) for name in names])
            test = self.fit.inference.t_test(weights)
            half = quantile_of_t(0.95, test.df) * test.se
            rows.append(
                {
                    "dose": dose,
                    "estimate": test.estimate,
                    "ci_low": test.estimate - half,
                    "ci_high": test.estimate + half,
                }
            )
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Return the model in words and numbers."""
        n = self.rows["animal"].nunique()
        how = "weighted by 1/se^2" if self.weighted else "unweighted"
        said = [
            f"Dose-response of {self.estimand} ({self.cell_type}) to {self.substance}, doses of free base in "
            f"{self.unit}: {len(self.rows)} values of {n} animals at {self.level} level, {how}."
        ]
        said += [
            f"{row['meaning']}: {row['estimate']:.3g} (95 % {row['ci_low']:.3g} to {row['ci_high']:.3g})"
            for row in self.table().to_dict("records")
        ]
        said += [f"Left out: {each}" for each in self.left_out]
        return "\n".join([*said, *self.fit.info["warnings"]])

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "estimand": self.estimand,
                "cell_type": self.cell_type,
                "substance": self.substance,
                "unit": f"{self.unit} of free base",
                "centre": self.centre,
                "weighted": self.weighted,
                "level": self.level,
                "effects": self.table().to_dict("records"),
                "rows": self.rows.to_dict("records"),
                "left_out": list(self.left_out),
                "fit": self.fit.as_dict(),
            }
        )
        return found


def dose_response(
    estimates: pd.DataFrame,
    sessions: pd.DataFrame,
    *,
    estimand: str,
    substance: str,
    cell_type: str = "excitatory",
    k: int = 0,
    level: Level | None = None,
    weighted: bool = False,
) -> DoseResponse:
    """Fit the dose-response of one estimand to one substance.

    Parameters
    ----------
    estimates
        Columns of ``ESTIMATES``; its rows of the contrast ``drug`` are taken.
    sessions
        Columns of ``SESSIONS``, for doses and orders.
    estimand, cell_type, k
        Which estimand of which cells; ``k`` is the detection limit of tau_c.
    substance
        Name as in the drug log. Sessions with other drugs besides it are left out and named.
    level
        Whether a value is of a session or of an animal in an arm; by default of sessions where there are.
    weighted
        Weigh each value by 1 / se^2, its own sampling variance. Unweighted, animals with few neurons count
        as much as others; weighted, spread between sessions beyond sampling is taken to be in proportion.

    Raises
    ------
    ValueError
        For a substance or estimand that is not there.
    FitError
        With fewer than two doses, or too few rows or animals for the model.
    """
    from nwbswitch.analysis.mixed.fit import fit

    estimates, sessions = ESTIMATES.checked(estimates), SESSIONS.checked(sessions)
    own = estimates[
        (estimates["estimand"] == estimand)
        & (estimates["cell_type"] == cell_type)
        & (estimates["k"] == k)
        & (estimates["contrast"] == "drug")
    ]
    chosen: Level = level or ("session" if (own["level"] == "session").any() else "animal")
    own = own[own["level"] == chosen]
    if own.empty:
        raise ValueError(
            f"no values of {estimand!r} of {cell_type!r} cells at {chosen} level in these estimates"
        )
    doses = doses_of_arms(sessions, substance=substance)
    if not any(each.present for each in doses):
        raise ValueError(f"{substance!r} was given in no session of this table")
    unit, rows, left_out = _rows(own, doses, chosen)
    present = rows[rows["present"] == 1.0]
    if present["dose"].nunique() < MIN_DOSES:
        raise FitError(
            f"A dose-response of {substance} needs {MIN_DOSES} doses or more with a value, "
            f"and there {'is' if present['dose'].nunique() == 1 else 'are'} {present['dose'].nunique()}. "
            f"{'; '.join(left_out)}".strip()
        )
    log2_dose = np.log2(present["dose"])
    centre = float(log2_dose.mean())
    rows = rows.assign(
        log2_dose=np.where(
            rows["present"] == 1.0, np.log2(rows["dose"].where(rows["dose"] > 0, 1.0)) - centre, 0.0
        ),
        order=rows["order"] - rows["order"].mean(),
    )
    terms = ["present"] if (rows["present"] == 0.0).any() else []
    terms += ["log2_dose"]
    terms += ["order"] if rows["order"].abs().max() > 0 else []
    if weighted:
        usable = np.isfinite(rows["se"]) & (rows["se"] > 0)
        left_out += [
            f"{row.animal} {row.session} ({row.arm}): no standard error" for row in rows[~usable].itertuples()
        ]
        rows = rows[usable].assign(weight=1 / rows.loc[usable, "se"] ** 2)
    rows = rows.reset_index(drop=True)[list(ROWS)]
    made = fit(
        rows[["animal", "present", "log2_dose", "order", "estimate", "weight"]],
        f"estimate ~ {' + '.join(terms)} + (1 | animal)",
        weights="weight" if weighted else None,
    )
    return DoseResponse(
        estimand, cell_type, substance, unit, float(2**centre), weighted, chosen, made, rows, tuple(left_out)
    )


def doses_of_arms(sessions: pd.DataFrame, *, substance: str) -> list[DoseOfArm]:
    """Return what was given of a substance up to each arm of each session that is included.

    A session is listed under the arm of the cells table and under those of its single doses.
    """
    held, _ = held_sessions(SESSIONS.checked(sessions))
    dosed = named_by_dose(each.log for each in held)
    found: dict[tuple[str, str, str], DoseOfArm] = {}
    for each in held:
        doses = each.doses
        before = chronic(each.log)
        place = deciding_place(each.log, doses)
        if place is None:
            if is_control_name(each.arm):
                found[each.animal, each.session, each.arm] = _up_to(each, each.arm, -1, substance, before)
            continue
        found[each.animal, each.session, each.arm] = _up_to(each, each.arm, place, substance, before)
        for number in range(len(doses)):
            arm = "+".join([arm_of_dose(doses, number, dosed=dosed), *before])
            found.setdefault((each.animal, each.session, arm), _up_to(each, arm, number, substance, before))
    return list(found.values())


def _up_to(held: Held, arm: str, place: int, substance: str, before: Sequence[str]) -> DoseOfArm:
    given = [row for dose in held.doses[: place + 1] for row in dose.rows if not row.is_control]
    own = [row for row in given if row.substance.lower() == substance.lower()]
    others = sorted({*(row.substance.lower() for row in given), *before} - {substance.lower()})
    umol = [dose_umol_per_kg(row) for row in own]
    mg = [dose_mg_per_kg_free_base(row) for row in own]
    return DoseOfArm(
        animal=held.animal,
        session=held.session,
        arm=arm,
        order=held.order,
        umol_per_kg=math.nan if None in umol else math.fsum(each for each in umol if each is not None),
        mg_per_kg=math.nan if None in mg else math.fsum(each for each in mg if each is not None),
        present=bool(own),
        other=f"{' and '.join(others)} was given too" if others else "",
    )


def _rows(own: pd.DataFrame, doses: Sequence[DoseOfArm], level: Level) -> tuple[str, pd.DataFrame, list[str]]:
    """Return the unit of doses, rows of values with their doses, and what is left out."""
    by_arm: dict[tuple[str, str], list[DoseOfArm]] = {}
    for each in doses:
        by_arm.setdefault((each.animal, each.arm), []).append(each)
    kept: list[tuple[Any, list[DoseOfArm]]] = []
    left_out = []
    for row in own.itertuples():
        arm = str(row.arm).split(", ")[0] if is_part_at_lag(str(row.arm)) else str(row.arm)
        known = by_arm.get((str(row.animal), arm), [])
        session = str(getattr(row, "session", "")) if level == "session" else ""
        known = [each for each in known if not session or each.session == session]
        name = f"{row.animal} {session} ({row.arm})".replace("  ", " ")
        if not known:
            left_out.append(f"{name}: the table of sessions does not say what was given")
        elif any(each.other for each in known):
            left_out.append(f"{name}: {next(each.other for each in known if each.other)}")
        elif not math.isfinite(float(row.estimate)):  # type: ignore[arg-type]
            left_out.append(f"{name}: {row.status}")
        else:
            kept.append((row, known))
    unit = _unit([each for _, known in kept for each in known])
    rows = []
    for row, known in kept:
        values = [each.umol_per_kg if unit == "umol/kg" else each.mg_per_kg for each in known]
        present = known[0].present
        if present and not all(math.isfinite(each) and each > 0 for each in values):
            left_out.append(f"{row.animal} ({row.arm}): its dose of free base is not known")
            continue
        rows.append(
            {
                "animal": str(row.animal),
                "session": known[0].session if level == "session" else "",
                "arm": str(row.arm),
                "order": sum(each.order for each in known) / len(known),
                "present": float(present),
                "dose": sum(values) / len(values) if present else 0.0,
                "log2_dose": 0.0,
                "estimate": float(row.estimate),
                "se": float(row.se),
                "weight": 1.0,
            }
        )
    return unit, pd.DataFrame(rows, columns=list(ROWS)), left_out


def _unit(doses: Sequence[DoseOfArm]) -> str:
    """Return umol/kg where every dose is known in it, else the unit in which most are known."""
    present = [each for each in doses if each.present]
    umol = sum(math.isfinite(each.umol_per_kg) for each in present)
    mg = sum(math.isfinite(each.mg_per_kg) for each in present)
    return UNITS[0] if umol >= mg else UNITS[1]
