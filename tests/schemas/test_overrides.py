"""What is stated of other people's files: read with lines, merged in order, never half believed."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import jsonschema
import pytest
import yaml

from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.json_schema import OVERRIDES_FILE, overrides_schema
from nwbswitch.schemas.overrides import FILL_IN, Override, Overrides, load_overrides, proposal

WHOLE = """
defaults:
  dataset: lab-x
  indicator: GCaMP6f
sources:
  - match: "sub-1/*.nwb"
    subject_id: m1
    start_time: 2023-05-04T10:30:00+02:00
    activity:
      - series: processing/ophys/Fluorescence/a
        neuropil: none
        orientation: rois_first
        rate_hz: 30
    windows:
      - {window: baseline, start_s: -600, stop_s: -60, relative_to: administration}
    administrations:
      - {timestamp_s: 600, substance: Ketamine, dose: 10, dose_unit: mg/kg, route: intraperitoneal}
    accepted: {column: is_soma, above: 0.5}
  - match: "*_ses-3.nwb"
    control: {kind: none}
    dataset: lab-y
  - match: "*_ses-4.nwb"
    administrations: [{timestamp_s: -3600, substance: ketamine, repeats: 3, every_h: 24}]
"""


@pytest.fixture
def load(tmp_path):
    def write(text: str) -> Overrides:
        file = tmp_path / "overrides.yaml"
        file.write_text(text, encoding="utf-8")
        return load_overrides(file)

    return write


def found(load, text: str) -> list[tuple[str, int | None, str]]:
    with pytest.raises(StudyError) as caught:
        load(text)
    return [(each.code, each.place.line, each.message) for each in caught.value.issues]


def test_a_source_gets_the_defaults_and_what_its_name_matches(load):
    stated = load(WHOLE).for_source("dandi:000001@draft/sub-1/sub-1_ses-2.nwb")
    assert (stated.dataset, stated.indicator, stated.subject_id) == ("lab-x", "GCaMP6f", "m1")
    (activity,) = stated.activity
    assert activity.series == "/processing/ophys/Fluorescence/a"
    assert (activity.neuropil, activity.orientation, activity.rate_hz) == ("none", "rois_first", 30.0)
    (row,) = stated.stated_administrations()
    assert (row.substance, row.route, row.dose) == ("ketamine", "i.p.", 10.0)
    assert stated.accepted.above == 0.5


def test_other_sources_get_the_defaults_only(load):
    stated = load(WHOLE).for_source("sub-2/a.nwb")
    assert stated == Override(dataset="lab-x", indicator="GCaMP6f")
    assert stated.stated_administrations() is None


def test_later_entries_win_key_by_key(load):
    stated = load(WHOLE).for_source("sub-1/sub-1_ses-3.nwb")
    assert (stated.dataset, stated.subject_id) == ("lab-y", "m1")
    assert stated.control is not None
    assert stated.administrations is None
    assert stated.stated_administrations() == ()


def test_null_takes_a_default_away(load):
    stated = load("defaults: {dataset: x}\nsources: [{match: a.nwb, dataset: null}]").for_source("a.nwb")
    assert stated.dataset is None


def test_a_regimen_is_its_administrations(load):
    rows = load(WHOLE).for_source("x_ses-4.nwb").stated_administrations()
    assert [row.timestamp_s for row in rows] == [-3600, 82800, 169200]


def test_a_control_is_an_administration_of_its_kind(load):
    text = "sources: [{match: '*', control: {kind: sham, timestamp_s: 600}}]"
    (row,) = load(text).for_source("a.nwb").stated_administrations()
    assert (row.control_kind, row.role, row.timestamp_s, row.is_control) == ("sham", "vehicle", 600.0, True)


@pytest.mark.parametrize(
    ("text", "code", "line", "words"),
    [
        ("default: {}", "unknown-key", 1, "'default'"),
        ("sources:\n  - match: a\n    datset: x", "unknown-key", 3, "'datset'"),
        ("sources:\n  - dataset: x", "missing-value", 2, "match"),
        ("sources:\n  - match: a\n    depth_um: FILL IN", "wrong-value", 3, "FILL IN"),
        ("sources:\n  - match: a\n    start_time: 2023-05-04", "wrong-value", 3, "offset"),
        ("sources:\n  - match: a\n    cell_type: SSTT", "wrong-value", 3, "SST"),
        ("sources:\n  - match: a\n    control: {kind: saline}", "wrong-value", 3, "timestamp_s"),
        (
            "sources:\n  - match: a\n    accepted: {column: x, values: [a], above: 1}",
            "wrong-value",
            3,
            "both",
        ),
        ("sources:\n  - match: a\n    activity: [{leave_out: true}]", "wrong-value", 3, "plane"),
        (
            "sources:\n  - match: a\n    activity:\n      - timestamps_unit: frames",
            "wrong-value",
            4,
            "rate_hz",
        ),
        (
            "sources:\n  - match: a\n    activity:\n      - {timestamps_unit: ms, rate_hz: 3}",
            "wrong-value",
            4,
            "in place of",
        ),
        (
            "sources:\n  - match: a\n    windows: [{window: drugs, start_s: 1, stop_s: 2}]",
            "unknown-word",
            3,
            "drugs",
        ),
        (
            "sources:\n  - match: a\n    windows: [{window: drug, start_s: 2, stop_s: 1}]",
            "wrong-value",
            3,
            "after",
        ),
        (
            "sources:\n  - match: a\n    administrations:\n      - {timestamp_s: 1, substance: ketamin3}",
            "unknown-drug",
            4,
            "ketamin3",
        ),
        (
            "sources:\n  - match: a\n    administrations:\n"
            "      - {timestamp_s: 1, substance: saline, repeats: 2}",
            "wrong-value",
            4,
            "every_h",
        ),
        (
            "sources:\n  - match: a\n    control: {kind: none}\n    administrations: []",
            "wrong-value",
            2,
            "not both",
        ),
        ("sources: 3", "wrong-value", 1, "list"),
        ("- a", "wrong-value", 1, "mapping"),
        ("a: [", "yaml-syntax", 1, ""),
    ],
)
def test_mistakes_have_lines(load, text, code, line, words):
    (issue, *_) = found(load, text)
    assert issue[:2] == (code, line)
    assert words in issue[2]


def test_all_mistakes_are_reported_at_once(load):
    assert len(found(load, "x: 1\nsources:\n  - match: a\n    y: 1\n  - z: 1")) == 4


def test_an_entry_that_matches_nothing_is_reported_with_its_line(load):
    stated = load(WHOLE)
    (issue,) = stated.unmatched(["sub-1/sub-1_ses-3.nwb"])
    assert (issue.code, issue.place.line) == ("override-unmatched", 22)
    assert "_ses-4" in issue.message
    assert stated.unmatched(["sub-1/sub-1_ses-3.nwb", "b_ses-4.nwb"]) == []


def test_an_empty_file_states_nothing(load):
    assert load("").for_source("a.nwb") == Override()


def test_what_is_stated_travels_to_other_processes_and_has_a_digest(load):
    stated = pickle.loads(pickle.dumps(load(WHOLE)))
    names = ["sub-1/sub-1_ses-2.nwb", "sub-1/sub-1_ses-3.nwb", "other.nwb"]
    digests = [stated.for_source(name).digest for name in names]
    assert len(set(digests)) == 3
    assert digests[0] == load(WHOLE).for_source(names[0]).digest


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*ket*.nwb", "ket-study/sub-1_ses-ket.nwb", True),
        ("*ket*.nwb", "ket-study/sub-1_ses-sal.nwb", False),
        ("*ket*.nwb", "sub-1_ses-ket/sal.nwb", False),
        ("sub-1/*", "a/sub-1/b.nwb", True),
        ("sub-1/*", "a/sub-1/b/c.nwb", False),
        ("sub-1/b.nwb", "xsub-1/b.nwb", False),
        ("dandi:000123*/sub-?/*", "dandi:000123@draft/sub-1/b.nwb", True),
        ("*000123@draft/sub-1/b.nwb", "dandi:000123@draft/sub-1/b.nwb", True),
        ("/data/b.nwb", "/data/b.nwb", True),
        ("a/b.nwb", "b.nwb", False),
        ("*", "https://example.org/x/b.nwb", True),
    ],
)
def test_patterns_fit_the_ends_of_names_folder_by_folder(load, pattern, name, fits):
    stated = load(f"sources: [{{match: '{pattern}', dataset: x}}]").for_source(name)
    assert (stated.dataset == "x") is fits


def test_a_proposal_is_yaml_for_one_source_that_must_be_completed(load, tmp_path):
    windows = [{"window": "baseline", "start_s": FILL_IN, "stop_s": 10.0}]
    text = proposal("lab/a [1]: x.nwb", {"windows": windows}).partition("\n")[2]
    assert found(load, text)[0][0] == "wrong-value"
    stated = load(text.replace(FILL_IN, "0"))
    assert stated.for_source("lab/a [1]: x.nwb").windows[0].stop_s == 10
    assert stated.for_source("lab/a 1: x.nwb").windows is None


def test_the_stored_schema_is_up_to_date_and_takes_what_the_reader_takes():
    stored = json.loads(OVERRIDES_FILE.read_text(encoding="utf-8"))
    assert stored == overrides_schema(), "run: python -m nwbswitch.schemas.json_schema"
    validator = jsonschema.Draft202012Validator(stored)
    document = yaml.safe_load(WHOLE.replace("2023-05-04T10:30:00+02:00", "'2023-05-04T10:30:00+02:00'"))
    assert list(validator.iter_errors(document)) == []
    assert list(validator.iter_errors({"sources": [{"match": "a", "datset": "x"}]}))


def test_the_example_of_the_documentation_is_read(load):
    page = (Path(__file__).resolve().parents[2] / "docs" / "overrides.md").read_text(encoding="utf-8")
    blocks = [each.partition("```")[0] for each in page.split("```yaml\n")[1:]]
    assert blocks
    for block in blocks:
        assert load(block).entries
