"""What a careful reader takes from a file: drugs, doses, times, and what it leaves open."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from nwbswitch.schemas.drug_checks import check_administration
from nwbswitch.schemas.drug_log import Administration, ControlKind, Role, arm_name
from nwbswitch.schemas.drug_reading.evidence import (
    Confidence,
    DrugReading,
    MentionReason,
    Statement,
)
from nwbswitch.schemas.drug_reading.plain_text import MAX_CHARACTERS
from nwbswitch.schemas.drug_reading.reading import read_drugs
from nwbswitch.schemas.issues import Place
from nwbswitch.schemas.overrides import FILL_IN, load_overrides

START = datetime(2024, 5, 1, 10, tzinfo=UTC)
PHARMACOLOGY, DESCRIPTION = "/general/pharmacology", "/session_description"
STUDY, NOTES, SESSION_ID = "/general/experiment_description", "/general/notes", "/general/session_id"


def read(*said: tuple[Any, ...], **options: Any) -> DrugReading:
    """Read statements given as (place, text) or (place, text, times) or (place, text, times, stops)."""
    options.setdefault("session_start", START)
    return read_drugs([Statement(*each) for each in said], name="m12.nwb", **options)


def rows(reading: DrugReading) -> list[dict[str, Any]]:
    """Return the administrations without defaults; a time that is not known is None."""
    found = []
    for row in reading.administrations:
        plain = row.model_dump(mode="json", exclude_defaults=True)
        missing = plain.pop("missing", {})
        plain["timestamp_s"] = None if "timestamp_s" in missing else row.timestamp_s
        found.append(plain)
    return found


def only(reading: DrugReading) -> Administration:
    """Return the only administration."""
    (row,) = reading.administrations
    return row


def codes(reading: DrugReading) -> list[str]:
    return [each.code for each in reading.issues]


def mentions(reading: DrugReading) -> set[tuple[str, MentionReason]]:
    return {(each.substance, each.why) for each in reading.mentions}


def confidence(reading: DrugReading, field: str, number: int = 0) -> Confidence:
    (found,) = [each for each in reading.evidence if each.administration == number and each.field == field]
    return found.confidence


# The ways in which public files say it


def test_pharmacology_and_description_add_up() -> None:
    found = read((PHARMACOLOGY, "Levodopa concentration: 5mg/kg."), (DESCRIPTION, "Day 1 of levodopa."))
    row = only(found)
    assert (row.substance, row.dose, row.dose_unit) == ("levodopa", 5.0, "mg/kg")
    assert row.prior_exposure == "day 1"
    assert row.missing["timestamp_s"] == "not recorded"
    assert codes(found) == ["drug-incomplete"]
    assert "when it was given" in found.issues[0].message
    places = {each.field: each.place for each in found.evidence}
    assert places["dose"] == PHARMACOLOGY
    assert places["prior_exposure"] == DESCRIPTION
    assert confidence(found, "dose") is Confidence.READ
    assert confidence(found, "timestamp_s") is Confidence.UNRESOLVED


def test_dose_and_time_in_one_line() -> None:
    text = "D1-Cre, 6OHDA in left MFB.\\r\\nDOB: 2/19/15. L-dopa (5mg/kg) at 30 mins.\\r\\n4000 light pulses"
    found = read((DESCRIPTION, text))
    assert rows(found) == [
        {
            "timestamp_s": 1800.0,
            "substance": "levodopa",
            "stereochemistry": "S",
            "dose": 5.0,
            "dose_unit": "mg/kg",
        }
    ]
    assert codes(found) == []
    assert confidence(found, "timestamp_s") is Confidence.READ
    assert ("6-OHDA", MentionReason.LESION) in mentions(found)
    dose = next(each for each in found.evidence if each.field == "dose")
    assert dose.quote == "L-dopa (5mg/kg) at 30 mins."


def test_tokens_of_a_session_id() -> None:
    found = read((SESSION_ID, "m12_KET10_d2"))
    row = only(found)
    assert (row.substance, row.dose, row.dose_unit) == ("ketamine", 10.0, "")
    assert confidence(found, "substance") is Confidence.INFERRED
    assert arm_name(found.administrations, with_dose=True) == "ketamine_10"
    assert "the unit of its dose" in found.issues[0].message


def test_a_number_in_an_id_is_no_dose_without_reason() -> None:
    assert only(read((SESSION_ID, "KET2_m1"))).dose is None
    assert only(read((SESSION_ID, "psilocybin3"))).dose is None


def test_a_unit_may_come_from_the_study() -> None:
    found = read(
        (SESSION_ID, "m12_KET10_d2"), (STUDY, "Mice received ketamine (3, 10, 30 mg/kg, i.p.) or saline.")
    )
    row = only(found)
    assert (row.dose, row.dose_unit, row.route) == (10.0, "mg/kg", "i.p.")
    unit = next(each for each in found.evidence if each.field == "dose_unit")
    assert unit.place == STUDY
    assert unit.confidence is Confidence.INFERRED


def test_a_series_named_after_an_infusion() -> None:
    found = read(
        ("/acquisition/Ketamine infusion start", "Ketamine infusion start. Approximate time", (1820.0,))
    )
    assert rows(found) == [{"timestamp_s": 1820.0, "substance": "ketamine"}]
    assert confidence(found, "timestamp_s") is Confidence.INFERRED
    assert codes(found) == ["drug-incomplete"]


def test_start_and_end_of_an_infusion_make_its_duration() -> None:
    found = read(
        ("/acquisition/a", "Ketamine infusion start", (600.0,)),
        ("/acquisition/b", "Ketamine infusion end", (3000.0,)),
    )
    assert (only(found).timestamp_s, only(found).duration_s) == (600.0, 2400.0)


def test_times_without_a_name_join_the_only_drug() -> None:
    table = ("/intervals/injection_times", "injection times", (1800.0,), (1810.0,))
    found = read(table, (DESCRIPTION, "Ketamine (10 mg/kg i.p.)"))
    assert rows(found) == [
        {
            "timestamp_s": 1800.0,
            "substance": "ketamine",
            "dose": 10.0,
            "dose_unit": "mg/kg",
            "route": "i.p.",
        }
    ]
    assert confidence(found, "dose") is Confidence.READ
    assert confidence(found, "timestamp_s") is Confidence.INFERRED
    assert codes(found) == []


def test_times_without_a_name_alone_are_a_finding() -> None:
    found = read(("/intervals/injection_times", "injection times", (1800.0,)))
    assert found.administrations == ()
    assert codes(found) == ["drug-unresolved"]
    assert found.issues[0].place == Place("m12.nwb", item="/intervals/injection_times")
    assert ("timestamp_s", "1800") in {
        (each.field, each.value) for each in found.evidence if each.administration == -1
    }
    assert all(each.confidence is Confidence.UNRESOLVED for each in found.evidence)


def test_times_without_a_name_are_not_given_to_one_of_two() -> None:
    found = read(
        ("/intervals/injection_times", "injection times", (600.0, 1800.0)),
        (DESCRIPTION, "Saline and then ketamine (10 mg/kg) were injected."),
    )
    assert [row["timestamp_s"] for row in rows(found)] == [None, None]
    assert "drug-unresolved" in codes(found)


def test_as_many_times_as_doses() -> None:
    found = read(
        ("/intervals/injections", "injections", (600.0, 1800.0, 3600.0)),
        (PHARMACOLOGY, "RS-ketamine 3, 10 and 30 mg/kg s.c."),
    )
    assert [(row["timestamp_s"], row["dose"]) for row in rows(found)] == [
        (600.0, 3.0),
        (1800.0, 10.0),
        (3600.0, 30.0),
    ]
    assert {row["stereochemistry"] for row in rows(found)} == {"racemic"}


def test_tags_of_epochs() -> None:
    found = read(
        ("/intervals/epochs/tags", "baseline", (0.0,), (600.0,)),
        ("/intervals/epochs/tags", "ketamine", (600.0,), (2400.0,)),
        ("/intervals/epochs/tags", "post_ketamine", (2400.0,), (3000.0,)),
    )
    assert rows(found) == [{"timestamp_s": 600.0, "substance": "ketamine"}]
    assert only(found).duration_s == 0.0


def test_labels_of_trials_are_one_treatment() -> None:
    times = tuple(float(each) for each in range(60))
    stops = tuple(each + 0.5 for each in times)
    found = read(("/intervals/trials", "drug: muscimol", times, stops))
    assert [row["timestamp_s"] for row in rows(found)] == [0.0]


def test_the_animal_was_injected() -> None:
    found = read(
        ("/general/subject/description", "C57BL/6, received CNO 1 mg/kg i.p. 30 min before recording")
    )
    assert rows(found)[0]["substance"] == "clozapine N-oxide"
    assert only(found).timestamp_s == -1800.0
    assert arm_name(found.administrations) == "clozapine n-oxide"


def test_the_animals_history_is_not_the_session() -> None:
    found = read(
        ("/general/subject/description", "Pilocarpine model; diazepam 10 mg/kg after 2 h of seizures")
    )
    assert found.administrations == ()


def test_the_name_of_the_file() -> None:
    found = read(("file name", "sub-SAL012_ses-ketamine10mgkg_ophys.nwb"))
    row = only(found)
    assert (row.substance, row.dose, row.dose_unit) == ("ketamine", 10.0, "mg/kg")
    assert confidence(found, "substance") is Confidence.INFERRED


@pytest.mark.parametrize(
    "said",
    [
        [(SESSION_ID, "m5_RSK_(3, 10, 30)")],
        [(DESCRIPTION, "RSK"), (NOTES, "(3, 10, 30)")],
        [("/intervals/sessions", "drug: RSK; doses: (3, 10, 30)", (10.0,))],
    ],
)
def test_a_code_with_doses_stays_open(said: list[tuple[Any, ...]]) -> None:
    found = read(*said)
    assert found.administrations == ()
    assert codes(found) == ["drug-unresolved"]
    assert "'RSK' may stand for ketamine" in found.issues[0].message


def test_a_lab_may_explain_its_codes() -> None:
    found = read((DESCRIPTION, "RSK"), (NOTES, "(3, 10, 30)"), codes={"RSK": "ketamine"})
    row = only(found)
    assert (row.substance, row.dose) == ("ketamine", None)
    assert row.notes == "Dose in the file: 3, 10, 30."
    assert only(read((SESSION_ID, "m1_X7_d2"), codes={"x7": "KX-7"})).substance == "KX-7"
    assert only(read((PHARMACOLOGY, "X7 10 mg/kg"), codes={"X7": "psilocybin"})).dose == 10.0


def test_the_rest_of_the_file_may_explain_a_code() -> None:
    study = "Effects of dexmedetomidine on sleep."
    assert only(read((SESSION_ID, "m3_DEX_1"), (STUDY, study))).substance == "dexmedetomidine"
    assert read((SESSION_ID, "m3_DEX_1")).administrations == ()


def test_keywords_alone_are_a_topic() -> None:
    found = read(("/general/keywords", "ketamine; retrosplenial cortex"))
    assert found.administrations == ()
    assert codes(found) == ["drug-unresolved"]
    assert mentions(found) == {("ketamine", MentionReason.TOPIC)}


@pytest.mark.parametrize(
    ("pharmacology", "description"),
    [
        ("Vehicle", "Home cage recording starting 1 hour after CNO injection"),
        ("Saline i.p.", "ketamine (10 mg/kg) at 20 min"),
        ("Psilocybin 1 mg/kg", "MK-801 0.1 mg/kg i.p."),
        ("No drugs were given", "after ketamine 10 mg/kg"),
        ("Ketamine 10 mg/kg", "recorded without ketamine"),
    ],
)
def test_contradicting_places_cancel_each_other(pharmacology: str, description: str) -> None:
    found = read((PHARMACOLOGY, pharmacology), (DESCRIPTION, description))
    assert found.administrations == ()
    assert codes(found) == ["drug-contradiction"]
    assert PHARMACOLOGY in found.issues[0].message
    assert DESCRIPTION in found.issues[0].message
    assert MentionReason.CONTRADICTED in {why for _, why in mentions(found)}


def test_places_may_say_different_things_of_one_session() -> None:
    found = read((PHARMACOLOGY, "DCZ 0.1 mg/kg"), (DESCRIPTION, "ketamine 10 mg/kg i.p. at 30 min"))
    assert {(row.substance, row.role) for row in found.administrations} == {
        ("deschloroclozapine", Role.ACTUATOR_LIGAND),
        ("ketamine", Role.TEST),
    }
    assert arm_name(found.administrations) == "ketamine"


def test_general_and_special_names_agree() -> None:
    found = read((SESSION_ID, "KET_m1"), (PHARMACOLOGY, "S-ketamine 5 mg/kg i.v."))
    assert only(found).substance == "S-ketamine"
    found = read((SESSION_ID, "veh_m1"), (PHARMACOLOGY, "saline i.p."))
    assert (only(found).substance, only(found).control_kind) == ("saline", ControlKind.SALINE)


def test_contradicting_doses_leave_the_dose_open() -> None:
    found = read((PHARMACOLOGY, "Ketamine 10 mg/kg"), (DESCRIPTION, "ketamine 30 mg/kg at 20 min"))
    assert only(found).dose is None
    assert only(found).timestamp_s == 1200.0
    assert codes(found) == ["drug-contradiction"]
    assert "10 mg/kg" in found.issues[0].message
    assert "30 mg/kg" in found.issues[0].message


def test_the_same_dose_in_other_units_is_no_contradiction() -> None:
    found = read((PHARMACOLOGY, "LSD 0.1 mg/kg"), (DESCRIPTION, "LSD (100 µg/kg) at 10 min"))
    assert codes(found) == []
    assert (only(found).dose, only(found).dose_unit) == (0.1, "mg/kg")


def test_measured_times_confirm_or_contradict_told_ones() -> None:
    said = (DESCRIPTION, "ketamine 10 mg/kg at 30 min")
    near = read(said, ("/acquisition/ketamine_injection", "ketamine injection", (1833.0,)))
    assert only(near).timestamp_s == 1833.0
    assert codes(near) == []
    far = read(said, ("/acquisition/ketamine_injection", "ketamine injection", (600.0,)))
    assert "timestamp_s" in only(far).missing
    assert codes(far) == ["drug-contradiction"]
    assert "1800 s" in far.issues[0].message
    assert "600 s" in far.issues[0].message


# What is said of the study


@pytest.mark.parametrize(
    "text",
    [
        "Mice received ketamine or saline.",
        "Animals were injected with either ketamine (10 mg/kg) or vehicle.",
        "On day 1 mice got saline, on day 2 they were injected with ketamine.",
        "The ketamine group got 10 mg/kg, the control group saline.",
        "Ketamine versus saline, counterbalanced.",
    ],
)
@pytest.mark.parametrize("place", [DESCRIPTION, STUDY, PHARMACOLOGY])
def test_alternatives_of_a_study_name_none(text: str, place: str) -> None:
    found = read((place, text))
    assert found.administrations == ()
    assert codes(found) == ["drug-unresolved"]
    assert "does not say which" in found.issues[0].message


def test_an_id_picks_one_of_the_alternatives() -> None:
    study = (STUDY, "Mice received ketamine (10 mg/kg, i.p.) or saline.")
    found = read(study, (SESSION_ID, "m4_sal_1"))
    assert (only(found).substance, only(found).role) == ("saline", Role.VEHICLE)
    assert mentions(found) == {("ketamine", MentionReason.ALTERNATIVE)}
    found = read(study, ("/general/subject/subject_id", "KET04"))
    assert (only(found).substance, only(found).dose, only(found).route) == ("ketamine", 10.0, "i.p.")
    assert confidence(found, "dose") is Confidence.INFERRED


def test_a_study_with_one_treatment_is_inferred() -> None:
    found = read((STUDY, "Mice were injected with psilocybin (1 mg/kg, i.p.) 30 min before imaging."))
    assert rows(found) == [
        {
            "timestamp_s": -1800.0,
            "substance": "psilocybin",
            "stereochemistry": "achiral",
            "dose": 1.0,
            "dose_unit": "mg/kg",
            "route": "i.p.",
        }
    ]
    assert confidence(found, "substance") is Confidence.INFERRED


def test_two_injections_in_one_session_are_a_sequence() -> None:
    found = read((DESCRIPTION, "saline at 10 min and ketamine (10 mg/kg) at 40 min"))
    assert [(row["substance"], row["timestamp_s"]) for row in rows(found)] == [
        ("saline", 600.0),
        ("ketamine", 2400.0),
    ]
    assert arm_name(found.administrations) == "ketamine"


# What was not given


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("recorded before ketamine", MentionReason.NOT_YET),
        ("pre-ketamine baseline", MentionReason.NOT_YET),
        ("without ketamine", MentionReason.NOT_GIVEN),
        ("no ketamine today", MentionReason.NOT_GIVEN),
        ("ketamine-free", MentionReason.NOT_GIVEN),
        ("KetamineInjection: Neg", MentionReason.NOT_GIVEN),
        ("ketamine: none", MentionReason.NOT_GIVEN),
        ("post-ketamine washout", MentionReason.WASHED_OUT),
    ],
)
def test_negation(text: str, why: MentionReason) -> None:
    found = read((DESCRIPTION, text))
    assert found.administrations == ()
    assert mentions(found) == {("ketamine", why)}
    assert codes(found) == []


@pytest.mark.parametrize("text", ["No drug", "drug-free", "none", "N/A", "no injections", "untreated"])
def test_nothing_given_is_no_finding(text: str) -> None:
    found = read((PHARMACOLOGY, text))
    assert found.administrations == ()
    assert found.issues == ()


def test_anaesthesia_for_surgery_is_not_of_the_session() -> None:
    text = "Mice were anesthetized with ketamine/xylazine (100/10 mg/kg i.p.) and a craniotomy was made."
    found = read((DESCRIPTION, text), ("/general/surgery", "Isoflurane 2 %, carprofen 5 mg/kg s.c."))
    assert found.administrations == ()
    assert codes(found) == []
    assert {name for name, why in mentions(found) if why is MentionReason.SURGERY} == {
        "ketamine",
        "xylazine",
        "isoflurane",
        "carprofen",
    }


def test_anaesthesia_of_the_recording_is() -> None:
    found = read((DESCRIPTION, "Recorded under ketamine (100 mg/kg) and xylazine (10 mg/kg) anaesthesia"))
    assert {row.role for row in found.administrations} == {Role.ANAESTHETIC}
    assert [row.dose for row in found.administrations] == [100.0, 10.0]
    assert arm_name(found.administrations) == ""
    assert codes(found) == []


def test_a_range_is_no_dose() -> None:
    found = read((DESCRIPTION, "imaged under 1-2% isoflurane"))
    row = only(found)
    assert (row.substance, row.route, row.dose) == ("isoflurane", "inhaled", None)
    assert row.notes == "Dose in the file: 1-2 %."


def test_lesions_and_chronic_treatment_are_mentioned() -> None:
    text = "MPTP administration date 2017-10-27 (ICA), 2017-11-28 (IM)"
    found = read((PHARMACOLOGY, text), session_start=datetime(2018, 9, 1, 9, tzinfo=UTC))
    assert found.administrations == ()
    (mention,) = found.mentions
    assert mention.why is MentionReason.LESION
    noon = datetime(2017, 10, 27, 12, tzinfo=UTC)
    assert mention.times_s[0] == (noon - datetime(2018, 9, 1, 9, tzinfo=UTC)).total_seconds()
    chronic = read((PHARMACOLOGY, "fluoxetine 10 mg/kg daily for 14 days"))
    assert chronic.administrations == ()
    assert codes(chronic) == ["drug-unresolved"]
    assert "over days" in chronic.issues[0].message


def test_ingredients_of_solutions_are_no_drugs() -> None:
    text = "Slices rested in ACSF containing (in mM): 124 NaCl, 3 KCl, 13.89 glucose, 0.1 picrotoxin"
    found = read(("/general/slices", text), (DESCRIPTION, "Chamber refilled with saline; water reward"))
    assert found.administrations == ()
    assert codes(found) == []


# Roles, routes, times


def test_an_antagonist_before_the_drug() -> None:
    found = read(
        (DESCRIPTION, "Pretreated with ketanserin (1 mg/kg, s.c.) 20 min before psilocybin (2 mg/kg, i.p.)"),
        ("/acquisition/injection", "psilocybin injection", (1800.0,)),
    )
    assert [(row["substance"], row["timestamp_s"], row.get("route")) for row in rows(found)] == [
        ("ketanserin", 600.0, "s.c."),
        ("psilocybin", 1800.0, "i.p."),
    ]
    assert found.administrations[0].role is Role.ANTAGONIST
    assert arm_name(found.administrations) == "psilocybin+ketanserin"


def test_controls_have_their_kind() -> None:
    assert arm_name(read((SESSION_ID, "ses-saline")).administrations) == "saline"
    vehicle = only(read((PHARMACOLOGY, "Vehicle (10% DMSO in saline), i.p.")))
    assert (vehicle.control_kind, vehicle.role) == (ControlKind.VEHICLE, Role.VEHICLE)
    assert vehicle.vehicle == "10% DMSO in saline"
    assert vehicle.missing["dose"] == "not applicable"
    sham = only(read((DESCRIPTION, "sham injection at 10 min")))
    assert (sham.substance, sham.control_kind) == ("sham", ControlKind.SHAM)
    cno = only(read((DESCRIPTION, "CNO 1 mg/kg")))
    assert cno.role is Role.TEST


def test_what_it_was_dissolved_in_is_no_control() -> None:
    row = only(read((PHARMACOLOGY, "Ketamine hydrochloride 10 mg/kg in 0.9% saline, i.p.")))
    assert (row.substance, row.salt, row.vehicle, row.control_kind) == (
        "ketamine",
        "hydrochloride",
        "0.9% saline",
        ControlKind.NONE,
    )


def test_dates_and_times_of_day_need_the_start_of_the_session() -> None:
    found = read((PHARMACOLOGY, "Psilocybin 1 mg/kg on 2024-04-30"))
    assert (only(found).timestamp_s, only(found).time_uncertainty_s) == (-22 * 3600.0, 43_200.0)
    later = START.astimezone(timezone(timedelta(hours=2)))
    assert only(read((DESCRIPTION, "ketamine 10 mg/kg at 12:30"), session_start=later)).timestamp_s == 1800.0
    unknown = read((DESCRIPTION, "ketamine 10 mg/kg at 12:30"), session_start=None)
    assert "timestamp_s" in only(unknown).missing


def test_our_own_line_is_read_back() -> None:
    text = "Ketamine hydrochloride (racemic) 10 mg/kg i.p. at 1380 s; Saline i.p. at 2400 s"
    found = read((PHARMACOLOGY, text))
    ketamine, saline = found.administrations
    assert (ketamine.salt, ketamine.stereochemistry, ketamine.timestamp_s) == (
        "hydrochloride",
        "racemic",
        1380.0,
    )
    assert (saline.control_kind, saline.timestamp_s) == (ControlKind.SALINE, 2400.0)


def test_rows_are_fit_for_the_drug_log() -> None:
    found = read((DESCRIPTION, "Ketamine (10 mg/kg, i.p., in saline) at 20 min; DCZ 100 µg/kg s.c. at 5 min"))
    for row in found.administrations:
        assert check_administration(row, Place()) == []


def test_every_value_has_its_evidence() -> None:
    found = read((DESCRIPTION, "racemic ketamine HCl (10 mg/kg, i.p., 2 mg/ml in saline) at 20 min"))
    stated = set(only(found).model_dump(exclude_defaults=True, exclude={"missing"})) | {"role"}
    assert stated == {each.field for each in found.evidence}
    assert all(each.quote and each.place == DESCRIPTION for each in found.evidence)


# What settles a finding


@pytest.mark.parametrize(
    "said",
    [
        [(PHARMACOLOGY, "Vehicle"), (DESCRIPTION, "after CNO injection")],
        [(DESCRIPTION, "Mice received ketamine or saline.")],
        [(SESSION_ID, "m5_RSK_(3, 10, 30)")],
        [("/intervals/injection_times", "injection times", (1800.0,))],
        [(PHARMACOLOGY, "ketamine")],
        [(PHARMACOLOGY, "XYZ-771 (10 mg/kg, i.p.)")],
        [(PHARMACOLOGY, "levodopa 6 mg/kg every other day")],
        [(PHARMACOLOGY, "Ketamine 10 mg/kg"), (DESCRIPTION, "ketamine 30 mg/kg at 20 min")],
    ],
)
def test_a_finding_carries_the_lines_that_settle_it(said: list[tuple[Any, ...]], tmp_path: Path) -> None:
    found = read(*said)
    assert found.issues
    for each in found.issues:
        text = each.remedy.partition("\n")[2]
        (entry,) = yaml.safe_load(text)["sources"]
        assert entry["match"] == "m12.nwb"
        assert FILL_IN in text
        filled = {
            "timestamp_s": 1800, "substance": "ketamine", "dose": 10, "dose_unit": "mg/kg", "repeats": 2,
            "every_h": 24,
        }  # fmt: skip
        for row in entry["administrations"]:
            row |= {key: filled[key] for key, value in row.items() if value == FILL_IN}
            row["substance"] = "ketamine"
        file = tmp_path / "overrides.yaml"
        file.write_text(yaml.safe_dump({"sources": [entry]}), encoding="utf-8")
        rows_ = load_overrides(file).for_source("m12.nwb").stated_administrations()
        assert rows_


def test_a_word_that_is_not_known_is_asked_for() -> None:
    found = read((PHARMACOLOGY, "XYZ-771 (10 mg/kg, i.p.)"))
    assert found.administrations == ()
    assert "'XYZ-771' was given, which is no substance known here" in found.issues[0].message
    assert "substance: XYZ-771, dose: 10.0, dose_unit: mg/kg, route: i.p." in found.issues[0].remedy


# Hostile and large


@pytest.mark.parametrize(
    "text",
    [
        "ketamine " * 120_000,
        "(" * 1_000_000,
        "1,1 - 1,1 / " * 80_000,
        "10 mg/kg ketamine, " * 50_000,
        "ketamine;" * 110_000,
        "no " * 330_000,
        "after the " * 100_000,
        "k" * 1_000_000,
        "KetamineInjection" * 60_000,
        "\0\ud800\u202eketamine\x1b[31m" * 50_000,
    ],
    ids=lambda text: text[:6].encode("unicode_escape").decode(),
)
@pytest.mark.parametrize("place", [DESCRIPTION, SESSION_ID, "/intervals/x"])
def test_hostile_texts_take_no_time(text: str, place: str) -> None:
    begun = time.process_time()
    found = read((place, text, (1.0,)))
    assert time.process_time() - begun < 8.0
    assert all(each.isprintable() for one in found.evidence for each in (one.quote, one.value))
    assert all(each.isprintable() for one in found.mentions for each in one.quote)


@pytest.mark.parametrize("place", [DESCRIPTION, SESSION_ID, "/intervals/x"])
def test_what_is_not_read_of_a_long_text_is_said(place: str) -> None:
    found = read((place, "x " * MAX_CHARACTERS))
    assert codes(found) == ["drug-unresolved"]
    assert "were read" in found.issues[0].message


def test_two_thousand_statements() -> None:
    said = [
        (f"/processing/ophys/trace_{each}", f"Trace {each} of the running mouse.") for each in range(1900)
    ]
    said += [(NOTES, f"ketamine (10 mg/kg, i.p.) at 30 min, line {each}") for each in range(100)]
    begun = time.process_time()
    found = read(*said)
    assert time.process_time() - begun < 2.0
    assert only(found).timestamp_s == 1800.0


def test_nothing_is_nothing() -> None:
    assert read() == DrugReading((), (), ())
    assert read((DESCRIPTION, "")) == DrugReading((), (), ())
