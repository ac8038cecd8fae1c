"""Nothing is lost: hostile, old and odd files, interruption, and other programs at work."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pynwb
import pytest
from format_writers.old_nwb import contents, write_old_nwb

from nwbswitch.converters import annotate as module
from nwbswitch.converters import annotate_edit
from nwbswitch.converters.annotate import annotate
from nwbswitch.schemas.files import PARTIAL, locked

LOG = """subject_id,session_id,timestamp_s,substance,salt,dose_basis,dose,dose_unit,route,stereochemistry
m1,day1,60,ketamine,hydrochloride,salt,10,mg/kg,i.p.,racemic
"""


@pytest.fixture
def nwb(tmp_path: Path) -> Path:
    return write_old_nwb(tmp_path / "old.nwb")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG, encoding="utf-8")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_with_external_links_is_refused(nwb: Path, log: Path) -> None:
    with h5py.File(nwb, "a") as file:
        file["acquisition/elsewhere"] = h5py.ExternalLink("secret.h5", "/x")
    bytes_ = nwb.read_bytes()
    result = annotate(nwb, drug_log=log)
    assert [each.code for each in result.issues] == ["unsafe-file"]
    assert nwb.read_bytes() == bytes_


def test_a_file_with_external_storage_is_refused(nwb: Path, log: Path, tmp_path: Path) -> None:
    with h5py.File(nwb, "a") as file:
        (tmp_path / "raw.bin").write_bytes(bytes(8))
        file["acquisition"].create_dataset("x", (8,), "u1", external=[(str(tmp_path / "raw.bin"), 0, 8)])
    result = annotate(nwb, drug_log=log)
    assert [each.code for each in result.issues] == ["unsafe-file"]


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_what_is_no_hdf5_file_is_refused(tmp_path: Path, log: Path, content: bytes) -> None:
    path = tmp_path / "x.nwb"
    path.write_bytes(content)
    result = annotate(path, drug_log=log)
    assert result.files[0].status == "failed"
    assert path.read_bytes() == content


def test_links_folders_and_protected_files_are_refused(nwb: Path, log: Path, tmp_path: Path) -> None:
    (tmp_path / "link.nwb").symlink_to(nwb)
    (tmp_path / "folder.nwb").mkdir()
    with h5py.File(tmp_path / "other.nwb", "w") as file:
        file["x"] = 1
    said = [
        str(annotate(tmp_path / name, drug_log=log).issues[0])
        for name in ("link.nwb", "folder.nwb", "other.nwb", "none.nwb")
    ]
    assert "is a link" in said[0]
    assert "is a folder" in said[1]
    assert "no NWB 2 file" in said[2]
    assert "none.nwb" in said[3]
    assert (tmp_path / "link.nwb").is_symlink()
    nwb.chmod(0o444)
    assert "write-protected" in str(annotate(nwb, drug_log=log).issues[0])
    nwb.chmod(0o640)
    assert annotate(nwb, drug_log=log).ok
    assert nwb.stat().st_mode & 0o777 == 0o640


def test_an_error_while_editing_leaves_the_original(
    nwb: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bytes_, before = nwb.read_bytes(), names(tmp_path)
    for error in (OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), ValueError("bug")):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(annotate_edit, "_state_schema", fail)
        if isinstance(error, KeyboardInterrupt):
            with pytest.raises(KeyboardInterrupt):
                annotate(nwb, drug_log=log)
        else:
            said = str(annotate(nwb, drug_log=log).issues[0])
            assert ("No space left" in said) is isinstance(error, OSError)
            assert "The file is as it was." in said
        assert nwb.read_bytes() == bytes_
        assert names(tmp_path) == before


def test_damage_to_other_parts_is_noticed(
    nwb: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bytes_ = nwb.read_bytes()
    data = "processing/ophys/Fluorescence/RoiResponseSeries/data"

    def harm(donor: h5py.File, file: h5py.File) -> None:
        values = file[data][()]
        attributes = dict(file[data].attrs)
        del file[data]
        file.create_dataset(data, data=values).attrs.update(attributes)

    monkeypatch.setattr(annotate_edit, "_state_schema", harm)
    result = annotate(nwb, drug_log=log)
    assert f"would change '{data}' too" in str(result.issues[0])
    assert nwb.read_bytes() == bytes_


def test_a_file_that_changes_meanwhile_is_not_replaced(
    nwb: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copyfile = shutil.copyfile

    def copy_and_touch(source: Path, target: Path) -> None:
        copyfile(source, target)
        os.utime(nwb, ns=(1, 1))

    monkeypatch.setattr(module.shutil, "copyfile", copy_and_touch)
    assert "changed by another program" in str(annotate(nwb, drug_log=log).issues[0])


def test_a_full_disk_is_noticed_first(nwb: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(nwb.parent)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert "the disk has 1000 left" in str(annotate(nwb, drug_log=log).issues[0])


def test_two_at_once_do_not_lose_each_others_work(nwb: Path, log: Path) -> None:
    with locked(nwb.with_name(f".nwbswitch-{nwb.name}.lock")):
        assert "by another process" in str(annotate(nwb, drug_log=log).issues[0])
    assert annotate(nwb, drug_log=log).ok


def test_a_killed_run_leaves_the_original_and_the_next_one_cleans_up(
    nwb: Path, log: Path, tmp_path: Path
) -> None:
    bytes_ = nwb.read_bytes()
    code = (
        "import sys, time\n"
        "from nwbswitch.converters import annotate, annotate_verify\n"
        "annotate_verify.compare = lambda *_: time.sleep(60)\n"
        "annotate.annotate(sys.argv[1], drug_log=sys.argv[2])\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(nwb), str(log)]) as process:
        end = time.monotonic() + 60
        while not list(tmp_path.glob(f"{PARTIAL}*")) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    assert list(tmp_path.glob(f"{PARTIAL}*"))
    assert nwb.read_bytes() == bytes_
    assert annotate(nwb, drug_log=log).ok
    assert names(tmp_path) == ["log.csv", "old.nwb"]


OLD = {
    "nwb_old_pynwb/1.0.2_nwbfile.nwb": "2.11.0",
    "nwb_old_pynwb/1.0.2_str_experimenter.nwb": "2.11.0",
    "nwb_old_pynwb/1.0.2_str_pub.nwb": "2.11.0",
    "nwb_old_pynwb/1.1.0_nwbfile.nwb": "2.11.0",
    "nwb_old_pynwb/1.5.1_imageseries_no_data.nwb": "2.11.0",
    "nwb_old_pynwb/1.5.1_timeseries_no_unit.nwb": "2.11.0",
    "nwb_peyrache_units/tests/nwbfilestest/phy/pynapplenwb/A8604-211122.nwb": "2.11.0",
    "dlc_openfield/m3v1mp4DLC_resnet50_openfieldAug20shuffle1_30000.nwb": "2.11.0",
    "nwb_dandi000009/sub_anm00239123_ses_20170627T093549_ecephys_and_ogen.nwb": "2.1.0",
}
REFUSED = {
    "nwb_old_matnwb/S1.nwb": "cannot be read by pynwb",
    "nwb_old_matnwb/test_output.nwb": "cannot be read by pynwb",
    "nwb_old_matnwb/link_test.nwb": "link at /general/subject to another file",
    "nwb_v1_silverlab/MATLAB/tests/data/test_epochs.nwb": "version 1.0.5i_beta; version 2 is needed",
}


@pytest.mark.parametrize("name", OLD)
def test_old_files_of_labs_keep_their_data(shared: Path, tmp_path: Path, log: Path, name: str) -> None:
    path = tmp_path / "lab.nwb"
    shutil.copyfile(shared / "data" / name, path)
    before = contents(path)
    errors = {f"{each.name}: {each.reason}" for each in pynwb.validate(path=path)}
    epochs = tmp_path / "epochs.csv"
    epochs.write_text("window,start_s,stop_s\nbaseline,0,50\ndrug,70,110\n")
    given = {"drug_log": log, "epochs": epochs, "subject_id": "m1", "session_id": "day1"}
    result = annotate(path, **given)
    assert result.ok, result.issues
    after = contents(path)
    changed = {key for key in before if after.get(key) != before[key]}
    assert changed <= {"file_create_date", "general/notes", "general/keywords"}
    assert {f"{each.name}: {each.reason}" for each in pynwb.validate(path=path)} <= errors
    with h5py.File(path) as file:
        assert file.attrs["nwb_version"] == OLD[name]
    kept = OLD[name] != "2.11.0"
    assert ("schema-version-kept" in {each.code for each in result.issues}) is kept
    with pynwb.NWBHDF5IO(path, "r", load_namespaces=True) as io:
        nwbfile = io.read()
        assert nwbfile.events["drug_administrations"]["substance"][0] == "ketamine"
        assert nwbfile.intervals["analysis_epochs"]["window"][1] == "drug"
    assert annotate(path, **given).summary() == "1 unchanged"


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_cannot_be_read_are_refused_with_the_reason(
    shared: Path, tmp_path: Path, log: Path, name: str
) -> None:
    path = tmp_path / "lab.nwb"
    shutil.copyfile(shared / "data" / name, path)
    bytes_ = path.read_bytes()
    result = annotate(path, drug_log=log, subject_id="m1", session_id="day1")
    assert not result.ok
    assert REFUSED[name] in str(result.issues[0])
    assert path.read_bytes() == bytes_
    assert names(tmp_path) == ["lab.nwb", "log.csv"]


def test_little_is_added_to_the_size(nwb: Path, log: Path) -> None:
    before = nwb.stat().st_size
    annotate(nwb, drug_log=log)
    first = nwb.stat().st_size
    log.write_text(LOG.replace(",10,mg", ",12,mg"), encoding="utf-8")
    annotate(nwb, drug_log=log, overwrite=True)
    assert first - before < 300_000
    assert nwb.stat().st_size - first < 40_000


def test_column_names_of_fixed_length_are_read(nwb: Path, log: Path, tmp_path: Path) -> None:
    path = "processing/ophys/ImageSegmentation/PlaneSegmentation"
    with h5py.File(nwb, "a") as file:
        file[path].attrs["colnames"] = np.array(["pixel_mask", "accepted"], dtype="S")
    types = tmp_path / "types.csv"
    types.write_text("roi,cell_type\n0,PV\n")
    assert annotate(nwb, cell_types=types).ok
    with pynwb.NWBHDF5IO(nwb, "r") as io:
        table = io.read().processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]
        assert table.colnames[-1] == "cell_type_confidence"


def test_parts_of_another_kind_than_expected_fail_that_file_only(
    nwb: Path, log: Path, tmp_path: Path
) -> None:
    other = write_old_nwb(tmp_path / "other.nwb")
    with h5py.File(other, "a") as file:
        file.create_group("general/keywords")
        del file["general/subject"]
        file["general/subject"] = 1
    bytes_ = other.read_bytes()
    result = annotate([other, nwb], drug_log=log)
    assert [each.status for each in result.files] == ["failed", "annotated"]
    assert other.read_bytes() == bytes_


def test_a_file_that_another_program_writes_is_refused(nwb: Path, log: Path) -> None:
    code = (
        "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(nwb)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        result = annotate(nwb, drug_log=log)
        process.communicate(b"")
    assert not result.ok
    assert "lock" in str(result.issues[0])
