"""Dose-response: against lme4, doses on free base, what is left out, and the figure."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from design_tables import drug, saline, session, table

from nwbswitch.analysis.designs.dose_response import dose_response, doses_of_arms
from nwbswitch.analysis.figures.dose_figures import dose_figure
from nwbswitch.schemas.errors import FitError
from nwbswitch.schemas.tables import ESTIMATES

R = json.loads((Path(__file__).parents[1] / "reference" / "designs.json").read_text())["dose"]


def values(rows: list[dict[str, Any]]) -> pd.DataFrame:
    blank: dict[str, Any] = {
        **dict.fromkeys(("ci_low", "ci_high", "df", "p", "p_holm"), math.nan),
        **dict.fromkeys(("n_animals", "n_sessions", "n_neurons"), 1),
        "dataset": "study", "cell_type": "excitatory", "contrast": "drug", "level": "session",
        "estimand": "SW", "k": 0, "status": "ok", "simulated": True, "se": 0.3, "role": "exploratory",
    }  # fmt: skip
    return pd.DataFrame([{**blank, **row} for row in rows], columns=list(ESTIMATES.names))


def arm_of(dose: float) -> str:
    return f"ketamine_{dose:g}" if dose else "saline"


@pytest.fixture(scope="module")
def study() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Estimates and sessions of the study that R has fitted."""
    sessions, estimates = [], []
    for row in R["rows"]:
        animal, order, dose = row["animal"], row["order"], row["dose"]
        log = [drug(dose=dose, dose_unit="umol/kg")] if dose else [saline()]
        sessions.append(session(animal, f"s{order}", arm_of(dose), order, log))
        estimates.append(
            {
                "animal": animal,
                "session": f"s{order}",
                "arm": arm_of(dose),
                "estimate": row["estimate"],
                "se": row["se"],
            }
        )
    return values(estimates), table(sessions)


