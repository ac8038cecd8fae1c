"""A first study file of folders with real recordings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shared_runs import BPOD, run

FOUND: dict[str, set[str]] = {
    "two_photon_mouse_treadmill": {"tiff_movie", "suite2p", "wheel_csv"},
    "suite2p_without_ops": {"suite2p"},
    "sleap_mice": {"sleap", "video"},
    "dlc_openfield": {"deeplabcut"},
    "lightning_pose_running_mouse": {"video"},
    BPOD: {"bpod", "bpod_encoder"},
    "odd_tiffs": {"tiff_movie"},
    "thunder_tiffs": {"tiff_movie", "scanimage"},
    "zebrafish_volumes": {"tiff_movie"},
}
NOTHING: dict[str, str] = {
    "medpc_med2excel": "pools 9 recordings of MED-PC",
    "levodopa_tables": "It holds .csv, .xlsx",
    "drug_metadata_yaml": "docs/formats.md lists what is read",
    "drug_table_psilocybin": "docs/formats.md lists what is read",
    "meta_pymare": "docs/formats.md lists what is read",
    "nwb_dandi000009": "nwbswitch annotate",
    "nwb_old_matnwb": "nwbswitch annotate",
    "nwb_old_pynwb": "nwbswitch annotate",
    "nwb_peyrache_units": "nwbswitch annotate",
    "nwb_v1_silverlab": "nwbswitch annotate",
}


def test_every_folder_is_looked_into(shared: Path) -> None:
    folders = {each.name for each in (shared / "data").iterdir() if each.is_dir()}
    assert folders - {"LICENSES"} == set(FOUND) | set(NOTHING)


@pytest.mark.parametrize("folder", FOUND)
def test_a_draft_of_real_data_converts_as_it_is(shared: Path, tmp_path: Path, folder: str) -> None:
    status, shown = run("init", shared / "data" / folder, "-o", tmp_path / "study", "--json")
    assert status == 0, shown
    result = json.loads(shown[shown.index("{\n") :])
    assert {each["format"] for session in result["sessions"] for each in session["streams"]} == FOUND[folder]
    status, shown = run("convert", tmp_path / "study/study.yaml", "-o", tmp_path / "nwb", "--stub")
    assert status == 0, shown
    assert len(list((tmp_path / "nwb").rglob("*.nwb"))) == len(result["sessions"])


@pytest.mark.parametrize("folder", NOTHING)
def test_a_folder_without_recordings_is_told_what_to_do(shared: Path, tmp_path: Path, folder: str) -> None:
    status, shown = run("init", shared / "data" / folder, "-o", tmp_path / "study")
    assert status == 1
    assert f"{folder}: holds no recording of a known format." in shown
    assert NOTHING[folder] in shown
    assert not (tmp_path / "study").exists()
