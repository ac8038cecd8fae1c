"""Files that attack: every way in through a study is refused with one clear error, and nothing is written."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile

RUNS = "attacked"
Attack = Callable[[Path], dict[str, Any]]


class Command:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (os.system, (f"touch {RUNS}",))


LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


def study(folder: Path, stream: dict[str, Any]) -> Path:
    text = f"""\
study: {{name: s, title: t}}
placeholders: [subject.age, subject.sex, start_time]
defaults:
  description: d
  imaging: {{indicator: GCaMP6s, excitation_lambda_nm: 920, emission_lambda_nm: 510, region: unknown}}
  streams: {{it: {json.dumps(stream)}}}
subjects: [{{subject_id: m, species: Mus musculus}}]
sessions: [{{subject_id: m, session_id: a}}]
"""
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return folder / "study.yaml"


def pickled_npy(folder: Path) -> dict[str, Any]:
    np.save(folder / "face_proc.npy", np.array({"pupil": Command()}, dtype=object), allow_pickle=True)
    return {"format": "facemap", "path": "face_proc.npy", "rate_hz": 30}


def pickled_stat(folder: Path) -> dict[str, Any]:
    for name in ("F", "Fneu", "spks"):
        np.save(folder / f"{name}.npy", np.zeros((1, 9), np.float32))
    np.save(folder / "iscell.npy", np.ones((1, 2)))
    np.save(folder / "stat.npy", np.array([Command()], dtype=object), allow_pickle=True)
    return {"format": "suite2p", "path": ".", "rate_hz": 5}


def pickled_attribute(folder: Path) -> dict[str, Any]:
    with h5py.File(folder / "dlc.h5", "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = "frame_table"
        group.attrs["non_index_axes"] = np.void(pickle.dumps(Command()))
        rows = np.zeros(3, [("index", "<i8"), ("values_block_0", "<f8", (3,))])
        table = group.create_dataset("table", data=rows)
        table.attrs["values_block_0_kind"] = np.void(pickle.dumps(Command()))
    return {"format": "deeplabcut", "path": "dlc.h5", "rate_hz": 30}


def zip_bomb(folder: Path) -> dict[str, Any]:
    with zipfile.ZipFile(folder / "RoiSet.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cell.roi", b"Iout" + bytes(200 << 20))
    (folder / "traces.csv").write_text("Mean1\n1\n2\n", encoding="utf-8")
    return _roi_stream()


def zip_slip(folder: Path) -> dict[str, Any]:
    with zipfile.ZipFile(folder / "RoiSet.zip", "w") as archive:
        archive.writestr("../../cell.roi", b"Iout")
    (folder / "traces.csv").write_text("Mean1\n1\n2\n", encoding="utf-8")
    return _roi_stream()


def _roi_stream() -> dict[str, Any]:
    return {
        "format": "imagej_rois",
        "path": "RoiSet.zip",
        "traces": {"path": "traces.csv"},
        "image_size": [64, 64],
        "rate_hz": 5,
    }


def hdf5_bomb(folder: Path) -> dict[str, Any]:
    with h5py.File(folder / "m.h5", "w") as file:
        file.create_dataset("mov", (1 << 20, 512, 512), "i2", chunks=(1, 512, 512), compression="gzip")
    return {"format": "hdf5_stack", "path": "m.h5", "rate_hz": 5}


def hdf5_link(folder: Path) -> dict[str, Any]:
    with h5py.File(folder / "m.h5", "w") as file:
        file["mov"] = h5py.ExternalLink("/etc/passwd", "/")
    return {"format": "hdf5_stack", "path": "m.h5", "rate_hz": 5}


def hdf5_storage(folder: Path) -> dict[str, Any]:
    with h5py.File(folder / "m.h5", "w") as file:
        outside = [(str(folder / "elsewhere.bin"), 0, 5 * 4 * 4)]
        (folder / "elsewhere.bin").write_bytes(bytes(200))
        file.create_dataset("mov", (5, 4, 4), "u1", external=outside)
    return {"format": "hdf5_stack", "path": "m.h5", "rate_hz": 5}


def xml_entities_bruker(folder: Path) -> dict[str, Any]:
    (folder / "t").mkdir()
    (folder / "t/t.xml").write_text(f'<?xml version="1.0"?>{LAUGHS}<PVScan date="&b;"/>', encoding="utf-8")
    tifffile.imwrite(folder / "t/t_Cycle00001_Ch2_000001.ome.tif", np.zeros((4, 5), np.uint16))
    return {"format": "bruker", "path": "t"}


def xml_entities_thor(folder: Path) -> dict[str, Any]:
    (folder / "t").mkdir()
    (folder / "t/Experiment.xml").write_text(
        f'<?xml version="1.0"?>{LAUGHS}<ThorImageExperiment>&b;</ThorImageExperiment>', encoding="utf-8"
    )
    tifffile.imwrite(folder / "t/ChanA_0001_0001_0001_0001.tif", np.zeros((4, 5), np.uint16))
    return {"format": "thor", "path": "t"}


def xml_entities_ome(folder: Path) -> dict[str, Any]:
    text = f'<?xml version="1.0"?>{LAUGHS}<OME><Image ID="Image:0" Name="&b;"/></OME>'
    tifffile.imwrite(folder / "m.ome.tif", np.zeros((4, 5), np.uint16), description=text, metadata=None)
    return {"format": "ome_tiff", "path": "m.ome.tif", "rate_hz": 5}


def mat_bomb(folder: Path) -> dict[str, Any]:
    import scipy.io

    stream = io.BytesIO()
    scipy.io.savemat(stream, {"SessionData": np.zeros((3000, 9000))}, do_compression=True)
    data = bytearray(stream.getvalue())
    (folder / "b.mat").write_bytes(bytes(data))
    return {"format": "bpod", "path": "b.mat"}


def way_up(folder: Path) -> dict[str, Any]:
    (folder.parent / "secret.tif").write_bytes(b"II*\0")
    return {"format": "tiff_movie", "path": "../secret.tif", "rate_hz": 5}


def absolute(folder: Path) -> dict[str, Any]:
    return {
        "format": "series",
        "path": "/etc/hostname",
        "rate_hz": 5,
        "signals": [{"name": "a", "unit": "V"}],
    }


def link_out(folder: Path) -> dict[str, Any]:
    (folder.parent / "secret.tif").write_bytes(b"II*\0")
    (folder / "m.tif").symlink_to(folder.parent / "secret.tif")
    return {"format": "tiff_movie", "path": "m.tif", "rate_hz": 5}


def link_out_of_a_folder(folder: Path) -> dict[str, Any]:
    stream = pickled_stat(folder)
    (folder.parent / "F.npy").write_bytes((folder / "F.npy").read_bytes())
    (folder / "F.npy").unlink()
    (folder / "F.npy").symlink_to(folder.parent / "F.npy")
    return stream


def link_out_of_pulses(folder: Path) -> dict[str, Any]:
    tifffile.imwrite(folder / "m.tif", np.zeros((3, 4, 5), np.uint8), photometric="minisblack")
    pulses = {"path": "../pulses.csv", "column": "t"}
    (folder.parent / "pulses.csv").write_text("t\n1\n2\n3\n", encoding="utf-8")
    return {"format": "tiff_movie", "path": "m.tif", "rate_hz": 5, "frame_times": pulses}


ATTACKS: list[Attack] = [
    pickled_npy,
    pickled_stat,
    pickled_attribute,
    zip_bomb,
    zip_slip,
    hdf5_bomb,
    hdf5_link,
    hdf5_storage,
    xml_entities_bruker,
    xml_entities_thor,
    xml_entities_ome,
    mat_bomb,
    way_up,
    absolute,
    link_out,
    link_out_of_a_folder,
    link_out_of_pulses,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.__name__)
def test_an_attack_is_one_error_and_nothing_is_written(tmp_path: Path, attack: Attack) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    stream = attack(folder)
    command = [sys.executable, "-m", "nwbswitch", "convert", str(study(folder, stream)), "-o", "nwb"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "error" in done.stderr or "FAILED" in done.stderr or "failed" in done.stdout
    assert "Traceback" not in done.stderr
    assert not (folder / RUNS).exists()
    assert not list(folder.rglob("*.nwb"))