def test_the_model_is_that_of_lme4_with_kenward_roger(study: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = dose_response(*study, estimand="SW", substance="ketamine")
    effects = found.table()
    assert effects["meaning"].tolist() == [
        "without the drug",
        "ketamine at 38.7 umol/kg",
        "each doubling of the dose",
        "each later session",
    ]
    # Both searches end where the criterion is flat to rounding: 1e-6 for estimates, 1e-5 for what hangs on
    # the variance components.
    np.testing.assert_allclose(effects["estimate"], R["plain"]["estimate"], rtol=1e-6)
    np.testing.assert_allclose(effects["se"], R["plain"]["se"], rtol=1e-5)
    np.testing.assert_allclose(effects["df"], R["plain"]["df"], rtol=1e-4)
    assert found.centre == pytest.approx(R["centre"], rel=1e-9)
    assert (found.level, found.unit, found.left_out) == ("session", "umol/kg", ())
    json.dumps(found.as_dict(), allow_nan=False)


def test_weights_are_inverse_variances(study: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = dose_response(*study, estimand="SW", substance="ketamine", weighted=True)
    np.testing.assert_allclose(found.table()["estimate"], R["weighted"]["estimate"], rtol=1e-6)
    assert "weighted by 1/se^2" in found.summary()
    lacking = study[0].assign(se=study[0]["se"].where(study[0]["animal"] != "m1", math.nan))
    again = dose_response(lacking, study[1], estimand="SW", substance="ketamine", weighted=True)
    assert sum("no standard error" in each for each in again.left_out) == 4


def test_predictions_follow_the_effects(study: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = dose_response(*study, estimand="SW", substance="ketamine")
    effects = dict(zip(found.table()["term"], found.table()["estimate"], strict=True))
    intercept = effects[next(name for name in effects if "ntercept" in name)]
    line = found.predicted([0.0, found.centre, 2 * found.centre])
    expected = [
        intercept,
        intercept + effects["present"],
        intercept + effects["present"] + effects["log2_dose"],
    ]
    np.testing.assert_allclose(line["estimate"], expected, atol=1e-12)
    assert (line["ci_low"] < line["estimate"]).all()
    with pytest.raises(ValueError, match="expected 0 or more"):
        found.predicted([-1.0])


def test_the_figure_has_a_band_a_line_and_no_drug_apart(study: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = dose_response(*study, estimand="SW", substance="ketamine")
    axes = dose_figure(found).axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["no drug", "12.6", "42.1", "126"]
    assert axes.get_xlabel() == "ketamine, umol/kg of free base"
    assert sum(len(each.get_offsets()) for each in axes.collections if len(each.get_offsets()) > 1) == 31


def test_animals_serve_where_there_are_no_sessions(study: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    animals = study[0].assign(level="animal", session="")
    found = dose_response(animals, study[1], estimand="SW", substance="ketamine")
    assert found.level == "animal"
    np.testing.assert_allclose(found.table()["estimate"], R["plain"]["estimate"], rtol=1e-6)


def test_doses_add_up_within_a_session_on_free_base() -> None:
    ladder = [
        drug(dose=3.0, salt="hydrochloride", dose_basis="salt"),
        drug(dose=10.0, at_s=2400.0, salt="hydrochloride", dose_basis="salt"),
    ]
    found = {
        each.arm: each
        for each in doses_of_arms(table([session("m1", "a", "ketamine_3", 1, ladder)]), substance="ketamine")
    }
    share = 237.73 / 274.19  # g/mol of ketamine and of its hydrochloride
    assert found["ketamine 3 mg/kg"].mg_per_kg == pytest.approx(3 * share, rel=1e-3)
    assert found["ketamine 10 mg/kg, cumulative 13"].mg_per_kg == pytest.approx(13 * share, rel=1e-3)
    assert found["ketamine 10 mg/kg, cumulative 13"].umol_per_kg == pytest.approx(
        13 / 274.19 * 1000, rel=1e-3
    )
    assert found["ketamine_3"].mg_per_kg == found["ketamine 3 mg/kg"].mg_per_kg


def test_other_drugs_unsettled_doses_and_missing_values_are_left_out_by_name(
    study: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    extra = [
        session(
            "m9", "s1", "ketamine+naloxone", 1, [drug("naloxone", at_s=600.0, role="antagonist"), drug()]
        ),
        session("m9", "s2", "ketamine_10", 2, [drug(salt="hydrochloride", dose_basis=None)]),
        session("m9", "s3", "ketamine_10", 3, [drug()]),
    ]
    sessions = pd.concat([study[1], table(extra)], ignore_index=True)
    more = [
        {"animal": "m9", "session": each["session"], "arm": each["arm"], "estimate": value, "status": word}
        for each, value, word in zip(
            extra, (1.0, 1.0, math.nan), ("ok", "ok", "not estimable: few"), strict=True
        )
    ]
    more.append({"animal": "m9", "session": "s4", "arm": "ketamine_10", "estimate": 1.0})
    estimates = pd.concat([study[0], values(more)], ignore_index=True)
    found = dose_response(estimates, sessions, estimand="SW", substance="ketamine")
    said = "\n".join(found.left_out)
    for words in (
        "naloxone was given too",
        "dose of free base is not known",
        "not estimable: few",
        "does not say what",
    ):
        assert words in said
    assert len(found.rows) == 31


def test_one_dose_is_refused_and_wrong_names_too(study: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    one = study[0][study[0]["arm"].isin(["saline", "ketamine_12.6"])]
    with pytest.raises(FitError, match="needs 2 doses or more"):
        dose_response(one, study[1], estimand="SW", substance="ketamine")
    with pytest.raises(ValueError, match="'psilocybin' was given in no session"):
        dose_response(*study, estimand="SW", substance="psilocybin")
    with pytest.raises(ValueError, match="no values of 'nothing'"):
        dose_response(*study, estimand="nothing", substance="ketamine")


def test_without_saline_the_intercept_is_the_drug(study: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    dosed = study[0][study[0]["arm"] != "saline"]
    found = dose_response(dosed, study[1], estimand="SW", substance="ketamine")
    assert found.table()["meaning"].iloc[0].startswith("ketamine at")
    with pytest.raises(ValueError, match="says nothing of dose 0"):
        found.predicted([0.0])
    assert "no drug" not in [label.get_text() for label in dose_figure(found).axes[0].get_xticklabels()]
