"""Whether the switch can be estimated, and the reasons when not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nwbswitch.analysis.catalogue.answers import Arm, Hit
from nwbswitch.analysis.catalogue.facts import FACTS, Activity, Given, RecordingFacts, Span
from nwbswitch.analysis.catalogue.next_steps import MAX_ENTRIES, next_step
from nwbswitch.analysis.catalogue.readiness import (
    REASONS,
    PlannedWindows,
    Readiness,
    arm_readiness,
    planned_windows,
    reason,
    recording_readiness,
)
from nwbswitch.analysis.catalogue.recordings import Recording
from nwbswitch.schemas.drug_log import Role
from nwbswitch.schemas.drug_reading.evidence import Confidence
from nwbswitch.schemas.epochs import Window
from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.overrides import load_overrides


def given(**values: Any) -> Given:
    fields: dict[str, Any] = {
        "substance": "ketamine",
        "role": Role.TEST,
        "is_control": False,
        "dose": 10.0,
        "dose_unit": "mg/kg",
        "dose_mg_per_kg": 10.0,
        "route": "i.p.",
        "time_s": 1500.0,
        "duration_s": 0.0,
        "place": "",
        "quote": "ketamine",
        "confidence": Confidence.STATED,
    }
    return Given(**(fields | values))


def activity(start_s: float = 0.0, stop_s: float = 3000.0, **values: Any) -> Activity:
    fields: dict[str, Any] = {
        "name": "plane",
        "modality": "ophys",
        "n_neurons": 100,
        "n_tracked": 0,
        "spans_s": ((start_s, stop_s),),
    }
    return Activity(**(fields | values))


def recording(**values: Any) -> RecordingFacts:
    fields: dict[str, Any] = {
        "subject_id": "m1",
        "species": "Mus musculus",
        "session_id": "s1",
        "start_time": "2024-01-02T00:00:00+00:00",
        "activities": (activity(),),
        "regions": ("VISp",),
        "given": (given(),),
        "windows": (),
        "unresolved": (),
        "named": (),
        "unsettled": (),
    }
    return RecordingFacts(**(fields | values))


def codes(found: Readiness) -> list[str]:
    return [each.code for each in found.reasons]


WINDOWS = (Span(Window.BASELINE, 800.0, 1400.0), Span(Window.DRUG, 1600.0, 2200.0))
EARLIER = recording(start_time="2024-01-01T00:00:00+00:00", session_id="s0")
TRACKED = (activity(n_tracked=80),)
EARLIER_TRACKED = recording(start_time=EARLIER.start_time, activities=TRACKED)
PSEUDO = (Span(Window.PSEUDO_BASELINE, 0.0, 1.0), Span(Window.PSEUDO_DRUG, 1.0, 2.0))

CASES: dict[str, tuple[RecordingFacts, Given, list[str]]] = {
    "fine": (recording(), given(), []),
    "fine, with windows": (recording(windows=WINDOWS), given(), []),
    "saline": (recording(), given(substance="saline", role=Role.VEHICLE, is_control=True), []),
    "no neurons": (recording(activities=()), given(), ["no-activity"]),
    "nothing known": (recording(activities=()), given(time_s=None), ["time-unknown", "no-activity"]),
    "no time": (recording(), given(time_s=None), ["time-unknown"]),
    "anaesthesia": (recording(), given(role=Role.ANAESTHETIC), ["not-tested"]),
    "open question": (recording(unsettled=("Which series?",)), given(), ["unsettled"]),
    "open, so no neurons": (recording(unsettled=("Which series?",), activities=()), given(), ["unsettled"]),
    "few neurons": (recording(activities=(activity(n_neurons=24),)), given(), ["few-neurons"]),
    "no dates": (recording(activities=(activity(spans_s=()),)), given(), ["activity-undated"]),
    "before": (recording(), given(time_s=-60.0), ["drug-before-recording"]),
    "chronic": (recording(), given(time_s=-90_000.0), ["chronic"]),
    "after": (recording(), given(time_s=3000.0), ["drug-after-recording"]),
    "short baseline": (recording(), given(time_s=119.0), ["short-baseline"]),
    "just long enough": (recording(), given(time_s=120.0), []),
    "short drug": (recording(), given(time_s=2881.0), ["short-drug"]),
    "short window": (
        recording(windows=(Span(Window.BASELINE, 0.0, 100.0), WINDOWS[1])),
        given(),
        ["short-baseline"],
    ),
    "window outside of the recording": (
        recording(windows=(WINDOWS[0], Span(Window.DRUG, 2950.0, 3500.0))),
        given(),
        ["short-drug"],
    ),
    "no animal": (recording(subject_id=""), given(), ["animal-unknown"]),
    "gap at the drug": (
        recording(activities=(activity(spans_s=((0.0, 1400.0), (1600.0, 3000.0))),)),
        given(),
        [],
    ),
    "two planes, one ends early": (
        recording(activities=(activity(0.0, 1000.0, n_neurons=500), activity())),
        given(),
        [],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_reasons_of_a_recording(name: str) -> None:
    facts, one, expected = CASES[name]
    found = recording_readiness(facts, one)
    assert codes(found) == expected
    assert found.estimable is (not expected)
    assert set(expected) <= set(REASONS)


@pytest.mark.parametrize(
    ("facts", "others", "expected"),
    [
        (recording(), [EARLIER], "separate-files-untracked"),
        (recording(activities=TRACKED), [EARLIER], "separate-files-untracked"),
        (recording(activities=TRACKED), [EARLIER_TRACKED], "separate-files-tracked"),
    ],
)
def test_a_baseline_in_another_file_is_told(
    facts: RecordingFacts, others: list[RecordingFacts], expected: str
) -> None:
    found = recording_readiness(facts, given(time_s=-300.0), others=others)
    assert codes(found) == ["drug-before-recording", expected]


def test_a_later_file_is_no_baseline() -> None:
    later = recording(start_time="2024-02-01T00:00:00+00:00")
    assert codes(recording_readiness(recording(), given(time_s=-1.0), others=[later])) == [
        "drug-before-recording"
    ]


def test_the_archive_may_state_the_animal() -> None:
    assert recording_readiness(recording(subject_id=""), given(), animal="m7").estimable


def test_reasons_tell_their_numbers() -> None:
    found = recording_readiness(recording(), given(time_s=100.0))
    assert "100 s" in found.reasons[0].words or "1.7 min" in found.reasons[0].words
    before = recording_readiness(recording(), given(time_s=-300.0))
    assert "5.0 min before" in before.reasons[0].words


@pytest.mark.parametrize(
    ("before_s", "after_s", "expected"),
    [
        (3000.0, 3000.0, PlannedWindows(60.0, 600.0, True)),
        (1500.0, 1500.0, PlannedWindows(60.0, 600.0, True)),
        (1000.0, 1500.0, PlannedWindows(60.0, 380.0, True)),
        (400.0, 400.0, PlannedWindows(60.0, 340.0, False)),
        (120.0, 3000.0, PlannedWindows(0.0, 120.0, False)),
        (119.0, 3000.0, None),
    ],
)
def test_windows_that_fit(before_s: float, after_s: float, expected: PlannedWindows | None) -> None:
    found = planned_windows(before_s, after_s)
    assert found == expected
    if found is not None and found.has_pseudo:
        assert before_s >= 2 * found.lag_s


@pytest.mark.parametrize(
    ("facts", "time_s", "possible"),
    [
        (recording(), 1500.0, True),
        (recording(), 400.0, False),
        (recording(windows=WINDOWS), 1500.0, False),
        (recording(windows=WINDOWS), 1600.0, True),
        (recording(windows=(*WINDOWS, *PSEUDO)), 1500.0, True),
    ],
)
def test_pseudo_injections_need_a_baseline_of_twice_the_lag(
    facts: RecordingFacts, time_s: float, possible: bool
) -> None:
    assert recording_readiness(facts, given(time_s=time_s)).pseudo is possible


def animals(number: int, *, pseudo: bool = False) -> list[tuple[str, Readiness]]:
    return [(f"m{each}", Readiness((), pseudo)) for each in range(number)]


NOT_USABLE = ("m9", Readiness((reason("time-unknown"),)))


@pytest.mark.parametrize(
    ("recordings", "controls", "expected"),
    [
        (animals(6), ["saline"], []),
        (animals(6), [], ["no-control"]),
        (animals(6, pseudo=True), [], []),
        (animals(3, pseudo=True), [], ["few-animals"]),
        ([*animals(3, pseudo=True), ("m8", Readiness(()))], [], ["few-animals", "no-control"]),
        ([*animals(5), NOT_USABLE], ["saline"], ["few-animals"]),
        ([*animals(5), *animals(5)], ["saline"], ["few-animals"]),
        ([NOT_USABLE], [], ["few-animals", "no-control"]),
    ],
)
def test_reasons_of_an_arm(
    recordings: list[tuple[str, Readiness]], controls: list[str], expected: list[str]
) -> None:
    assert codes(arm_readiness(recordings, controls=controls)) == expected


def test_all_reasons_are_documented() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "finding.md").read_text(encoding="utf-8")
    assert [code for code in REASONS if f"`{code}`" not in page] == []


def test_facts_survive_the_catalogue() -> None:
    facts = recording(windows=WINDOWS, given=(given(time_s=None, dose=None, dose_mg_per_kg=None),))
    assert FACTS.validate_json(FACTS.dump_json(facts)) == facts


def hit(path: str, readiness: Readiness, one: Given | None) -> Hit:
    held = Recording(
        1, "000123", "0.240101.1234", "id", path, False, "m1", "", "", frozenset(), (), recording(), ""
    )
    return Hit(held, "ketamine", one, "path: ketamine", readiness)


def arm(*hits: Hit) -> Arm:
    return Arm("000123", ("0.240101.1234",), "A name", "ketamine", hits, (), (), 3, 3, Readiness(()))


def test_files_with_windows_need_no_overrides() -> None:
    step = next_step(arm(hit("a.nwb", Readiness(()), given())), instance="dandi")
    assert step.command == "nwbswitch measure dandi:000123@0.240101.1234 -o 000123/cells.parquet"
    assert step.overrides == ""


def test_windows_are_proposed_that_fit_all(tmp_path: Path) -> None:
    planned = [PlannedWindows(60.0, 600.0, True), PlannedWindows(0.0, 150.0, True)]
    hits = [hit(f"{place}.nwb", Readiness((), True, each), given()) for place, each in enumerate(planned)]
    step = next_step(arm(*hits), instance="dandi-sandbox")
    assert step.command.endswith("--instance dandi-sandbox --overrides 000123_overrides.yaml")
    (tmp_path / "overrides.yaml").write_text(step.overrides)
    windows = load_overrides(tmp_path / "overrides.yaml").for_source("a.nwb").windows
    assert windows is not None
    spans = {each.window: (each.start_s, each.stop_s) for each in windows}
    assert spans[Window.BASELINE] == (-150.0, 0.0)
    assert spans[Window.DRUG] == (0.0, 150.0)
    lag_s = spans[Window.DRUG][0] - spans[Window.BASELINE][0]
    assert spans[Window.PSEUDO_DRUG][0] - spans[Window.PSEUDO_BASELINE][0] == lag_s
    assert spans[Window.PSEUDO_DRUG][1] <= 0


def test_what_is_open_is_asked_for_by_file(tmp_path: Path) -> None:
    open_time = Readiness((reason("time-unknown"),))
    hits = [hit(f"sub-[{place}].nwb", open_time, given(time_s=None)) for place in range(MAX_ENTRIES + 5)]
    step = next_step(arm(*hits), instance="dandi")
    path = tmp_path / "overrides.yaml"
    path.write_text(step.overrides)
    with pytest.raises(StudyError, match="timestamp_s"):
        load_overrides(path)
    path.write_text(step.overrides.replace("FILL IN", "600"))
    overrides = load_overrides(path)
    assert len(overrides.entries) == MAX_ENTRIES
    stated = overrides.for_source("dandi:000123@0.240101.1234/sub-[3].nwb").stated_administrations()
    assert stated is not None
    assert (stated[0].timestamp_s, stated[0].dose, stated[0].route) == (600.0, 10.0, "i.p.")


def test_measure_tells_how_to_settle_other_questions() -> None:
    step = next_step(arm(hit("a.nwb", Readiness((reason("unsettled"),)), given())), instance="dandi")
    assert step.command == "nwbswitch measure dandi:000123@0.240101.1234 -o 000123/cells.parquet"
    assert step.overrides == ""


def test_nothing_to_measure_is_no_step() -> None:
    step = next_step(arm(hit("a.nwb", Readiness((reason("no-activity"),)), given())), instance="dandi")
    assert (step.command, step.overrides) == ("", "")
