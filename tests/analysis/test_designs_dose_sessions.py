"""Doses inside a session: which blocks belong to which dose, what they are called and compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from design_tables import counts, drug, saline, session, table
from small_study import small_session, study_of, write_raw

from nwbswitch.analysis.designs import treatments
from nwbswitch.analysis.designs.design import read_design
from nwbswitch.analysis.designs.dose_sessions import cut_into_doses, dose_sessions
from nwbswitch.analysis.designs.treatments import arm_of_dose, chronic, doses_in, named_by_dose
from nwbswitch.analysis.estimands.counts import SessionCounts, read_sessions
from nwbswitch.analysis.measure import measure
from nwbswitch.analysis.verdicts.switch import switch_sessions
from nwbswitch.converters.convert import convert
from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.epochs import Epoch

LADDER = [drug(dose=3.0), drug(dose=10.0, at_s=2400.0), drug(dose=30.0, at_s=3600.0)]
TIMES = {
    "baseline": [0, 60, 120, 180],
    "drug": [t + 60 * i for t in (1260, 2460, 3660) for i in range(4)],
}


def _named(rows: list[Administration]) -> list[str]:
    doses = doses_in(rows)
    return [arm_of_dose(doses, place, dosed=named_by_dose([rows])) for place in range(len(doses))]


def _by_arm(sessions: list[SessionCounts]) -> dict[str, list[SessionCounts]]:
    found: dict[str, list[SessionCounts]] = {}
    for each in sessions:
        found.setdefault(each.arm, []).append(each)
    return found


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([drug()], ["ketamine"]),
        ([saline(), saline(2400.0)], ["saline", "saline #2"]),
        (LADDER[:2], ["ketamine 3 mg/kg", "ketamine 10 mg/kg, cumulative 13"]),
        ([drug(), drug(at_s=2400.0)], ["ketamine 10 mg/kg", "ketamine 10 mg/kg, cumulative 20"]),
        (
            [drug(), drug(dose=1.0, at_s=2400.0, dose_unit="umol/kg")],
            ["ketamine 10 mg/kg", "ketamine 1 umol/kg #2"],
        ),
        ([drug("fluoxetine"), drug(at_s=2400.0)], ["fluoxetine", "ketamine after fluoxetine"]),
        ([drug(), saline(2400.0)], ["ketamine", "saline after ketamine"]),
        ([saline(), drug(at_s=2400.0)], ["saline", "ketamine"]),
        ([drug(), drug("xylazine", at_s=1210.0)], ["ketamine with xylazine"]),
        (
            [drug("morphine"), drug("naloxone", at_s=2400.0, role="antagonist")],
            ["morphine", "naloxone after morphine"],
        ),
        ([drug("isoflurane", role="anaesthetic"), drug(at_s=2400.0)], ["ketamine"]),
        ([drug(at_s=-86_400.0), drug(at_s=2400.0)], ["ketamine"]),
        ([], []),
    ],
)  # fmt: skip
def test_what_follows_a_dose_is_called_after_it_and_those_before(
    rows: list[Administration], names: list[str]
) -> None:
    assert _named(rows) == names


def test_a_treatment_before_the_session_is_no_dose_of_it() -> None:
    rows = [drug("fluoxetine", at_s=-86_400.0), drug()]
    assert (chronic(rows), len(doses_in(rows))) == (("fluoxetine",), 1)


def test_a_ladder_is_cut_at_every_injection_and_compared_by_number() -> None:
    rows, held = [], []
    for i in range(2):
        rows.append(session(f"m{i}", "k", "ketamine_3", 1, LADDER))
        rows.append(session(f"m{i}", "s", "saline", 2, [saline(), saline(2400.0), saline(3600.0)]))
        held += [
            counts(f"m{i}", "k", "ketamine_3", windows=TIMES),
            counts(f"m{i}", "s", "saline", windows=TIMES),
        ]
    sessions, references = dose_sessions(held, table(rows))
    assert references == {
        "ketamine 3 mg/kg": "saline",
        "ketamine 10 mg/kg, cumulative 13": "saline #2",
        "ketamine 30 mg/kg, cumulative 43": "saline #3",
    }
    parts = _by_arm(sessions)
    assert {arm: len(own) for arm, own in parts.items()} == dict.fromkeys(
        [*references, *references.values()], 2
    )
    whole = held[0].windows["drug"]
    cut = [parts[arm][0].windows["drug"] for arm in references]
    np.testing.assert_array_equal(np.concatenate([each.events for each in cut], axis=1), whole.events)
    for part, first_s in zip(cut, (1260, 2460, 3660), strict=True):
        np.testing.assert_array_equal(part.start_s, first_s + 60 * np.arange(4))
        assert set(part.half) == {1, 2}
    for arm in references:
        assert parts[arm][0].windows["baseline"] is held[0].windows["baseline"]
        np.testing.assert_array_equal(parts[arm][0].identity, held[0].identity)


def test_saline_with_one_injection_is_cut_to_the_same_times_after_it() -> None:
    late = {"baseline": [0, 60, 120, 180], "drug": [160 + t for t in TIMES["drug"]]}
    rows = [
        session("m1", "k", "ketamine_3", 1, LADDER),
        session("m1", "s", "saline", 2, [saline(1360.0)]),
    ]
    held = [counts("m1", "k", "ketamine_3", windows=TIMES), counts("m1", "s", "saline", windows=late)]
    sessions, references = dose_sessions(held, table(rows))
    assert references["ketamine 10 mg/kg, cumulative 13"] == "saline, 21 to 25 min after injection"
    parts = _by_arm(sessions)
    np.testing.assert_array_equal(
        parts["saline, 21 to 25 min after injection"][0].windows["drug"].start_s,
        2460 + 160 + 60 * np.arange(4),
    )
    np.testing.assert_array_equal(parts["saline"][0].windows["drug"].start_s, late["drug"])


def test_saline_that_ends_too_early_is_compared_as_it_is_and_told() -> None:
    short = {"baseline": [0, 60, 120, 180], "drug": TIMES["drug"][:4]}
    rows = [session("m1", "k", "ketamine_3", 1, LADDER[:2]), session("m1", "s", "saline", 2, [saline()])]
    held = [counts("m1", "k", "ketamine_3", windows=TIMES), counts("m1", "s", "saline", windows=short)]
    found = cut_into_doses(held, table(rows))
    assert set(found.references.values()) == {"saline"}
    assert [each.place.item for each in found.issues] == ["ketamine 10 mg/kg, cumulative 13"]
    assert "was not recorded as long" in found.issues[0].message


def test_saline_then_drug_in_one_session_is_compared_within_it() -> None:
    rows = [session(f"m{i}", "a", "ketamine", 1, [saline(), drug(at_s=2400.0)]) for i in range(2)]
    held = [counts(f"m{i}", "a", "ketamine", windows=TIMES) for i in range(2)]
    sessions, references = dose_sessions(held, table(rows))
    assert references == {"ketamine": "saline"}
    assert {arm: len(own) for arm, own in _by_arm(sessions).items()} == {"saline": 2, "ketamine": 2}


def test_an_antagonist_without_blocks_of_its_own_leaves_the_arm_as_it_is() -> None:
    rows = [
        session("m1", "a", "ketamine+naloxone", 1, [drug("naloxone", at_s=600.0, role="antagonist"), drug()])
    ]
    held = [counts("m1", "a", "ketamine+naloxone", windows=TIMES)]
    sessions, references = dose_sessions(held, table(rows))
    assert ([each.arm for each in sessions], references) == (["ketamine+naloxone"], {})
    assert sessions[0].windows["drug"] is held[0].windows["drug"]


def test_other_sessions_of_a_drug_that_is_cut_are_named_alike() -> None:
    rows = [
        session("m1", "k", "ketamine_3", 1, LADDER),
        session("m2", "k", "ketamine_3", 1, [drug(dose=3.0)]),
        session("m3", "z", "zatebradine", 1, [drug("zatebradine")]),
    ]
    held = [
        counts(name, each, arm, windows=TIMES)
        for name, each, arm in (
            ("m1", "k", "ketamine_3"),
            ("m2", "k", "ketamine_3"),
            ("m3", "z", "zatebradine"),
        )
    ]
    found = _by_arm(dose_sessions(held, table(rows))[0])
    assert {each.animal for each in found["ketamine 3 mg/kg"]} == {"m1", "m2"}
    assert "zatebradine" in found


def test_a_block_across_an_injection_belongs_to_no_dose_and_is_told() -> None:
    times = {"baseline": [0, 60], "drug": [1260, 1320, 2370, 2430, 2490]}
    rows = [session("m1", "k", "ketamine_3", 1, LADDER[:2])]
    found = cut_into_doses([counts("m1", "k", "ketamine_3", windows=times)], table(rows))
    assert [len(each.windows["drug"].half) for each in found.sessions] == [2, 2]
    assert "1 drug blocks lie across an injection" in found.issues[0].message


def test_one_block_after_a_dose_is_too_few_and_told() -> None:
    times = {"baseline": [0, 60], "drug": [1260, 1320, 2430]}
    rows = [session("m1", "k", "ketamine_3", 1, LADDER[:2])]
    found = cut_into_doses([counts("m1", "k", "ketamine_3", windows=times)], table(rows))
    assert any("After injection 2 there are too few blocks" in each.message for each in found.issues)


def test_a_session_that_the_table_does_not_have_stays_as_it_is() -> None:
    held = [counts("m9", "k", "ketamine", windows=TIMES), counts("m9", "s", "saline", windows=TIMES)]
    rows = [session("m1", "k", "ketamine", 1, [drug()])]
    sessions, references = dose_sessions(held, table(rows))
    assert ([each.arm for each in sessions], references) == (["ketamine", "saline"], {"ketamine": "saline"})


def test_sessions_that_are_cut_already_are_refused() -> None:
    rows = [session("m1", "k", "ketamine_3", 1, LADDER), session("m1", "s", "saline", 2, [saline()])]
    held = [counts("m1", "k", "ketamine_3", windows=TIMES), counts("m1", "s", "saline", windows=TIMES)]
    once, _ = dose_sessions(held, table(rows))
    with pytest.raises(ValueError, match="cut into doses already"):
        dose_sessions(once, table(rows))


def test_the_switch_takes_doses_as_arms_and_finds_the_dose_that_acts() -> None:
    rows, held = [], []
    for i in range(6):
        rows.append(session(f"m{i}", "k", "ketamine_3", 1 + i % 2, LADDER))
        rows.append(session(f"m{i}", "s", "saline", 2 - i % 2, [saline()]))
        held.append(counts(f"m{i}", "s", "saline", 2 - i % 2, windows=TIMES, n_neurons=40))
        own = counts(f"m{i}", "k", "ketamine_3", 1 + i % 2, windows=TIMES, n_neurons=40)
        last = own.windows["drug"]
        events = last.events.copy()
        events[:, 8:] = np.round(events[:, 8:] * 0.25)
        held.append(replace(own, windows={**own.windows, "drug": replace(last, events=events)}))
    sessions, references = dose_sessions(held, table(rows))
    result = switch_sessions(sessions, reference=references, draws=2)
    estimates = result.table()
    drive = estimates[(estimates["level"] == "arm") & (estimates["estimand"] == "G")]
    found = {
        arm: float(
            drive[(drive["arm"] == arm) & (drive["contrast"] == f"vs_{reference}")]["estimate"].iloc[0]
        )
        for arm, reference in references.items()
    }
    # A quarter of the events is -2 on the log2 scale; some 1,000 events per arm leave an SE of about .1.
    assert abs(found["ketamine 3 mg/kg"]) < 0.4
    assert abs(found["ketamine 10 mg/kg, cumulative 13"]) < 0.4
    assert -2.6 < found["ketamine 30 mg/kg, cumulative 43"] < -1.4


def test_from_raw_files_to_doses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The raw study lasts a minute; injections that close are one otherwise.
    monkeypatch.setattr(treatments, "TOGETHER_S", 10.0)
    write_raw(tmp_path / "raw")
    ladder = (drug(dose=3.0, at_s=19.0), drug(dose=10.0, at_s=40.0))
    epochs = (
        Epoch(window="baseline", start_s=0, stop_s=18),
        Epoch(window="drug", start_s=20, stop_s=38),
        Epoch(window="drug", start_s=41, stop_s=59),
    )
    study = study_of(small_session(tmp_path / "raw", drug_log=ladder, epochs=epochs))
    assert convert(study, tmp_path / "nwb").ok
    made = measure(tmp_path / "nwb", block_s=3.0)
    assert made.sessions is not None
    sessions, references = dose_sessions(read_sessions(made.cells), made.sessions)
    assert references == {}
    assert {each.arm: each.windows["drug"].events.shape for each in sessions} == {
        "ketamine 3 mg/kg": (2, 6),
        "ketamine 10 mg/kg, cumulative 13": (2, 6),
    }
    design = read_design(made.sessions, read_sessions(made.cells))
    assert design.sentence() == (
        "1 mouse, received ketamine 3 mg/kg i.p. and ketamine 10 mg/kg, cumulative 13, "
        "up to 2 cumulative doses in one session; ketamine 3 mg/kg and ketamine 10 mg/kg, cumulative 13 "
        "are each compared with its own pseudo-injection."
    )
