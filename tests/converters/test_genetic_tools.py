"""Viruses, actuators, surgery and infusions: from the study file into the NWB file."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pynwb
import pytest
from pydantic import ValidationError
from pynwb import NWBFile

from nwbswitch.converters.biology.genetic_tools import virus_line
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.drug_checks import check_administration
from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.genetic_tools import Actuator, Virus
from nwbswitch.schemas.issues import Place
from nwbswitch.schemas.study import Session, Study
from nwbswitch.schemas.study_file import load_study

GCAMP = Virus(
    vector="AAV1-Syn-GCaMP6s", addgene_id="100843", titer_vg_per_ml=1e13, volume_nl=300,
    target_structure="RSPd", ap_mm=-2.5, ml_mm=0.5, dv_mm=0.3, days_before=21,
)  # fmt: skip
DREADD = Actuator(molecule="hM4Di", kind="chemogenetic inhibitor", cell_type="PV", line="Pvalb-Cre")


def test_tables_and_text_reach_the_file(
    raw: Path,
    session_of: Callable[..., Session],
    make_study: Callable[..., Study],
    build: Callable[..., NWBFile],
    tmp_path: Path,
) -> None:
    session = session_of(
        raw, viruses={"indicator": GCAMP}, actuators={"silencer": DREADD}, surgery="Craniotomy."
    )
    write_nwb(build(make_study(session)), tmp_path / "t.nwb")
    assert pynwb.validate(path=tmp_path / "t.nwb") == []
    nwbfile = pynwb.read_nwb(tmp_path / "t.nwb")
    assert nwbfile.surgery == "Craniotomy."
    assert nwbfile.virus == (
        "AAV1-Syn-GCaMP6s (Addgene 100843) 1e+13 vg/mL 300 nL into RSPd at AP -2.5 mm, ML 0.5 mm, DV 0.3 mm "
        "21 days before the session"
    )
    tables = nwbfile.processing["genetic_tools"]
    injections = tables["viral_injections"].to_dataframe()
    assert injections.loc[0, ["label", "vector", "volume_nl"]].tolist() == ["indicator", GCAMP.vector, 300.0]
    assert math.isnan(injections.loc[0, "rate_nl_per_min"])
    actuators = tables["actuators"].to_dataframe()
    assert actuators.loc[0, ["molecule", "kind", "cell_type"]].tolist() == [
        "hM4Di",
        "chemogenetic inhibitor",
        "PV",
    ]
    nwbfile.get_read_io().close()


def test_a_virus_of_which_little_is_known() -> None:
    assert virus_line({"a": Virus(vector="AAV9-X"), "b": Virus(vector="AAV1-Y")}) == "AAV9-X; AAV1-Y"


@pytest.mark.parametrize(
    "fields", [{"vector": ""}, {"vector": "a", "volume_nl": -1}, {"vector": "a", "color": 1}]
)
def test_what_is_no_virus_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Virus(**fields)


STUDY = """\
study: {name: s, title: t}
defaults:
  description: d
  viruses:
    indicator: {vector: AAV1-Syn-GCaMP6s, target_structure: RSPd}
    silencer: {vector: AAV8-hM4Di, target_structure: RSPD}
  actuators:
    silencer: {molecule: hM4Di, kind: chemogenetic inhibitor, cell_type: parvalbumin, virus: VIRUS}
  surgery: Craniotomy under isoflurane.
subjects:
  - {subject_id: m1, species: Mus musculus, sex: F, age: P90D, viruses: {silencer: null}}
  - {subject_id: m2, species: Mus musculus, sex: F, age: P90D}
sessions:
  - {subject_id: m1, session_id: a, actuators: {silencer: null}}
  - {subject_id: m2, session_id: a, viruses: {indicator: {days_before: 20}}}
placeholders: [start_time]
"""


def test_viruses_merge_by_name(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("VIRUS", "silencer"), encoding="utf-8")
    first, second = load_study(tmp_path / "study.yaml").study.sessions
    assert (set(first.viruses), set(first.actuators)) == ({"indicator"}, set())
    assert second.viruses["indicator"].days_before == 20
    assert second.viruses["silencer"].target_structure == "RSPd"
    assert second.actuators["silencer"].cell_type == "PV"
    assert second.surgery == "Craniotomy under isoflurane."


def test_an_actuator_needs_its_virus(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("VIRUS", "silencr"), encoding="utf-8")
    with pytest.raises(StudyError, match=r"silencr.*Did you mean 'silencer'"):
        load_study(tmp_path / "study.yaml")


def infusion(**fields: object) -> list[str]:
    row = Administration(
        timestamp_s=60, substance="ketamine", route="local infusion", dose=1, dose_unit="ug", **fields
    )
    return [each.code for each in check_administration(row, Place())]


def test_a_local_infusion_says_where_and_how_much() -> None:
    assert infusion() == ["infusion-target-missing"]
    assert infusion(target_structure="RSPd") == []
    assert infusion(target_ap_mm=-2.5, target_ml_mm=0.5, target_dv_mm=0.8) == []
    assert infusion(missing={"target_structure": "withheld"}) == []
    rate = {"infusion_rate": 0.1, "infusion_rate_unit": "uL/min", "target_structure": "RSPd"}
    assert infusion(**rate, duration_s=300, volume_ml=0.0005) == []
    assert infusion(**rate, duration_s=300, volume_ml=0.005) == ["infusion-differs"]
