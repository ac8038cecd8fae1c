"""Lines that findings propose, as one file of overrides."""

from __future__ import annotations

from pathlib import Path

import yaml

from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.overrides import FILL_IN, load_overrides, proposal
from nwbswitch.schemas.proposals import MAX_SOURCES, merged_proposals, without_proposal

WINDOWS = [{"window": "baseline", "start_s": 0.0, "stop_s": 600.0}]


def finding(code: str, name: str, stated: dict[str, object], *, said: str = "", more: str = "") -> Issue:
    return issue(code, "A.", place=Place(name), remedy=said + proposal(name, stated) + more)


def test_findings_of_several_sources_are_one_file(tmp_path: Path) -> None:
    found = [
        finding("drug-incomplete", "lab/a.nwb", {"control": {"kind": "saline", "timestamp_s": 3.0}}),
        finding("no-epochs", "lab/b [1].nwb", {"windows": WINDOWS}, said="Correct the times. "),
        finding("ambiguous-activity", "lab/b [1].nwb", {"activity": [{"series": "/x", "kind": "raw"}]},
                more="\n# or instead: /y"),
        finding("ambiguous-activity", "lab/b [1].nwb", {"activity": [{"series": "/z", "kind": "raw"}]}),
        finding("no-epochs", "lab/b [1].nwb", {"windows": WINDOWS}),
    ]  # fmt: skip
    text = merged_proposals(found)
    file = tmp_path / "overrides.yaml"
    file.write_text(text, encoding="utf-8")
    settled = load_overrides(file)
    stated = settled.for_source("lab/b [1].nwb")
    assert [each.series for each in stated.activity] == ["/x", "/z"]
    assert stated.windows is not None
    assert len(stated.windows) == 1
    assert settled.for_source("lab/a.nwb").control is not None
    assert "# or instead: /y" in text
    # What keeps a source from use comes first.
    assert [each["match"][0] for each in yaml.safe_load(text)["sources"]] == ["b", "a"]


def test_findings_without_their_lines_say_where_those_are() -> None:
    found = finding("no-epochs", "a.nwb", {"windows": WINDOWS}, said="Correct the times. ")
    assert (
        str(without_proposal(found)) == "error: a.nwb: A. Correct the times. See the lines below. [no-epochs]"
    )
    plain = issue("no-epochs", "A.", remedy="Name one.")
    assert without_proposal(plain) is plain
    assert merged_proposals([plain]) == ""


def test_what_only_a_note_proposes_is_left_to_the_user() -> None:
    note = finding("proposed-value", "a.nwb", {"cell_type": "PV"})
    assert without_proposal(note) is note
    assert merged_proposals([note]) == ""


def test_lines_of_very_many_sources_are_counted() -> None:
    names = [f"{number}.nwb" for number in range(MAX_SOURCES + 5)]
    text = merged_proposals([finding("missing-value", name, {"subject_id": FILL_IN}) for name in names])
    assert len(yaml.safe_load(text)["sources"]) == MAX_SOURCES
    assert "and 5 more sources" in text


def test_lines_of_one_finding_can_be_copied() -> None:
    said, _, lines = str(finding("no-epochs", "a.nwb", {"windows": WINDOWS})).partition("\n")
    assert said.endswith("[no-epochs]")
    assert yaml.safe_load(lines) == {"sources": [{"match": "a.nwb", "windows": WINDOWS}]}
