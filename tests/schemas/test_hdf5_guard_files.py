"""HDF5 files are opened when they are honest; what links out, lies or is too large is refused."""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.file_guard import check_hdf5, open_hdf5


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """An HDF5 file like an NWB: groups, soft and hard links, standard filters, references, empty data."""
    path = tmp_path / "good.nwb"
    with h5py.File(path, "w") as file:
        group = file.create_group("acquisition/series")
        group.create_dataset(
            "data", data=np.zeros((1000, 10)), chunks=(100, 10), compression="gzip", shuffle=True
        )
        group.create_dataset("lzf", data=np.arange(100), compression="lzf", fletcher32=True)
        group.create_dataset("text", data=["a", "b"], dtype=h5py.string_dtype())
        group.create_dataset("none", dtype="f8", data=h5py.Empty("f8"))
        group.create_dataset("reference", data=group.ref, dtype=h5py.ref_dtype)
        file["soft"] = h5py.SoftLink("/acquisition/series")
        file["dangling"] = h5py.SoftLink("/nowhere")
        file["hard"] = group
        group["up"] = file["acquisition"]
    return path


def test_an_honest_file_opens_read_only(made: Path) -> None:
    check_hdf5(made)
    with open_hdf5(made) as file:
        assert file["soft/data"].shape == (1000, 10)
        assert file.mode == "r"


def test_an_error_of_the_caller_is_not_blamed_on_the_file(made: Path) -> None:
    with pytest.raises(KeyError, match="mine"), open_hdf5(made):
        raise KeyError("mine")


def test_external_links_are_refused(made: Path) -> None:
    with h5py.File(made, "a") as file:
        file["acquisition/out"] = h5py.ExternalLink("other.h5", "/secret")
    with pytest.raises(UnsafeFileError, match="/acquisition/out"):
        check_hdf5(made)


def test_external_storage_is_refused(made: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"password" * 8)
    with h5py.File(made, "a") as file:
        file.create_dataset("deep/er/raw", (64,), "u1", external=[(str(secret), 0, 64)])
    with pytest.raises(UnsafeFileError, match="external storage"):
        check_hdf5(made)


def test_virtual_datasets_are_refused(made: Path) -> None:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    with h5py.File(made, "a") as file:
        file.create_virtual_dataset("v", layout)
    with pytest.raises(UnsafeFileError, match="virtual"), open_hdf5(made):
        pytest.fail("the file was opened")


def test_a_file_that_declares_terabytes_is_refused(made: Path) -> None:
    with h5py.File(made, "a") as file:
        file.create_dataset("big", (1_000_000, 1_000_000), "f8", chunks=(1000, 1000), compression="gzip")
    with pytest.raises(UnsafeFileError, match="8000000000000 bytes for /big"):
        check_hdf5(made)


def test_a_contiguous_dataset_that_was_never_written_is_refused(made: Path) -> None:
    with h5py.File(made, "a") as file:
        file.create_dataset("big", (1 << 40,), "f8")
    with pytest.raises(UnsafeFileError, match="/big"):
        check_hdf5(made)


def test_a_giant_chunk_of_a_small_dataset_is_refused(made: Path) -> None:
    with h5py.File(made, "a") as file:
        file.create_dataset("big", (1,), "f8", chunks=(400_000_000,), maxshape=(None,), compression="gzip")
    with pytest.raises(UnsafeFileError, match="/big"):
        check_hdf5(made)


def test_small_datasets_of_fill_value_pass(made: Path) -> None:
    with h5py.File(made, "a") as file:
        file.create_dataset("ones", (10_000, 1000), "f8", chunks=(100, 1000), fillvalue=1.0)
    check_hdf5(made)


def test_filters_that_need_a_plugin_are_named(made: Path) -> None:
    with h5py.File(made, "a") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((10,))
        plan.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (2, 2, 8, 80, 5, 1, 1))
        h5py.h5d.create(file.id, b"blosc", h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((100,)), plan)
    with pytest.raises(InputFileError, match="Blosc") as raised:
        check_hdf5(made)
    assert not isinstance(raised.value, UnsafeFileError)


def test_groups_nested_too_deep_are_refused(made: Path) -> None:
    with h5py.File(made, "a") as file:
        file.create_group("/".join(["g"] * 200))
    with pytest.raises(UnsafeFileError, match="deep"):
        check_hdf5(made)


def test_too_many_objects_are_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbswitch.schemas.hdf5_guard.MAX_OBJECTS", 5)
    with pytest.raises(UnsafeFileError, match="more than 5"):
        check_hdf5(made)


@pytest.mark.parametrize("kept", [0, 7, 100, 700, 3000])
def test_truncated_files_are_input_errors(made: Path, kept: int) -> None:
    made.write_bytes(made.read_bytes()[:kept])
    with pytest.raises(InputFileError, match="HDF5") as raised:
        check_hdf5(made)
    assert not isinstance(raised.value, UnsafeFileError)


def test_other_formats_folders_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "a.nwb").write_text("not HDF5")
    with pytest.raises(InputFileError, match="HDF5"):
        check_hdf5(tmp_path / "a.nwb")
    with pytest.raises(InputFileError, match="not a file"):
        check_hdf5(tmp_path)
    with pytest.raises(InputFileError, match="not there"):
        check_hdf5(tmp_path / "b.nwb")


def test_two_hundred_objects_take_less_than_fifty_milliseconds(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        for number in range(200):
            file.create_dataset(f"group{number % 20}/data{number}", data=np.zeros(10))
    took = []
    for _ in range(5):
        began = time.process_time()
        check_hdf5(tmp_path / "a.nwb")
        took.append(time.process_time() - began)
    assert min(took) < 0.05


def test_files_of_labs_pass_and_one_that_links_out_does_not(shared: Path) -> None:
    refused = []
    for file in sorted((shared / "data").rglob("*.nwb")):
        if file.is_file():
            try:
                check_hdf5(file)
            except InputFileError as error:
                refused.append(error.path.name)
    assert refused == ["link_test.nwb"]
