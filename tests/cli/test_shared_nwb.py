"""NWB files that labs published: checked, and annotated or refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pynwb
import pytest
from shared_runs import run

LOG = """subject_id,session_id,timestamp_s,substance,stereochemistry,salt,dose_basis,dose,dose_unit,route
m,a,60,ketamine,racemic,hydrochloride,salt,10,mg/kg,i.p.
"""
NWB: dict[str, str] = {
    "nwb_old_pynwb": "",
    "nwb_old_matnwb": "test_output.nwb: pynwb cannot read it",
    "nwb_v1_silverlab": "version 1.0.5i_beta; version 2 is needed",
    "nwb_dandi000009": "",
    "nwb_peyrache_units": "",
    "dlc_openfield": "",
}
NAMES = {"nwb_old_pynwb": "*_str_pub.nwb"}
"""Annotating all ten takes long."""
NOT_ANNOTATED = {
    "S1.nwb": "cannot be read by pynwb",
    "test_output.nwb": "cannot be read by pynwb",
    "link_test.nwb": "link at /general/subject to another file",
    "test_epochs.nwb": "version 1.0.5i_beta; version 2 is needed",
}


@pytest.mark.parametrize("folder", NWB)
def test_files_of_labs_are_checked(shared: Path, folder: str) -> None:
    root = shared / "data" / folder
    status, shown = run("check", root)
    assert status == 1
    assert NWB[folder] in shown
    assert "Traceback" not in shown
    for path in root.rglob("*.nwb"):
        assert any(line.startswith("error: ") and path.name in line for line in shown.splitlines())


@pytest.mark.parametrize("folder", NWB)
def test_files_of_labs_are_annotated_or_refused(shared: Path, tmp_path: Path, folder: str) -> None:
    (tmp_path / "log.csv").write_text(LOG, encoding="utf-8")
    for source in sorted((shared / "data" / folder).rglob(NAMES.get(folder, "*.nwb"))):
        path = tmp_path / source.name
        shutil.copyfile(source, path)
        options = ("--drug-log", tmp_path / "log.csv", "--subject-id", "m", "--session-id", "a")
        status, shown = run("annotate", path, *options)
        assert "Traceback" not in shown
        if source.name in NOT_ANNOTATED:
            assert status == 1
            assert any(path.name in line and NOT_ANNOTATED[path.name] in line for line in shown.splitlines())
            assert path.read_bytes() == source.read_bytes()
            continue
        assert status == 0, shown
        with pynwb.NWBHDF5IO(path, "r", load_namespaces=True) as nwb:
            assert list(nwb.read().events["drug_administrations"]["substance"]) == ["ketamine"]
