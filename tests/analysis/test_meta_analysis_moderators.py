"""Moderators of studies, read from their sessions and cells."""

import json

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.meta_analysis.moderator_table import MODERATORS, moderator_table, with_moderators
from nwbswitch.analysis.meta_analysis.multilevel import multilevel
from nwbswitch.schemas.drug_log import Administration, Role
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.result_tables import SESSIONS


def given(substance, **other):
    values = {"timestamp_s": 600.0, "substance": substance, "route": "i.p.", **other}
    return Administration(**values)


def session(dataset, animal, arm, rows, **other):
    log = json.dumps([row.model_dump(mode="json") for row in rows])
    values = dict.fromkeys(SESSIONS.names, "") | {
        "dataset": dataset, "animal": animal, "session": f"{animal}-{arm}", "arm": arm, "order": 1,
        "start_time": "2024-05-01T10:00:00+00:00", "time_of_day_h": 10.0, "sex": "F", "age_days": 70.0,
        "weight_g": 22.0, "anaesthesia": "awake", "administrations": log, "administration_s": 600.0,
        "windows": "baseline drug", "n_neurons": 40, "included": True, "simulated": False,
    }  # fmt: skip
    return values | other


@pytest.fixture
def sessions():
    salt = {"dose": 10.0, "dose_unit": "mg/kg", "salt": "hydrochloride", "dose_basis": "salt"}
    base = {"dose": 20.0, "dose_unit": "mg/kg", "dose_basis": "free base", "route": "s.c."}
    saline = given("saline", role=Role.VEHICLE, control_kind="saline")
    return pd.DataFrame(
        [
            session("one", "m1", "ketamine", [given("ketamine", **salt)]),
            session("one", "m2", "ketamine", [given("ketamine", **salt)], sex="M", age_days=90.0),
            session("one", "m1", "saline", [saline]),
            session("two", "m1", "ketamine", [given("ketamine", **base)], anaesthesia="isoflurane"),
            session("two", "m2", "ketamine", [given("ketamine", **base)], anaesthesia="awake"),
            session("two", "m3", "ketamine", [given("ketamine")], included=False, exclusion="no windows"),
            session("three", "m1", "ketamine", [given("ketamine", dose=5.0, dose_unit="mg/kg")]),
            session("three", "m2", "own drug", [given("compound X")]),
        ]
    )


def test_one_row_per_dataset_and_arm(sessions):
    found = moderator_table(sessions).set_index(["dataset", "arm"])
    one, two = found.loc[("one", "ketamine")], found.loc[("two", "ketamine")]
    assert one[["drug", "drug_class", "route", "anaesthesia"]].tolist() == [
        "ketamine", "NMDA receptor antagonist", "i.p.", "awake",
    ]  # fmt: skip
    # 10 mg/kg of the hydrochloride: molar masses 237.73 and 274.19.
    assert one["dose_mg_per_kg"] == pytest.approx(10 * 237.73 / 274.19, rel=1e-4)
    assert (one["n_sessions"], one["n_animals"], one["female_share"], one["age_days"]) == (2, 2, 0.5, 80.0)
    assert two["dose_mg_per_kg"] == 20.0
    assert two["anaesthesia"] == "awake; isoflurane"
    assert two["n_sessions"] == 2
    saline = found.loc[("one", "saline")]
    assert saline["drug_class"] == "vehicle or control"
    assert np.isnan(saline["dose_mg_per_kg"])


def test_what_the_log_does_not_settle_is_not_guessed(sessions):
    found = moderator_table(sessions).set_index(["dataset", "arm"])
    # Salt or free base is not stated, so the dose is not known.
    assert np.isnan(found.loc[("three", "ketamine"), "dose_mg_per_kg"])
    own = found.loc[("three", "own drug")]
    assert (own["drug"], own["drug_class"]) == ("compound X", "")


def test_facts_of_cells(sessions):
    blocks = pd.DataFrame({"block": range(4), "start_s": [900.0, 930.0, 960.0, 990.0], "exposure_s": 30.0})
    rows = []
    for animal, layer in (("m1", "2/3"), ("m2", "5")):
        rows.append(blocks.assign(animal=animal, session=f"{animal}-ketamine", layer=layer))
    cells = pd.concat(rows).assign(
        dataset="one", arm="ketamine", region="RSP", modality="calcium", window="drug", depth_um=200.0
    )
    found = moderator_table(sessions, cells).set_index(["dataset", "arm"])
    one = found.loc[("one", "ketamine")]
    assert (one["area"], one["layer"], one["modality"], one["indicator"]) == ("RSP", "2/3; 5", "calcium", "")
    assert (one["window_start_s"], one["window_s"], one["depth_um"]) == (300.0, 120.0, 200.0)
    assert set(MODERATORS) <= set(found.columns)
    with pytest.raises(TableError, match="no column 'arm'"):
        moderator_table(sessions, cells.drop(columns="arm"))


def test_moderators_join_effects_and_missing_ones_leave_rows_out(sessions):
    moderators = moderator_table(sessions)
    names = [f"s{i}" for i in range(8)]
    effects = pd.DataFrame({"dataset": names, "arm": "ketamine", "yi": np.linspace(0.1, 0.9, 8), "vi": 0.04})
    first = moderators[(moderators["dataset"] == "one") & (moderators["arm"] == "ketamine")]
    stated = pd.concat([first.assign(dataset=name, dose_mg_per_kg=float(i)) for i, name in enumerate(names)])
    stated = stated.assign(route=["i.p."] * 4 + ["s.c."] * 3 + [""])
    joined = with_moderators(effects, stated)
    fit = multilevel(
        joined, effect="yi", variance="vi", random="~ 1 | dataset", moderators="dose_mg_per_kg + route"
    )
    assert (fit.k, fit.info["n_missing"]) == (7, 1)
    assert fit.estimates[1] == pytest.approx(0.8 / 7, rel=1e-6)
    with pytest.raises(TableError, match="more than once"):
        with_moderators(effects, pd.concat([stated, stated]))
